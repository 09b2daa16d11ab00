//! The hard store: its index, slots and buckets, and the queue of samples to evict when it is full.

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

    /// Allocates memory for `samples` samples at once.
    pub(crate) fn reserve(&mut self, samples: usize, blocks: usize) {
        self.slots.grow(samples);
        self.index = Index::new(samples);
        self.buckets.reserve(blocks);
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, id: u64) -> Option<u32> {
        self.index.find(hash, |slot| self.slots.get(slot).id == id)
    }

    /// Reads only the home line of a hash.
    #[inline]
    pub(crate) fn probe(&self, hash: u64) -> Probe {
        self.index.probe(hash)
    }

    /// The slot of an id, given the probe of its home line from before other rows of the report were applied. No such row may have had the
    /// same id, because only it could have inserted the id.
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

    /// Prefetches the index line of a hash.
    #[inline]
    pub(crate) fn prefetch_line(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Prefetches what moving a sample to `key` will touch.
    #[inline]
    pub(crate) fn prefetch_move(&self, slot: u32, key: Key) {
        let s = self.slots.get(slot);
        if s.position != VACANT {
            self.buckets.prefetch_move(&self.slots, s, key);
        }
    }

    /// Prefetches the slot of the sample that will be evicted about `back` evictions from now.
    #[inline]
    pub(crate) fn prefetch_victim(&self, back: usize) {
        if let Some(slot) = self.victims.nth(back) {
            self.slots.prefetch(slot);
        }
    }

    /// Prefetches the index line of that sample, once its slot is in the cache.
    #[inline]
    pub(crate) fn prefetch_victim_line(&self, back: usize) {
        if let Some(slot) = self.victims.nth(back) {
            self.index.prefetch(placement_hash(self.slots.get(slot).id));
            self.buckets.prefetch_take(&self.slots, self.slots.get(slot));
        }
    }

    /// Whether a key is known to be below all keys of a full store. Reads only the queue of victims.
    #[inline]
    pub(crate) fn is_surely_too_easy(&self, key: Key) -> bool {
        self.victims.first().is_some_and(|(place, _)| key.since(place.key) < 0)
    }

    /// The lowest place, and the slot of its sample.
    pub(crate) fn lowest(&mut self) -> Option<(Place, u32)> {
        self.victims.lowest(&self.buckets, &self.slots, self.lower_is_harder)
    }

    /// The lowest place. Does not fill the queue of victims, so that reads can call it.
    pub(crate) fn floor(&self) -> Option<Place> {
        let known = self.victims.first().map(|(place, _)| place);
        known.or_else(|| {
            let leaf = self.buckets.lowest_leaf()?;
            let places = self.buckets.members(leaf).map(|slot| self.slots.place(slot, self.lower_is_harder));
            places.min_by(Place::compare)
        })
    }

    /// Inserts a new id. There is room.
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

    /// Restores a sample of an image in the next slot, in no bucket yet. There is room. False: the id is there already.
    pub(crate) fn restore(&mut self, hash: u64, sample: Slot) -> bool {
        if self.find(hash, sample.id).is_some() {
            return false;
        }
        let slot = self.slots.take();
        *self.slots.get_mut(slot) = sample;
        self.index.insert(hash, slot);
        true
    }

    /// Adds slots, and rebuilds the index at the same size.
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

    /// Removes the lowest sample, which [`Self::lowest`] returned.
    pub(crate) fn evict_lowest(&mut self) {
        if let Some((place, slot)) = self.victims.pop() {
            self.take_out(slot, place.rank.hash);
        }
    }

    /// Removes a sample.
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

    /// Sets the attributes of a sample.
    pub(crate) fn set_attributes(&mut self, slot: u32, attributes: Attributes) {
        let before = self.slots.attributes(slot);
        if before != attributes {
            self.slots.set_attributes(slot, attributes);
            self.strata.take(before.stratum, slot);
            self.strata.add(attributes.stratum, slot);
        }
    }

    /// Makes a sample rest. Does nothing if it rests already.
    pub(crate) fn rest(&mut self, slot: u32) {
        self.buckets.rest(&mut self.slots, slot);
    }

    /// Ends the rest of a sample. Does nothing if it does not rest.
    pub(crate) fn wake(&mut self, slot: u32) {
        self.buckets.wake(&mut self.slots, slot);
    }

    pub(crate) fn victims_bytes(&self) -> usize {
        self.victims.memory_bytes()
    }

    pub(crate) fn index_bytes(&self) -> usize {
        self.index.memory_bytes()
    }

    /// Checks the invariants.
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
