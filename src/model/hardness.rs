//! The ranges of a hardness, wherever a message has one (docs/methods.md 2.1).

use hardneg_partition::key::{Hardness, HardnessFunction};

use crate::model::error::Checks;

/// What one half-life takes from a score: T ln 2 under EXPONENTIAL (docs/methods.md 2.2). `None` under POWER, where a half-life is a factor and
/// no difference.
#[must_use]
pub fn half_life_in_score(hardness: &Hardness) -> Option<f64> {
    match hardness.function {
        HardnessFunction::Power { .. } => None,
        HardnessFunction::Exponential { temperature } => {
            Some(f64::from(temperature) * std::f64::consts::LN_2)
        }
    }
}

/// Why scores less reference scores cannot be ordered by POWER with lower_is_harder.
pub const NO_DIFFERENCES: &str = "the hardness is POWER with lower_is_harder: every score - reference below 0 would have the same, \
                                  largest weight; use EXPONENTIAL";

/// Checks the parameters of a hardness.
pub fn check(hardness: &Hardness, bad: &mut Checks<'_>) {
    match hardness.function {
        HardnessFunction::Power { offset } => bad.check(
            offset.is_finite() && offset > 0.0,
            "hardness.offset",
            format!("{offset} is not a finite number above 0"),
        ),
        HardnessFunction::Exponential { temperature } => bad.check(
            temperature.is_finite() && temperature > 0.0,
            "hardness.temperature",
            format!("{temperature} is not a finite number above 0"),
        ),
    }
}
