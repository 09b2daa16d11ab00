//! The priority index: buckets of 1/8 octave, found by key in O(1) (METHODS 3, DECISIONS 11 and 12).
//!
//! A ring covers the 256 octaves below the highest key, where every fresh report falls. As keys move on with time,
//! buckets that fall off its low end are kept, whole, in an ordered map. A hot bucket becomes a split node, whose children
//! divide its key range by the next three bits; members not yet divided stay in its rest, which is just a bucket with
//! the wide range, so that dividing can go on a little at a time.

mod hot;
mod resting;

use std::collections::BTreeMap;

use super::arena::{Arena, List};
use super::slots::Slots;
use crate::store::key::{BUCKET_SHIFT, Key};

/// Buckets in the ring: 256 octaves. A fresh key is within 128 octaves of every other fresh one.
const RING: i64 = 2048;
/// A bucket over this splits, where it matters (DECISIONS 11).
pub(super) const SPLIT_OVER: u32 = 4096;
/// A split node of this many becomes one bucket again.
const MERGE_AT: u32 = 512;

/// A bucket, a split node, or nothing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node(u32);

const NONE: Node = Node(u32::MAX);
const SPLIT_FLAG: u32 = 1 << 31;

enum Kind {
    None,
    Leaf(u32),
    Split(u32),
}

impl Node {
    fn split(split: u32) -> Self {
        Self(split | SPLIT_FLAG)
    }

    #[inline]
    fn kind(self) -> Kind {
        if self.0 & SPLIT_FLAG == 0 {
            Kind::Leaf(self.0)
        } else if self == NONE {
            Kind::None
        } else {
            Kind::Split(self.0 & !SPLIT_FLAG)
        }
    }
}

/// A bucket: slots whose keys share all but the lowest `bits` bits.
#[derive(Debug)]
pub(super) struct Leaf {
    list: List,
    /// Members at the end of the list that rest.
    resting: u32,
    pub(super) low: Key,
    bits: u32,
}

impl Leaf {
    pub(super) fn high(&self) -> Key {
        self.low.plus((1 << self.bits) - 1)
    }

    pub(super) fn len(&self) -> u32 {
        self.list.len()
    }

    /// Members that do not rest, the first of the list.
    pub(super) fn active(&self) -> u32 {
        self.list.len() - self.resting
    }
}

#[derive(Debug)]
struct Split {
    children: [Node; 8],
    /// Members not yet divided, or `NONE`.
    rest: Node,
    low: Key,
    /// Of the children.
    bits: u32,
    /// Members, of all children and the rest.
    total: u32,
}

impl Split {
    #[inline]
    fn child_of(&self, key: Key) -> usize {
        // A node of one bit has two children: the others stay empty.
        ((key.since(self.low) >> self.bits) & 7) as usize
    }
}

/// Where a node hangs.
#[derive(Clone, Copy, Debug)]
enum Place {
    Root(i64),
    Child(u32, usize),
    Rest(u32),
}

/// The buckets of one shard.
#[derive(Debug)]
pub(super) struct Buckets {
    arena: Arena,
    leaves: Vec<Leaf>,
    free_leaves: Vec<u32>,
    splits: Vec<Split>,
    free_splits: Vec<u32>,
    ring: Box<[Node]>,
    occupied: [u64; (RING / 64) as usize],
    /// Number of the highest bucket of the ring, and the lowest key in it.
    top: i64,
    top_key: Key,
    /// Buckets below the ring.
    ancient: BTreeMap<i64, Node>,
    /// The bucket to evict from, and a key that none is below.
    lowest: Option<(u32, Key)>,
    /// Split nodes with a rest.
    dividing: Vec<u32>,
    len: usize,
}

impl Buckets {
    /// For about `members` samples.
    pub(super) fn new(members: usize) -> Self {
        Self {
            arena: Arena::new(members),
            leaves: Vec::new(),
            free_leaves: Vec::new(),
            splits: Vec::new(),
            free_splits: Vec::new(),
            ring: vec![NONE; RING as usize].into_boxed_slice(),
            occupied: [0; (RING / 64) as usize],
            top: 0,
            top_key: Key(0),
            ancient: BTreeMap::new(),
            lowest: None,
            dividing: Vec::new(),
            len: 0,
        }
    }

    /// The bucket to evict from next, and a key that no member is below.
    #[inline]
    pub(super) fn lowest(&self) -> Option<(u32, Key)> {
        self.lowest
    }

    /// The slot at a position of a bucket, if there is one.
    #[inline]
    pub(super) fn member(&self, leaf: u32, position: u32) -> Option<u32> {
        let list = &self.leaves.get(leaf as usize)?.list;
        (position < list.len()).then(|| list.get(&self.arena, position))
    }

    /// Starts loading what `member` will read.
    #[inline]
    pub(super) fn prefetch_member(&self, leaf: u32, position: u32) {
        if let Some(leaf) = self.leaves.get(leaf as usize) {
            leaf.list.prefetch(&self.arena, position);
        }
    }

    /// Slots of a bucket.
    #[cfg(test)]
    pub(super) fn members(&self, leaf: u32) -> impl Iterator<Item = u32> + '_ {
        self.leaves[leaf as usize].list.iter(&self.arena)
    }

    /// Slots of a bucket that do not rest.
    pub(super) fn active_members(&self, leaf: u32) -> impl Iterator<Item = u32> + '_ {
        let leaf = &self.leaves[leaf as usize];
        leaf.list.iter(&self.arena).take(leaf.active() as usize)
    }

    #[inline]
    fn number(&self, key: Key) -> i64 {
        self.top + (key.since(self.top_key) >> BUCKET_SHIFT)
    }

    #[inline]
    fn root(&self, number: i64) -> Node {
        if number > self.top {
            NONE
        } else if number > self.top - RING {
            self.ring[(number & (RING - 1)) as usize]
        } else {
            self.ancient.get(&number).copied().unwrap_or(NONE)
        }
    }

    fn set(&mut self, place: Place, node: Node) {
        match place {
            Place::Root(number) if number > self.top - RING => {
                let at = (number & (RING - 1)) as usize;
                self.ring[at] = node;
                let bit = 1 << (at % 64);
                if node == NONE {
                    self.occupied[at / 64] &= !bit;
                } else {
                    self.occupied[at / 64] |= bit;
                }
            }
            Place::Root(number) if node == NONE => {
                self.ancient.remove(&number);
            }
            Place::Root(number) => {
                self.ancient.insert(number, node);
            }
            Place::Child(split, child) => self.splits[split as usize].children[child] = node,
            Place::Rest(split) => {
                self.splits[split as usize].rest = node;
                if node == NONE {
                    self.dividing.retain(|s| *s != split);
                }
            }
        }
    }

    fn new_leaf(&mut self, key: Key, bits: u32) -> u32 {
        let leaf = Leaf { list: List::default(), resting: 0, low: Key(key.0 >> bits << bits), bits };
        if let Some(at) = self.free_leaves.pop() {
            self.leaves[at as usize] = leaf;
            return at;
        }
        self.leaves.push(leaf);
        self.leaves.len() as u32 - 1
    }

    /// Starts loading what `push` and `unlink` of a slot will touch.
    #[inline]
    pub(super) fn prefetch_move(&self, slots: &Slots, key: Key, position: u32) {
        if let Kind::Leaf(leaf) = self.root(self.number(key)).kind() {
            let list = &self.leaves[leaf as usize].list;
            list.prefetch(&self.arena, position);
            // The last member takes its place.
            if list.len() > 0 {
                slots.prefetch(list.get(&self.arena, list.len() - 1));
            }
        }
    }

    /// Whether a key belongs to the bucket that another key is in; cheap, and right unless the bucket is split.
    #[inline]
    pub(super) fn same_bucket(&self, a: Key, b: Key) -> bool {
        a == b
            || (a.0 >> BUCKET_SHIFT == b.0 >> BUCKET_SHIFT
                && matches!(self.root(self.number(a)).kind(), Kind::Leaf(_)))
    }

    /// The slot that would be evicted `back` evictions from now, roughly.
    #[inline]
    pub(super) fn victim(&self, back: u32) -> Option<u32> {
        let (leaf, _) = self.lowest?;
        let list = &self.leaves[leaf as usize].list;
        (back < list.len()).then(|| list.get(&self.arena, list.len() - 1 - back))
    }

    /// Puts a slot into the bucket of its key.
    pub(super) fn push(&mut self, slots: &mut Slots, slot: u32) {
        let key = slots.get(slot).key;
        if self.len == 0 && self.ancient.is_empty() {
            self.top_key = Key(key.0 >> BUCKET_SHIFT << BUCKET_SHIFT);
        }
        let number = self.number(key);
        if number > self.top {
            self.advance(number);
        }
        let (mut place, mut node, mut bits) = (Place::Root(number), self.root(number), BUCKET_SHIFT);
        let leaf = loop {
            match node.kind() {
                Kind::Leaf(leaf) => break leaf,
                Kind::None => {
                    let leaf = self.new_leaf(key, bits);
                    self.set(place, Node(leaf));
                    break leaf;
                }
                Kind::Split(split) => {
                    let s = &mut self.splits[split as usize];
                    s.total += 1;
                    bits = s.bits;
                    let child = s.child_of(key);
                    place = Place::Child(split, child);
                    node = s.children[child];
                }
            }
        };
        self.append(slots, leaf, slot);
        self.len += 1;
    }

    #[inline]
    fn append(&mut self, slots: &mut Slots, leaf: u32, slot: u32) {
        let l = &mut self.leaves[leaf as usize];
        slots.get_mut(slot).position = l.list.push(&mut self.arena, slot);
        if l.resting > 0 {
            // The resting ones stay at the end.
            let first_resting = l.active() - 1;
            l.swap(&mut self.arena, slots, first_resting, l.list.len() - 1);
        }
        let l = &self.leaves[leaf as usize];
        if self.lowest.is_none_or(|(_, low)| l.low.since(low) < 0) {
            self.lowest = Some((leaf, l.low));
        }
    }

    /// Takes a slot out of its bucket.
    pub(super) fn unlink(&mut self, slots: &mut Slots, slot: u32) {
        let s = slots.get(slot);
        let (key, position) = (s.key, s.position);
        let number = self.number(key);
        let mut path: [(Place, u32); 3] = [(Place::Root(number), 0); 3];
        let mut depth = 0;
        let (mut place, mut node) = (Place::Root(number), self.root(number));
        let leaf = loop {
            match node.kind() {
                Kind::Leaf(leaf) => break leaf,
                Kind::Split(split) => {
                    path[depth] = (place, split);
                    depth += 1;
                    let s = &mut self.splits[split as usize];
                    s.total -= 1;
                    if let Kind::Leaf(rest) = s.rest.kind() {
                        let list = &self.leaves[rest as usize].list;
                        // A slot stands in one list only, so finding it here tells.
                        if position < list.len() && list.get(&self.arena, position) == slot {
                            place = Place::Rest(split);
                            break rest;
                        }
                    }
                    let child = s.child_of(key);
                    place = Place::Child(split, child);
                    node = s.children[child];
                }
                // Every linked slot is in the bucket of its key (`check`); nothing to do for one that is not.
                Kind::None => return,
            }
        };
        self.swap_remove(slots, leaf, position);
        self.len -= 1;
        let emptied = self.leaves[leaf as usize].list.len() == 0;
        if emptied {
            self.set(place, NONE);
            self.free_leaves.push(leaf);
        }
        for (place, split) in path[..depth].iter().rev() {
            if self.splits[*split as usize].total == 0 {
                self.set(*place, NONE);
                self.free_splits.push(*split);
            }
        }
        if emptied && self.lowest.is_some_and(|(lowest, _)| lowest == leaf) {
            self.lowest = self.find_lowest();
        }
        if depth > 0 {
            let (place, split) = path[0];
            if self.splits[split as usize].total == MERGE_AT {
                self.merge(slots, place, split);
            }
        }
    }

    #[inline]
    fn swap_remove(&mut self, slots: &mut Slots, leaf: u32, position: u32) {
        let l = &mut self.leaves[leaf as usize];
        let mut position = position;
        if l.resting > 0 {
            if position < l.active() {
                // Between the active ones and the resting ones, before the last resting one takes its place.
                let last_active = l.active() - 1;
                l.swap(&mut self.arena, slots, position, last_active);
                position = last_active;
            } else {
                l.resting -= 1;
            }
        }
        let last = l.list.pop(&mut self.arena);
        if position != l.list.len() {
            l.list.set(&mut self.arena, position, last);
            slots.get_mut(last).position = position;
        }
    }

    /// Moves the ring up; buckets that fall off its low end go to the map whole.
    fn advance(&mut self, to: i64) {
        while let Some(number) = self.lowest_in_ring().filter(|n| *n <= to - RING) {
            let node = self.root(number);
            self.set(Place::Root(number), NONE);
            self.ancient.insert(number, node);
        }
        self.top_key = self.top_key.plus((to - self.top) << BUCKET_SHIFT);
        self.top = to;
    }

    fn lowest_in_ring(&self) -> Option<i64> {
        let mut number = self.top - RING + 1;
        while number <= self.top {
            let at = (number & (RING - 1)) as usize;
            let word = self.occupied[at / 64] >> (at % 64);
            if word != 0 {
                return Some(number + i64::from(word.trailing_zeros()));
            }
            number += 64 - (at % 64) as i64;
        }
        None
    }

    fn find_lowest(&self) -> Option<(u32, Key)> {
        let first = self.ancient.values().next().copied();
        let mut node = match first {
            Some(node) => node,
            None => self.root(self.lowest_in_ring()?),
        };
        let mut low = None;
        loop {
            match node.kind() {
                Kind::Leaf(leaf) => {
                    return Some((leaf, low.unwrap_or(self.leaves[leaf as usize].low)));
                }
                Kind::Split(split) => {
                    let s = &self.splits[split as usize];
                    if s.rest != NONE {
                        // Its members may be anywhere in the node's range.
                        low = low.or(Some(s.low));
                    }
                    node = s.children.iter().copied().find(|c| *c != NONE).unwrap_or(s.rest);
                }
                Kind::None => return None,
            }
        }
    }

    /// Visits buckets, the highest keys first, until `visit` returns false. The rest of a split node comes before its children.
    pub(super) fn descend(&self, mut visit: impl FnMut(u32, &Leaf) -> bool) {
        let mut number = self.top;
        while number > self.top - RING {
            let at = (number & (RING - 1)) as usize;
            let word = self.occupied[at / 64] << (63 - at % 64);
            if word == 0 {
                number -= (at % 64) as i64 + 1;
                continue;
            }
            number -= i64::from(word.leading_zeros());
            if number <= self.top - RING {
                break;
            }
            if !self.descend_node(self.root(number), &mut visit) {
                return;
            }
            number -= 1;
        }
        for node in self.ancient.values().rev() {
            if !self.descend_node(*node, &mut visit) {
                return;
            }
        }
    }

    fn descend_node(&self, node: Node, visit: &mut impl FnMut(u32, &Leaf) -> bool) -> bool {
        match node.kind() {
            Kind::None => true,
            Kind::Leaf(leaf) => visit(leaf, &self.leaves[leaf as usize]),
            Kind::Split(split) => {
                let s = &self.splits[split as usize];
                self.descend_node(s.rest, visit)
                    && s.children.iter().rev().all(|child| self.descend_node(*child, visit))
            }
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.arena.memory_bytes()
            + self.leaves.iter().map(|l| l.list.memory_bytes() + 8).sum::<usize>()
            + self.splits.capacity() * size_of::<Split>()
            + self.ring.len() * 4
            + self.ancient.len() * 24
    }

    /// Every invariant: each slot stands once, where its key and position say; counts, bitmap and `lowest` agree.
    #[cfg(test)]
    pub(super) fn check(&self, slots: &Slots) {
        let mut seen = std::collections::HashSet::new();
        let mut lows = Vec::new();
        self.descend(|leaf, l| {
            assert!(l.len() > 0, "an empty bucket hangs in the tree");
            assert!(l.resting <= l.len());
            lows.push(l.low);
            for (position, slot) in self.members(leaf).enumerate() {
                let s = slots.get(slot);
                assert_eq!(s.position as usize, position);
                assert!(s.key.since(l.low) >= 0 && s.key.since(l.high()) <= 0);
                assert!(seen.insert(slot));
            }
            true
        });
        assert_eq!(seen.len(), self.len);
        assert_eq!(seen.len(), slots.len());
        for (at, node) in self.ring.iter().enumerate() {
            assert_eq!(*node != NONE, self.occupied[at / 64] >> (at % 64) & 1 == 1);
        }
        assert_eq!(self.lowest.is_some(), self.len > 0);
        if let Some((leaf, floor)) = self.lowest {
            assert!(self.leaves[leaf as usize].len() > 0);
            assert!(lows.iter().all(|low| low.since(floor) >= 0));
        }
        for (i, split) in self.splits.iter().enumerate() {
            if self.free_splits.contains(&(i as u32)) {
                continue;
            }
            assert_eq!(split.rest != NONE, self.dividing.contains(&(i as u32)));
        }
    }
}
