//! Moments by the clock of a pool, and ages.

use hardneg_partition::key::{Key, UNITS_PER_OCTAVE};

/// Stamps per second in pools that keep report times in wall time. 2^31 stamps are 4.2 years.
pub const STAMPS_PER_SECOND: f64 = 16.0;

/// A moment by the clock of a pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// D(t) in key units (docs/methods.md 2.2).
    pub decay_units: u64,
    /// The time in units of 1/16 s, or in ticks, modulo 2^32.
    pub stamp: u32,
}

impl Moment {
    /// log2 of the weight of `key` at this moment.
    #[must_use]
    pub fn log2_weight(self, key: Key) -> f32 {
        key.since(Key(self.decay_units as u32)) as f32 / UNITS_PER_OCTAVE as f32
    }
}

/// The age of `stamp` at `now`, in seconds or ticks; 0 if `stamp` is later.
#[must_use]
pub fn age(now: u32, stamp: u32, by_steps: bool) -> f64 {
    let elapsed = f64::from((now.wrapping_sub(stamp) as i32).max(0));
    if by_steps { elapsed } else { elapsed / STAMPS_PER_SECOND }
}
