//! How the wanted negatives of an anchor are split between its own and the background.

use crate::model::negative_policy::{NegativePolicy, NegativeStrategy};
use crate::model::policy::{ROUNDING, hard_wanted as hard_share};

/// The number of `wanted` negatives that TOP takes from the background (docs/methods.md 10.4).
pub(crate) fn random_of_top(random_fraction: f64, wanted: usize) -> usize {
    ((random_fraction * wanted as f64 + ROUNDING).round() as usize).min(wanted)
}

/// The number of eligible negatives of its own that an anchor needs. If it has fewer, the shortfall rule of the policy applies.
pub(crate) fn hard_wanted(policy: &NegativePolicy, wanted: usize) -> usize {
    match policy.strategy {
        NegativeStrategy::Top => wanted - random_of_top(policy.random_fraction, wanted),
        _ => hard_share(policy.random_fraction, wanted),
    }
}

/// SHORT: the largest number of negatives, up to `wanted`, for which `eligible` negatives are enough (docs/methods.md 6.4).
pub(crate) fn wanted_of_short(policy: &NegativePolicy, wanted: usize, eligible: usize) -> usize {
    // Binary search: what is enough for a number is enough for every smaller number.
    let (mut enough, mut least_too_many) = (0, wanted + 1);
    while least_too_many - enough > 1 {
        let middle = usize::midpoint(enough, least_too_many);
        if hard_wanted(policy, middle) <= eligible {
            enough = middle;
        } else {
            least_too_many = middle;
        }
    }
    enough
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `hard_wanted` in integer arithmetic, for shares in thousandths.
    fn exact(strategy: NegativeStrategy, thousandths: usize, wanted: usize) -> usize {
        match strategy {
            // Halves are rounded up.
            NegativeStrategy::Top => wanted - (2 * thousandths * wanted + 1000) / 2000,
            _ => ((1000 - thousandths) * wanted).div_ceil(1000),
        }
    }

    #[test]
    fn hard_wanted_agrees_with_integer_arithmetic() {
        let sizes: Vec<usize> = (1..70).chain([100, 128, 250, 256, 500, 999, 1000, 1023, 1024]).collect();
        for strategy in [NegativeStrategy::Top, NegativeStrategy::Random] {
            for thousandths in 0..=1000 {
                let random_fraction = thousandths as f64 / 1000.0;
                let policy = NegativePolicy { strategy, random_fraction, ..NegativePolicy::default() };
                for &wanted in &sizes {
                    let hard = exact(strategy, thousandths, wanted);
                    assert_eq!(hard_wanted(&policy, wanted), hard, "{strategy:?} {thousandths} {wanted}");
                }
            }
        }
    }

    #[test]
    fn short_keeps_the_largest_number_for_which_the_eligible_negatives_are_enough() {
        for strategy in [NegativeStrategy::Top, NegativeStrategy::Proportional] {
            for thousandths in (0..=1000).step_by(25) {
                let random_fraction = thousandths as f64 / 1000.0;
                let policy = NegativePolicy { strategy, random_fraction, ..NegativePolicy::default() };
                for wanted in 1..30 {
                    for eligible in 0..30 {
                        let enough = |size: &usize| exact(strategy, thousandths, *size) <= eligible;
                        let most = (0..=wanted).filter(enough).max();
                        let got = wanted_of_short(&policy, wanted, eligible);
                        assert_eq!(Some(got), most, "{strategy:?} {thousandths} {wanted} {eligible}");
                    }
                }
            }
        }
    }
}
