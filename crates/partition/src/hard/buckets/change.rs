//! Slots come into the tree and leave it.

use super::roots::Root;
use super::walk::DEPTH_MAX;
use super::{Buckets, JOIN_BELOW, Kind, Node, PART_MIN, Parent};
use crate::hard::arena::Arena;
use crate::hard::buckets::Leaf;
use crate::hard::slots::{Slot, Slots};
use crate::key::Key;
use crate::place::Rank;

/// The tables and cuts on the way to a leaf, with the child or part taken in each.
struct Way {
    steps: [(Node, u32); DEPTH_MAX],
    depth: usize,
    leaf: u32,
}

impl Buckets {
    /// Puts a slot into the leaf of its key, score and id.
    pub(crate) fn push(&mut self, slots: &mut Slots, slot: u32) {
        let s = *slots.get(slot);
        self.reach(slots, s.key);
        let root = self.root_of(s.key);
        let (mut parent, mut node, mut bits) = (Parent::Root(root), self.root(root), root.bits());
        let leaf = loop {
            match node.kind() {
                Kind::Leaf(leaf) => break leaf,
                Kind::None => {
                    let leaf = self.new_leaf(s.key, bits);
                    self.set(parent, Node::leaf(leaf));
                    break leaf;
                }
                Kind::Table(number) => {
                    let table = self.tables.get_mut(number);
                    let child = table.child_of(s.key);
                    table.total += 1;
                    table.active[child] += 1;
                    bits = table.bits;
                    (parent, node) = (Parent::Child(number, child), table.children[child]);
                }
                Kind::Cuts(number) => {
                    let cuts = self.cuts.get_mut(number);
                    let part = cuts.part_of(&Rank::of(s.score, s.id, self.lower_is_harder));
                    cuts.total += 1;
                    cuts.parts[part].active += 1;
                    (parent, node) = (Parent::Part(number, part), Node::leaf(cuts.parts[part].leaf));
                }
            }
        };
        self.append(slots, leaf, slot, false);
        self.len += 1;
        self.divide(slots, parent, leaf);
    }

    /// Puts a slot at the end of a leaf: of those that rest, or of the others.
    pub(super) fn append(&mut self, slots: &mut Slots, leaf: u32, slot: u32, rests: bool) {
        let l = self.leaves.get_mut(leaf);
        slots.get_mut(slot).position = l.list.push(&mut self.arena, slot);
        if rests {
            l.resting += 1;
        } else if l.resting > 0 {
            // The resting ones stay at the end.
            let first_resting = l.active() - 1;
            l.swap(&mut self.arena, slots, first_resting, l.list.len() - 1);
        }
    }

    /// Takes a slot out of its leaf.
    pub(crate) fn unlink(&mut self, slots: &mut Slots, slot: u32) {
        let s = *slots.get(slot);
        let root = self.root_of(s.key);
        if let Kind::Leaf(leaf) = self.root(root).kind() {
            self.take_from_root(slots, &s, root, leaf);
        } else if let Some(way) = self.way(&s) {
            self.take(slots, &s, &way);
        }
    }

    /// Gives a linked slot another key and score, in its leaf or in another.
    #[inline]
    pub(crate) fn relocate(&mut self, slots: &mut Slots, slot: u32, key: Key, score: f32) {
        let old = *slots.get(slot);
        let root = self.root_of(old.key);
        let is_same_root = root == self.root_of(key);
        let stays = match self.root(root).kind() {
            Kind::Leaf(leaf) => {
                // The usual way, and the shortest.
                if !is_same_root {
                    self.take_from_root(slots, &old, root, leaf);
                }
                is_same_root
            }
            _ => match self.way(&old) {
                Some(way) if is_same_root && self.leaf_of(key, score, old.id) == Some(way.leaf) => true,
                Some(way) => {
                    self.take(slots, &old, &way);
                    false
                }
                None => true,
            },
        };
        let s = slots.get_mut(slot);
        (s.key, s.score) = (key, score);
        if !stays {
            self.push(slots, slot);
        }
    }

    /// Takes a slot out of a leaf that is a root.
    #[inline]
    fn take_from_root(&mut self, slots: &mut Slots, s: &Slot, root: Root, leaf: u32) {
        self.swap_remove(slots, leaf, s.position);
        self.len -= 1;
        if self.leaves.get(leaf).len() == 0 {
            self.leaves.free.push(leaf);
            self.set_root(root, Node::NONE);
        }
    }

    /// The way to the leaf that holds a linked slot. Every linked slot is in the leaf of its key (`check`), so there is one.
    #[inline]
    fn way(&self, s: &Slot) -> Option<Way> {
        let mut way = Way { steps: [(Node::NONE, 0); DEPTH_MAX], depth: 0, leaf: 0 };
        let mut node = self.root(self.root_of(s.key));
        loop {
            let (child, below) = match node.kind() {
                Kind::Leaf(leaf) => {
                    way.leaf = leaf;
                    return Some(way);
                }
                Kind::None => return None,
                Kind::Table(table) => {
                    let table = self.tables.get(table);
                    let child = table.child_of(s.key);
                    (child, table.children[child])
                }
                Kind::Cuts(cuts) => {
                    let cuts = self.cuts.get(cuts);
                    let part = cuts.part_of(&Rank::of(s.score, s.id, self.lower_is_harder));
                    (part, Node::leaf(cuts.parts[part].leaf))
                }
            };
            way.steps[way.depth] = (node, child as u32);
            way.depth += 1;
            node = below;
        }
    }

    /// Takes a slot out of the leaf at the end of its way.
    #[inline]
    fn take(&mut self, slots: &mut Slots, s: &Slot, way: &Way) {
        let rested = self.swap_remove(slots, way.leaf, s.position);
        self.len -= 1;
        let left = self.leaves.get(way.leaf).len();
        let mut is_shrunk = left == 0;
        for (node, child) in &way.steps[..way.depth] {
            let (total, in_part) = self.count_out(*node, *child as usize, rested);
            is_shrunk |= total < JOIN_BELOW || in_part && left < PART_MIN;
        }
        if is_shrunk {
            self.shrink(slots, s, way.leaf);
        }
    }

    /// Does away with what is empty, and joins what is small, on the way to the leaf that a slot has been taken out of.
    #[cold]
    fn shrink(&mut self, slots: &mut Slots, s: &Slot, leaf: u32) {
        let Some(path) = self.path(s) else {
            return;
        };
        if self.leaves.get(leaf).len() == 0 {
            self.leaves.free.push(leaf);
            self.prune(path.places());
        }
        // Deeper places may be gone with the outermost that is joined.
        for parent in path.places() {
            match *parent {
                Parent::Part(cuts, part) if part < self.cuts.get(cuts).parts.len() => {
                    self.join_part(slots, cuts, part);
                }
                _ => {
                    let node = self.at_if_there(*parent);
                    if self.is_small(node) {
                        return self.join_small(slots, *parent);
                    }
                }
            }
        }
    }

    /// Counts a member out of a child of a table, or a part of cuts: the members left, and whether it is a part.
    #[inline]
    fn count_out(&mut self, node: Node, child: usize, rested: bool) -> (u32, bool) {
        let (total, resting, active, is_part) = match node.kind() {
            Kind::Table(table) => {
                let table = self.tables.get_mut(table);
                (&mut table.total, &mut table.resting, &mut table.active[child], false)
            }
            Kind::Cuts(cuts) => {
                let cuts = self.cuts.get_mut(cuts);
                (&mut cuts.total, &mut cuts.resting, &mut cuts.parts[child].active, true)
            }
            Kind::None | Kind::Leaf(_) => return (u32::MAX, false),
        };
        *total -= 1;
        *(if rested { resting } else { active }) -= 1;
        (*total, is_part)
    }

    /// Does away with an empty leaf at the end of a path, and with what is empty above it.
    fn prune(&mut self, places: &[Parent]) {
        for parent in places.iter().rev() {
            match *parent {
                Parent::Part(cuts, part) => {
                    let c = self.cuts.get_mut(cuts);
                    c.parts.remove(part);
                    if let Some(first) = c.parts.first_mut() {
                        first.from = Rank::MIN;
                        return;
                    }
                    self.cuts.free.push(cuts);
                }
                Parent::Child(table, child) => {
                    let t = self.tables.get_mut(table);
                    t.children[child] = Node::NONE;
                    if t.total > 0 {
                        return;
                    }
                    self.tables.free.push(table);
                }
                Parent::Root(root) => self.set_root(root, Node::NONE),
            }
        }
    }

    /// The node at a place that may have gone.
    fn at_if_there(&self, parent: Parent) -> Node {
        match parent {
            Parent::Root(root) => self.root(root),
            Parent::Child(table, child) => {
                self.tables.get(table).children.get(child).copied().unwrap_or(Node::NONE)
            }
            Parent::Part(..) => Node::NONE,
        }
    }

    fn is_small(&self, node: Node) -> bool {
        matches!(node.kind(), Kind::Table(_) | Kind::Cuts(_)) && self.sizes(node).0 < super::JOIN_BELOW
    }

    /// Takes the member at a position out of a leaf; whether it rested.
    fn swap_remove(&mut self, slots: &mut Slots, leaf: u32, position: u32) -> bool {
        let l = self.leaves.get_mut(leaf);
        let mut position = position;
        let rested = position >= l.active();
        if rested {
            l.resting -= 1;
        } else if l.resting > 0 {
            // Between the active ones and the resting ones, before the last resting one takes its place.
            let last_active = l.active() - 1;
            l.swap(&mut self.arena, slots, position, last_active);
            position = last_active;
        }
        let last = l.list.pop(&mut self.arena);
        if position != l.list.len() {
            l.list.set(&mut self.arena, position, last);
            slots.get_mut(last).position = position;
        }
        rested
    }
}

impl Leaf {
    /// Lets two members change places.
    pub(super) fn swap(&mut self, arena: &mut Arena, slots: &mut Slots, a: u32, b: u32) {
        if a == b {
            return;
        }
        let (at_a, at_b) = (self.list.get(arena, a), self.list.get(arena, b));
        self.list.set(arena, a, at_b);
        self.list.set(arena, b, at_a);
        slots.get_mut(at_b).position = a;
        slots.get_mut(at_a).position = b;
    }
}
