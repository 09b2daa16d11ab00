//! Samples that rest under a lease: they stand at the end of their bucket, where no draw looks, and keep their rank.

use super::super::arena::Arena;
use super::{Buckets, Kind, Leaf};
use crate::store::memory::slots::Slots;

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

impl Buckets {
    /// The bucket that a linked slot stands in.
    fn leaf_of(&self, slots: &Slots, slot: u32) -> Option<u32> {
        let s = slots.get(slot);
        let mut node = self.root(self.number(s.key));
        loop {
            match node.kind() {
                Kind::None => return None,
                Kind::Leaf(leaf) => return Some(leaf),
                Kind::Split(split) => {
                    let split = &self.splits[split as usize];
                    if let Kind::Leaf(rest) = split.rest.kind()
                        && self.member(rest, s.position) == Some(slot)
                    {
                        return Some(rest);
                    }
                    node = split.children[split.child_of(s.key)];
                }
            }
        }
    }

    /// Lays a slot to rest; nothing happens to one that rests.
    pub(in crate::store::memory) fn rest(&mut self, slots: &mut Slots, slot: u32) {
        let Some(leaf) = self.leaf_of(slots, slot) else {
            return;
        };
        let l = &mut self.leaves[leaf as usize];
        let position = slots.get(slot).position;
        if position < l.active() {
            let last_active = l.active() - 1;
            l.swap(&mut self.arena, slots, position, last_active);
            l.resting += 1;
        }
    }

    /// Wakes a slot; nothing happens to one that does not rest.
    pub(in crate::store::memory) fn wake(&mut self, slots: &mut Slots, slot: u32) {
        let Some(leaf) = self.leaf_of(slots, slot) else {
            return;
        };
        let l = &mut self.leaves[leaf as usize];
        let position = slots.get(slot).position;
        if position >= l.active() {
            let first_resting = l.active();
            l.swap(&mut self.arena, slots, position, first_resting);
            l.resting -= 1;
        }
    }

    /// Whether the place of a bucket is a resting member's.
    #[inline]
    pub(in crate::store::memory) fn rests_at(&self, leaf: u32, position: u32) -> bool {
        self.leaves.get(leaf as usize).is_some_and(|l| l.resting > 0 && position >= l.active())
    }

    /// Takes the last member of a bucket; whether it rests.
    pub(super) fn pop_member(&mut self, leaf: u32) -> (u32, bool) {
        let l = &mut self.leaves[leaf as usize];
        let rests = l.resting > 0;
        l.resting -= u32::from(rests);
        (l.list.pop(&mut self.arena), rests)
    }

    /// Puts a slot into a bucket of its key as it was elsewhere.
    pub(super) fn put(&mut self, slots: &mut Slots, leaf: u32, slot: u32, rests: bool) {
        self.append(slots, leaf, slot);
        if rests {
            // It stands last among the active ones.
            self.leaves[leaf as usize].resting += 1;
        }
    }

    #[cfg(test)]
    pub(in crate::store::memory) fn rests(&self, slots: &Slots, slot: u32) -> bool {
        self.leaf_of(slots, slot).is_some_and(|leaf| self.rests_at(leaf, slots.get(slot).position))
    }
}
