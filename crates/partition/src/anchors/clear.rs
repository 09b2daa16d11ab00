//! A partition of anchors is emptied of what reports told, a bounded number of anchors at a time.

use super::{AnchorPartition, Sizes};
use crate::hash::placement_hash;

/// A clear under way.
#[derive(Debug)]
pub(super) struct Clear {
    /// Anchors that are yet to be looked at, from the last to the first.
    left: usize,
    looked_at: usize,
    /// Negatives that went.
    cleared: u64,
}

impl Clear {
    pub(super) fn of(partition: &AnchorPartition) -> Self {
        Self { left: partition.anchors.len(), looked_at: 0, cleared: 0 }
    }

    /// Anchors looked at.
    pub(super) fn done(&self) -> usize {
        self.looked_at
    }
}

impl AnchorPartition {
    /// Goes on with a clear for at most `most` anchors; how many negatives went, once all have been looked at.
    ///
    /// It goes from the last anchor to the first, and the last one takes the place of one that goes. So nothing depends on where a clear
    /// was divided, and every anchor behind the next one to be looked at has been looked at.
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

    /// Forgets what reports told of the anchor number `at`, and the anchor where nothing else is known of it. Its negatives.
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

    /// Takes an anchor out; the last one takes its place.
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
