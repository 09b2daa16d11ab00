//! Divides leaves that are too large, and joins small divisions into one leaf again.

use super::{
    Buckets, CHILDREN, Cuts, JOIN_BELOW, Kind, LEAF_MAX, Node, PART_MIN, Parent, Part, TABLE_BITS, Table,
};
use crate::hard::slots::Slots;
use crate::place::Rank;
use crate::row::Offsets;

impl Buckets {
    /// The node at a parent's slot.
    pub(super) fn at(&self, parent: Parent) -> Node {
        match parent {
            Parent::Root(root) => self.root(root),
            Parent::Child(table, child) => self.tables.get(table).children[child],
            Parent::Part(cuts, part) => Node::leaf(self.cuts.get(cuts).parts[part].leaf),
        }
    }

    pub(super) fn set(&mut self, parent: Parent, node: Node) {
        match parent {
            Parent::Root(root) => self.set_root(root, node),
            Parent::Child(table, child) => self.tables.get_mut(table).children[child] = node,
            Parent::Part(cuts, part) => {
                if let Kind::Leaf(leaf) = node.kind() {
                    self.cuts.get_mut(cuts).parts[part].leaf = leaf;
                }
            }
        }
    }

    /// Divides the leaf of a slot, which has grown over [`LEAF_MAX`]. Each member moves once.
    #[cold]
    pub(super) fn divide(&mut self, slots: &mut Slots, slot: u32) {
        let Some(path) = self.path(slots.get(slot)) else {
            return;
        };
        let (mut parent, leaf) = (path.parent(), path.leaf);
        while self.leaves.get(leaf).len() > LEAF_MAX {
            match parent {
                Parent::Part(cuts, part) => return self.cut(slots, cuts, part),
                _ if self.leaves.get(leaf).bits == 0 => return self.begin_cuts(slots, parent, leaf),
                _ => match self.tabulate(slots, parent, leaf) {
                    // All members are in one child, which is the same leaf with a narrower range.
                    Some(below) => parent = below,
                    None => return,
                },
            }
        }
    }

    /// Turns a leaf into a table. If all members belong to one child, nothing moves, and the slot of that child is returned.
    fn tabulate(&mut self, slots: &mut Slots, parent: Parent, leaf: u32) -> Option<Parent> {
        let l = self.leaves.get(leaf);
        let (low, range_bits, total, resting) = (l.low, l.bits, l.len(), l.resting);
        let bits = range_bits.saturating_sub(TABLE_BITS);
        let table = Table { total, resting, ..Table::new(low, range_bits, bits) };
        let child_of = |slot: u32| table.child_of(slots.get(slot).key);
        let first = self.members(leaf).next().map_or(0, child_of);
        let is_one = self.members(leaf).all(|slot| child_of(slot) == first);
        let number = self.tables.add(table);
        self.set(parent, Node::table(number));
        if is_one {
            let l = self.leaves.get_mut(leaf);
            let narrow = low.plus((first as i64) << bits);
            l.offsets = l.offsets.above_higher((first as u64) << bits, l.active());
            (l.bits, l.low) = (bits, narrow);
            let table = self.tables.get_mut(number);
            table.children[first] = Node::leaf(leaf);
            table.active[first] = total - resting;
            return Some(Parent::Child(number, first));
        }
        for (slot, rests) in self.drain(leaf) {
            let key = slots.get(slot).key;
            let child = self.tables.get(number).child_of(key);
            let into = match self.tables.get(number).children[child].kind() {
                Kind::Leaf(into) => into,
                _ => {
                    let into = self.new_leaf(key, bits);
                    self.tables.get_mut(number).children[child] = Node::leaf(into);
                    into
                }
            };
            self.tables.get_mut(number).active[child] += u32::from(!rests);
            self.append(slots, into, slot, rests);
        }
        self.leaves.free.push(leaf);
        None
    }

    /// Turns a leaf of a single key unit into cuts.
    fn begin_cuts(&mut self, slots: &mut Slots, parent: Parent, leaf: u32) {
        let l = self.leaves.get(leaf);
        let cuts = Cuts {
            parts: vec![Part { from: Rank::MIN, leaf, active: l.active() }],
            total: l.len(),
            resting: l.resting,
            low: l.low,
        };
        let number = self.cuts.add(cuts);
        self.set(parent, Node::cuts(number));
        self.cut(slots, number, 0);
    }

    /// Cuts a part at the exact median of its members.
    fn cut(&mut self, slots: &mut Slots, cuts: u32, part: usize) {
        let leaf = self.cuts.get(cuts).parts[part].leaf;
        let low = self.leaves.get(leaf).low;
        let lower_is_harder = self.lower_is_harder;
        let members: Vec<(Rank, u32, bool)> = self
            .drain(leaf)
            .into_iter()
            .map(|(slot, rests)| (slots.place(slot, lower_is_harder).rank, slot, rests))
            .collect();
        let mut ranks: Vec<Rank> = members.iter().map(|member| member.0).collect();
        let (_, median, _) = ranks.select_nth_unstable(members.len() / 2);
        let median = *median;
        let upper = self.new_leaf(low, 0);
        for (rank, slot, rests) in members {
            self.append(slots, if rank < median { leaf } else { upper }, slot, rests);
        }
        let active = |leaf: u32| self.leaves.get(leaf).active();
        let (below, above) = (active(leaf), active(upper));
        let parts = &mut self.cuts.get_mut(cuts).parts;
        parts[part].active = below;
        parts.insert(part + 1, Part { from: median, leaf: upper, active: above });
    }

    /// Joins a part that has become small with its smaller neighbour, if that is small too.
    pub(super) fn join_part(&mut self, slots: &mut Slots, cuts: u32, part: usize) {
        let parts = &self.cuts.get(cuts).parts;
        let len = |at: usize| self.leaves.get(parts[at].leaf).len();
        if len(part) >= PART_MIN {
            return;
        }
        let neighbours = [part.checked_sub(1), Some(part + 1).filter(|at| *at < parts.len())];
        let Some(other) = neighbours.into_iter().flatten().min_by_key(|at| len(*at)) else {
            return;
        };
        if len(part) + len(other) > LEAF_MAX / 2 {
            return;
        }
        let (below, above) = (part.min(other), part.max(other));
        let (into, from) = (parts[below].leaf, parts[above].leaf);
        for (slot, rests) in self.drain(from) {
            self.append(slots, into, slot, rests);
        }
        self.leaves.free.push(from);
        let active = self.leaves.get(into).active();
        let parts = &mut self.cuts.get_mut(cuts).parts;
        parts[below].active = active;
        parts.remove(above);
    }

    /// Turns a small table or small cuts into one leaf again.
    pub(super) fn join_small(&mut self, slots: &mut Slots, parent: Parent) {
        let node = self.at(parent);
        let (low, bits) = match node.kind() {
            Kind::Table(table) => (self.tables.get(table).low, self.tables.get(table).range_bits),
            Kind::Cuts(cuts) => (self.cuts.get(cuts).low, 0),
            Kind::None | Kind::Leaf(_) => return,
        };
        if self.sizes(node).0 >= JOIN_BELOW {
            return;
        }
        let leaf = self.new_leaf(low, bits);
        self.gather(slots, &[node], leaf);
        self.set(parent, Node::leaf(leaf));
    }

    /// Moves all members of some nodes into a leaf, and removes the nodes.
    pub(super) fn gather(&mut self, slots: &mut Slots, nodes: &[Node], into: u32) {
        let mut members = Vec::new();
        for node in nodes {
            self.dissolve(*node, &mut members);
        }
        for rests in [false, true] {
            for (slot, _) in members.iter().filter(|member| member.1 == rests) {
                self.append(slots, into, *slot, rests);
            }
        }
    }

    fn dissolve(&mut self, node: Node, members: &mut Vec<(u32, bool)>) {
        match node.kind() {
            Kind::None => {}
            Kind::Leaf(leaf) => {
                members.append(&mut self.drain(leaf));
                self.leaves.free.push(leaf);
            }
            Kind::Table(table) => {
                let t = self.tables.get_mut(table);
                let children = std::mem::replace(&mut t.children, [Node::NONE; CHILDREN]);
                t.active = [0; CHILDREN];
                children.iter().for_each(|child| self.dissolve(*child, members));
                self.tables.free.push(table);
            }
            Kind::Cuts(cuts) => {
                let parts = std::mem::take(&mut self.cuts.get_mut(cuts).parts);
                parts.iter().for_each(|part| self.dissolve(Node::leaf(part.leaf), members));
                self.cuts.free.push(cuts);
            }
        }
    }

    /// Takes all members of a leaf, in order, each with whether it rests.
    pub(super) fn drain(&mut self, leaf: u32) -> Vec<(u32, bool)> {
        let l = self.leaves.get_mut(leaf);
        let active = l.active() as usize;
        l.resting = 0;
        l.offsets = Offsets::default();
        let all = l.list.drain(&mut self.arena);
        all.into_iter().enumerate().map(|(at, slot)| (slot, at >= active)).collect()
    }
}
