//! Curricula: policies that change with the training step by schedules, and the warm-up (Platanios et al. 2019).

use serde::{Deserialize, Serialize};

use crate::model::error::Violation;
use crate::model::policy::{ALPHA_MAX, Policy, PolicyOverrides, Window};

/// The shape of a [`Schedule`]; x goes from 0 at `begin_step` to 1 at `end_step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// from + (to - from) x.
    Linear,
    /// sqrt(from^2 + (to^2 - from^2) x): fast at first (Platanios et al. 2019, equation 8 with p = 2).
    Sqrt,
}

/// A value over steps: `from` until `begin_step`, `to` from `end_step` on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The shape of the change from the first value to the last.
    pub shape: Shape,
    /// The first value.
    pub from: f64,
    /// The last value.
    pub to: f64,
    /// The last step with the value `from`.
    pub begin_step: u64,
    /// The first step with the value `to`; above `begin_step`.
    pub end_step: u64,
}

impl Schedule {
    /// A constant, for a bound that has no schedule.
    fn constant(value: f64) -> Self {
        Self { shape: Shape::Linear, from: value, to: value, begin_step: 0, end_step: 1 }
    }

    /// The value at `step`.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        if step <= self.begin_step {
            return self.from;
        }
        if step >= self.end_step {
            return self.to;
        }
        let x = (step - self.begin_step) as f64 / (self.end_step - self.begin_step) as f64;
        let value = match self.shape {
            Shape::Linear => self.from + (self.to - self.from) * x,
            Shape::Sqrt => (self.from.powi(2) + (self.to.powi(2) - self.from.powi(2)) * x).sqrt(),
        };
        // Rounding must not leave the range that the two ends were checked for.
        value.clamp(self.from.min(self.to), self.from.max(self.to))
    }

    fn violations(&self, field: &str, max: f64, bad: &mut Vec<Violation>) {
        for (value, name) in [(self.from, "from"), (self.to, "to")] {
            if !(0.0..=max).contains(&value) {
                bad.push(Violation::new(format!("{field}.{name}"), format!("{value} is not in 0..={max}")));
            }
        }
        if self.end_step <= self.begin_step {
            bad.push(Violation::new(
                format!("{field}.end_step"),
                format!("{} is not above begin_step {}", self.end_step, self.begin_step),
            ));
        }
    }
}

/// Fields of a policy that change with the training step.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Curriculum {
    /// Batches before this step are uniform.
    pub warmup_steps: u64,
    /// Schedule of alpha; `None`: alpha is constant.
    pub alpha: Option<Schedule>,
    /// Schedule of the random fraction; `None`: it is constant.
    pub random_fraction: Option<Schedule>,
    /// Schedule of beta; `None`: beta is constant.
    pub beta: Option<Schedule>,
    /// Schedule of the lower bound of a quantile window; `None`: 0.
    pub quantile_min: Option<Schedule>,
    /// Schedule of the upper bound of that window; `None`: 1. There is no window if both are `None`.
    pub quantile_max: Option<Schedule>,
}

impl Curriculum {
    /// Whether the policy depends on the step, so that a request must give one.
    #[must_use]
    pub fn depends_on_step(&self) -> bool {
        *self != Self::default()
    }

    /// Sets the fields that have a schedule, except the window.
    fn set(&self, step: u64, policy: &mut Policy) {
        for (schedule, value) in [
            (self.alpha, &mut policy.alpha),
            (self.random_fraction, &mut policy.random_fraction),
            (self.beta, &mut policy.beta),
        ] {
            if let Some(schedule) = schedule {
                *value = schedule.at(step);
            }
        }
    }

    fn window(&self, step: u64) -> Option<Window> {
        if self.quantile_min.is_none() && self.quantile_max.is_none() {
            return None;
        }
        Some(Window::Quantile {
            min: self.quantile_min.map_or(0.0, |schedule| schedule.at(step)),
            max: self.quantile_max.map_or(1.0, |schedule| schedule.at(step)),
        })
    }

    /// Checks every range. Errors name the fields below `prefix`, which is that of the policy. `constants` is the policy that has the
    /// curriculum.
    #[must_use]
    pub fn violations(&self, constants: &PolicyOverrides, prefix: &str) -> Vec<Violation> {
        let mut bad = Vec::new();
        let fields = [
            (self.alpha, "alpha", ALPHA_MAX, constants.alpha),
            (self.random_fraction, "random_fraction", 1.0, constants.random_fraction),
            (self.beta, "beta", 1.0, constants.beta),
            (self.quantile_min, "quantile_min", 1.0, None),
            (self.quantile_max, "quantile_max", 1.0, None),
        ];
        for (schedule, name, max, constant) in fields {
            let Some(schedule) = schedule else { continue };
            let field = format!("{prefix}.curriculum.{name}");
            if let Some(constant) = constant {
                bad.push(Violation::new(
                    field.clone(),
                    format!("{prefix}.{name} is {constant}: give a constant or a schedule, not both"),
                ));
            }
            schedule.violations(&field, max, &mut bad);
        }
        if bad.is_empty() {
            let (min, max) = (self.quantile_min, self.quantile_max);
            let crossing =
                crossing(&min.unwrap_or(Schedule::constant(0.0)), &max.unwrap_or(Schedule::constant(1.0)));
            if let Some(step) = crossing.filter(|_| min.is_some() || max.is_some()) {
                let name = if max.is_some() { "quantile_max" } else { "quantile_min" };
                let at = |schedule: Option<Schedule>, otherwise| schedule.map_or(otherwise, |s| s.at(step));
                bad.push(Violation::new(
                    format!("{prefix}.curriculum.{name}"),
                    format!(
                        "at step {step} the maximum {} is not above the minimum {}",
                        at(max, 1.0),
                        at(min, 0.0)
                    ),
                ));
            }
        }
        bad
    }
}

/// Two bounds that differ by less than this count as equal, because of rounding.
const QUANTILE_GAP_MIN: f64 = 1e-9;

/// A step at which `max` is not above `min`, if there is one.
///
/// Between two neighbouring begin or end steps each schedule is constant, linear, or the square root of a linear function. If `max` is a
/// root or `min` is linear, then max - min (or max^2 - min^2) has its minimum at one of these steps. If `max` is linear and `min` is a
/// root, max - min is convex, and its minimum may lie between them, where the slopes are equal.
fn crossing(min: &Schedule, max: &Schedule) -> Option<u64> {
    let mut steps = vec![min.begin_step, min.end_step, max.begin_step, max.end_step];
    if let (Shape::Sqrt, Shape::Linear) = (min.shape, max.shape) {
        // min' = k / (2 min), with k the slope of min^2; equal to max' where min = k / (2 max').
        let slope = (max.to - max.from) / (max.end_step - max.begin_step) as f64;
        let k = (min.to.powi(2) - min.from.powi(2)) / (min.end_step - min.begin_step) as f64;
        let touching = (k / (2.0 * slope)).powi(2);
        let step = min.begin_step as f64 + (touching - min.from.powi(2)) / k;
        if step.is_finite() && step >= 0.0 {
            let step = step as u64;
            steps.extend([step.saturating_sub(1), step, step.saturating_add(1)]);
        }
    }
    // Both schedules have been checked, so there is no NaN.
    steps.into_iter().find(|&step| max.at(step) - min.at(step) < QUANTILE_GAP_MIN)
}

/// The policy of one draw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Applied {
    pub(crate) policy: Policy,
    /// Whether the draw is in the warm-up.
    pub(crate) warmup: bool,
}

/// The curriculum that applies: that of the request, or else that of the pool; `None` if it does not depend on the step.
pub(crate) fn in_force<'a>(
    request: &'a PolicyOverrides,
    pool: &'a PolicyOverrides,
) -> Option<&'a Curriculum> {
    request.curriculum.as_ref().or(pool.curriculum.as_ref()).filter(|curriculum| curriculum.depends_on_step())
}

/// The policy at `step`. A constant of the request overrides the pool's schedule of the same field. The scheduled window is added to the
/// other windows. `None`: the policy needs a step, and `step` is `None`.
pub(crate) fn apply(request: &PolicyOverrides, pool: &PolicyOverrides, step: Option<u64>) -> Option<Applied> {
    let mut base = pool.over(&Policy::default());
    let Some(curriculum) = in_force(request, pool) else {
        return Some(Applied { policy: request.over(&base), warmup: false });
    };
    let step = step?;
    if request.curriculum.is_none() {
        curriculum.set(step, &mut base);
    }
    let mut policy = request.over(&base);
    if request.curriculum.is_some() {
        curriculum.set(step, &mut policy);
    }
    policy.windows.extend(curriculum.window(step));
    let warmup = step < curriculum.warmup_steps;
    Some(Applied { policy: if warmup { policy.uniform() } else { policy }, warmup })
}

#[cfg(test)]
#[path = "curriculum_tests.rs"]
mod tests;
