//! The budget of the draws of one request, and their counts.

use crate::model::filter_counts::FilterCounts;

/// Number of members of the background that a draw may reject: a fixed part, and a part per wanted negative.
const REJECTIONS_MIN: u64 = 1_024;
const REJECTIONS_PER_NEGATIVE: u64 = 16;

/// Number of members of the background that a draw of `wanted` negatives may reject before its background is cut off.
pub(crate) fn rejections_of_draw(wanted: usize) -> u64 {
    REJECTIONS_MIN + REJECTIONS_PER_NEGATIVE * wanted as u64
}

/// The counts of one request, over all its draws.
#[derive(Debug)]
pub(crate) struct DrawBudget {
    /// Candidates that filters refused, by filter.
    pub(crate) filtered: FilterCounts,
    /// Arrivals that the draws have examined.
    pub(crate) steps: u64,
    /// Members of the background that the draws may still reject.
    pub(crate) rejections_left: u64,
}

impl DrawBudget {
    /// No counts yet; the draws may reject `rejections` members.
    pub(crate) fn new(rejections: u64) -> Self {
        Self { filtered: FilterCounts::default(), steps: 0, rejections_left: rejections }
    }
}
