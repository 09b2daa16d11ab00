//! The quarantine of a [`LocalStore`]: its calls become operations of the partitions.

use async_trait::async_trait;
use hardneg_partition::{Change, Partition, Reply};
use std::sync::Arc;

use super::cells::concerned;
use super::{LocalStore, each_of};
use crate::store::StoreError;
use crate::store::quarantine::{
    BlockCounts, BlockedId, Found, Quarantine, Quarantined, ReleaseCounts, SetAside, SetAsideCounts,
};

impl LocalStore {
    /// Collects what `of` reads from each partition, in order of id, and at most `limit` of it.
    fn page_of<T>(&self, limit: usize, of: impl Fn(&Partition) -> Vec<T>, id_of: fn(&T) -> u64) -> Vec<T> {
        let mut page = Vec::new();
        each_of(&self.cells, 0..self.cells.len(), |_, partition| page.extend(of(partition)));
        page.sort_unstable_by_key(id_of);
        page.truncate(limit);
        page
    }
}

#[async_trait]
impl Quarantine for LocalStore {
    async fn set_aside(&self, ids: &[u64], how: SetAside) -> Result<SetAsideCounts, StoreError> {
        let capacity = self.spec.quarantine_share(how.capacity);
        let SetAside { decay_units, now_millis, .. } = how;
        let change = |ids| Change::SetAside { ids, capacity, decay_units, now_millis };
        let mut sum = SetAsideCounts::default();
        for (_, reply) in self.change(self.changes_of(ids, change)).await.0 {
            if let Reply::SetAside(counts) = reply {
                sum.set_aside += counts.set_aside;
                sum.absent += counts.absent;
                sum.refused += counts.refused;
            }
        }
        Ok(sum)
    }

    async fn release_quarantined(&self, ids: &[u64], trust: bool) -> Result<ReleaseCounts, StoreError> {
        let change = |ids| Change::ReleaseQuarantined { ids, trust };
        let mut sum = ReleaseCounts::default();
        for (_, reply) in self.change(self.changes_of(ids, change)).await.0 {
            if let Reply::ReleasedQuarantined(counts) = reply {
                sum.released += counts.released;
                sum.refused += counts.refused;
                sum.evicted += counts.evicted;
            }
        }
        Ok(sum)
    }

    async fn block(&self, ids: &[u64], names: &[Arc<str>]) -> Result<BlockCounts, StoreError> {
        let groups = self.cells.by_partition(ids, |id| self.partition_of(*id));
        let of_group = |group: &Vec<usize>| {
            (!group.is_empty()).then(|| Change::Block {
                ids: group.iter().map(|i| ids[*i]).collect(),
                names: group.iter().filter_map(|i| names.get(*i).cloned()).collect(),
            })
        };
        let mut sum = BlockCounts::default();
        for (_, reply) in self.change(groups.iter().map(of_group).collect()).await.0 {
            if let Reply::Blocked(counts) = reply {
                sum.blocked += counts.blocked;
                sum.removed += counts.removed;
                sum.refused += counts.refused;
            }
        }
        Ok(sum)
    }

    async fn unblock(&self, ids: &[u64]) -> Result<u64, StoreError> {
        let (replies, _) = self.change(self.changes_of(ids, |ids| Change::Unblock { ids })).await;
        let unblocked = |(_, reply)| if let Reply::Unblocked(unblocked) = reply { unblocked } else { 0 };
        Ok(replies.into_iter().map(unblocked).sum())
    }

    async fn clear(&self) -> Result<(u64, u64), StoreError> {
        let changes = (0..self.cells.len()).map(|_| Some(Change::Clear)).collect();
        let (replies, position) = self.change(changes).await;
        let cleared = |(_, reply)| if let Reply::Cleared(cleared) = reply { cleared } else { 0 };
        Ok((replies.into_iter().map(cleared).sum(), position))
    }

    async fn find(&self, ids: &[u64]) -> Result<Vec<Found>, StoreError> {
        let mut found = vec![Found::Absent; ids.len()];
        let groups = self.cells.by_partition(ids, |id| self.partition_of(*id));
        each_of(&self.cells, concerned(&groups), |number, partition| {
            groups[number].iter().for_each(|&i| partition.prefetch(ids[i]));
            for &i in &groups[number] {
                found[i] = match (partition.row(ids[i]), partition.quarantined(ids[i])) {
                    (Some(row), _) => Found::Stored(row),
                    (None, Some(record)) => Found::SetAside(Box::new(record.clone())),
                    (None, None) if partition.is_blocked(ids[i]) => Found::Blocked,
                    (None, None) => Found::Absent,
                };
            }
        });
        Ok(found)
    }

    async fn quarantined(&self, after: Option<u64>, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        let of = |partition: &Partition| {
            partition.quarantined_page(after, limit).into_iter().cloned().collect::<Vec<_>>()
        };
        Ok(self.page_of(limit, of, |record| record.id))
    }

    async fn blocked(&self, after: Option<u64>, limit: usize) -> Result<Vec<BlockedId>, StoreError> {
        Ok(self.page_of(limit, |partition| partition.blocked_page(after, limit), |(id, _)| *id))
    }
}
