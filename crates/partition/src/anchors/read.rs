//! Reads of a partition of anchors.

use std::ops::Range;
use std::sync::Arc;

use super::anchor::Anchor;
use super::negative::Negative;
use super::op::NotNegative;
use super::{AnchorPartition, Sizes};
use crate::hard::prefetch::prefetch;
use crate::hash::placement_hash;
use crate::op::Sender;

/// One anchor, as ranges in the columns of [`AnchorRows`].
#[derive(Clone, Debug, PartialEq)]
pub struct AnchorRow {
    /// Whether the anchor is known.
    pub known: bool,
    /// The positive score that margins are measured from; NaN: none.
    pub positive: f32,
    /// Its label; 0: none.
    pub label: u32,
    /// Its negatives, the hardest first.
    pub negatives: Range<usize>,
    /// Its known positives, in order of id.
    pub positives: Range<usize>,
    /// Its vetoes, in order of id.
    pub vetoes: Range<usize>,
}

impl AnchorRow {
    /// The row of an anchor that is not stored.
    pub const UNKNOWN: Self =
        Self { known: false, positive: f32::NAN, label: 0, negatives: 0..0, positives: 0..0, vetoes: 0..0 };
}

/// Several anchors, in columns.
#[derive(Clone, Debug, Default)]
pub struct AnchorRows {
    /// One row for each anchor, in the order of the request.
    pub anchors: Vec<AnchorRow>,
    /// The negatives of all anchors.
    pub negatives: Vec<Negative>,
    /// One group for each negative, or empty where no anchor has groups.
    pub groups: Vec<u64>,
    /// One label for each negative, or empty where no anchor has labels.
    pub labels: Vec<u32>,
    /// String keys of the negatives, in a `named` pool.
    pub names: Vec<Arc<str>>,
    /// The known positives and vetoes of all anchors.
    pub not_negative: Vec<u64>,
}

impl AnchorRows {
    /// Rows for `anchors` anchors, none of which has been read.
    #[must_use]
    pub fn unread(anchors: usize) -> Self {
        Self { anchors: vec![AnchorRow::UNKNOWN; anchors], ..Self::default() }
    }

    /// Call it once all anchors are read: fills columns that are not empty up to the number of negatives.
    pub fn complete(&mut self) {
        complete(&mut self.groups, self.negatives.len());
        complete(&mut self.labels, self.negatives.len());
    }
}

fn complete<T: Copy + Default>(column: &mut Vec<T>, rows: usize) {
    if !column.is_empty() {
        column.resize(rows, T::default());
    }
}

/// Appends to a column that may have fewer than `before` values.
fn append<T: Copy + Default>(column: &mut Vec<T>, values: &[T], before: usize) {
    if !values.is_empty() {
        column.resize(before, T::default());
        column.extend_from_slice(values);
    }
}

/// Sizes of a partition of anchors, and the memory that it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchorStats {
    /// The number of anchors.
    pub anchors: u64,
    /// Negatives of all anchors.
    pub negatives: u64,
    /// Known positives of all anchors.
    pub positives: u64,
    /// Vetoes of all anchors.
    pub vetoes: u64,
    /// Processes of workers whose reports are remembered.
    pub workers: u64,
    /// Bytes of memory, including allocations.
    pub memory_bytes: usize,
}

impl AnchorPartition {
    /// Reads the anchors at `indices` of `anchors` into the rows with the same indices of `out`. Prefetches memory before it is needed.
    pub fn fetch(&self, anchors: &[u64], indices: &[usize], out: &mut AnchorRows) {
        let find = |&i: &usize| self.find(placement_hash(anchors[i]), anchors[i]);
        let found: Vec<Option<usize>> = indices.iter().map(find).collect();
        found.iter().flatten().for_each(|at| prefetch(&self.anchors, *at));
        for at in found.iter().flatten() {
            let negatives = self.anchors[*at].negatives();
            // A cache line holds about two and a half negatives. After a few lines in a row the hardware prefetches the others.
            (0..negatives.len().min(16)).step_by(2).for_each(|i| prefetch(negatives, i));
        }
        for (&i, at) in indices.iter().zip(found) {
            if let Some(at) = at {
                out.anchors[i] = self.row_of(&self.anchors[at], out);
            }
        }
    }

    fn row_of(&self, anchor: &Anchor, out: &mut AnchorRows) -> AnchorRow {
        let start = out.negatives.len();
        if anchor.has_side() {
            append(&mut out.groups, anchor.groups(), start);
            append(&mut out.labels, anchor.labels(), start);
        }
        out.negatives.extend_from_slice(anchor.negatives());
        if self.spec.named {
            // Every stored negative has a name.
            let name = |negative: &Negative| self.names.get(negative.id).cloned().unwrap_or_default();
            out.names.extend(anchor.negatives().iter().map(name));
        }
        let mut row = AnchorRow {
            known: true,
            positive: anchor.told.score,
            label: anchor.label,
            negatives: start..out.negatives.len(),
            ..AnchorRow::UNKNOWN
        };
        // Most anchors have nothing else.
        if anchor.has_side() {
            let mut listed = |why| {
                let from = out.not_negative.len();
                out.not_negative.extend_from_slice(anchor.not_negative(why));
                from..out.not_negative.len()
            };
            row.positives = listed(NotNegative::Positive);
            row.vetoes = listed(NotNegative::Vetoed);
            row.positive = anchor.positive(self.spec.hardness.lower_is_harder);
        }
        row
    }

    /// Whether a report was applied, or is so old that it is taken for a resend.
    #[must_use]
    pub fn has_applied(&self, sender: &Sender) -> bool {
        self.dedupe.has(sender)
    }

    /// The number of anchors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether there is no anchor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// The negatives of the `number`-th anchor ([`Self::anchor_at`]), the hardest first; none past the end.
    #[must_use]
    pub fn negatives_of(&self, number: usize) -> &[Negative] {
        self.anchors.get(number).map_or(&[], Anchor::negatives)
    }

    /// The `number`-th anchor. A clear changes the numbers.
    #[must_use]
    pub fn anchor_at(&self, number: usize) -> Option<u64> {
        self.anchors.get(number).map(|anchor| anchor.id)
    }

    /// The sizes of the partition, and its memory.
    #[must_use]
    pub fn stats(&self) -> AnchorStats {
        let Sizes { negatives, positives, vetoes, heap_bytes } = self.sizes;
        let anchors = self.anchors.capacity() * size_of::<Anchor>() + self.index.allocation_size();
        AnchorStats {
            anchors: self.anchors.len() as u64,
            negatives,
            positives,
            vetoes,
            workers: self.dedupe.len() as u64,
            memory_bytes: anchors + heap_bytes + self.names.memory_bytes() + self.dedupe.memory_bytes(),
        }
    }
}
