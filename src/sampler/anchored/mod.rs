//! Draws negatives for anchors (docs/methods.md 10).

pub(crate) mod arrivals;
pub(crate) mod draw;
pub(crate) mod draw_budget;
pub(crate) mod filter;
pub(crate) mod members;
pub(crate) mod rate;
pub(crate) mod split_counts;
pub(crate) mod strategy;
