//! The storage of samples: each pool has one [`Store`].
//!
//! A pool is divided into partitions by the hash of the id; the crate `hardneg-partition` says what a partition holds and does. A store
//! hosts the partitions of a pool. It knows nothing of strategies, mixtures or weights, nor of the wire format. Every call is batched: it
//! takes owned columns and returns owned rows, with one lock (or one round trip) per partition. Of each pool a store holds:
//!
//! - the **hard store** S: the `capacity` hardest samples, and a few more, because the partitions have room to spare;
//! - the **background** R: a uniform sample of all distinct ids of each partition. Each partition has its own p, the probability that an id
//!   is in the sample (docs/methods.md 4.1).

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

pub use hardneg_partition::row::{Offsets, Row, Served, Span, StratumCount};
pub use hardneg_partition::{
    ApplyCounts, BackgroundSpec, Drawn, ScoreUpdate, Sender, ServeMark, ServePenalty, Source, Totals,
    WORN_UNTIL, hash, id_map, key, place,
};

pub use engine::Engine;
use hash::{background_hash, placement_hash};
use key::{Hardness, Key};
use layout::partition_of;
pub use loop_ratio::LoopRatio;
use place::{Place, Standing};
use quarantine::{Quarantine, QuarantineSizes, QuarantineTerms};

/// The settings of a pool that its store needs. The pool has validated them.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSpec {
    /// Samples that the hard store keeps at least, over all partitions: 1 ..= 2^31.
    pub capacity: usize,
    /// Number of partitions, 1 ..= 256.
    pub partitions: usize,
    /// Whether the background is a sample of the reported ids or a dense id space, and its size.
    pub background: BackgroundSpec,
    /// How a score becomes a key.
    pub hardness: Hardness,
    /// Whether samples have string keys, which the store keeps with them.
    pub named: bool,
    /// Seed of the background's salts. Each pool gets its own; tests fix it so that they repeat.
    pub salt_seed: u64,
    /// Worker processes whose batches each partition remembers, so that it recognises resends. The partitions together remember at most
    /// [`WORKERS_MAX`], even if this asks for more.
    pub workers: usize,
}

/// Worker processes that the partitions of a pool remember together; a process counts once in each partition.
pub const WORKERS_MAX: usize = 1 << 20;

impl StoreSpec {
    /// Samples that one partition keeps: an even share of the capacity plus six standard deviations of the number that hashing assigns to
    /// it, so that the pool holds all of its `capacity` hardest samples.
    #[must_use]
    pub fn partition_capacity(&self) -> usize {
        share_of(self.capacity as u64, self.partitions) as usize
    }
}

/// The part of `capacity` that each partition needs room for: an even share plus six standard deviations of what hashing assigns to it.
/// With that it is practically certain that no partition is too small for its part.
fn share_of(capacity: u64, partitions: usize) -> u64 {
    let even = capacity.div_ceil(partitions as u64);
    if partitions == 1 { even } else { even + (6.0 * (even as f64).sqrt()) as u64 }
}

/// A batch of reports as owned columns of equal length. Rows without a finite score and rows outside a dense id space are not in the
/// columns: the caller leaves them out and counts them in `non_finite` and `out_of_range`.
#[derive(Clone, Debug, Default)]
pub struct ReportBatch {
    /// Sample ids.
    pub ids: Vec<u64>,
    /// Raw scores, finite.
    pub scores: Vec<f32>,
    /// The scores as reported, if they differ from `scores` because a reference score was subtracted; otherwise empty. The quarantine
    /// compares these with its threshold.
    pub raw_scores: Vec<f32>,
    /// String keys, one per row, if the pool is `named`; otherwise empty.
    pub names: Vec<Arc<str>>,
    /// Payloads, one per row, or empty. A row with an empty payload keeps the stored one.
    pub payloads: Vec<Bytes>,
    /// Strata, one per row, or empty: then the stored ones are kept.
    pub strata: Vec<u32>,
    /// Groups, one per row, or empty: then the stored ones are kept. 0 means no group.
    pub groups: Vec<u64>,
    /// D(t) at the time of the report, in key units (docs/methods.md 2.2); at most [`key::ADVANCE_MAX_UNITS`] above the highest of earlier
    /// batches.
    pub decay_units: u64,
    /// Time of the report by the pool's clock, in milliseconds or ticks (the pool chooses), modulo 2^32: stamps are compared by serial
    /// arithmetic.
    pub stamp: u32,
    /// Whether a row is ignored and counted as `stale` if its sample was stored with a later stamp (pools that age by steps).
    pub refuse_stale: bool,
    /// Version of the model that scored the rows.
    pub model_version: u32,
    /// How the new score of a stored sample is combined with the stored score.
    pub update: ScoreUpdate,
    /// Rows, over all partitions, after which the next generation of the background begins; `None`: never.
    pub renew_after_rows: Option<u64>,
    /// The worker process that sent the batch, and the sequence of the batch. A partition that has applied it already counts its rows as
    /// `duplicate`. `None`: the sender never resends.
    pub sender: Option<Sender>,
    /// When a row sets its sample aside; `capacity` is that of the whole pool, as in [`quarantine::SetAside::capacity`]. `None`: no row
    /// does, and the partitions forget their streaks.
    pub quarantine: Option<QuarantineTerms>,
    /// The oldest stamp that has not expired. Samples with older stamps are removed before the batch is applied; if `stamp` itself is
    /// older, all rows of the batch are `stale`. `None`: samples never expire.
    pub oldest_stamp: Option<u32>,
    /// Rows that were left out of the columns because their score is not finite.
    pub non_finite: u64,
    /// Rows that were left out of the columns because their id is outside the dense id space.
    pub out_of_range: u64,
}

/// The outcome of [`Store::apply`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Applied {
    /// Numbers of rows by outcome.
    pub counts: ApplyCounts,
    /// Lowest key that the full hard store admits; `None` while a partition has room.
    pub floor: Option<Key>,
    /// Position of this batch in the order of operations of the pool, from 1.
    pub position: u64,
}

/// One occupied bucket of the census: the samples in a part of the key range of one partition. Ordinals from 0 address its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketCount {
    /// Number of the partition.
    pub partition: u16,
    /// Opaque handle of the bucket within its partition.
    pub bucket: u32,
    /// Lowest key that a member may have.
    pub low: Key,
    /// Highest key that a member may have, inclusive.
    pub high: Key,
    /// Members that are not under a lease: ordinals 0..count.
    pub count: u32,
    /// Members that rest: ordinals count..count + resting.
    pub resting: u32,
    /// The offsets of the keys of the members that do not rest above `low`.
    pub offsets: Offsets,
}

impl BucketCount {
    /// Number of members, resting ones included.
    #[must_use]
    pub fn members(&self) -> u32 {
        self.count + self.resting
    }
}

/// Counts of one partition: those of its serving background, and those that the estimates need besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionBackground {
    /// Salt of the serving generation.
    pub salt: u64,
    /// 2^64 x p; `None` while every reported id is a member (p = 1).
    pub threshold: Option<u64>,
    /// Members; ordinals 0..members address them.
    pub members: u64,
    /// Members that rest: under a lease, or served `max_serves` times.
    pub resting_members: u64,
    /// Samples in the hard store of the partition.
    pub hard: u64,
    /// Samples of the partition that rest.
    pub leased: u64,
    /// The part of `leased` that did not stand for themselves when they began to rest: they were outside the hard store, or would have been
    /// by their own keys.
    pub resting_outside: u64,
    /// The part of `resting_outside` that are still members.
    pub resting_outside_members: u64,
    /// Members that are in the hard store.
    pub in_hard: u64,
    /// The part of `in_hard` that stand for themselves: they have an own key ([`Row::own_key`]).
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

    /// The number of distinct ids of this partition: exact while p is 1, otherwise the estimate |R_s|/p_s.
    #[must_use]
    pub fn distinct(&self) -> f64 {
        self.members as f64 / self.probability()
    }

    /// |H_0|: the number of samples that stand for themselves, which are those of the hard store without the members that by their own keys
    /// would not be in it (docs/methods.md 4.3).
    #[must_use]
    pub fn standing(&self) -> u64 {
        (self.hard + self.own).saturating_sub(self.in_hard)
    }
}

/// Counts of the serving background of a pool.
#[derive(Clone, Debug, PartialEq)]
pub enum BackgroundCount {
    /// A sample of the ids of each partition: {id : background_hash(id, salt) < threshold}.
    Sampled(Vec<PartitionBackground>),
    /// A dense id space: R is 0..ids without the removed ids. Ordinals are the ids themselves; the draw of a removed id is a rejected
    /// proposal.
    Dense {
        /// Size of the id space.
        ids: u64,
        /// Ids of the space that were removed.
        removed: u64,
    },
}

impl BackgroundCount {
    /// |R|: the number of members.
    #[must_use]
    pub fn members(&self) -> u64 {
        match self {
            Self::Sampled(partitions) => partitions.iter().map(|partition| partition.members).sum(),
            Self::Dense { ids, removed } => ids.saturating_sub(*removed),
        }
    }

    /// N: the number of distinct ids, or the estimate of it, the sum of |R_s|/p_s (docs/methods.md 4.1). The reciprocal of the estimate is
    /// biased by about 1/|R|.
    #[must_use]
    pub fn distinct(&self) -> f64 {
        match self {
            Self::Sampled(partitions) => partitions.iter().map(PartitionBackground::distinct).sum(),
            Self::Dense { .. } => self.members() as f64,
        }
    }

    /// How far the counts show that H depends on R. For a dense id space the ratio is 1, because there it does not matter.
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

/// The bucket histogram of a store, with the counts of its background. Exact if no operation runs while it is taken.
#[derive(Clone, Debug)]
pub struct Census {
    /// Occupied buckets of all partitions; those of one partition are in descending order of `high`.
    pub buckets: Vec<BucketCount>,
    /// |S|: samples in the hard store, resting ones included.
    pub hard: u64,
    /// Samples that rest, in the hard store or not: those under a lease, and those served `max_serves` times.
    pub leased: u64,
    /// Counts of the background.
    pub background: BackgroundCount,
    /// As in [`Applied::floor`].
    pub floor: Option<Key>,
}

/// The address of one sample, made from a census.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// The `ordinal`-th member of a bucket.
    Hard {
        /// Number of the partition, from the census.
        partition: u16,
        /// Handle of the bucket, from the census.
        bucket: u32,
        /// 0..count; count..members() for resting members.
        ordinal: u32,
    },
    /// The `ordinal`-th background member of a partition. For a dense id space, `partition` is 0 and `ordinal` is the id itself.
    Background {
        /// Number of the partition.
        partition: u16,
        /// 0..members of the partition; for a dense id space 0..ids.
        ordinal: u64,
    },
}

/// One of the hardest samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headed {
    /// What ranks the sample. Samples of equal standing are ties.
    pub standing: Standing,
    /// Its address; `None`: it rests.
    pub address: Option<Address>,
}

/// The position of a scan of the hard store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Number of the partition that is read next.
    pub partition: u16,
    /// The scan has still to read the samples of that partition below this place; `None`: all of them.
    pub below: Option<Place>,
}

/// A page of the hard store.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    /// The samples of the page.
    pub rows: Vec<Row>,
    /// The cursor of the next page; `None`: this page is the last.
    pub next: Option<Cursor>,
}

/// Sizes and counters of a store that are read without a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// |S|: samples in the hard store.
    pub hard: u64,
    /// As in [`Applied::floor`].
    pub floor: Option<Key>,
    /// Rows reported so far, without those of resends, as in [`Totals`].
    pub reported: u64,
    /// Samples served so far.
    pub served: u64,
}

/// Current sizes of a store, its memory and its counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreStats {
    /// |S|: samples in the hard store.
    pub hard: u64,
    /// |R|: members of the background; for a dense id space, the ids that were not removed.
    pub background: u64,
    /// N: the number of distinct ids, or the estimate of it.
    pub distinct: f64,
    /// N estimated from the witnesses, which no draw reads (docs/methods.md 4.2); 0 for a dense id space, and in a store that has none.
    pub distinct_by_witness: u64,
    /// The closed-loop ratio (|H| + |R outside H|/p)/N (docs/methods.md 4.3).
    pub loop_ratio: LoopRatio,
    /// Samples under a lease.
    pub leased: u64,
    /// Samples that were served `max_serves` times, and rest until they are reported.
    pub worn: u64,
    /// Bytes held.
    pub memory_bytes: u64,
    /// Background generations so far, in the partition that has had the most.
    pub generations: u64,
    /// As in [`Applied::floor`].
    pub floor: Option<Key>,
    /// Sizes of the quarantine.
    pub quarantine: QuarantineSizes,
    /// Counters since the store was created.
    pub totals: Totals,
}

impl StoreStats {
    /// |R|/N. It is p if all partitions have the same p.
    #[must_use]
    pub fn background_probability(&self) -> f64 {
        if self.distinct > 0.0 { self.background as f64 / self.distinct } else { 1.0 }
    }
}

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Memory or another resource is exhausted; nothing was applied.
    #[error("the store has no room: {0}")]
    Exhausted(String),
    /// The engine behind the store is not reachable.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

/// The store of the samples of one pool. Calls are asynchronous and batched, and they may fail.
///
/// An [`Address`] whose sample has gone since the census yields `None`. A draw takes that as a rejected proposal, not as an error.
#[async_trait]
pub trait Store: Quarantine + Send + Sync + 'static {
    /// Applies a batch. Batches take effect in the order of their positions, in every partition. The counts sum to the rows of the batch,
    /// including those that were left out of the columns; all rows of a resend are `duplicate`.
    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError>;
    /// Whether any partition has applied this batch of this sender, or the batch is so old that it is taken for a resend.
    async fn has_applied(&self, sender: &Sender) -> Result<bool, StoreError>;
    /// Counts the buckets and the background.
    async fn census(&self) -> Result<Census, StoreError>;
    /// Reads rows by address; one answer per address.
    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError>;
    /// Reads rows by id, from the hard store or else from the background; one answer per id.
    async fn get(&self, ids: &[u64]) -> Result<Vec<Option<Row>>, StoreError>;
    /// The first `n` rows of the hard store in order of key less serve penalty, then raw score, hash and id, without resting samples. It
    /// reads at most about `scan_limit` rows.
    async fn top(&self, n: usize, penalty: ServePenalty, scan_limit: usize) -> Result<Vec<Row>, StoreError>;
    /// About the `n` hardest samples of the hard store, resting ones included, the hardest first. Every other sample has a lower standing than
    /// all of them. Exact if no operation runs meanwhile.
    async fn head(&self, n: usize) -> Result<Vec<Headed>, StoreError>;
    /// The places of the samples at these ranks of the hard store. Rank 0 is the hardest sample, and resting samples have ranks too; `None`
    /// past the end. Exact if no operation runs meanwhile.
    async fn at_ranks(&self, ranks: &[u64]) -> Result<Vec<Option<Place>>, StoreError>;
    /// Reads a page of about `limit` rows of the hard store. A scan may miss or repeat rows that move between its pages.
    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<ScanPage, StoreError>;
    /// Marks samples as served, and returns their serve counts, names and payloads. `None`: the sample rests, or is not stored any more.
    async fn serve(&self, drawn: &[Drawn], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError>;
    /// Serve counts, names and payloads of samples, without marking them; `None`: the sample is not stored.
    async fn attachments(&self, ids: &[u64]) -> Result<Vec<Option<Served>>, StoreError> {
        let look = ServeMark { count: false, max_serves: u16::MAX, lease_until: None };
        self.serve(&Drawn::all(ids, Source::Hard), look).await
    }
    /// Ends the leases that are over at `now_millis` (Unix time); a report of a sample ends its lease as well. Removes the samples whose
    /// stamp is before `oldest_stamp` (`None`: none), with their streaks. Costs a few atomic loads if nothing is due.
    async fn expire(&self, now_millis: u64, oldest_stamp: Option<u32>) -> Result<(), StoreError>;
    /// Ends leases early; returns how many there were.
    async fn release(&self, ids: &[u64]) -> Result<u64, StoreError>;
    /// The ends of the leases of ids, in Unix milliseconds; `None` for an id without a lease.
    async fn leases(&self, ids: &[u64]) -> Result<Vec<Option<u64>>, StoreError>;
    /// The rows of the hard store in these strata. No stratum of the argument may be 0.
    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError>;
    /// The number of samples of each stratum that is stored, in order of stratum; of the first `most` and one more, if there are so many.
    async fn strata(&self, most: usize) -> Result<Vec<StratumCount>, StoreError>;
    /// Removes samples from the hard store, the background and the quarantine; returns how many were in one of them, and the position.
    /// Their streaks and trust are forgotten; blocked ids stay blocked.
    async fn remove(&self, ids: &[u64]) -> Result<(u64, u64), StoreError>;
    /// Sizes and counters that every call may read: a few atomic loads, no lock.
    async fn level(&self) -> Result<Level, StoreError>;
    /// Counters since the store was created.
    async fn totals(&self) -> Result<Totals, StoreError>;
    /// Current sizes, memory and counters.
    async fn stats(&self) -> Result<StoreStats, StoreError>;
}
