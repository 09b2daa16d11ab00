//! Anchors in memory, in shards by the hash of the anchor: per anchor a bounded array of its hardest negatives.

mod anchor;
mod layout;
mod names;
mod shard;
#[cfg(test)]
mod tests;
mod work;

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::RngExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::queue::{Cell, Finish, Task as _, each_of};
use crate::store::StoreError;
use crate::store::anchored::{
    AnchorApplied, AnchorBatch, AnchorRow, AnchorRows, AnchorStore, AnchorStoreSpec, AnchorStoreStats,
    Marked, Negative, NotNegative, Pairs,
};
use crate::store::key::{FOLD_BELOW_UNITS, FOLD_EVERY_UNITS, Key};
use layout::{Layout, shard_of};
use names::Names;
use shard::{Shard, Shared};
use work::{Change, Outcome, Work};

/// Rows applied before other tasks get their turn.
const ROWS_PER_YIELD: usize = 1024;
/// Anchors read under one lock.
const ANCHORS_PER_LOOK: usize = 128;

/// The anchors of one pool.
pub(super) struct Anchors {
    shared: Arc<Shared>,
    cells: Vec<Cell<Shard, Work>>,
    /// The last position given out. Held while a change is queued everywhere, so that queues agree on the order.
    order: Mutex<u64>,
    /// Marks are checked and then applied; no other mark may come between.
    marking: tokio::sync::Mutex<()>,
    /// D when keys were last lifted.
    lifted_units: AtomicU64,
}

impl Anchors {
    pub(super) fn new(spec: AnchorStoreSpec) -> Self {
        let shards = spec.shards;
        let names = spec.named.then(|| Names::new(shards));
        let shared = Arc::new(Shared { spec, places: AtomicU64::new(0), names });
        Self {
            cells: (0..shards).map(|_| Cell::new(Shard::new(shared.clone()))).collect(),
            shared,
            order: Mutex::new(0),
            marking: tokio::sync::Mutex::new(()),
            lifted_units: AtomicU64::new(0),
        }
    }

    /// Queues a change in every shard it concerns, in one order.
    fn enqueue(&self, change: Change) -> (Arc<Work>, u64) {
        let work = Work::new(change, self.cells.len());
        let mut order = self.order.lock();
        *order += 1;
        for (number, cell) in self.cells.iter().enumerate() {
            if work.concerns(number) {
                cell.push(work.clone());
            }
        }
        (work, *order)
    }

    /// Sees a queued change through, letting other tasks run in between; what it did.
    async fn complete(&self, work: &Arc<Work>) -> Outcome {
        Finish::new(&self.cells, work, |_, _| {}).run().await;
        std::mem::take(&mut work.outcome.lock())
    }

    /// Keeps keys within the reach of their serial order, as the folds of a partition do.
    async fn lift_ancient(&self, decay_units: u64) {
        let last = self.lifted_units.load(Ordering::Relaxed);
        let due = decay_units.saturating_sub(last) >= FOLD_EVERY_UNITS;
        let mine = || {
            self.lifted_units
                .compare_exchange(last, decay_units, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        };
        if due && mine() {
            let floor = Key::of_clock(decay_units.saturating_sub(FOLD_BELOW_UNITS));
            let (work, _) = self.enqueue(Change::Lift { floor });
            self.complete(&work).await;
        }
    }

    /// Whether pairs could all be marked; how many of their anchors are new, which then have places.
    async fn check_marks(&self, layout: &Layout, why: NotNegative) -> Result<u64, StoreError> {
        let mut unknown = 0;
        for (number, cell) in self.cells.iter().enumerate() {
            let rows = &layout.rows[layout.offsets[number]..layout.offsets[number + 1]];
            let mut from = 0;
            while from < rows.len() {
                // A bounded piece, but all of an anchor's rows.
                let mut to = (from + ROWS_PER_YIELD).min(rows.len());
                to += rows[to..].iter().take_while(|row| row.anchor == rows[to - 1].anchor).count();
                unknown += cell.state.lock().check_mark(&rows[from..to], why)?;
                from = to;
                tokio::task::yield_now().await;
            }
        }
        let spec = &self.shared.spec;
        if !self.shared.take_places(unknown) {
            return Err(StoreError::Limit {
                what: format!("the pool would have more than its max_anchors {} anchors", spec.max_anchors),
                limit: "max_anchors",
            });
        }
        Ok(unknown)
    }
}

/// Gives back the places that a mark was promised and did not need.
struct Places<'a> {
    shared: &'a Shared,
    left: u64,
}

impl Drop for Places<'_> {
    fn drop(&mut self) {
        self.shared.places.fetch_sub(self.left, Ordering::Relaxed);
    }
}

#[async_trait]
impl AnchorStore for Anchors {
    async fn apply(&self, batch: AnchorBatch) -> Result<AnchorApplied, StoreError> {
        self.lift_ancient(batch.decay_units).await;
        let lower = self.shared.spec.hardness.lower_is_harder;
        let layout = Layout::new(&batch.anchors, &batch.ids, &batch.positive_scores, lower, self.cells.len());
        let coalesced = layout.coalesced;
        let (work, position) = self.enqueue(Change::Report { batch, layout });
        let outcome = self.complete(&work).await;
        let mut counts = outcome.counts;
        counts.coalesced = coalesced;
        Ok(AnchorApplied { counts, kept: outcome.kept, too_easy: outcome.too_easy, position })
    }

    async fn mark(&self, pairs: Pairs, why: NotNegative) -> Result<Marked, StoreError> {
        let lower = self.shared.spec.hardness.lower_is_harder;
        let layout = Layout::new(&pairs.anchors, &pairs.ids, &pairs.scores, lower, self.cells.len());
        let _alone = self.marking.lock().await;
        let promised = self.check_marks(&layout, why).await?;
        let mut places = Places { shared: &self.shared, left: promised };
        let (work, position) = self.enqueue(Change::Mark { pairs, why, layout });
        // Until it is known how many were needed, none is given back.
        places.left = 0;
        let outcome = self.complete(&work).await;
        places.left = promised - outcome.entered;
        Ok(Marked { added: outcome.added, removed: outcome.removed, position })
    }

    async fn fetch(&self, anchors: &[u64]) -> Result<AnchorRows, StoreError> {
        let unknown =
            AnchorRow { known: false, positive: f32::NAN, negatives: 0..0, positives: 0..0, vetoes: 0..0 };
        let mut rows = AnchorRows { anchors: vec![unknown; anchors.len()], ..AnchorRows::default() };
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); self.cells.len()];
        for (i, anchor) in anchors.iter().enumerate() {
            groups[shard_of(*anchor, self.cells.len())].push(i);
        }
        rows.negatives.reserve(anchors.len() * self.shared.spec.negatives_per_anchor.min(16));
        let concerned = (0..self.cells.len()).filter(|number| !groups[*number].is_empty());
        let mut later: Vec<(usize, &[usize])> = Vec::new();
        each_of(&self.cells, concerned, |number, shard| {
            let (first, rest) = groups[number].split_at(groups[number].len().min(ANCHORS_PER_LOOK));
            shard.fetch(anchors, first, &mut rows);
            later.extend(rest.chunks(ANCHORS_PER_LOOK).map(|piece| (number, piece)));
        });
        for (number, piece) in later {
            self.cells[number].state.lock().fetch(anchors, piece, &mut rows);
        }
        if !rows.groups.is_empty() {
            rows.groups.resize(rows.negatives.len(), 0);
        }
        Ok(rows)
    }

    async fn remove(&self, ids: &[u64]) -> Result<(Vec<u64>, u64), StoreError> {
        let (work, position) = self.enqueue(Change::Remove { ids: ids.iter().copied().collect() });
        let outcome = self.complete(&work).await;
        Ok((outcome.removed_ids.into_iter().collect(), position))
    }

    async fn sample(&self, n: usize) -> Result<Vec<Negative>, StoreError> {
        let per_shard = n.div_ceil(self.cells.len());
        let mut rows = Vec::new();
        let mut rng = rand::rng();
        each_of(&self.cells, 0..self.cells.len(), |_, shard| {
            // Shards are alike: anchors are spread over them by a hash.
            let end = rows.len() + per_shard;
            for _ in 0..per_shard {
                if rows.len() >= end || shard.len() == 0 {
                    break;
                }
                rows.extend_from_slice(shard.negatives_at(rng.random_range(0..shard.len())));
            }
        });
        Ok(rows)
    }

    async fn stats(&self) -> Result<AnchorStoreStats, StoreError> {
        let mut stats = AnchorStoreStats::default();
        each_of(&self.cells, 0..self.cells.len(), |_, shard| {
            stats.anchors += shard.len() as u64;
            stats.negatives += shard.sizes.negatives;
            stats.positives += shard.sizes.positives;
            stats.vetoes += shard.sizes.vetoes;
            stats.memory_bytes += shard.memory_bytes() as u64;
        });
        stats.memory_bytes += self.shared.names.as_ref().map_or(0, Names::memory_bytes) as u64;
        Ok(stats)
    }
}
