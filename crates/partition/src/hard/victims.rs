//! The queue of victims: the samples with the lowest places, which a full store evicts first.
//!
//! It is a cache of all samples up to a bound, filled from the lowest leaf. The *near* entries, which go next, are kept exact. The *far*
//! and *late* ones may have left or moved since they were queued, and are checked when they become near. The order of eviction depends on
//! places only, so no answer depends on what is cached.

use std::cmp::Reverse;

use super::buckets::Buckets;
use super::slots::{Slots, VACANT};
use crate::key::Key;
use crate::place::{Place, Rank};

/// At most so many samples become near at once.
const NEAR: usize = 512;
/// With so many near samples the upper half becomes far again.
const NEAR_MAX: usize = 2 * NEAR;
/// With so many late samples the queue drops them and the far ones, and keeps the near ones only.
const LATE_MAX: usize = 2048;

/// A sample and its place, as numbers that are fast to compare: most of the time goes into sorting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Victim {
    /// The key relative to the anchor key, then the ordered score, then the hash.
    order: u128,
    id: u64,
    slot: u32,
}

/// Sorts victims, the lowest last. Comparing `order` first and ids only within ties takes half the time, because ties are rare.
fn sort(victims: &mut [Victim]) {
    victims.sort_unstable_by_key(|victim| Reverse(victim.order));
    for equal in victims.chunk_by_mut(|a, b| a.order == b.order) {
        if equal.len() > 1 {
            equal.sort_unstable_by(|a, b| b.cmp(a));
        }
    }
}

/// The queue of victims.
#[derive(Debug, Default)]
pub(crate) struct Victims {
    /// Every sample of the store up to `near_bound`, the lowest last.
    near: Vec<Victim>,
    /// The highest near place. Only meaningful while `near` is not empty.
    near_bound: Place,
    /// Samples above `near_bound` that were in the leaf when it was read, the lowest last.
    far: Vec<Victim>,
    /// Samples above `near_bound` that were inserted since, in no order.
    late: Vec<Victim>,
    /// Every sample above `near_bound` up to this bound is far or late. Only meaningful while the queue is not empty.
    bound: Place,
    /// The key that others are taken relative to, so that they compare as plain numbers. It changes only while the queue is empty.
    anchor: Key,
}

impl Victims {
    #[inline]
    fn is_empty(&self) -> bool {
        self.near.is_empty() && self.far.is_empty() && self.late.is_empty()
    }

    fn victim(&self, place: &Place, slot: u32) -> Victim {
        let key = place.key.0.wrapping_sub(self.anchor.0) ^ 1 << 31;
        let Rank { score, hash, id } = place.rank;
        Victim { order: u128::from(key) << 96 | u128::from(score) << 64 | u128::from(hash), id, slot }
    }

    #[inline]
    fn place(&self, victim: &Victim) -> Place {
        let key = Key(((victim.order >> 96) as u32 ^ 1 << 31).wrapping_add(self.anchor.0));
        let rank = Rank { score: (victim.order >> 64) as u32, hash: victim.order as u64, id: victim.id };
        Place { key, rank }
    }

    /// The lowest place, if it is queued.
    #[inline]
    pub(crate) fn first(&self) -> Option<(Place, u32)> {
        self.near.last().map(|victim| (self.place(victim), victim.slot))
    }

    /// The lowest place.
    #[inline]
    pub(crate) fn lowest(
        &mut self,
        buckets: &Buckets,
        slots: &Slots,
        lower_is_harder: bool,
    ) -> Option<(Place, u32)> {
        if self.near.is_empty() {
            self.refill(buckets, slots, lower_is_harder);
        }
        self.first()
    }

    /// Takes the lowest sample off the queue.
    pub(crate) fn pop(&mut self) -> Option<(Place, u32)> {
        let lowest = self.first();
        self.near.pop();
        lowest
    }

    /// The slot of the sample that is `back` places above the lowest, if it is near.
    #[inline]
    pub(crate) fn nth(&self, back: usize) -> Option<u32> {
        self.near.len().checked_sub(back + 1).map(|at| self.near[at].slot)
    }

    #[cold]
    fn refill(&mut self, buckets: &Buckets, slots: &Slots, lower_is_harder: bool) {
        while self.near.is_empty() {
            if self.is_empty() {
                self.take_leaf(buckets, slots, lower_is_harder);
            }
            if self.is_empty() {
                return;
            }
            self.approach(slots, lower_is_harder);
        }
    }

    /// Queues the lowest leaf.
    fn take_leaf(&mut self, buckets: &Buckets, slots: &Slots, lower_is_harder: bool) {
        const AHEAD: usize = 16;
        let Some(leaf) = buckets.lowest_leaf() else {
            return;
        };
        let members = buckets.read_members(leaf);
        self.anchor = members.first().map_or(Key(0), |slot| slots.get(*slot).key);
        self.far.reserve(members.len());
        for (at, slot) in members.iter().enumerate() {
            if let Some(next) = members.get(at + AHEAD) {
                slots.prefetch(*next);
            }
            let victim = self.victim(&slots.place(*slot, lower_is_harder), *slot);
            self.far.push(victim);
        }
        sort(&mut self.far);
        if let Some(highest) = self.far.first() {
            self.bound = self.place(highest);
        }
    }

    /// Makes the lowest of the far and late samples near.
    fn approach(&mut self, slots: &Slots, lower_is_harder: bool) {
        let above = self.far.len().saturating_sub(NEAR);
        self.near.extend(self.far.drain(above..));
        self.near_bound = self.bound;
        if above > 0 {
            self.near_bound = self.place(&self.near[0]);
        }
        self.near.iter().for_each(|victim| slots.prefetch(victim.slot));
        let bound = self.victim(&self.near_bound, u32::MAX);
        let known = self.near.len();
        self.near.extend(self.late.extract_if(.., |victim| *victim <= bound));
        if self.near.len() > known {
            sort(&mut self.near);
        }
        // A sample may be queued twice if it left and came back to its place.
        self.near.dedup();
        let anchor = self.anchor;
        self.near.retain(|victim| {
            let s = slots.get(victim.slot);
            let key = Key(((victim.order >> 96) as u32 ^ 1 << 31).wrapping_add(anchor.0));
            let is_there = s.id == victim.id && s.position != VACANT && s.key == key;
            is_there && s.rank(victim.order as u64, lower_is_harder).score == (victim.order >> 64) as u32
        });
    }

    #[inline]
    fn may_hold(&self, key: Key) -> bool {
        key.since(self.bound.key) <= 0 && !self.is_empty()
    }

    /// A sample was inserted, or moved to this key.
    #[inline]
    pub(crate) fn met(&mut self, key: Key, slot: u32, rank: impl FnOnce() -> Rank) {
        if self.may_hold(key) {
            self.enqueue(&Place { key, rank: rank() }, slot);
        }
    }

    #[inline(never)]
    fn enqueue(&mut self, place: &Place, slot: u32) {
        if place.compare(&self.bound).is_gt() {
            return;
        }
        let victim = self.victim(place, slot);
        if self.near.is_empty() || place.compare(&self.near_bound).is_gt() {
            self.late.push(victim);
            if self.late.len() > LATE_MAX {
                self.far.clear();
                self.late.clear();
                self.bound = self.near_bound;
            }
            return;
        }
        let at = self.near.partition_point(|queued| *queued > victim);
        self.near.insert(at, victim);
        if self.near.len() > NEAR_MAX {
            // Those that are moved are below all far samples.
            self.far.extend(self.near.drain(..NEAR));
            self.near_bound = self.place(&self.near[0]);
        }
    }

    /// A sample is removed, or moves away from this key.
    #[inline]
    pub(crate) fn left(&mut self, key: Key, rank: impl FnOnce() -> Rank) {
        if self.may_hold(key) {
            self.dequeue(&Place { key, rank: rank() });
        }
    }

    #[inline(never)]
    fn dequeue(&mut self, place: &Place) {
        let victim = self.victim(place, 0);
        let wanted = (victim.order, victim.id);
        // A far or late entry is dropped when it would become near.
        if let Ok(at) = self.near.binary_search_by(|queued| wanted.cmp(&(queued.order, queued.id))) {
            self.near.remove(at);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        (self.near.capacity() + self.far.capacity() + self.late.capacity()) * size_of::<Victim>()
    }

    /// Checks that the queue has all of the lowest samples, and that the near ones are the lowest of these.
    #[cfg(test)]
    pub(crate) fn check(&self, buckets: &Buckets, slots: &Slots, lower_is_harder: bool) {
        if self.is_empty() {
            return;
        }
        let mut all = Vec::new();
        buckets.descend(|leaf, _| {
            all.extend(buckets.members(leaf).map(|slot| (slots.place(slot, lower_is_harder), slot)));
            true
        });
        all.sort_by(|a, b| b.0.compare(&a.0));
        let up_to = |bound: &Place| -> Vec<Victim> {
            let below = all.iter().filter(|(place, _)| place.compare(bound).is_le());
            below.map(|(place, slot)| self.victim(place, *slot)).collect()
        };
        if !self.near.is_empty() {
            assert_eq!(up_to(&self.near_bound), self.near);
        }
        for victim in up_to(&self.bound) {
            let is_queued = [&self.near, &self.far, &self.late].iter().any(|part| part.contains(&victim));
            assert!(is_queued, "every sample up to the bound is queued");
        }
    }
}
