//! What filters have turned away since a pool was created.

use parking_lot::Mutex;

use crate::model::filter_counts::FilterCounts;

/// Candidates that filters have turned away since a pool was created.
#[derive(Debug, Default)]
pub(crate) struct FilterTotals(Mutex<FilterCounts>);

impl FilterTotals {
    /// Adds the counts of a draw.
    pub(crate) fn add(&self, counts: &FilterCounts) {
        if *counts != FilterCounts::default() {
            self.0.lock().add(counts);
        }
    }

    /// Reads them all.
    #[must_use]
    pub(crate) fn values(&self) -> FilterCounts {
        *self.0.lock()
    }
}
