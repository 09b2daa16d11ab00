//! The rate at which a candidate arrives in the race of an anchor, and its inclusion probability (docs/methods.md 10.4).
//!
//! A candidate has r_i = u_i + rho 1[i in R]. The probability is marginal over R: with p the probability that the id is in R it is
//!
//! ```text
//! pi_i = p (1 - exp(-u_i tau - rho min(tau, cut))) + (1 - p) (1 - exp(-u_i tau)),
//! ```
//!
//! whether the id is in R or not. For an id that is not among the eligible negatives of the anchor, u_i is 0, and so is the second part.

use crate::sampler::weights::inclusion_probability;

/// The parts of r_i.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// ln u_i; -inf: the sample can arrive from the background only.
    pub(crate) ln_mass: f64,
    /// rho, the rate of each member of the background; 0: the background takes no part.
    pub(crate) background: f64,
    /// p: the probability that the id is a member of the background.
    pub(crate) membership: f64,
}

impl Rate {
    /// The rate of a negative that was not drawn at random.
    pub(crate) const NONE: Self = Self { ln_mass: f64::NEG_INFINITY, background: 0.0, membership: 0.0 };

    /// pi_i. `ln_tau` is infinite if nothing was left to arrive, `cut` if the background was not cut off.
    pub(crate) fn inclusion(self, ln_tau: f64, cut: f64) -> f64 {
        // A part of rate 0 is not multiplied, because 0 times an infinite time is NaN.
        let own = if self.ln_mass == f64::NEG_INFINITY { 0.0 } else { (self.ln_mass + ln_tau).exp() };
        let background = if self.background == 0.0 { 0.0 } else { self.background * ln_tau.exp().min(cut) };
        let arrives = |expected: f64| inclusion_probability(expected, Some(1.0));
        let (member, stranger) = (arrives(own + background), arrives(own));
        self.membership * member + (1.0 - self.membership) * stranger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probability_is_the_mean_over_membership() {
        let rate = Rate { ln_mass: 0.5_f64.ln(), background: 0.25, membership: 0.125 };
        let expected = 0.125 * -(-0.75_f64 * 2.0).exp_m1() + 0.875 * -(-0.5_f64 * 2.0).exp_m1();
        assert!((rate.inclusion(2.0_f64.ln(), f64::INFINITY) - expected).abs() < 1e-12);
        let cut = 0.125 * -(-1.0_f64 - 0.25).exp_m1() + 0.875 * -(-1.0_f64).exp_m1();
        assert!((rate.inclusion(2.0_f64.ln(), 1.0) - cut).abs() < 1e-12);
    }

    #[test]
    fn a_sample_of_the_background_only_has_at_most_the_probability_of_membership() {
        let rate = Rate { ln_mass: f64::NEG_INFINITY, background: 0.25, membership: 0.125 };
        assert!((rate.inclusion(1.0_f64.ln(), f64::INFINITY) - 0.125 * -(-0.25_f64).exp_m1()).abs() < 1e-12);
        assert_eq!(rate.inclusion(f64::INFINITY, f64::INFINITY), 0.125, "all of R arrived");
        let own = Rate { ln_mass: 0.0, ..rate };
        assert_eq!(own.inclusion(f64::INFINITY, f64::INFINITY), 1.0);
        // Masses far below the largest are no NaN.
        let faint = Rate { ln_mass: -1_000.0, background: 0.0, membership: 0.125 };
        assert!(faint.inclusion(1.0, f64::INFINITY) >= 0.0);
    }
}
