//! How samples are chosen and weighted: functions over the traits of the store that get everything a draw depends on as arguments.

pub(crate) mod anchored;
pub(crate) mod flat;
mod mixture;
mod planned;
mod rng;
pub(crate) mod select;
pub(crate) mod weights;
