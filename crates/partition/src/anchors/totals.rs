//! What a partition of anchors has done since it was made: numbers that do not depend on how rows were divided into reports. What an
//! anchored pool counts is sums of these over its partitions, as [`crate::Totals`] are of a flat one.

use crate::counters::counters;

use super::op::AnchorCounts;

/// What a partition of anchors has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorTotals {
    /// Rows reported, whatever became of them; those of resends are not among them.
    pub reported: u64,
    /// Those of them without a finite score.
    pub non_finite: u64,
    /// Those outside a dense id space.
    pub out_of_range: u64,
    /// Those older than what was stored.
    pub stale: u64,
    /// Those of anchors beyond `max_anchors`.
    pub anchor_limit: u64,
    /// Those of known positives, or vetoed for their anchor.
    pub not_negative: u64,
    /// Negatives that harder ones pushed out.
    pub evicted: u64,
    /// Keys whose log2 weight was clamped.
    pub clamped: u64,
    /// Scores below [`Hardness::floor_score`](crate::key::Hardness::floor_score).
    pub floored: u64,
}

counters!(AnchorTotals {
    reported,
    non_finite,
    out_of_range,
    stale,
    anchor_limit,
    not_negative,
    evicted,
    clamped,
    floored,
});

impl AnchorTotals {
    /// Adds those of another partition.
    pub fn add(&mut self, more: &Self) {
        self.add_numbers(more);
    }

    /// Counts a report that was applied and is no resend.
    pub(super) fn count(&mut self, counts: &AnchorCounts) {
        self.add(&Self {
            reported: counts.rows(),
            non_finite: counts.non_finite,
            out_of_range: counts.out_of_range,
            stale: counts.stale,
            anchor_limit: counts.anchor_limit,
            not_negative: counts.not_negative,
            evicted: counts.evicted,
            clamped: counts.clamped,
            floored: counts.floored,
        });
    }
}
