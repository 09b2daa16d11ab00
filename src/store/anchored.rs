//! Where the negatives of anchors live: an [`AnchorStore`] an anchored pool, behind one trait.
//!
//! Of each anchor it holds the n negatives with the highest keys, the positive score that margins are measured from, its
//! known positives and its vetoes. What is known to be no negative is never among the negatives, and never forgotten:
//! where there is no room for it the call that names it is refused.

use async_trait::async_trait;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::key::{Hardness, Key};
use super::place::Place;
use super::{ScoreUpdate, StoreError};

/// What an anchor store must know of its pool. Validated by the pool.
#[derive(Clone, Debug)]
pub struct AnchorStoreSpec {
    /// n: negatives kept of each anchor, 1 ..= 1,024.
    pub negatives_per_anchor: usize,
    /// Anchors over all shards.
    pub max_anchors: u64,
    /// Known positives remembered of an anchor.
    pub max_positives_per_anchor: usize,
    /// Vetoes remembered of an anchor.
    pub max_vetoes_per_anchor: usize,
    /// Of an anchor with too many negatives those that fail these go first (DECISIONS 22).
    pub margins: Margins,
    /// Shards, 1 ..= 256.
    pub shards: usize,
    /// How a score becomes a key.
    pub hardness: Hardness,
    /// Negatives have string keys, kept beside them.
    pub named: bool,
}

/// How far below the positive's score a negative's must be (de Souza P. Moreira et al. 2024, NV-Retriever; the parameter names and
/// the bounds of sentence-transformers' `mine_hard_negatives`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Margins {
    /// s_n <= s_p - margin; with distances d_n >= d_p + margin. Finite and >= 0.
    pub absolute: Option<f32>,
    /// s_n <= s_p - |s_p| margin; with distances d_n >= d_p + |d_p| margin. Finite and >= 0.
    pub relative: Option<f32>,
}

impl Margins {
    /// Whether there is any.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.absolute.is_some() || self.relative.is_some()
    }

    /// Whether a negative of this score is far enough below `positive`; where that is not known (NaN), every one is. Computed in
    /// double precision, in which the sum of two floats of like size is exact.
    #[must_use]
    pub fn admit(&self, lower_is_harder: bool, positive: f32, score: f32) -> bool {
        if positive.is_nan() {
            return true;
        }
        let (positive, score) = (f64::from(positive), f64::from(score));
        let below = |margin: f64| {
            if lower_is_harder { score >= positive + margin } else { score <= positive - margin }
        };
        self.absolute.is_none_or(|margin| below(margin.into()))
            && self.relative.is_none_or(|margin| below(positive.abs() * f64::from(margin)))
    }
}

/// Of two positive scores of an anchor the one that margins are measured from: that of the positive which is least like the
/// anchor. NaN: none.
#[must_use]
pub fn least_alike(lower_is_harder: bool, a: f32, b: f32) -> f32 {
    // `min` and `max` pass a NaN by.
    if lower_is_harder { a.max(b) } else { a.min(b) }
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
    /// String keys, one a row, where the pool is `named`; otherwise empty.
    pub names: Vec<Arc<str>>,
    /// D(t) when reported, in key units (DECISIONS 13).
    pub decay_units: u64,
    /// Report time in the pool's clock, serial arithmetic mod 2^32.
    pub stamp: u32,
    /// A row whose stored stamp is later than `stamp` is `stale` and ignored (step pools).
    pub refuse_stale: bool,
    /// Version of the model that scored the rows.
    pub model_version: u32,
    /// Re-report rule, of each negative of each anchor.
    pub update: ScoreUpdate,
}

/// What became of the rows of a batch; sums to its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorCounts {
    /// New among the negatives of their anchor.
    pub inserted: u64,
    /// Known and updated.
    pub updated: u64,
    /// Easier than all that their anchor keeps.
    pub too_easy: u64,
    /// Older than what is stored.
    pub stale: u64,
    /// A later row of the batch has the same anchor and id.
    pub coalesced: u64,
    /// Of anchors beyond `max_anchors`.
    pub anchor_limit: u64,
    /// Known positives or vetoed for their anchor.
    pub not_negative: u64,
    /// (Not part of the sum.) Negatives that harder ones pushed out.
    pub evicted: u64,
    /// (Not part of the sum.) Keys whose log2 weight was clamped.
    pub clamped: u64,
}

/// The outcome of [`AnchorStore::apply`].
#[derive(Clone, Debug, Default)]
pub struct AnchorApplied {
    /// What became of the rows.
    pub counts: AnchorCounts,
    /// Rows of the batch that are negatives and are kept, in no order.
    pub kept: Vec<u32>,
    /// Rows of the batch that are negatives but too easy, in no order.
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
    /// Positives only: their scores, one a row or empty; NaN: none.
    pub scores: Vec<f32>,
    /// The pool's clock.
    pub stamp: u32,
}

/// Why a sample is no negative of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNegative {
    /// A known positive.
    Positive,
    /// Vetoed.
    Vetoed,
}

/// The outcome of [`AnchorStore::mark`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// Pairs that were not known before.
    pub added: u64,
    /// Stored negatives that went.
    pub removed: u64,
    /// Place in the pool's order of changes, from 1.
    pub position: u64,
}

/// A negative of an anchor as stored: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Negative {
    /// The sample.
    pub id: u64,
    /// Raw score.
    pub score: f32,
    /// Its key.
    pub key: Key,
    /// Stamp of its report.
    pub stamp: u32,
    /// Version of the model that scored it.
    pub model_version: u32,
}

impl Negative {
    /// The order of an anchor's negatives, the hardest first: that of [`Place`], as everywhere.
    #[must_use]
    pub fn hardest_first(&self, other: &Self, lower_is_harder: bool) -> Ordering {
        let place = |n: &Self| Place::of(n.key, n.score, n.id, lower_is_harder);
        // Hashes are needed only where keys are equal.
        other.key.serial_cmp(self.key).then_with(|| place(other).compare(&place(self)))
    }
}

/// What is stored of one anchor, as places in the columns of [`AnchorRows`].
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorRow {
    /// Whether the anchor is known.
    pub known: bool,
    /// The positive score that margins are measured from; NaN: none.
    pub positive: f32,
    /// Its negatives, the hardest first.
    pub negatives: Range<usize>,
    /// Its known positives, in order of id.
    pub positives: Range<usize>,
    /// Its vetoes, in order of id.
    pub vetoes: Range<usize>,
}

/// What is stored of some anchors.
#[derive(Clone, Debug, Default)]
pub struct AnchorRows {
    /// One an anchor, in the order asked for.
    pub anchors: Vec<AnchorRow>,
    /// Negatives of all of them.
    pub negatives: Vec<Negative>,
    /// Groups of the negatives: one each, or none where no anchor has any.
    pub groups: Vec<u64>,
    /// String keys of the negatives, in a `named` pool.
    pub names: Vec<Arc<str>>,
    /// Known positives and vetoes of all of them.
    pub not_negative: Vec<u64>,
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
}

/// Where the anchors of one pool live. Async, fallible, batched, like [`super::Store`].
#[async_trait]
pub trait AnchorStore: Send + Sync + 'static {
    /// Applies a batch. Changes take effect in the order of their positions, in every shard.
    async fn apply(&self, batch: AnchorBatch) -> Result<AnchorApplied, StoreError>;
    /// Remembers what is no negative, and takes it out of the negatives. All of it, or nothing: `Limit` where an anchor would
    /// have too many, or there would be too many anchors. Anchors without reports may be named.
    async fn mark(&self, pairs: Pairs, why: NotNegative) -> Result<Marked, StoreError>;
    /// Reads what is stored of anchors.
    async fn fetch(&self, anchors: &[u64]) -> Result<AnchorRows, StoreError>;
    /// Removes ids from the negatives of every anchor; those that were any, and the position.
    async fn remove(&self, ids: &[u64]) -> Result<(Vec<u64>, u64), StoreError>;
    /// About `n` negatives of anchors drawn uniformly with replacement: a look for people.
    async fn sample(&self, n: usize) -> Result<Vec<Negative>, StoreError>;
    /// Sizes and costs.
    async fn stats(&self) -> Result<AnchorStoreStats, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_hold_at_their_bounds_to_the_last_bit() {
        let absolute = Margins { absolute: Some(0.25), relative: None };
        assert!(absolute.admit(false, 0.75, 0.5));
        assert!(!absolute.admit(false, 0.75, 0.5_f32.next_up()));
        assert!(absolute.admit(true, 0.75, 1.0));
        assert!(!absolute.admit(true, 0.75, 1.0_f32.next_down()));
        let relative = Margins { absolute: None, relative: Some(0.5) };
        assert!(relative.admit(false, 0.5, 0.25));
        assert!(!relative.admit(false, 0.5, 0.25_f32.next_up()));
        // Below zero the threshold is still below the positive, not above it.
        assert!(relative.admit(false, -0.5, -0.75));
        assert!(!relative.admit(false, -0.5, (-0.75_f32).next_up()));
        assert!(relative.admit(false, f32::NAN, 9.0), "nothing to measure from");
        let zero = Margins { absolute: Some(0.0), relative: None };
        assert!(zero.admit(false, 0.5, 0.5), "a margin of 0 keeps ties, as sentence-transformers does");
    }

    #[test]
    fn the_positive_least_like_the_anchor_counts() {
        assert_eq!(least_alike(false, 0.9, 0.4), 0.4);
        assert_eq!(least_alike(true, 0.9, 0.4), 0.9);
        assert_eq!(least_alike(false, f32::NAN, 0.4), 0.4);
        assert_eq!(least_alike(true, 0.4, f32::NAN), 0.4);
        assert!(least_alike(true, f32::NAN, f32::NAN).is_nan());
    }
}
