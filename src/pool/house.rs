//! What the pools of a server share: places to mine in, the batches remembered for retries, and rounds.

use super::admission::Admission;
use super::replay::Replay;
use super::rounds::Rounds;
use super::spec::Limits;

/// What the pools of a server share.
#[derive(Debug)]
pub(super) struct House {
    pub(super) admission: Admission,
    pub(super) replay: Replay,
    pub(super) rounds: Rounds,
}

impl House {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { admission: Admission::new(limits), replay: Replay::new(limits), rounds: Rounds::new(limits) }
    }
}
