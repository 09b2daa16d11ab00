//! Inclusion probabilities that are fixed before the draw (docs/methods.md 7.5).
//!
//! A probability that is computed from the time at which the batch was full carries the noise of that time into every weight. The time at
//! which the batch is expected to be full has no noise, and is a function of the counts alone.

use crate::sampler::mixture::{Point, solve_tau};
use crate::sampler::weights::inclusion_probability;

/// The expected number of light samples that a batch needs for its planned probabilities to be accurate. A sample is light if it is expected
/// less than [`LIGHT_MAX`] times: with fewer, the few heavy ones decide when the batch is full.
pub(crate) const LIGHT_EXPECTED_MIN: f64 = 4.0;
pub(crate) const LIGHT_MAX: f64 = 0.5;

/// What takes part in a race, by the counts before the draw.
pub(crate) struct Participants<'a> {
    /// The hard samples, by mass.
    pub(crate) hard: &'a [Point],
    /// The share of the hard samples that are members of R as well.
    pub(crate) overlap: f64,
    /// The members of R that do not rest, by their rate as members.
    pub(crate) members: &'a [Point],
}

/// How long every sample is expected to take part in the race.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Planned {
    /// The time at which the batch is expected to be full.
    Until(f64),
    /// A batch of one, in which a sample is drawn with probability r_i over this sum of all rates.
    One(f64),
}

impl Planned {
    /// The plan of a batch of `size`. `None`: all that takes part is drawn, or a few heavy samples decide when the batch is full.
    pub(crate) fn of(participants: &Participants<'_>, size: usize) -> Option<Self> {
        let points = participants.points();
        let total: f64 = points.iter().map(|point| point.weight).sum();
        let size = size as f64;
        if size < 1.0 || total < size + 0.5 {
            return None;
        }
        if size == 1.0 {
            let rate = points.iter().map(|point| point.weight * point.mass).sum();
            return (rate > 0.0).then_some(Self::One(rate));
        }
        let tau = solve_tau(&points, size);
        let light = points.iter().filter(|point| point.mass * tau < LIGHT_MAX);
        let expected: f64 = light.map(|point| point.weight * point.mass * tau).sum();
        (expected >= LIGHT_EXPECTED_MIN || is_even(&points)).then_some(Self::Until(tau))
    }

    /// The inclusion probability of a sample of rate r_i.
    pub(crate) fn inclusion(self, rate: f64) -> f64 {
        match self {
            Self::Until(tau) => inclusion_probability(rate, Some(tau)),
            Self::One(sum) => (rate / sum).min(1.0),
        }
    }
}

/// Whether all rates are equal, so that the batch is a simple random sample and the plan is exact.
fn is_even(points: &[Point]) -> bool {
    let rates = || points.iter().filter(|point| point.weight > 0.0).map(|point| point.mass);
    let (lowest, highest) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
    highest <= lowest * (1.0 + 1e-9)
}

impl Participants<'_> {
    /// All that takes part, by rate. R is a uniform sample of the ids, so each mass has the same share of members of R.
    fn points(&self) -> Vec<Point> {
        let hard: f64 = self.hard.iter().filter(|p| p.mass > 0.0).map(|p| p.weight).sum();
        let members: f64 = self.members.iter().map(|p| p.weight).sum();
        let rates: f64 = self.members.iter().map(|p| p.weight * p.mass).sum();
        let overlap = if hard > 0.0 { self.overlap.min(members / hard) } else { 0.0 };
        // The members of R outside H, and the mean rate of those in it.
        let outside = if members > 0.0 { 1.0 - overlap * hard / members } else { 0.0 };
        let mean_rate = if members > 0.0 { rates / members } else { 0.0 };
        let mut points = Vec::with_capacity(2 * self.hard.len() + self.members.len());
        for point in self.hard.iter().filter(|p| p.mass > 0.0 && p.weight > 0.0) {
            points.push(Point { weight: point.weight * (1.0 - overlap), mass: point.mass });
            if overlap > 0.0 {
                points.push(Point { weight: point.weight * overlap, mass: point.mass + mean_rate });
            }
        }
        points.extend(self.members.iter().map(|p| Point { weight: p.weight * outside, mass: p.mass }));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_probabilities_sum_to_the_size_of_the_batch() {
        let hard: Vec<Point> =
            (0..64).map(|i| Point { weight: 10.0, mass: (-f64::from(i) / 8.0).exp2() }).collect();
        for (overlap, rate) in [(0.0, 0.0), (0.125, 0.01), (1.0, 0.002)] {
            let members = [Point { weight: 1_000.0, mass: rate }];
            let participants =
                Participants { hard: &hard, overlap, members: if rate > 0.0 { &members } else { &[] } };
            for size in [16, 64, 256] {
                let planned = Planned::of(&participants, size).expect("many light samples");
                let of = |p: &Point| p.weight * planned.inclusion(p.mass);
                let sum: f64 = participants.points().iter().map(of).sum();
                assert!((sum / size as f64 - 1.0).abs() < 1e-3, "{overlap} {size}: {sum}");
            }
        }
    }

    #[test]
    fn a_batch_of_one_is_drawn_by_the_share_of_the_rates() {
        let hard = [Point { weight: 2.0, mass: 3.0 }, Point { weight: 4.0, mass: 0.5 }];
        let participants = Participants { hard: &hard, overlap: 0.0, members: &[] };
        let planned = Planned::of(&participants, 1).expect("a batch of one");
        assert!((planned.inclusion(3.0) - 0.375).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_planned_where_a_few_heavy_samples_decide_or_all_are_drawn() {
        let heavy = [Point { weight: 8.0, mass: 1.0 }, Point { weight: 1_000.0, mass: 1e-7 }];
        let of = |hard: &[Point], size| Planned::of(&Participants { hard, overlap: 0.0, members: &[] }, size);
        assert_eq!(of(&heavy, 4), None, "nothing but heavy samples");
        assert_eq!(of(&[Point { weight: 8.0, mass: 1.0 }], 8), None, "all are drawn");
        let even = of(&[Point { weight: 10.0, mass: 0.3 }], 8).expect("a simple random sample");
        assert!((even.inclusion(0.3) - 0.8).abs() < 1e-4, "{even:?}");
    }
}
