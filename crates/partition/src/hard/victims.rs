//! Who goes first when the store is full: the samples with the lowest places.
//!
//! A cache of every sample up to a bound, in two parts. The lowest, the near ones, are in order, so that the next is at hand; the far
//! ones are in no order, so that one more costs little. Which samples go first is a matter of their places alone: no answer depends on
//! what is cached.

use super::buckets::Buckets;
use super::slots::{Slots, VACANT};
use crate::key::Key;
use crate::place::{Place, Rank};

/// Samples taken from the lowest leaf at once, at most.
const QUEUED: usize = 2048;
/// Far samples, at most; then all are let go, and the near ones are all there is.
const FAR_MAX: usize = 2 * QUEUED;
/// Samples put in order at once, at most.
const NEAR: usize = 512;
/// Near samples, at most; then the upper half is far.
const NEAR_MAX: usize = 2 * NEAR;

/// A sample and its place. Compared by two numbers, for most of the time goes into sorting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Victim {
    /// Key (less the anchor's), ordered score, and hash.
    order: u128,
    id: u64,
    slot: u32,
}

/// The queue of victims.
#[derive(Debug, Default)]
pub(crate) struct Victims {
    /// Every sample up to `near_bound`, the lowest last.
    near: Vec<Victim>,
    /// While any sample is near.
    near_bound: Place,
    /// Every other sample up to `bound`. Some may have left or moved since: each is looked at before it becomes a near one.
    far: Vec<Victim>,
    /// While any sample is near or far.
    bound: Place,
    /// Keys are counted from here, so that they compare as numbers. Changes only while nothing is queued.
    anchor: Key,
}

impl Victims {
    #[inline]
    fn is_empty(&self) -> bool {
        self.near.is_empty() && self.far.is_empty()
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

    /// The lowest place, if the queue has it at hand.
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

    /// Takes the lowest off the queue.
    pub(crate) fn pop(&mut self) -> Option<(Place, u32)> {
        let lowest = self.first();
        self.near.pop();
        lowest
    }

    /// The slot `back` places above the lowest, if that is near.
    #[inline]
    pub(crate) fn nth(&self, back: usize) -> Option<u32> {
        self.near.len().checked_sub(back + 1).map(|at| self.near[at].slot)
    }

    #[cold]
    fn refill(&mut self, buckets: &Buckets, slots: &Slots, lower_is_harder: bool) {
        while self.near.is_empty() {
            if self.far.is_empty() {
                self.take_leaf(buckets, slots, lower_is_harder);
            }
            if self.far.is_empty() {
                return;
            }
            self.approach(slots, lower_is_harder);
        }
    }

    /// Queues the lowest of the lowest leaf.
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
        if self.far.len() > QUEUED {
            self.far.select_nth_unstable(QUEUED - 1);
            self.far.truncate(QUEUED);
        }
        if let Some(highest) = self.far.iter().max() {
            self.bound = self.place(highest);
        }
        // A leaf may hold thousands more.
        self.far.shrink_to(FAR_MAX);
    }

    /// The lowest of the far ones become near ones.
    fn approach(&mut self, slots: &Slots, lower_is_harder: bool) {
        let above = self.far.len().saturating_sub(NEAR);
        if above > 0 {
            self.far.select_nth_unstable_by(above, |a, b| b.cmp(a));
        }
        self.near.extend(self.far.drain(above..));
        self.near.iter().for_each(|victim| slots.prefetch(victim.slot));
        self.near.sort_unstable_by(|a, b| b.cmp(a));
        // One that left and came back to its place.
        self.near.dedup();
        self.near_bound = if above > 0 { self.place(&self.near[0]) } else { self.bound };
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

    /// A sample came, or moved here.
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
            self.far.push(victim);
            if self.far.len() > FAR_MAX {
                self.far.clear();
                self.bound = self.near_bound;
            }
            return;
        }
        let at = self.near.partition_point(|queued| *queued > victim);
        self.near.insert(at, victim);
        if self.near.len() > NEAR_MAX {
            self.far.extend(self.near.drain(..NEAR));
            self.near_bound = self.place(&self.near[0]);
        }
    }

    /// A sample goes, or moves away.
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
        // A far one is forgotten when its turn comes.
        if let Ok(at) = self.near.binary_search_by(|queued| wanted.cmp(&(queued.order, queued.id))) {
            self.near.remove(at);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        (self.near.capacity() + self.far.capacity()) * size_of::<Victim>()
    }

    /// The queue has the lowest part of the order, whole; the near ones are the lowest of it.
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
            assert!(self.near.contains(&victim) || self.far.contains(&victim), "every sample is queued");
        }
    }
}
