//! Anchored pools: negatives of anchors (queries, classes). Reports with anchors in, negatives of many anchors out.
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

/// What an anchored pool has beside its flat store, which holds the background.
pub(super) struct Anchored {
    pub(super) store: Arc<dyn AnchorStore>,
    /// What filters turned away so far.
    pub(super) filtered: FilterTotals,
}

impl Anchored {
    pub(super) fn new(store: Arc<dyn AnchorStore>) -> Self {
        Self { store, filtered: FilterTotals::default() }
    }
}

impl Pool {
    /// What makes it an anchored pool.
    ///
    /// # Errors
    /// `FailedPrecondition` of a flat one, for which `call` has no meaning.
    pub(super) fn as_anchored(&self, call: &str) -> Result<&Anchored, PoolError> {
        self.anchored.as_ref().ok_or_else(|| PoolError::FailedPrecondition {
            reason: "POOL_NOT_ANCHORED",
            message: format!("pool `{}` is flat and has no anchors: {call} is for anchored pools", self.id),
        })
    }

    /// Refuses a call that only a flat pool can answer, saying which to use instead.
    ///
    /// # Errors
    /// `FailedPrecondition` of an anchored pool.
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
