//! The quarantine of a store: samples that are kept out of the hard store and the background. The partitions keep it, in the order of all
//! other operations, so that a sample is at every moment either stored or set aside.

use async_trait::async_trait;
use std::sync::Arc;

pub use hardneg_partition::{BlockCounts, QuarantineTerms, Quarantined, ReleaseCounts, SetAsideCounts};

use super::{Row, StoreError, StoreSpec, share_of};

/// Maximum number of streaks that a pool remembers, in about 40 MB. Beyond that it forgets the streaks that were not continued for the
/// longest time.
pub const STREAKS_MAX: usize = 1 << 20;
/// Maximum number of trusted ids of a pool, which rows never set aside.
pub const TRUSTED_MAX: usize = 1 << 20;
/// Maximum number of blocked ids of a pool.
pub const BLOCKED_MAX: usize = 1 << 20;

/// The parameters of setting samples aside by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Maximum number of samples that are set aside in the pool at a time. Each partition takes an even share plus six standard deviations,
    /// so a pool of several partitions may hold a few more.
    pub capacity: u64,
    /// D(t) now, in key units (docs/methods.md 2.2).
    pub decay_units: u64,
    /// Unix milliseconds.
    pub now_millis: u64,
}

/// Where a sample is. It is in one place only.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Found {
    /// In the hard store or the background.
    Stored(Row),
    /// In quarantine.
    SetAside(Box<Quarantined>),
    /// Not stored, because the id is blocked: its rows are refused.
    Blocked,
    /// Not stored, and not blocked.
    #[default]
    Absent,
}

/// Sizes of the quarantine of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineSizes {
    /// Samples that are set aside.
    pub set_aside: u64,
    /// Samples that a row would have set aside while the quarantine was full, counted once per streak.
    pub overflows: u64,
    /// Samples with a streak: their latest rows were above the threshold.
    pub streaks: u64,
    /// Ids that rows never set aside.
    pub trusted: u64,
    /// Ids that are blocked.
    pub blocked: u64,
}

/// The part of a [`Store`](super::Store) that sets samples aside and blocks ids. An id may stand twice in a call; the second time it finds
/// what the first has done.
#[async_trait]
pub trait Quarantine: Send + Sync {
    /// Moves samples from the hard store and the background into quarantine until they are released. Reports of a sample in quarantine
    /// update its quarantined record.
    async fn set_aside(&self, ids: &[u64], how: SetAside) -> Result<SetAsideCounts, StoreError>;
    /// Puts samples back with the score, key, stamp and serve count that they had when they were set aside, or that their last row since
    /// then gave them. With `trust`, no row sets them aside again until they are removed.
    async fn release_quarantined(&self, ids: &[u64], trust: bool) -> Result<ReleaseCounts, StoreError>;
    /// Removes ids and refuses all further rows of them. `names` are their string keys, one per id, if the pool is `named`; otherwise
    /// empty.
    async fn block(&self, ids: &[u64], names: &[Arc<str>]) -> Result<BlockCounts, StoreError>;
    /// Accepts rows of ids again; returns how many of the ids were blocked.
    async fn unblock(&self, ids: &[u64]) -> Result<u64, StoreError>;
    /// Removes all samples; returns how many were stored or set aside, and the position. The partitions still remember which batches they
    /// have applied, and which ids are trusted or blocked.
    async fn clear(&self) -> Result<(u64, u64), StoreError>;
    /// Where samples are; one answer per id. The answers of one partition are of one moment.
    async fn find(&self, ids: &[u64]) -> Result<Vec<Found>, StoreError>;
    /// Up to `limit` samples in quarantine with ids above `after`, in order of id.
    async fn quarantined(&self, after: Option<u64>, limit: usize) -> Result<Vec<Quarantined>, StoreError>;
    /// Up to `limit` blocked ids above `after`, in order of id.
    async fn blocked(&self, after: Option<u64>, limit: usize) -> Result<Vec<BlockedId>, StoreError>;
}

/// A blocked id, with its string key if the pool is `named`.
pub type BlockedId = (u64, Option<Arc<str>>);

impl StoreSpec {
    /// Maximum number of samples that one partition may set aside if `capacity` is that of the pool.
    #[must_use]
    pub(super) fn quarantine_share(&self, capacity: u64) -> u64 {
        share_of(capacity, self.partitions)
    }
}
