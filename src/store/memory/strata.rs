//! How many samples of each stratum a part of the store holds. Costs nothing until a stratum other than 0 is seen.

use hashbrown::HashMap;

/// Samples by stratum; those not counted are of stratum 0.
#[derive(Debug, Default)]
pub(super) struct Strata {
    /// Of strata other than 0.
    counts: HashMap<u32, u32>,
}

impl Strata {
    /// A sample of `stratum` came.
    #[inline]
    pub(super) fn add(&mut self, stratum: u32) {
        if stratum != 0 {
            *self.counts.entry(stratum).or_insert(0) += 1;
        }
    }

    /// A sample of `stratum` went.
    #[inline]
    pub(super) fn take(&mut self, stratum: u32) {
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
    pub(super) fn counts(&self, total: usize) -> Vec<(u32, u64)> {
        let mut counts: Vec<(u32, u64)> =
            self.counts.iter().map(|(stratum, count)| (*stratum, u64::from(*count))).collect();
        let others: u64 = counts.iter().map(|c| c.1).sum();
        let zero = (total as u64).saturating_sub(others);
        if zero > 0 {
            counts.push((0, zero));
        }
        counts
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.counts.allocation_size()
    }
}
