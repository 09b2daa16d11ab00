//! The record of a sample that was set aside: everything needed to put it back as it was.

use bytes::Bytes;
use std::sync::Arc;

use crate::key::Key;

/// A sample that was set aside.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// The id of the sample.
    pub id: u64,
    /// The string key of a `named` pool.
    pub name: Option<Arc<str>>,
    /// The score as last reported, which is compared with thresholds. NaN for a dense id that was not stored.
    pub raw_score: f32,
    /// The score that a release stores: minus its reference, and combined over reports by MAX or EMA. NaN as `raw_score` is.
    pub score: f32,
    /// The key without wrapping, in key units: log2 of its weight + D at its last report. Unlike a [`Key`] it does not wrap, however long
    /// the sample stays in quarantine. For a sample that was set aside by hand while outside the hard store: its own key in the background.
    /// `None`: a dense id that was not stored, and was not reported since.
    pub key_units: Option<u64>,
    /// Stamp of the last report.
    pub stamp: u32,
    /// Model version of the last report.
    pub model_version: u32,
    /// Serves since the last report.
    pub serves: u16,
    /// The stratum that a release restores.
    pub stratum: u32,
    /// The group that a release restores; 0: none.
    pub group: u64,
    /// The payload that a release restores, if there is one.
    pub payload: Option<Bytes>,
    /// The threshold that its rows were above; `None`: it was set aside by hand.
    pub threshold: Option<f32>,
    /// The length of its streak when it was set aside.
    pub reports: u32,
    /// When it was set aside, Unix milliseconds.
    pub set_aside_millis: u64,
}

impl Quarantined {
    /// Bytes of its name and payload.
    pub(crate) fn attached_bytes(&self) -> usize {
        self.name.as_ref().map_or(0, |name| name.len() + 16) + self.payload.as_ref().map_or(0, Bytes::len)
    }
}

/// A key without wrapping: the value within 2^15 octaves of `decay_units`.
pub(crate) fn units_of(key: Key, decay_units: u64) -> u64 {
    decay_units.wrapping_add_signed(key.since(Key::of_clock(decay_units)))
}

/// The key of a value that does not wrap, lifted to the floor of the last fold.
pub(crate) fn key_at(key_units: u64, folded_units: Option<u64>) -> Key {
    let is_below = |floor: &u64| (key_units.wrapping_sub(*floor) as i64) < 0;
    Key::of_clock(folded_units.filter(is_below).unwrap_or(key_units))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::FOLD_BELOW_UNITS;

    #[test]
    fn a_key_comes_back_from_its_position_however_far_the_clock_has_gone() {
        for (key, decay_units) in [(Key(5), 1_u64 << 32), (Key(u32::MAX - 5), 1 << 32), (Key(7), 0)] {
            let units = units_of(key, decay_units);
            assert_eq!(key_at(units, None), key);
            assert_eq!(key_at(units, Some(units.wrapping_sub(1))), key);
            // So far above that keys have wrapped, and serial order would take the old key for a later one.
            for floor in [units.wrapping_add(1), units.wrapping_add(3 << 32), units.wrapping_add(5 << 31)] {
                assert_eq!(key_at(units, Some(floor)), Key::of_clock(floor));
            }
        }
        assert_eq!(units_of(Key(1 << 20), (1 << 40) + FOLD_BELOW_UNITS), (1 << 40) + (1 << 20));
    }
}
