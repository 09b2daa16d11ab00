//! Policies that change with the training step: schedules and the warm-up (Platanios et al. 2019).

use serde::{Deserialize, Serialize};

use crate::model::error::Violation;
use crate::model::policy::{ALPHA_MAX, Policy, PolicyOverrides, Window};

/// The shape of a [`Schedule`]; x is the share of the way.
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
    /// How it gets from one to the other.
    pub shape: Shape,
    /// The first value.
    pub from: f64,
    /// The last value.
    pub to: f64,
    /// It begins to change here.
    pub begin_step: u64,
    /// It has changed here; over `begin_step`.
    pub end_step: u64,
}

impl Schedule {
    /// A constant, for what has no schedule.
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
                format!("{} is not over begin_step {}", self.end_step, self.begin_step),
            ));
        }
    }
}

/// Fields of a policy that change with the step.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Curriculum {
    /// Before this step batches are uniform.
    pub warmup_steps: u64,
    /// Of alpha.
    pub alpha: Option<Schedule>,
    /// Of the random fraction.
    pub random_fraction: Option<Schedule>,
    /// Of beta.
    pub beta: Option<Schedule>,
    /// Of the lower bound of a quantile window.
    pub quantile_min: Option<Schedule>,
    /// Of its upper bound.
    pub quantile_max: Option<Schedule>,
}

impl Curriculum {
    /// Whether it needs a step.
    #[must_use]
    pub fn depends_on_step(&self) -> bool {
        *self != Self::default()
    }

    /// Sets what has a schedule, but for the window.
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

    /// Checks every range; fields are named below `prefix`, which is that of the policy.
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
                        "at step {step} the maximum {} is not over the minimum {}",
                        at(max, 1.0),
                        at(min, 0.0)
                    ),
                ));
            }
        }
        bad
    }
}

/// Two bounds nearer than this are the same: how far rounding may be off.
const QUANTILE_GAP_MIN: f64 = 1e-9;

/// A step at which `max` is not over `min`, if there is one.
///
/// Between two neighbouring begin and end steps each is constant, linear or the root of something linear. Where `max` is
/// a root or `min` is linear, max - min (or max^2 - min^2) has its least value at an end. Where `max` is linear and `min` a
/// root it is convex: its least value may lie where the slopes are equal.
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
    // Both have been checked: there is no NaN.
    steps.into_iter().find(|&step| max.at(step) - min.at(step) < QUANTILE_GAP_MIN)
}

/// A policy as it is applied to one draw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Applied {
    pub(crate) policy: Policy,
    /// The warm-up goes on.
    pub(crate) warmup: bool,
}

/// The curriculum that counts: the request's, else the pool's.
pub(crate) fn in_force<'a>(
    request: &'a PolicyOverrides,
    pool: &'a PolicyOverrides,
) -> Option<&'a Curriculum> {
    request.curriculum.as_ref().or(pool.curriculum.as_ref()).filter(|curriculum| curriculum.depends_on_step())
}

/// The policy at `step`. A constant of the request goes before the pool's schedule of the same field; the window of a
/// schedule stands beside the others. `None`: a step is needed and there is none.
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
