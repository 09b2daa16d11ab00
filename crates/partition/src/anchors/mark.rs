//! Marks samples as known positives or vetoes of anchors. Either all pairs of an operation are remembered, or none.

use std::ops::Range;

use super::negative::PositiveScore;
use super::op::{Marked, NotNegative, PairColumns, PairLimit, Refusal};
use super::{AnchorPartition, Sizes};
use crate::hash::placement_hash;

/// How pairs are remembered.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) why: NotNegative,
    pub(super) stamp: u32,
    pub(super) model_version: u32,
}

/// New anchors or pairs: their number, and the first row that has one.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    count: u64,
    row: Option<u32>,
}

impl Found {
    fn add(&mut self, count: usize, row: u32) {
        if count > 0 {
            self.count += count as u64;
            self.row = Some(self.row.map_or(row, |first| first.min(row)));
        }
    }
}

/// A mark under way.
#[derive(Debug)]
pub(super) struct Mark {
    /// Rows sorted by anchor, id and number, to count new pairs without inserting them.
    order: Vec<u32>,
    /// The number of rows of `order` that were checked.
    checked: usize,
    new_anchors: Found,
    new_pairs: Found,
    /// The rows that are still to be applied.
    left: Range<usize>,
    applied: usize,
    marked: Marked,
}

impl Mark {
    pub(super) fn of(pairs: &PairColumns, range: Range<usize>) -> Self {
        let mut order: Vec<u32> = range.clone().map(|row| row as u32).collect();
        order.sort_unstable_by_key(|row| {
            let at = *row as usize;
            (pairs.anchors[at], pairs.ids[at], *row)
        });
        Self {
            order,
            checked: 0,
            new_anchors: Found::default(),
            new_pairs: Found::default(),
            left: range,
            applied: 0,
            marked: Marked::default(),
        }
    }

    /// The number of rows checked plus the number of rows applied.
    pub(super) fn done(&self) -> usize {
        self.checked + self.applied
    }
}

impl AnchorPartition {
    /// Does a step of a mark. Returns the outcome with the last step.
    pub(super) fn mark(
        &mut self,
        pairs: &PairColumns,
        terms: Terms,
        mark: &mut Mark,
        rows: usize,
    ) -> Option<Marked> {
        if mark.checked < mark.order.len() {
            let until = mark.checked.saturating_add(rows);
            while mark.checked < mark.order.len().min(until) {
                self.check_anchor(pairs, terms.why, mark);
            }
            // The remaining rows are left to the next step, so that steps are short.
            return None;
        }
        self.check_partition(mark);
        if mark.marked.refused.is_empty() {
            let to = mark.left.start.saturating_add(rows).min(mark.left.end);
            for row in mark.left.start..to {
                self.mark_row(pairs, row, terms, &mut mark.marked);
            }
            mark.applied += to - mark.left.start;
            mark.left.start = to;
            if !mark.left.is_empty() {
                return None;
            }
        }
        Some(std::mem::take(&mut mark.marked))
    }

    /// Checks the rows of the next anchor: counts the new pairs, and refuses the mark if the anchor would have too many.
    fn check_anchor(&self, pairs: &PairColumns, why: NotNegative, mark: &mut Mark) {
        let left = &mark.order[mark.checked..];
        let of = |row: u32| (pairs.anchors[row as usize], pairs.ids[row as usize]);
        let anchor = of(left[0]).0;
        let rows = &left[..left.iter().take_while(|row| of(**row).0 == anchor).count()];
        mark.checked += rows.len();
        let at = self.find(placement_hash(anchor), anchor);
        let known = at.map_or(&[][..], |at| self.anchors[at].not_negative(why));
        let firsts = rows.chunk_by(|a, b| of(*a) == of(*b)).map(|same| same[0]);
        let added: Vec<u32> = firsts.filter(|row| known.binary_search(&of(*row).1).is_err()).collect();
        let (first, first_added) = (rows.iter().min(), added.iter().min());
        let (max, limit) = match why {
            NotNegative::Positive => (self.spec.max_positives_per_anchor, PairLimit::PositivesPerAnchor),
            NotNegative::Vetoed => (self.spec.max_vetoes_per_anchor, PairLimit::VetoesPerAnchor),
        };
        let wanted = known.len() + added.len();
        if let (true, Some(row)) = (wanted > max, first) {
            mark.marked.refused.push(Refusal { row: *row, limit, wanted: wanted as u64 });
        }
        first.iter().for_each(|row| mark.new_anchors.add(usize::from(at.is_none()), **row));
        first_added.iter().for_each(|row| mark.new_pairs.add(added.len(), **row));
    }

    /// After all rows are checked and before any is applied: refuses the mark if there is no room for all new anchors and pairs.
    fn check_partition(&self, mark: &mut Mark) {
        if mark.applied > 0 || mark.order.is_empty() {
            return;
        }
        let (Found { count, row }, pairs) = (mark.new_anchors, mark.new_pairs);
        if let Some(row) = row.filter(|_| !self.has_room(count)) {
            let wanted = self.anchors.len() as u64 + count;
            mark.marked.refused.push(Refusal { row, limit: PairLimit::Anchors, wanted });
        }
        let wanted = self.sizes.positives + self.sizes.vetoes + pairs.count;
        if let Some(row) = pairs.row.filter(|_| wanted > self.spec.max_pairs) {
            mark.marked.refused.push(Refusal { row, limit: PairLimit::Pairs, wanted });
        }
        mark.marked.refused.sort_by_key(|refusal| refusal.row);
    }

    fn mark_row(&mut self, pairs: &PairColumns, row: usize, terms: Terms, marked: &mut Marked) {
        let (anchor, id) = (pairs.anchors[row], pairs.ids[row]);
        let hash = placement_hash(anchor);
        let at = self.find(hash, anchor).unwrap_or_else(|| self.enter(hash, anchor));
        let anchor = &mut self.anchors[at];
        let before = Sizes::of(anchor);
        let (added, removed) = anchor.mark(id, terms.why);
        marked.added += u64::from(added);
        marked.removed += u64::from(removed);
        if terms.why == NotNegative::Positive
            && let Some(score) = pairs.scores.get(row).copied().filter(|score| score.is_finite())
        {
            let (stamp, model_version) = (terms.stamp, terms.model_version);
            anchor.tell(id, PositiveScore { score, stamp, model_version });
        }
        self.sizes.change(&before, &Sizes::of(&self.anchors[at]));
        if removed && self.spec.named {
            self.names.release(id);
        }
    }
}
