//! What the pools of a server share: places to mine in, and the batches remembered for retries.

use super::admission::Admission;
use super::replay::Replay;
use super::spec::Limits;

/// What the pools of a server share.
#[derive(Debug)]
pub(super) struct House {
    pub(super) admission: Admission,
    pub(super) replay: Replay,
}

impl House {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { admission: Admission::new(limits), replay: Replay::new(limits) }
    }
}
