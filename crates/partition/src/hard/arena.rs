//! Lists of slot numbers in fixed blocks from one arena, so that thousands of buckets share memory without copying.

use bytemuck::{Pod, Zeroable};

use super::segments::{Segments, stage};

/// Slot numbers in a block.
pub(crate) const BLOCK: usize = 16;
const BLOCK_BITS: u32 = BLOCK.trailing_zeros();

/// A block of slot numbers of one list: one cache line.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Block([u32; BLOCK]);

/// All blocks, those in use and those that are free.
#[derive(Debug)]
pub(crate) struct Arena {
    blocks: Segments<Block>,
    /// The number of blocks that the arena is expected to need.
    wanted: usize,
    used: u32,
    free: Vec<u32>,
}

impl Arena {
    /// An arena for about `members` slot numbers.
    pub(crate) fn new(members: usize) -> Self {
        // The last block of a list is not full. Memory that is not touched costs nothing.
        let wanted = (members + members / 4).div_ceil(BLOCK);
        Self { blocks: Segments::new(), wanted, used: 0, free: Vec::new() }
    }

    /// Room for `blocks` blocks at once.
    pub(crate) fn reserve(&mut self, blocks: usize) {
        self.blocks.grow(blocks);
    }

    #[inline(never)]
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let used = self.used as usize;
            if used == self.blocks.capacity() {
                let spare = (self.wanted / 16).max(16);
                self.blocks.grow(if used < self.wanted {
                    stage(self.wanted, used + 1)
                } else {
                    used + spare
                });
            }
            self.used += 1;
            self.used - 1
        })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.used as usize * size_of::<Block>() + self.free.capacity() * 4
    }
}

/// A list of slot numbers.
#[derive(Debug, Default)]
pub(crate) struct List {
    blocks: Vec<u32>,
    len: u32,
}

impl List {
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    fn block(&self, position: u32) -> usize {
        self.blocks[(position >> BLOCK_BITS) as usize] as usize
    }

    #[inline]
    pub(crate) fn get(&self, arena: &Arena, position: u32) -> u32 {
        arena.blocks.get(self.block(position)).0[position as usize % BLOCK]
    }

    #[inline]
    pub(crate) fn set(&self, arena: &mut Arena, position: u32, slot: u32) {
        arena.blocks.get_mut(self.block(position)).0[position as usize % BLOCK] = slot;
    }

    #[inline]
    pub(crate) fn prefetch(&self, arena: &Arena, position: u32) {
        if let Some(&block) = self.blocks.get((position >> BLOCK_BITS) as usize) {
            arena.blocks.prefetch(block as usize);
        }
    }

    /// Appends a slot number. Returns its position.
    #[inline(always)]
    pub(crate) fn push(&mut self, arena: &mut Arena, slot: u32) -> u32 {
        let position = self.len;
        if (position as usize).is_multiple_of(BLOCK) {
            self.blocks.push(arena.take());
        }
        self.len += 1;
        self.set(arena, position, slot);
        position
    }

    /// Takes the last slot number. The list is not empty.
    #[inline(always)]
    pub(crate) fn pop(&mut self, arena: &mut Arena) -> u32 {
        let position = self.len - 1;
        let slot = self.get(arena, position);
        self.len = position;
        if (position as usize).is_multiple_of(BLOCK)
            && let Some(block) = self.blocks.pop()
        {
            arena.free.push(block);
        }
        slot
    }

    /// Takes all slot numbers, in order.
    pub(crate) fn drain(&mut self, arena: &mut Arena) -> Vec<u32> {
        let all = self.read(arena);
        arena.free.append(&mut self.blocks);
        self.len = 0;
        all
    }

    /// All in order.
    pub(crate) fn read(&self, arena: &Arena) -> Vec<u32> {
        let mut all = Vec::with_capacity(self.blocks.len() * BLOCK);
        self.blocks.iter().for_each(|block| all.extend_from_slice(&arena.blocks.get(*block as usize).0));
        all.truncate(self.len as usize);
        all
    }

    /// All slot numbers in order. Blocks are scattered in memory, so the next ones are prefetched.
    pub(crate) fn iter<'a>(&'a self, arena: &'a Arena) -> impl Iterator<Item = u32> + 'a {
        const AHEAD: usize = 8;
        let numbers = self.blocks.iter().enumerate().flat_map(move |(at, block)| {
            if let Some(next) = self.blocks.get(at + AHEAD) {
                arena.blocks.prefetch(*next as usize);
            }
            arena.blocks.get(*block as usize).0.iter().copied()
        });
        numbers.take(self.len as usize)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.blocks.capacity() * 4
    }
}
