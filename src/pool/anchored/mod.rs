//! Anchored pools: they take reports with anchors (queries, classes), and return negatives of many anchors.
//!
//! The way of a request: anchors → what is stored of them → filters ([`filter`]) → mass of each negative ([`strategy`]) → the race
//! with the background ([`draw`]) → inclusion probabilities → columns.

#[cfg(test)]
mod cut_tests;
mod stats;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::activity::filter_totals::FilterTotals;
use crate::model::error::PoolError;
use crate::pool::Pool;
use crate::store::anchored::AnchorStore;

/// What an anchored pool has besides its store of samples, which holds the background.
pub(super) struct Anchored {
    pub(super) store: Arc<dyn AnchorStore>,
    /// Candidates that filters have refused so far.
    pub(super) filtered: FilterTotals,
}

impl Anchored {
    pub(super) fn new(store: Arc<dyn AnchorStore>) -> Self {
        Self { store, filtered: FilterTotals::default() }
    }
}

impl Pool {
    /// The anchors of the pool.
    ///
    /// # Errors
    /// `FailedPrecondition` for a flat pool, to which `call` does not apply.
    pub(super) fn as_anchored(&self, call: &str) -> Result<&Anchored, PoolError> {
        self.anchored.as_ref().ok_or_else(|| PoolError::FailedPrecondition {
            reason: "POOL_NOT_ANCHORED",
            message: format!("pool `{}` is flat and has no anchors: {call} is for anchored pools", self.id),
        })
    }

    /// Refuses a call that only a flat pool can answer. The error names the call to use instead.
    ///
    /// # Errors
    /// `FailedPrecondition` for an anchored pool.
    pub(super) fn check_flat(&self, call: &str, instead: &str) -> Result<(), PoolError> {
        if self.anchored.is_none() {
            return Ok(());
        }
        Err(PoolError::FailedPrecondition {
            reason: "POOL_ANCHORED",
            message: format!("pool `{}` is anchored: {call} is for flat pools, {instead}", self.id),
        })
    }
}
