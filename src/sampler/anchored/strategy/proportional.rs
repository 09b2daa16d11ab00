//! PROPORTIONAL: P(i) proportional to 2^(alpha (k_i - now)) (docs/methods.md 10.3).

use super::{Scene, Strategy};
use crate::model::negative_policy::NegativePolicy;
use crate::store::anchored::Negative;
use crate::store::key::UNITS_PER_OCTAVE;

pub(super) struct Proportional {
    alpha: f64,
}

impl Proportional {
    pub(super) fn of(policy: &NegativePolicy) -> Self {
        Self { alpha: policy.alpha }
    }
}

impl Strategy for Proportional {
    fn ln_mass(&self, negative: &Negative, scene: &Scene) -> Option<f64> {
        let octaves = negative.key.since(scene.now) as f64 / UNITS_PER_OCTAVE as f64;
        Some(self.alpha * octaves * std::f64::consts::LN_2)
    }
}
