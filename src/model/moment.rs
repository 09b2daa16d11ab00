//! A moment in a pool's clock, and ages by it.

use hardneg_partition::key::{Key, UNITS_PER_OCTAVE};

/// Stamps a second in pools that keep report times in wall time. 2^31 of them are 4.2 years.
pub const STAMPS_PER_SECOND: f64 = 16.0;

/// A moment in a pool's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// D in key units.
    pub decay_units: u64,
    /// Report time, mod 2^32: sixteenths of a second, or ticks.
    pub stamp: u32,
}

impl Moment {
    /// log2 of the weight of `key` at this moment.
    #[must_use]
    pub fn log2_weight(self, key: Key) -> f32 {
        key.since(Key(self.decay_units as u32)) as f32 / UNITS_PER_OCTAVE as f32
    }
}

/// How long ago `stamp` was at `now`: seconds or ticks.
#[must_use]
pub fn age(now: u32, stamp: u32, by_steps: bool) -> f64 {
    let elapsed = f64::from((now.wrapping_sub(stamp) as i32).max(0));
    if by_steps { elapsed } else { elapsed / STAMPS_PER_SECOND }
}
