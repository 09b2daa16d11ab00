//! Samples of the hard store or the background by stratum: their slots, or only their number. Stratum 0 is not stored, so pools without
//! strata pay nothing.

use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// The number of samples of each stratum. Stratum 0 is what remains of the total.
#[derive(Debug, Default)]
pub(crate) struct Strata {
    /// Entries of strata other than 0.
    counts: BTreeMap<u32, u32>,
    /// The sum of `counts`.
    labelled: usize,
}

impl Strata {
    /// Counts a sample that was added.
    #[inline]
    pub(crate) fn add(&mut self, stratum: u32) {
        if stratum != 0 {
            *self.counts.entry(stratum).or_insert(0) += 1;
            self.labelled += 1;
        }
    }

    /// Counts a sample that was removed.
    #[inline]
    pub(crate) fn take(&mut self, stratum: u32) {
        if stratum == 0 {
            return;
        }
        if let Some(count) = self.counts.get_mut(&stratum) {
            *count -= 1;
            self.labelled -= 1;
            if *count == 0 {
                self.counts.remove(&stratum);
            }
        }
    }

    /// The number of samples of each stratum, of `total` samples, in order of stratum.
    pub(crate) fn counts(&self, total: usize) -> impl Iterator<Item = (u32, u64)> + '_ {
        let others = self.counts.iter().map(|(stratum, count)| (*stratum, u64::from(*count)));
        with_the_rest(total - self.labelled, others)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.counts.len() * 16
    }
}

/// The slots of the samples of each stratum, at most two bytes a sample. Stratum 0 is not stored.
#[derive(Debug, Default)]
pub(crate) struct SlotStrata {
    /// Entries of strata other than 0.
    slots: BTreeMap<u32, RoaringBitmap>,
    /// The number of slots of all of them.
    labelled: usize,
}

impl SlotStrata {
    /// Counts a sample that was added.
    #[inline]
    pub(crate) fn add(&mut self, stratum: u32, slot: u32) {
        if stratum != 0 {
            self.labelled += usize::from(self.slots.entry(stratum).or_default().insert(slot));
        }
    }

    /// Counts a sample that was removed.
    #[inline]
    pub(crate) fn take(&mut self, stratum: u32, slot: u32) {
        if stratum == 0 {
            return;
        }
        if let Some(slots) = self.slots.get_mut(&stratum) {
            self.labelled -= usize::from(slots.remove(slot));
            if slots.is_empty() {
                self.slots.remove(&stratum);
            }
        }
    }

    /// The slots of a stratum other than 0.
    pub(crate) fn members(&self, stratum: u32) -> impl Iterator<Item = u32> + '_ {
        self.slots.get(&stratum).into_iter().flatten()
    }

    /// The number of samples of each stratum, of `total` samples, in order of stratum.
    pub(crate) fn counts(&self, total: usize) -> impl Iterator<Item = (u32, u64)> + '_ {
        let others = self.slots.iter().map(|(stratum, slots)| (*stratum, slots.len()));
        with_the_rest(total - self.labelled, others)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots.len() * 64 + self.slots.values().map(RoaringBitmap::serialized_size).sum::<usize>()
    }
}

/// Puts the count of stratum 0 before those of the `others`.
fn with_the_rest(
    of_zero: usize,
    others: impl Iterator<Item = (u32, u64)>,
) -> impl Iterator<Item = (u32, u64)> {
    (of_zero > 0).then_some((0, of_zero as u64)).into_iter().chain(others)
}
