//! How strongly each eligible negative of an anchor is drawn: one file a strategy.

mod distance_weighted;
mod proportional;
mod random;
mod semi_hard;
mod top;

use crate::model::negative_policy::{NegativePolicy, NegativeStrategy};
use crate::store::anchored::Negative;
use crate::store::key::Key;

/// What a strategy may know beside the negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// The anchor's positive score; NaN: none.
    pub(crate) positive: f32,
    /// Scores are distances.
    pub(crate) lower_is_harder: bool,
    /// The decay clock, as a key.
    pub(crate) now: Key,
}

/// A strategy with its parameters.
pub(crate) trait Strategy: Send + Sync {
    /// Whether the negative can be chosen at all: a filter, applied after the margins.
    fn admits(&self, _negative: &Negative, _scene: &Scene) -> bool {
        true
    }

    /// ln of the mass u_i that it is drawn with, up to a constant of the anchor; `None`: in order of hardness, not drawn.
    fn ln_mass(&self, negative: &Negative, scene: &Scene) -> Option<f64>;
}

/// The strategy of a policy that has been checked.
pub(crate) fn of(policy: &NegativePolicy) -> Box<dyn Strategy> {
    match policy.strategy {
        NegativeStrategy::Top => Box::new(top::Top),
        NegativeStrategy::Random => Box::new(random::Random),
        NegativeStrategy::Proportional => Box::new(proportional::Proportional::of(policy)),
        NegativeStrategy::SemiHard => Box::new(semi_hard::SemiHard::of(policy)),
        NegativeStrategy::DistanceWeighted => Box::new(distance_weighted::DistanceWeighted::of(policy)),
    }
}
