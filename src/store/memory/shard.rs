//! One shard: index, slots, buckets and background under one lock.

mod read;
mod resting;

use hashbrown::HashMap;
use roaring::RoaringTreemap;
use std::collections::VecDeque;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::background::{Generation, IdHasher, IdMap, Offer, Sample, Taken, updated_score};
use super::buckets::Buckets;
use super::index::{Index, Probe};
use super::leases::Leases;
use super::shared::{Generations, Shared, Terms};
use super::slots::{Attributes, Slot, Slots, VACANT};
use super::strata::SlotStrata;
use crate::store::hash::placement_hash;
use crate::store::key::{ANCIENT_UNITS, BUCKET_SHIFT, Key};
use crate::store::partition::Partitioned;
use crate::store::{ApplyCounts, ScoreUpdate, StoreError};

/// Rows applied in one stage: enough that a prefetched line has arrived, few enough that none is evicted.
const STAGE: usize = 32;
/// Upkeep of the buckets after this many rows.
const UPKEEP_ROWS: usize = 1024;
/// Members moved by one upkeep.
const UPKEEP_MOVES: u32 = 4096;
/// Ancient samples lifted before a batch is applied, at most. The pool's clock moves at most 2^14 octaves between batches, so
/// that all are lifted long before serial order could wrap.
const LIFTED_MAX: u32 = 16_384;
/// Ranks within which hot buckets are split (DECISIONS 11).
const SPLIT_RANKS: u64 = 65_536;
/// Serves of ids that are stored nowhere, remembered over all shards (DECISIONS 17).
const UNSTORED_SERVES: usize = 65_536;

/// One shard.
#[derive(Debug)]
pub(super) struct Shard {
    number: usize,
    shared: Arc<Shared>,
    index: Index,
    slots: Slots,
    pub(super) buckets: Buckets,
    /// Serving, then filling; empty in a dense id space.
    samples: Vec<Sample>,
    background_max: usize,
    removed: RoaringTreemap,
    unstored_serves: IdMap<u16>,
    unstored_order: VecDeque<u64>,
    leases: Leases,
    /// Of the hard store.
    strata: SlotStrata,
    /// Some report had strata or groups.
    has_attributes: bool,
    rows_since_upkeep: usize,
    /// The lowest bucket of the other shards, as of the start of this part of a batch.
    elsewhere: Option<Key>,
}

impl Shard {
    pub(super) fn new(
        number: usize,
        shared: Arc<Shared>,
        slots_max: usize,
        background_max: usize,
    ) -> Result<Self, StoreError> {
        let shards = shared.shards;
        Ok(Self {
            number,
            shared,
            index: Index::new(slots_max)?,
            slots: Slots::new(slots_max)?,
            buckets: Buckets::new(slots_max),
            samples: Vec::new(),
            background_max,
            removed: RoaringTreemap::new(),
            unstored_serves: HashMap::with_hasher(BuildHasherDefault::<IdHasher>::default()),
            unstored_order: VecDeque::new(),
            leases: Leases::new(slots_max + background_max + UNSTORED_SERVES / shards),
            strata: SlotStrata::default(),
            has_attributes: false,
            rows_since_upkeep: 0,
            elsewhere: None,
        })
    }

    /// Brings this shard to the pool's generations; false when it is further already.
    pub(super) fn follow(&mut self, generations: &Generations) -> bool {
        let newest = generations.filling.as_ref().unwrap_or(&generations.serving).number;
        let is_further =
            self.samples.first().is_some_and(|s| s.generation.number > generations.serving.number)
                || self.samples.last().is_some_and(|s| s.generation.number > newest);
        if is_further {
            return false;
        }
        let current = |s: &Sample, g: &Arc<Generation>| s.generation.number == g.number;
        let wanted = 1 + usize::from(generations.filling.is_some());
        let in_place = self.samples.len() == wanted
            && current(&self.samples[0], &generations.serving)
            && generations.filling.as_ref().is_none_or(|f| current(&self.samples[1], f));
        if !in_place {
            let mut old = std::mem::take(&mut self.samples);
            for generation in std::iter::once(&generations.serving).chain(&generations.filling) {
                let at = old.iter().position(|s| s.generation.number == generation.number);
                let sample = at.map_or_else(
                    || Sample::new(generation.clone(), self.background_max),
                    |at| old.swap_remove(at),
                );
                self.samples.push(sample);
            }
        }
        for sample in &mut self.samples {
            sample.purge();
        }
        true
    }

    #[inline]
    fn find(&self, hash: u64, id: u64) -> Option<u32> {
        self.index.find(hash, |slot| self.slots.get(slot).id == id)
    }

    /// Applies rows `from..to` of a batch, in stages that ask for memory before they need it.
    pub(super) fn apply(
        &mut self,
        batch: &Partitioned,
        from: usize,
        to: usize,
        terms: &Terms,
        counts: &mut ApplyCounts,
    ) {
        self.clamp_ancient(terms.decay_units);
        self.elsewhere = self.shared.lowest_but(self.number);
        self.has_attributes |= !batch.strata.is_empty() || !batch.groups.is_empty();
        let stage = |i: usize| (from + i * STAGE).min(to)..(from + (i + 1) * STAGE).min(to);
        let stages = (to - from).div_ceil(STAGE);
        let mut probes = [[Probe::Absent; STAGE]; 4];
        for i in 0..stages + 3 {
            for row in stage(i) {
                self.index.prefetch(batch.hashes[row]);
            }
            if i >= 1 {
                self.probe(batch, stage(i - 1), &mut probes[(i - 1) & 3]);
            }
            if i >= 2 {
                self.prefetch_buckets(batch, stage(i - 2), &probes[(i - 2) & 3]);
            }
            if i >= 3 {
                for (row, probe) in stage(i - 3).zip(probes[(i - 3) & 3]) {
                    self.upsert(batch, row, probe, terms, counts);
                }
            }
        }
        self.rows_since_upkeep += to - from;
        if self.rows_since_upkeep >= UPKEEP_ROWS {
            self.rows_since_upkeep = 0;
            let ranks = (2 * SPLIT_RANKS).div_ceil(self.shared.shards as u64);
            self.buckets.maintain(&mut self.slots, ranks, UPKEEP_MOVES);
        }
        self.publish();
    }

    /// Reads the index lines of a stage and asks for the slots they name, and for those that may be evicted.
    fn probe(&self, batch: &Partitioned, rows: std::ops::Range<usize>, probes: &mut [Probe; STAGE]) {
        let full = self.is_full();
        let mut evictions = 2 * STAGE as u32;
        for (row, probe) in rows.zip(probes) {
            *probe = self.index.probe(batch.hashes[row]);
            self.samples.iter().for_each(|sample| sample.prefetch(batch.ids[row]));
            match *probe {
                Probe::Perhaps(slot) => self.slots.prefetch(slot),
                _ if full && !self.is_too_easy(batch.keys[row]) => {
                    if let Some(victim) = self.buckets.victim(evictions) {
                        self.slots.prefetch(victim);
                    }
                    evictions += 1;
                }
                _ => {}
            }
        }
    }

    /// Asks for the places in buckets that a stage will touch, and for the index lines of what it will evict.
    fn prefetch_buckets(&self, batch: &Partitioned, rows: std::ops::Range<usize>, probes: &[Probe; STAGE]) {
        let full = self.is_full();
        let mut evictions = STAGE as u32;
        for (row, probe) in rows.zip(probes) {
            match *probe {
                // It may be another sample with the same fingerprint: then this costs a line for nothing.
                Probe::Perhaps(slot) => {
                    let s = self.slots.get(slot);
                    if s.position != VACANT && !self.buckets.same_bucket(s.key, batch.keys[row]) {
                        self.buckets.prefetch_move(&self.slots, s.key, s.position);
                    }
                }
                _ if full && !self.is_too_easy(batch.keys[row]) => {
                    if let Some(victim) = self.buckets.victim(evictions) {
                        self.index.prefetch(placement_hash(self.slots.get(victim).id));
                    }
                    evictions += 1;
                }
                _ => {}
            }
        }
    }

    /// Below the lowest bucket here and elsewhere.
    #[inline]
    fn is_too_easy(&self, key: Key) -> bool {
        self.buckets.lowest().is_some_and(|(_, own)| key.since(own) < 0)
            && self.elsewhere.is_none_or(|low| key.since(low) < 0)
    }

    /// The slot of a row, given what its home line said two stages ago: no row of a batch is another's duplicate, so
    /// nothing can have entered it meanwhile.
    #[inline]
    fn resolve(&self, probe: Probe, hash: u64, id: u64) -> Option<u32> {
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

    fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// Applies one row.
    fn upsert(
        &mut self,
        batch: &Partitioned,
        row: usize,
        probe: Probe,
        terms: &Terms,
        counts: &mut ApplyCounts,
    ) {
        let found = self.resolve(probe, batch.hashes[row], batch.ids[row]);
        let stale = |stamp: u32| terms.refuse_stale && (stamp.wrapping_sub(terms.stamp) as i32) > 0;
        if found.is_some_and(|slot| stale(self.slots.get(slot).stamp)) {
            counts.stale += 1;
            return;
        }
        let attributes = self.attributes_of(batch, row, found);
        match self.offer(batch, row, terms, attributes) {
            Taken::Stale => counts.stale += 1,
            taken => {
                if !self.leases.is_empty() {
                    self.end_lease(batch.ids[row], found);
                }
                match found {
                    Some(slot) => {
                        self.update(slot, batch, row, terms);
                        if let Some(attributes) = attributes {
                            self.set_attributes(slot, attributes);
                        }
                        counts.updated += 1;
                    }
                    None if self.insert(batch, row, terms, attributes, counts) => counts.inserted += 1,
                    None if taken == Taken::Member => counts.background_only += 1,
                    None => counts.dropped += 1,
                }
            }
        }
    }

    /// Shows a row to the background.
    #[inline]
    fn offer(
        &mut self,
        batch: &Partitioned,
        row: usize,
        terms: &Terms,
        attributes: Option<Attributes>,
    ) -> Taken {
        let id = batch.ids[row];
        if self.shared.dense_ids > 0 {
            self.renew_dense(id);
            // Every id of the space is in the background, and nothing of it is kept there.
            return Taken::Outside;
        }
        if self.samples.iter().any(|sample| sample.may_take(id)) {
            self.offer_to_samples(batch, row, terms, attributes)
        } else {
            Taken::Outside
        }
    }

    /// A report brings a removed id back, and ends what was remembered of its serves.
    fn renew_dense(&mut self, id: u64) {
        if !self.removed.is_empty() {
            self.removed.remove(id);
        }
        if !self.unstored_serves.is_empty() {
            self.unstored_serves.remove(&id);
        }
    }

    fn offer_to_samples(
        &mut self,
        batch: &Partitioned,
        row: usize,
        terms: &Terms,
        attributes: Option<Attributes>,
    ) -> Taken {
        let offer = Offer {
            id: batch.ids[row],
            score: batch.scores[row],
            stamp: terms.stamp,
            refuse_stale: terms.refuse_stale,
            model_version: terms.model_version,
            update: terms.update,
            attributes,
            name: batch.names.get(row),
            payload: batch.payloads.get(row),
        };
        let mut taken = Taken::Outside;
        for sample in &mut self.samples {
            match sample.offer(&self.shared.hardness, &offer) {
                Taken::Outside => {}
                Taken::Stale => return Taken::Stale,
                Taken::Member => taken = Taken::Member,
            }
        }
        taken
    }

    fn update(&mut self, slot: u32, batch: &Partitioned, row: usize, terms: &Terms) {
        let hardness = self.shared.hardness;
        let s = *self.slots.get(slot);
        let (mut key, mut score) = (batch.keys[row], batch.scores[row]);
        if terms.update != ScoreUpdate::Last {
            score = updated_score(&hardness, terms.update, s.score, score);
            key = hardness.key(score, terms.decay_units).0;
        }
        if self.buckets.same_bucket(s.key, key) {
            self.slots.get_mut(slot).key = key;
        } else {
            self.buckets.unlink(&mut self.slots, slot);
            self.slots.get_mut(slot).key = key;
            self.buckets.push(&mut self.slots, slot);
        }
        let s = self.slots.get_mut(slot);
        s.score = score;
        s.stamp = terms.stamp;
        self.slots.set_version(slot, terms.model_version);
        self.slots.forget_serves(slot);
        self.slots.attach(slot, batch.names.get(row), batch.payloads.get(row));
    }

    /// Enters an unknown id, if it is hard enough.
    fn insert(
        &mut self,
        batch: &Partitioned,
        row: usize,
        terms: &Terms,
        attributes: Option<Attributes>,
        counts: &mut ApplyCounts,
    ) -> bool {
        let (id, hash, key) = (batch.ids[row], batch.hashes[row], batch.keys[row]);
        if !self.make_room(key, counts) {
            return false;
        }
        let slot = self.slots.take();
        *self.slots.get_mut(slot) =
            Slot { id, key, position: 0, score: batch.scores[row], stamp: terms.stamp };
        self.index.insert(hash, slot);
        self.buckets.push(&mut self.slots, slot);
        self.slots.set_version(slot, terms.model_version);
        self.slots.attach(slot, batch.names.get(row), batch.payloads.get(row));
        if let Some(attributes) = attributes {
            self.slots.set_attributes(slot, attributes);
            self.strata.add(attributes.stratum, slot);
        }
        true
    }

    /// Counts a new sample in, and evicts the pool's easiest for it where that is here. Where it is elsewhere the pool is over
    /// capacity until `settle`.
    fn make_room(&mut self, key: Key, counts: &mut ApplyCounts) -> bool {
        let within = |len: i64| (len < self.shared.capacity).then_some(len + 1);
        if self.slots.has_room()
            && self.shared.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
        {
            return true;
        }
        let Some((_, own)) = self.buckets.lowest() else {
            // Nothing here to evict: only if the pool's easiest elsewhere is easier.
            return self.slots.has_room() && self.is_above_pool(key) && self.count_in();
        };
        if self.is_too_easy(key) {
            return false;
        }
        let own_is_lowest = self.elsewhere.is_none_or(|low| own.since(low) <= 0);
        if !own_is_lowest && self.slots.has_room() {
            return self.is_above_pool(key) && self.count_in();
        }
        if key.since(own) < 0 {
            return false;
        }
        let Some(victim) = self.buckets.victim(0) else {
            return false;
        };
        if key.since(self.slots.get(victim).key) <= 0 {
            return false;
        }
        self.evict(victim);
        counts.evicted += 1;
        self.count_in()
    }

    fn count_in(&self) -> bool {
        self.shared.len.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Strictly above the pool's lowest bucket: what evicts it is then harder for sure.
    fn is_above_pool(&self, key: Key) -> bool {
        self.elsewhere.is_none_or(|low| key.0 >> BUCKET_SHIFT != low.0 >> BUCKET_SHIFT && key.since(low) > 0)
    }

    fn evict(&mut self, slot: u32) {
        let id = self.slots.get(slot).id;
        self.take_out(slot, placement_hash(id));
    }

    fn take_out(&mut self, slot: u32, hash: u64) {
        self.buckets.unlink(&mut self.slots, slot);
        self.index.remove(hash, slot);
        self.strata.take(self.slots.attributes(slot).stratum, slot);
        self.slots.release(slot);
        self.shared.len.fetch_sub(1, Ordering::Relaxed);
    }

    /// Evicts up to `excess` of this shard's easiest, while they are the pool's; how many.
    pub(super) fn settle(&mut self, excess: u64) -> u64 {
        let mut evicted = 0;
        while evicted < excess {
            let own_is_lowest = self.shared.lowest().is_some_and(|(shard, _)| shard == self.number);
            let Some(victim) = self.buckets.victim(0).filter(|_| own_is_lowest) else {
                break;
            };
            self.evict(victim);
            self.publish();
            evicted += 1;
        }
        evicted
    }

    #[inline]
    fn publish(&self) {
        self.shared.publish_floor(self.number, self.buckets.lowest().map(|(_, key)| key));
    }

    /// Lifts samples so far behind the clock that serial order would soon wrap; their weight is 2^-500000 either way.
    fn clamp_ancient(&mut self, decay_units: u64) {
        let now = Key(decay_units as u32);
        for _ in 0..LIFTED_MAX {
            let Some(victim) = self.buckets.victim(0) else {
                return;
            };
            if self.slots.get(victim).key.since(now) > -ANCIENT_UNITS {
                return;
            }
            self.buckets.unlink(&mut self.slots, victim);
            self.slots.get_mut(victim).key = now.plus(-ANCIENT_UNITS / 2);
            self.buckets.push(&mut self.slots, victim);
            if self.leases.contains(self.slots.get(victim).id) {
                self.buckets.rest(&mut self.slots, victim);
            }
        }
    }

    /// Removes an id from everywhere; whether it was anywhere.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let hash = placement_hash(id);
        let mut was = false;
        self.leases.end(id);
        if let Some(slot) = self.find(hash, id) {
            self.take_out(slot, hash);
            was = true;
        }
        for sample in &mut self.samples {
            was |= sample.remove(id);
        }
        if id < self.shared.dense_ids {
            was = self.removed.insert(id);
        }
        self.publish();
        was
    }

    /// Bytes of index, slots with side columns, buckets and background.
    pub(super) fn memory_bytes(&self) -> [usize; 4] {
        [
            self.index.memory_bytes(),
            self.slots.memory_bytes(),
            self.buckets.memory_bytes(),
            self.samples.iter().map(Sample::memory_bytes).sum::<usize>()
                + self.removed.serialized_size()
                + self.unstored_serves.allocation_size()
                + self.leases.memory_bytes()
                + self.strata.memory_bytes(),
        ]
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        self.buckets.check(&self.slots);
        for slot in 0..self.slots.touched() {
            let s = self.slots.get(slot);
            if s.position != VACANT {
                assert_eq!(self.find(placement_hash(s.id), s.id), Some(slot), "the index finds each sample");
                assert_eq!(self.rests(slot), self.leases.contains(s.id), "leased samples rest");
            }
        }
    }
}
