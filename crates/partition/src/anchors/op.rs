//! What changes a partition of anchors: operations, with everything they depend on inside, and their replies.

use std::ops::Range;
use std::sync::Arc;

use crate::counters::counters;
use crate::hash::placement_hash;
use crate::key::{Hardness, Key};
use crate::op::{RowFaults, Sender, Terms};

/// An operation with its place in the partition's order.
#[derive(Clone, Debug)]
pub struct AnchorOp {
    /// Place in the pool's order of operations; grows from one operation of a partition to its next.
    pub position: u64,
    /// What is to be done.
    pub change: AnchorChange,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum AnchorChange {
    /// Scores of negatives were reported.
    Report {
        /// Columns that hold this partition's rows, and perhaps others'.
        rows: Arc<AnchorColumns>,
        /// Which of them are this partition's. They apply one by one, in order: an anchor may have an id in several rows.
        range: Range<usize>,
        /// How they are applied. `renew_after_rows`, `quarantine` and `oldest_stamp` are for samples, and say nothing here.
        terms: Terms,
        /// Whose report it is: one that this partition has applied before is a resend, and does nothing. `None`: it is applied.
        sender: Option<Sender>,
    },
    /// Samples are no negatives of anchors. All of this partition's pairs are remembered, or none.
    Mark {
        /// Columns that hold this partition's pairs, and perhaps others'.
        pairs: Arc<PairColumns>,
        /// Which of them are this partition's.
        range: Range<usize>,
        /// Why they are none.
        why: NotNegative,
        /// Time of the call in the pool's clock, kept with scores.
        stamp: u32,
        /// Version of the model that scored the positives.
        model_version: u32,
    },
    /// Samples go from the negatives of every anchor.
    Remove {
        /// Samples.
        ids: Arc<[u64]>,
    },
    /// All that reports told goes: negatives, positive scores and labels. Known positives, with the scores that were told with them, and
    /// vetoes stay, as do the anchors that have any; which reports were applied stays known.
    Clear,
    /// Keys below a floor are lifted to it (what is that old ranks by its score alone).
    Fold {
        /// D less [`crate::key::FOLD_BELOW_UNITS`], in key units.
        floor_units: u64,
    },
}

/// Reported rows: columns of equal length, scores finite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnchorColumns {
    /// Placement hashes of the anchors.
    pub hashes: Vec<u64>,
    /// Anchors.
    pub anchors: Vec<u64>,
    /// Negatives.
    pub ids: Vec<u64>,
    /// Keys as of this report.
    pub keys: Vec<Key>,
    /// Raw scores.
    pub scores: Vec<f32>,
    /// The anchors' positive scores, or empty. A score that is not finite says nothing.
    pub positive_scores: Vec<f32>,
    /// Groups of near-duplicates, or empty; 0: none.
    pub groups: Vec<u64>,
    /// Labels of the negatives, or empty; 0: none.
    pub labels: Vec<u32>,
    /// Labels of the anchors, or empty; 0: none.
    pub anchor_labels: Vec<u32>,
    /// String keys of the negatives, or empty.
    pub names: Vec<Arc<str>>,
}

impl AnchorColumns {
    /// Plain rows, reported when the decay clock stood at `decay_units`.
    #[must_use]
    pub fn plain(
        anchors: Vec<u64>,
        ids: Vec<u64>,
        scores: Vec<f32>,
        hardness: &Hardness,
        decay_units: u64,
    ) -> Self {
        Self {
            hashes: anchors.iter().map(|anchor| placement_hash(*anchor)).collect(),
            keys: scores.iter().map(|score| hardness.key(*score, decay_units).0).collect(),
            anchors,
            ids,
            scores,
            ..Self::default()
        }
    }
}

/// Pairs of an anchor and what is no negative of it: columns of equal length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairColumns {
    /// The anchor of each row.
    pub anchors: Vec<u64>,
    /// The sample of each row.
    pub ids: Vec<u64>,
    /// Scores of positives, or empty. One that is not finite says nothing.
    pub scores: Vec<f32>,
}

/// Why a sample is no negative of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNegative {
    /// A known positive.
    Positive,
    /// Vetoed.
    Vetoed,
}

/// What became of the rows of a report; sums to its rows.
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
    /// Their anchor and id stand in an earlier row of the report. They are applied as any others.
    pub coalesced: u64,
    /// Without a finite score.
    pub non_finite: u64,
    /// Outside a dense id space.
    pub out_of_range: u64,
    /// Of anchors beyond `max_anchors`.
    pub anchor_limit: u64,
    /// Known positives or vetoed for their anchor.
    pub not_negative: u64,
    /// Of a report that was applied before: nothing was done.
    pub duplicate: u64,
    /// (Not part of the sum.) Negatives that harder ones pushed out.
    pub evicted: u64,
    /// (Not part of the sum.) Keys whose log2 weight was clamped.
    pub clamped: u64,
    /// (Not part of the sum.) Scores below [`Hardness::floor_score`](crate::key::Hardness::floor_score).
    pub floored: u64,
}

counters!(AnchorCounts {
    inserted,
    updated,
    too_easy,
    stale,
    coalesced,
    non_finite,
    out_of_range,
    anchor_limit,
    not_negative,
    duplicate,
    evicted,
    clamped,
    floored,
});

impl AnchorCounts {
    /// Rows of the report, whatever became of them.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.inserted
            + self.updated
            + self.too_easy
            + self.stale
            + self.coalesced
            + self.non_finite
            + self.out_of_range
            + self.anchor_limit
            + self.not_negative
            + self.duplicate
    }

    /// What was found in rows before they came here.
    pub(super) fn of_faults(faults: RowFaults) -> Self {
        let RowFaults { non_finite, out_of_range, clamped, floored } = faults;
        Self { non_finite, out_of_range, clamped, floored, ..Self::default() }
    }

    /// Adds those of another partition.
    pub fn add(&mut self, more: &Self) {
        self.add_numbers(more);
    }
}

/// What an operation did; it comes with its last step.
#[derive(Clone, Debug, PartialEq)]
pub enum AnchorReply {
    /// Of a report.
    Reported(Reported),
    /// Of a mark.
    Marked(Marked),
    /// Of a removal: the samples that were negatives of any anchor, in the order of the operation, each once.
    Removed(Vec<u64>),
    /// Of a clear: how many negatives there were, of all anchors.
    Cleared(u64),
    /// Of all else.
    Done,
}

/// What a report did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reported {
    /// What became of the rows.
    pub counts: AnchorCounts,
    /// Numbers of the rows in the columns whose samples are negatives, whether they were kept or too easy; in order.
    pub negatives: Vec<u32>,
    /// Numbers of those that were counted as too easy; in order.
    pub too_easy: Vec<u32>,
}

/// What a mark did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marked {
    /// Pairs that were not known before.
    pub added: u64,
    /// Stored negatives that went.
    pub removed: u64,
    /// Why nothing was remembered; empty: all was.
    pub refused: Vec<Refusal>,
}

/// A limit that a mark would have gone over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Number of the row in the columns: the first of the anchor that would have had too many, or of the first anchor or pair for which
    /// there is no place.
    pub row: u32,
    /// The limit.
    pub limit: PairLimit,
    /// How many there would have been.
    pub wanted: u64,
}

/// A limit on what is known to be no negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairLimit {
    /// `max_positives_per_anchor`.
    PositivesPerAnchor,
    /// `max_vetoes_per_anchor`.
    VetoesPerAnchor,
    /// `max_anchors`.
    Anchors,
    /// `max_pairs`.
    Pairs,
}
