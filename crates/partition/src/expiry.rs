//! The queue of samples by expiry time. In pools with a time to live (`sample_ttl`) a sample that no row reported for that long is removed.
//!
//! Operations carry the horizon, which is the oldest stamp that has not expired. A partition removes all older samples before it does
//! anything else with the operation. It does not only hide them from reads, because hidden samples would still count in the census, in |R|
//! and in the estimate of the number of ids, and would bias every weight. It needs no scan over all slots either: the queue is exact, and
//! looks at a sample about once in its time to live.
//!
//! The queue is lazy. A sample is entered under its stamp when it is stored, and later reports do not touch its entry. When the entry is
//! due, the partition looks the sample up: it has expired and is removed, or it is not stored any more, or it was reported since and is
//! entered again under its latest stamp. So each stored sample has an entry at or before its latest stamp. Entries of samples that were
//! evicted or removed stay until they are due. Once these are more than half of the queue, the queue is rebuilt from the stored samples.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The queue is rebuilt once it has this many entries more than twice the number of stored samples.
const SLACK: usize = 64;

/// The queue of expiry times.
#[derive(Debug)]
pub(crate) struct Expiry {
    /// The latest horizon so far, as a 64-bit time. A stamp is the low 32 bits of a time; it stands for the time within 2^31 of this one.
    base: i64,
    /// The time at which to look a sample up, and its id: the earliest time first, and among equal times the lowest id.
    entries: BinaryHeap<Reverse<(i64, u64)>>,
}

impl Expiry {
    /// A queue without entries, of a partition whose first horizon is `oldest_stamp`.
    pub(crate) fn new(oldest_stamp: u32) -> Self {
        Self { base: oldest_stamp.into(), entries: BinaryHeap::new() }
    }

    /// The 64-bit time of a stamp: the one within 2^31 of the latest horizon.
    #[inline]
    pub(crate) fn time(&self, stamp: u32) -> i64 {
        let since = stamp.wrapping_sub(self.base as u32) as i32;
        self.base.saturating_add(since.into())
    }

    /// The time of a horizon, which becomes the latest if it is later. An earlier horizon (a longer time to live, or a clock that was set
    /// back) changes the time of no stamp.
    pub(crate) fn advance(&mut self, oldest_stamp: u32) -> i64 {
        let horizon = self.time(oldest_stamp);
        self.base = self.base.max(horizon);
        horizon
    }

    /// Enters a sample.
    pub(crate) fn push(&mut self, time: i64, id: u64) {
        self.entries.push(Reverse((time, id)));
    }

    /// Takes the first entry off the queue if it is before `horizon`, together with entries equal to it. Returns its id.
    pub(crate) fn pop_due(&mut self, horizon: i64) -> Option<u64> {
        let Reverse(first) = self.entries.peek().copied().filter(|Reverse((time, _))| *time < horizon)?;
        while self.entries.peek() == Some(&Reverse(first)) {
            self.entries.pop();
        }
        Some(first.1)
    }

    /// The time of the first entry, as a stamp.
    pub(crate) fn first(&self) -> Option<u32> {
        self.entries.peek().map(|Reverse((time, _))| *time as u32)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the queue has more entries than `stored` samples need, and must be rebuilt.
    #[inline]
    pub(crate) fn is_overgrown(&self, stored: usize) -> bool {
        self.entries.len() > 2 * stored + SLACK
    }

    /// Rebuilds the queue from the stored samples. Where a sample occurs several times, its latest time counts.
    pub(crate) fn rebuild(&mut self, mut stored: Vec<(i64, u64)>) {
        stored.sort_unstable_by_key(|(time, id)| (*id, Reverse(*time)));
        stored.dedup_by_key(|(_, id)| *id);
        stored.shrink_to_fit();
        self.entries = stored.into_iter().map(Reverse).collect::<Vec<_>>().into();
    }

    /// Shrinks the allocation where a quarter of it would be enough.
    pub(crate) fn shrink(&mut self) {
        if self.entries.capacity() / 4 > self.entries.len() + SLACK {
            self.entries.shrink_to(2 * self.entries.len());
        }
    }

    /// The latest horizon, and the entries in order.
    pub(crate) fn saved(&self) -> (i64, Vec<(i64, u64)>) {
        let mut entries: Vec<(i64, u64)> = self.entries.iter().map(|Reverse(entry)| *entry).collect();
        entries.sort_unstable();
        (self.base, entries)
    }

    /// The queue that [`Self::saved`] returned.
    pub(crate) fn restored(base: i64, entries: Vec<(i64, u64)>) -> Self {
        Self { base, entries: entries.into_iter().map(Reverse).collect::<Vec<_>>().into() }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(i64, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_go_around_and_horizons_fall_back() {
        let mut expiry = Expiry::new(u32::MAX - 1);
        let (before, after) = (expiry.time(u32::MAX - 5), expiry.time(3));
        assert_eq!((before, after), (i64::from(u32::MAX) - 5, i64::from(u32::MAX) + 4));
        expiry.push(after, 7);
        expiry.push(before, 9);
        expiry.push(before, 9);
        let horizon = expiry.advance(2);
        assert_eq!(
            (expiry.pop_due(horizon), expiry.pop_due(horizon), expiry.first()),
            (Some(9), None, Some(3))
        );
        assert_eq!(expiry.advance(u32::MAX), i64::from(u32::MAX), "an earlier one is earlier");
        assert_eq!(expiry.time(3), after);
        let horizon = expiry.advance(4);
        assert_eq!((expiry.pop_due(horizon), expiry.len()), (Some(7), 0));
    }

    #[test]
    fn a_queue_that_is_made_anew_has_each_sample_once() {
        let mut expiry = Expiry::new(0);
        (0..10).for_each(|id| expiry.push(-1, id));
        expiry.rebuild(vec![(5, 2), (3, 1), (4, 2), (3, 0)]);
        assert_eq!(expiry.saved(), (0, vec![(3, 0), (3, 1), (5, 2)]));
    }
}
