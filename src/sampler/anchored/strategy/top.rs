//! TOP: the hardest eligible negatives.

use super::{Scene, Strategy};
use crate::store::anchored::Negative;

pub(super) struct Top;

impl Strategy for Top {
    fn ln_mass(&self, _: &Negative, _: &Scene) -> Option<f64> {
        None
    }
}
