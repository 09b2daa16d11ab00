//! What one request's draws have done and may still do.

use crate::model::filter_counts::FilterCounts;

/// Members of the background that may come to a draw in vain: so many, and so many for each negative wanted.
const VAIN_MIN: u64 = 1_024;
const VAIN_PER_NEGATIVE: u64 = 16;

/// Members that may come in vain to a draw of `wanted` negatives.
pub(crate) fn vain_of_draw(wanted: usize) -> u64 {
    VAIN_MIN + VAIN_PER_NEGATIVE * wanted as u64
}

/// Counts of one request, over all its draws.
#[derive(Debug)]
pub(crate) struct Tally {
    /// What filters turned away.
    pub(crate) filtered: FilterCounts,
    /// Arrivals looked at.
    pub(crate) steps: u64,
    /// Members that may still come in vain.
    pub(crate) vain_left: u64,
}

impl Tally {
    /// Nothing done; `vain` members may come in vain.
    pub(crate) fn new(vain: u64) -> Self {
        Self { filtered: FilterCounts::default(), steps: 0, vain_left: vain }
    }
}
