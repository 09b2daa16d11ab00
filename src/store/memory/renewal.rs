//! The generations of the background and their renewal (DECISIONS 6).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::background::Generation;
use super::shared::Generations;
use crate::store::Rotation;

/// A filling generation takes over once it has seen this share of what the serving one has, ..
const FULL_ENOUGH: f64 = 0.95;
/// .. which both can only estimate: so many standard errors below it are no difference, ..
const STANDARD_ERRORS: f64 = 3.0;
/// .. but never less than this share. A background of a few ids tells no more.
const FULL_ENOUGH_MIN: f64 = 0.25;

/// What serves and what fills.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) generations: Generations,
    pub(super) started: u64,
    /// Reported since the serving generation took over.
    rows: AtomicU64,
    /// Of these, before the filling one began.
    rows_before: u64,
}

enum Step {
    Nothing,
    Begin,
    /// The filling generation has seen enough and takes over.
    TakeOver,
}

impl Renewal {
    pub(super) fn new(serving: Arc<Generation>) -> Self {
        Self {
            generations: Generations { serving, filling: None },
            started: 1,
            rows: AtomicU64::new(0),
            rows_before: 0,
        }
    }

    /// Counts reported rows; whether generations change now.
    pub(super) fn count(&self, rows: u64, rotation: Rotation) -> bool {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        !matches!(self.next(rotation), Step::Nothing)
    }

    /// Changes generations, if it still is time to.
    pub(super) fn step(&mut self, rotation: Rotation, salt_seed: u64) {
        match self.next(rotation) {
            Step::Nothing => {}
            Step::Begin => {
                self.generations.filling = Some(Generation::new(self.started, salt_seed));
                self.started += 1;
                self.rows_before = *self.rows.get_mut();
            }
            Step::TakeOver => {
                if let Some(filling) = self.generations.filling.take() {
                    self.generations.serving = filling;
                    *self.rows.get_mut() = 0;
                }
            }
        }
    }

    fn next(&self, rotation: Rotation) -> Step {
        let rows = self.rows.load(Ordering::Relaxed);
        let Some(filling) = &self.generations.filling else {
            return if rows >= rotation.after_rows { Step::Begin } else { Step::Nothing };
        };
        let full = is_full(filling, &self.generations.serving, rows.saturating_sub(self.rows_before));
        if full { Step::TakeOver } else { Step::Nothing }
    }
}

/// Whether a generation that `rows` were reported to has seen what the serving one has, as far as one can tell: N is estimated from
/// m members with a standard error of N / sqrt(m).
fn is_full(filling: &Generation, serving: &Generation, rows: u64) -> bool {
    let variance = |generation: &Generation| match generation.threshold() {
        Some(_) => 1.0 / generation.members().max(1) as f64,
        None => 0.0,
    };
    let error = (variance(filling) + variance(serving)).sqrt();
    let share = (FULL_ENOUGH - STANDARD_ERRORS * error).max(FULL_ENOUGH_MIN);
    let ids = serving.distinct();
    rows as f64 >= FULL_ENOUGH * ids && filling.distinct() >= share * ids
}
