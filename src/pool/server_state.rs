//! The state that all pools of a server share: permits to mine, batches remembered for retries, and rounds.

use std::sync::Arc;

use super::admission::Admission;
use super::replay::Replay;
use super::rounds::Rounds;
use crate::model::limits::Limits;
use crate::store::Engine;
use crate::store::put_once::{PutOnce, PutOnceLimits};

/// What the pools of a server share.
#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) admission: Admission,
    pub(super) replay: Arc<Replay>,
    pub(super) rounds: Rounds,
    /// The put-once store of the engine, which remembers replies and rounds.
    pub(super) once: Arc<dyn PutOnce>,
}

impl ServerState {
    pub(super) fn new(limits: &Limits, engine: &dyn Engine) -> Self {
        let once = engine.open_put_once(PutOnceLimits {
            reply_bytes: limits.mine_cache_bytes,
            round_bytes: limits.round_cache_bytes,
        });
        Self {
            admission: Admission::new(limits),
            replay: Arc::new(Replay::new(limits, once.clone())),
            rounds: Rounds::new(limits),
            once,
        }
    }
}
