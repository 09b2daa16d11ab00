//! The policy by which a batch is chosen, its overrides, and its ranges.

use serde::{Deserialize, Serialize};

use crate::model::balance::Balance;
use crate::model::curriculum::Curriculum;
use crate::model::error::Violation;

/// Maximum exponent of PROPORTIONAL and RANK (docs/methods.md 5.1).
pub const ALPHA_MAX: f64 = 16.0;
/// Maximum number of windows in one policy.
pub const WINDOWS_MAX: usize = 16;

/// How hard samples are chosen (docs/methods.md 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Strategy {
    /// The samples with the highest keys.
    Top,
    /// P(i) proportional to 2^(alpha (k_i - now)).
    #[default]
    Proportional,
    /// P(i) proportional to rank^-alpha; samples of one tier share the mean mass of their ranks.
    Rank,
    /// All hard samples with equal probability.
    Uniform,
    /// The oldest of 16 x B uniform draws (docs/methods.md 5.4).
    Stalest,
}

/// How importance weights are scaled (docs/methods.md 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Normalization {
    /// Weights are not scaled: mean(w f) is the estimate.
    #[default]
    None,
    /// Weights are divided by the largest of the batch.
    Max,
    /// Weights are divided by their mean in the batch.
    Mean,
}

/// What happens if there are too few hard samples (docs/methods.md 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Shortfall {
    /// The batch is smaller, with the mixture of the policy.
    Short,
    /// The background fills the batch.
    #[default]
    Fill,
    /// The request fails with FAILED_PRECONDITION.
    Error,
}

/// A condition on hard samples. Bounds are inclusive, except the `max` of a rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Window {
    /// By raw score.
    Score {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// By rank, 0 the hardest.
    Rank {
        /// First rank.
        min: u64,
        /// One past the last rank.
        max: u64,
    },
    /// By quantile, 1 the hardest.
    Quantile {
        /// Lower bound.
        min: f64,
        /// Upper bound.
        max: f64,
    },
    /// By age of the report: seconds, or steps.
    Age {
        /// Lower bound.
        min: f64,
        /// Upper bound.
        max: f64,
    },
    /// By model version of the report.
    ModelVersion {
        /// Lower bound.
        min: u32,
        /// Upper bound.
        max: u32,
    },
}

/// A policy with all defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// How hard samples are chosen.
    pub strategy: Strategy,
    /// Exponent of PROPORTIONAL and RANK, 0 ..= 16.
    pub alpha: f64,
    /// Expected share of samples from the background, 0 ..= 1.
    pub random_fraction: f64,
    /// Importance weights are raised to this power, 0 ..= 1.
    pub beta: f64,
    /// How importance weights are scaled.
    pub normalization: Normalization,
    /// Conditions on hard samples; all must hold.
    pub windows: Vec<Window>,
    /// What happens if there are too few hard samples.
    pub shortfall: Shortfall,
    /// Limits on strata and groups.
    pub balance: Balance,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::Proportional,
            alpha: 1.0,
            random_fraction: 0.25,
            beta: 1.0,
            normalization: Normalization::None,
            windows: Vec::new(),
            shortfall: Shortfall::Fill,
            balance: Balance::default(),
        }
    }
}

/// Tolerance for the rounding of shares in binary, with which (1 - 0.7) x 10 is 3 and not a little more.
pub(crate) const ROUNDING: f64 = 1e-9;

/// Minimum number of hard samples of a batch of `size`: (1 - epsilon) size, rounded up.
pub(crate) fn hard_wanted(random_fraction: f64, size: usize) -> usize {
    ((1.0 - random_fraction) * size as f64 - ROUNDING).ceil() as usize
}

/// Size of the largest batch for which `hard` samples are enough, at a random fraction below 1.
pub(crate) fn size_for(random_fraction: f64, hard: u64) -> usize {
    (hard as f64 / (1.0 - random_fraction) + ROUNDING) as usize
}

impl Policy {
    /// The policy of a uniform batch, for the warm-up and the control arm. It is weighted like any other.
    #[must_use]
    pub fn uniform(self) -> Self {
        Self {
            strategy: Strategy::Uniform,
            random_fraction: 1.0,
            windows: Vec::new(),
            balance: Balance::default(),
            ..self
        }
    }
}

/// The fields of a policy that a request or a pool sets. Fields that a request leaves open come from the pool, and those that the pool
/// leaves open from the defaults.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct PolicyOverrides {
    /// See [`Policy`].
    pub strategy: Option<Strategy>,
    /// See [`Policy`].
    pub alpha: Option<f64>,
    /// See [`Policy`].
    pub random_fraction: Option<f64>,
    /// See [`Policy`].
    pub beta: Option<f64>,
    /// See [`Policy`].
    pub normalization: Option<Normalization>,
    /// See [`Policy`]; empty: not set.
    pub windows: Vec<Window>,
    /// See [`Policy`].
    pub shortfall: Option<Shortfall>,
    /// See [`Policy`]; it is set as a whole.
    pub balance: Option<Balance>,
    /// Schedules of fields that change with the step, in place of the constants above.
    pub curriculum: Option<Curriculum>,
}

impl PolicyOverrides {
    /// These fields over those of `base`.
    #[must_use]
    pub fn over(&self, base: &Policy) -> Policy {
        Policy {
            strategy: self.strategy.unwrap_or(base.strategy),
            alpha: self.alpha.unwrap_or(base.alpha),
            random_fraction: self.random_fraction.unwrap_or(base.random_fraction),
            beta: self.beta.unwrap_or(base.beta),
            normalization: self.normalization.unwrap_or(base.normalization),
            windows: if self.windows.is_empty() { base.windows.clone() } else { self.windows.clone() },
            shortfall: self.shortfall.unwrap_or(base.shortfall),
            balance: self.balance.as_ref().unwrap_or(&base.balance).clone(),
        }
    }

    /// Checks every range. Errors name the fields below `prefix`.
    #[must_use]
    pub fn violations(&self, prefix: &str) -> Vec<Violation> {
        let mut bad = Vec::new();
        let mut ranged = |value: Option<f64>, name: &str, max: f64| {
            if let Some(value) = value.filter(|v| !(0.0..=max).contains(v)) {
                bad.push(Violation::new(format!("{prefix}.{name}"), format!("{value} is not in 0..={max}")));
            }
        };
        ranged(self.alpha, "alpha", ALPHA_MAX);
        ranged(self.random_fraction, "random_fraction", 1.0);
        ranged(self.beta, "beta", 1.0);
        if self.windows.len() > WINDOWS_MAX {
            bad.push(Violation::new(
                format!("{prefix}.windows"),
                format!("{} windows, over {WINDOWS_MAX}", self.windows.len()),
            ));
        }
        for (i, window) in self.windows.iter().take(WINDOWS_MAX).enumerate() {
            let contradicted = || self.windows[..i].iter().position(|other| window.contradicts(other));
            if let Some(description) = window.fault() {
                bad.push(Violation::new(format!("{prefix}.windows[{i}]"), description));
            } else if let Some(other) = contradicted() {
                bad.push(Violation::new(
                    format!("{prefix}.windows[{i}]"),
                    format!("has nothing in common with {prefix}.windows[{other}]: both must hold"),
                ));
            }
        }
        if let Some(balance) = &self.balance {
            bad.extend(balance.violations(&format!("{prefix}.balance")));
        }
        if let Some(curriculum) = &self.curriculum {
            bad.extend(curriculum.violations(self, prefix));
        }
        bad
    }
}

impl Window {
    /// Whether no sample can satisfy both windows: they are of one kind and do not overlap.
    fn contradicts(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Rank { min: a, max: b }, Self::Rank { min: c, max: d }) => a.max(c) >= b.min(d),
            (Self::Score { min: a, max: b }, Self::Score { min: c, max: d }) => a.max(c) > b.min(d),
            (Self::Quantile { min: a, max: b }, Self::Quantile { min: c, max: d })
            | (Self::Age { min: a, max: b }, Self::Age { min: c, max: d }) => a.max(c) > b.min(d),
            (Self::ModelVersion { min: a, max: b }, Self::ModelVersion { min: c, max: d }) => {
                a.max(c) > b.min(d)
            }
            _ => false,
        }
    }

    fn fault(&self) -> Option<String> {
        fn ordered<T: PartialOrd + Copy + std::fmt::Display>(min: T, max: T) -> Option<String> {
            // With this comparison a NaN bound is an error as well.
            (!matches!(min.partial_cmp(&max), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)))
                .then(|| format!("min {min} is not at most max {max}"))
        }
        match *self {
            Self::Score { min, max } => ordered(min, max),
            Self::Rank { min, max } => (min >= max).then(|| format!("min {min} is not below max {max}")),
            Self::Quantile { min, max } => ordered(min, max)
                .or_else(|| (min < 0.0 || max > 1.0).then(|| format!("{min}..={max} is not within 0..=1"))),
            Self::Age { min, max } => {
                ordered(min, max).or_else(|| (min < 0.0).then(|| format!("min {min} is negative")))
            }
            Self::ModelVersion { min, max } => ordered(min, max),
        }
    }
}
