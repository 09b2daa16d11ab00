//! How samples are chosen and weighed: pure functions over the store's traits, with all that a draw depends on given to it.

pub(crate) mod anchored;
pub(crate) mod flat;
mod mixture;
mod rng;
mod weights;
