//! Warnings about scores that differ but get the same weight, because they were clamped or floored. Each is logged once per pool; counters
//! count all.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::key::LOG2_WEIGHT_MAX;

/// Which of the warnings have been logged for a pool.
#[derive(Debug, Default)]
pub(super) struct WeightWarnings {
    clamped: AtomicBool,
    floored: AtomicBool,
}

impl WeightWarnings {
    /// Logs a warning if `rows` applied rows of the pool with this id were clamped or floored for the first time.
    pub(super) fn warn(&self, pool: &str, rows: u64, clamped: u64, floored: u64) {
        if floored > 0 && !self.floored.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                pool,
                rows,
                floored,
                "scores below 0 all weigh the same under POWER: use EXPONENTIAL for scores that may be negative (logits, similarities). \
                 Said once a pool; the pool's figures count them"
            );
        }
        if clamped > 0 && !self.clamped.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                pool,
                rows,
                clamped,
                "weights beyond 2^+-{LOG2_WEIGHT_MAX} are clamped, and so are all alike: raise the temperature of EXPONENTIAL. Said once a \
                 pool; the pool's figures count them"
            );
        }
    }
}
