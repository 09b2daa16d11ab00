//! What is known of each partition without its lock.

use hardneg_partition::Partition;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Level;
use crate::store::key::Key;

/// There is none.
const NONE: u64 = u64::MAX;
/// Nobody looked after the age of samples yet.
const NO_QUEUE: u64 = u64::MAX - 1;

/// Of one partition; written under its lock.
#[derive(Debug)]
struct View {
    hard: AtomicU64,
    /// The key of the lowest sample of a full partition.
    floor: AtomicU64,
    /// When the first lease ends, Unix milliseconds.
    first_lease_end: AtomicU64,
    /// The first stamp in the queue of samples that may be dead; [`NO_QUEUE`] before the first horizon.
    first_expiry: AtomicU64,
    /// Rows reported and samples served.
    reported: AtomicU64,
    served: AtomicU64,
}

/// Of all partitions of a pool.
#[derive(Debug)]
pub(super) struct Views(Vec<View>);

impl Views {
    pub(super) fn new(partitions: usize) -> Self {
        let view = || View {
            hard: AtomicU64::new(0),
            floor: AtomicU64::new(NONE),
            first_lease_end: AtomicU64::new(NONE),
            first_expiry: AtomicU64::new(NO_QUEUE),
            reported: AtomicU64::new(0),
            served: AtomicU64::new(0),
        };
        Self((0..partitions).map(|_| view()).collect())
    }

    /// A partition has changed; under its lock.
    #[inline]
    pub(super) fn publish(&self, number: usize, partition: &Partition) {
        let view = &self.0[number];
        view.hard.store(partition.hard_len(), Ordering::Relaxed);
        let floor = partition.floor().map_or(NONE, |floor| u64::from(floor.key.0));
        view.floor.store(floor, Ordering::Relaxed);
        view.first_lease_end.store(partition.first_lease_end().unwrap_or(NONE), Ordering::Relaxed);
        let queue = if partition.keeps_expiry() { NONE } else { NO_QUEUE };
        view.first_expiry.store(partition.first_expiry().map_or(queue, u64::from), Ordering::Relaxed);
        let totals = partition.totals();
        view.reported.store(totals.reported, Ordering::Relaxed);
        view.served.store(totals.served(), Ordering::Relaxed);
    }

    /// Whether a lease of a partition is over, or a sample may have a stamp before `oldest_stamp`.
    pub(super) fn has_expired(&self, number: usize, now_millis: u64, oldest_stamp: Option<u32>) -> bool {
        let view = &self.0[number];
        let is_due = |oldest: u32| match view.first_expiry.load(Ordering::Relaxed) {
            NONE => false,
            NO_QUEUE => true,
            first => ((first as u32).wrapping_sub(oldest) as i32) < 0,
        };
        view.first_lease_end.load(Ordering::Relaxed) <= now_millis || oldest_stamp.is_some_and(is_due)
    }

    /// Samples in all, and the lowest key that some partition still admits; `None` while one has room.
    pub(super) fn level(&self) -> Level {
        let sum =
            |of: fn(&View) -> &AtomicU64| self.0.iter().map(|view| of(view).load(Ordering::Relaxed)).sum();
        Level {
            hard: sum(|view| &view.hard),
            floor: lowest(self.0.iter().map(|view| floor_of(view.floor.load(Ordering::Relaxed)))),
            reported: sum(|view| &view.reported),
            served: sum(|view| &view.served),
        }
    }
}

fn floor_of(stored: u64) -> Option<Key> {
    u32::try_from(stored).ok().map(Key)
}

/// The lowest of the floors of all partitions; `None` where one has none.
pub(super) fn lowest(floors: impl Iterator<Item = Option<Key>>) -> Option<Key> {
    let mut lowest: Option<Key> = None;
    for floor in floors {
        let floor = floor?;
        if lowest.is_none_or(|lowest| floor.since(lowest) < 0) {
            lowest = Some(floor);
        }
    }
    lowest
}
