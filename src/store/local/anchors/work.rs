//! Changes of anchors, applied by shard in the order of their positions (DECISIONS 16).

use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::layout::Layout;
use super::shard::Shard;
use crate::store::anchored::{AnchorBatch, AnchorCounts, NotNegative, Pairs};
use crate::store::key::Key;
use crate::store::local::queue::{ROWS_PER_LOCK, Task};

/// Anchors swept before others may have the lock.
const ANCHORS_PER_LOCK: usize = 1024;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Change {
    /// A batch of reports.
    Report { batch: AnchorBatch, layout: Layout },
    /// Pairs that are no negatives. They have been checked, and new anchors have places.
    Mark { pairs: Pairs, why: NotNegative, layout: Layout },
    /// Ids to remove from every anchor.
    Remove { ids: HashSet<u64> },
    /// Keys below this are lifted to it.
    Lift { floor: Key },
}

/// What a change did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) counts: AnchorCounts,
    pub(super) kept: Vec<u32>,
    pub(super) too_easy: Vec<u32>,
    pub(super) added: u64,
    pub(super) removed: u64,
    /// Anchors that a mark entered.
    pub(super) entered: u64,
    pub(super) removed_ids: HashSet<u64>,
}

impl Outcome {
    fn add(&mut self, mut more: Self) {
        let (sum, counts) = (&mut self.counts, &more.counts);
        sum.inserted += counts.inserted;
        sum.updated += counts.updated;
        sum.too_easy += counts.too_easy;
        sum.stale += counts.stale;
        sum.anchor_limit += counts.anchor_limit;
        sum.not_negative += counts.not_negative;
        sum.evicted += counts.evicted;
        sum.clamped += counts.clamped;
        self.kept.append(&mut more.kept);
        self.too_easy.append(&mut more.too_easy);
        self.added += more.added;
        self.removed += more.removed;
        self.entered += more.entered;
        self.removed_ids.extend(more.removed_ids);
    }
}

/// A change with its place in the order, shared by the queues of all shards it concerns.
#[derive(Debug)]
pub(super) struct Work {
    change: Change,
    /// Rows (or anchors) done, and whether all are, per shard; written under the shard's lock.
    progress: Vec<(AtomicUsize, AtomicBool)>,
    pub(super) outcome: Mutex<Outcome>,
}

impl Work {
    pub(super) fn new(change: Change, shards: usize) -> Arc<Self> {
        Arc::new(Self {
            change,
            progress: (0..shards).map(|_| Default::default()).collect(),
            outcome: Mutex::default(),
        })
    }
}

impl Task<Shard> for Work {
    fn concerns(&self, shard: usize) -> bool {
        match &self.change {
            Change::Report { layout, .. } | Change::Mark { layout, .. } => {
                layout.offsets[shard] < layout.offsets[shard + 1]
            }
            Change::Remove { .. } | Change::Lift { .. } => true,
        }
    }

    fn is_done(&self, shard: usize) -> bool {
        self.progress[shard].1.load(Ordering::Acquire)
    }

    fn advance(&self, number: usize, shard: &mut Shard) -> usize {
        let (rows_done, done) = &self.progress[number];
        let at = rows_done.load(Ordering::Relaxed);
        let mut out = Outcome::default();
        let rows_of = |layout: &Layout| layout.offsets[number + 1] - layout.offsets[number];
        let (piece, end) = match &self.change {
            Change::Report { layout, .. } | Change::Mark { layout, .. } => (ROWS_PER_LOCK, rows_of(layout)),
            // Anchors that came meanwhile have nothing of it: changes take effect in order.
            Change::Remove { .. } | Change::Lift { .. } => (ANCHORS_PER_LOCK, shard.len()),
        };
        let to = (at + piece).min(end);
        let part_of = |layout: &Layout| layout.offsets[number] + at..layout.offsets[number] + to;
        match &self.change {
            Change::Report { batch, layout } => shard.report(batch, layout, part_of(layout), &mut out),
            Change::Mark { pairs, why, layout } => {
                shard.mark(pairs, *why, layout, part_of(layout), &mut out);
            }
            Change::Remove { ids } => shard.remove(ids, at..to, &mut out),
            Change::Lift { floor } => shard.lift(*floor, at..to),
        }
        self.outcome.lock().add(out);
        rows_done.store(to, Ordering::Relaxed);
        done.store(to == end, Ordering::Release);
        to - at
    }
}
