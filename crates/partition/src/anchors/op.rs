//! Operations, which change a partition of anchors and carry everything that their effect depends on, and their replies.

use std::ops::Range;
use std::sync::Arc;

use crate::counters::counters;
use crate::hash::placement_hash;
use crate::key::{Hardness, Key};
use crate::op::{RowFaults, Sender, Terms};

/// A change with its position in the log of operations.
#[derive(Clone, Debug)]
pub struct AnchorOp {
    /// Position in the pool's log of operations. Grows from one operation of a partition to its next.
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
        /// The rows that are this partition's. They apply one by one, in order: an anchor may have an id in several rows.
        range: Range<usize>,
        /// How the rows are applied. `renew_after_rows`, `quarantine` and `oldest_stamp` are for samples and ignored here.
        terms: Terms,
        /// Who sent the report. A report that this partition has applied before is a resend and changes nothing. `None`: it is applied.
        sender: Option<Sender>,
    },
    /// Marks samples as not negatives of anchors. Either all of this partition's pairs are remembered, or none.
    Mark {
        /// Columns that hold this partition's pairs, and perhaps others'.
        pairs: Arc<PairColumns>,
        /// The pairs that are this partition's.
        range: Range<usize>,
        /// Why the samples are not negatives.
        why: NotNegative,
        /// Time of the call in the pool's clock, kept with scores.
        stamp: u32,
        /// Version of the model that scored the positives.
        model_version: u32,
    },
    /// Removes samples from the negatives of every anchor.
    Remove {
        /// The ids of the samples.
        ids: Arc<[u64]>,
    },
    /// Removes everything that reports brought: negatives, positive scores and labels. Known positives with their scores and vetoes stay,
    /// and so do the anchors that have any. Which reports were applied stays known, so that a resend brings nothing back.
    Clear,
    /// Lifts keys below a floor to the floor. Negatives that old are then ordered by their scores alone.
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
    /// The anchor of each row.
    pub anchors: Vec<u64>,
    /// The negative of each row.
    pub ids: Vec<u64>,
    /// Keys as of this report.
    pub keys: Vec<Key>,
    /// The raw score of each row.
    pub scores: Vec<f32>,
    /// The anchors' positive scores, or empty. A score that is not finite is ignored.
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

/// Pairs of an anchor and a sample that is not a negative of it, as columns of equal length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairColumns {
    /// The anchor of each row.
    pub anchors: Vec<u64>,
    /// The sample of each row.
    pub ids: Vec<u64>,
    /// Scores of positives, or empty. A score that is not finite is ignored.
    pub scores: Vec<f32>,
}

/// Why a sample is not a negative of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNegative {
    /// It is a known positive.
    Positive,
    /// It is vetoed for the anchor.
    Vetoed,
}

/// The outcomes of the rows of a report. They sum to its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorCounts {
    /// Rows that inserted a negative of their anchor.
    pub inserted: u64,
    /// Rows that updated a negative of their anchor.
    pub updated: u64,
    /// Rows of new ids that were not hard enough for their full anchor.
    pub too_easy: u64,
    /// Rows older than the stored negative.
    pub stale: u64,
    /// Rows whose anchor and id are in an earlier row of the report. They are applied as any others.
    pub coalesced: u64,
    /// Rows without a finite score.
    pub non_finite: u64,
    /// Rows whose id is outside the dense id space.
    pub out_of_range: u64,
    /// Rows of new anchors beyond `max_anchors`.
    pub anchor_limit: u64,
    /// Rows whose id is a known positive of their anchor, or vetoed for it.
    pub not_negative: u64,
    /// Rows of a report that was applied before. They change nothing.
    pub duplicate: u64,
    /// (Not part of the sum.) Negatives that were evicted by harder ones.
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
    /// The number of rows, whatever their outcome.
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

    /// The faults that the host found in the rows, as counts.
    pub(super) fn of_faults(faults: RowFaults) -> Self {
        let RowFaults { non_finite, out_of_range, clamped, floored } = faults;
        Self { non_finite, out_of_range, clamped, floored, ..Self::default() }
    }

    /// Adds the counts of another partition.
    pub fn add(&mut self, more: &Self) {
        self.add_numbers(more);
    }
}

/// The result of an operation, which its last step returns.
#[derive(Clone, Debug, PartialEq)]
pub enum AnchorReply {
    /// The outcomes of the rows of a report.
    Reported(Reported),
    /// The outcome of a mark.
    Marked(Marked),
    /// The samples of a removal that were negatives of any anchor, in the order of the operation, each once.
    Removed(Vec<u64>),
    /// The number of negatives that a clear removed, over all anchors.
    Cleared(u64),
    /// A fold was done.
    Done,
}

/// The outcome of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reported {
    /// The outcomes of the rows.
    pub counts: AnchorCounts,
    /// Numbers in the columns, ascending, of the rows whose samples are negatives, whether kept or too easy.
    pub negatives: Vec<u32>,
    /// Numbers in the columns, ascending, of the rows that were counted as too easy.
    pub too_easy: Vec<u32>,
}

/// The outcome of a mark.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marked {
    /// Pairs that are newly remembered.
    pub added: u64,
    /// Stored negatives that were removed.
    pub removed: u64,
    /// The limits that would have been exceeded, because of which nothing was remembered. Empty: all pairs were remembered.
    pub refused: Vec<Refusal>,
}

/// A limit that a mark would have exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The number of the row in the columns: the first row of the anchor that would have too many, or the first row with an anchor or pair
    /// for which there is no room.
    pub row: u32,
    /// The limit that would have been exceeded.
    pub limit: PairLimit,
    /// The number that there would have been.
    pub wanted: u64,
}

/// A limit on known positives and vetoes.
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
