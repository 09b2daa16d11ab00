//! The tree against sorted lists.

use proptest::prelude::*;

use super::*;
use crate::hard::slots::{Slot, Slots, VACANT};
use crate::hash::placement_hash;

impl Buckets {
    /// Every invariant: each slot stands once, where its key and position say; counts agree.
    pub(crate) fn check(&self, slots: &Slots) {
        let mut seen = std::collections::BTreeSet::new();
        let mut above: Option<Place> = None;
        self.descend_between(
            Key(self.top_key.0.wrapping_sub(1 << 30)),
            self.top_key.plus(1 << 16),
            |leaf, low, high| {
                let l = self.leaves.get(leaf);
                assert!(l.len() > 0 && l.len() <= LEAF_MAX && l.resting <= l.len());
                let mut offsets = Offsets::default();
                self.active_members(leaf)
                    .for_each(|slot| offsets.add(slots.get(slot).key.since(l.low) as u64));
                assert_eq!(l.offsets, offsets);
                assert!(above.is_none_or(|above| high.compare(&above).is_le()), "leaves are in order");
                above = Some(low);
                for (position, slot) in self.members(leaf).enumerate() {
                    let s = slots.get(slot);
                    assert_eq!(s.position as usize, position);
                    let place = slots.place(slot, self.lower_is_harder);
                    assert!(place.compare(&low).is_ge() && place.compare(&high).is_le());
                    assert_eq!(self.leaf_at(s.key, s.score, s.id), Some(leaf), "it is found where it stands");
                    assert!(seen.insert(slot));
                }
            },
        );
        assert_eq!(seen.len(), self.len);
        assert_eq!(seen.len(), slots.len());
        self.roots_down(|root, node| {
            assert_eq!(self.root_of(root.low()), root);
            self.check_node(node);
            true
        });
        let census = self.census();
        assert!(census.len() <= CENSUS_MAX);
        assert_eq!(census.iter().map(|b| (b.count + b.resting) as usize).sum::<usize>(), self.len);
        for bucket in &census {
            let mut offsets = Offsets::default();
            let members = (0..bucket.count).filter_map(|at| self.member(bucket.handle, at));
            members.for_each(|slot| offsets.add(slots.get(slot).key.since(bucket.low) as u64));
            assert_eq!(bucket.offsets, offsets);
        }
    }

    fn check_node(&self, node: Node) -> (u32, u32) {
        let (total, resting) = match node.kind() {
            Kind::None => (0, 0),
            Kind::Leaf(leaf) => (self.leaves.get(leaf).len(), self.leaves.get(leaf).resting),
            Kind::Table(table) => {
                let table = self.tables.get(table);
                let mut sum = (0, 0);
                for (child, active) in table.children.iter().zip(&table.active) {
                    let (total, resting) = self.check_node(*child);
                    assert_eq!(total - resting, *active);
                    sum = (sum.0 + total, sum.1 + resting);
                }
                assert!(sum.0 > 0);
                sum
            }
            Kind::Cuts(cuts) => {
                let cuts = self.cuts.get(cuts);
                let mut sum = (0, 0);
                for part in &cuts.parts {
                    let leaf = self.leaves.get(part.leaf);
                    assert_eq!(leaf.active(), part.active);
                    sum = (sum.0 + leaf.len(), sum.1 + leaf.resting);
                }
                assert_eq!(cuts.parts[0].from, Rank::MIN);
                sum
            }
        };
        assert_eq!(self.sizes(node), (total, resting));
        (total, resting)
    }
}

struct Tree {
    slots: Slots,
    buckets: Buckets,
}

impl Tree {
    fn new() -> Self {
        Self { slots: Slots::new(1 << 20), buckets: Buckets::new(1 << 20, false) }
    }

    fn push(&mut self, id: u64, key: Key, score: f32) -> u32 {
        if let Some(to) = self.slots.wants() {
            self.slots.grow(to);
        }
        let slot = self.slots.take();
        let sample = Slot { id, key, position: 0, score, stamp: 0 };
        self.buckets.enter(&mut self.slots, slot, placement_hash(id), sample);
        slot
    }

    fn take(&mut self, slot: u32) {
        let hash = placement_hash(self.slots.get(slot).id);
        self.buckets.unlink(&mut self.slots, slot, hash);
        self.slots.release(slot);
    }

    fn check(&self) {
        self.buckets.check(&self.slots);
    }

    /// The tree built again from its shape, slots in the order of the shape.
    fn rebuilt(&self) -> Self {
        let mut other = Self::new();
        let mut all = Vec::new();
        self.buckets.in_shape_order(|slot| all.push(*self.slots.get(slot)));
        other.slots.grow(all.len());
        for s in all {
            let slot = other.slots.take();
            *other.slots.get_mut(slot) = s;
        }
        other
            .buckets
            .build(&mut other.slots, self.buckets.top_key(), &self.buckets.shapes())
            .expect("its own shape fits");
        other
    }
}

/// Keys that crowd: few distinct ones, in clusters that are far apart, or all in one place.
fn key() -> impl Strategy<Value = u32> {
    prop_oneof![Just(5_u32), 0_u32..4, 0_u32..200, 0_u32..1 << 14, 0_u32..1 << 22, 0_u32..1 << 28]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_tree_of_many_shapes_keeps_its_order(
        runs in proptest::collection::vec((key(), 1_u32..9000, any::<bool>(), any::<u64>()), 1..8),
    ) {
        let mut tree = Tree::new();
        let mut live: Vec<u32> = Vec::new();
        let mut next_id = 0;
        for (spread, count, comes, seed) in runs {
            let mut x = seed;
            for _ in 0..count {
                x = crate::hash::background_hash(x, 7);
                if comes || live.is_empty() {
                    next_id += 1;
                    let key = Key(1_000_000 + (x % u64::from(spread + 1)) as u32);
                    live.push(tree.push(next_id, key, (x % 3) as f32));
                } else {
                    let slot = live.swap_remove(x as usize % live.len());
                    tree.take(slot);
                }
                if x.is_multiple_of(7) && !live.is_empty() {
                    let slot = live[x as usize % live.len()];
                    if x.is_multiple_of(2) {
                        tree.buckets.rest(&mut tree.slots, slot);
                    } else {
                        tree.buckets.wake(&mut tree.slots, slot);
                    }
                }
            }
            tree.check();
        }
        let other = tree.rebuilt();
        other.check();
        prop_assert_eq!(tree.buckets.shapes(), other.buckets.shapes());
        // The census draws the same members from both.
        for (a, b) in tree.buckets.census().iter().zip(other.buckets.census()) {
            prop_assert_eq!((a.low, a.high, a.count, a.resting), (b.low, b.high, b.count, b.resting));
            for ordinal in (0..a.count + a.resting).step_by(97) {
                let id = |t: &Tree, handle| t.slots.get(t.buckets.member(handle, ordinal).unwrap()).id;
                prop_assert_eq!(id(&tree, a.handle), id(&other, b.handle));
                prop_assert_eq!(tree.buckets.rests_at(a.handle, ordinal), ordinal >= a.count);
            }
            prop_assert_eq!(tree.buckets.member(a.handle, a.count + a.resting), None);
        }
    }
}

#[test]
fn ties_without_end_are_cut_at_medians() {
    let mut tree = Tree::new();
    for id in 0..100_000 {
        tree.push(id, Key(77), 0.5);
    }
    tree.check();
    let mut leaves = 0;
    tree.buckets.descend(|leaf, _| {
        leaves += 1;
        assert!(tree.buckets.leaf_len(leaf) <= LEAF_MAX);
        true
    });
    assert!((13..=50).contains(&leaves), "{leaves}");
    assert_eq!(tree.buckets.census().len(), 1, "ties are one bucket of the census");
    for slot in 0..99_990 {
        tree.take(slot);
    }
    tree.check();
    assert_eq!(tree.buckets.cuts.items.len() - tree.buckets.cuts.free.len(), 0);
}

#[test]
fn roots_are_joined_as_keys_move_on() {
    let mut tree = Tree::new();
    let octave = 1 << 16;
    // 3,000 octaves of samples, 20 in each: the census stays small, and the oldest are in roots of 32 octaves.
    for id in 0..60_000_u64 {
        let key = Key((u64::from(u32::MAX) - (1 << 20) + id * octave / 20) as u32);
        tree.push(id, key, 1.0);
        if id % 5_000 == 0 {
            tree.check();
        }
    }
    tree.check();
    let census = tree.buckets.census();
    let widths: Vec<i64> = census.iter().map(|b| b.high.since(b.low) + 1).collect();
    assert_eq!(widths[0], octave as i64 / 8);
    assert_eq!(*widths.last().unwrap(), 32 * octave as i64);
    assert!(census.len() < 1000, "{}", census.len());
    // A jump over everything.
    tree.push(1 << 40, Key(0).plus(9_000 * octave as i64), 1.0);
    tree.check();
    assert!(tree.slots.get(0).position != VACANT);
}
