//! Splits a partition into two.

use roaring::RoaringTreemap;

use super::Partition;
use crate::background::Background;
use crate::dedupe::Dedupe;
use crate::hash::{partition_of, placement_hash};
use crate::image::ImageError;
use crate::spec::{BackgroundSpec, PartitionSpec};
use crate::totals::Totals;

/// Limits on each half of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfLimits {
    /// Samples in the hard store, 1 ..= 2^31. The hardest stay.
    pub capacity: usize,
    /// Members of the background, 1 ..= 2^24. Ignored in a dense id space.
    pub background_size: usize,
    /// Processes of workers, 0 ..= 2^20. The most recently heard stay.
    pub workers: usize,
}

impl Partition {
    /// Divides a partition of a pool of `partitions` into the two that hold its ids in a pool of twice as many: partition p becomes 2p and
    /// 2p + 1, by the next bit of the placement hash ([`partition_of`]). Call it between two operations.
    ///
    /// Each half is the partition without the ids of the other half: without their samples, members of background and witness, leases,
    /// removals and serves. Both halves inherit the salts and everything that belongs to no id: the position, the fold, the generations,
    /// and the reports that were applied, because a resend reaches both. A half serves the background with the partition's threshold, so
    /// that |R|/p of the two sum to an estimate of N as good as before (docs/methods.md 4.1); only one that still has more members than
    /// `background_size` keeps the smallest hashes, and takes the next for its threshold, as it does when it grows. The number of rows
    /// since the background was renewed is halved, because each half has seen about half of them.
    ///
    /// Records, streaks, and trusted and blocked ids go with their ids, under the same limits as before. The lower half keeps the count of
    /// overflows.
    ///
    /// A witness is left with about half of its members. If removals and the split leave fewer than half, another witness replaces it as
    /// usual.
    ///
    /// # Errors
    /// [`ImageError::Contradiction`] for limits out of range.
    pub fn split(self, partitions: usize, limits: HalfLimits) -> Result<[Self; 2], ImageError> {
        let upper = Self::load(&self.save())?;
        Ok([self.half(partitions, 0, limits)?, upper.half(partitions, 1, limits)?])
    }

    fn half(mut self, partitions: usize, side: usize, limits: HalfLimits) -> Result<Self, ImageError> {
        self.retain(&|id| partition_of(placement_hash(id), 2 * partitions) % 2 == side);
        self.limit(limits);
        if side == 1 {
            // The pool sums these over partitions, so only one half may keep them.
            self.quarantine.overflows = 0;
            self.totals = Totals { latest_stamp: self.totals.latest_stamp, ..Totals::default() };
        }
        self.rebuild_expiry();
        // Saved and loaded, so that it takes no more memory than a half needs.
        Self::load(&self.save())
    }

    /// Removes all ids for which `stays` is false.
    fn retain(&mut self, stays: &impl Fn(u64) -> bool) {
        // The pattern has no `..`, so that new state does not compile until it is handled here.
        let Self {
            spec: _,
            position: _,
            hard,
            background,
            removed,
            unstored_serves,
            unstored_order,
            leases,
            dedupe: _,
            has_attributes: _,
            folded_units: _,
            totals: _,
            quarantine,
            // Rebuilt once all limits hold.
            expiry: _,
        } = self;
        let gone: Vec<u64> = leases.all().map(|(_, id, ..)| id).filter(|id| !stays(*id)).collect();
        for id in gone {
            leases.end(id);
        }
        // In the order of the image: the order in which members leave decides the order of the others in their leaf.
        let mut gone = Vec::new();
        hard.buckets.in_shape_order(|slot| {
            let id = hard.slots.get(slot).id;
            if !stays(id) {
                gone.push((slot, id));
            }
        });
        for (slot, id) in gone {
            hard.remove(slot, placement_hash(id));
        }
        if let Some(background) = background {
            background.retain(stays);
        }
        *removed = removed.iter().filter(|id| stays(*id)).collect::<RoaringTreemap>();
        unstored_serves.retain(|id, _| stays(*id));
        unstored_order.retain(|id| stays(*id));
        quarantine.retain(stays);
    }

    /// Applies new limits to what is stored.
    fn limit(&mut self, limits: HalfLimits) {
        let HalfLimits { capacity, background_size, workers } = limits;
        let background = match self.spec.background {
            BackgroundSpec::Sampled { .. } => BackgroundSpec::Sampled { size: background_size },
            dense @ BackgroundSpec::Dense { .. } => dense,
        };
        self.spec = PartitionSpec { capacity, background, workers, ..self.spec };
        while self.hard.len() > capacity && self.hard.lowest().is_some() {
            self.hard.evict_lowest();
        }
        let mut members = 0;
        if let Some(background) = &mut self.background {
            background.limit(background_size);
            self.leases.follow(background.serving.number, background.serving.limit());
            members = background_size;
        }
        let leases_max = capacity.saturating_add(members).saturating_add(self.spec.unstored_serves);
        while self.leases.len() > leases_max {
            // Ends the lease that would end first, as when one more begins.
            self.expire_one(u64::MAX);
        }
        self.dedupe = self.dedupe.latest(workers);
    }
}

impl Background {
    /// Removes all ids for which `stays` is false. Nothing begins or takes over.
    fn retain(&mut self, stays: &impl Fn(u64) -> bool) {
        for sample in self.samples_mut() {
            sample.retain(stays);
        }
        self.rows /= 2;
        self.witness.retain(stays);
        if let Some(next) = &mut self.next_witness {
            next.witness.retain(stays);
            next.rows /= 2;
        }
    }

    fn limit(&mut self, size_max: usize) {
        self.samples_mut().for_each(|sample| sample.limit_to(size_max));
    }
}

impl Dedupe {
    /// A copy with the most recently heard workers, at most `most`.
    fn latest(&self, most: usize) -> Self {
        let mut latest = Self::new(most);
        for (worker, epoch, seen) in self.all().skip(self.len().saturating_sub(most)) {
            latest.restore(worker, epoch, seen.clone());
        }
        latest
    }
}
