//! Figures of each partition that can be read without its lock.

use hardneg_partition::Partition;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Level;
use crate::store::key::Key;

/// Marks a missing value.
const NONE: u64 = u64::MAX;
/// The partition keeps no expiry queue: no call has named an oldest stamp yet, or a later report named none.
const NO_QUEUE: u64 = u64::MAX - 1;

/// The figures of one partition. They are written under its lock.
#[derive(Debug)]
struct View {
    hard: AtomicU64,
    /// The key of the lowest sample after the last operation that ended, if the partition was full; otherwise [`NONE`].
    floor: AtomicU64,
    /// The end of the first lease, Unix milliseconds; [`NONE`] if there is none.
    first_lease_end: AtomicU64,
    /// The oldest stamp in the expiry queue of the partition, [`NONE`] if it is empty, [`NO_QUEUE`] if it has none.
    first_expiry: AtomicU64,
    /// Rows reported so far.
    reported: AtomicU64,
    /// Samples served so far.
    served: AtomicU64,
}

/// The figures of all partitions of a pool.
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

    /// Publishes the figures of a partition that has changed. The caller holds its lock. The floor is that of the state in which an operation
    /// `ended`: in the middle of a report the lowest samples are those that were just lowered, which the rest of the report may evict, octaves
    /// below the floor before it and after it.
    #[inline]
    pub(super) fn publish(&self, number: usize, partition: &Partition, ended: bool) {
        let view = &self.0[number];
        view.hard.store(partition.hard_len(), Ordering::Relaxed);
        if ended {
            let floor = partition.floor().map_or(NONE, |floor| u64::from(floor.key.0));
            view.floor.store(floor, Ordering::Relaxed);
        }
        view.first_lease_end.store(partition.first_lease_end().unwrap_or(NONE), Ordering::Relaxed);
        let queue = if partition.keeps_expiry() { NONE } else { NO_QUEUE };
        view.first_expiry.store(partition.first_expiry().map_or(queue, u64::from), Ordering::Relaxed);
        let totals = partition.totals();
        view.reported.store(totals.reported, Ordering::Relaxed);
        view.served.store(totals.served(), Ordering::Relaxed);
    }

    /// Whether a lease of the partition is over, or one of its samples may have a stamp before `oldest_stamp`.
    pub(super) fn has_expired(&self, number: usize, now_millis: u64, oldest_stamp: Option<u32>) -> bool {
        let view = &self.0[number];
        let is_due = |oldest: u32| match view.first_expiry.load(Ordering::Relaxed) {
            NONE => false,
            NO_QUEUE => true,
            first => ((first as u32).wrapping_sub(oldest) as i32) < 0,
        };
        view.first_lease_end.load(Ordering::Relaxed) <= now_millis || oldest_stamp.is_some_and(is_due)
    }

    /// The sums over all partitions, and the lowest key that any partition admits; `None` while one has room.
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

/// The lowest of the floors of all partitions; `None` if one of them has no floor.
fn lowest(floors: impl Iterator<Item = Option<Key>>) -> Option<Key> {
    let mut lowest: Option<Key> = None;
    for floor in floors {
        let floor = floor?;
        if lowest.is_none_or(|lowest| floor.since(lowest) < 0) {
            lowest = Some(floor);
        }
    }
    lowest
}
