//! Orders rows about anchors by partition, in one pass before any lock is taken.

use hardneg_partition::RowFaults;
use hardneg_partition::anchors::{AnchorColumns, PairColumns};
use std::ops::Range;

use crate::store::anchored::{AnchorBatch, Pairs};
use crate::store::hash::placement_hash;
use crate::store::key::Hardness;
use crate::store::layout::{partition_of, partition_of_sender};

/// The assignment of rows to partitions. The rows of one partition are contiguous, in the order of the batch.
#[derive(Debug)]
pub(super) struct Deal {
    /// Rows `offsets[p]..offsets[p + 1]` belong to partition p.
    offsets: Vec<usize>,
    /// The index of each row in the batch. Empty if there is one partition, because then the rows keep their order.
    order: Vec<u32>,
}

impl Deal {
    /// Assigns rows by the placement hashes of their anchors.
    fn new(hashes: &[u64], partitions: usize) -> Self {
        if partitions == 1 {
            return Self { offsets: vec![0, hashes.len()], order: Vec::new() };
        }
        let mut offsets = vec![0; partitions + 1];
        let numbers: Vec<u16> = hashes.iter().map(|hash| partition_of(*hash, partitions) as u16).collect();
        numbers.iter().for_each(|number| offsets[usize::from(*number) + 1] += 1);
        for p in 0..partitions {
            offsets[p + 1] += offsets[p];
        }
        let (mut next, mut order) = (offsets.clone(), vec![0; hashes.len()]);
        for (row, number) in numbers.into_iter().enumerate() {
            let at = &mut next[usize::from(number)];
            order[*at] = row as u32;
            *at += 1;
        }
        Self { offsets, order }
    }

    /// The rows of each partition.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// The rows of one partition.
    pub(super) fn range(&self, number: usize) -> Range<usize> {
        self.offsets[number]..self.offsets[number + 1]
    }

    /// The index in the batch of the row at `at`.
    pub(super) fn row(&self, at: u32) -> u32 {
        self.order.get(at as usize).copied().unwrap_or(at)
    }

    /// A column of the batch, in the new order.
    fn laid<T: Clone>(&self, column: Vec<T>) -> Vec<T> {
        if self.order.is_empty() || column.is_empty() {
            return column;
        }
        self.order.iter().map(|row| column[*row as usize].clone()).collect()
    }
}

/// A batch of reports in the new order, and counts of faulty rows by partition. The rows that were left out of the columns count in the
/// partition of the sender.
pub(super) fn reports(
    batch: AnchorBatch,
    hardness: &Hardness,
    partitions: usize,
) -> (Deal, AnchorColumns, Vec<RowFaults>) {
    let hashes: Vec<u64> = batch.anchors.iter().map(|anchor| placement_hash(*anchor)).collect();
    let deal = Deal::new(&hashes, partitions);
    let scores = deal.laid(batch.scores);
    let floor_score = hardness.floor_score();
    let mut faults = vec![RowFaults::default(); partitions];
    let of_sender = &mut faults[partition_of_sender(batch.sender.as_ref(), partitions)];
    (of_sender.non_finite, of_sender.out_of_range) = (batch.non_finite, batch.out_of_range);
    let mut keys = Vec::with_capacity(scores.len());
    for (range, faults) in deal.ranges().zip(&mut faults) {
        keys.extend(scores[range].iter().map(|score| {
            let (key, clamped) = hardness.key(*score, batch.decay_units);
            faults.clamped += u64::from(clamped);
            faults.floored += u64::from(*score < floor_score);
            key
        }));
    }
    let columns = AnchorColumns {
        hashes: deal.laid(hashes),
        anchors: deal.laid(batch.anchors),
        ids: deal.laid(batch.ids),
        keys,
        scores,
        positive_scores: deal.laid(batch.positive_scores),
        groups: deal.laid(batch.groups),
        labels: deal.laid(batch.labels),
        anchor_labels: deal.laid(batch.anchor_labels),
        names: deal.laid(batch.names),
    };
    (deal, columns, faults)
}

/// Pairs in the new order.
pub(super) fn pairs(pairs: Pairs, partitions: usize) -> (Deal, PairColumns) {
    let hashes: Vec<u64> = pairs.anchors.iter().map(|anchor| placement_hash(*anchor)).collect();
    let deal = Deal::new(&hashes, partitions);
    let columns = PairColumns {
        anchors: deal.laid(pairs.anchors),
        ids: deal.laid(pairs.ids),
        scores: deal.laid(pairs.scores),
    };
    (deal, columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_is_in_its_partition_and_in_order(
            rows in proptest::collection::vec((0u64..50, 0u64..9, 0.0f32..10.0), 0..200),
            partitions in 1usize..9,
        ) {
            let batch = AnchorBatch {
                anchors: rows.iter().map(|r| r.0).collect(),
                ids: rows.iter().map(|r| r.1).collect(),
                scores: rows.iter().map(|r| r.2).collect(),
                labels: rows.iter().map(|r| r.1 as u32).collect(),
                ..AnchorBatch::default()
            };
            let hardness = Hardness::default();
            let (deal, columns, _) = reports(batch, &hardness, partitions);
            prop_assert_eq!(deal.ranges().map(|range| range.len()).sum::<usize>(), rows.len());
            for (p, range) in deal.ranges().enumerate() {
                let got: Vec<_> = range.clone().map(|at| (columns.anchors[at], columns.ids[at], columns.scores[at])).collect();
                let of = |row: &&(u64, u64, f32)| partition_of(placement_hash(row.0), partitions) == p;
                prop_assert_eq!(got, rows.iter().filter(of).copied().collect::<Vec<_>>());
                for at in range {
                    let row = rows[deal.row(at as u32) as usize];
                    prop_assert_eq!((columns.anchors[at], columns.labels[at]), (row.0, row.1 as u32));
                    prop_assert_eq!(columns.hashes[at], placement_hash(row.0));
                    prop_assert_eq!(columns.keys[at], hardness.key(row.2, 0).0);
                }
            }
            prop_assert!(columns.groups.is_empty());
        }
    }
}
