//! Where the negatives of anchors live: an [`AnchorStore`] an anchored pool, behind one trait.
//!
//! Of each anchor it holds the n negatives with the highest places, the positive scores that margins are measured from, its known
//! positives and its vetoes. What is known to be no negative is never among the negatives, and never forgotten: where there is no room
//! for it the pairs are refused, and the answer names them. Like the samples of a pool its anchors are in partitions, by the anchor's
//! hash; what a partition is and does is `hardneg_partition::anchors`.

use async_trait::async_trait;
use hardneg_partition::Sender;
pub use hardneg_partition::anchors::{
    AnchorCounts, AnchorRow, AnchorRows, AnchorTotals, Margins, Negative, NotNegative, PairLimit, Refusal,
};
use std::sync::Arc;

use super::key::Hardness;
use super::{ScoreUpdate, StoreError, share_of};

/// What an anchor store must know of its pool. Validated by the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorStoreSpec {
    /// n: negatives kept of each anchor, 1 ..= 1,024.
    pub negatives_per_anchor: usize,
    /// Anchors over all partitions, 1 ..= 2^31.
    pub max_anchors: u64,
    /// Known positives remembered of an anchor.
    pub max_positives_per_anchor: usize,
    /// Vetoes remembered of an anchor.
    pub max_vetoes_per_anchor: usize,
    /// Known positives and vetoes over all partitions.
    pub max_pairs: u64,
    /// Of an anchor with too many negatives those that fail these go first (docs/methods.md 10.1).
    pub margins: Margins,
    /// Partitions, 1 ..= 256.
    pub partitions: usize,
    /// How a score becomes a key.
    pub hardness: Hardness,
    /// Negatives have string keys, kept beside them.
    pub named: bool,
    /// Processes of workers whose batches are remembered, as [`super::StoreSpec::workers`].
    pub workers: usize,
}

impl AnchorStoreSpec {
    /// Anchors that one partition may have: its share, so that the pool has room for every one of its `max_anchors`.
    #[must_use]
    pub fn partition_anchors(&self) -> u64 {
        share_of(self.max_anchors, self.partitions)
    }

    /// Pairs that one partition may have. Where anchors have very different numbers of pairs, one may be full before the pool is.
    #[must_use]
    pub fn partition_pairs(&self) -> u64 {
        share_of(self.max_pairs, self.partitions)
    }
}

/// A batch of reports: owned columns of equal length, scores finite.
#[derive(Clone, Debug, Default)]
pub struct AnchorBatch {
    /// The anchor of each row.
    pub anchors: Vec<u64>,
    /// Negatives.
    pub ids: Vec<u64>,
    /// Raw scores, finite.
    pub scores: Vec<f32>,
    /// The anchors' positive scores, one a row or empty; NaN: none.
    pub positive_scores: Vec<f32>,
    /// Groups of near-duplicates, one a row or empty; 0: none.
    pub groups: Vec<u64>,
    /// Labels of the negatives, one a row or empty; 0: none.
    pub labels: Vec<u32>,
    /// Labels of the anchors, one a row or empty; 0: none.
    pub anchor_labels: Vec<u32>,
    /// String keys, one a row, where the pool is `named`; otherwise empty.
    pub names: Vec<Arc<str>>,
    /// D(t) when reported, in key units (docs/methods.md 2.2). At most [`super::key::ADVANCE_MAX_UNITS`] above the highest of earlier
    /// batches.
    pub decay_units: u64,
    /// Report time in the pool's clock, serial arithmetic mod 2^32.
    pub stamp: u32,
    /// A row whose stored stamp is later than `stamp` is `stale` and ignored (step pools).
    pub refuse_stale: bool,
    /// Version of the model that scored the rows.
    pub model_version: u32,
    /// Re-report rule, of each negative of each anchor.
    pub update: ScoreUpdate,
    /// Rows without a finite score, which are not in the columns: they count with the others, once where the batch is resent.
    pub non_finite: u64,
    /// Rows outside a dense id space, which are not in the columns.
    pub out_of_range: u64,
    /// Who sent it: each partition that has applied it counts its rows as `duplicate`. `None`: nobody who sends again.
    pub sender: Option<Sender>,
}

/// The outcome of [`AnchorStore::apply`].
#[derive(Clone, Debug, Default)]
pub struct AnchorApplied {
    /// What became of the rows, those outside the columns too.
    pub counts: AnchorCounts,
    /// Rows of the batch whose samples are negatives, whether they were kept or too easy, in no order. Of a partition that had applied
    /// the batch before it is not known any more which were: all of its rows are here.
    pub negatives: Vec<u32>,
    /// Rows of the batch that were counted as too easy, in no order.
    pub too_easy: Vec<u32>,
    /// Place in the pool's order of changes, from 1.
    pub position: u64,
}

/// Pairs of an anchor and what is no negative of it: owned columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// The anchor of each row.
    pub anchors: Vec<u64>,
    /// The sample of each row.
    pub ids: Vec<u64>,
    /// Positives only: their scores, one a row or empty; NaN: none, and what was told before stays.
    pub scores: Vec<f32>,
    /// The pool's clock.
    pub stamp: u32,
    /// Version of the model that computed the scores.
    pub model_version: u32,
}

/// The outcome of [`AnchorStore::mark`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Pairs that were not known before.
    pub added: u64,
    /// Stored negatives that went.
    pub removed: u64,
    /// Rows of which nothing was remembered, in order.
    pub refused: Vec<u32>,
    /// Why, in order of their rows: the limits that each partition that refused its rows would have gone over.
    pub refusals: Vec<Refusal>,
    /// Place in the pool's order of changes, from 1.
    pub position: u64,
}

/// Sizes of an anchor store now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorStoreStats {
    /// Anchors.
    pub anchors: u64,
    /// Negatives of all anchors.
    pub negatives: u64,
    /// Known positives of all anchors.
    pub positives: u64,
    /// Vetoes of all anchors.
    pub vetoes: u64,
    /// Bytes held.
    pub memory_bytes: u64,
    /// What the partitions have done since they were made.
    pub totals: AnchorTotals,
}

/// Where the anchors of one pool live. Async, fallible, batched, like [`super::Store`].
#[async_trait]
pub trait AnchorStore: Send + Sync + 'static {
    /// Applies a batch. Changes take effect in the order of their positions, in every partition.
    async fn apply(&self, batch: AnchorBatch) -> Result<AnchorApplied, StoreError>;
    /// Whether a partition has applied a batch, or it is too old to tell.
    async fn has_applied(&self, sender: &Sender) -> Result<bool, StoreError>;
    /// Remembers what is no negative, and takes it out of the negatives: in each partition all of its pairs, or none where one of its
    /// anchors would have too many, or there would be too many anchors or pairs. Anchors without reports may be named.
    async fn mark(&self, pairs: Pairs, why: NotNegative) -> Result<Marked, StoreError>;
    /// Reads what is stored of anchors.
    async fn fetch(&self, anchors: &[u64]) -> Result<AnchorRows, StoreError>;
    /// Removes ids from the negatives of every anchor; those that were any, and the position.
    async fn remove(&self, ids: &[u64]) -> Result<(Vec<u64>, u64), StoreError>;
    /// Forgets all that reports told: how many negatives went, of all anchors, and the position. Known positives with their scores, and
    /// vetoes, stay; so do the anchors that have any, and it stays known which batches were applied.
    async fn clear(&self) -> Result<(u64, u64), StoreError>;
    /// What the partitions have done since they were made, together.
    async fn totals(&self) -> Result<AnchorTotals, StoreError>;
    /// About `n` negatives of anchors drawn uniformly with replacement: a look for people.
    async fn sample(&self, n: usize) -> Result<Vec<Negative>, StoreError>;
    /// Sizes and costs.
    async fn stats(&self) -> Result<AnchorStoreStats, StoreError>;
}
