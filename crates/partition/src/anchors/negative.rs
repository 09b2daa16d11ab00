//! A negative of an anchor.

use std::cmp::Ordering;

use crate::key::Key;
use crate::place::Place;

/// A negative of an anchor as stored: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Negative {
    /// The sample.
    pub id: u64,
    /// Raw score.
    pub score: f32,
    /// Its key.
    pub key: Key,
    /// Stamp of its report.
    pub stamp: u32,
    /// Version of the model that scored it.
    pub model_version: u32,
}

impl Negative {
    /// The order of an anchor's negatives, the hardest first: that of [`Place`], as everywhere.
    #[inline]
    #[must_use]
    pub fn hardest_first(&self, other: &Self, lower_is_harder: bool) -> Ordering {
        let place = |n: &Self| Place::of(n.key, n.score, n.id, lower_is_harder);
        // Hashes are needed only where keys are equal.
        other.key.serial_cmp(self.key).then_with(|| place(other).compare(&place(self)))
    }
}

/// What goes with a negative where reports tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Near-duplicates have the same; 0: none.
    pub(crate) group: u64,
    /// 0: none.
    pub(crate) label: u32,
}

/// A score of a positive for its anchor: the last that was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PositiveScore {
    /// NaN: none was told; then the others are 0.
    pub(crate) score: f32,
    pub(crate) stamp: u32,
    pub(crate) model_version: u32,
}

impl PositiveScore {
    pub(crate) const NONE: Self = Self { score: f32::NAN, stamp: 0, model_version: 0 };
}
