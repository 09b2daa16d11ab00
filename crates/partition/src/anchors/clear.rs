//! Clears a partition of anchors of everything that reports brought, a bounded number of anchors at a time.

use super::{AnchorPartition, Sizes};
use crate::hash::placement_hash;

/// A clear under way.
#[derive(Debug)]
pub(super) struct Clear {
    /// The number of anchors that are still to be cleared. It goes from the last anchor to the first.
    left: usize,
    looked_at: usize,
    /// The number of negatives that were removed.
    cleared: u64,
}

impl Clear {
    pub(super) fn of(partition: &AnchorPartition) -> Self {
        Self { left: partition.anchors.len(), looked_at: 0, cleared: 0 }
    }

    /// The number of anchors that were cleared.
    pub(super) fn done(&self) -> usize {
        self.looked_at
    }
}

impl AnchorPartition {
    /// Clears at most `most` more anchors. Returns the number of removed negatives once all anchors are cleared.
    ///
    /// It goes from the last anchor to the first. When an anchor is dropped, the last one, which was cleared before, moves to its index. So
    /// all anchors behind the current one are cleared, and the result does not depend on how a clear is divided.
    pub(super) fn clear_some(&mut self, clear: &mut Clear, most: usize) -> Option<u64> {
        let until = clear.left.saturating_sub(most);
        for at in (until..clear.left).rev() {
            clear.cleared += self.clear_anchor(at);
        }
        clear.looked_at += clear.left - until;
        clear.left = until;
        (until == 0).then(|| {
            self.anchors.shrink_to_fit();
            let anchors = &self.anchors;
            self.index.shrink_to_fit(|at| placement_hash(anchors[*at as usize].id));
            clear.cleared
        })
    }

    /// Removes what reports brought of the anchor at `at`, and drops the anchor if it has no positives and vetoes. Returns the number of
    /// its negatives.
    fn clear_anchor(&mut self, at: usize) -> u64 {
        let anchor = &mut self.anchors[at];
        let before = Sizes::of(anchor);
        let negatives = anchor.clear();
        if self.spec.named {
            negatives.iter().for_each(|negative| self.names.release(negative.id));
        }
        let has_pairs = anchor.has_side();
        let after = if has_pairs { Sizes::of(anchor) } else { Sizes::default() };
        self.sizes.change(&before, &after);
        if !has_pairs {
            self.forget_anchor(at);
        }
        negatives.len() as u64
    }

    /// Drops an anchor. The last one moves to its index.
    fn forget_anchor(&mut self, at: usize) {
        let last = self.anchors.len() - 1;
        let number_of = |partition: &Self, at: usize| placement_hash(partition.anchors[at].id);
        let (gone, moved) = (number_of(self, at), number_of(self, last));
        if let Ok(entry) = self.index.find_entry(gone, |number| *number as usize == at) {
            entry.remove();
        }
        if let Some(number) = self.index.find_mut(moved, |number| *number as usize == last) {
            *number = at as u32;
        }
        self.anchors.swap_remove(at);
    }
}
