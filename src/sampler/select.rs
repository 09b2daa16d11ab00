//! Selects samples from a set that is given as a whole (docs/methods.md 15): the strategies of a pool without a store, a background or time.

use crate::model::policy::Strategy;
use crate::sampler::flat::rank_mass;
use crate::sampler::planned::{LIGHT_EXPECTED_MIN, LIGHT_MAX};
use crate::sampler::rng::Draws;
use crate::sampler::weights::inclusion_probability;
use crate::store::key::{Hardness, Key, UNITS_PER_OCTAVE};
use crate::store::place::Place;

/// Maximum number of steps of Newton's method; a few are enough unless masses differ by thousands of octaves.
const NEWTON_STEPS_MAX: usize = 20;
/// A sample of this rate arrives; a larger rate is no number in the slope.
const RATE_MAX: f64 = 1e6;
/// Halvings of an interval of up to 10^5 until it is of the size of rounding errors.
const BISECTIONS: usize = 70;

/// A set of samples.
pub(crate) struct Set<'a> {
    /// Scores; all are finite.
    pub(crate) scores: &'a [f32],
    /// Numbers whose hashes order equal scores.
    pub(crate) ids: &'a [u64],
    pub(crate) hardness: Hardness,
    pub(crate) strategy: Strategy,
    pub(crate) alpha: f64,
}

/// The selected samples.
#[derive(Debug, PartialEq)]
pub(crate) struct Drawn {
    /// Their indices in the set, in the order in which they were drawn.
    pub(crate) rows: Vec<u32>,
    /// For each, the probability that it is drawn, or with replacement the expected number of times; `None`: they were not drawn at random.
    pub(crate) expected: Option<Vec<f64>>,
}

impl Set<'_> {
    /// The `count` hardest, in order.
    pub(crate) fn top(&self, count: usize) -> Drawn {
        let mut order = self.in_order();
        order.truncate(count);
        Drawn { rows: order.into_iter().map(|(_, row)| row).collect(), expected: None }
    }

    /// Draws `count` different samples, or all if there are fewer: the first arrivals at T_i = E_i / u_i.
    pub(crate) fn draw(&self, count: usize, draws: &mut Draws) -> Drawn {
        Race::new(self.ln_masses(), count).draw(draws)
    }

    /// Draws `count` times, independently.
    pub(crate) fn draw_with_replacement(&self, count: usize, draws: &mut Draws) -> Drawn {
        Shares::new(&self.ln_masses()).draw(count, draws)
    }

    fn key(&self, row: usize) -> Key {
        self.hardness.key(self.scores[row], 0).0
    }

    /// The places of the samples in the order of a pool (docs/methods.md 3.1), the hardest first.
    fn in_order(&self) -> Vec<(Place, u32)> {
        let place = |row: usize| {
            Place::of(self.key(row), self.scores[row], self.ids[row], self.hardness.lower_is_harder)
        };
        let mut order: Vec<(Place, u32)> =
            (0..self.scores.len()).map(|row| (place(row), row as u32)).collect();
        order.sort_unstable_by(|a, b| b.0.compare(&a.0).then(a.1.cmp(&b.1)));
        order
    }

    /// ln u_i (docs/methods.md 5.1). As logarithms they keep their differences where the masses themselves would be 0.
    fn ln_masses(&self) -> Vec<f64> {
        match self.strategy {
            Strategy::Proportional => {
                let ln_unit = self.alpha * std::f64::consts::LN_2 / UNITS_PER_OCTAVE as f64;
                (0..self.scores.len()).map(|row| ln_unit * self.key(row).since(Key(0)) as f64).collect()
            }
            Strategy::Rank => self.ln_rank_masses(),
            Strategy::Uniform | Strategy::Top | Strategy::Stalest => vec![0.0; self.scores.len()],
        }
    }

    /// ln of rank^-alpha; equal samples share the mean of their ranks.
    fn ln_rank_masses(&self) -> Vec<f64> {
        let order = self.in_order();
        let mut masses = vec![0.0; order.len()];
        let mut first = 0u64;
        for equals in order.chunk_by(|a, b| a.0.standing() == b.0.standing()) {
            let last = first + equals.len() as u64;
            let mass = (rank_mass(first, last, self.alpha) / equals.len() as f64).ln();
            equals.iter().for_each(|(_, row)| masses[*row as usize] = mass);
            first = last;
        }
        masses
    }
}

/// A draw without replacement: all of it that does not depend on chance.
struct Race {
    ln_masses: Vec<f64>,
    count: usize,
    inclusion: Inclusion,
}

/// Where the inclusion probabilities of a draw come from (docs/methods.md 15.2).
#[derive(Debug, PartialEq)]
enum Inclusion {
    /// All samples are drawn.
    Certain,
    /// One sample is: u_i over this sum, of which it is ln.
    Share(f64),
    /// 1 - exp(-u_i tau), of which it is ln tau. Where all masses are equal this is the exact count / n.
    Planned(f64),
    /// The same with the time of the arrival after the last, because a few samples decide when the draw ends.
    Conditional,
}

impl Race {
    fn new(ln_masses: Vec<f64>, count: usize) -> Self {
        let inclusion = if count >= ln_masses.len() {
            Inclusion::Certain
        } else if count == 1 {
            Inclusion::Share(ln_sum(&ln_masses))
        } else {
            let planned = ln_tau(&ln_masses, count as f64);
            let is_even = ln_masses.iter().all(|u| *u == ln_masses[0]);
            if is_even || light_draws(&ln_masses, planned) >= LIGHT_EXPECTED_MIN {
                Inclusion::Planned(planned)
            } else {
                Inclusion::Conditional
            }
        };
        Self { ln_masses, count, inclusion }
    }

    fn draw(&self, draws: &mut Draws) -> Drawn {
        let mut times: Vec<(f64, u32)> =
            self.ln_masses.iter().zip(0..).map(|(u, row)| (draws.exponential().ln() - u, row)).collect();
        let by_time = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let mut ln_end = f64::INFINITY;
        if self.count < times.len() {
            // Sample count + 1 ends the draw.
            times.select_nth_unstable_by(self.count, by_time);
            ln_end = times[self.count].0;
            times.truncate(self.count);
        }
        times.sort_unstable_by(by_time);
        let rows: Vec<u32> = times.into_iter().map(|(_, row)| row).collect();
        let inclusion = |row: &u32| {
            let ln_mass = self.ln_masses[*row as usize];
            let until = |ln_tau: f64| inclusion_probability((ln_mass + ln_tau).exp(), Some(1.0));
            match self.inclusion {
                Inclusion::Certain => 1.0,
                Inclusion::Share(ln_sum) => (ln_mass - ln_sum).exp(),
                Inclusion::Planned(ln_tau) => until(ln_tau),
                Inclusion::Conditional => until(ln_end),
            }
        };
        Drawn { expected: Some(rows.iter().map(inclusion).collect()), rows }
    }
}

/// A draw with replacement: q_i of each sample, and their running sums.
struct Shares {
    shares: Vec<f64>,
    sums: Vec<f64>,
}

impl Shares {
    fn new(ln_masses: &[f64]) -> Self {
        let ln_sum = ln_sum(ln_masses);
        let shares: Vec<f64> = ln_masses.iter().map(|u| (u - ln_sum).exp()).collect();
        let mut sum = 0.0;
        let running = |share: &f64| {
            sum += share;
            sum
        };
        let sums = shares.iter().map(running).collect();
        Self { shares, sums }
    }

    fn draw(&self, count: usize, draws: &mut Draws) -> Drawn {
        let last = self.sums.len().saturating_sub(1);
        let sum = self.sums.last().copied().unwrap_or_default();
        let row = |_| {
            let x = draws.unit() * sum;
            self.sums.partition_point(|s| *s <= x).min(last) as u32
        };
        let rows: Vec<u32> = (0..count).map(row).collect();
        let expected = rows.iter().map(|row| count as f64 * self.shares[*row as usize]).collect();
        Drawn { rows, expected: Some(expected) }
    }
}

/// ln of the sum of e^x.
fn ln_sum(xs: &[f64]) -> f64 {
    let most = xs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + xs.iter().map(|x| (x - most).exp()).sum::<f64>().ln()
}

/// How many samples are expected until `ln_tau` of those that arrive before it with a rate below one half.
fn light_draws(ln_masses: &[f64], ln_tau: f64) -> f64 {
    ln_masses.iter().map(|u| (u + ln_tau).exp()).filter(|rate| *rate < LIGHT_MAX).sum()
}

/// ln of the tau that solves sum (1 - exp(-u_i tau)) = `count`, which is below the number of samples: by Newton's method, and by bisection
/// where masses are so far apart that one step settles one sample only.
fn ln_tau(ln_masses: &[f64], count: f64) -> f64 {
    let least = ln_masses.iter().copied().fold(f64::INFINITY, f64::min);
    // 1 - exp(-x) <= x, so tau is at least the first of these; at the second every sample is expected.
    let (mut low, mut high) = (count.ln() - ln_sum(ln_masses), 40.0 - least);
    let mut ln_tau = low;
    for step in 0..NEWTON_STEPS_MAX + BISECTIONS {
        let (mut reached, mut slope) = (0.0, f64::MIN_POSITIVE);
        for u in ln_masses {
            let rate = (u + ln_tau).exp().min(RATE_MAX);
            reached -= (-rate).exp_m1();
            slope += rate * (-rate).exp();
        }
        let missing = count - reached;
        if missing.abs() <= 1e-9 * count {
            break;
        }
        if missing > 0.0 {
            low = ln_tau;
        } else {
            high = ln_tau;
        }
        // The slope is with respect to ln tau, so this is the relative step of tau.
        let next = ln_tau + (missing / slope).max(-0.5).ln_1p();
        let is_within = next > low && next < high;
        ln_tau = if step < NEWTON_STEPS_MAX && is_within { next } else { f64::midpoint(low, high) };
    }
    ln_tau
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
