//! Where samples live: one [`Store`] a pool, behind one trait.
//!
//! A store knows keys, buckets and hashes; it knows nothing of strategies, mixtures or weights, and nothing of
//! the wire. Every call is batched: owned columns in, owned rows out, one lock (or one round trip) per
//! partition. What a store holds of a pool:
//!
//! - the **hard store** S: the `capacity` samples with the highest keys, in buckets of 1/8 octave;
//! - the **background** R: `{id : background_hash(id, salt) < p}`, a uniform sample of all distinct ids (METHODS 6).

pub mod anchored;
pub mod hash;
pub mod key;
pub mod memory;
#[cfg(test)]
pub mod naive;
pub mod partition;
#[cfg(test)]
pub(crate) mod wrapped;

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

use anchored::{AnchorStore, AnchorStoreSpec};
use key::{Hardness, Key};

/// What a store must know of its pool. Validated by the pool.
#[derive(Clone, Debug)]
pub struct StoreSpec {
    /// Samples kept in the hard store, over all shards. 1 ..= 2^31.
    pub capacity: usize,
    /// Shards, 1 ..= 256.
    pub shards: usize,
    /// Where background samples come from.
    pub background: BackgroundSpec,
    /// How a score becomes a key.
    pub hardness: Hardness,
    /// Samples have string keys, kept beside them.
    pub named: bool,
    /// Seeds the background's salts, so that pools differ and tests repeat.
    pub salt_seed: u64,
}

/// Where background samples come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BackgroundSpec {
    /// Bottom-m by hash over all reported ids (METHODS 6, DECISIONS 6).
    Sampled {
        /// m, over all shards. 16 ..= 2^24.
        size: usize,
    },
    /// Every id in 0..ids, reported or not, less what was removed.
    Dense {
        /// 1 ..= 2^40.
        ids: u64,
    },
}

/// What a re-report does to the stored score; part of each batch because a live pool may change it.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum ScoreUpdate {
    /// The new score replaces the old.
    #[default]
    Last,
    /// The harder of the two; key and stamp are those of this report.
    Max,
    /// `weight` x new + (1 - `weight`) x old, then keyed as of this report.
    Ema {
        /// In (0, 1].
        weight: f32,
    },
}

/// When a new background generation starts and takes over (DECISIONS 6); live-changeable, so part of each batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotation {
    /// Rows applied since the serving generation started, after which a new one starts to fill. `u64::MAX`: never.
    pub after_rows: u64,
}

/// A batch of reports: owned columns of equal length, scores finite, ids in range.
#[derive(Clone, Debug, Default)]
pub struct ReportBatch {
    /// Sample ids.
    pub ids: Vec<u64>,
    /// Raw scores, finite.
    pub scores: Vec<f32>,
    /// String keys, one a row, where the pool is `named`; otherwise empty.
    pub names: Vec<Arc<str>>,
    /// One a row, or empty; an empty payload keeps what is stored.
    pub payloads: Vec<Bytes>,
    /// Strata, one a row, or empty: what is stored is kept.
    pub strata: Vec<u32>,
    /// Groups, one a row, or empty: what is stored is kept. 0: none.
    pub groups: Vec<u64>,
    /// D(t) when reported, in key units (DECISIONS 13). At most 2^14 octaves above the highest of earlier batches.
    pub decay_units: u64,
    /// Report time in the pool's clock (the pool chooses the unit), serial arithmetic mod 2^32.
    pub stamp: u32,
    /// A row whose stored stamp is later than `stamp` is `stale` and ignored (step pools).
    pub refuse_stale: bool,
    /// Version of the model that scored the rows.
    pub model_version: u32,
    /// Re-report rule.
    pub update: ScoreUpdate,
    /// Background rotation rule.
    pub rotation: Option<Rotation>,
}

/// What became of the rows of a batch; sums to its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyCounts {
    /// New in the hard store.
    pub inserted: u64,
    /// Known in the hard store, updated.
    pub updated: u64,
    /// Not in the hard store, kept in a background generation.
    pub background_only: u64,
    /// Below the floor and outside the background.
    pub dropped: u64,
    /// An earlier duplicate in the same batch: the last one counts.
    pub coalesced: u64,
    /// Older than what is stored.
    pub stale: u64,
    /// (Not part of the sum.) Entries that harder ones pushed out.
    pub evicted: u64,
    /// (Not part of the sum.) Keys whose log2 weight was clamped.
    pub clamped: u64,
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
    /// Partition (shard).
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

/// The serving background generation as counted.
#[derive(Clone, Debug, PartialEq)]
pub enum BackgroundCount {
    /// R = {id : background_hash(id, salt) < threshold}.
    Sampled {
        /// Salt of the generation.
        salt: u64,
        /// 2^64 x p; `None` while every reported id is in R (p = 1).
        threshold: Option<u64>,
        /// Members per partition; ordinals 0..count address them.
        counts: Vec<u32>,
    },
    /// R = 0..ids less the removed ones; ordinals are the ids themselves, a removed one is a rejected proposal.
    Dense {
        /// The id space.
        ids: u64,
        /// Removed ids in it.
        removed: u64,
    },
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
    /// Those of them that are in the serving background.
    pub leased_background: u64,
    /// Those under a lease that were outside the hard store when it started (dense: 0).
    pub leased_outside: u64,
    /// Those of these that are still in the serving background.
    pub leased_outside_background: u64,
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

/// A sample as stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The sample.
    pub id: u64,
    /// Its key without serve penalty, if it is in the hard store.
    pub hard_key: Option<Key>,
    /// Raw score; NaN for a dense id that was never reported.
    pub score: f32,
    /// Stamp of the last report; `None` for a dense id that was never reported or is not kept.
    pub stamp: Option<u32>,
    /// Model version of the last report.
    pub model_version: u32,
    /// Serves since the last report.
    pub serves: u16,
    /// It rests under a lease.
    pub leased: bool,
    /// Its stratum.
    pub stratum: u32,
    /// Its group; 0: none.
    pub group: u64,
}

impl Row {
    /// A dense id that was never reported.
    #[must_use]
    pub fn unreported(id: u64) -> Self {
        Self {
            id,
            hard_key: None,
            score: f32::NAN,
            stamp: None,
            model_version: 0,
            serves: 0,
            leased: false,
            stratum: 0,
            group: 0,
        }
    }
}

/// Samples of one stratum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StratumCount {
    /// The stratum.
    pub stratum: u32,
    /// Of the hard store.
    pub hard: u64,
    /// Of the serving background, members of the hard store included (dense: 0, it is not known).
    pub background: u64,
}

/// A served sample's attachments and its serve count, this serve included.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// Serves since the last report, this one included unless it was a dry run.
    pub serves: u16,
    /// The string key of a `named` pool.
    pub name: Option<Arc<str>>,
    /// The payload, if any.
    pub payload: Option<Bytes>,
}

/// How to mark served samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServeMark {
    /// Count the serve. False: look only.
    pub count: bool,
    /// Refuse a sample that has been served this often since its last report. `u16::MAX`: no limit.
    pub max_serves: u16,
    /// The sample rests until then, milliseconds of the server's monotonic clock; with `count` only.
    pub lease_until: Option<u64>,
}

/// The penalty on keys of samples that were served since their last report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServePenalty {
    /// Key units per serve; 0: none.
    pub units_per_serve: u32,
    /// At most this many units in all (8 octaves).
    pub units_max: u32,
}

impl ServePenalty {
    /// Units to subtract from a key after `serves` serves.
    #[inline]
    #[must_use]
    pub fn units(&self, serves: u16) -> i64 {
        i64::from((self.units_per_serve.saturating_mul(u32::from(serves))).min(self.units_max))
    }
}

/// A page of the hard store in storage order.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    /// Members.
    pub rows: Vec<Row>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// How full a store is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// |S|.
    pub hard: u64,
    /// As in [`Applied::floor`].
    pub floor: Option<Key>,
}

/// Sizes and costs of a store now.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreStats {
    /// |S|.
    pub hard: u64,
    /// |R| (dense: ids not removed).
    pub background: u64,
    /// p of the serving generation.
    pub background_probability: f64,
    /// Samples under a lease.
    pub leased: u64,
    /// Bytes held.
    pub memory_bytes: u64,
    /// Background generations so far.
    pub generations: u64,
    /// As in [`Applied::floor`].
    pub floor: Option<Key>,
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
    /// A limit of the pool is reached; nothing was applied.
    #[error("{what}")]
    Limit {
        /// What ran out, with its limit.
        what: String,
        /// The limit's name.
        limit: &'static str,
    },
}

/// Where the samples of one pool live. Async, fallible, batched.
///
/// A draw that names a place that has gone since the census yields `None`: a rejected proposal, not an error.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Applies a batch. Batches take effect in the order of their positions, in every shard.
    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError>;
    /// Counts the buckets and the background.
    async fn census(&self) -> Result<Census, StoreError>;
    /// Reads rows by place; one answer an address.
    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError>;
    /// Reads rows by id, from the hard store, else the background; one answer an id.
    async fn get(&self, ids: &[u64]) -> Result<Vec<Option<Row>>, StoreError>;
    /// The `n` hard rows with the highest key less penalty, in descending order of it (ties by id), at most
    /// `scan_limit` rows read.
    async fn top(&self, n: usize, penalty: ServePenalty, scan_limit: usize) -> Result<Vec<Row>, StoreError>;
    /// A page of about `limit` hard rows from `cursor` (0 first). Rows that move meanwhile may be missed or repeated.
    async fn scan(&self, cursor: u64, limit: usize) -> Result<ScanPage, StoreError>;
    /// Marks samples as served and returns what goes with them; `None`: refused by `max_serves` or a lease, or gone.
    async fn serve(&self, ids: &[u64], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError>;
    /// Ends the leases that are over by `now_millis`; a report of a sample ends its lease as well.
    async fn expire(&self, now_millis: u64) -> Result<(), StoreError>;
    /// Ends leases before their time; how many there were.
    async fn release(&self, ids: &[u64]) -> Result<u64, StoreError>;
    /// When the leases of ids end; `None` for those that do not rest.
    async fn leases(&self, ids: &[u64]) -> Result<Vec<Option<u64>>, StoreError>;
    /// The rows of the hard store that are of these strata, none of them 0.
    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError>;
    /// The strata that are stored, in order.
    async fn strata(&self) -> Result<Vec<StratumCount>, StoreError>;
    /// Removes samples from everywhere; returns how many were stored, and the position.
    async fn remove(&self, ids: &[u64]) -> Result<(u64, u64), StoreError>;
    /// What a call may ask for often: a few loads, no lock.
    async fn level(&self) -> Result<Level, StoreError>;
    /// Sizes and costs.
    async fn stats(&self) -> Result<StoreStats, StoreError>;
}

/// Opens the store of a new pool.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Makes an empty store.
    async fn open(&self, spec: &StoreSpec) -> Result<Arc<dyn Store>, StoreError>;
    /// Makes an empty store of anchors.
    async fn open_anchors(&self, spec: &AnchorStoreSpec) -> Result<Arc<dyn AnchorStore>, StoreError>;
}
