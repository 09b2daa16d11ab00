//! The policy by which the negatives of an anchor are chosen, with its ranges.

use crate::model::anchored_spec::margin_violations;
use crate::model::error::{Checks, Violation};
use crate::model::policy::{ALPHA_MAX, Shortfall};
use hardneg_partition::anchors::Margins;

/// The strategy by which the negatives of an anchor are chosen (docs/methods.md 10.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NegativeStrategy {
    /// The hardest negatives.
    #[default]
    Top,
    /// All eligible negatives with equal probability.
    Random,
    /// P(i) proportional to 2^(alpha (k_i - now)).
    Proportional,
    /// Negatives slightly easier than the positive, with equal probability (Schroff et al. 2015).
    SemiHard,
    /// P(i) proportional to the inverse density of distances on a sphere (Wu et al. 2017).
    DistanceWeighted,
}

/// The parameters of DISTANCE_WEIGHTED (Wu et al. 2017).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DistanceWeighting {
    /// n, the dimension of the embedding; at least 3.
    pub dimension: u32,
    /// Smaller distances count as this one; above 0 and below 2.
    pub cutoff: f64,
    /// Negatives at larger distances are not eligible; above `cutoff` and at most 2.
    pub max_distance: f64,
}

impl DistanceWeighting {
    /// The parameters for this dimension, with the cutoff and the largest distance of Wu et al. 2017: 1.4 = sqrt(2 - 2 x 0.02).
    #[must_use]
    pub const fn of_dimension(dimension: u32) -> Self {
        Self { dimension, cutoff: 0.5, max_distance: 1.4 }
    }
}

/// How the negatives of an anchor are chosen. Bounds are inclusive, except `range_max`.
#[derive(Clone, Debug, PartialEq)]
pub struct NegativePolicy {
    /// The strategy.
    pub strategy: NegativeStrategy,
    /// The exponent of PROPORTIONAL, 0 ..= 16.
    pub alpha: f64,
    /// Expected share of negatives from the background, 0 ..= 1.
    pub random_fraction: f64,
    /// Number of the hardest negatives that are skipped, of those that the other filters admit.
    pub range_min: u32,
    /// Number of the hardest negatives that are considered, of those that the other filters admit; `None`: all.
    pub range_max: Option<u32>,
    /// Minimum raw score; `None`: no limit.
    pub min_score: Option<f32>,
    /// Maximum raw score; `None`: no limit.
    pub max_score: Option<f32>,
    /// Margins below the positive score. Those that are `None` are taken from the pool.
    pub margins: Margins,
    /// Only negatives harder than the positive score less this margin: s_n > s_p - margin, d_n < d_p + margin; finite and at least 0. `None`:
    /// no limit.
    pub hard_margin: Option<f32>,
    /// SEMI_HARD: the margin from the positive score; above 0, and required by it.
    pub semi_hard_margin: Option<f32>,
    /// DISTANCE_WEIGHTED: its parameters, required by it.
    pub distance_weighting: Option<DistanceWeighting>,
    /// Maximum number of negatives of one group; 0: no limit.
    pub max_per_group: u32,
    /// Minimum and maximum age of the report, in seconds or steps; `None`: no limit.
    pub age: Option<(f64, f64)>,
    /// Minimum and maximum model version of the report; `None`: no limit.
    pub model_version: Option<(u32, u32)>,
    /// What happens if there are too few negatives.
    pub shortfall: Shortfall,
    /// FILL_UNSCORED: the background may bring samples that no filter can judge, because they were not reported for the anchor. Without it
    /// such samples are served only if the policy has no filter that needs a report.
    pub unscored: bool,
}

impl Default for NegativePolicy {
    fn default() -> Self {
        Self {
            strategy: NegativeStrategy::Top,
            alpha: 1.0,
            random_fraction: 0.0,
            range_min: 0,
            range_max: None,
            min_score: None,
            max_score: None,
            margins: Margins::default(),
            hard_margin: None,
            semi_hard_margin: None,
            distance_weighting: None,
            max_per_group: 0,
            age: None,
            model_version: None,
            shortfall: Shortfall::Fill,
            unscored: false,
        }
    }
}

impl NegativePolicy {
    /// This policy, with the margins of the pool in place of those that it lacks.
    #[must_use]
    pub fn over(mut self, pool: Margins) -> Self {
        self.margins.absolute = self.margins.absolute.or(pool.absolute);
        self.margins.relative = self.margins.relative.or(pool.relative);
        self
    }

    /// This policy as draws apply it. If samples without a score may not be served, the background brings nothing that the anchor does not
    /// have itself, so its own negatives get the share of the background.
    #[must_use]
    pub fn applied(mut self) -> Self {
        if !self.admits_unscored() {
            self.random_fraction = 0.0;
        }
        self
    }

    /// Whether a filter needs a report of the negative for the anchor. A sample of the background may have none.
    #[must_use]
    pub fn needs_report(&self) -> bool {
        self.min_score.is_some()
            || self.max_score.is_some()
            || self.measures_from_positive()
            || self.strategy == NegativeStrategy::DistanceWeighted
            || self.age.is_some()
            || self.model_version.is_some()
            || self.range_min > 0
            || self.range_max.is_some()
    }

    /// Whether a filter measures from the positive score of the anchor.
    #[must_use]
    pub fn measures_from_positive(&self) -> bool {
        self.margins.is_some() || self.hard_margin.is_some() || self.strategy == NegativeStrategy::SemiHard
    }

    /// Whether samples of the background that were not reported for the anchor may be served to it.
    #[must_use]
    pub fn admits_unscored(&self) -> bool {
        self.unscored || !self.needs_report()
    }

    /// Checks every range of a policy that has the margins of the pool. Errors name the fields below `policy`.
    #[must_use]
    pub fn violations(&self, negatives_per_anchor: u32) -> Vec<Violation> {
        let mut bad = Checks::below("policy");
        let share = self.random_fraction;
        bad.check(
            (0.0..=ALPHA_MAX).contains(&self.alpha),
            "alpha",
            format!("{} is not in 0..={ALPHA_MAX}", self.alpha),
        );
        bad.check((0.0..=1.0).contains(&share), "random_fraction", format!("{share} is not in 0..=1"));
        let range_min = self.range_min;
        match self.range_max {
            Some(max) => {
                bad.check(
                    max <= negatives_per_anchor,
                    "range_max",
                    format!("{max} is over the pool's negatives_per_anchor {negatives_per_anchor}"),
                );
                bad.check(range_min < max, "range_min", format!("{range_min} is not below range_max {max}"));
            }
            None => bad.check(
                range_min < negatives_per_anchor,
                "range_min",
                format!("{range_min} is not below the pool's negatives_per_anchor {negatives_per_anchor}"),
            ),
        }
        for (score, field) in [(self.min_score, "min_score"), (self.max_score, "max_score")] {
            bad.check(!score.is_some_and(f32::is_nan), field, "is not a number".into());
        }
        if let (Some(min), Some(max)) = (self.min_score, self.max_score) {
            bad.check(
                min.is_nan() || max.is_nan() || min <= max,
                "min_score",
                format!("{min} is over max_score {max}"),
            );
        }
        if let Some((min, max)) = self.age {
            bad.check(
                min >= 0.0 && min <= max,
                "age",
                format!("{min}..={max} is not a range of ages: 0 <= min <= max must hold"),
            );
        }
        if let Some((min, max)) = self.model_version {
            bad.check(min <= max, "model_version", format!("min {min} is not at most max {max}"));
        }
        bad.found.extend(margin_violations("policy", self.margins));
        bad.found.extend(hard_margin_violations(self));
        bad.found.extend(self.strategy_violations());
        bad.found
    }
}

impl NegativePolicy {
    /// Checks the parameters of the strategy.
    fn strategy_violations(&self) -> Vec<Violation> {
        match self.strategy {
            NegativeStrategy::Top | NegativeStrategy::Random | NegativeStrategy::Proportional => Vec::new(),
            NegativeStrategy::SemiHard => semi_hard_violations(self),
            NegativeStrategy::DistanceWeighted => distance_weighted_violations(self),
        }
    }
}

fn hard_margin_violations(policy: &NegativePolicy) -> Vec<Violation> {
    let wrong = match (policy.hard_margin, policy.margins.absolute) {
        (Some(margin), _) if !(margin.is_finite() && margin >= 0.0) => {
            format!("{margin} is not a finite number of at least 0")
        }
        // No negative is both harder than the one bound and easier than the other.
        (Some(margin), Some(absolute)) if absolute >= margin => {
            format!("{margin} is not above absolute_margin {absolute}: nothing would be eligible")
        }
        _ => return Vec::new(),
    };
    vec![Violation::new("policy.hard_margin", wrong)]
}

fn semi_hard_violations(policy: &NegativePolicy) -> Vec<Violation> {
    let wrong = match policy.semi_hard_margin {
        None => "is required by SEMI_HARD".to_owned(),
        Some(margin) if !(margin.is_finite() && margin > 0.0) => {
            format!("{margin} is not a finite number above 0")
        }
        // No negative is both within the one margin and beyond the other.
        Some(margin) => match policy.margins.absolute {
            Some(absolute) if absolute >= margin => {
                format!("{margin} is not above absolute_margin {absolute}: nothing would be eligible")
            }
            _ => return Vec::new(),
        },
    };
    vec![Violation::new("policy.semi_hard_margin", wrong)]
}

fn distance_weighted_violations(policy: &NegativePolicy) -> Vec<Violation> {
    let Some(given) = policy.distance_weighting else {
        return vec![Violation::new("policy.distance_weighting", "is required by DISTANCE_WEIGHTED")];
    };
    let mut bad = Checks::below("policy.distance_weighting");
    let DistanceWeighting { dimension, cutoff, max_distance } = given;
    bad.check(dimension >= 3, "dimension", format!("{dimension} is not at least 3"));
    bad.check(cutoff > 0.0 && cutoff < 2.0, "cutoff", format!("{cutoff} is not above 0 and below 2"));
    bad.check(
        max_distance > cutoff && max_distance <= 2.0,
        "max_distance",
        format!("{max_distance} is not above cutoff {cutoff} and at most 2"),
    );
    bad.found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every filter by score, margin, range, age or version needs a report; exclusions and groups do not.
    #[test]
    fn the_background_takes_no_part_where_a_filter_needs_a_report() {
        let mixed = || NegativePolicy { random_fraction: 0.5, ..NegativePolicy::default() };
        let margin = |absolute, relative| Margins { absolute, relative };
        let filtered = [
            NegativePolicy { min_score: Some(0.0), ..mixed() },
            NegativePolicy { max_score: Some(0.0), ..mixed() },
            NegativePolicy { margins: margin(Some(0.0), None), ..mixed() },
            NegativePolicy { margins: margin(None, Some(0.5)), ..mixed() },
            NegativePolicy { hard_margin: Some(0.5), ..mixed() },
            NegativePolicy { range_min: 1, ..mixed() },
            NegativePolicy { range_max: Some(4), ..mixed() },
            NegativePolicy { age: Some((0.0, 1.0)), ..mixed() },
            NegativePolicy { model_version: Some((1, 2)), ..mixed() },
            NegativePolicy { strategy: NegativeStrategy::SemiHard, ..mixed() },
            NegativePolicy { strategy: NegativeStrategy::DistanceWeighted, ..mixed() },
        ];
        for policy in filtered {
            assert_eq!(policy.clone().applied().random_fraction, 0.0, "{policy:?}");
            let unscored = NegativePolicy { unscored: true, ..policy };
            assert_eq!(unscored.clone().applied(), unscored, "FILL_UNSCORED");
        }
        let free = NegativePolicy { max_per_group: 1, ..mixed() };
        assert_eq!(free.clone().applied(), free);
        let of_pool = free.over(margin(Some(0.1), None));
        assert_eq!(of_pool.applied().random_fraction, 0.0, "the margins of the pool count");
    }
}
