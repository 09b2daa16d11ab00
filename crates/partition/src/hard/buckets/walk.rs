//! Finding leaves: by key and rank, by handle and ordinal, and in order.

use super::roots::FINE_BITS;
use super::{Buckets, CENSUS_MAX, CHILDREN, Kind, Node, Parent, highest_place};
use crate::hard::slots::{Slot, Slots};
use crate::key::Key;
use crate::place::{Place, Rank};
use crate::row::{Bucket, Offsets};

/// The maximal depth of a leaf: two tables of joined roots, three of key bits, and cuts.
pub(super) const DEPTH_MAX: usize = 8;
/// The census lists the children of a table that has more than a 1/`EXPAND_SHARE` share of the samples above it, because ranks within such
/// a table differ much.
const EXPAND_SHARE: u64 = 4;

/// The path from a root to a leaf.
pub(super) struct Path {
    steps: [Parent; DEPTH_MAX],
    len: usize,
    pub(super) leaf: u32,
}

impl Path {
    /// The parents on the path, the root first. The last one holds the leaf.
    pub(super) fn parents(&self) -> &[Parent] {
        &self.steps[..self.len]
    }

    /// The parent that holds the leaf.
    pub(super) fn parent(&self) -> Parent {
        self.steps[self.len - 1]
    }
}

impl Buckets {
    /// The path to the leaf that holds a linked slot.
    pub(super) fn path(&self, s: &Slot) -> Option<Path> {
        let root = Parent::Root(self.root_of(s.key));
        let mut path = Path { steps: [root; DEPTH_MAX], len: 1, leaf: 0 };
        loop {
            let parent = match self.at(path.steps[path.len - 1]).kind() {
                Kind::None => return None,
                Kind::Leaf(leaf) => {
                    path.leaf = leaf;
                    return Some(path);
                }
                Kind::Table(table) => Parent::Child(table, self.tables.get(table).child_of(s.key)),
                Kind::Cuts(cuts) => {
                    let rank = Rank::of(s.score, s.id, self.lower_is_harder);
                    Parent::Part(cuts, self.cuts.get(cuts).part_of(&rank))
                }
            };
            path.steps[path.len] = parent;
            path.len += 1;
        }
    }

    /// The leaf that a sample of this key, score and id is in.
    #[cfg(test)]
    pub(super) fn leaf_at(&self, key: Key, score: f32, id: u64) -> Option<u32> {
        let mut node = self.node_of(key);
        loop {
            match node.kind() {
                Kind::None => return None,
                Kind::Leaf(leaf) => return Some(leaf),
                Kind::Table(table) => {
                    let table = self.tables.get(table);
                    node = table.children[table.child_of(key)];
                }
                Kind::Cuts(cuts) => {
                    let cuts = self.cuts.get(cuts);
                    return Some(cuts.parts[cuts.part_of(&Rank::of(score, id, self.lower_is_harder))].leaf);
                }
            }
        }
    }

    /// The leaf of a key below a node, if the key alone decides it (there are no cuts).
    #[inline]
    fn leaf_below(&self, mut node: Node, key: Key) -> Option<u32> {
        loop {
            match node.kind() {
                Kind::Leaf(leaf) => return Some(leaf),
                Kind::Table(table) => {
                    let table = self.tables.get(table);
                    node = table.children[table.child_of(key)];
                }
                Kind::None | Kind::Cuts(_) => return None,
            }
        }
    }

    /// Prefetches what taking a linked slot out of its leaf will touch, if the key alone decides the leaf.
    #[inline]
    pub(crate) fn prefetch_take(&self, slots: &Slots, s: &Slot) {
        self.prefetch_below(self.node_of(s.key), slots, s);
    }

    /// Prefetches what moving a linked slot to `key` will touch in the leaf that it leaves, if it leaves it.
    #[inline]
    pub(crate) fn prefetch_move(&self, slots: &Slots, s: &Slot, key: Key) {
        let from = self.node_of(s.key);
        if (s.key.0 ^ key.0) >> FINE_BITS != 0 || !matches!(from.kind(), Kind::Leaf(_)) {
            self.prefetch_below(from, slots, s);
        }
    }

    #[inline]
    fn prefetch_below(&self, node: Node, slots: &Slots, s: &Slot) {
        let Some(leaf) = self.leaf_below(node, s.key) else {
            return;
        };
        let list = &self.leaves.get(leaf).list;
        list.prefetch(&self.arena, s.position);
        // The last member moves to the free position. The end of the list is most likely in the cache already.
        if list.len() > 0 {
            slots.prefetch(list.get(&self.arena, list.len() - 1));
        }
    }

    /// The handle of a leaf, for [`Self::member`].
    pub(crate) fn handle_of(leaf: u32) -> u32 {
        Node::leaf(leaf).0
    }

    /// The member of a bucket of the census: of a leaf, or of a table or cuts.
    #[inline]
    pub(crate) fn member(&self, handle: u32, ordinal: u32) -> Option<u32> {
        let (leaf, position) = self.locate(handle, ordinal)?;
        Some(self.leaves.get(leaf).list.get(&self.arena, position))
    }

    /// The leaf of a member of a bucket, and its position there.
    #[inline]
    pub(crate) fn locate(&self, handle: u32, ordinal: u32) -> Option<(u32, u32)> {
        let mut node = Node(handle);
        let mut left = ordinal;
        loop {
            node = match node.kind() {
                Kind::None => return None,
                Kind::Leaf(leaf) => {
                    let known = self.leaves.items.get(leaf as usize)?;
                    return (left < known.len()).then_some((leaf, left));
                }
                Kind::Table(table) => {
                    let table = self.tables.items.get(table as usize)?;
                    let active = table.active.iter().copied().enumerate().rev();
                    self.child_at(&mut left, active, |child| table.children[child])?
                }
                Kind::Cuts(cuts) => {
                    let cuts = self.cuts.items.get(cuts as usize)?;
                    let active = cuts.parts.iter().map(|part| part.active).enumerate().rev();
                    self.child_at(&mut left, active, |part| Node::leaf(cuts.parts[part].leaf))?
                }
            };
        }
    }

    /// The child that has the `left`-th member, and the ordinal within it. Members that do not rest come first, the hardest child first;
    /// then those that rest.
    #[inline]
    fn child_at(
        &self,
        left: &mut u32,
        active: impl Iterator<Item = (usize, u32)> + Clone,
        node: impl Fn(usize) -> Node,
    ) -> Option<Node> {
        for (child, active) in active.clone() {
            if *left < active {
                return Some(node(child));
            }
            *left -= active;
        }
        for (child, active) in active {
            let resting = self.sizes(node(child)).1;
            if *left < resting {
                *left += active;
                return Some(node(child));
            }
            *left -= resting;
        }
        None
    }

    /// Prefetches what `member` will read.
    #[inline]
    pub(crate) fn prefetch_member(&self, handle: u32, ordinal: u32) {
        if let Some((leaf, position)) = self.locate(handle, ordinal) {
            self.leaves.get(leaf).list.prefetch(&self.arena, position);
        }
    }

    /// Visits leaves, the hardest first, with the highest place that each can hold, until `visit` returns false.
    pub(crate) fn descend(&self, mut visit: impl FnMut(u32, Place) -> bool) {
        self.roots_down(|_, node| self.descend_node(node, &mut visit));
    }

    fn descend_node(&self, node: Node, visit: &mut impl FnMut(u32, Place) -> bool) -> bool {
        match node.kind() {
            Kind::None => true,
            Kind::Leaf(leaf) => visit(leaf, self.highest_of(leaf)),
            Kind::Table(table) => {
                let children = self.tables.get(table).children.iter().rev();
                children.copied().all(|child| self.descend_node(child, visit))
            }
            Kind::Cuts(cuts) => {
                let cuts = self.cuts.get(cuts);
                let mut above = Rank::MAX;
                cuts.parts.iter().rev().all(|part| {
                    // The bound of the next part is exclusive.
                    let high = Place { key: cuts.low, rank: above };
                    above = part.from;
                    visit(part.leaf, high)
                })
            }
        }
    }

    /// Visits the leaves of a key range, the hardest first, with the lowest and the highest place that each can hold.
    pub(crate) fn descend_between(&self, low: Key, high: Key, mut visit: impl FnMut(u32, Place, Place)) {
        // The lowest place of a part of cuts is the highest place of the next leaf, so each leaf is passed on once the next one is visited.
        let mut last: Option<(u32, Place)> = None;
        let mut close = |last: &mut Option<(u32, Place)>, next: Option<Place>, buckets: &Self| {
            if let Some((leaf, highest)) = last.take() {
                let lowest = Place { key: buckets.leaves.get(leaf).low, rank: Rank::MIN };
                let lowest = next.filter(|next| next.key == lowest.key).unwrap_or(lowest);
                visit(leaf, lowest, highest);
            }
        };
        self.descend(|leaf, highest| {
            close(&mut last, Some(highest), self);
            if highest.key.since(low) < 0 {
                return false;
            }
            if self.leaves.get(leaf).low.since(high) <= 0 {
                last = Some((leaf, highest));
            }
            true
        });
        close(&mut last, None, self);
    }

    fn highest_of(&self, leaf: u32) -> Place {
        let leaf = self.leaves.get(leaf);
        highest_place(leaf.low, leaf.bits)
    }

    /// The leaf with the lowest places.
    pub(crate) fn lowest_leaf(&self) -> Option<u32> {
        let mut node = self.lowest_root()?;
        loop {
            node = match node.kind() {
                Kind::None => return None,
                Kind::Leaf(leaf) => return Some(leaf),
                Kind::Table(table) => {
                    *self.tables.get(table).children.iter().find(|child| **child != Node::NONE)?
                }
                Kind::Cuts(cuts) => Node::leaf(self.cuts.get(cuts).parts.first()?.leaf),
            }
        }
    }

    /// The occupied buckets, the hardest first: roots, or the children of roots that have many samples compared with those above them.
    pub(crate) fn census(&self) -> Vec<Bucket> {
        let roots = self.roots();
        // Room for two divided roots: mostly the hardest ones are divided.
        let mut buckets = Vec::with_capacity(roots + 2 * CHILDREN);
        let mut above = 0;
        let mut spare = CENSUS_MAX.saturating_sub(roots);
        self.roots_down(|root, node| {
            self.count(node, root.low(), root.bits(), &mut above, &mut spare, &mut buckets);
            true
        });
        buckets
    }

    fn count(
        &self,
        node: Node,
        low: Key,
        bits: u32,
        above: &mut u64,
        spare: &mut usize,
        buckets: &mut Vec<Bucket>,
    ) {
        let (total, resting) = self.sizes(node);
        if total == 0 {
            return;
        }
        if let Kind::Table(table) = node.kind() {
            let table = self.tables.get(table);
            let children = table.children.iter().filter(|child| **child != Node::NONE).count() - 1;
            if EXPAND_SHARE * u64::from(total) > *above && children <= *spare {
                *spare -= children;
                for (child, node) in table.children.iter().enumerate().rev() {
                    let low = table.low.plus((child as i64) << table.bits);
                    self.count(*node, low, table.bits, above, spare, buckets);
                }
                return;
            }
        }
        *above += u64::from(total);
        let high = low.plus((1 << bits) - 1);
        let offsets = self.offsets(node, low);
        buckets.push(Bucket { handle: node.0, low, high, count: total - resting, resting, offsets });
    }
    /// The offsets above `low` of the members below a node that do not rest.
    fn offsets(&self, node: Node, low: Key) -> Offsets {
        match node.kind() {
            Kind::None => Offsets::default(),
            Kind::Cuts(cuts) => {
                // All members have one key.
                let cuts = self.cuts.get(cuts);
                Offsets::default().above_lower(cuts.low.since(low) as u64, cuts.total - cuts.resting)
            }
            Kind::Leaf(leaf) => {
                let leaf = self.leaves.get(leaf);
                leaf.offsets.above_lower(leaf.low.since(low) as u64, leaf.active())
            }
            Kind::Table(table) => {
                let children = self.tables.get(table).children.iter();
                children.fold(Offsets::default(), |sum, child| sum.with(self.offsets(*child, low)))
            }
        }
    }
}
