//! The roots of the tree: which part of the key range each covers, and how they are joined as keys move on.

use std::collections::BTreeMap;

use super::{Buckets, JOIN_BELOW, Kind, LEAF_MAX, Node, TABLE_OVER, Table, lowest_in};
use crate::hard::slots::Slots;
use crate::key::Key;

/// The key bits of a range of 1/8 octave, of 1 octave, and of 32 octaves.
pub(super) const FINE_BITS: u32 = 13;
pub(super) const MIDDLE_BITS: u32 = 16;
pub(super) const COARSE_BITS: u32 = 21;
/// The number of roots of one zone that make a root of the next.
const FINE_IN_MIDDLE: i64 = 1 << (MIDDLE_BITS - FINE_BITS);
const MIDDLE_IN_COARSE: i64 = 1 << (COARSE_BITS - MIDDLE_BITS);
/// Roots of 32 octaves in half the range of keys.
const COARSE_ROOTS_MAX: i64 = 1 << (31 - COARSE_BITS);
/// The number of octaves with roots of 1/8 octave, which are the highest, and at least so many octaves with one root each below them.
const FINE_OCTAVES: i64 = 64;
const MIDDLE_OCTAVES: i64 = 256;

/// A root: its zone, and its number there. Octave number n holds the fine roots 8 n to 8 n + 7, and is in the coarse root n / 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Fine(i64),
    Middle(i64),
    Coarse(i64),
}

impl Root {
    /// The number of low key bits in which members of the root may differ.
    #[inline]
    pub(super) fn bits(self) -> u32 {
        match self {
            Self::Fine(_) => FINE_BITS,
            Self::Middle(_) => MIDDLE_BITS,
            Self::Coarse(_) => COARSE_BITS,
        }
    }

    /// The lowest key of the root. The number of the root has the high bits of its keys, modulo the wrap of keys.
    pub(super) fn low(self) -> Key {
        let (Self::Fine(number) | Self::Middle(number) | Self::Coarse(number)) = self;
        Key((number << self.bits()) as u32)
    }
}

/// The first octave with fine roots when the highest is `top`.
pub(super) fn fine_from(top: i64) -> i64 {
    top - FINE_OCTAVES + 1
}

/// The first octave with a root of its own.
pub(super) fn middle_from(top: i64) -> i64 {
    (fine_from(top) - MIDDLE_OCTAVES).div_euclid(MIDDLE_IN_COARSE) * MIDDLE_IN_COARSE
}

impl Buckets {
    /// The number of the octave that a key is in.
    #[inline]
    fn octave(&self, key: Key) -> i64 {
        self.top + (key.since(self.top_key) >> MIDDLE_BITS)
    }

    /// The root that a key up to the highest octave belongs to.
    #[inline]
    pub(super) fn root_of(&self, key: Key) -> Root {
        let octave = self.octave(key);
        if octave >= self.fine_from {
            Root::Fine(self.top * FINE_IN_MIDDLE + (key.since(self.top_key) >> FINE_BITS))
        } else if octave >= self.middle_from {
            Root::Middle(octave)
        } else {
            Root::Coarse(octave.div_euclid(MIDDLE_IN_COARSE))
        }
    }

    /// The node at the root of a key up to the highest octave. A shift finds it, because rings are indexed by the low bits of a number,
    /// which are the high bits of its keys (`Root::low`).
    #[inline]
    pub(super) fn node_of(&self, key: Key) -> Node {
        if key.since(self.fine_low) >= 0 {
            self.fine.get(i64::from(key.0 >> FINE_BITS))
        } else if key.since(self.middle_low) >= 0 {
            self.middle.get(i64::from(key.0 >> MIDDLE_BITS))
        } else {
            self.coarse.get(i64::from(key.0 >> COARSE_BITS))
        }
    }

    /// Whether two keys up to the highest octave belong to the same root.
    #[inline]
    pub(super) fn is_same_root(&self, a: Key, b: Key) -> bool {
        let differ = a.0 ^ b.0;
        let are_below = |low: Key| a.since(low) < 0 && b.since(low) < 0;
        // Every root is one fine root or several whole ones.
        differ >> FINE_BITS == 0
            || are_below(self.fine_low)
                && (differ >> MIDDLE_BITS == 0 || are_below(self.middle_low) && differ >> COARSE_BITS == 0)
    }

    #[inline]
    pub(super) fn root(&self, root: Root) -> Node {
        match root {
            Root::Fine(number) => self.fine.get(number),
            Root::Middle(number) => self.middle.get(number),
            Root::Coarse(number) => self.coarse.get(number),
        }
    }

    pub(super) fn set_root(&mut self, root: Root, node: Node) {
        match root {
            Root::Fine(number) => self.fine.set(number, node),
            Root::Middle(number) => self.middle.set(number, node),
            Root::Coarse(number) => self.coarse.set(number, node),
        }
    }

    /// The number of occupied roots.
    pub(super) fn roots(&self) -> usize {
        self.fine.len() + self.middle.len() + self.coarse.len()
    }

    fn fine_range(&self) -> (i64, i64) {
        (self.fine_from * FINE_IN_MIDDLE, self.top * FINE_IN_MIDDLE + FINE_IN_MIDDLE - 1)
    }

    fn middle_range(&self) -> (i64, i64) {
        (self.middle_from, self.fine_from - 1)
    }

    /// The numbers of the coarse roots: serial order reaches no further down.
    fn coarse_range(&self) -> (i64, i64) {
        let end = self.middle_from / MIDDLE_IN_COARSE;
        (end - COARSE_ROOTS_MAX, end - 1)
    }

    /// The lowest occupied root.
    pub(super) fn lowest_root(&self) -> Option<Node> {
        let coarse = self.coarse.lowest(self.coarse_range());
        coarse
            .or_else(|| self.middle.lowest(self.middle_range()))
            .or_else(|| self.fine.lowest(self.fine_range()))
    }

    /// Visits the roots, the highest keys first, until `visit` returns false. Returns whether it visited all.
    pub(super) fn roots_down(&self, mut visit: impl FnMut(Root, Node) -> bool) -> bool {
        self.fine.down(self.fine_range(), |number, node| visit(Root::Fine(number), node))
            && self.middle.down(self.middle_range(), |number, node| visit(Root::Middle(number), node))
            && self.coarse.down(self.coarse_range(), |number, node| visit(Root::Coarse(number), node))
    }

    /// Raises the highest octave to that of a key, if the key is above it.
    #[inline(always)]
    pub(super) fn reach(&mut self, slots: &mut Slots, key: Key) {
        if self.len == 0 {
            self.begin_at(key);
        } else if key.since(self.top_key) >= 1 << MIDDLE_BITS {
            self.advance(slots, self.octave(key));
        }
    }

    /// Sets the highest octave of an empty tree to that of its first key.
    #[cold]
    pub(super) fn begin_at(&mut self, key: Key) {
        self.set_top(i64::from(key.0 >> MIDDLE_BITS), lowest_in(key, MIDDLE_BITS));
    }

    fn set_top(&mut self, top: i64, top_key: Key) {
        (self.top, self.top_key) = (top, top_key);
        (self.fine_from, self.middle_from) = (fine_from(top), middle_from(top));
        self.fine_low = top_key.plus((self.fine_from - top) << MIDDLE_BITS);
        self.middle_low = top_key.plus((self.middle_from - top) << MIDDLE_BITS);
    }

    /// Raises the highest octave. Roots that leave a zone are joined into a root of the next zone: into a leaf if that moves few members,
    /// else into a table of the old roots.
    #[cold]
    fn advance(&mut self, slots: &mut Slots, to: i64) {
        let mut moves = LEAF_MAX;
        let mut to_coarse: BTreeMap<i64, [Node; MIDDLE_IN_COARSE as usize]> = BTreeMap::new();
        let mut collect = |octave: i64, node: Node| {
            let children = to_coarse
                .entry(octave.div_euclid(MIDDLE_IN_COARSE))
                .or_insert([Node::NONE; MIDDLE_IN_COARSE as usize]);
            children[octave.rem_euclid(MIDDLE_IN_COARSE) as usize] = node;
        };
        let ((mut from, end), last) = (self.middle_range(), middle_from(to) - 1);
        while let Some(octave) = self.middle.first(from, end.min(last)) {
            collect(octave, self.middle.get(octave));
            self.middle.set(octave, Node::NONE);
            from = octave + 1;
        }
        let (mut from, end) = self.fine_range();
        let last = fine_from(to) * FINE_IN_MIDDLE - 1;
        while let Some(number) = self.fine.first(from, end.min(last)) {
            let octave = number.div_euclid(FINE_IN_MIDDLE);
            let mut children = [Node::NONE; FINE_IN_MIDDLE as usize];
            for (i, child) in children.iter_mut().enumerate() {
                let number = octave * FINE_IN_MIDDLE + i as i64;
                *child = self.fine.get(number);
                self.fine.set(number, Node::NONE);
            }
            let low = self.top_key.plus((octave - self.top) << MIDDLE_BITS);
            let node = self.join(slots, &children, low, MIDDLE_BITS, &mut moves);
            if octave < middle_from(to) {
                collect(octave, node);
            } else {
                self.middle.set(octave, node);
            }
            from = (octave + 1) * FINE_IN_MIDDLE;
        }
        for (number, children) in to_coarse {
            let low = self.top_key.plus((number * MIDDLE_IN_COARSE - self.top) << MIDDLE_BITS);
            let node = self.join(slots, &children, low, COARSE_BITS, &mut moves);
            self.coarse.set(number, node);
        }
        self.set_top(to, self.top_key.plus((to - self.top) << MIDDLE_BITS));
    }

    /// Joins `children`, which are not all empty, into one node over a range of `range_bits`.
    fn join(
        &mut self,
        slots: &mut Slots,
        children: &[Node],
        low: Key,
        range_bits: u32,
        moves: &mut u32,
    ) -> Node {
        let bits = range_bits - children.len().trailing_zeros();
        let total: u32 = children.iter().map(|node| self.sizes(*node).0).sum();
        if total <= TABLE_OVER || total < JOIN_BELOW && total <= *moves {
            *moves = moves.saturating_sub(total);
            let leaf = self.new_leaf(low, range_bits);
            self.gather(slots, children, leaf);
            return Node::leaf(leaf);
        }
        let mut table = Table::new(low, range_bits, bits);
        for (child, node) in children.iter().enumerate() {
            table.enter(child, *node, self.sizes(*node));
        }
        Node::table(self.tables.add(table))
    }

    /// The number of members of a node, and of those that rest.
    pub(super) fn sizes(&self, node: Node) -> (u32, u32) {
        match node.kind() {
            Kind::None => (0, 0),
            Kind::Leaf(leaf) => (self.leaves.get(leaf).len(), self.leaves.get(leaf).resting),
            Kind::Table(table) => (self.tables.get(table).total, self.tables.get(table).resting),
            Kind::Cuts(cuts) => (self.cuts.get(cuts).total, self.cuts.get(cuts).resting),
        }
    }
}
