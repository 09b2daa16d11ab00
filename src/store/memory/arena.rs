//! Lists of slot numbers in fixed blocks from one arena, so that thousands of buckets share memory without copying.

use super::hint::{huge_pages, prefetch};

/// Slot numbers in a block.
const BLOCK: usize = 64;
const BLOCK_BITS: u32 = BLOCK.trailing_zeros();
/// Blocks in a chunk, at least: 256 KiB. Nothing ever moves.
const CHUNK_BITS_MIN: u32 = 10;

/// Blocks, in use and free.
#[derive(Debug)]
pub(super) struct Arena {
    /// Each 2^`chunk_bits` blocks; memory is taken as it is touched.
    chunks: Vec<Box<[u32]>>,
    chunk_bits: u32,
    used: u32,
    free: Vec<u32>,
}

impl Arena {
    /// For about `members` slot numbers, which then lie in one or two chunks.
    pub(super) fn new(members: usize) -> Self {
        let blocks = members.div_ceil(BLOCK).next_power_of_two();
        Self {
            chunks: Vec::new(),
            chunk_bits: blocks.trailing_zeros().max(CHUNK_BITS_MIN),
            used: 0,
            free: Vec::new(),
        }
    }

    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            if self.used as usize >> self.chunk_bits == self.chunks.len() {
                let chunk = vec![0; BLOCK << self.chunk_bits].into_boxed_slice();
                huge_pages(&chunk);
                self.chunks.push(chunk);
            }
            self.used += 1;
            self.used - 1
        })
    }

    #[inline]
    fn place(&self, block: u32, position: u32) -> (usize, usize) {
        let in_chunk = (block as usize & ((1 << self.chunk_bits) - 1)) << BLOCK_BITS;
        ((block >> self.chunk_bits) as usize, in_chunk | (position as usize & (BLOCK - 1)))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        (self.used as usize * BLOCK + self.free.capacity()) * 4
    }
}

/// A list of slot numbers.
#[derive(Debug, Default)]
pub(super) struct List {
    blocks: Vec<u32>,
    len: u32,
}

impl List {
    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(super) fn get(&self, arena: &Arena, position: u32) -> u32 {
        let (chunk, at) = arena.place(self.blocks[(position >> BLOCK_BITS) as usize], position);
        arena.chunks[chunk][at]
    }

    #[inline]
    pub(super) fn set(&self, arena: &mut Arena, position: u32, slot: u32) {
        let (chunk, at) = arena.place(self.blocks[(position >> BLOCK_BITS) as usize], position);
        arena.chunks[chunk][at] = slot;
    }

    #[inline]
    pub(super) fn prefetch(&self, arena: &Arena, position: u32) {
        if let Some(&block) = self.blocks.get((position >> BLOCK_BITS) as usize) {
            let (chunk, at) = arena.place(block, position);
            prefetch(&arena.chunks[chunk], at);
        }
    }

    /// Appends; returns the position.
    #[inline]
    pub(super) fn push(&mut self, arena: &mut Arena, slot: u32) -> u32 {
        let position = self.len;
        if position as usize & (BLOCK - 1) == 0 {
            self.blocks.push(arena.take());
        }
        self.len += 1;
        self.set(arena, position, slot);
        position
    }

    /// Takes the last; the list is not empty.
    #[inline]
    pub(super) fn pop(&mut self, arena: &mut Arena) -> u32 {
        let position = self.len - 1;
        let slot = self.get(arena, position);
        self.len = position;
        if position as usize & (BLOCK - 1) == 0
            && let Some(block) = self.blocks.pop()
        {
            arena.free.push(block);
        }
        slot
    }

    pub(super) fn iter<'a>(&'a self, arena: &'a Arena) -> impl Iterator<Item = u32> + 'a {
        (0..self.len).map(|position| self.get(arena, position))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.blocks.capacity() * 4
    }
}
