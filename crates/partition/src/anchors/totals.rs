//! Counters of what a partition of anchors has done since it was created, as [`crate::Totals`] counts for samples. The counters of an
//! anchored pool are sums of these over its partitions.

use crate::counters::counters;

use super::op::AnchorCounts;

/// Counters of what a partition of anchors has done since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorTotals {
    /// Rows reported, whatever their outcome; rows of resends are not counted.
    pub reported: u64,
    /// Reported rows without a finite score.
    pub non_finite: u64,
    /// Reported rows whose id is outside the dense id space.
    pub out_of_range: u64,
    /// Reported rows that were older than the stored negative.
    pub stale: u64,
    /// Reported rows of new anchors beyond `max_anchors`.
    pub anchor_limit: u64,
    /// Reported rows whose id is a known positive of its anchor, or vetoed for it.
    pub not_negative: u64,
    /// Negatives that were evicted by harder ones.
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
    /// Adds the counters of another partition.
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
