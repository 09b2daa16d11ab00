//! SEMI_HARD: negatives that are slightly easier than the positive, with equal mass. Schroff et al. 2015, FaceNet: s_p - margin < s_n <
//! s_p, or with distances d_p < d_n < d_p + margin. Both bounds are strict.

use super::{Scene, Strategy};
use crate::model::negative_policy::NegativePolicy;
use crate::store::anchored::Negative;

pub(super) struct SemiHard {
    margin: f64,
}

impl SemiHard {
    pub(super) fn of(policy: &NegativePolicy) -> Self {
        Self { margin: policy.semi_hard_margin.map_or(0.0, f64::from) }
    }
}

impl Strategy for SemiHard {
    fn admits(&self, negative: &Negative, scene: &Scene) -> bool {
        // In f64 the sums of f32 numbers of similar size are exact. Without a positive (NaN) both comparisons are false.
        let (score, positive) = (f64::from(negative.score), f64::from(scene.positive));
        match scene.lower_is_harder {
            false => positive - self.margin < score && score < positive,
            true => positive < score && score < positive + self.margin,
        }
    }

    fn ln_mass(&self, _: &Negative, _: &Scene) -> Option<f64> {
        Some(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::key::Key;

    fn admits(margin: f32, positive: f32, lower_is_harder: bool, score: f32) -> bool {
        let policy = NegativePolicy { semi_hard_margin: Some(margin), ..NegativePolicy::default() };
        let negative = Negative { id: 1, score, key: Key(0), stamp: 0, model_version: 0 };
        SemiHard::of(&policy).admits(&negative, &Scene { positive, lower_is_harder, now: Key(0) })
    }

    #[test]
    fn both_bounds_are_strict_to_the_last_bit() {
        let similarity = |score: f32| admits(0.25, 0.75, false, score);
        assert!(!similarity(0.5));
        assert!(similarity(0.5_f32.next_up()));
        assert!(similarity(0.75_f32.next_down()));
        assert!(!similarity(0.75));
        let distance = |score: f32| admits(0.25, 0.75, true, score);
        assert!(!distance(0.75));
        assert!(distance(0.75_f32.next_up()));
        assert!(distance(1.0_f32.next_down()));
        assert!(!distance(1.0));
        assert!(!admits(0.25, f32::NAN, false, 0.5), "without a positive no negative is admitted");
    }
}
