//! Priorities: the fixed-point key that orders samples, and how a score becomes one (docs/methods.md 2.1 and 2.2).

use std::cmp::Ordering;

use crate::log2::log2;

/// Key units in one octave (a factor of two in weight).
pub const UNITS_PER_OCTAVE: i64 = 1 << 16;
/// log2 of a base weight is clamped to plus or minus this many octaves.
pub const LOG2_WEIGHT_MAX: f64 = 4096.0;
/// The host sends the next fold before D has risen by this much since the last one.
pub const FOLD_EVERY_UNITS: u64 = 4096 * UNITS_PER_OCTAVE as u64;
/// A fold lifts every key to at least D minus this. An older sample has a weight below 2^-4096 of a fresh one's.
pub const FOLD_BELOW_UNITS: u64 = 8192 * UNITS_PER_OCTAVE as u64;
/// D rises by at most this between two operations, so that the serial order of keys never wraps.
pub const ADVANCE_MAX_UNITS: u64 = 16_384 * UNITS_PER_OCTAVE as u64;

/// `log2 b + D(t)` in units of 2^-16 octave, modulo 2^32. Keys are compared by serial arithmetic (RFC 1982), which is right while they are
/// less than 2^15 octaves apart; folds keep them so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Key(pub u32);

impl Key {
    /// `self - other` in key units.
    #[inline]
    #[must_use]
    pub fn since(self, other: Self) -> i64 {
        i64::from(self.0.wrapping_sub(other.0) as i32)
    }

    /// The key `units` above this one.
    #[inline]
    #[must_use]
    pub fn plus(self, units: i64) -> Self {
        Self(self.0.wrapping_add(units as u32))
    }

    /// Serial order; not `Ord`, because it is not transitive over the whole circle.
    #[inline]
    #[must_use]
    pub fn serial_cmp(self, other: Self) -> Ordering {
        self.since(other).cmp(&0)
    }

    /// The key of weight 1 when the decay clock stands at `decay_units`.
    #[inline]
    #[must_use]
    pub fn of_clock(decay_units: u64) -> Self {
        Self(decay_units as u32)
    }
}

/// How a score becomes a base weight b(s) > 0 (docs/methods.md 2.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hardness {
    /// The function of the score.
    pub function: HardnessFunction,
    /// A lower score is harder: 1/(max(s,0) + offset), or exp(-s/temperature).
    pub lower_is_harder: bool,
}

/// The formula of a [`Hardness`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HardnessFunction {
    /// b = max(s, 0) + offset. Schaul et al. 2016, proportional variant.
    Power {
        /// Must be finite and > 0.
        offset: f32,
    },
    /// b = exp(s / temperature). Robinson et al. 2021.
    Exponential {
        /// Must be finite and > 0.
        temperature: f32,
    },
}

impl Default for Hardness {
    fn default() -> Self {
        Self { function: HardnessFunction::Power { offset: 1e-3 }, lower_is_harder: false }
    }
}

impl Hardness {
    /// log2 b(s), not yet clamped; `score` must be finite. In double precision and without the platform's mathematical library, so that
    /// it has the same bits on every machine.
    #[inline]
    #[must_use]
    pub fn log2_weight(&self, score: f32) -> f64 {
        let log2 = match self.function {
            HardnessFunction::Power { offset } => log2(f64::from(score.max(0.0)) + f64::from(offset)),
            HardnessFunction::Exponential { temperature } => {
                f64::from(score) * (std::f64::consts::LOG2_E / f64::from(temperature))
            }
        };
        if self.lower_is_harder { -log2 } else { log2 }
    }

    /// The score below which all scores have the same weight: 0 for POWER, and minus infinity where every score has a weight of its own.
    #[inline]
    #[must_use]
    pub fn floor_score(&self) -> f32 {
        match self.function {
            HardnessFunction::Power { .. } => 0.0,
            HardnessFunction::Exponential { .. } => f32::NEG_INFINITY,
        }
    }

    /// The key of a score reported when the decay clock stood at `decay_units`, and whether log2 b was clamped.
    #[inline]
    #[must_use]
    pub fn key(&self, score: f32, decay_units: u64) -> (Key, bool) {
        let log2 = self.log2_weight(score);
        let clamped = log2.clamp(-LOG2_WEIGHT_MAX, LOG2_WEIGHT_MAX);
        // A cast of a positive number rounds down. `floor` would be a function call on targets that have no instruction for it.
        let above_lowest = ((clamped + LOG2_WEIGHT_MAX) * UNITS_PER_OCTAVE as f64) as u32;
        let units = above_lowest.wrapping_sub((LOG2_WEIGHT_MAX as u32) * UNITS_PER_OCTAVE as u32);
        (Key((decay_units as u32).wrapping_add(units)), clamped != log2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_compare_across_the_wrap() {
        let low = Key(u32::MAX - 5);
        let high = low.plus(10);
        assert_eq!(high.since(low), 10);
        assert_eq!(high.serial_cmp(low), Ordering::Greater);
    }

    #[test]
    fn doubling_a_score_adds_an_octave() {
        let hardness =
            Hardness { function: HardnessFunction::Power { offset: 1e-9 }, lower_is_harder: false };
        let (one, _) = hardness.key(1.0, 0);
        let (two, _) = hardness.key(2.0, 0);
        assert_eq!(two.since(one), UNITS_PER_OCTAVE);
        let lower = Hardness { lower_is_harder: true, ..hardness };
        assert_eq!(lower.key(2.0, 0).0.since(lower.key(1.0, 0).0), -UNITS_PER_OCTAVE);
    }

    #[test]
    fn scores_below_the_floor_weigh_the_same_and_no_others_do() {
        let functions =
            [HardnessFunction::Power { offset: 1e-3 }, HardnessFunction::Exponential { temperature: 0.5 }];
        for function in functions {
            for lower_is_harder in [false, true] {
                let hardness = Hardness { function, lower_is_harder };
                let scores = [-3.0_f32, -1.0, -0.125, 0.0, 0.125, 1.0];
                for pair in scores.windows(2) {
                    let alike = hardness.key(pair[0], 0).0 == hardness.key(pair[1], 0).0;
                    assert_eq!(alike, pair[0] < hardness.floor_score(), "{hardness:?} at {pair:?}");
                }
            }
        }
    }

    #[test]
    fn extreme_scores_are_clamped_and_say_so() {
        let hardness = Hardness {
            function: HardnessFunction::Exponential { temperature: 0.01 },
            lower_is_harder: false,
        };
        for (score, octaves) in [(f32::MAX, 4096), (f32::MIN, -4096)] {
            let (key, clamped) = hardness.key(score, 0);
            assert!(clamped);
            assert_eq!(key.since(Key(0)), octaves * UNITS_PER_OCTAVE);
        }
        // Every cosine has a key of its own kind at a temperature of 0.01: 144 octaves.
        assert!(!hardness.key(1.0, 0).1 && !hardness.key(-1.0, 0).1);
    }
}
