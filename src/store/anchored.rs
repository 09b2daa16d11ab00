//! The storage of anchors: each anchored pool has one [`AnchorStore`].
//!
//! Of each anchor it holds the n hardest negatives, the positive scores that margins are measured from, the positives and the vetoes. A
//! positive or a vetoed sample is never among the negatives, and it is never forgotten: if there is no room for such pairs, the store
//! refuses them, and the answer names them. Like the samples of a pool, its anchors are divided into partitions by a hash;
//! `hardneg_partition::anchors` says what a partition holds and does.

use async_trait::async_trait;
use hardneg_partition::Sender;
pub use hardneg_partition::anchors::{
    AnchorCounts, AnchorRow, AnchorRows, AnchorTotals, Margins, Negative, NotNegative, PairLimit, Refusal,
};
use std::sync::Arc;

use super::key::Hardness;
use super::{ScoreUpdate, StoreError, share_of};

/// The settings of a pool that its anchor store needs. The pool has validated them.
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorStoreSpec {
    /// n: the number of negatives kept of each anchor, 1 ..= 1,024.
    pub negatives_per_anchor: usize,
    /// Maximum number of anchors over all partitions, 1 ..= 2^31.
    pub max_anchors: u64,
    /// Maximum number of positives of an anchor.
    pub max_positives_per_anchor: usize,
    /// Maximum number of vetoes of an anchor.
    pub max_vetoes_per_anchor: usize,
    /// Maximum number of positives and vetoes together, over all partitions.
    pub max_pairs: u64,
    /// An anchor with too many negatives evicts those first that fail these margins (docs/methods.md 10.1).
    pub margins: Margins,
    /// Number of partitions, 1 ..= 256.
    pub partitions: usize,
    /// How a score becomes a key.
    pub hardness: Hardness,
    /// Whether negatives have string keys, which the store keeps with them.
    pub named: bool,
    /// Worker processes whose batches each partition remembers, as in [`super::StoreSpec::workers`].
    pub workers: usize,
}

impl AnchorStoreSpec {
    /// Maximum number of anchors of one partition: a share with which the pool has room for all of its `max_anchors`.
    #[must_use]
    pub fn partition_anchors(&self) -> u64 {
        share_of(self.max_anchors, self.partitions)
    }

    /// Maximum number of pairs of one partition. If anchors have very different numbers of pairs, a partition may be full before the pool
    /// has `max_pairs`.
    #[must_use]
    pub fn partition_pairs(&self) -> u64 {
        share_of(self.max_pairs, self.partitions)
    }
}

/// A batch of reports as owned columns of equal length. Scores are finite: the caller leaves out the other rows and counts them in
/// `non_finite` and `out_of_range`.
#[derive(Clone, Debug, Default)]
pub struct AnchorBatch {
    /// The anchor of each row.
    pub anchors: Vec<u64>,
    /// The sample of each row, reported as a negative of its anchor.
    pub ids: Vec<u64>,
    /// Raw scores, finite.
    pub scores: Vec<f32>,
    /// Positive scores of the anchors, one per row or empty; NaN: the row has none.
    pub positive_scores: Vec<f32>,
    /// Groups of near-duplicates, one per row or empty; 0: no group.
    pub groups: Vec<u64>,
    /// Labels of the negatives, one per row or empty; 0: no label.
    pub labels: Vec<u32>,
    /// Labels of the anchors, one per row or empty; 0: no label.
    pub anchor_labels: Vec<u32>,
    /// String keys of the negatives, one per row, if the pool is `named`; otherwise empty.
    pub names: Vec<Arc<str>>,
    /// D(t) at the time of the report, in key units (docs/methods.md 2.2); at most [`super::key::ADVANCE_MAX_UNITS`] above the highest of
    /// earlier batches.
    pub decay_units: u64,
    /// Time of the report by the pool's clock, in milliseconds or ticks, modulo 2^32: stamps are compared by serial arithmetic.
    pub stamp: u32,
    /// Whether a row is ignored and counted as `stale` if its negative was stored with a later stamp (pools that age by steps).
    pub refuse_stale: bool,
    /// Version of the model that scored the rows.
    pub model_version: u32,
    /// How the new score of a stored negative of an anchor is combined with the stored score.
    pub update: ScoreUpdate,
    /// Rows that were left out of the columns because their score is not finite. They count with the others, and once only if the batch is
    /// resent.
    pub non_finite: u64,
    /// Rows that were left out of the columns because their id is outside the dense id space.
    pub out_of_range: u64,
    /// The worker process that sent the batch, and the sequence of the batch. A partition that has applied it already counts its rows as
    /// `duplicate`. `None`: the sender never resends.
    pub sender: Option<Sender>,
}

/// The outcome of [`AnchorStore::apply`].
#[derive(Clone, Debug, Default)]
pub struct AnchorApplied {
    /// Numbers of rows by outcome, including the rows that were left out of the columns.
    pub counts: AnchorCounts,
    /// Rows of the batch whose samples are negatives of their anchors, whether they were kept or too easy, in no order. A partition that
    /// had applied the batch before does not know any more which rows these were: then all of its rows are in the list.
    pub negatives: Vec<u32>,
    /// Rows of the batch that count as `too_easy`, in no order.
    pub too_easy: Vec<u32>,
    /// Position of the batch in the order of operations of the anchors, from 1.
    pub position: u64,
}

/// Pairs of an anchor and a sample that is no negative of it, as owned columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// The anchor of each row.
    pub anchors: Vec<u64>,
    /// The sample of each row.
    pub ids: Vec<u64>,
    /// Scores of positives, one per row or empty; NaN: the row has none, and a score that was reported before stays. Vetoes have none.
    pub scores: Vec<f32>,
    /// Time of the call by the pool's clock, as [`AnchorBatch::stamp`].
    pub stamp: u32,
    /// Version of the model that computed the scores.
    pub model_version: u32,
}

/// The outcome of [`AnchorStore::mark`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Pairs that were new.
    pub added: u64,
    /// Stored negatives that were removed because they are no negatives.
    pub removed: u64,
    /// Rows that were refused, in order. Nothing of them is stored.
    pub refused: Vec<u32>,
    /// The reasons, in order of their rows: for each partition that refused its rows, the limits that it would have exceeded.
    pub refusals: Vec<Refusal>,
    /// Position of the call in the order of operations of the anchors, from 1.
    pub position: u64,
}

/// Current sizes of an anchor store, its memory and its counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorStoreStats {
    /// Number of anchors.
    pub anchors: u64,
    /// Number of negatives, over all anchors.
    pub negatives: u64,
    /// Number of positives, over all anchors.
    pub positives: u64,
    /// Number of vetoes, over all anchors.
    pub vetoes: u64,
    /// Bytes held.
    pub memory_bytes: u64,
    /// Counters since the store was created.
    pub totals: AnchorTotals,
}

/// The store of the anchors of one pool. Like those of [`super::Store`], calls are asynchronous and batched, and they may fail.
#[async_trait]
pub trait AnchorStore: Send + Sync + 'static {
    /// Applies a batch. Operations take effect in the order of their positions, in every partition.
    async fn apply(&self, batch: AnchorBatch) -> Result<AnchorApplied, StoreError>;
    /// Whether any partition has applied this batch of this sender, or the batch is so old that it is taken for a resend.
    async fn has_applied(&self, sender: &Sender) -> Result<bool, StoreError>;
    /// Stores pairs as positives or vetoes, and removes their samples from the negatives. Each partition takes all of its pairs, or none if
    /// an anchor would then have too many, or the partition too many anchors or pairs. An anchor need not have reports.
    async fn mark(&self, pairs: Pairs, why: NotNegative) -> Result<Marked, StoreError>;
    /// Reads the negatives, positives and vetoes of anchors.
    async fn fetch(&self, anchors: &[u64]) -> Result<AnchorRows, StoreError>;
    /// Removes ids from the negatives of every anchor; returns the ids that were negatives, and the position.
    async fn remove(&self, ids: &[u64]) -> Result<(Vec<u64>, u64), StoreError>;
    /// Forgets everything that reports stored; returns how many negatives were removed, over all anchors, and the position. Positives with
    /// their scores, vetoes, and the anchors that have any of these stay. The partitions still remember which batches they have applied.
    async fn clear(&self) -> Result<(u64, u64), StoreError>;
    /// Counters since the store was created, summed over the partitions.
    async fn totals(&self) -> Result<AnchorTotals, StoreError>;
    /// About `n` negatives for people to look at: those of anchors that are drawn uniformly with replacement.
    async fn sample(&self, n: usize) -> Result<Vec<Negative>, StoreError>;
    /// Current sizes, memory and counters.
    async fn stats(&self) -> Result<AnchorStoreStats, StoreError>;
}
