//! The rows of a change in the order in which they are applied: by shard, anchor and id.

use crate::store::anchored::least_alike;
use crate::store::hash::placement_hash;
use crate::store::layout::partition_of;

/// A row of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) anchor: u64,
    pub(super) id: u64,
    /// Its number in the caller's columns.
    pub(super) row: u32,
}

/// Rows by shard, anchor and id; of two rows of one anchor and id the later is left.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// `offsets[s]..offsets[s + 1]` are the rows of shard s.
    pub(super) offsets: Vec<usize>,
    pub(super) rows: Vec<Row>,
    /// Of each row the positive score that the change has for its anchor (NaN: none); or empty.
    pub(super) positives: Vec<f32>,
    /// Rows left out.
    pub(super) coalesced: u64,
}

/// The shard of an anchor.
pub(super) fn shard_of(anchor: u64, shards: usize) -> usize {
    partition_of(placement_hash(anchor), shards)
}

impl Layout {
    pub(super) fn new(
        anchors: &[u64],
        ids: &[u64],
        positive_scores: &[f32],
        lower_is_harder: bool,
        shards: usize,
    ) -> Self {
        let mut offsets = vec![0usize; shards + 1];
        let places: Vec<u16> = anchors.iter().map(|a| shard_of(*a, shards) as u16).collect();
        for place in &places {
            offsets[usize::from(*place) + 1] += 1;
        }
        for s in 0..shards {
            offsets[s + 1] += offsets[s];
        }
        let mut next = offsets.clone();
        let mut rows = vec![Row { anchor: 0, id: 0, row: 0 }; anchors.len()];
        for (row, place) in places.iter().enumerate() {
            let at = &mut next[usize::from(*place)];
            rows[*at] = Row { anchor: anchors[row], id: ids[row], row: row as u32 };
            *at += 1;
        }
        for s in 0..shards {
            rows[offsets[s]..offsets[s + 1]].sort_unstable();
        }
        let mut layout = Self { offsets, rows, positives: Vec::new(), coalesced: 0 };
        if !positive_scores.is_empty() {
            layout.positives = positives(&layout.rows, positive_scores, lower_is_harder);
        }
        layout.coalesce();
        layout
    }

    /// Leaves the last of the rows of one anchor and id, which are neighbours.
    fn coalesce(&mut self) {
        let superseded = |i: usize, rows: &[Row]| {
            rows.get(i + 1).is_some_and(|next| (next.anchor, next.id) == (rows[i].anchor, rows[i].id))
        };
        let (mut left, mut shard) = (0, 1);
        let total = self.rows.len();
        for i in 0..total {
            while self.offsets[shard] <= i {
                self.offsets[shard] = left;
                shard += 1;
            }
            if !superseded(i, &self.rows) {
                self.rows[left] = self.rows[i];
                if let Some(positive) = self.positives.get(i).copied() {
                    self.positives[left] = positive;
                }
                left += 1;
            }
        }
        self.offsets[shard..].fill(left);
        self.rows.truncate(left);
        self.positives.truncate(left);
        self.coalesced = (total - left) as u64;
    }
}

/// The least alike of each anchor's positive scores, at each of its rows.
fn positives(rows: &[Row], scores: &[f32], lower_is_harder: bool) -> Vec<f32> {
    rows.chunk_by(|a, b| a.anchor == b.anchor)
        .flat_map(|of_anchor| {
            let least = of_anchor
                .iter()
                .map(|row| scores[row.row as usize])
                .fold(f32::NAN, |a, b| least_alike(lower_is_harder, a, b));
            std::iter::repeat_n(least, of_anchor.len())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn keeps_the_last_row_of_each_pair_in_its_shard(
            pairs in proptest::collection::vec((0u64..20, 0u64..10, 0u32..100), 0..200),
            shards in 1usize..9,
        ) {
            let anchors: Vec<u64> = pairs.iter().map(|p| p.0).collect();
            let ids: Vec<u64> = pairs.iter().map(|p| p.1).collect();
            let scores: Vec<f32> = pairs.iter().map(|p| if p.2 < 30 { f32::NAN } else { p.2 as f32 }).collect();
            let layout = Layout::new(&anchors, &ids, &scores, false, shards);
            let mut last = BTreeMap::new();
            let mut lowest: BTreeMap<u64, f32> = BTreeMap::new();
            for (row, pair) in pairs.iter().enumerate() {
                last.insert((pair.0, pair.1), row as u32);
                let low = lowest.entry(pair.0).or_insert(f32::NAN);
                *low = low.min(scores[row]);
            }
            let got: BTreeMap<(u64, u64), u32> =
                layout.rows.iter().map(|r| ((r.anchor, r.id), r.row)).collect();
            prop_assert_eq!(layout.rows.len(), got.len());
            prop_assert_eq!(layout.coalesced as usize + got.len(), pairs.len());
            prop_assert_eq!(got, last);
            prop_assert_eq!(layout.offsets[shards], layout.rows.len());
            for s in 0..shards {
                let part = layout.offsets[s]..layout.offsets[s + 1];
                prop_assert!(layout.rows[part.clone()].is_sorted());
                for i in part {
                    prop_assert_eq!(shard_of(layout.rows[i].anchor, shards), s);
                    let (a, b) = (layout.positives[i], lowest[&layout.rows[i].anchor]);
                    prop_assert!(a == b || (a.is_nan() && b.is_nan()));
                }
            }
        }
    }
}
