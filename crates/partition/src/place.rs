//! The order of samples: by key, then raw score in the pool's direction, then hash(id), then id.
//!
//! TOP, ranks, windows, eviction and retention all use this order. Where keys are equal the raw score decides, because one key stands for
//! many scores: those within 2^-16 octave, and those that were clamped or folded. Equal scores are ordered by the hash, not the id: in data
//! that is sorted by class, the smallest ids would all be of one class.

use std::cmp::Ordering;

use crate::hash::placement_hash;
use crate::key::Key;

/// A raw score as a number that is larger the harder it is. -0.0 and 0.0 are one score.
#[inline]
#[must_use]
pub fn ordered_score(score: f32, lower_is_harder: bool) -> u32 {
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    if lower_is_harder { !ascending } else { ascending }
}

/// The order of samples with equal keys: score, then hash, then id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rank {
    /// The raw score as [`ordered_score`] maps it.
    pub score: u32,
    /// The [`placement_hash`] of the id.
    pub hash: u64,
    /// The id of the sample.
    pub id: u64,
}

impl Rank {
    /// Below every sample.
    pub const MIN: Self = Self { score: 0, hash: 0, id: 0 };
    /// Above every sample.
    pub const MAX: Self = Self { score: u32::MAX, hash: u64::MAX, id: u64::MAX };

    /// The rank of a sample among those with the same key.
    #[inline]
    #[must_use]
    pub fn of(score: f32, id: u64, lower_is_harder: bool) -> Self {
        Self { score: ordered_score(score, lower_is_harder), hash: placement_hash(id), id }
    }
}

impl Ord for Rank {
    /// Compares score, hash and id. Score and hash are compared as one number, which almost always decides.
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let number = |rank: &Self| u128::from(rank.score) << 64 | u128::from(rank.hash);
        number(self).cmp(&number(other)).then_with(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for Rank {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The sort key of a sample: its place in the total order. A harder sample has a greater place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The key, compared by serial arithmetic.
    pub key: Key,
    /// Decides among samples with that key.
    pub rank: Rank,
}

impl Place {
    /// The place of a sample.
    #[inline]
    #[must_use]
    pub fn of(key: Key, score: f32, id: u64, lower_is_harder: bool) -> Self {
        Self { key, rank: Rank::of(score, id, lower_is_harder) }
    }

    /// `Greater`: `self` is harder. Not `Ord`, because keys are compared by serial arithmetic.
    #[inline]
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        self.key.serial_cmp(other.key).then_with(|| self.rank.cmp(&other.rank))
    }

    /// The place with its key moved by `units`.
    #[must_use]
    pub fn moved(self, units: i64) -> Self {
        Self { key: self.key.plus(units), ..self }
    }
}

/// What orders samples that are no ties: the key, then the score. Samples of equal standing are ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The key.
    pub key: Key,
    /// The raw score as in [`Rank::score`].
    pub score: u32,
}

impl Standing {
    /// Compares by key, then score. `Greater`: harder.
    #[inline]
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        self.key.serial_cmp(other.key).then_with(|| self.score.cmp(&other.score))
    }
}

impl Place {
    /// The standing of a sample at this place.
    #[inline]
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing { key: self.key, score: self.rank.score }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_ordered_as_numbers_in_either_direction() {
        let ascending = [f32::MIN, -1.0, -1e-40, 0.0, 1e-40, 0.5, 1.0, f32::MAX];
        for pair in ascending.windows(2) {
            assert!(ordered_score(pair[0], false) < ordered_score(pair[1], false), "{pair:?}");
            assert!(ordered_score(pair[0], true) > ordered_score(pair[1], true), "{pair:?}");
        }
        assert_eq!(ordered_score(-0.0, false), ordered_score(0.0, false));
    }

    #[test]
    fn the_key_decides_first_and_the_id_last() {
        let place = |key, score, id| Place::of(Key(key), score, id, false);
        assert_eq!(place(2, 0.0, 1).compare(&place(1, 9.0, 1)), Ordering::Greater);
        assert_eq!(place(1, 2.0, 1).compare(&place(1, 1.0, 2)), Ordering::Greater);
        let by_hash = placement_hash(1).cmp(&placement_hash(2));
        assert_eq!(place(1, 1.0, 1).compare(&place(1, 1.0, 2)), by_hash);
        assert_eq!(place(1, 1.0, 1).compare(&place(1, 1.0, 1)), Ordering::Equal);
    }
}
