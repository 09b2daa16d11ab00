//! One anchor: its hardest negatives in order, its positive scores, its known positives and its vetoes.

use super::negative::{Attributes, Negative, PositiveScore};
use super::op::NotNegative;
use super::spec::{AnchorPartitionSpec, least_alike};
use crate::key::Key;

/// The number of negatives that the first allocation has room for.
const ROOM_FIRST: usize = 4;
/// The approximate overhead of an allocation.
const BLOCK_BYTES: usize = 16;

/// An anchor. It takes 56 bytes, and 24 for each negative.
#[derive(Debug)]
pub(crate) struct Anchor {
    pub(crate) id: u64,
    /// The last positive score that a report brought. Reports do not say which positive it belongs to.
    pub(crate) told: PositiveScore,
    /// The label of the anchor; 0: none.
    pub(crate) label: u32,
    /// The negatives, the hardest first.
    negatives: Vec<Negative>,
    /// Fields that most anchors do not need.
    side: Option<Box<Side>>,
}

#[derive(Debug, Default)]
struct Side {
    /// In ascending order of id.
    positives: Vec<u64>,
    /// One score for each positive, or empty while no positive has a score.
    scores: Vec<PositiveScore>,
    /// In ascending order of id.
    vetoes: Vec<u64>,
    /// Of the negatives, one each, or empty.
    groups: Vec<u64>,
    /// Of the negatives, one each, or empty.
    labels: Vec<u32>,
}

/// The outcome of an offered negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Offered {
    /// It was inserted; there was room.
    Taken,
    /// It was inserted, and the negative with this id was evicted.
    Instead(u64),
    /// It was not inserted: it is easier than the negatives that are kept.
    TooEasy,
}

impl Anchor {
    pub(crate) fn new(id: u64) -> Self {
        Self { id, told: PositiveScore::NONE, label: 0, negatives: Vec::new(), side: None }
    }

    pub(crate) fn negatives(&self) -> &[Negative] {
        &self.negatives
    }

    /// Whether it has positives, vetoes, groups or labels of negatives.
    #[inline]
    pub(crate) fn has_side(&self) -> bool {
        self.side.is_some()
    }

    /// One value for each negative, or empty.
    pub(crate) fn groups(&self) -> &[u64] {
        self.side.as_ref().map_or(&[], |side| &side.groups)
    }

    /// One value for each negative, or empty.
    pub(crate) fn labels(&self) -> &[u32] {
        self.side.as_ref().map_or(&[], |side| &side.labels)
    }

    /// The known positives or the vetoes, in order of id.
    pub(crate) fn not_negative(&self, why: NotNegative) -> &[u64] {
        self.side.as_ref().map_or(&[], |side| match why {
            NotNegative::Positive => &side.positives,
            NotNegative::Vetoed => &side.vetoes,
        })
    }

    /// One score for each positive, or empty while no positive has a score.
    pub(crate) fn scores(&self) -> &[PositiveScore] {
        self.side.as_ref().map_or(&[], |side| &side.scores)
    }

    /// The positive score that margins are measured from: the one of the positive that is least similar to the anchor, among the last
    /// scores of all known positives and the last score that a report brought. NaN: there is none.
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

    /// The attributes of the negative at `at`.
    pub(crate) fn attributes(&self, at: usize) -> Attributes {
        Attributes {
            group: self.groups().get(at).copied().unwrap_or(0),
            label: self.labels().get(at).copied().unwrap_or(0),
        }
    }

    /// Replaces the negative at `at` after a new report of it.
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

    /// Inserts a new negative if it is hard enough (docs/methods.md 10.1). Negatives that fail the pool's margins are evicted before easy
    /// ones.
    pub(crate) fn offer(
        &mut self,
        new: Negative,
        attributes: Attributes,
        spec: &AnchorPartitionSpec,
    ) -> Offered {
        let room = spec.negatives_per_anchor.saturating_sub(self.negatives.len());
        if room > 0 {
            if self.negatives.len() == self.negatives.capacity() {
                // The allocation doubles, but never exceeds the maximal number of negatives.
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

    /// The negative of a full anchor that a new one evicts. `None`: the new one is not inserted.
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

    /// Takes out the negative at `at`, with its attributes.
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

    /// Removes everything except known positives with their scores, and vetoes. Returns the negatives that it had.
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

    /// Remembers that `id` is not a negative. Returns whether that is new, and whether it was stored as a negative.
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

    /// Sets the score of a known positive.
    pub(crate) fn tell(&mut self, positive: u64, score: PositiveScore) {
        let Some(side) = &mut self.side else { return };
        if let Ok(at) = side.positives.binary_search(&positive) {
            side.scores.resize(side.positives.len(), PositiveScore::NONE);
            side.scores[at] = score;
        }
    }

    /// Removes a negative. Returns whether it was there.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.position(id).map(|at| self.take(at)).is_some()
    }

    /// Lifts the keys of negatives below `floor` to it, before the serial order of keys would wrap.
    pub(crate) fn lift(&mut self, floor: Key, spec: &AnchorPartitionSpec) {
        let first = self.negatives.partition_point(|n| n.key.since(floor) >= 0);
        // The negatives before `first` are in order. The lifted ones have equal keys now, so their order may be another.
        let lifted: Vec<_> = (first..self.negatives.len()).rev().map(|at| self.take(at)).collect();
        for (negative, attributes) in lifted {
            self.put(Negative { key: floor, ..negative }, attributes, spec);
        }
    }

    /// Reserves memory for exactly the negatives that are to be restored.
    pub(crate) fn reserve(&mut self, negatives: usize) {
        self.negatives.reserve_exact(negatives);
    }

    /// Restores the next negative, the hardest first. False: it does not come after the last one in the order, or is a known positive or
    /// vetoed.
    pub(crate) fn restore(&mut self, new: Negative, spec: &AnchorPartitionSpec) -> bool {
        let lower = spec.hardness.lower_is_harder;
        let in_order = self.negatives.last().is_none_or(|last| last.hardest_first(&new, lower).is_lt());
        let fits = in_order && self.is_negative(new.id) && self.position(new.id).is_none();
        if fits {
            self.negatives.push(new);
        }
        fits
    }

    /// Restores the attributes of the restored negatives: one value each, or empty.
    pub(crate) fn restore_attributes(&mut self, groups: Vec<u64>, labels: Vec<u32>) {
        if !groups.is_empty() || !labels.is_empty() {
            let side = self.side.get_or_insert_default();
            (side.groups, side.labels) = (groups, labels);
        }
    }

    /// Restores known positives and vetoes, in order of id, and the scores of positives: one each, or empty. Call it before negatives are
    /// restored.
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

    /// Bytes that the anchor has allocated.
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

/// Inserts the value of the negative at `at`, of `total` negatives, into a column that stays empty while all values are the default.
fn put_beside<T: Copy + Default + PartialEq>(column: &mut Vec<T>, at: usize, value: T, total: usize) {
    if value != T::default() || !column.is_empty() {
        column.resize(total - 1, T::default());
        column.insert(at, value);
    }
}
