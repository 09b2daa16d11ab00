//! Work for a shard, in the order of positions (DECISIONS 16).

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::shard::Shard;
use super::shared::{Generations, Terms};
use crate::store::ApplyCounts;
use crate::store::partition::Partitioned;

/// Rows applied before others may have the lock: about a tenth of a millisecond.
pub(super) const ROWS_PER_LOCK: usize = 1024;

/// What is to be done to a pool.
#[derive(Debug)]
pub(super) enum Change {
    /// A batch of reports.
    Report { batch: Box<Partitioned>, terms: Terms, generations: Generations },
    /// Ids to remove, by shard.
    Remove { ids: Vec<Vec<u64>> },
}

/// Work on shards of kind `S`, one part a shard.
pub(super) trait Task<S> {
    /// Does the next rows of a shard's part, a bounded number; how many.
    fn advance(&self, number: usize, shard: &mut S) -> usize;
    /// Whether a shard's part is done.
    fn is_done(&self, number: usize) -> bool;
}

/// A change with its place in the order, shared by the queues of all shards it concerns.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) change: Change,
    /// Rows done, and whether all are, per shard; written under the shard's lock.
    progress: Vec<(AtomicUsize, AtomicBool)>,
    pub(super) counts: Mutex<ApplyCounts>,
    pub(super) removed: AtomicUsize,
}

impl Work {
    pub(super) fn new(change: Change, shards: usize) -> Arc<Self> {
        Arc::new(Self {
            change,
            progress: (0..shards).map(|_| Default::default()).collect(),
            counts: Mutex::default(),
            removed: AtomicUsize::new(0),
        })
    }

    /// Whether a shard has anything to do.
    pub(super) fn concerns(&self, shard: usize) -> bool {
        match &self.change {
            Change::Report { batch, .. } => batch.offsets[shard] < batch.offsets[shard + 1],
            Change::Remove { ids } => !ids[shard].is_empty(),
        }
    }
}

impl Task<Shard> for Work {
    fn is_done(&self, shard: usize) -> bool {
        self.progress[shard].1.load(Ordering::Acquire)
    }

    fn advance(&self, number: usize, shard: &mut Shard) -> usize {
        let (rows_done, done) = &self.progress[number];
        let at = rows_done.load(Ordering::Relaxed);
        let (next, rows) = match &self.change {
            Change::Report { batch, terms, generations } => {
                let (first, end) = (batch.offsets[number], batch.offsets[number + 1]);
                let (from, to) = (first + at, (first + at + ROWS_PER_LOCK).min(end));
                shard.follow(generations);
                let mut counts = ApplyCounts::default();
                shard.apply(batch, from, to, terms, &mut counts);
                add(&mut self.counts.lock(), &counts);
                (to - first, end - first)
            }
            Change::Remove { ids } => {
                let ids = &ids[number];
                let to = (at + ROWS_PER_LOCK).min(ids.len());
                let removed = ids[at..to].iter().filter(|id| shard.remove(**id)).count();
                self.removed.fetch_add(removed, Ordering::Relaxed);
                (to, ids.len())
            }
        };
        rows_done.store(next, Ordering::Relaxed);
        done.store(next == rows, Ordering::Release);
        next - at
    }
}

fn add(sum: &mut ApplyCounts, more: &ApplyCounts) {
    sum.inserted += more.inserted;
    sum.updated += more.updated;
    sum.background_only += more.background_only;
    sum.dropped += more.dropped;
    sum.stale += more.stale;
    sum.evicted += more.evicted;
}

/// A shard and its queue. Whoever holds the shard does what is first in the queue, whosever it is; so the queue is at most
/// as long as there are callers.
#[derive(Debug)]
pub(super) struct Cell<S, W> {
    pub(super) shard: Mutex<S>,
    queue: Mutex<VecDeque<Arc<W>>>,
}

impl<S, W: Task<S>> Cell<S, W> {
    pub(super) fn new(shard: S) -> Self {
        Self { shard: Mutex::new(shard), queue: Mutex::default() }
    }

    /// Queues work; called in the order of positions.
    pub(super) fn push(&self, work: Arc<W>) {
        self.queue.lock().push_back(work);
    }

    /// Does a bounded piece of what is first in the queue; how many rows.
    pub(super) fn step(&self, number: usize) -> usize {
        let mut shard = self.shard.lock();
        let Some(first) = self.queue.lock().front().cloned() else {
            return 0;
        };
        let rows = first.advance(number, &mut shard);
        if first.is_done(number) {
            // Only holders of the shard take from the queue, so the first is still this one.
            self.queue.lock().pop_front();
        }
        // A draw that waits gets the lock now, not some time.
        parking_lot::MutexGuard::unlock_fair(shard);
        rows
    }
}
