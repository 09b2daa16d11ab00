//! The unnormalised mass u_i that a strategy gives to a hard sample (docs/methods.md 5.1), and its bound over a bucket.

use super::tiers::Tiers;
use crate::model::policy::{Policy, Strategy};
use crate::store::ServePenalty;
use crate::store::key::UNITS_PER_OCTAVE;

/// Ranks up to this are summed one by one. Beyond, the Euler-Maclaurin formula has a relative error below 1e-5.
const SUMMED_RANKS: u64 = 64;

/// u_i relative to the highest key of the pool. A common factor changes neither draws nor weights.
pub(super) enum Mass {
    /// 2^(alpha (k_i - reference)).
    Proportional { alpha: f64 },
    /// By tier, the mean of rank^-alpha over its ranks.
    Rank { of_tier: Vec<f64> },
    /// 1.
    Uniform,
}

impl Mass {
    pub(super) fn new(policy: &Policy, tiers: &Tiers) -> Self {
        match policy.strategy {
            Strategy::Proportional => Self::Proportional { alpha: policy.alpha },
            Strategy::Rank => Self::Rank {
                of_tier: tiers
                    .list
                    .iter()
                    .map(|t| rank_mass(t.rank, t.rank + t.count, policy.alpha) / t.count as f64)
                    .collect(),
            },
            Strategy::Uniform | Strategy::Top | Strategy::Stalest => Self::Uniform,
        }
    }

    /// The largest mass that a member of a bucket of `tier` with highest key `high` may have.
    pub(super) fn bound(&self, high: i64, tier: usize) -> f64 {
        self.at(high, tier)
    }

    /// The mean mass of the active samples of a tier, from the mean and the variance of their keys (docs/methods.md 7.5).
    pub(super) fn mean(&self, tier: usize, range: &super::tiers::Tier) -> f64 {
        match self {
            Self::Proportional { alpha } => {
                let slope = alpha * std::f64::consts::LN_2 / UNITS_PER_OCTAVE as f64;
                let spread = slope * slope * range.keys.variance() / 2.0;
                (exp2_units(alpha * range.keys.mean) * (1.0 + spread)).min(self.at(range.high, tier))
            }
            _ => self.at(range.high, tier),
        }
    }

    /// The mass at the lowest key of the tier that has samples on both sides of a mass; the mass itself where no tier has.
    pub(super) fn edge_below(&self, mass: f64, tiers: &Tiers) -> f64 {
        let Self::Proportional { .. } = self else {
            return mass;
        };
        let at = tiers.list.partition_point(|tier| self.at(tier.low, 0) >= mass);
        let divided = tiers.list.get(at).filter(|tier| self.at(tier.high, at) >= mass);
        divided.map_or(mass, |tier| self.at(tier.low, at))
    }

    /// The mass of a sample at `offset` in `tier` that was served `serves` times. Each serve multiplies the weight by gamma
    /// (docs/methods.md 9.1). For PROPORTIONAL the mass is a power alpha of that weight; for the others the mass itself is multiplied by
    /// gamma.
    pub(super) fn of(&self, offset: i64, tier: usize, serves: u16, penalty: ServePenalty) -> f64 {
        let units = penalty.units(serves);
        match self {
            Self::Proportional { .. } => self.at(offset - units, tier),
            _ => self.at(offset, tier) * exp2_units(-units as f64),
        }
    }

    fn at(&self, offset: i64, tier: usize) -> f64 {
        match self {
            Self::Proportional { alpha } => exp2_units(alpha * offset as f64),
            Self::Rank { of_tier } => of_tier[tier],
            Self::Uniform => 1.0,
        }
    }
}

fn exp2_units(units: f64) -> f64 {
    (units / UNITS_PER_OCTAVE as f64).exp2()
}

/// The sum of r^-alpha over the ranks first+1 ..= last, where ranks count from 1.
fn rank_mass(first: u64, last: u64, alpha: f64) -> f64 {
    let f = |r: f64| r.powf(-alpha);
    let summed_to = last.min(SUMMED_RANKS.max(first));
    let head: f64 = (first + 1..=summed_to).map(|r| f(r as f64)).sum();
    if last == summed_to {
        return head;
    }
    let (a, b) = (summed_to as f64, last as f64);
    let integral = if (alpha - 1.0).abs() < 1e-9 {
        (b / a).ln()
    } else {
        (b.powf(1.0 - alpha) - a.powf(1.0 - alpha)) / (1.0 - alpha)
    };
    let slope = |r: f64| -alpha * r.powf(-alpha - 1.0);
    head + integral + (f(b) - f(a)) / 2.0 + (slope(b) - slope(a)) / 12.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_mass_agrees_with_the_plain_sum() {
        for alpha in [0.0, 0.5, 1.0, 1.0 + 1e-7, 2.0, 16.0] {
            for (first, last) in [(0, 1), (0, 64), (0, 65), (10, 3000), (64, 65), (5000, 90_000)] {
                let plain: f64 = (first + 1..=last).map(|r| (r as f64).powf(-alpha)).sum();
                let fast = rank_mass(first, last, alpha);
                assert!(
                    (fast - plain).abs() <= 1e-5 * plain,
                    "alpha {alpha} ranks {first}..{last}: {fast} {plain}"
                );
            }
        }
    }
}
