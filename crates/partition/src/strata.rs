//! Samples of the hard store or the background by stratum: their slots, or only their number. Stratum 0 is not stored, so pools without
//! strata pay nothing.

use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// The number of samples of each stratum. Stratum 0 is what remains of the total.
#[derive(Debug, Default)]
pub(crate) struct Strata {
    /// Entries of strata other than 0.
    counts: BTreeMap<u32, u32>,
}

impl Strata {
    /// Counts a sample that was added.
    #[inline]
    pub(crate) fn add(&mut self, stratum: u32) {
        if stratum != 0 {
            *self.counts.entry(stratum).or_insert(0) += 1;
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
            if *count == 0 {
                self.counts.remove(&stratum);
            }
        }
    }

    /// The number of samples of each stratum, of `total` samples.
    pub(crate) fn counts(&self, total: usize) -> Vec<(u32, u64)> {
        with_the_rest(self.counts.iter().map(|(stratum, count)| (*stratum, u64::from(*count))), total)
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
}

impl SlotStrata {
    /// Counts a sample that was added.
    #[inline]
    pub(crate) fn add(&mut self, stratum: u32, slot: u32) {
        if stratum != 0 {
            self.slots.entry(stratum).or_default().insert(slot);
        }
    }

    /// Counts a sample that was removed.
    #[inline]
    pub(crate) fn take(&mut self, stratum: u32, slot: u32) {
        if stratum == 0 {
            return;
        }
        if let Some(slots) = self.slots.get_mut(&stratum) {
            slots.remove(slot);
            if slots.is_empty() {
                self.slots.remove(&stratum);
            }
        }
    }

    /// The slots of a stratum other than 0.
    pub(crate) fn members(&self, stratum: u32) -> impl Iterator<Item = u32> + '_ {
        self.slots.get(&stratum).into_iter().flatten()
    }

    /// The number of samples of each stratum, of `total` samples.
    pub(crate) fn counts(&self, total: usize) -> Vec<(u32, u64)> {
        with_the_rest(self.slots.iter().map(|(stratum, slots)| (*stratum, slots.len())), total)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots.len() * 64 + self.slots.values().map(RoaringBitmap::serialized_size).sum::<usize>()
    }
}

/// Appends the count of stratum 0, which is what remains of `total`.
fn with_the_rest(counts: impl Iterator<Item = (u32, u64)>, total: usize) -> Vec<(u32, u64)> {
    let mut counts: Vec<(u32, u64)> = counts.collect();
    let others: u64 = counts.iter().map(|c| c.1).sum();
    let zero = (total as u64).saturating_sub(others);
    if zero > 0 {
        counts.push((0, zero));
    }
    counts
}
