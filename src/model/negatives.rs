//! A request for negatives of anchors, and its answer.

use std::sync::Arc;

use crate::model::batch::{PoolSizes, Source};
use crate::model::filter_counts::FilterCounts;
use crate::model::negative_policy::NegativePolicy;
use crate::model::report::Ids;

/// Maximum number of anchors of one request.
pub const ANCHORS_MAX: usize = 65_536;
/// Maximum number of negatives per anchor.
pub const NUM_NEGATIVES_MAX: u32 = 1_024;
/// Maximum number of negatives of one request, over all anchors.
pub const ROWS_MAX: usize = 1 << 20;
/// Maximum number of excluded ids.
pub const EXCLUDE_MAX: usize = 65_536;

/// A request for negatives of anchors.
#[derive(Clone, Debug, Default)]
pub struct NegativesRequest {
    /// The anchors, 1 ..= 65,536, in any order.
    pub anchors: Ids,
    /// Negatives wanted of each anchor, 1 ..= 1,024; 0 if `num_negatives_per_anchor` has the numbers.
    pub num_negatives: u32,
    /// Negatives wanted, one number per anchor, 0 ..= 1,024; empty: `num_negatives` of each. All anchors together want at most 2^20.
    pub num_negatives_per_anchor: Vec<u32>,
    /// How the negatives are chosen.
    pub policy: NegativePolicy,
    /// Ids that must not be served.
    pub exclude: Ids,
    /// Seed of the draws; `None`: the server draws one.
    pub seed: Option<u64>,
    /// Whether the answer has labels.
    pub labels: bool,
}

/// Negatives, anchor by anchor in the order of the request, as compressed sparse rows: columns of `offsets[anchors]` rows.
#[derive(Clone, Debug)]
pub struct MinedNegatives {
    /// anchors + 1 numbers: rows `offsets[i]..offsets[i + 1]` belong to anchor i.
    pub offsets: Vec<u32>,
    /// The negatives (integer ids, or hashes where `names` is set).
    pub ids: Vec<u64>,
    /// String keys; `None` in a pool of integer ids.
    pub names: Option<Vec<Arc<str>>>,
    /// Raw scores for the anchor; NaN for a background negative that has none.
    pub scores: Vec<f32>,
    /// Inclusion probabilities pi in the draw of the anchor, marginal over the background; `None` for TOP.
    pub inclusion_probabilities: Option<Vec<f32>>,
    /// The source that brought each negative.
    pub sources: Vec<Source>,
    /// Seconds or steps since the report of the pair; NaN if there is none.
    pub ages: Vec<f32>,
    /// Positive scores, one per anchor; NaN: the anchor has none.
    pub positive_scores: Vec<f32>,
    /// Labels; `None` if the request did not ask for them.
    pub labels: Option<Labels>,
    /// The policy as applied, with all defaults filled in.
    pub policy: NegativePolicy,
    /// The seed that was used.
    pub seed: u64,
    /// Number of rows missing to the number asked for, over all anchors.
    pub shortfall_count: u32,
    /// How many eligible negatives of its own each anchor lacked for what the policy takes from them; FILL takes these from the background.
    pub lacking: Vec<u32>,
    /// Number of anchors that the pool does not know.
    pub unknown_anchor_count: u32,
    /// Number of anchors without a positive score, if a filter of the policy measures from it.
    pub no_positive_count: u32,
    /// Sizes of the pool when the negatives were drawn.
    pub sizes: PoolSizes,
    /// Candidates that each filter refused.
    pub filtered: FilterCounts,
}

/// Labels of negatives and of their anchors; 0: no label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Labels of the negatives, one per row.
    pub negatives: Vec<u32>,
    /// Labels of the anchors, one per anchor.
    pub anchors: Vec<u32>,
}

impl MinedNegatives {
    /// Number of rows from `source`.
    #[must_use]
    pub fn count_from(&self, source: Source) -> usize {
        self.sources.iter().filter(|s| **s == source).count()
    }

    /// Number of rows from the background that FILL added, because their anchors had too few eligible negatives of their own.
    #[must_use]
    pub fn filled_count(&self) -> u32 {
        let of_anchor = |(rows, lacking): (&[u32], &u32)| {
            let sources = &self.sources[rows[0] as usize..rows[1] as usize];
            let background = sources.iter().filter(|source| **source == Source::Background).count();
            (*lacking).min(background as u32)
        };
        self.offsets.windows(2).zip(&self.lacking).map(of_anchor).sum()
    }
}
