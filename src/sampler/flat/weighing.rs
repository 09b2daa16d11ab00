//! The weights of one batch (docs/methods.md 7.1 and 7.2), and why they may be no more than approximate.

use super::background::Background;
use super::quota::Quota;
use super::race::Race;
use crate::model::batch::Approximation;
use crate::sampler::weights;
use crate::store::Row;

/// What the weights of one batch are computed from.
pub(super) struct Weighing<'a> {
    pub(super) background: &'a Background<'a>,
    /// n: the samples of the batch.
    pub(super) returned: usize,
    /// N; |S| where nothing is drawn from the background.
    pub(super) population: f64,
    /// Everything is drawn from the background, so H is empty.
    pub(super) background_only: bool,
    /// The probability to be in R was a guess for some sample.
    pub(super) is_guessed: bool,
}

impl Weighing<'_> {
    /// pi and w of a sample. `in_h`: it stands for itself, and not for ids outside R (docs/methods.md 6.1).
    pub(super) fn weigh(&mut self, row: &Row, in_h: bool, inclusion: f64) -> (f64, f64) {
        let probability = if in_h { 1.0 } else { self.background.probability_of(row, self.background_only) };
        self.is_guessed |= !in_h && !self.background.is_exact_for(row, self.background_only);
        (inclusion, weights::weight(self.returned, self.population, probability, inclusion))
    }
}

/// Why the weights of a race are no more than approximate. `guessed`: as [`Weighing::is_guessed`]. `looped`: H depends on R
/// (docs/methods.md 4.3).
pub(super) fn approximations(race: &Race<'_>, guessed: bool, looped: bool) -> Vec<Approximation> {
    let reserves = race.quota.as_ref().is_some_and(Quota::reserves);
    [
        (race.approximate, Approximation::ScanLimit),
        (reserves, Approximation::MinPerStratum),
        (guessed, Approximation::ServedBefore),
        (looped, Approximation::ClosedLoop),
    ]
    .into_iter()
    .filter_map(|(holds, approximation)| holds.then_some(approximation))
    .collect()
}
