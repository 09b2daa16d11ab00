//! Where samples live: one [`Store`] a pool, behind one trait.
//!
//! A pool is partitions, an id's by its hash; what a partition is and does is the crate `hardneg-partition`. A store hosts them. It
//! knows nothing of strategies, mixtures or weights, and nothing of the wire. Every call is batched: owned columns in, owned rows
//! out, one lock (or one round trip) per partition. What a store holds of a pool:
//!
//! - the **hard store** S: every one of the `capacity` samples with the highest places in the order, and a few more;
//! - the **background** R: of each partition a uniform sample of all its distinct ids, with its own p (docs/methods.md 4.1).

pub mod anchored;
#[cfg(test)]
mod conformance;
pub mod engine;
#[cfg(test)]
pub(crate) mod fake;
pub mod layout;
pub mod local;
mod loop_ratio;
#[cfg(test)]
pub mod naive;
#[cfg(test)]
mod naive_anchors;
#[cfg(test)]
pub mod naive_engine;
#[cfg(test)]
mod naive_put_once;
#[cfg(test)]
mod naive_quarantine;
pub mod put_once;
pub mod quarantine;
pub mod record;
#[cfg(test)]
pub(crate) mod recorded;
mod select;
#[cfg(test)]
pub(crate) mod wrapped;

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

pub use hardneg_partition::row::{Row, Served, Span, StratumCount};
pub use hardneg_partition::{
    ApplyCounts, BackgroundSpec, Drawn, ScoreUpdate, Sender, ServeMark, ServePenalty, Source, Totals, hash,
    id_map, key, place,
};

pub use engine::Engine;
use hash::{background_hash, placement_hash};
use key::{Hardness, Key};
use layout::partition_of;
pub use loop_ratio::LoopRatio;
use place::Place;
use quarantine::{Quarantine, QuarantineSizes, QuarantineTerms};

/// What a store must know of its pool. Validated by the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSpec {
    /// Samples kept in the hard store at least, over all partitions. 1 ..= 2^31.
    pub capacity: usize,
    /// Partitions, 1 ..= 256.
    pub partitions: usize,
    /// Where background samples come from.
    pub background: BackgroundSpec,
    /// How a score becomes a key.
    pub hardness: Hardness,
    /// Samples have string keys, kept beside them.
    pub named: bool,
    /// Seeds the background's salts, so that pools differ and tests repeat.
    pub salt_seed: u64,
    /// Processes of workers whose batches are remembered, so that a resend of one is told. At most [`WORKERS_MAX`] over all
    /// partitions, whatever is asked.
    pub workers: usize,
}

/// Processes of workers remembered by a pool's partitions, each counted once a partition.
pub const WORKERS_MAX: usize = 1 << 20;

impl StoreSpec {
    /// Samples that one partition keeps: its even share of the capacity and six standard deviations of what hashing deals it, so that
    /// the pool holds every one of its `capacity` hardest.
    #[must_use]
    pub fn partition_capacity(&self) -> usize {
        share_of(self.capacity as u64, self.partitions) as usize
    }
}

/// What each partition must have room for, so that a pool has room for all of `capacity` whatever hashing deals it: an even share and
/// six standard deviations.
fn share_of(capacity: u64, partitions: usize) -> u64 {
    let even = capacity.div_ceil(partitions as u64);
    if partitions == 1 { even } else { even + (6.0 * (even as f64).sqrt()) as u64 }
}

/// A batch of reports: owned columns of equal length, scores finite, ids in range.
#[derive(Clone, Debug, Default)]
pub struct ReportBatch {
    /// Sample ids.
    pub ids: Vec<u64>,
    /// Raw scores, finite.
    pub scores: Vec<f32>,
    /// The scores as reported, where `scores` are others (less a reference), or empty. The quarantine compares these.
    pub raw_scores: Vec<f32>,
    /// String keys, one a row, where the pool is `named`; otherwise empty.
    pub names: Vec<Arc<str>>,
    /// One a row, or empty; an empty payload keeps what is stored.
    pub payloads: Vec<Bytes>,
    /// Strata, one a row, or empty: what is stored is kept.
    pub strata: Vec<u32>,
    /// Groups, one a row, or empty: what is stored is kept. 0: none.
    pub groups: Vec<u64>,
    /// D(t) when reported, in key units (docs/methods.md 2.2). At most [`key::ADVANCE_MAX_UNITS`] above the highest of earlier batches.
    pub decay_units: u64,
    /// Report time in the pool's clock (the pool chooses the unit), serial arithmetic mod 2^32.
    pub stamp: u32,
    /// A row whose stored stamp is later than `stamp` is `stale` and ignored (step pools).
    pub refuse_stale: bool,
    /// Version of the model that scored the rows.
    pub model_version: u32,
    /// Re-report rule.
    pub update: ScoreUpdate,
    /// Rows applied to the pool since its background was last renewed, after which it is renewed again; `None`: never.
    pub renew_after_rows: Option<u64>,
    /// Who sent it: each partition that has applied it counts its rows as `duplicate`. `None`: nobody who sends again.
    pub sender: Option<Sender>,
    /// When a row sets its sample aside: `capacity` is the pool's, as in [`quarantine::SetAside::capacity`]. `None`: no row does, and
    /// streaks are forgotten.
    pub quarantine: Option<QuarantineTerms>,
    /// The oldest stamp that lives, serial arithmetic mod 2^32: what is older is removed first, and a batch whose own `stamp` is older is
    /// `stale` as a whole. `None`: samples live for ever.
    pub oldest_stamp: Option<u32>,
    /// Rows of the batch that are not in it, having no finite score.
    pub non_finite: u64,
    /// Rows of the batch that are not in it, being outside a dense id space.
    pub out_of_range: u64,
}

/// The outcome of [`Store::apply`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Applied {
    /// What became of the rows.
    pub counts: ApplyCounts,
    /// Lowest admissible key while the hard store is full; `None` while there is room.
    pub floor: Option<Key>,
    /// Place of this batch in the pool's order, from 1.
    pub position: u64,
}

/// One occupied bucket of one partition, as counted. `ordinal`s 0..count address its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketCount {
    /// Partition.
    pub partition: u16,
    /// The store's name for the bucket within its partition; opaque.
    pub bucket: u32,
    /// Lowest key that a member may have.
    pub low: Key,
    /// Highest key that a member may have, inclusive.
    pub high: Key,
    /// Members that do not rest: ordinals 0..count.
    pub count: u32,
    /// Members under a lease: the ordinals after those.
    pub resting: u32,
}

impl BucketCount {
    /// Members, resting ones included.
    #[must_use]
    pub fn members(&self) -> u32 {
        self.count + self.resting
    }
}

/// The serving background of one partition as counted, and what else of the partition its estimates need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionBackground {
    /// Salt of the serving generation.
    pub salt: u64,
    /// 2^64 x p; `None` while every reported id is a member (p = 1).
    pub threshold: Option<u64>,
    /// Members; ordinals 0..members address them.
    pub members: u64,
    /// Members under a lease.
    pub leased_members: u64,
    /// Samples of the partition's hard store.
    pub hard: u64,
    /// Samples of the partition under a lease.
    pub leased: u64,
    /// Those that did not stand for themselves when their lease started: outside the hard store, or by their own keys.
    pub leased_outside: u64,
    /// Those of these that are still members.
    pub leased_outside_members: u64,
    /// Members that are in the hard store.
    pub in_hard: u64,
    /// Those of these that stand for themselves ([`Row::own_key`]).
    pub own: u64,
}

impl PartitionBackground {
    /// p: the probability that an id of this partition is a member.
    #[must_use]
    pub fn probability(&self) -> f64 {
        self.threshold.map_or(1.0, |threshold| threshold as f64 / 2f64.powi(64))
    }

    /// Whether a stored sample of this partition is a member.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.threshold.is_none_or(|threshold| background_hash(id, self.salt) < threshold)
    }

    /// The ids of this partition, or their estimate |R_s|/p_s.
    #[must_use]
    pub fn distinct(&self) -> f64 {
        self.members as f64 / self.probability()
    }

    /// Samples that stand for themselves: the hard store without the members that by their own keys would not be in it
    /// (docs/methods.md 4.3).
    #[must_use]
    pub fn standing(&self) -> u64 {
        (self.hard + self.own).saturating_sub(self.in_hard)
    }
}

/// The serving background as counted.
#[derive(Clone, Debug, PartialEq)]
pub enum BackgroundCount {
    /// Of each partition: {id : background_hash(id, salt) < threshold}.
    Sampled(Vec<PartitionBackground>),
    /// R = 0..ids less the removed ones; ordinals are the ids themselves, a removed one is a rejected proposal.
    Dense {
        /// The id space.
        ids: u64,
        /// Removed ids in it.
        removed: u64,
    },
}

impl BackgroundCount {
    /// |R|.
    #[must_use]
    pub fn members(&self) -> u64 {
        match self {
            Self::Sampled(partitions) => partitions.iter().map(|partition| partition.members).sum(),
            Self::Dense { ids, removed } => ids.saturating_sub(*removed),
        }
    }

    /// N, or its estimate: the sum of |R_s|/p_s (docs/methods.md 4.1). Its reciprocal is biased by about 1/|R|.
    #[must_use]
    pub fn distinct(&self) -> f64 {
        match self {
            Self::Sampled(partitions) => partitions.iter().map(PartitionBackground::distinct).sum(),
            Self::Dense { .. } => self.members() as f64,
        }
    }

    /// Whether H depends on R; of a dense id space it does not matter.
    #[must_use]
    pub fn loop_ratio(&self) -> LoopRatio {
        match self {
            Self::Sampled(partitions) => LoopRatio::of(partitions.iter()),
            Self::Dense { .. } => LoopRatio::default(),
        }
    }

    /// Whether a stored sample is in R.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        match self {
            Self::Sampled(partitions) => {
                partitions[partition_of(placement_hash(id), partitions.len())].contains(id)
            }
            Self::Dense { ids, .. } => id < *ids,
        }
    }
}

/// What a store holds, bucket by bucket. Exact for a store at rest.
#[derive(Clone, Debug)]
pub struct Census {
    /// Occupied buckets of all partitions, each partition's in descending order of `high`.
    pub buckets: Vec<BucketCount>,
    /// |S|, resting samples included.
    pub hard: u64,
    /// Samples under a lease, of either source.
    pub leased: u64,
    /// The background.
    pub background: BackgroundCount,
    /// As in [`Applied::floor`].
    pub floor: Option<Key>,
}

/// Where to look for one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// The `ordinal`-th member of a bucket.
    Hard {
        /// From the census.
        partition: u16,
        /// From the census.
        bucket: u32,
        /// 0..count, and on to 0..members() for resting ones.
        ordinal: u32,
    },
    /// The `ordinal`-th background member of a partition (dense: partition 0, the id itself).
    Background {
        /// From the census.
        partition: u16,
        /// 0..count (dense: the id).
        ordinal: u64,
    },
}

/// Where a pass over the hard store goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Partition.
    pub partition: u16,
    /// What is left of it is below this; `None`: all of it.
    pub below: Option<Place>,
}

/// A page of the hard store.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    /// Members.
    pub rows: Vec<Row>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// How full a store is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// |S|.
    pub hard: u64,
    /// As in [`Applied::floor`].
    pub floor: Option<Key>,
    /// Rows reported so far, each once: as in [`Totals`].
    pub reported: u64,
    /// Samples served so far.
    pub served: u64,
}

/// Sizes and costs of a store now.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreStats {
    /// |S|.
    pub hard: u64,
    /// |R| (dense: ids not removed).
    pub background: u64,
    /// N, or its estimate.
    pub distinct: f64,
    /// N by the witnesses, which are never served; 0 in a dense id space, and where a store has none.
    pub distinct_by_witness: u64,
    /// (|H| + |R outside H|/p)/N.
    pub loop_ratio: LoopRatio,
    /// Samples under a lease.
    pub leased: u64,
    /// Bytes held.
    pub memory_bytes: u64,
    /// Background generations so far, of the partition that has had the most.
    pub generations: u64,
    /// As in [`Applied::floor`].
    pub floor: Option<Key>,
    /// What the quarantine holds.
    pub quarantine: QuarantineSizes,
    /// What was done since it was made.
    pub totals: Totals,
}

impl StoreStats {
    /// |R|/N: p, where all partitions have the same.
    #[must_use]
    pub fn background_probability(&self) -> f64 {
        if self.distinct > 0.0 { self.background as f64 / self.distinct } else { 1.0 }
    }
}

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Memory or another resource is not to be had; nothing was applied.
    #[error("the store has no room: {0}")]
    Exhausted(String),
    /// The engine behind the store is not reachable.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

/// Where the samples of one pool live. Async, fallible, batched.
///
/// A draw that names a place that has gone since the census yields `None`: a rejected proposal, not an error.
#[async_trait]
pub trait Store: Quarantine + Send + Sync + 'static {
    /// Applies a batch. Batches take effect in the order of their positions, in every partition. Its counts sum to its rows, those that are
    /// not in it included; of a resend all are `duplicate`.
    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError>;
    /// Whether a batch of this sender was applied, in any partition, or is so old that it is taken for a resend.
    async fn has_applied(&self, sender: &Sender) -> Result<bool, StoreError>;
    /// Counts the buckets and the background.
    async fn census(&self) -> Result<Census, StoreError>;
    /// Reads rows by place; one answer an address.
    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError>;
    /// Reads rows by id, from the hard store, else the background; one answer an id.
    async fn get(&self, ids: &[u64]) -> Result<Vec<Option<Row>>, StoreError>;
    /// The `n` hard rows that come first by key less penalty, then raw score, hash and id; those that rest are left out. About
    /// `scan_limit` rows are read at most.
    async fn top(&self, n: usize, penalty: ServePenalty, scan_limit: usize) -> Result<Vec<Row>, StoreError>;
    /// The places of the samples at these ranks of the hard store, 0 the hardest, resting ones included; `None` past the end. Exact
    /// for a store at rest.
    async fn at_ranks(&self, ranks: &[u64]) -> Result<Vec<Option<Place>>, StoreError>;
    /// A page of about `limit` hard rows. Rows that move meanwhile may be missed or repeated.
    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<ScanPage, StoreError>;
    /// Marks samples as served and returns what goes with them; `None`: refused by `max_serves` or a lease, or gone.
    async fn serve(&self, drawn: &[Drawn], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError>;
    /// What goes with samples, without marking them; `None`: gone.
    async fn attachments(&self, ids: &[u64]) -> Result<Vec<Option<Served>>, StoreError> {
        let look = ServeMark { count: false, max_serves: u16::MAX, lease_until: None };
        self.serve(&Drawn::all(ids, Source::Hard), look).await
    }
    /// Ends the leases that are over by `now_millis` (Unix); a report of a sample ends its lease as well. Removes samples whose stamp is
    /// before `oldest_stamp` (`None`: none), and with each its streak. A few loads where nothing is due.
    async fn expire(&self, now_millis: u64, oldest_stamp: Option<u32>) -> Result<(), StoreError>;
    /// Ends leases before their time; how many there were.
    async fn release(&self, ids: &[u64]) -> Result<u64, StoreError>;
    /// When the leases of ids end; `None` for those that do not rest.
    async fn leases(&self, ids: &[u64]) -> Result<Vec<Option<u64>>, StoreError>;
    /// The rows of the hard store that are of these strata, none of them 0.
    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError>;
    /// The strata that are stored, in order.
    async fn strata(&self) -> Result<Vec<StratumCount>, StoreError>;
    /// Removes samples from everywhere, the quarantine included; returns how many were somewhere, and the position. Streaks and trust are
    /// forgotten; who is blocked stays so.
    async fn remove(&self, ids: &[u64]) -> Result<(u64, u64), StoreError>;
    /// What a call may ask for often: a few loads, no lock.
    async fn level(&self) -> Result<Level, StoreError>;
    /// What was done since it was made.
    async fn totals(&self) -> Result<Totals, StoreError>;
    /// Sizes and costs.
    async fn stats(&self) -> Result<StoreStats, StoreError>;
}
