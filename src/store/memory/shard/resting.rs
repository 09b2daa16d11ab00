//! What samples are balanced by, and their leases.

use super::Shard;
use crate::store::Row;
use crate::store::hash::{background_hash, placement_hash};
use crate::store::memory::leases::{LeasedMembers, Membership};
use crate::store::memory::slots::Attributes;
use crate::store::partition::Partitioned;

/// Leases ended by one call, at most: about a tenth of a millisecond.
const EXPIRED_MAX: usize = 1024;

impl Shard {
    /// The attributes that a row leaves its sample with; `None`: as they are, which for a new one is none.
    #[inline]
    pub(super) fn attributes_of(
        &self,
        batch: &Partitioned,
        row: usize,
        found: Option<u32>,
    ) -> Option<Attributes> {
        let (stratum, group) = (batch.strata.get(row).copied(), batch.groups.get(row).copied());
        if let (Some(stratum), Some(group)) = (stratum, group) {
            return Some(Attributes { stratum, group });
        }
        if stratum.is_none() && group.is_none() && !self.has_attributes {
            return None;
        }
        // The sources tell each other what a report does not say.
        let known = match found {
            Some(slot) => self.slots.attributes(slot),
            None => self.samples.iter().find_map(|s| s.attributes(batch.ids[row])).unwrap_or_default(),
        };
        Some(Attributes { stratum: stratum.unwrap_or(known.stratum), group: group.unwrap_or(known.group) })
    }

    pub(super) fn set_attributes(&mut self, slot: u32, attributes: Attributes) {
        let before = self.slots.attributes(slot);
        if before != attributes {
            self.slots.set_attributes(slot, attributes);
            self.strata.take(before.stratum, slot);
            self.strata.add(attributes.stratum, slot);
        }
    }

    /// Strata of the hard store, and of the serving background.
    pub(in crate::store::memory) fn strata(&self) -> [Vec<(u32, u64)>; 2] {
        let background = self.samples.first();
        [
            self.strata.counts(self.slots.len()),
            background.map_or_else(Vec::new, |sample| sample.strata.counts(sample.len())),
        ]
    }

    /// The members of the hard store that are of a stratum other than 0.
    pub(in crate::store::memory) fn of_stratum(&self, stratum: u32) -> impl Iterator<Item = Row> + '_ {
        self.strata.members(stratum).map(|slot| {
            let row = self.slots.row(slot);
            Row { leased: self.leases.contains(row.id), ..row }
        })
    }

    /// Lays a sample to rest, wherever it is.
    pub(super) fn start_lease(&mut self, id: u64, slot: Option<u32>, until_millis: u64) {
        if let Some(slot) = slot {
            self.buckets.rest(&mut self.slots, slot);
        }
        let background = self.samples.first().filter(|sample| sample.contains(id));
        let membership = background.map(|sample| Membership {
            generation: sample.generation.number,
            hash: background_hash(id, sample.generation.salt),
            outside: slot.is_none(),
        });
        if let Some(ended) = self.leases.start(id, until_millis, membership) {
            self.wake(ended);
        }
    }

    /// A report came: the lease of its sample is over.
    pub(super) fn end_lease(&mut self, id: u64, slot: Option<u32>) {
        if self.leases.end(id)
            && let Some(slot) = slot
        {
            self.buckets.wake(&mut self.slots, slot);
        }
    }

    fn wake(&mut self, id: u64) {
        if let Some(slot) = self.find(placement_hash(id), id) {
            self.buckets.wake(&mut self.slots, slot);
        }
    }

    /// Ends a lease before its time; whether there was one.
    pub(in crate::store::memory) fn release(&mut self, id: u64) -> bool {
        let was = self.leases.end(id);
        if was {
            self.wake(id);
        }
        was
    }

    /// Ends leases that are over, a bounded number of them; whether there are more.
    pub(in crate::store::memory) fn expire(&mut self, now_millis: u64) -> bool {
        for _ in 0..EXPIRED_MAX {
            let Some(id) = self.leases.pop_over(now_millis) else {
                return false;
            };
            self.wake(id);
        }
        true
    }

    /// When the first lease ends.
    pub(in crate::store::memory) fn first_lease_end(&self) -> Option<u64> {
        self.leases.first_end()
    }

    /// When the lease of an id ends.
    pub(in crate::store::memory) fn lease_end(&self, id: u64) -> Option<u64> {
        self.leases.end_of(id)
    }

    /// Samples that rest.
    pub(in crate::store::memory) fn leased(&self) -> usize {
        self.leases.len()
    }

    /// Those of them that are, or were, in the background.
    pub(in crate::store::memory) fn leased_members(&mut self) -> LeasedMembers {
        if self.shared.dense_ids > 0 {
            return LeasedMembers { members: self.leases.len() as u64, ..LeasedMembers::default() };
        }
        let serving = self.samples.first().map(|sample| &sample.generation);
        serving.map_or_else(LeasedMembers::default, |serving| {
            self.leases.members(serving.number, serving.threshold().unwrap_or(u64::MAX))
        })
    }

    #[cfg(test)]
    pub(super) fn rests(&self, slot: u32) -> bool {
        self.buckets.rests(&self.slots, slot)
    }
}
