//! RANDOM: all eligible negatives with equal mass ("random" of sentence-transformers).

use super::{Scene, Strategy};
use crate::store::anchored::Negative;

pub(super) struct Random;

impl Strategy for Random {
    fn ln_mass(&self, _: &Negative, _: &Scene) -> Option<f64> {
        Some(0.0)
    }
}
