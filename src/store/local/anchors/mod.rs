//! The anchors of a pool in memory: partitions by the hash of the anchor, with the same queues as partitions of samples.

mod layout;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use hardneg_partition::anchors::{AnchorChange, AnchorPartition, AnchorPartitionSpec, AnchorReply};
use hardneg_partition::{RowFaults, Sender, Terms};
use rand::RngExt as _;
use std::sync::Arc;

use super::cells::{Cells, concerned};
use super::queue::each_of;
use crate::store::anchored::{
    AnchorApplied, AnchorBatch, AnchorRows, AnchorStore, AnchorStoreSpec, AnchorStoreStats, AnchorTotals,
    Marked, Negative, NotNegative, Pairs,
};
use crate::store::hash::placement_hash;
use crate::store::layout::partition_of;
use crate::store::{StoreError, WORKERS_MAX};

/// Anchors that one hold of a partition's lock reads.
const ANCHORS_PER_LOOK: usize = 128;

/// The anchors of one pool in memory.
pub(super) struct Anchors {
    spec: AnchorStoreSpec,
    cells: Cells<AnchorPartition>,
}

impl Anchors {
    pub(super) fn new(spec: AnchorStoreSpec) -> Self {
        let of_partition = partition_spec(&spec);
        let partitions = (0..spec.partitions).map(|_| AnchorPartition::new(of_partition));
        Self { cells: Cells::new(partitions), spec }
    }
}

/// The spec of each partition of a pool.
fn partition_spec(spec: &AnchorStoreSpec) -> AnchorPartitionSpec {
    AnchorPartitionSpec {
        negatives_per_anchor: spec.negatives_per_anchor,
        max_anchors: spec.partition_anchors(),
        max_positives_per_anchor: spec.max_positives_per_anchor,
        max_vetoes_per_anchor: spec.max_vetoes_per_anchor,
        max_pairs: spec.partition_pairs(),
        margins: spec.margins,
        hardness: spec.hardness,
        named: spec.named,
        workers: spec.workers.min(WORKERS_MAX / spec.partitions),
    }
}

#[async_trait]
impl AnchorStore for Anchors {
    async fn apply(&self, batch: AnchorBatch) -> Result<AnchorApplied, StoreError> {
        let (sender, decay_units) = (batch.sender, batch.decay_units);
        let terms = Terms {
            decay_units,
            stamp: batch.stamp,
            refuse_stale: batch.refuse_stale,
            model_version: batch.model_version,
            update: batch.update,
            ..Terms::default()
        };
        let (deal, columns, faults) = layout::reports(batch, &self.spec.hardness, self.cells.len());
        let rows = Arc::new(columns);
        let change = |(range, faults): (std::ops::Range<usize>, RowFaults)| {
            let is_concerned = !range.is_empty() || faults != RowFaults::default();
            let (rows, terms) = (rows.clone(), Terms { faults, ..terms });
            is_concerned.then_some(AnchorChange::Report { rows, range, terms, sender })
        };
        let changes = deal.ranges().zip(faults).map(change).collect();
        let (replies, position) = self.cells.report(decay_units, changes, |_, _, _| ()).await;
        let mut applied = AnchorApplied { position, ..AnchorApplied::default() };
        for (number, reply) in replies {
            let AnchorReply::Reported(mut reported) = reply else { continue };
            applied.counts.add(&reported.counts);
            if reported.counts.duplicate > 0 {
                reported.negatives = deal.range(number).map(|at| at as u32).collect();
            }
            applied.negatives.extend(reported.negatives.into_iter().map(|at| deal.row(at)));
            applied.too_easy.extend(reported.too_easy.into_iter().map(|at| deal.row(at)));
        }
        Ok(applied)
    }

    async fn has_applied(&self, sender: &Sender) -> Result<bool, StoreError> {
        let mut is_applied = false;
        each_of(&self.cells, 0..self.cells.len(), |_, partition| is_applied |= partition.has_applied(sender));
        Ok(is_applied)
    }

    async fn mark(&self, pairs: Pairs, why: NotNegative) -> Result<Marked, StoreError> {
        let (stamp, model_version) = (pairs.stamp, pairs.model_version);
        let (deal, columns) = layout::pairs(pairs, self.cells.len());
        let pairs = Arc::new(columns);
        let change = |range: std::ops::Range<usize>| {
            let pairs = pairs.clone();
            (!range.is_empty()).then_some(AnchorChange::Mark { pairs, range, why, stamp, model_version })
        };
        let changes = deal.ranges().map(change).collect();
        let (replies, position) = self.cells.change(changes, |_, _, _| ()).await;
        let mut marked = Marked { position, ..Marked::default() };
        for (number, reply) in replies {
            let AnchorReply::Marked(of_partition) = reply else { continue };
            marked.added += of_partition.added;
            marked.removed += of_partition.removed;
            if !of_partition.refused.is_empty() {
                marked.refused.extend(deal.range(number).map(|at| deal.row(at as u32)));
            }
            for mut refusal in of_partition.refused {
                refusal.row = deal.row(refusal.row);
                marked.refusals.push(refusal);
            }
        }
        marked.refused.sort_unstable();
        marked.refusals.sort_by_key(|refusal| refusal.row);
        Ok(marked)
    }

    async fn fetch(&self, anchors: &[u64]) -> Result<AnchorRows, StoreError> {
        let mut rows = AnchorRows::unread(anchors.len());
        rows.negatives.reserve(anchors.len() * self.spec.negatives_per_anchor.min(16));
        let of = |anchor: &u64| partition_of(placement_hash(*anchor), self.cells.len());
        let groups = self.cells.by_partition(anchors, of);
        let mut later: Vec<(usize, &[usize])> = Vec::new();
        each_of(&self.cells, concerned(&groups), |number, partition| {
            let (first, rest) = groups[number].split_at(groups[number].len().min(ANCHORS_PER_LOOK));
            partition.fetch(anchors, first, &mut rows);
            later.extend(rest.chunks(ANCHORS_PER_LOOK).map(|piece| (number, piece)));
        });
        for (number, piece) in later {
            self.cells[number].state.lock().fetch(anchors, piece, &mut rows);
        }
        rows.complete();
        Ok(rows)
    }

    async fn remove(&self, ids: &[u64]) -> Result<(Vec<u64>, u64), StoreError> {
        let ids: Arc<[u64]> = ids.into();
        let changes = self.cells.iter().map(|_| Some(AnchorChange::Remove { ids: ids.clone() })).collect();
        let (replies, position) = self.cells.change(changes, |_, _, _| ()).await;
        let removed = replies.into_iter().flat_map(|(_, reply)| match reply {
            AnchorReply::Removed(ids) => ids,
            _ => Vec::new(),
        });
        let mut removed: Vec<u64> = removed.collect();
        removed.sort_unstable();
        removed.dedup();
        Ok((removed, position))
    }

    async fn clear(&self) -> Result<(u64, u64), StoreError> {
        let changes = self.cells.iter().map(|_| Some(AnchorChange::Clear)).collect();
        let (replies, position) = self.cells.change(changes, |_, _, _| ()).await;
        let of_partition = |(_, reply)| if let AnchorReply::Cleared(cleared) = reply { cleared } else { 0 };
        Ok((replies.into_iter().map(of_partition).sum(), position))
    }

    async fn totals(&self) -> Result<AnchorTotals, StoreError> {
        let mut totals = AnchorTotals::default();
        each_of(&self.cells, 0..self.cells.len(), |_, partition| totals.add(partition.totals()));
        Ok(totals)
    }

    async fn sample(&self, n: usize) -> Result<Vec<Negative>, StoreError> {
        let per_partition = n.div_ceil(self.cells.len());
        let mut rows = Vec::new();
        let mut rng = rand::rng();
        each_of(&self.cells, 0..self.cells.len(), |_, partition| {
            // Each partition contributes the same number, because hashing spreads the anchors evenly.
            let end = rows.len() + per_partition;
            for _ in 0..per_partition {
                if rows.len() >= end || partition.is_empty() {
                    break;
                }
                rows.extend_from_slice(partition.negatives_of(rng.random_range(0..partition.len())));
            }
        });
        Ok(rows)
    }

    async fn stats(&self) -> Result<AnchorStoreStats, StoreError> {
        let mut stats = AnchorStoreStats::default();
        each_of(&self.cells, 0..self.cells.len(), |_, partition| {
            let of_partition = partition.stats();
            stats.anchors += of_partition.anchors;
            stats.negatives += of_partition.negatives;
            stats.positives += of_partition.positives;
            stats.vetoes += of_partition.vetoes;
            stats.memory_bytes += of_partition.memory_bytes as u64;
            stats.totals.add(partition.totals());
        });
        Ok(stats)
    }
}
