//! The shape of the tree without its members: images store it, and the tree is rebuilt from it.

use super::roots::{COARSE_BITS, FINE_BITS, MIDDLE_BITS, Root};
use super::{Buckets, Cuts, LEAF_MAX, Leaf, List, Node, Part, Table, lowest_in};
use crate::hard::slots::Slots;
use crate::key::Key;
use crate::place::Rank;
use crate::row::Offsets;

/// A leaf: the number of its members, and of those that rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LeafShape {
    pub(crate) len: u32,
    pub(crate) resting: u32,
}

/// A node and everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeShape {
    Leaf(LeafShape),
    /// Key bits of a child's range, and the children by number, ascending.
    Table(u32, Vec<(u32, NodeShape)>),
    /// The parts in ascending order with the ranks they begin at.
    Cuts(Vec<(Rank, LeafShape)>),
}

/// The reason why a shape is not that of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShapeError(pub(crate) &'static str);

/// A root by zone (0 fine, 1 middle, 2 coarse) and by how far below the highest of the zone it is.
pub(crate) type RootAt = (u8, u32);

impl Buckets {
    /// The lowest key of the highest octave.
    pub(crate) fn top_key(&self) -> Key {
        self.top_key
    }

    fn highest(&self, zone: u8) -> i64 {
        match zone {
            0 => self.top * 8 + 7,
            1 => self.top,
            _ => self.top.div_euclid(32),
        }
    }

    /// The roots, the hardest first. Members come leaf by leaf in the order of the shapes: see [`Self::in_shape_order`].
    pub(crate) fn shapes(&self) -> Vec<(RootAt, NodeShape)> {
        let mut shapes = Vec::with_capacity(self.roots());
        self.roots_down(|root, node| {
            let (zone, number) = match root {
                Root::Fine(number) => (0, number),
                Root::Middle(number) => (1, number),
                Root::Coarse(number) => (2, number),
            };
            if let Some(shape) = self.shape(node) {
                shapes.push(((zone, (self.highest(zone) - number) as u32), shape));
            }
            true
        });
        shapes
    }

    fn shape(&self, node: Node) -> Option<NodeShape> {
        let leaf_shape = |leaf: u32| {
            let leaf = self.leaves.get(leaf);
            LeafShape { len: leaf.len(), resting: leaf.resting }
        };
        Some(match node.kind() {
            super::Kind::None => return None,
            super::Kind::Leaf(leaf) => NodeShape::Leaf(leaf_shape(leaf)),
            super::Kind::Table(table) => {
                let table = self.tables.get(table);
                let children = table.children.iter().enumerate();
                let children = children.filter_map(|(i, child)| Some((i as u32, self.shape(*child)?)));
                NodeShape::Table(table.bits, children.collect())
            }
            super::Kind::Cuts(cuts) => {
                let parts = self.cuts.get(cuts).parts.iter();
                NodeShape::Cuts(parts.map(|part| (part.from, leaf_shape(part.leaf))).collect())
            }
        })
    }

    /// Visits all slots in the order of the shapes: roots the hardest first, children and parts ascending, members as they stand.
    pub(crate) fn in_shape_order(&self, mut visit: impl FnMut(u32)) {
        self.roots_down(|_, node| {
            self.visit_in_shape_order(node, &mut visit);
            true
        });
    }

    fn visit_in_shape_order(&self, node: Node, visit: &mut impl FnMut(u32)) {
        match node.kind() {
            super::Kind::None => {}
            super::Kind::Leaf(leaf) => self.members(leaf).for_each(visit),
            super::Kind::Table(table) => {
                let children = self.tables.get(table).children.iter();
                children.for_each(|child| self.visit_in_shape_order(*child, visit));
            }
            super::Kind::Cuts(cuts) => {
                let parts = self.cuts.get(cuts).parts.iter();
                parts.for_each(|part| self.members(part.leaf).for_each(&mut *visit));
            }
        }
    }

    /// Builds the tree of some shapes over the slots 0.. in their order. Every slot is checked against the range of its leaf.
    pub(crate) fn build(
        &mut self,
        slots: &mut Slots,
        top_key: Key,
        shapes: &[(RootAt, NodeShape)],
    ) -> Result<(), ShapeError> {
        self.begin_at(top_key);
        if self.top_key != top_key {
            return Err(ShapeError("the highest octave begins at no octave"));
        }
        let mut next = 0;
        for ((zone, below), shape) in shapes {
            let number = self.highest(*zone) - i64::from(*below);
            let root = match zone {
                0 => Root::Fine(number),
                1 => Root::Middle(number),
                _ => Root::Coarse(number),
            };
            if self.root_of(root.low()) != root || self.root(root) != Node::NONE {
                return Err(ShapeError("a root is out of its zone, or there twice"));
            }
            let node = self.build_node(slots, root.low(), root.bits(), shape, &mut next)?;
            self.set_root(root, node);
        }
        if next as usize != slots.len() {
            return Err(ShapeError("the shapes have fewer members than there are rows"));
        }
        self.len = slots.len();
        Ok(())
    }

    fn build_node(
        &mut self,
        slots: &mut Slots,
        low: Key,
        range_bits: u32,
        shape: &NodeShape,
        next: &mut u32,
    ) -> Result<Node, ShapeError> {
        match shape {
            NodeShape::Leaf(leaf) => {
                let leaf = self.build_leaf(slots, low, range_bits, *leaf, (Rank::MIN, None), next)?;
                Ok(Node::leaf(leaf))
            }
            NodeShape::Table(bits, children) => {
                // A table comes from a leaf that was divided or from roots that were joined. This bounds the depth of the tree.
                let divided = range_bits.saturating_sub(super::TABLE_BITS);
                let joined =
                    matches!((range_bits, bits), (MIDDLE_BITS, &FINE_BITS) | (COARSE_BITS, &MIDDLE_BITS));
                if range_bits == 0 || !(*bits == divided || joined) || children.is_empty() {
                    return Err(ShapeError("a table divides by other bits than any does, or is empty"));
                }
                let len = 1usize << (range_bits - bits);
                let mut table = Table::new(low, range_bits, *bits);
                let mut after = 0;
                for (child, shape) in children {
                    let at = *child as usize;
                    if at < after || at >= len {
                        return Err(ShapeError("the children of a table are out of order"));
                    }
                    after = at + 1;
                    let low = low.plus(i64::from(*child) << bits);
                    let node = self.build_node(slots, low, *bits, shape, next)?;
                    let sizes = self.sizes(node);
                    table.enter(at, node, sizes);
                }
                if table.total <= super::TABLE_OVER {
                    return Err(ShapeError("a table of a few members"));
                }
                Ok(Node::table(self.tables.add(table)))
            }
            NodeShape::Cuts(parts) => {
                let ascending = parts.windows(2).all(|pair| pair[0].0 < pair[1].0);
                if range_bits != 0 || !ascending || parts.first().is_none_or(|part| part.0 != Rank::MIN) {
                    return Err(ShapeError("cuts are of more than a key, empty, or out of order"));
                }
                if parts.iter().map(|part| u64::from(part.1.len)).sum::<u64>() <= super::TABLE_OVER.into() {
                    return Err(ShapeError("cuts of a few members"));
                }
                let mut cuts = Cuts { parts: Vec::with_capacity(parts.len()), total: 0, resting: 0, low };
                for (i, (from, shape)) in parts.iter().enumerate() {
                    let range = (*from, parts.get(i + 1).map(|part| part.0));
                    let leaf = self.build_leaf(slots, low, 0, *shape, range, next)?;
                    cuts.parts.push(Part { from: *from, leaf, active: shape.len - shape.resting });
                    cuts.total += shape.len;
                    cuts.resting += shape.resting;
                }
                Ok(Node::cuts(self.cuts.add(cuts)))
            }
        }
    }

    /// Builds a leaf of the next slots, whose ranks are at least `ranks.0` and below `ranks.1`.
    fn build_leaf(
        &mut self,
        slots: &mut Slots,
        low: Key,
        bits: u32,
        shape: LeafShape,
        ranks: (Rank, Option<Rank>),
        next: &mut u32,
    ) -> Result<u32, ShapeError> {
        let left = slots.len() as u64 - u64::from(*next);
        if shape.len == 0 || shape.len > LEAF_MAX || shape.resting > shape.len || u64::from(shape.len) > left
        {
            return Err(ShapeError("a leaf is empty, too large, or larger than there are rows"));
        }
        let is_cut = ranks.0 != Rank::MIN || ranks.1.is_some();
        let (mut list, mut offsets) = (List::default(), Offsets::default());
        for at in 0..shape.len {
            let slot = *next;
            *next += 1;
            let s = slots.get(slot);
            let in_range = (0..1_i64 << bits).contains(&s.key.since(low));
            let in_part = !is_cut || {
                let rank = Rank::of(s.score, s.id, self.lower_is_harder);
                rank >= ranks.0 && ranks.1.is_none_or(|end| rank < end)
            };
            if !in_range || !in_part {
                return Err(ShapeError("a row is not of the leaf it stands in"));
            }
            if at < shape.len - shape.resting {
                offsets.add(s.key.since(low) as u64);
            }
            slots.get_mut(slot).position = list.push(&mut self.arena, slot);
        }
        debug_assert_eq!(low, lowest_in(low, bits));
        Ok(self.leaves.add(Leaf { list, resting: shape.resting, low, bits, offsets }))
    }
}
