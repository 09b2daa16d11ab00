//! Noise quarantine (docs/methods.md 12): a sample whose raw score stays above the pool's running quantile in so many rows in a
//! row is set aside, never served, and listed until it is released.
//!
//! Who is set aside, trusted or blocked is in the partitions of the store, which apply the rule to each row. What is here is what a
//! pool knows as a whole: the rule, and the quantile that comes with each batch as its threshold.

mod quantile;
#[cfg(test)]
mod tests;

pub(super) use quantile::{RunningQuantile, Sampled};

use crate::model::spec::PoolSpec;
use crate::pool::Pool;
use crate::store::ReportBatch;
use crate::store::quarantine::QuarantineTerms;

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
