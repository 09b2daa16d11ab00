//! DISTANCE_WEIGHTED: Wu et al. 2017, Sampling Matters in Deep Embedding Learning.
//!
//! Distances between points that are uniform on the unit sphere in n dimensions have the density q(d) ~ d^(n-2) (1 - d^2/4)^((n-3)/2),
//! which at large n lies nearly all around sqrt(2). With the weight w(d) = min(lambda, 1/q(d)) the distances of the chosen negatives are
//! uniform, as far as lambda allows.

use super::{Scene, Strategy};
use crate::model::negative_policy::{DistanceWeighting, NegativePolicy};
use crate::store::anchored::Negative;

/// Defaults of the contract, which are those of the authors' code.
const DEFAULT: DistanceWeighting = DistanceWeighting::of_dimension(3);

pub(super) struct DistanceWeighted {
    parameters: DistanceWeighting,
}

impl DistanceWeighted {
    pub(super) fn of(policy: &NegativePolicy) -> Self {
        Self { parameters: policy.distance_weighting.unwrap_or(DEFAULT) }
    }

    /// ln q(d), up to a constant.
    fn ln_density(&self, distance: f64) -> f64 {
        let n = f64::from(self.parameters.dimension);
        // For n = 3 the second factor is 1, also at d = 2, where ln(0) would give NaN.
        let far = if n > 3.0 { (n - 3.0) / 2.0 * (1.0 - distance * distance / 4.0).ln() } else { 0.0 };
        (n - 2.0) * distance.ln() + far
    }
}

/// The distance that a score stands for: the score itself if lower is harder, otherwise sqrt(2 - 2s) for the cosine similarity s of unit
/// vectors.
fn distance(score: f32, scene: &Scene) -> f64 {
    let score = f64::from(score);
    // Unit vectors have distances 0 ..= 2; small differences from that are rounding errors.
    let distance = if scene.lower_is_harder { score } else { (2.0 - 2.0 * score).max(0.0).sqrt() };
    if distance > 2.0 && distance < 2.0 + 1e-6 { 2.0 } else { distance }
}

impl Strategy for DistanceWeighted {
    fn admits(&self, negative: &Negative, scene: &Scene) -> bool {
        distance(negative.score, scene) <= self.parameters.max_distance
    }

    fn ln_mass(&self, negative: &Negative, scene: &Scene) -> Option<f64> {
        let cutoff = self.parameters.cutoff;
        let distance = distance(negative.score, scene).max(cutoff);
        // At d = 2 the density is 0, so the minimum is lambda = 1/q(cutoff).
        Some((-self.ln_density(distance)).min(-self.ln_density(cutoff)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::key::Key;

    fn ln_mass(parameters: DistanceWeighting, distance: f32) -> f64 {
        let policy = NegativePolicy { distance_weighting: Some(parameters), ..NegativePolicy::default() };
        let negative = Negative { id: 1, score: distance, key: Key(0), stamp: 0, model_version: 0 };
        let scene = Scene { positive: f32::NAN, lower_is_harder: true, now: Key(0) };
        DistanceWeighted::of(&policy).ln_mass(&negative, &scene).unwrap()
    }

    #[test]
    fn the_mass_is_that_of_the_paper() {
        // q(d) as published, n = 8: d^6 (1 - d^2/4)^2.5.
        let q = |d: f64| d.powi(6) * (1.0 - d * d / 4.0).powf(2.5);
        let parameters = DistanceWeighting { dimension: 8, ..DEFAULT };
        let ratio = ln_mass(parameters, 0.75) - ln_mass(parameters, 1.25);
        assert!((ratio - (q(1.25) / q(0.75)).ln()).abs() < 1e-9, "{ratio}");
        assert_eq!(
            ln_mass(parameters, 0.1),
            ln_mass(parameters, 0.5),
            "smaller distances count as the cutoff"
        );
    }

    #[test]
    fn the_mass_at_distance_2_is_bounded_by_lambda() {
        let parameters = DistanceWeighting { dimension: 512, cutoff: 0.5, max_distance: 2.0 };
        let far = ln_mass(parameters, 2.0);
        assert!(far.is_finite());
        assert_eq!(far, ln_mass(parameters, 0.5));
    }

    /// For unit vectors d^2 = 2 - 2s.
    #[test]
    fn a_cosine_similarity_is_converted_to_a_distance() {
        let parameters = DistanceWeighting { dimension: 16, ..DEFAULT };
        let policy = NegativePolicy { distance_weighting: Some(parameters), ..NegativePolicy::default() };
        let strategy = DistanceWeighted::of(&policy);
        let scene = Scene { positive: f32::NAN, lower_is_harder: false, now: Key(0) };
        let of = |score| Negative { id: 1, score, key: Key(0), stamp: 0, model_version: 0 };
        for (cosine, distance) in [(0.5, 1.0), (0.28, 1.2), (0.68, 0.8), (1.0, 0.0)] {
            let mass = strategy.ln_mass(&of(cosine), &scene).unwrap();
            assert!((mass - ln_mass(parameters, distance)).abs() < 1e-5, "{cosine}: {mass}");
        }
        // 1.4 = sqrt(2 - 2 x 0.02).
        assert!(strategy.admits(&of(0.03), &scene) && !strategy.admits(&of(0.01), &scene));
    }
}
