//! The weights of one batch (docs/methods.md 7.1 and 7.2), and why they may be no more than approximate.

use super::background::Background;
use super::race::Race;
use crate::model::batch::Approximation;
use crate::sampler::weights;
use crate::store::Row;

/// What the weights of one batch are computed from.
pub(super) struct Weighing<'a> {
    pub(super) background: &'a Background<'a>,
    /// n: the samples of the batch.
    pub(super) returned: usize,
    /// N; where nothing is drawn from the background the samples of S in the rank window.
    pub(super) population: f64,
    /// Everything is drawn from the background, so H is empty.
    pub(super) background_only: bool,
}

impl Weighing<'_> {
    /// The marginal pi of a sample, and w. `in_h`: it stands for itself, and not for ids outside R (docs/methods.md 6.1). `inclusion`: its
    /// pi if it is in R, or in H.
    pub(super) fn weigh(&self, row: &Row, in_h: bool, inclusion: f64) -> (f64, f64) {
        let probability =
            if in_h { 1.0 } else { self.background.probability_of(row.id, self.background_only) };
        let marginal = probability * inclusion;
        (marginal, weights::weight(self.returned, self.population, marginal))
    }
}

/// Why the weights of a race are no more than approximate. `looped`: H depends on R (docs/methods.md 4.3).
pub(super) fn approximations(race: &Race<'_>, looped: bool) -> Vec<Approximation> {
    [(race.approximate, Approximation::ScanLimit), (looped, Approximation::ClosedLoop)]
        .into_iter()
        .filter_map(|(holds, approximation)| holds.then_some(approximation))
        .collect()
}
