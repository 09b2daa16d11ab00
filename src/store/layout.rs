//! A batch of reports, keyed, freed of duplicates and laid out by partition: one pass, before any lock.

use bytes::Bytes;
use hardneg_partition::Columns;

use super::hash::placement_hash;
use super::key::Key;
use super::{ReportBatch, StoreSpec};

/// Which partition a placement hash belongs to: by its high 32 bits.
#[inline]
#[must_use]
pub fn partition_of(hash: u64, partitions: usize) -> usize {
    (((hash >> 32) * partitions as u64) >> 32) as usize
}

/// Rows ordered by partition.
#[derive(Debug, Default)]
pub struct Layout {
    /// `offsets[p]..offsets[p + 1]` are the rows of partition p.
    pub offsets: Vec<usize>,
    /// The rows.
    pub columns: Columns,
    /// Rows left out because a later row of the batch has the same id.
    pub coalesced: u64,
    /// Keys whose log2 weight was clamped.
    pub clamped: u64,
}

impl Layout {
    /// Lays out `batch`. Of two rows with one id the last counts (DECISIONS 14).
    #[must_use]
    pub fn new(batch: &ReportBatch, spec: &StoreSpec) -> Self {
        let (hashes, partitions) = place_rows(&batch.ids, spec.partitions);
        let mut offsets = vec![0usize; spec.partitions + 1];
        for &partition in partitions.iter().filter(|p| **p != SUPERSEDED) {
            offsets[partition as usize + 1] += 1;
        }
        for p in 0..spec.partitions {
            offsets[p + 1] += offsets[p];
        }
        let rows = offsets[spec.partitions];
        let mut columns = Columns {
            hashes: vec![0; rows],
            ids: vec![0; rows],
            keys: vec![Key(0); rows],
            scores: vec![0.0; rows],
            ..Columns::default()
        };
        let mut order = Vec::new();
        let attached = !batch.names.is_empty()
            || !batch.payloads.is_empty()
            || !batch.strata.is_empty()
            || !batch.groups.is_empty();
        if attached {
            order.resize(rows, 0);
        }
        let mut next = offsets.clone();
        let mut clamped_keys = 0;
        for (row, &partition) in partitions.iter().enumerate() {
            if partition == SUPERSEDED {
                continue;
            }
            let place = &mut next[partition as usize];
            let at = *place;
            *place += 1;
            let (key, clamped) = spec.hardness.key(batch.scores[row], batch.decay_units);
            columns.hashes[at] = hashes[row];
            columns.ids[at] = batch.ids[row];
            columns.keys[at] = key;
            columns.scores[at] = batch.scores[row];
            clamped_keys += u64::from(clamped);
            if attached {
                order[at] = row;
            }
        }
        if !batch.names.is_empty() {
            columns.names = order.iter().map(|&row| batch.names[row].clone()).collect();
        }
        if !batch.payloads.is_empty() {
            // A slice of the message it came in would keep all of that alive.
            columns.payloads =
                order.iter().map(|&row| Bytes::copy_from_slice(&batch.payloads[row])).collect();
        }
        if !batch.strata.is_empty() {
            columns.strata = order.iter().map(|&row| batch.strata[row]).collect();
        }
        if !batch.groups.is_empty() {
            columns.groups = order.iter().map(|&row| batch.groups[row]).collect();
        }
        let coalesced = (batch.ids.len() - rows) as u64;
        Self { offsets, columns, coalesced, clamped: clamped_keys }
    }
}

/// The partition of a row that a later row of the same id supersedes.
const SUPERSEDED: u16 = u16::MAX;

/// The hash and the partition of each row.
fn place_rows(ids: &[u64], partitions: usize) -> (Vec<u64>, Vec<u16>) {
    // Open addressing over row numbers + 1; half empty, so that a probe is short.
    let mask = (ids.len() * 2).next_power_of_two() - 1;
    let mut table = vec![0u32; mask + 1];
    let mut hashes = Vec::with_capacity(ids.len());
    let mut places = Vec::with_capacity(ids.len());
    for (row, &id) in ids.iter().enumerate() {
        let hash = placement_hash(id);
        hashes.push(hash);
        places.push(partition_of(hash, partitions) as u16);
        let mut at = hash as usize & mask;
        loop {
            let there = table[at] as usize;
            if there != 0 && ids[there - 1] != id {
                at = (at + 1) & mask;
                continue;
            }
            if there != 0 {
                places[there - 1] = SUPERSEDED;
            }
            table[at] = row as u32 + 1;
            break;
        }
    }
    (hashes, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::BackgroundSpec;
    use crate::store::key::Hardness;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn keeps_the_last_row_of_each_id_in_its_partition(
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
            };
            let batch = ReportBatch {
                ids: rows.iter().map(|r| r.0).collect(),
                scores: rows.iter().map(|r| r.1).collect(),
                ..ReportBatch::default()
            };
            let expected: BTreeMap<u64, f32> = rows.iter().copied().collect();
            let parts = Layout::new(&batch, &spec);
            let got: BTreeMap<u64, f32> = parts.columns.ids.iter().copied().zip(parts.columns.scores.iter().copied()).collect();
            prop_assert_eq!(got, expected);
            prop_assert_eq!(parts.columns.ids.len() as u64 + parts.coalesced, rows.len() as u64);
            for p in 0..partitions {
                for row in parts.offsets[p]..parts.offsets[p + 1] {
                    prop_assert_eq!(partition_of(placement_hash(parts.columns.ids[row]), partitions), p);
                }
            }
        }
    }
}
