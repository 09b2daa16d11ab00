//! Who is kept out of the hard store and the background of a pool, as its store does it: inside the partitions, in the order of all
//! other calls, so that a sample is at every moment either stored or set aside.

use async_trait::async_trait;
use std::sync::Arc;

pub use hardneg_partition::{BlockCounts, QuarantineTerms, Quarantined, ReleaseCounts, SetAsideCounts};

use super::{Row, StoreError, StoreSpec, share_of};

/// Streaks of suspects remembered of a pool, some 40 MB; of more, those that were not continued for the longest are forgotten.
pub const STREAKS_MAX: usize = 1 << 20;
/// Ids of a pool that rows never set aside.
pub const TRUSTED_MAX: usize = 1 << 20;
/// Ids of a pool that are blocked.
pub const BLOCKED_MAX: usize = 1 << 20;

/// How samples are set aside by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Samples that the pool sets aside at a time. A partition takes its share and six standard deviations of what hashing deals it, so
    /// that a pool of several partitions may hold a few more.
    pub capacity: u64,
    /// D(t) now, in key units (docs/methods.md 2.2).
    pub decay_units: u64,
    /// Unix milliseconds.
    pub now_millis: u64,
}

/// Where a sample is: in one place.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Found {
    /// In the hard store or the background.
    Stored(Row),
    /// In quarantine.
    SetAside(Box<Quarantined>),
    /// Nowhere, and its rows are not taken.
    Blocked,
    /// Nowhere.
    #[default]
    Absent,
}

/// How many samples and ids the quarantine of a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineSizes {
    /// Samples that are set aside.
    pub set_aside: u64,
    /// Samples that were to be set aside while there was no room, each counted once a streak.
    pub overflows: u64,
    /// Samples with rows above the threshold in a row.
    pub streaks: u64,
    /// Ids that rows never set aside.
    pub trusted: u64,
    /// Ids that are blocked.
    pub blocked: u64,
}

/// The part of a [`Store`](super::Store) that keeps samples out. Ids may repeat in a call; the second finds what the first did.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// Takes samples out of hard store and background, until they are released: their rows refresh what is kept of them.
    async fn set_aside(&self, ids: &[u64], how: SetAside) -> Result<SetAsideCounts, StoreError>;
    /// Puts samples back with the score, key, stamp and serves that they left with, or of their last row since. With `trust`, no row
    /// sets them aside again until they are removed.
    async fn release_quarantined(&self, ids: &[u64], trust: bool) -> Result<ReleaseCounts, StoreError>;
    /// Removes ids and takes no row of them any more. `names`: their string keys in a pool of names, one an id; otherwise empty.
    async fn block(&self, ids: &[u64], names: &[Arc<str>]) -> Result<BlockCounts, StoreError>;
    /// Takes rows of ids again; how many were blocked.
    async fn unblock(&self, ids: &[u64]) -> Result<u64, StoreError>;
    /// Removes all samples; how many were stored or set aside, and the position. Which batches were applied, and which ids are trusted
    /// or blocked, stays known.
    async fn clear(&self) -> Result<(u64, u64), StoreError>;
    /// Where samples are; one answer an id, all of one partition at one moment.
    async fn find(&self, ids: &[u64]) -> Result<Vec<Found>, StoreError>;
    /// Up to `limit` samples that are set aside with ids over `after`, in order of id.
    async fn quarantined(&self, after: Option<u64>, limit: usize) -> Result<Vec<Quarantined>, StoreError>;
    /// Up to `limit` blocked ids over `after`, in order of id, with their string keys in a pool of names.
    async fn blocked(&self, after: Option<u64>, limit: usize) -> Result<Vec<BlockedId>, StoreError>;
}

/// A blocked id with its string key in a pool of names.
pub type BlockedId = (u64, Option<Arc<str>>);

impl StoreSpec {
    /// What one partition may set aside of the pool's `capacity`.
    #[must_use]
    pub(super) fn quarantine_share(&self, capacity: u64) -> u64 {
        share_of(capacity, self.partitions)
    }
}
