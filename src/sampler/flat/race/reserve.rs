//! The reserve: hard samples below the cut, which fill a batch that all others could not (docs/methods.md 6.4).
//!
//! That H and R run dry is a fact of the state, not of the draw. All that was in the race then has pi = 1. The reserve goes on as a race with
//! equal rates, and every hard sample stands for itself in the weights of this batch. Where a stratum or a group was full before, its samples
//! had no part in the reserve, and members of R go on to stand for those of them that are below the cut.

use super::lanes::hard_lanes;
use super::{Arrival, Race};
use crate::model::policy::Shortfall;
use crate::sampler::flat::MineContext;
use crate::sampler::flat::mass::Mass;
use crate::store::Row;

/// What every sample of the reserve weighs.
static RESERVE: Mass = Mass::Uniform;

impl<'a> Race<'a> {
    /// The same race, which draws from the reserve where all others have arrived and the batch is not full. With SHORT it is smaller instead,
    /// which keeps the requested mixture.
    pub(in crate::sampler::flat) fn with_reserve(mut self, context: &MineContext<'_>) -> Self {
        self.has_reserve = context.policy.shortfall != Shortfall::Short;
        self
    }

    /// Lets the reserve into the race. Returns whether it had to: once, and only where the cut took anything out.
    pub(super) fn open_reserve(&mut self) -> bool {
        if !self.has_reserve || self.reserve_from.is_some() || (self.mass.is_some() && self.cut <= 0.0) {
            return false;
        }
        self.reserve_from = Some(self.time);
        self.mass = Some(&RESERVE);
        self.cut = 0.0;
        self.lanes = hard_lanes(self.field, &RESERVE, 0.0);
        self.rare.clear();
        (self.passed, self.scheduled, self.schedule_cut) = (false, None, false);
        true
    }

    /// Whether the draw went as the counts before it say: the batch has the `planned` size, and more samples were left.
    pub(in crate::sampler::flat) fn went_as_counted(&self, size: usize, planned: usize) -> bool {
        size == planned && self.arrivals.len() > size && self.reserve_from.is_none() && !self.approximate
    }

    /// Whether some of the first `size` arrivals are from the reserve. Where H and R have just `size` samples it is opened only to find that
    /// they have no more: nothing is drawn from it, and members of R go on to stand for what is in it.
    pub(in crate::sampler::flat) fn is_in_reserve(&self, size: usize) -> bool {
        self.reserve_from.is_some_and(|from| self.arrivals[..size].iter().any(|arrival| arrival.time > from))
    }

    /// Whether a sample could be drawn from the reserve: it was opened, and no limit shut the sample out before.
    pub(super) fn met_the_reserve(&self, row: &Row) -> bool {
        self.reserve_from.is_some_and(|from| {
            let closed = self.quota.as_ref().and_then(|quota| quota.deadline(row, None));
            closed.is_none_or(|closed| closed >= from)
        })
    }

    /// How long a sample was in the race until the first `size` had arrived; `None`: until nothing was left, so that its pi is 1.
    pub(in crate::sampler::flat) fn exposure(&self, arrival: &Arrival, size: usize) -> Option<f64> {
        let deadline = self.deadline(&arrival.row, size);
        match self.reserve_from {
            None => deadline,
            // All of the first race had arrived, but for what limits on strata and groups rejected.
            Some(from) if arrival.time <= from => deadline.filter(|deadline| *deadline < from),
            Some(from) => deadline.map(|deadline| deadline - from),
        }
    }
}
