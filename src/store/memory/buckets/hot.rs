//! Hot buckets: split where many samples share an eighth of an octave, merged when they cool (DECISIONS 11).

use super::{Buckets, Kind, MERGE_AT, NONE, Node, Place, SPLIT_OVER, Split};
use crate::store::key::BUCKET_SHIFT;
use crate::store::memory::slots::Slots;

impl Buckets {
    /// Splits hot buckets among the top `ranks`, and the lowest, and goes on dividing split ones: at most `moves` members move.
    pub(in crate::store::memory) fn maintain(&mut self, slots: &mut Slots, ranks: u64, moves: u32) {
        if self.dividing.is_empty() {
            let (mut seen, mut hot) = (0, None);
            self.descend(|leaf, l| {
                if l.len() > SPLIT_OVER && l.bits > 0 {
                    hot = Some(leaf);
                }
                seen += u64::from(l.len());
                hot.is_none() && seen < ranks
            });
            let is_hot = |leaf: &u32| {
                let l = &self.leaves[*leaf as usize];
                l.len() > SPLIT_OVER && l.bits > 0
            };
            let lowest = self.lowest.map(|(leaf, _)| leaf).filter(is_hot);
            for leaf in [hot, lowest.filter(|l| hot != Some(*l))].into_iter().flatten() {
                self.split(leaf);
            }
        }
        self.divide(slots, moves);
    }

    fn place_of(&self, leaf: u32) -> Option<Place> {
        let low = self.leaves[leaf as usize].low;
        let number = self.number(low);
        let (mut place, mut node) = (Place::Root(number), self.root(number));
        loop {
            match node.kind() {
                Kind::Leaf(found) => return (found == leaf).then_some(place),
                Kind::None => return None,
                Kind::Split(split) => {
                    let s = &self.splits[split as usize];
                    // A rest is being divided already.
                    let child = s.child_of(low);
                    place = Place::Child(split, child);
                    node = s.children[child];
                }
            }
        }
    }

    fn split(&mut self, leaf: u32) {
        let Some(place) = self.place_of(leaf) else {
            return;
        };
        let l = &self.leaves[leaf as usize];
        let split = Split {
            children: [NONE; 8],
            rest: Node(leaf),
            low: l.low,
            bits: l.bits.saturating_sub(3),
            total: l.len(),
        };
        let at = match self.free_splits.pop() {
            Some(at) => {
                self.splits[at as usize] = split;
                at
            }
            None => {
                self.splits.push(split);
                self.splits.len() as u32 - 1
            }
        };
        self.set(place, Node::split(at));
        self.dividing.push(at);
    }

    fn divide(&mut self, slots: &mut Slots, moves: u32) {
        let mut left = moves;
        while let Some(&split) = self.dividing.last() {
            let Kind::Leaf(rest) = self.splits[split as usize].rest.kind() else {
                self.dividing.pop();
                continue;
            };
            while left > 0 && self.leaves[rest as usize].list.len() > 0 {
                left -= 1;
                let (slot, rests) = self.pop_member(rest);
                let key = slots.get(slot).key;
                let s = &self.splits[split as usize];
                let (bits, child) = (s.bits, s.child_of(key));
                let leaf = match s.children[child].kind() {
                    Kind::Leaf(leaf) => leaf,
                    _ => {
                        let leaf = self.new_leaf(key, bits);
                        self.set(Place::Child(split, child), Node(leaf));
                        leaf
                    }
                };
                self.put(slots, leaf, slot, rests);
            }
            if self.leaves[rest as usize].list.len() > 0 {
                break;
            }
            self.set(Place::Rest(split), NONE);
            self.free_leaves.push(rest);
        }
        if left < moves {
            self.lowest = self.find_lowest();
        }
    }

    /// Makes a small split node one bucket again: MERGE_AT members move.
    pub(super) fn merge(&mut self, slots: &mut Slots, place: Place, split: u32) {
        let low = self.splits[split as usize].low;
        let mut members = Vec::with_capacity(MERGE_AT as usize);
        self.dissolve(Node::split(split), &mut members);
        let leaf = self.new_leaf(low, BUCKET_SHIFT);
        self.set(place, Node(leaf));
        for (slot, rests) in members {
            self.put(slots, leaf, slot, rests);
        }
        self.lowest = self.find_lowest();
    }

    fn dissolve(&mut self, node: Node, members: &mut Vec<(u32, bool)>) {
        match node.kind() {
            Kind::None => {}
            Kind::Leaf(leaf) => {
                while self.leaves[leaf as usize].list.len() > 0 {
                    members.push(self.pop_member(leaf));
                }
                self.free_leaves.push(leaf);
            }
            Kind::Split(split) => {
                let s = &self.splits[split as usize];
                let (children, rest) = (s.children, s.rest);
                self.set(Place::Rest(split), NONE);
                for node in children.into_iter().chain([rest]) {
                    self.dissolve(node, members);
                }
                self.free_splits.push(split);
            }
        }
    }
}
