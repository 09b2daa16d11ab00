//! The priority index: an order of samples as a tree of buckets that is found by key in O(1) (docs/methods.md 3.2).
//!
//! - **Roots** divide the key range: 1/8 octave in the highest 64 octaves, where fresh reports fall, 1 octave in the next 256, and 32
//!   below. As keys move on with time, roots are joined (`roots.rs`).
//! - A **leaf** is an unordered list of at most 8,192 slots of one key range, those that rest last.
//! - A **table** divides a range that holds more by the next bits of the key: an array, so that a key finds its child at once.
//! - **Cuts** divide a single key unit that holds more, by [`Rank`]: a sorted list of leaves.
//!
//! A division is made by the insertion that needs it, so the shape is a function of the operations alone.

mod change;
mod divide;
mod resting;
mod ring;
mod roots;
mod shape;
mod walk;

use super::arena::{Arena, List};
use crate::key::Key;
use crate::place::{Place, Rank};
use crate::row::Offsets;
use ring::Ring;
pub(crate) use shape::{LeafShape, NodeShape};

/// The maximal number of members of a leaf.
pub(crate) const LEAF_MAX: u32 = 8192;
/// A table or cuts with fewer members become one leaf again when a member is removed.
const JOIN_BELOW: u32 = 2048;
/// Roots that are joined always become one leaf if they have no more members than this. Every table has more.
pub(crate) const TABLE_OVER: u32 = 64;
/// A part of cuts with fewer members joins a small neighbour.
const PART_MIN: u32 = 1024;
/// The maximal number of key bits that a table divides by.
const TABLE_BITS: u32 = 6;
/// The maximal number of entries of a census. The roots alone are fewer while keys span at most 16,384 octaves, which folds ensure.
pub(crate) const CENSUS_MAX: usize = 1500;

/// The kind and index of a node in one word: a leaf, a table, cuts, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node(u32);

const TABLE_FLAG: u32 = 1 << 31;
const CUTS_FLAG: u32 = 1 << 30;
const NUMBER: u32 = CUTS_FLAG - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Leaf(u32),
    Table(u32),
    Cuts(u32),
}

impl Node {
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn leaf(number: u32) -> Self {
        Self(number)
    }

    fn table(number: u32) -> Self {
        Self(number | TABLE_FLAG)
    }

    fn cuts(number: u32) -> Self {
        Self(number | CUTS_FLAG)
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.0 & (TABLE_FLAG | CUTS_FLAG) {
            0 => Kind::Leaf(self.0),
            TABLE_FLAG => Kind::Table(self.0 & NUMBER),
            CUTS_FLAG => Kind::Cuts(self.0 & NUMBER),
            _ => Kind::None,
        }
    }
}

/// A leaf: slots whose keys are equal in all but the lowest `bits` bits.
#[derive(Debug)]
pub(crate) struct Leaf {
    list: List,
    /// The number of members that rest. They are at the end of the list.
    resting: u32,
    low: Key,
    bits: u32,
    /// The offsets of the members that do not rest above `low`.
    offsets: Offsets,
}

impl Leaf {
    pub(crate) fn len(&self) -> u32 {
        self.list.len()
    }

    /// The number of members that do not rest. They are first in the list.
    pub(crate) fn active(&self) -> u32 {
        self.list.len() - self.resting
    }

    /// The offset of a key of a member.
    #[inline]
    fn offset(&self, key: Key) -> u64 {
        key.since(self.low) as u64
    }
}

/// The maximal number of children of a table.
const CHILDREN: usize = 1 << TABLE_BITS;

/// A table: a key range divided by the key bits above `bits`. The arrays are inline, so that a key finds its child in one step.
#[derive(Debug)]
struct Table {
    children: [Node; CHILDREN],
    /// The number of members of each child that do not rest.
    active: [u32; CHILDREN],
    /// The number of members, and of those that rest.
    total: u32,
    resting: u32,
    low: Key,
    /// Key bits of the whole range, and of the range of a child.
    range_bits: u32,
    bits: u32,
}

impl Table {
    /// A table without members.
    fn new(low: Key, range_bits: u32, bits: u32) -> Self {
        Self {
            children: [Node::NONE; CHILDREN],
            active: [0; CHILDREN],
            total: 0,
            resting: 0,
            low,
            range_bits,
            bits,
        }
    }

    #[inline]
    fn child_of(&self, key: Key) -> usize {
        (key.since(self.low) >> self.bits) as usize & (CHILDREN - 1)
    }

    /// Enters a child with the number of its members, and of those that rest.
    fn enter(&mut self, child: usize, node: Node, (total, resting): (u32, u32)) {
        self.children[child] = node;
        self.active[child] = total - resting;
        self.total += total;
        self.resting += resting;
    }
}

/// Cuts: a single key unit divided by rank.
#[derive(Debug)]
struct Cuts {
    /// The parts in ascending order of `from`, at least one.
    parts: Vec<Part>,
    total: u32,
    resting: u32,
    low: Key,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    /// The lowest rank that a member may have. For the first part: the lowest rank there is.
    from: Rank,
    leaf: u32,
    /// Members that do not rest.
    active: u32,
}

impl Cuts {
    #[inline]
    fn part_of(&self, rank: &Rank) -> usize {
        // A full store evicts the lowest samples all the time, and these are in the first part.
        match self.parts.get(1) {
            Some(second) if second.from > *rank => 0,
            _ => self.parts.partition_point(|part| part.from <= *rank).saturating_sub(1),
        }
    }
}

/// An arena of items by number, with a list of free numbers.
#[derive(Debug)]
struct Store<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T> Store<T> {
    fn new() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }

    fn add(&mut self, item: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.items[at as usize] = item;
            return at;
        }
        self.items.push(item);
        self.items.len() as u32 - 1
    }

    #[inline]
    fn get(&self, at: u32) -> &T {
        &self.items[at as usize]
    }

    #[inline]
    fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.items[at as usize]
    }
}

/// The slot in the tree that holds a node.
#[derive(Clone, Copy, Debug)]
enum Parent {
    Root(roots::Root),
    Child(u32, usize),
    Part(u32, usize),
}

/// The buckets of one hard store.
#[derive(Debug)]
pub(crate) struct Buckets {
    arena: Arena,
    leaves: Store<Leaf>,
    tables: Store<Table>,
    cuts: Store<Cuts>,
    /// Roots of 1/8 octave by key >> FINE_BITS, of 1 octave by number of the octave, and of 32 octaves.
    fine: Ring<512>,
    middle: Ring<512>,
    coarse: Ring<1024>,
    /// The number of the highest octave that a key ever reached, and the lowest key in it.
    top: i64,
    top_key: Key,
    /// The first octave with roots of 1/8 octave, the first with a root of its own, and the lowest key in each.
    fine_from: i64,
    fine_low: Key,
    middle_from: i64,
    middle_low: Key,
    len: usize,
    lower_is_harder: bool,
}

impl Buckets {
    /// Buckets for about `members` samples.
    pub(crate) fn new(members: usize, lower_is_harder: bool) -> Self {
        let mut buckets = Self {
            arena: Arena::new(members),
            leaves: Store::new(),
            tables: Store::new(),
            cuts: Store::new(),
            fine: Ring::new(),
            middle: Ring::new(),
            coarse: Ring::new(),
            top: 0,
            top_key: Key(0),
            fine_from: 0,
            fine_low: Key(0),
            middle_from: 0,
            middle_low: Key(0),
            len: 0,
            lower_is_harder,
        };
        buckets.begin_at(Key(0));
        buckets
    }

    /// Allocates memory for `blocks` blocks of members at once.
    pub(crate) fn reserve(&mut self, blocks: usize) {
        self.arena.reserve(blocks);
    }

    fn new_leaf(&mut self, key: Key, bits: u32) -> u32 {
        let low = lowest_in(key, bits);
        self.leaves.add(Leaf { list: List::default(), resting: 0, low, bits, offsets: Offsets::default() })
    }

    /// The slots of a leaf.
    pub(crate) fn members(&self, leaf: u32) -> impl Iterator<Item = u32> + '_ {
        self.leaves.get(leaf).list.iter(&self.arena)
    }

    /// The slots of a leaf as a vector.
    pub(crate) fn read_members(&self, leaf: u32) -> Vec<u32> {
        self.leaves.get(leaf).list.read(&self.arena)
    }

    /// The slots of a leaf that do not rest.
    pub(crate) fn active_members(&self, leaf: u32) -> impl Iterator<Item = u32> + '_ {
        let leaf = self.leaves.get(leaf);
        leaf.list.iter(&self.arena).take(leaf.active() as usize)
    }

    pub(crate) fn leaf_len(&self, leaf: u32) -> u32 {
        self.leaves.get(leaf).len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let leaves: usize = self.leaves.items.iter().map(|l| l.list.memory_bytes() + 16).sum();
        let tables = self.tables.items.capacity() * size_of::<Table>();
        let parts = |c: &Cuts| size_of::<Cuts>() + c.parts.capacity() * size_of::<Part>();
        self.arena.memory_bytes()
            + leaves
            + tables
            + self.cuts.items.iter().map(parts).sum::<usize>()
            + self.fine.memory_bytes()
            + self.middle.memory_bytes()
            + self.coarse.memory_bytes()
    }
}

/// The lowest key that equals `key` in all but the lowest `bits` bits.
fn lowest_in(key: Key, bits: u32) -> Key {
    Key(key.0 >> bits << bits)
}

/// The highest place that a range can hold.
fn highest_place(low: Key, bits: u32) -> Place {
    Place { key: low.plus((1 << bits) - 1), rank: Rank::MAX }
}

#[cfg(test)]
mod tests;
