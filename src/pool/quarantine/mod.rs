//! Noise quarantine (docs/methods.md 12): a sample whose raw score stays above the pool's running quantile in so many rows in a
//! row is set aside, never served, and listed until it is released.
//!
//! Who is set aside, trusted or blocked is in the partitions of the store, which apply the rule to each row. What is here is what a
//! pool knows as a whole: the rule, and the quantile that comes with each batch as its threshold.

mod calls;
mod quantile;
#[cfg(test)]
mod tests;

pub use calls::{BlockedPage, Blocking, QuarantinePage};
pub use quantile::ROWS_MIN;
pub(super) use quantile::{RunningQuantile, Sampled};

use super::core::Pool;
use super::spec::PoolSpec;
use crate::store::ReportBatch;
use crate::store::quarantine::QuarantineTerms;

/// Largest `capacity`.
pub const CAPACITY_MAX: u64 = 1 << 20;

/// When a sample is set aside.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct QuarantineRule {
    /// Above this quantile of the raw scores (below 1 - it where lower is harder). [0.5, 1).
    pub quantile: f64,
    /// In so many rows in a row. 2 ..= 65,535.
    pub reports: u32,
    /// Samples set aside at a time, over all partitions; each has room for its share s and 6 sqrt(s) more. 1 ..= [`CAPACITY_MAX`].
    pub capacity: u64,
}

impl Default for QuarantineRule {
    fn default() -> Self {
        Self { quantile: 0.99, reports: 5, capacity: 1 << 16 }
    }
}

impl QuarantineRule {
    /// The ranges: whether each holds, the field below `quarantine`, and what is wrong otherwise.
    pub(super) fn checks(&self) -> [(bool, &'static str, String); 3] {
        [
            (
                (0.5..1.0).contains(&self.quantile),
                "quarantine.quantile",
                format!("{} is not in 0.5..1", self.quantile),
            ),
            (
                (2..=65_535).contains(&self.reports),
                "quarantine.reports",
                format!("{} is not in 2..=65535", self.reports),
            ),
            (
                (1..=CAPACITY_MAX).contains(&self.capacity),
                "quarantine.capacity",
                format!("{} is not in 1..={CAPACITY_MAX}", self.capacity),
            ),
        ]
    }

    /// The quantile of raw scores that is the threshold.
    fn of_scores(&self, lower_is_harder: bool) -> f64 {
        if lower_is_harder { 1.0 - self.quantile } else { self.quantile }
    }
}

impl Pool {
    /// The threshold that rows are held against now; `None` without the rule, or before [`ROWS_MIN`] rows.
    pub(super) fn quarantine_threshold(&self, spec: &PoolSpec) -> Option<f32> {
        let rule = spec.quarantine?;
        self.score_quantile.at(rule.of_scores(spec.hardness.lower_is_harder))
    }

    /// Tells a batch the rule, and takes from it what the quantile is to learn once the batch is applied.
    pub(super) fn under_quarantine(&self, spec: &PoolSpec, batch: &mut ReportBatch) -> Option<Sampled> {
        let rule = spec.quarantine?;
        batch.quarantine = Some(QuarantineTerms {
            threshold: self.quarantine_threshold(spec),
            reports: rule.reports,
            capacity: rule.capacity,
            now_millis: self.clock.now_millis(),
        });
        let raw = if batch.raw_scores.is_empty() { &batch.scores } else { &batch.raw_scores };
        Some(self.score_quantile.sample(raw))
    }
}
