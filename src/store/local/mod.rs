//! The default host: it keeps the partitions of a pool in the memory of one process, each behind a lock with a queue of operations.

#[cfg(test)]
mod agreement_tests;
mod anchors;
mod cells;
mod engine;
mod machine;
mod put_once;
mod quarantine;
mod queue;
mod read;
#[cfg(test)]
pub(crate) mod tests;
mod view;
mod work;

use async_trait::async_trait;
use hardneg_partition::{Change, Partition, PartitionSpec, QuarantineLimits, Reply, RowFaults, Terms};
use std::sync::Arc;

use super::hash::{background_hash, placement_hash};
use super::layout::{Layout, partition_of};
use super::quarantine::{BLOCKED_MAX, QuarantineTerms, STREAKS_MAX, TRUSTED_MAX};
use super::{
    Address, Applied, ApplyCounts, BackgroundSpec, Census, Cursor, Drawn, Headed, Level, Place, ReportBatch,
    Row, ScanPage, Sender, ServeMark, ServePenalty, Served, Store, StoreError, StoreSpec, StoreStats,
    StratumCount, Totals, WORKERS_MAX, share_of,
};
use cells::Cells;
pub use cells::Log;
pub use engine::LocalEngine;
use queue::each_of;
use view::Views;

/// Serve counts of ids that are not stored (those of a dense id space), remembered over all partitions (docs/methods.md 9.1).
const UNSTORED_SERVES: usize = 65_536;

/// The samples of one pool in memory.
pub struct LocalStore {
    spec: StoreSpec,
    cells: Cells<Partition>,
    views: Views,
}

impl LocalStore {
    /// An empty store.
    ///
    /// # Errors
    /// `Exhausted` if there is no memory for `capacity` samples.
    pub fn new(spec: StoreSpec) -> Result<Self, StoreError> {
        let bytes = spec.capacity.saturating_mul(size_of::<u64>() * 4);
        if Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
            return Err(StoreError::Exhausted(format!("no memory for {} samples", spec.capacity)));
        }
        let partitions = (0..spec.partitions).map(|number| Partition::new(partition_spec(&spec, number)));
        Ok(Self { cells: Cells::new(partitions), views: Views::new(spec.partitions), spec })
    }

    /// The same store, which then passes every change to `log`.
    #[must_use]
    pub fn with_log(mut self, log: Log<Change>) -> Self {
        self.cells.set_log(log);
        self
    }

    /// The image of each partition; call it while no operation runs.
    #[must_use]
    pub fn images(&self) -> Vec<Vec<u8>> {
        self.cells.images()
    }

    /// Bytes of memory by part: the index, the slots with their side columns, the buckets, and the background with everything else.
    #[must_use]
    pub fn memory_by_part(&self) -> [usize; 4] {
        let mut sum = [0; 4];
        each_of(&self.cells, 0..self.cells.len(), |_, partition| {
            for (sum, part) in sum.iter_mut().zip(partition.stats().memory_bytes) {
                *sum += part;
            }
        });
        sum
    }

    /// Applies changes; returns the replies by partition, and the position.
    async fn change(&self, changes: Vec<Option<Change>>) -> (Vec<(usize, Reply)>, u64) {
        self.cells
            .change(changes, |number, partition, ended| self.views.publish(number, partition, ended))
            .await
    }

    fn partition_of(&self, id: u64) -> usize {
        partition_of(placement_hash(id), self.cells.len())
    }

    /// Groups ids by partition, and makes a change for each partition that has any.
    fn changes_of(&self, ids: &[u64], change: impl Fn(Vec<u64>) -> Change) -> Vec<Option<Change>> {
        let groups = self.cells.by_partition(ids, |id| self.partition_of(*id));
        let of_group =
            |group: &Vec<usize>| (!group.is_empty()).then(|| change(group.iter().map(|i| ids[*i]).collect()));
        groups.iter().map(of_group).collect()
    }
}

/// The spec of one partition of a pool.
fn partition_spec(spec: &StoreSpec, number: usize) -> PartitionSpec {
    PartitionSpec {
        capacity: spec.partition_capacity(),
        background: match spec.background {
            BackgroundSpec::Sampled { size } => {
                BackgroundSpec::Sampled { size: size.div_ceil(spec.partitions) }
            }
            dense @ BackgroundSpec::Dense { .. } => dense,
        },
        hardness: spec.hardness,
        named: spec.named,
        salt_seed: background_hash(number as u64, spec.salt_seed),
        unstored_serves: (UNSTORED_SERVES / spec.partitions).max(1),
        workers: spec.workers.min(WORKERS_MAX / spec.partitions),
        quarantine: QuarantineLimits {
            streaks: (STREAKS_MAX / spec.partitions).max(1),
            trusted: share_of(TRUSTED_MAX as u64, spec.partitions) as usize,
            blocked: share_of(BLOCKED_MAX as u64, spec.partitions) as usize,
        },
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError> {
        let partitions = self.cells.len() as u64;
        let share = |capacity| self.spec.quarantine_share(capacity);
        let of_partition =
            |terms: QuarantineTerms| QuarantineTerms { capacity: share(terms.capacity), ..terms };
        let terms = Terms {
            decay_units: batch.decay_units,
            stamp: batch.stamp,
            refuse_stale: batch.refuse_stale,
            model_version: batch.model_version,
            update: batch.update,
            renew_after_rows: batch.renew_after_rows.map_or(u64::MAX, |rows| rows.div_ceil(partitions)),
            quarantine: batch.quarantine.map(of_partition),
            faults: RowFaults::default(),
            oldest_stamp: batch.oldest_stamp,
        };
        let layout = Layout::new(&batch, &self.spec);
        let rows = Arc::new(layout.columns);
        let part = |(range, faults): (&[usize], RowFaults)| {
            let range = range[0]..range[1];
            let (terms, sender) = (Terms { faults, ..terms }, batch.sender);
            let is_concerned = !range.is_empty() || faults != RowFaults::default();
            is_concerned.then(|| Change::Report { rows: rows.clone(), range, terms, sender })
        };
        let changes = layout.offsets.windows(2).zip(layout.faults).map(part).collect();
        let after = |number, partition: &Partition, ended| self.views.publish(number, partition, ended);
        let (replies, position) = self.cells.report(batch.decay_units, changes, after).await;
        let mut counts = ApplyCounts::default();
        for (_, reply) in replies {
            if let Reply::Reported(of_partition) = reply {
                counts.add(&of_partition);
            }
        }
        Ok(Applied { counts, floor: self.views.level().floor, position })
    }

    async fn has_applied(&self, sender: &Sender) -> Result<bool, StoreError> {
        Ok(self.is_applied(sender))
    }

    async fn census(&self) -> Result<Census, StoreError> {
        Ok(self.count())
    }

    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError> {
        Ok(self.rows_at(addresses))
    }

    async fn get(&self, ids: &[u64]) -> Result<Vec<Option<Row>>, StoreError> {
        Ok(self.rows_of(ids))
    }

    async fn top(&self, n: usize, penalty: ServePenalty, scan_limit: usize) -> Result<Vec<Row>, StoreError> {
        Ok(self.hardest(n, penalty, scan_limit))
    }

    async fn head(&self, n: usize) -> Result<Vec<Headed>, StoreError> {
        Ok(self.hardest_first(n))
    }

    async fn at_ranks(&self, ranks: &[u64]) -> Result<Vec<Option<Place>>, StoreError> {
        let buckets = self.count().buckets;
        let mut places = Vec::with_capacity(ranks.len());
        for rank in ranks {
            places.push(self.at_rank(&buckets, *rank));
            // A store in memory never waits, so this lets other tasks run between two ranks.
            tokio::task::yield_now().await;
        }
        Ok(places)
    }

    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<ScanPage, StoreError> {
        Ok(self.page(cursor, limit))
    }

    async fn serve(&self, drawn: &[Drawn], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError> {
        if !mark.count {
            return Ok(self.look(drawn, mark));
        }
        let groups = self.cells.by_partition(drawn, |drawn| self.partition_of(drawn.id));
        let of_group = |group: &Vec<usize>| {
            let drawn = || group.iter().map(|i| drawn[*i]).collect();
            (!group.is_empty()).then(|| Change::Serve { drawn: drawn(), mark })
        };
        let (replies, _) = self.change(groups.iter().map(of_group).collect()).await;
        let mut served = vec![None; drawn.len()];
        for (number, reply) in replies {
            if let Reply::Served(of_partition) = reply {
                for (i, answer) in groups[number].iter().zip(of_partition) {
                    served[*i] = answer;
                }
            }
        }
        Ok(served)
    }

    async fn expire(&self, now_millis: u64, oldest_stamp: Option<u32>) -> Result<(), StoreError> {
        // Most calls find nothing to expire, at a cost of one or two loads per partition. Ids of a dense space never expire.
        let is_dense = matches!(self.spec.background, BackgroundSpec::Dense { .. });
        let oldest_stamp = oldest_stamp.filter(|_| !is_dense);
        let expired = |number| self.views.has_expired(number, now_millis, oldest_stamp);
        if (0..self.cells.len()).any(expired) {
            let change = |number| expired(number).then_some(Change::Expire { now_millis, oldest_stamp });
            self.change((0..self.cells.len()).map(change).collect()).await;
        }
        Ok(())
    }

    async fn release(&self, ids: &[u64]) -> Result<u64, StoreError> {
        let changes = self.changes_of(ids, |ids| Change::Release { ids });
        let (replies, _) = self.change(changes).await;
        let released = |(_, reply)| if let Reply::Released(released) = reply { released } else { 0 };
        Ok(replies.into_iter().map(released).sum())
    }

    async fn leases(&self, ids: &[u64]) -> Result<Vec<Option<u64>>, StoreError> {
        Ok(self.lease_ends(ids))
    }

    async fn strata(&self, most: usize) -> Result<Vec<StratumCount>, StoreError> {
        Ok(self.count_strata(most).await)
    }

    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError> {
        Ok(self.rows_of_strata(strata).await)
    }

    async fn remove(&self, ids: &[u64]) -> Result<(u64, u64), StoreError> {
        let changes = self.changes_of(ids, |ids| Change::Remove { ids });
        let (replies, position) = self.change(changes).await;
        let removed = |(_, reply)| if let Reply::Removed(removed) = reply { removed } else { 0 };
        Ok((replies.into_iter().map(removed).sum(), position))
    }

    async fn level(&self) -> Result<Level, StoreError> {
        Ok(self.views.level())
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self.sum_totals())
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        Ok(self.sizes())
    }
}
