//! One anchor: its hardest negatives in order, its positive scores, and what is known to be no negative of it.

use super::negative::{Attributes, Negative, PositiveScore};
use super::op::NotNegative;
use super::spec::{AnchorPartitionSpec, least_alike};
use crate::key::Key;

/// Negatives that a new anchor has room for.
const ROOM_FIRST: usize = 4;
/// What the allocator adds to a block, about.
const BLOCK_BYTES: usize = 16;

/// An anchor. 56 bytes, and 24 a negative.
#[derive(Debug)]
pub(crate) struct Anchor {
    pub(crate) id: u64,
    /// The positive score that reports told last without saying of which positive it is.
    pub(crate) told: PositiveScore,
    /// 0: none.
    pub(crate) label: u32,
    /// The hardest first.
    negatives: Vec<Negative>,
    /// What most anchors have none of.
    side: Option<Box<Side>>,
}

#[derive(Debug, Default)]
struct Side {
    /// Sorted.
    positives: Vec<u64>,
    /// Of the positives, one each, or empty while none has any.
    scores: Vec<PositiveScore>,
    /// Sorted.
    vetoes: Vec<u64>,
    /// Of the negatives, one each, or empty.
    groups: Vec<u64>,
    /// Of the negatives, one each, or empty.
    labels: Vec<u32>,
}

/// What became of a negative that was offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Offered {
    /// Taken, there was room.
    Taken,
    /// Taken instead of this one.
    Instead(u64),
    /// Easier than all that are kept.
    TooEasy,
}

impl Anchor {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, told: PositiveScore::NONE, label: 0, negatives: Vec::new(), side: None }
    }

    pub(crate) fn negatives(&self) -> &[Negative] {
        &self.negatives
    }

    /// Whether it has anything beside its negatives, its label and the positive score that reports told.
    #[inline]
    pub(crate) fn has_side(&self) -> bool {
        self.side.is_some()
    }

    /// One a negative, or empty.
    pub(crate) fn groups(&self) -> &[u64] {
        self.side.as_ref().map_or(&[], |side| &side.groups)
    }

    /// One a negative, or empty.
    pub(crate) fn labels(&self) -> &[u32] {
        self.side.as_ref().map_or(&[], |side| &side.labels)
    }

    /// In order of id.
    pub(crate) fn not_negative(&self, why: NotNegative) -> &[u64] {
        self.side.as_ref().map_or(&[], |side| match why {
            NotNegative::Positive => &side.positives,
            NotNegative::Vetoed => &side.vetoes,
        })
    }

    /// Scores of the positives, one each, or empty while none has any.
    pub(crate) fn scores(&self) -> &[PositiveScore] {
        self.side.as_ref().map_or(&[], |side| &side.scores)
    }

    /// The positive score that margins are measured from: the least alike of those that were told last of each positive, and of
    /// what reports told without a positive. NaN: none.
    pub(crate) fn positive(&self, lower_is_harder: bool) -> f32 {
        let scores = self.scores().iter().map(|positive| positive.score);
        scores.fold(self.told.score, |a, b| least_alike(lower_is_harder, a, b))
    }

    #[inline]
    pub(crate) fn is_negative(&self, id: u64) -> bool {
        self.side.as_ref().is_none_or(|side| {
            side.positives.binary_search(&id).is_err() && side.vetoes.binary_search(&id).is_err()
        })
    }

    #[inline]
    pub(crate) fn position(&self, id: u64) -> Option<usize> {
        self.negatives.iter().position(|n| n.id == id)
    }

    /// What goes with the negative at `at`.
    pub(crate) fn attributes(&self, at: usize) -> Attributes {
        Attributes {
            group: self.groups().get(at).copied().unwrap_or(0),
            label: self.labels().get(at).copied().unwrap_or(0),
        }
    }

    /// Replaces the negative at `at` by a new report of it.
    pub(crate) fn replace(
        &mut self,
        at: usize,
        with: Negative,
        attributes: Attributes,
        spec: &AnchorPartitionSpec,
    ) {
        self.take(at);
        self.put(with, attributes, spec);
    }

    /// Takes in a new negative, if it is hard enough (docs/methods.md 10.1): what fails the pool's margins goes before what is easy.
    pub(crate) fn offer(
        &mut self,
        new: Negative,
        attributes: Attributes,
        spec: &AnchorPartitionSpec,
    ) -> Offered {
        let room = spec.negatives_per_anchor.saturating_sub(self.negatives.len());
        if room > 0 {
            if self.negatives.len() == self.negatives.capacity() {
                // Doubles, but never beyond what may be kept.
                self.negatives.reserve_exact(self.negatives.len().max(ROOM_FIRST).min(room));
            }
            self.put(new, attributes, spec);
            return Offered::Taken;
        }
        let Some(victim) = self.victim(&new, spec) else {
            return Offered::TooEasy;
        };
        let (evicted, _) = self.take(victim);
        self.put(new, attributes, spec);
        Offered::Instead(evicted.id)
    }

    /// Which negative of a full anchor goes for a new one; `None`: the new one does not come in.
    fn victim(&self, new: &Negative, spec: &AnchorPartitionSpec) -> Option<usize> {
        let lower = spec.hardness.lower_is_harder;
        let is_harder = |at: usize| new.hardest_first(&self.negatives[at], lower).is_lt();
        let last = self.negatives.len().checked_sub(1)?;
        let positive = if spec.margins.is_some() { self.positive(lower) } else { f32::NAN };
        if positive.is_nan() {
            return is_harder(last).then_some(last);
        }
        let fails = |n: &Negative| !spec.margins.admit(lower, positive, n.score);
        match (self.negatives.iter().rposition(fails), fails(new)) {
            (Some(at), new_fails) if !new_fails || is_harder(at) => Some(at),
            (None, false) if is_harder(last) => Some(last),
            _ => None,
        }
    }

    /// Takes out the negative at `at`, with what goes with it.
    pub(crate) fn take(&mut self, at: usize) -> (Negative, Attributes) {
        let mut attributes = Attributes::default();
        if let Some(side) = &mut self.side {
            if !side.groups.is_empty() {
                attributes.group = side.groups.remove(at);
            }
            if !side.labels.is_empty() {
                attributes.label = side.labels.remove(at);
            }
        }
        (self.negatives.remove(at), attributes)
    }

    /// Forgets all but what is known to be no negative, and the scores of known positives. Its negatives.
    pub(crate) fn clear(&mut self) -> Vec<Negative> {
        (self.told, self.label) = (PositiveScore::NONE, 0);
        self.side = self.side.take().filter(|side| !side.positives.is_empty() || !side.vetoes.is_empty());
        if let Some(side) = &mut self.side {
            (side.groups, side.labels) = (Vec::new(), Vec::new());
        }
        std::mem::take(&mut self.negatives)
    }

    fn put(&mut self, new: Negative, attributes: Attributes, spec: &AnchorPartitionSpec) {
        let lower = spec.hardness.lower_is_harder;
        let at = self.negatives.partition_point(|n| n.hardest_first(&new, lower).is_lt());
        self.negatives.insert(at, new);
        if self.side.is_none() && attributes == Attributes::default() {
            return;
        }
        let side = self.side.get_or_insert_default();
        put_beside(&mut side.groups, at, attributes.group, self.negatives.len());
        put_beside(&mut side.labels, at, attributes.label, self.negatives.len());
    }

    /// Remembers that `id` is no negative: whether that is new, and whether it was stored as one.
    pub(crate) fn mark(&mut self, id: u64, why: NotNegative) -> (bool, bool) {
        let side = self.side.get_or_insert_default();
        let list = match why {
            NotNegative::Positive => &mut side.positives,
            NotNegative::Vetoed => &mut side.vetoes,
        };
        let added = match list.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                list.insert(at, id);
                if why == NotNegative::Positive && !side.scores.is_empty() {
                    side.scores.insert(at, PositiveScore::NONE);
                }
                true
            }
        };
        (added, self.remove(id))
    }

    /// The score of a known positive is this from now on.
    pub(crate) fn tell(&mut self, positive: u64, score: PositiveScore) {
        let Some(side) = &mut self.side else { return };
        if let Ok(at) = side.positives.binary_search(&positive) {
            side.scores.resize(side.positives.len(), PositiveScore::NONE);
            side.scores[at] = score;
        }
    }

    /// Takes a negative out; whether it was there.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.position(id).map(|at| self.take(at)).is_some()
    }

    /// Lifts negatives so far behind the clock that the serial order of keys would soon wrap. All below `floor` tie at it.
    pub(crate) fn lift(&mut self, floor: Key, spec: &AnchorPartitionSpec) {
        let first = self.negatives.partition_point(|n| n.key.since(floor) >= 0);
        // Those before are in order already, and the rest may stand among them now.
        let lifted: Vec<_> = (first..self.negatives.len()).rev().map(|at| self.take(at)).collect();
        for (negative, attributes) in lifted {
            self.put(Negative { key: floor, ..negative }, attributes, spec);
        }
    }

    /// Takes memory for negatives that are yet to be restored, and no more.
    pub(crate) fn reserve(&mut self, negatives: usize) {
        self.negatives.reserve_exact(negatives);
    }

    /// The next negative in order, the hardest first; false where it does not come after the last, or may be none.
    pub(crate) fn restore(&mut self, new: Negative, spec: &AnchorPartitionSpec) -> bool {
        let lower = spec.hardness.lower_is_harder;
        let in_order = self.negatives.last().is_none_or(|last| last.hardest_first(&new, lower).is_lt());
        let fits = in_order && self.is_negative(new.id) && self.position(new.id).is_none();
        if fits {
            self.negatives.push(new);
        }
        fits
    }

    /// What goes with the negatives that were restored, one each or empty.
    pub(crate) fn restore_attributes(&mut self, groups: Vec<u64>, labels: Vec<u32>) {
        if !groups.is_empty() || !labels.is_empty() {
            let side = self.side.get_or_insert_default();
            (side.groups, side.labels) = (groups, labels);
        }
    }

    /// What is no negative, in order of id, with the scores of positives, one each or empty. Before negatives are restored.
    pub(crate) fn restore_pairs(
        &mut self,
        positives: Vec<u64>,
        scores: Vec<PositiveScore>,
        vetoes: Vec<u64>,
    ) {
        if !positives.is_empty() || !vetoes.is_empty() {
            let side = self.side.get_or_insert_default();
            (side.positives, side.scores, side.vetoes) = (positives, scores, vetoes);
        }
    }

    /// Bytes beside the anchor itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        let block = |bytes: usize| if bytes == 0 { 0 } else { bytes + BLOCK_BYTES };
        let side = self.side.as_ref().map_or(0, |side| {
            block(size_of::<Side>())
                + block(side.positives.capacity() * size_of::<u64>())
                + block(side.scores.capacity() * size_of::<PositiveScore>())
                + block(side.vetoes.capacity() * size_of::<u64>())
                + block(side.groups.capacity() * size_of::<u64>())
                + block(side.labels.capacity() * size_of::<u32>())
        });
        block(self.negatives.capacity() * size_of::<Negative>()) + side
    }
}

/// Enters a value of the negative at `at`, of `total`, into a column that does not exist while all values are those of nothing.
fn put_beside<T: Copy + Default + PartialEq>(column: &mut Vec<T>, at: usize, value: T, total: usize) {
    if value != T::default() || !column.is_empty() {
        column.resize(total - 1, T::default());
        column.insert(at, value);
    }
}
