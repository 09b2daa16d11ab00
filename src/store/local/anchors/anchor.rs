//! One anchor: its hardest negatives in order, its positive score, and what is known to be no negative of it.

use crate::store::anchored::{AnchorStoreSpec, Negative, NotNegative, least_alike};

/// Negatives that a new anchor has room for.
const ROOM_FIRST: usize = 4;
/// What the allocator adds to a block, about.
const BLOCK_BYTES: usize = 16;

/// An anchor. 56 bytes, and 24 a negative.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) id: u64,
    pub(super) positive: Positive,
    /// The hardest first.
    negatives: Vec<Negative>,
    /// What most anchors have none of.
    side: Option<Box<Side>>,
}

/// The positive score of an anchor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positive {
    /// NaN: none.
    pub(super) score: f32,
    pub(super) stamp: u32,
    pub(super) model_version: u32,
}

#[derive(Debug, Default)]
struct Side {
    /// Sorted.
    positives: Vec<u64>,
    /// Sorted.
    vetoes: Vec<u64>,
    /// Of the negatives, one each, or empty.
    groups: Vec<u64>,
}

/// What became of a negative that was offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Offered {
    /// Taken, there was room.
    Taken,
    /// Taken instead of this one.
    Instead(u64),
    /// Easier than all that are kept.
    TooEasy,
}

impl Anchor {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            positive: Positive { score: f32::NAN, stamp: 0, model_version: 0 },
            negatives: Vec::new(),
            side: None,
        }
    }

    pub(super) fn negatives(&self) -> &[Negative] {
        &self.negatives
    }

    /// One a negative, or empty.
    pub(super) fn groups(&self) -> &[u64] {
        self.side.as_ref().map_or(&[], |side| &side.groups)
    }

    /// In order of id.
    pub(super) fn not_negative(&self, why: NotNegative) -> &[u64] {
        self.side.as_ref().map_or(&[], |side| match why {
            NotNegative::Positive => &side.positives,
            NotNegative::Vetoed => &side.vetoes,
        })
    }

    pub(super) fn is_negative(&self, id: u64) -> bool {
        self.side.as_ref().is_none_or(|side| {
            side.positives.binary_search(&id).is_err() && side.vetoes.binary_search(&id).is_err()
        })
    }

    pub(super) fn position(&self, id: u64) -> Option<usize> {
        self.negatives.iter().position(|n| n.id == id)
    }

    /// Takes in a positive score: the least alike of one model version, else the latest.
    pub(super) fn meet(&mut self, score: f32, stamp: u32, model_version: u32, spec: &AnchorStoreSpec) {
        let same_model = model_version != 0 && model_version == self.positive.model_version;
        let score = match same_model {
            true => least_alike(spec.hardness.lower_is_harder, self.positive.score, score),
            false => score,
        };
        self.positive = Positive { score, stamp, model_version };
    }

    /// Takes in the score of a known positive, whatever model it is of.
    pub(super) fn meet_positive(&mut self, score: f32, stamp: u32, spec: &AnchorStoreSpec) {
        self.positive.score = least_alike(spec.hardness.lower_is_harder, self.positive.score, score);
        self.positive.stamp = stamp;
    }

    /// Replaces the negative at `at` by a new report of it; without a group it keeps its own.
    pub(super) fn replace(&mut self, at: usize, with: Negative, group: Option<u64>, spec: &AnchorStoreSpec) {
        let old = self.take(at);
        self.put(with, group.unwrap_or(old.1), spec);
    }

    /// Takes in a new negative, if it is hard enough (DECISIONS 22): what fails the pool's margins goes before what is easy.
    pub(super) fn offer(&mut self, new: Negative, group: u64, spec: &AnchorStoreSpec) -> Offered {
        let room = spec.negatives_per_anchor - self.negatives.len().min(spec.negatives_per_anchor);
        if room > 0 {
            if self.negatives.len() == self.negatives.capacity() {
                // Doubles, but never beyond what may be kept.
                self.negatives.reserve_exact(self.negatives.len().max(ROOM_FIRST).min(room));
            }
            self.put(new, group, spec);
            return Offered::Taken;
        }
        let fails =
            |n: &Negative| !spec.margins.admit(spec.hardness.lower_is_harder, self.positive.score, n.score);
        let last = self.negatives.len() - 1;
        let judged = spec.margins.is_some() && !self.positive.score.is_nan();
        let failing = self.negatives.iter().rposition(fails).filter(|_| judged);
        let new_fails = judged && fails(&new);
        let is_harder = |at: usize| is_before(&new, &self.negatives[at], spec);
        let victim = match failing {
            Some(at) if !new_fails || is_harder(at) => at,
            None if !new_fails && is_harder(last) => last,
            _ => return Offered::TooEasy,
        };
        let (evicted, _) = self.take(victim);
        self.put(new, group, spec);
        Offered::Instead(evicted.id)
    }

    /// Takes out the negative at `at`, with its group.
    pub(super) fn take(&mut self, at: usize) -> (Negative, u64) {
        let group = match &mut self.side {
            Some(side) if !side.groups.is_empty() => side.groups.remove(at),
            _ => 0,
        };
        (self.negatives.remove(at), group)
    }

    fn put(&mut self, new: Negative, group: u64, spec: &AnchorStoreSpec) {
        let at = self.negatives.partition_point(|n| is_before(n, &new, spec));
        self.negatives.insert(at, new);
        if group != 0 || !self.groups().is_empty() {
            let groups = &mut self.side.get_or_insert_default().groups;
            groups.resize(self.negatives.len() - 1, 0);
            groups.insert(at, group);
        }
    }

    /// Remembers that `id` is no negative: whether that is new, and whether it was stored as one.
    pub(super) fn mark(&mut self, id: u64, why: NotNegative) -> (bool, bool) {
        let side = self.side.get_or_insert_default();
        let list = match why {
            NotNegative::Positive => &mut side.positives,
            NotNegative::Vetoed => &mut side.vetoes,
        };
        let added = match list.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                list.insert(at, id);
                true
            }
        };
        (added, self.remove(id))
    }

    /// Takes a negative out; whether it was there.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        self.position(id).map(|at| self.take(at)).is_some()
    }

    /// Lifts negatives so far behind the clock that the serial order of keys would soon wrap. All below `floor` tie at it.
    pub(super) fn lift(&mut self, floor: crate::store::key::Key, spec: &AnchorStoreSpec) {
        let first = self.negatives.partition_point(|n| n.key.since(floor) >= 0);
        // Those before are in order already, and the rest may stand among them now.
        let lifted: Vec<_> = (first..self.negatives.len()).rev().map(|at| self.take(at)).collect();
        for (negative, group) in lifted {
            self.put(Negative { key: floor, ..negative }, group, spec);
        }
    }

    /// Bytes beside the anchor itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let block = |bytes: usize| if bytes == 0 { 0 } else { bytes + BLOCK_BYTES };
        let side = self.side.as_ref().map_or(0, |side| {
            block(size_of::<Side>())
                + [&side.positives, &side.vetoes, &side.groups]
                    .map(|l| block(l.capacity() * 8))
                    .iter()
                    .sum::<usize>()
        });
        block(self.negatives.capacity() * size_of::<Negative>()) + side
    }
}

fn is_before(a: &Negative, b: &Negative, spec: &AnchorStoreSpec) -> bool {
    a.hardest_first(b, spec.hardness.lower_is_harder).is_lt()
}
