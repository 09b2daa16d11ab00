//! Scores whose weights do not tell them apart: said once in the log, and counted.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::key::LOG2_WEIGHT_MAX;

/// What of it was said already, of one pool.
#[derive(Debug, Default)]
pub(super) struct WeightWarnings {
    clamped: AtomicBool,
    floored: AtomicBool,
}

impl WeightWarnings {
    /// Looks at what became of `rows` rows of the pool of this id.
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
