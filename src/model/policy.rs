//! How a batch is chosen: the policy, what a request overrides of it, and its ranges.

use serde::{Deserialize, Serialize};

use crate::model::balance::Balance;
use crate::model::curriculum::Curriculum;
use crate::model::error::Violation;

/// Largest exponent of PROPORTIONAL and RANK (docs/methods.md 5.1).
pub const ALPHA_MAX: f64 = 16.0;
/// Most windows in one policy.
pub const WINDOWS_MAX: usize = 16;

/// How hard samples are chosen (docs/methods.md 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Strategy {
    /// The largest keys.
    Top,
    /// P(i) proportional to 2^(alpha (k_i - now)).
    #[default]
    Proportional,
    /// P(i) proportional to rank^-alpha; ties share their ranks' mean mass.
    Rank,
    /// Every hard sample alike.
    Uniform,
    /// The oldest of 16 x B uniform draws (docs/methods.md 5.4).
    Stalest,
}

/// How importance weights are scaled (docs/methods.md 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Normalization {
    /// mean(w f) is the estimate.
    #[default]
    None,
    /// Divided by the largest.
    Max,
    /// Divided by the mean.
    Mean,
}

/// What happens with too few hard samples (docs/methods.md 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Shortfall {
    /// A smaller batch with the mixture asked for.
    Short,
    /// The background fills the batch.
    #[default]
    Fill,
    /// FAILED_PRECONDITION.
    Error,
}

/// A condition on hard samples. Bounds are inclusive, but a rank's `max`.
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

/// A policy, complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// How hard samples are chosen.
    pub strategy: Strategy,
    /// 0 ..= 16.
    pub alpha: f64,
    /// Share of the background, 0 ..= 1.
    pub random_fraction: f64,
    /// Weights are raised to this, 0 ..= 1.
    pub beta: f64,
    /// How weights are scaled.
    pub normalization: Normalization,
    /// Conditions on hard samples; all must hold.
    pub windows: Vec<Window>,
    /// What happens with too few hard samples.
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

/// Shares are fractions in binary: (1 - 0.7) x 10 is 3, not a little more.
pub(crate) const ROUNDING: f64 = 1e-9;

/// Hard samples that a batch of `size` wants at least: (1 - epsilon) size, rounded up.
pub(crate) fn hard_wanted(random_fraction: f64, size: usize) -> usize {
    ((1.0 - random_fraction) * size as f64 - ROUNDING).ceil() as usize
}

/// The largest batch for which `hard` samples are enough, at a random fraction below 1.
pub(crate) fn size_for(random_fraction: f64, hard: u64) -> usize {
    (hard as f64 / (1.0 - random_fraction) + ROUNDING) as usize
}

impl Policy {
    /// A uniform batch, weighted like any other: for a warm-up and a control arm.
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

/// What a pool or a request says of its policy; what it leaves open comes from below.
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
    /// Empty: from below.
    pub windows: Vec<Window>,
    /// See [`Policy`].
    pub shortfall: Option<Shortfall>,
    /// See [`Policy`]; as a whole.
    pub balance: Option<Balance>,
    /// What changes with the step, in place of the constants above.
    pub curriculum: Option<Curriculum>,
}

impl PolicyOverrides {
    /// This over `base`.
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

    /// Checks every range; fields are named below `prefix`.
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
    /// Whether no sample can satisfy both: windows of one kind that do not meet.
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
            // Written so that a NaN bound is a fault as well.
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
