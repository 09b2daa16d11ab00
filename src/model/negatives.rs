//! A request for negatives of anchors, and the negatives.

use std::sync::Arc;

use crate::model::batch::Source;
use crate::model::filter_counts::FilterCounts;
use crate::model::negative_policy::NegativePolicy;
use crate::model::report::Ids;

/// Most anchors of one request.
pub const ANCHORS_MAX: usize = 65_536;
/// Most negatives of one anchor.
pub const NUM_NEGATIVES_MAX: u32 = 1_024;
/// Most negatives of one request.
pub const ROWS_MAX: usize = 1 << 20;
/// Most excluded ids.
pub const EXCLUDE_MAX: usize = 65_536;

/// A request for negatives of anchors.
#[derive(Clone, Debug, Default)]
pub struct NegativesRequest {
    /// 1 ..= 65,536, in any order.
    pub anchors: Ids,
    /// Of each anchor, 1 ..= 1,024; anchors x num_negatives at most 2^20.
    pub num_negatives: u32,
    /// How they are chosen.
    pub policy: NegativePolicy,
    /// Never these.
    pub exclude: Ids,
    /// `None`: one is drawn.
    pub seed: Option<u64>,
    /// Whether to tell labels.
    pub labels: bool,
}

/// Negatives anchor by anchor (compressed sparse rows): columns of `offsets[anchors]` rows.
#[derive(Clone, Debug)]
pub struct MinedNegatives {
    /// anchors + 1 numbers: rows offsets[i]..offsets[i + 1] are anchor i's.
    pub offsets: Vec<u32>,
    /// The negatives (integer ids, or hashes where `names` is set).
    pub ids: Vec<u64>,
    /// String keys of a named pool.
    pub names: Option<Vec<Arc<str>>>,
    /// Raw scores; NaN where the anchor has none for a background negative.
    pub scores: Vec<f32>,
    /// pi of each for its anchor; `None` for TOP.
    pub inclusion_probabilities: Option<Vec<f32>>,
    /// Which source each came from.
    pub sources: Vec<Source>,
    /// Seconds or steps since the report; NaN where the anchor has none.
    pub ages: Vec<f32>,
    /// One an anchor; NaN: none.
    pub positive_scores: Vec<f32>,
    /// Where they were asked for.
    pub labels: Option<Labels>,
    /// As applied.
    pub policy: NegativePolicy,
    /// As applied.
    pub seed: u64,
    /// Rows fewer than asked for, over all anchors.
    pub shortfall_count: u32,
    /// Anchors that the pool does not know.
    pub unknown_anchor_count: u32,
    /// What each filter turned away.
    pub filtered: FilterCounts,
}

/// Labels of negatives and of their anchors; 0: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// One a row.
    pub negatives: Vec<u32>,
    /// One an anchor.
    pub anchors: Vec<u32>,
}

impl MinedNegatives {
    /// Rows from `source`.
    #[must_use]
    pub fn count_from(&self, source: Source) -> usize {
        self.sources.iter().filter(|s| **s == source).count()
    }
}
