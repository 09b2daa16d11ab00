//! The quarantine (docs/methods.md 12): a sample whose raw score is above the running quantile of the pool in a number of consecutive rows
//! is set aside: it is not served, and it is listed until it is released.
//!
//! The partitions of the store apply the rule to each row, and keep which samples are set aside, trusted or blocked. Here are the parts
//! that belong to the pool as a whole: the rule, and the quantile, which each batch carries as its threshold.

mod quantile;
#[cfg(test)]
mod tests;

pub(super) use quantile::{RunningQuantile, Sampled};

use crate::model::spec::PoolSpec;
use crate::pool::Pool;
use crate::store::ReportBatch;
use crate::store::quarantine::QuarantineTerms;

impl Pool {
    /// The present threshold for rows; `None` without a rule, or before [`ROWS_MIN`] rows.
    pub(super) fn quarantine_threshold(&self, spec: &PoolSpec) -> Option<f32> {
        let rule = spec.quarantine?;
        self.score_quantile.at(rule.of_scores(spec.hardness.lower_is_harder))
    }

    /// Puts the rule into a batch, and returns the sample of its scores from which the quantile learns once the batch is applied.
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
