//! Streaks: how many consecutive rows of a sample were above the threshold. Their number is bounded: the least recently extended is
//! forgotten first.

use crate::lru::Lru;

/// Streaks by id.
pub(crate) type Streaks = Lru<u64, Streak>;

/// Consecutive rows of a sample above the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streak {
    /// The number of rows, at least one.
    pub(crate) reports: u32,
    /// The stamp of the last row.
    pub(crate) stamp: u32,
    /// The sample would have been set aside, but the quarantine was full.
    pub(crate) was_refused: bool,
}
