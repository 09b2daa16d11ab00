//! Limits on the samples of one stratum or group in a batch (docs/methods.md 8).

use serde::{Deserialize, Serialize};
use std::collections::HashSet;

use crate::model::error::{Checks, Violation};

/// Maximum number of limits of single strata in one policy.
pub const STRATUM_CAPS_MAX: usize = 1024;

/// The limit of one stratum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum StratumLimit {
    /// A share of the batch asked for, 0 ..= 1. The number of samples is rounded down, and is at least 1 unless the share is 0.
    Fraction(f64),
    /// A number of samples.
    Count(u32),
}

impl StratumLimit {
    /// The limit in samples, for a batch of `size`.
    #[must_use]
    pub fn samples(self, size: usize) -> u32 {
        match self {
            Self::Fraction(0.0) => 0,
            // The small constant absorbs rounding, such as that of 0.29 x 100.
            Self::Fraction(fraction) => ((fraction * size as f64 + 1e-6) as u32).max(1),
            Self::Count(count) => count,
        }
    }
}

/// Limits on strata and groups, over both sources together. The default has no limits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// Maximum share of any stratum, above 0 and at most 1; 0: no limit.
    pub max_stratum_fraction: f64,
    /// Limits of single strata, which replace `max_stratum_fraction` for these.
    pub stratum_caps: Vec<(u32, StratumLimit)>,
    /// Whether every stratum gets the same share.
    pub equal_shares: bool,
    /// Minimum number of samples of each stratum, as far as it has them; 0: no minimum.
    pub min_per_stratum: u32,
    /// Maximum number of samples of one group; 0: no limit.
    pub max_per_group: u32,
}

impl Balance {
    /// Whether there are any limits.
    #[must_use]
    pub fn is_active(&self) -> bool {
        *self != Self::default()
    }

    /// Whether there are limits on strata.
    #[must_use]
    pub fn is_by_stratum(&self) -> bool {
        self.equal_shares
            || self.min_per_stratum > 0
            || self.max_stratum_fraction > 0.0
            || !self.stratum_caps.is_empty()
    }

    /// The cap of a stratum without a limit of its own, in samples of a batch of `size`, not considering equal shares.
    #[must_use]
    pub fn default_cap(&self, size: usize) -> u32 {
        if self.max_stratum_fraction > 0.0 {
            StratumLimit::Fraction(self.max_stratum_fraction).samples(size)
        } else {
            u32::MAX
        }
    }

    /// Checks every range. Errors name the fields below `prefix`.
    #[must_use]
    pub fn violations(&self, prefix: &str) -> Vec<Violation> {
        let mut bad = Checks::below(prefix);
        bad.check(
            (0.0..=1.0).contains(&self.max_stratum_fraction),
            "max_stratum_fraction",
            format!("{} is not in 0..=1", self.max_stratum_fraction),
        );
        bad.check(
            self.stratum_caps.len() <= STRATUM_CAPS_MAX,
            "stratum_caps",
            format!("{} caps, over {STRATUM_CAPS_MAX}", self.stratum_caps.len()),
        );
        let mut seen = HashSet::new();
        for (i, (stratum, limit)) in self.stratum_caps.iter().take(STRATUM_CAPS_MAX).enumerate() {
            bad.check(
                seen.insert(*stratum),
                &format!("stratum_caps[{i}].stratum"),
                format!("stratum {stratum} has another cap above"),
            );
            if let StratumLimit::Fraction(fraction) = limit {
                bad.check(
                    (0.0..=1.0).contains(fraction),
                    &format!("stratum_caps[{i}].max_fraction"),
                    format!("{fraction} is not in 0..=1"),
                );
            }
        }
        let capped = self.max_stratum_fraction > 0.0 || !self.stratum_caps.is_empty();
        bad.check(
            !(self.equal_shares && capped),
            "equal_shares",
            "cannot be combined with max_stratum_fraction or stratum_caps".into(),
        );
        bad.check(
            !(self.equal_shares && self.min_per_stratum > 0),
            "min_per_stratum",
            "cannot be combined with equal_shares, which gives every stratum the same share".into(),
        );
        bad.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_down_to_at_least_one_sample() {
        assert_eq!(StratumLimit::Fraction(0.29).samples(100), 29);
        assert_eq!(StratumLimit::Fraction(0.5).samples(5), 2);
        assert_eq!(StratumLimit::Fraction(0.01).samples(5), 1);
        assert_eq!(StratumLimit::Fraction(0.0).samples(5), 0);
        assert_eq!(StratumLimit::Count(7).samples(5), 7);
    }
}
