//! Inserts slots into the tree, moves them, and removes them.

use super::{Buckets, JOIN_BELOW, Kind, LEAF_MAX, Leaf, Node, PART_MIN, Parent};
use crate::hard::arena::Arena;
use crate::hard::slots::{Slot, Slots};
use crate::key::Key;
use crate::place::Rank;

impl Buckets {
    /// Writes a sample into a slot and puts it into the leaf of its key and rank; `sample.position` is not read.
    #[inline(always)]
    pub(crate) fn enter(&mut self, slots: &mut Slots, slot: u32, hash: u64, sample: Slot) {
        self.reach(slots, sample.key);
        let leaf = self.count_in(self.node_of(sample.key), &sample, hash);
        let position = self.append_active(slots, leaf, slot, sample.key);
        *slots.get_mut(slot) = Slot { position, ..sample };
        self.len += 1;
        if self.leaves.get(leaf).len() > LEAF_MAX {
            self.divide(slots, slot);
        }
    }

    /// Adds a sample to the counts on the path from a node down to its leaf, which is created if there is none. Returns the leaf.
    #[inline(always)]
    fn count_in(&mut self, mut node: Node, sample: &Slot, hash: u64) -> u32 {
        loop {
            node = match node.kind() {
                Kind::Leaf(leaf) => return leaf,
                Kind::None => return self.open(sample.key),
                Kind::Table(number) => {
                    let table = self.tables.get_mut(number);
                    let child = table.child_of(sample.key);
                    table.total += 1;
                    table.active[child] += 1;
                    table.children[child]
                }
                Kind::Cuts(number) => return self.count_into_part(sample, hash, number),
            };
        }
    }

    #[inline(never)]
    fn count_into_part(&mut self, sample: &Slot, hash: u64, cuts: u32) -> u32 {
        let rank = self.rank(sample, hash);
        let cuts = self.cuts.get_mut(cuts);
        let part = cuts.part_of(&rank);
        cuts.total += 1;
        cuts.parts[part].active += 1;
        cuts.parts[part].leaf
    }

    /// Creates the leaf of a key that has none.
    #[cold]
    fn open(&mut self, key: Key) -> u32 {
        let root = self.root_of(key);
        let (mut parent, mut bits) = (Parent::Root(root), root.bits());
        while let Kind::Table(number) = self.at(parent).kind() {
            let table = self.tables.get(number);
            bits = table.bits;
            parent = Parent::Child(number, table.child_of(key));
        }
        let leaf = self.new_leaf(key, bits);
        self.set(parent, Node::leaf(leaf));
        leaf
    }

    fn rank(&self, sample: &Slot, hash: u64) -> Rank {
        sample.rank(hash, self.lower_is_harder)
    }

    /// Appends a slot to the members of a leaf that rest, or to the others.
    pub(super) fn append(&mut self, slots: &mut Slots, leaf: u32, slot: u32, rests: bool) {
        let position = if rests {
            let l = self.leaves.get_mut(leaf);
            l.resting += 1;
            l.list.push(&mut self.arena, slot)
        } else {
            let key = slots.get(slot).key;
            self.append_active(slots, leaf, slot, key)
        };
        slots.get_mut(slot).position = position;
    }

    /// Appends a slot to the members of a leaf that do not rest. Returns its position. Neither that nor `key` is written to the slot yet.
    #[inline(always)]
    fn append_active(&mut self, slots: &mut Slots, leaf: u32, slot: u32, key: Key) -> u32 {
        let l = self.leaves.get_mut(leaf);
        l.offsets.add(l.offset(key));
        let end = l.list.push(&mut self.arena, slot);
        if l.resting == 0 {
            return end;
        }
        // Resting members stay at the end of the list.
        let first_resting = l.active() - 1;
        l.swap(&mut self.arena, slots, first_resting, end);
        first_resting
    }

    /// Takes a slot out of its leaf.
    pub(crate) fn unlink(&mut self, slots: &mut Slots, slot: u32, hash: u64) {
        let s = *slots.get(slot);
        self.take(slots, &s, hash);
    }

    /// Sets the key, score and stamp of a slot, and moves it to another leaf if needed. `old`: the current content of the slot.
    #[inline(always)]
    pub(crate) fn relocate(&mut self, slots: &mut Slots, slot: u32, hash: u64, old: &Slot, new: Slot) {
        if self.is_same_root(old.key, new.key) {
            let mut node = self.node_of(old.key);
            let stays = loop {
                match node.kind() {
                    Kind::Leaf(leaf) => {
                        self.leaves.get_mut(leaf).shift(old, new.key);
                        break true;
                    }
                    Kind::None => break true,
                    Kind::Table(number) => {
                        let table = self.tables.get(number);
                        let (from, to) = (table.child_of(old.key), table.child_of(new.key));
                        if from != to {
                            return self.cross(slots, slot, hash, old, new, (number, from, to));
                        }
                        node = table.children[from];
                    }
                    Kind::Cuts(number) => {
                        break self.leaf_of_part(old, hash, number) == self.leaf_of_part(&new, hash, number);
                    }
                }
            };
            if stays {
                *slots.get_mut(slot) = Slot { position: old.position, ..new };
                return;
            }
        }
        self.take(slots, old, hash);
        self.enter(slots, slot, hash, new);
    }

    /// Moves a slot from one child of a table to another. The counts of the table and of those above it do not change.
    #[inline(always)]
    fn cross(
        &mut self,
        slots: &mut Slots,
        slot: u32,
        hash: u64,
        old: &Slot,
        new: Slot,
        (table, from, to): (u32, usize, usize),
    ) {
        let t = self.tables.get_mut(table);
        let (below, above) = (t.children[from], t.children[to]);
        let leaf = match self.leaf_of(below, old, hash) {
            Some(leaf) if self.leaves.get(leaf).resting == 0 => leaf,
            // A resting slot is active after the move.
            _ => {
                self.take(slots, old, hash);
                return self.enter(slots, slot, hash, new);
            }
        };
        let t = self.tables.get_mut(table);
        t.active[from] -= 1;
        t.active[to] += 1;
        let into = self.count_in(above, &new, hash);
        let position = self.append_active(slots, into, slot, new.key);
        *slots.get_mut(slot) = Slot { position, ..new };
        self.swap_remove(slots, leaf, old.position, old.key);
        let left = self.leaves.get(leaf).len();
        if self.count_out(below, old, hash, false, left) || left == 0 {
            self.shrink(slots, old, leaf);
        }
        if self.leaves.get(into).len() > LEAF_MAX {
            self.divide(slots, slot);
        }
    }

    /// The leaf below a node that holds a linked slot. Every linked slot is in the leaf of its key and rank, so there is one.
    #[inline(always)]
    fn leaf_of(&self, mut node: Node, s: &Slot, hash: u64) -> Option<u32> {
        loop {
            node = match node.kind() {
                Kind::Leaf(leaf) => return Some(leaf),
                Kind::None => return None,
                Kind::Table(number) => {
                    let table = self.tables.get(number);
                    table.children[table.child_of(s.key)]
                }
                Kind::Cuts(number) => return Some(self.leaf_of_part(s, hash, number)),
            };
        }
    }

    #[inline(never)]
    fn leaf_of_part(&self, sample: &Slot, hash: u64, cuts: u32) -> u32 {
        let cuts = self.cuts.get(cuts);
        cuts.parts[cuts.part_of(&self.rank(sample, hash))].leaf
    }

    /// Takes a slot with the content `s` out of its leaf.
    #[inline(always)]
    fn take(&mut self, slots: &mut Slots, s: &Slot, hash: u64) {
        let node = self.node_of(s.key);
        let Some(leaf) = self.leaf_of(node, s, hash) else {
            return;
        };
        let rested = self.swap_remove(slots, leaf, s.position, s.key);
        self.len -= 1;
        let left = self.leaves.get(leaf).len();
        if self.count_out(node, s, hash, rested, left) || left == 0 {
            self.shrink(slots, s, leaf);
        }
    }

    /// Subtracts a sample from the counts on the path from a node down to its leaf, which has `left` members now. Returns whether a node on
    /// the path has become small enough to be joined.
    #[inline(always)]
    fn count_out(&mut self, mut node: Node, s: &Slot, hash: u64, rested: bool, left: u32) -> bool {
        let mut is_small = false;
        loop {
            match node.kind() {
                Kind::Leaf(_) | Kind::None => return is_small,
                Kind::Table(number) => {
                    let table = self.tables.get_mut(number);
                    let child = table.child_of(s.key);
                    table.total -= 1;
                    *(if rested { &mut table.resting } else { &mut table.active[child] }) -= 1;
                    is_small |= table.total < JOIN_BELOW;
                    node = table.children[child];
                }
                Kind::Cuts(number) => {
                    // A neighbour may be too large to join now, so the part is checked again after every few removals.
                    let is_small_part = left < PART_MIN && left.is_multiple_of(PART_MIN / 16);
                    return self.count_out_of_part(s, hash, rested, number) || is_small || is_small_part;
                }
            }
        }
    }

    #[inline(never)]
    fn count_out_of_part(&mut self, s: &Slot, hash: u64, rested: bool, cuts: u32) -> bool {
        let rank = self.rank(s, hash);
        let cuts = self.cuts.get_mut(cuts);
        let part = cuts.part_of(&rank);
        cuts.total -= 1;
        *(if rested { &mut cuts.resting } else { &mut cuts.parts[part].active }) -= 1;
        cuts.total < JOIN_BELOW
    }

    /// Removes empty nodes and joins small ones on the path to the leaf that a slot was taken out of.
    #[cold]
    fn shrink(&mut self, slots: &mut Slots, s: &Slot, leaf: u32) {
        let Some(path) = self.path(s) else {
            return;
        };
        if self.leaves.get(leaf).len() == 0 {
            self.leaves.free.push(leaf);
            self.prune(path.parents());
        }
        // Nodes below the outermost one that is joined do not exist any more.
        for parent in path.parents() {
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

    /// Removes an empty leaf at the end of a path, and empty nodes above it.
    fn prune(&mut self, parents: &[Parent]) {
        for parent in parents.iter().rev() {
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

    /// The node at a parent's slot, if the parent still exists.
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

    /// Takes the member at a position out of a leaf, in which it stood by `key`. Returns whether it rested.
    #[inline(always)]
    fn swap_remove(&mut self, slots: &mut Slots, leaf: u32, position: u32, key: Key) -> bool {
        let l = self.leaves.get_mut(leaf);
        let (mut position, mut rested) = (position, false);
        let offset = l.offset(key);
        if l.resting > 0 {
            rested = position >= l.active();
            if rested {
                l.resting -= 1;
            } else {
                // The free position moves to the border between active and resting members, and then to the end of the list.
                let last_active = l.active() - 1;
                l.swap(&mut self.arena, slots, position, last_active);
                position = last_active;
            }
        }
        if !rested {
            l.offsets.take(offset);
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
    /// A member gets another key of the range of the leaf.
    #[inline(always)]
    fn shift(&mut self, old: &Slot, key: Key) {
        if old.key != key && old.position < self.active() {
            self.offsets.take(self.offset(old.key));
            self.offsets.add(self.offset(key));
        }
    }

    /// Swaps two members.
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
