//! Slots come into the tree and leave it.

use super::{Buckets, Kind, Node, Parent};
use crate::hard::arena::Arena;
use crate::hard::buckets::Leaf;
use crate::hard::slots::Slots;
use crate::place::Rank;

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
            // The usual way, and the shortest.
            self.swap_remove(slots, leaf, s.position);
            self.len -= 1;
            if self.leaves.get(leaf).len() == 0 {
                self.leaves.free.push(leaf);
                self.set_root(root, Node::NONE);
            }
            return;
        }
        // Every linked slot is in the leaf of its key (`check`); there is nothing to do for one that is not.
        let Some(path) = self.path(&s) else {
            return;
        };
        let rested = self.swap_remove(slots, path.leaf, s.position);
        self.len -= 1;
        for parent in path.places() {
            self.count_out(*parent, rested);
        }
        if self.leaves.get(path.leaf).len() == 0 {
            self.leaves.free.push(path.leaf);
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

    /// Counts a member out of the table or the cuts that a place is of.
    fn count_out(&mut self, parent: Parent, rested: bool) {
        let (total, resting, active) = match parent {
            Parent::Root(_) => return,
            Parent::Child(table, child) => {
                let table = self.tables.get_mut(table);
                (&mut table.total, &mut table.resting, &mut table.active[child])
            }
            Parent::Part(cuts, part) => {
                let cuts = self.cuts.get_mut(cuts);
                (&mut cuts.total, &mut cuts.resting, &mut cuts.parts[part].active)
            }
        };
        *total -= 1;
        *(if rested { resting } else { active }) -= 1;
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
