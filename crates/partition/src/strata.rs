//! Which samples of each stratum a part of the store holds, or how many. Costs nothing until a stratum other than 0 is seen.

use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// Samples by stratum; those not counted are of stratum 0.
#[derive(Debug, Default)]
pub(crate) struct Strata {
    /// Of strata other than 0.
    counts: BTreeMap<u32, u32>,
}

impl Strata {
    /// A sample of `stratum` came.
    #[inline]
    pub(crate) fn add(&mut self, stratum: u32) {
        if stratum != 0 {
            *self.counts.entry(stratum).or_insert(0) += 1;
        }
    }

    /// A sample of `stratum` went.
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

    /// Strata and their samples, of `total` in all.
    pub(crate) fn counts(&self, total: usize) -> Vec<(u32, u64)> {
        with_the_rest(self.counts.iter().map(|(stratum, count)| (*stratum, u64::from(*count))), total)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.counts.len() * 16
    }
}

/// The slots of each stratum: two bytes a sample at most.
#[derive(Debug, Default)]
pub(crate) struct SlotStrata {
    /// Of strata other than 0.
    slots: BTreeMap<u32, RoaringBitmap>,
}

impl SlotStrata {
    /// A sample of `stratum` came.
    #[inline]
    pub(crate) fn add(&mut self, stratum: u32, slot: u32) {
        if stratum != 0 {
            self.slots.entry(stratum).or_default().insert(slot);
        }
    }

    /// A sample of `stratum` went.
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

    /// Strata and their samples, of `total` in all.
    pub(crate) fn counts(&self, total: usize) -> Vec<(u32, u64)> {
        with_the_rest(self.slots.iter().map(|(stratum, slots)| (*stratum, slots.len())), total)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.slots.len() * 64 + self.slots.values().map(RoaringBitmap::serialized_size).sum::<usize>()
    }
}

/// The counts, and that of stratum 0: what is left of `total`.
fn with_the_rest(counts: impl Iterator<Item = (u32, u64)>, total: usize) -> Vec<(u32, u64)> {
    let mut counts: Vec<(u32, u64)> = counts.collect();
    let others: u64 = counts.iter().map(|c| c.1).sum();
    let zero = (total as u64).saturating_sub(others);
    if zero > 0 {
        counts.push((0, zero));
    }
    counts
}
