//! Who goes first when the store is full: the samples with the lowest places, in order.
//!
//! A cache: it holds every sample up to a bound and none above, is kept so with each sample that comes, moves or goes, and is made
//! anew from the lowest leaf when it runs dry.

use super::buckets::Buckets;
use super::slots::Slots;
use crate::key::Key;
use crate::place::{Place, Rank};

/// Samples queued from the lowest leaf, at most.
const QUEUED: usize = 2048;
/// Samples that come below the bound make it longer, up to this; then the upper half is let go.
const QUEUED_MAX: usize = 2 * QUEUED;

/// The queue, the lowest last.
#[derive(Debug, Default)]
pub(crate) struct Victims {
    queue: Vec<(Place, u32)>,
    /// Every sample at or below this place is queued. Without meaning while the queue is empty.
    bound: Place,
}

impl Victims {
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The lowest place, if the queue knows it.
    #[inline]
    pub(crate) fn first(&self) -> Option<(Place, u32)> {
        self.queue.last().copied()
    }

    /// Takes the lowest off the queue.
    pub(crate) fn pop(&mut self) -> Option<(Place, u32)> {
        self.queue.pop()
    }

    /// The slot `back` places above the lowest.
    #[inline]
    pub(crate) fn nth(&self, back: usize) -> Option<u32> {
        self.queue.len().checked_sub(back + 1).map(|at| self.queue[at].1)
    }

    /// Queues the lowest of the lowest leaf.
    pub(crate) fn refill(&mut self, buckets: &Buckets, slots: &Slots, lower_is_harder: bool) {
        let Some(leaf) = buckets.lowest_leaf() else {
            return;
        };
        self.queue.reserve(buckets.leaf_len(leaf) as usize);
        let mut ahead = buckets.members(leaf).skip(16);
        for slot in buckets.members(leaf) {
            if let Some(next) = ahead.next() {
                slots.prefetch(next);
            }
            self.queue.push((slots.place(slot, lower_is_harder), slot));
        }
        if self.queue.len() > QUEUED {
            self.queue.select_nth_unstable_by(QUEUED - 1, |a, b| a.0.compare(&b.0));
            self.queue.truncate(QUEUED);
        }
        self.queue.sort_unstable_by(|a, b| b.0.compare(&a.0));
        self.bound = self.queue[0].0;
    }

    #[inline]
    fn may_hold(&self, key: Key) -> bool {
        !self.queue.is_empty() && key.since(self.bound.key) <= 0
    }

    /// A sample came, or moved here.
    #[inline]
    pub(crate) fn met(&mut self, key: Key, slot: u32, rank: impl FnOnce() -> Rank) {
        if self.may_hold(key) {
            self.enqueue(Place { key, rank: rank() }, slot);
        }
    }

    #[cold]
    fn enqueue(&mut self, place: Place, slot: u32) {
        if place.compare(&self.bound).is_gt() {
            return;
        }
        let at = self.queue.partition_point(|(queued, _)| queued.compare(&place).is_gt());
        self.queue.insert(at, (place, slot));
        if self.queue.len() > QUEUED_MAX {
            self.queue.drain(..QUEUED);
            self.bound = self.queue[0].0;
        }
    }

    /// A sample goes, or moves away.
    #[inline]
    pub(crate) fn left(&mut self, key: Key, rank: impl FnOnce() -> Rank) {
        if self.may_hold(key) {
            self.dequeue(Place { key, rank: rank() });
        }
    }

    fn dequeue(&mut self, place: Place) {
        if self.queue.last().is_some_and(|(lowest, _)| *lowest == place) {
            self.queue.pop();
        } else if let Ok(at) = self.queue.binary_search_by(|(queued, _)| place.compare(queued)) {
            self.queue.remove(at);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.queue.capacity() * size_of::<(Place, u32)>()
    }

    /// The queue is the lowest part of the order, whole.
    #[cfg(test)]
    pub(crate) fn check(&self, buckets: &Buckets, slots: &Slots, lower_is_harder: bool) {
        let mut all = Vec::new();
        buckets.descend(|leaf, _| {
            all.extend(buckets.members(leaf).map(|slot| (slots.place(slot, lower_is_harder), slot)));
            true
        });
        all.retain(|(place, _)| !self.queue.is_empty() && place.compare(&self.bound).is_le());
        all.sort_by(|a, b| b.0.compare(&a.0));
        assert_eq!(all, self.queue);
    }
}
