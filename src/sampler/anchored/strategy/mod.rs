//! Strategies: the mass with which each eligible negative of an anchor is drawn. Each has its own file.

mod distance_weighted;
mod proportional;
mod random;
mod semi_hard;
mod top;

use crate::model::negative_policy::{NegativePolicy, NegativeStrategy};
use crate::store::anchored::Negative;
use crate::store::key::Key;

/// What a strategy may use besides the negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// The positive score of the anchor; NaN: it has none.
    pub(crate) positive: f32,
    /// Whether scores are distances, of which the lower is harder.
    pub(crate) lower_is_harder: bool,
    /// The decay clock D(t), as a key.
    pub(crate) now: Key,
}

/// A strategy with its parameters.
pub(crate) trait Strategy: Send + Sync {
    /// Whether the strategy can choose the negative at all. This filter comes after the margins.
    fn admits(&self, _negative: &Negative, _scene: &Scene) -> bool {
        true
    }

    /// ln of the mass u_i of the negative, up to a constant that is the same for the whole anchor; `None`: the strategy takes negatives in
    /// order of hardness and draws none.
    fn ln_mass(&self, negative: &Negative, scene: &Scene) -> Option<f64>;
}

/// The strategy of a policy. The policy must have been checked.
pub(crate) fn of(policy: &NegativePolicy) -> Box<dyn Strategy> {
    match policy.strategy {
        NegativeStrategy::Top => Box::new(top::Top),
        NegativeStrategy::Random => Box::new(random::Random),
        NegativeStrategy::Proportional => Box::new(proportional::Proportional::of(policy)),
        NegativeStrategy::SemiHard => Box::new(semi_hard::SemiHard::of(policy)),
        NegativeStrategy::DistanceWeighted => Box::new(distance_weighted::DistanceWeighted::of(policy)),
    }
}
