//! Counts of the candidates that filters have refused since a pool was created.

use parking_lot::Mutex;

use crate::model::filter_counts::FilterCounts;

/// The counts of one pool. Calls add to them under a lock.
#[derive(Debug, Default)]
pub(crate) struct FilterTotals(Mutex<FilterCounts>);

impl FilterTotals {
    /// Adds the counts of a draw.
    pub(crate) fn add(&self, counts: &FilterCounts) {
        if *counts != FilterCounts::default() {
            self.0.lock().add(counts);
        }
    }

    /// The counts so far.
    #[must_use]
    pub(crate) fn values(&self) -> FilterCounts {
        *self.0.lock()
    }
}
