//! The default store: one machine's memory, in shards.

mod anchors;
mod arena;
mod background;
mod buckets;
mod hint;
mod index;
mod leases;
mod look;
mod queue;
mod renewal;
mod shard;
mod shared;
mod slots;
mod strata;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::anchored::{AnchorStore, AnchorStoreSpec};
use super::hash::placement_hash;
use super::key::Key;
use super::partition::{Partitioned, partition_of};
use super::{
    Address, Applied, BackgroundSpec, Census, Engine, Level, ReportBatch, Rotation, Row, ScanPage, ServeMark,
    ServePenalty, Served, Store, StoreError, StoreSpec, StoreStats, StratumCount,
};
use anchors::Anchors;
use background::Generation;
use look::top_of;
use queue::{Cell, Change, Task as _, Work};
use renewal::Renewal;
use shard::Shard;
use shared::{Generations, Shared, Terms};

/// Rows applied before other tasks get their turn: about a tenth of a millisecond.
const ROWS_PER_YIELD: usize = 1024;

/// Makes memory stores.
#[derive(Debug, Default)]
pub struct MemoryEngine;

impl MemoryEngine {
    /// An engine.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    async fn open(&self, spec: &StoreSpec) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(MemoryStore::new(spec.clone())?))
    }

    async fn open_anchors(&self, spec: &AnchorStoreSpec) -> Result<Arc<dyn AnchorStore>, StoreError> {
        Ok(Arc::new(Anchors::new(spec.clone())))
    }
}

/// One pool in memory.
pub struct MemoryStore {
    spec: StoreSpec,
    shared: Arc<Shared>,
    cells: Vec<Cell<Shard, Work>>,
    /// The last position given out. Held while a change is queued everywhere, so that queues agree on the order.
    order: Mutex<u64>,
    background: RwLock<Renewal>,
}

impl MemoryStore {
    /// An empty store. Its memory is taken from the system as it fills.
    ///
    /// # Errors
    /// `Exhausted` when the system has not even the addresses.
    pub fn new(spec: StoreSpec) -> Result<Self, StoreError> {
        let dense_ids = match spec.background {
            BackgroundSpec::Dense { ids } => ids,
            BackgroundSpec::Sampled { .. } => 0,
        };
        let background_max = match spec.background {
            BackgroundSpec::Sampled { size } => size.div_ceil(spec.shards),
            BackgroundSpec::Dense { .. } => 0,
        };
        let shared = Arc::new(Shared::new(spec.capacity, spec.shards, spec.hardness, dense_ids));
        // Hashing does not deal evenly: six standard deviations and a batch's excess find room.
        let even = spec.capacity.div_ceil(spec.shards);
        let slots_max = (even + 6 * (even as f64).sqrt() as usize + 64).min(spec.capacity + 64);
        let cells = (0..spec.shards)
            .map(|number| Shard::new(number, shared.clone(), slots_max, background_max).map(Cell::new))
            .collect::<Result<_, _>>()?;
        let serving = Generation::new(0, spec.salt_seed);
        Ok(Self { shared, cells, order: Mutex::new(0), background: RwLock::new(Renewal::new(serving)), spec })
    }

    /// Bytes held by index, slots with side columns, buckets, and background.
    #[must_use]
    pub fn memory_by_part(&self) -> [usize; 4] {
        self.cells.iter().fold([0; 4], |mut sum, cell| {
            for (sum, part) in sum.iter_mut().zip(cell.shard.lock().memory_bytes()) {
                *sum += part;
            }
            sum
        })
    }

    /// Queues a change in every shard it concerns, in one order.
    fn enqueue(&self, change: impl FnOnce() -> Change) -> (Arc<Work>, u64) {
        let mut order = self.order.lock();
        *order += 1;
        let work = Work::new(change(), self.spec.shards);
        for (number, cell) in self.cells.iter().enumerate() {
            if work.concerns(number) {
                cell.push(work.clone());
            }
        }
        (work, *order)
    }

    /// Sees a queued change through, letting other tasks run in between.
    async fn complete(&self, work: &Arc<Work>) {
        let mut rest = Finish { store: self, work, next: 0 };
        let mut rows = 0;
        while rest.next < self.cells.len() {
            let number = rest.next;
            while work.concerns(number) && !work.is_done(number) {
                rows += self.cells[number].step(number);
                if rows >= ROWS_PER_YIELD {
                    rows = 0;
                    tokio::task::yield_now().await;
                }
            }
            rest.next += 1;
        }
        work.counts.lock().evicted += self.settle();
    }

    /// Evicts what a batch brought over capacity, from the shard with the pool's lowest bucket; how many.
    fn settle(&self) -> u64 {
        let mut evicted = 0;
        loop {
            let excess = self.shared.len.load(Ordering::Relaxed) - self.shared.capacity;
            let Some((number, _)) = self.shared.lowest().filter(|_| excess > 0) else {
                return evicted;
            };
            let mut shard = self.cells[number].shard.lock();
            // Someone else may have settled meanwhile; and a little at a time, for the lowest bucket moves about.
            let excess = self.shared.len.load(Ordering::Relaxed) - self.shared.capacity;
            if excess > 0 {
                evicted += shard.settle((excess as u64).min(1024));
            }
        }
    }

    /// Starts and ends generations of the background (DECISIONS 6).
    fn renew(&self, rows: u64, rotation: Rotation) {
        if matches!(self.spec.background, BackgroundSpec::Dense { .. }) {
            return;
        }
        if self.background.read().count(rows, rotation) {
            self.background.write().step(rotation, self.spec.salt_seed);
        }
    }

    fn generations(&self) -> Generations {
        self.background.read().generations.clone()
    }

    fn shard_of(&self, id: u64) -> usize {
        partition_of(placement_hash(id), self.spec.shards)
    }

    /// Calls `with` once for each shard that any of `items` belongs to, with the positions of its items.
    fn by_shard<T>(
        &self,
        items: &[T],
        shard_of: impl Fn(&T) -> usize,
        mut with: impl FnMut(&mut Shard, &[usize]),
    ) {
        let mut groups: Vec<Vec<usize>> = vec![Vec::new(); self.cells.len()];
        for (i, item) in items.iter().enumerate() {
            if let Some(group) = groups.get_mut(shard_of(item)) {
                group.push(i);
            }
        }
        let concerned = (0..self.cells.len()).filter(|number| !groups[*number].is_empty());
        self.each_of(concerned, |number, shard| with(shard, &groups[number]));
    }

    /// Visits shards, the free ones first. A batch goes through the shards one by one: whoever waited for the shard that it
    /// holds would wait for it again at the next, all the way.
    fn each_of(&self, numbers: impl Iterator<Item = usize>, mut visit: impl FnMut(usize, &mut Shard)) {
        let mut busy = Vec::new();
        for number in numbers {
            match self.cells[number].shard.try_lock() {
                Some(mut shard) => visit(number, &mut shard),
                None => busy.push(number),
            }
        }
        for number in busy {
            visit(number, &mut self.cells[number].shard.lock());
        }
    }
}

/// Applies the rest of a queued change when its caller goes away: what has a position takes effect.
struct Finish<'a> {
    store: &'a MemoryStore,
    work: &'a Arc<Work>,
    next: usize,
}

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        if self.next >= self.store.cells.len() {
            return;
        }
        for number in self.next..self.store.cells.len() {
            while self.work.concerns(number) && !self.work.is_done(number) {
                self.store.cells[number].step(number);
            }
        }
        self.store.settle();
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError> {
        let rows = batch.ids.len() as u64;
        let terms = Terms {
            stamp: batch.stamp,
            decay_units: batch.decay_units,
            refuse_stale: batch.refuse_stale,
            model_version: batch.model_version,
            update: batch.update,
        };
        let parts = Box::new(Partitioned::new(&batch, &self.spec));
        let (coalesced, clamped) = (parts.coalesced, parts.clamped);
        let (work, position) =
            self.enqueue(|| Change::Report { batch: parts, terms, generations: self.generations() });
        self.complete(&work).await;
        if let Some(rotation) = batch.rotation {
            self.renew(rows, rotation);
        }
        let mut counts = *work.counts.lock();
        counts.coalesced = coalesced;
        counts.clamped = clamped;
        Ok(Applied { counts, floor: self.shared.floor(), position })
    }

    async fn census(&self) -> Result<Census, StoreError> {
        loop {
            if let Some(census) = self.count_once() {
                return Ok(census);
            }
            // The background changed over meanwhile, which it does once in a million rows.
            tokio::task::yield_now().await;
        }
    }

    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError> {
        let mut rows = vec![None; addresses.len()];
        let dense = self.shared.dense_ids > 0;
        let shard_of = |address: &Address| match *address {
            Address::Hard { partition, .. } => partition.into(),
            Address::Background { ordinal, .. } if dense => self.shard_of(ordinal),
            Address::Background { partition, .. } => partition.into(),
        };
        self.by_shard(addresses, shard_of, |shard, group| {
            let mut ids = Vec::new();
            for &i in group {
                if let Address::Hard { bucket, ordinal, .. } = addresses[i] {
                    shard.buckets.prefetch_member(bucket, ordinal);
                }
            }
            for &i in group {
                match addresses[i] {
                    Address::Hard { bucket, ordinal, .. } => shard.prefetch_hard(bucket, ordinal),
                    Address::Background { ordinal, .. } => {
                        if let Some(id) = shard.background_id(ordinal) {
                            shard.prefetch_id(id);
                            ids.push((i, id));
                        }
                    }
                }
            }
            for &i in group {
                if let Address::Hard { bucket, ordinal, .. } = addresses[i] {
                    rows[i] = shard.hard_at(bucket, ordinal);
                }
            }
            for (i, id) in ids {
                rows[i] = shard.row(id);
            }
        });
        Ok(rows)
    }

    async fn get(&self, ids: &[u64]) -> Result<Vec<Option<Row>>, StoreError> {
        let mut rows = vec![None; ids.len()];
        self.by_shard(
            ids,
            |id| self.shard_of(*id),
            |shard, group| {
                group.iter().for_each(|&i| shard.prefetch_id(ids[i]));
                for &i in group {
                    rows[i] = shard.row(ids[i]);
                }
            },
        );
        Ok(rows)
    }

    async fn top(&self, n: usize, penalty: ServePenalty, scan_limit: usize) -> Result<Vec<Row>, StoreError> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let mut best: Vec<(Key, u64, Row)> = Vec::new();
        let share = scan_limit.div_ceil(self.cells.len());
        self.each_of(0..self.cells.len(), |_, shard| best.extend(top_of(shard, n, penalty, share)));
        best.sort_unstable_by(|a, b| b.0.serial_cmp(a.0).then(a.1.cmp(&b.1)));
        best.truncate(n);
        Ok(best.into_iter().map(|(_, _, row)| row).collect())
    }

    async fn scan(&self, cursor: u64, limit: usize) -> Result<ScanPage, StoreError> {
        let (number, from) = ((cursor >> 32) as usize, cursor as u32);
        let Some(cell) = self.cells.get(number) else {
            return Ok(ScanPage::default());
        };
        let (rows, next) = cell.shard.lock().scan(from, limit);
        let next = match next {
            Some(slot) => Some((number as u64) << 32 | u64::from(slot)),
            None => Some((number as u64 + 1) << 32).filter(|_| number + 1 < self.cells.len()),
        };
        Ok(ScanPage { rows, next })
    }

    async fn serve(&self, ids: &[u64], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError> {
        let mut served = vec![None; ids.len()];
        self.by_shard(
            ids,
            |id| self.shard_of(*id),
            |shard, group| {
                group.iter().for_each(|&i| shard.prefetch_id(ids[i]));
                for &i in group {
                    served[i] = shard.serve(ids[i], mark);
                }
                if mark.lease_until.is_some() {
                    self.shared.publish_lease_end(shard.number(), shard.first_lease_end());
                }
            },
        );
        Ok(served)
    }

    async fn expire(&self, now_millis: u64) -> Result<(), StoreError> {
        for (number, cell) in self.cells.iter().enumerate() {
            // Most calls find nothing that is over, by one load a shard.
            while self.shared.first_lease_end(number) <= now_millis {
                let more = {
                    let mut shard = cell.shard.lock();
                    let more = shard.expire(now_millis);
                    self.shared.publish_lease_end(number, shard.first_lease_end());
                    more
                };
                if more {
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(())
    }

    async fn release(&self, ids: &[u64]) -> Result<u64, StoreError> {
        let mut released = 0;
        self.by_shard(
            ids,
            |id| self.shard_of(*id),
            |shard, group| released += group.iter().filter(|&&i| shard.release(ids[i])).count() as u64,
        );
        Ok(released)
    }

    async fn leases(&self, ids: &[u64]) -> Result<Vec<Option<u64>>, StoreError> {
        let mut ends = vec![None; ids.len()];
        self.by_shard(
            ids,
            |id| self.shard_of(*id),
            |shard, group| group.iter().for_each(|&i| ends[i] = shard.lease_end(ids[i])),
        );
        Ok(ends)
    }

    async fn strata(&self) -> Result<Vec<StratumCount>, StoreError> {
        let mut strata: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
        self.each_of(0..self.cells.len(), |_, shard| {
            for (source, counts) in shard.strata().into_iter().enumerate() {
                for (stratum, count) in counts {
                    strata.entry(stratum).or_default()[source] += count;
                }
            }
        });
        let count =
            |(stratum, [hard, background]): (u32, [u64; 2])| StratumCount { stratum, hard, background };
        Ok(strata.into_iter().map(count).collect())
    }

    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError> {
        let mut of_shards = vec![Vec::new(); self.cells.len()];
        self.each_of(0..self.cells.len(), |number, shard| {
            of_shards[number] = strata.iter().flat_map(|stratum| shard.of_stratum(*stratum)).collect();
        });
        // In order of the shards, whichever was free first.
        Ok(of_shards.concat())
    }

    async fn remove(&self, ids: &[u64]) -> Result<(u64, u64), StoreError> {
        let mut by_shard = vec![Vec::new(); self.cells.len()];
        for &id in ids {
            by_shard[self.shard_of(id)].push(id);
        }
        let (work, position) = self.enqueue(|| Change::Remove { ids: by_shard });
        self.complete(&work).await;
        Ok((work.removed.load(Ordering::Relaxed) as u64, position))
    }

    async fn level(&self) -> Result<Level, StoreError> {
        Ok(Level { hard: self.shared.len.load(Ordering::Relaxed).max(0) as u64, floor: self.shared.floor() })
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let (generations, started) = {
            let renewal = self.background.read();
            (renewal.generations.clone(), renewal.started)
        };
        let memory: usize = self.memory_by_part().iter().sum();
        let (removed, leased) = self.cells.iter().fold((0, 0), |(removed, leased), cell| {
            let shard = cell.shard.lock();
            (removed + shard.removed(), leased + shard.leased() as u64)
        });
        let dense = self.shared.dense_ids > 0;
        Ok(StoreStats {
            hard: self.shared.len.load(Ordering::Relaxed).max(0) as u64,
            background: if dense { self.shared.dense_ids - removed } else { generations.serving.members() },
            background_probability: if dense { 1.0 } else { generations.serving.probability() },
            leased,
            memory_bytes: memory as u64,
            generations: if dense { 0 } else { started },
            floor: self.shared.floor(),
        })
    }
}
