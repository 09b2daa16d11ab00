//! Computes the keys of a batch of reports and orders its rows by partition, in one pass before any lock is taken.

use bytes::Bytes;
use hardneg_partition::{Columns, RowFaults, Sender};

pub use super::hash::partition_of;
use super::hash::placement_hash;
use super::key::Key;
use super::{ReportBatch, StoreSpec};

/// The rows of a batch ordered by partition; the rows of one partition keep the order of the batch.
#[derive(Debug, Default)]
pub struct Layout {
    /// Rows `offsets[p]..offsets[p + 1]` belong to partition p.
    pub offsets: Vec<usize>,
    /// The columns of the rows, in the new order.
    pub columns: Columns,
    /// Counts of faulty rows by partition. The rows that were left out of the columns count in the partition of the sender
    /// ([`partition_of_sender`]).
    pub faults: Vec<RowFaults>,
}

/// The partition that counts the rows that were left out of the columns, by a hash of the sender. So a resend of them goes to the same
/// partition, which recognises it.
pub(super) fn partition_of_sender(sender: Option<&Sender>, partitions: usize) -> usize {
    let worker = sender.map_or(0, |sender| sender.worker as u64 ^ sender.epoch);
    partition_of(placement_hash(worker), partitions)
}

impl Layout {
    /// Lays out `batch`.
    #[must_use]
    pub fn new(batch: &ReportBatch, spec: &StoreSpec) -> Self {
        let rows = batch.ids.len();
        let hashes: Vec<u64> = batch.ids.iter().map(|id| placement_hash(*id)).collect();
        let mut offsets = vec![0usize; spec.partitions + 1];
        for hash in &hashes {
            offsets[partition_of(*hash, spec.partitions) + 1] += 1;
        }
        for p in 0..spec.partitions {
            offsets[p + 1] += offsets[p];
        }
        let mut columns = Columns {
            hashes: vec![0; rows],
            ids: vec![0; rows],
            keys: vec![Key(0); rows],
            scores: vec![0.0; rows],
            ..Columns::default()
        };
        let mut order = Vec::new();
        let attached = !batch.raw_scores.is_empty()
            || !batch.names.is_empty()
            || !batch.payloads.is_empty()
            || !batch.strata.is_empty()
            || !batch.groups.is_empty();
        if attached {
            order.resize(rows, 0);
        }
        let mut next = offsets.clone();
        let floor_score = spec.hardness.floor_score();
        let mut faults = vec![RowFaults::default(); spec.partitions];
        let of_sender = &mut faults[partition_of_sender(batch.sender.as_ref(), spec.partitions)];
        (of_sender.non_finite, of_sender.out_of_range) = (batch.non_finite, batch.out_of_range);
        for (row, hash) in hashes.iter().enumerate() {
            let partition = partition_of(*hash, spec.partitions);
            let place = &mut next[partition];
            let at = *place;
            *place += 1;
            let (key, clamped) = spec.hardness.key(batch.scores[row], batch.decay_units);
            columns.hashes[at] = *hash;
            columns.ids[at] = batch.ids[row];
            columns.keys[at] = key;
            columns.scores[at] = batch.scores[row];
            faults[partition].clamped += u64::from(clamped);
            faults[partition].floored += u64::from(batch.scores[row] < floor_score);
            if attached {
                order[at] = row;
            }
        }
        if !batch.raw_scores.is_empty() {
            columns.raw_scores = order.iter().map(|&row| batch.raw_scores[row]).collect();
        }
        if !batch.names.is_empty() {
            columns.names = order.iter().map(|&row| batch.names[row].clone()).collect();
        }
        if !batch.payloads.is_empty() {
            // A slice would keep the whole received message alive, so the payload is copied.
            columns.payloads =
                order.iter().map(|&row| Bytes::copy_from_slice(&batch.payloads[row])).collect();
        }
        if !batch.strata.is_empty() {
            columns.strata = order.iter().map(|&row| batch.strata[row]).collect();
        }
        if !batch.groups.is_empty() {
            columns.groups = order.iter().map(|&row| batch.groups[row]).collect();
        }
        Self { offsets, columns, faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BackgroundSpec;
    use crate::store::key::Hardness;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_in_its_partition_and_in_order(
            rows in proptest::collection::vec((0u64..50, 0.0f32..10.0), 0..200),
            partitions in 1usize..9,
        ) {
            let spec = StoreSpec {
                capacity: 10,
                partitions,
                background: BackgroundSpec::Sampled { size: 16 },
                hardness: Hardness::default(),
                named: false,
                salt_seed: 0,
                workers: 64,
            };
            let batch = ReportBatch {
                ids: rows.iter().map(|r| r.0).collect(),
                scores: rows.iter().map(|r| r.1).collect(),
                ..ReportBatch::default()
            };
            let parts = Layout::new(&batch, &spec);
            for p in 0..partitions {
                let of = parts.offsets[p]..parts.offsets[p + 1];
                let got = parts.columns.ids[of.clone()].iter().copied().zip(parts.columns.scores[of].iter().copied());
                let expected = rows.iter().copied().filter(|row| partition_of(placement_hash(row.0), partitions) == p);
                prop_assert!(got.eq(expected));
            }
            prop_assert_eq!(parts.offsets[partitions], rows.len());
        }
    }
}
