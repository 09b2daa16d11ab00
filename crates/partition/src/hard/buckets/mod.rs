//! The priority index: an order of samples as a tree of buckets that is found by key in O(1) (docs/methods.md 3.2).
//!
//! - **Roots** divide the key range: 1/8 octave in the highest 64 octaves, where fresh reports fall, 1 octave in the next 256, and 32
//!   below. As keys move on with time, roots are joined (`roots.rs`).
//! - A **leaf** is an unordered list of at most 8,192 slots of one key range, the resting ones last.
//! - A **table** divides a range that holds more by the next bits of the key: an array, so that a key finds its child at once.
//! - **Cuts** divide a single key unit that holds more, by [`Rank`]: a sorted list of leaves.
//!
//! Every division is made on the insertion that needs it, so the shape is a function of the operations alone.

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
use ring::Ring;
pub(crate) use shape::{LeafShape, NodeShape};

/// Members of a leaf, at most.
pub(crate) const LEAF_MAX: u32 = 8192;
/// A table or cuts of fewer members become one leaf again, when one of them leaves their part of the tree.
const JOIN_BELOW: u32 = 2048;
/// Roots that are joined become one leaf in any case where they have no more members than this; every table has more.
pub(crate) const TABLE_OVER: u32 = 64;
/// Members of a part of cuts below which it joins a small neighbour.
const PART_MIN: u32 = 1024;
/// Key bits that a table divides by, at most.
const TABLE_BITS: u32 = 6;
/// Entries of a census, at most. While keys span no more than 16,384 octaves, as folds see to, the roots alone are fewer.
pub(crate) const CENSUS_MAX: usize = 1500;

/// A leaf, a table, cuts, or nothing, in one word.
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

/// Slots whose keys share all but the lowest `bits` bits.
#[derive(Debug)]
pub(crate) struct Leaf {
    list: List,
    /// Members at the end of the list that rest.
    resting: u32,
    low: Key,
    bits: u32,
}

impl Leaf {
    pub(crate) fn len(&self) -> u32 {
        self.list.len()
    }

    /// Members that do not rest, the first of the list.
    pub(crate) fn active(&self) -> u32 {
        self.list.len() - self.resting
    }
}

/// Children of a table, at most.
const CHILDREN: usize = 1 << TABLE_BITS;

/// A range divided by the bits of the key above `bits`. Its arrays are inside, so that a key finds its child in one step.
#[derive(Debug)]
struct Table {
    children: [Node; CHILDREN],
    /// Members of each child that do not rest.
    active: [u32; CHILDREN],
    /// Members, and those of them that rest.
    total: u32,
    resting: u32,
    low: Key,
    /// Of the whole range, and of a child's.
    range_bits: u32,
    bits: u32,
}

impl Table {
    /// Without members.
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

    /// Enters a child with its members, and those of them that rest.
    fn enter(&mut self, child: usize, node: Node, (total, resting): (u32, u32)) {
        self.children[child] = node;
        self.active[child] = total - resting;
        self.total += total;
        self.resting += resting;
    }
}

/// A single key unit divided by rank.
#[derive(Debug)]
struct Cuts {
    /// In ascending order of `from`; at least one.
    parts: Vec<Part>,
    total: u32,
    resting: u32,
    low: Key,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    /// No member is below; the first part's is the lowest there is.
    from: Rank,
    leaf: u32,
    /// Members that do not rest.
    active: u32,
}

impl Cuts {
    #[inline]
    fn part_of(&self, rank: &Rank) -> usize {
        // The lowest leave a full store all the time, and stand in the first part.
        match self.parts.get(1) {
            Some(second) if second.from > *rank => 0,
            _ => self.parts.partition_point(|part| part.from <= *rank).saturating_sub(1),
        }
    }
}

/// Numbered things with the numbers that are free.
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

/// Where a node hangs.
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
    /// Roots of 1/8 octave, by key >> FINE_BITS; of 1 octave, by number of the octave; of 32 octaves.
    fine: Ring<512>,
    middle: Ring<512>,
    coarse: Ring<1024>,
    /// Number of the highest octave that was ever reached, and the lowest key in it.
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
    /// For about `members` samples.
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

    /// Room for `blocks` blocks of members at once.
    pub(crate) fn reserve(&mut self, blocks: usize) {
        self.arena.reserve(blocks);
    }

    fn new_leaf(&mut self, key: Key, bits: u32) -> u32 {
        let low = lowest_in(key, bits);
        self.leaves.add(Leaf { list: List::default(), resting: 0, low, bits })
    }

    /// Slots of a leaf.
    pub(crate) fn members(&self, leaf: u32) -> impl Iterator<Item = u32> + '_ {
        self.leaves.get(leaf).list.iter(&self.arena)
    }

    /// Slots of a leaf, read at once.
    pub(crate) fn read_members(&self, leaf: u32) -> Vec<u32> {
        self.leaves.get(leaf).list.read(&self.arena)
    }

    /// Slots of a leaf that do not rest.
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

/// The lowest key that shares all but the lowest `bits` bits with `key`.
fn lowest_in(key: Key, bits: u32) -> Key {
    Key(key.0 >> bits << bits)
}

/// The highest place that a range can hold.
fn highest_place(low: Key, bits: u32) -> Place {
    Place { key: low.plus((1 << bits) - 1), rank: Rank::MAX }
}

#[cfg(test)]
mod tests;
