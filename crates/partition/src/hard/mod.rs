//! The hard store: index, slots and buckets, and who goes first when it is full.

mod arena;
pub(crate) mod buckets;
mod index;
mod lanes;
pub(crate) mod prefetch;
mod segments;
pub(crate) mod slots;
mod victims;

use crate::hash::placement_hash;
use crate::key::Key;
use crate::place::Place;
use crate::strata::SlotStrata;
pub(crate) use arena::BLOCK;
use buckets::Buckets;
use index::Index;
pub(crate) use index::Probe;
use slots::{Attributes, Slot, Slots, VACANT};
use victims::Victims;

/// The samples with the highest places, at most `capacity` of them.
#[derive(Debug)]
pub(crate) struct Hard {
    capacity: usize,
    pub(crate) lower_is_harder: bool,
    index: Index,
    pub(crate) slots: Slots,
    pub(crate) buckets: Buckets,
    pub(crate) strata: SlotStrata,
    victims: Victims,
}

impl Hard {
    pub(crate) fn new(capacity: usize, lower_is_harder: bool) -> Self {
        Self {
            capacity,
            lower_is_harder,
            index: Index::new(0),
            slots: Slots::new(capacity),
            buckets: Buckets::new(capacity, lower_is_harder),
            strata: SlotStrata::default(),
            victims: Victims::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= self.capacity
    }

    /// Room for `samples` samples at once.
    pub(crate) fn reserve(&mut self, samples: usize, blocks: usize) {
        self.slots.grow(samples);
        self.index = Index::new(samples);
        self.buckets.reserve(blocks);
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, id: u64) -> Option<u32> {
        self.index.find(hash, |slot| self.slots.get(slot).id == id)
    }

    /// Looks at the home line of a hash only.
    #[inline]
    pub(crate) fn probe(&self, hash: u64) -> Probe {
        self.index.probe(hash)
    }

    /// The slot of an id, given what its home line said before other rows of the report were applied. None of them may have had the same
    /// id: only that one can have entered it.
    #[inline]
    pub(crate) fn resolve(&self, probe: Probe, hash: u64, id: u64) -> Option<u32> {
        match probe {
            Probe::Absent => None,
            Probe::Perhaps(slot) if self.is_at(slot, id) => Some(slot),
            _ => self.find(hash, id),
        }
    }

    #[inline]
    fn is_at(&self, slot: u32, id: u64) -> bool {
        let s = self.slots.get(slot);
        s.id == id && s.position != VACANT
    }

    /// Starts loading the index line of a hash.
    #[inline]
    pub(crate) fn prefetch_line(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Starts loading what moving a sample to `key` will touch.
    #[inline]
    pub(crate) fn prefetch_move(&self, slot: u32, key: Key) {
        let s = self.slots.get(slot);
        if s.position != VACANT {
            self.buckets.prefetch_move(&self.slots, s, key);
        }
    }

    /// Starts loading the slot of the sample that goes `back` evictions from now, roughly.
    #[inline]
    pub(crate) fn prefetch_victim(&self, back: usize) {
        if let Some(slot) = self.victims.nth(back) {
            self.slots.prefetch(slot);
        }
    }

    /// The same for its index line, once its slot is there.
    #[inline]
    pub(crate) fn prefetch_victim_line(&self, back: usize) {
        if let Some(slot) = self.victims.nth(back) {
            self.index.prefetch(placement_hash(self.slots.get(slot).id));
            self.buckets.prefetch_take(&self.slots, self.slots.get(slot));
        }
    }

    /// Whether a key is below all of a full store, as far as that is known without a look.
    #[inline]
    pub(crate) fn is_surely_too_easy(&self, key: Key) -> bool {
        self.victims.first().is_some_and(|(place, _)| key.since(place.key) < 0)
    }

    /// The lowest place, and the slot that holds it.
    pub(crate) fn lowest(&mut self) -> Option<(Place, u32)> {
        self.victims.lowest(&self.buckets, &self.slots, self.lower_is_harder)
    }

    /// The lowest place, read without the queue of victims.
    pub(crate) fn floor(&self) -> Option<Place> {
        let known = self.victims.first().map(|(place, _)| place);
        known.or_else(|| {
            let leaf = self.buckets.lowest_leaf()?;
            let places = self.buckets.members(leaf).map(|slot| self.slots.place(slot, self.lower_is_harder));
            places.min_by(Place::compare)
        })
    }

    /// Enters an unknown id; there is room.
    pub(crate) fn insert(&mut self, hash: u64, sample: Slot) -> u32 {
        if let Some(to) = self.slots.wants() {
            self.grow(to);
        }
        let slot = self.slots.take();
        self.index.insert(hash, slot);
        self.buckets.enter(&mut self.slots, slot, hash, sample);
        let lower = self.lower_is_harder;
        self.victims.met(sample.key, slot, || sample.rank(hash, lower));
        slot
    }

    /// Enters an unknown id of an image in the next slot, in no bucket yet; false where it is known. There is room.
    pub(crate) fn restore(&mut self, hash: u64, sample: Slot) -> bool {
        if self.find(hash, sample.id).is_some() {
            return false;
        }
        let slot = self.slots.take();
        *self.slots.get_mut(slot) = sample;
        self.index.insert(hash, slot);
        true
    }

    /// More slots, and an index that is as large.
    fn grow(&mut self, to: usize) {
        const AHEAD: u32 = 16;
        self.slots.grow(to);
        let mut index = Index::new(to);
        for slot in 0..self.slots.touched() {
            if slot + AHEAD < self.slots.touched() {
                index.prefetch(placement_hash(self.slots.get(slot + AHEAD).id));
            }
            let s = self.slots.get(slot);
            if s.position != VACANT {
                index.insert(placement_hash(s.id), slot);
            }
        }
        self.index = index;
    }

    /// Gives a sample another key, score and stamp.
    #[inline]
    pub(crate) fn reprioritise(&mut self, slot: u32, hash: u64, key: Key, score: f32, stamp: u32) {
        let old = *self.slots.get(slot);
        let new = Slot { key, score, stamp, ..old };
        let lower = self.lower_is_harder;
        self.victims.left(old.key, || old.rank(hash, lower));
        self.buckets.relocate(&mut self.slots, slot, hash, &old, new);
        self.victims.met(key, slot, || new.rank(hash, lower));
    }

    /// Takes the lowest sample out, which [`Self::lowest`] has told.
    pub(crate) fn evict_lowest(&mut self) {
        if let Some((place, slot)) = self.victims.pop() {
            self.take_out(slot, place.rank.hash);
        }
    }

    /// Takes a sample out.
    pub(crate) fn remove(&mut self, slot: u32, hash: u64) {
        let s = *self.slots.get(slot);
        self.victims.left(s.key, || s.rank(hash, self.lower_is_harder));
        self.take_out(slot, hash);
    }

    fn take_out(&mut self, slot: u32, hash: u64) {
        self.buckets.unlink(&mut self.slots, slot, hash);
        self.index.remove(hash, slot);
        self.strata.take(self.slots.attributes(slot).stratum, slot);
        self.slots.release(slot);
    }

    /// Leaves a sample with these attributes.
    pub(crate) fn set_attributes(&mut self, slot: u32, attributes: Attributes) {
        let before = self.slots.attributes(slot);
        if before != attributes {
            self.slots.set_attributes(slot, attributes);
            self.strata.take(before.stratum, slot);
            self.strata.add(attributes.stratum, slot);
        }
    }

    /// Lays a sample to rest; nothing happens to one that rests.
    pub(crate) fn rest(&mut self, slot: u32) {
        self.buckets.rest(&mut self.slots, slot);
    }

    /// Wakes a sample; nothing happens to one that does not rest.
    pub(crate) fn wake(&mut self, slot: u32) {
        self.buckets.wake(&mut self.slots, slot);
    }

    pub(crate) fn victims_bytes(&self) -> usize {
        self.victims.memory_bytes()
    }

    pub(crate) fn index_bytes(&self) -> usize {
        self.index.memory_bytes()
    }

    /// Every invariant that can be looked up.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.buckets.check(&self.slots);
        self.victims.check(&self.buckets, &self.slots, self.lower_is_harder);
        for slot in 0..self.slots.touched() {
            let s = self.slots.get(slot);
            if s.position != VACANT {
                assert_eq!(self.find(placement_hash(s.id), s.id), Some(slot), "the index finds each sample");
            }
        }
    }
}
