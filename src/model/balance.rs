//! Limits on what of a batch may be of one stratum or group (docs/methods.md 8).

use serde::{Deserialize, Serialize};
use std::collections::HashSet;

use crate::model::error::{Checks, Violation};

/// Most limits of single strata in one policy.
pub const STRATUM_CAPS_MAX: usize = 1024;

/// The limit of one stratum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum StratumLimit {
    /// A share of the batch asked for, 0 ..= 1; rounded down, but at least 1 unless it is 0.
    Fraction(f64),
    /// Samples.
    Count(u32),
}

impl StratumLimit {
    /// Samples of a batch of `size`.
    #[must_use]
    pub fn samples(self, size: usize) -> u32 {
        match self {
            Self::Fraction(0.0) => 0,
            // Tolerates the rounding of 0.29 x 100.
            Self::Fraction(fraction) => ((fraction * size as f64 + 1e-6) as u32).max(1),
            Self::Count(count) => count,
        }
    }
}

/// Limits on strata and groups, over both sources; the default limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// The most of any stratum, a share over 0 and at most 1; 0: no limit.
    pub max_stratum_fraction: f64,
    /// Limits of single strata, which go before it.
    pub stratum_caps: Vec<(u32, StratumLimit)>,
    /// The same share for every stratum.
    pub equal_shares: bool,
    /// At least so many of each stratum, as far as it has them.
    pub min_per_stratum: u32,
    /// The most of one group; 0: no limit.
    pub max_per_group: u32,
}

impl Balance {
    /// Whether it limits anything.
    #[must_use]
    pub fn is_active(&self) -> bool {
        *self != Self::default()
    }

    /// Whether strata matter.
    #[must_use]
    pub fn is_by_stratum(&self) -> bool {
        self.equal_shares
            || self.min_per_stratum > 0
            || self.max_stratum_fraction > 0.0
            || !self.stratum_caps.is_empty()
    }

    /// The most of a stratum in a batch of `size`, equal shares left out.
    #[must_use]
    pub fn default_cap(&self, size: usize) -> u32 {
        if self.max_stratum_fraction > 0.0 {
            StratumLimit::Fraction(self.max_stratum_fraction).samples(size)
        } else {
            u32::MAX
        }
    }

    /// Checks every range; fields are named below `prefix`.
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
                format!("{stratum} has a cap before this one"),
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
            "cannot be together with max_stratum_fraction or stratum_caps".into(),
        );
        bad.check(
            !(self.equal_shares && self.min_per_stratum > 0),
            "min_per_stratum",
            "cannot be together with equal_shares, which gives every stratum its share".into(),
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
