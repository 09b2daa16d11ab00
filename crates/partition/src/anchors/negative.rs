//! A negative of an anchor.

use std::cmp::Ordering;

use crate::key::Key;
use crate::place::Place;

/// A negative of an anchor as stored: 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Negative {
    /// The id of the sample.
    pub id: u64,
    /// The raw score, as reported.
    pub score: f32,
    /// The key as of the last report.
    pub key: Key,
    /// Stamp of its report.
    pub stamp: u32,
    /// Version of the model that scored it.
    pub model_version: u32,
}

impl Negative {
    /// Compares by [`Place`], so that the hardest negative is first.
    #[inline]
    #[must_use]
    pub fn hardest_first(&self, other: &Self, lower_is_harder: bool) -> Ordering {
        let place = |n: &Self| Place::of(n.key, n.score, n.id, lower_is_harder);
        // Hashes are needed only where keys are equal.
        other.key.serial_cmp(self.key).then_with(|| place(other).compare(&place(self)))
    }
}

/// The attributes of a negative, where reports have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// The group of near-duplicates; 0: none.
    pub(crate) group: u64,
    /// The label of the negative; 0: none.
    pub(crate) label: u32,
}

/// The last reported score of a positive for its anchor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PositiveScore {
    /// NaN: no score was reported, and the other fields are 0.
    pub(crate) score: f32,
    pub(crate) stamp: u32,
    pub(crate) model_version: u32,
}

impl PositiveScore {
    pub(crate) const NONE: Self = Self { score: f32::NAN, stamp: 0, model_version: 0 };
}
