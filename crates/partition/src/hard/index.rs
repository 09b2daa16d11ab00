//! The index from ids to slots: a hash table with open addressing in cache lines that compares fingerprints first.
//!
//! A line holds fifteen entries (fingerprint in the high bits, slot number + 1 in the low ones, 0 if empty). Its last word counts the
//! entries that overflowed past it. So a lookup of an id that is not there reads one line in most cases.

use bytemuck::{Pod, Zeroable};

use super::lanes::equal_lanes;
use super::prefetch::{huge_pages, prefetch};

/// The number of entries in a line.
const ENTRIES: usize = 15;
/// The number of lines is such that this share of the entries is used when the store is full.
const LOAD: f64 = 0.75;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line {
    /// Fifteen entries, then the number of entries that were pushed past this line into a later one.
    words: [u32; ENTRIES + 1],
}

impl Line {
    #[inline]
    fn overflow(&self) -> u32 {
        self.words[ENTRIES]
    }
}

/// What the home line of an id tells about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// The id is not in the index.
    Absent,
    /// The id may be in this slot, whose fingerprint matches. Otherwise it may be in a later line, or not in the index.
    Perhaps(u32),
    /// The id may be in a later line.
    Beyond,
}

/// The index from ids to slots.
#[derive(Debug)]
pub(crate) struct Index {
    lines: Vec<Line>,
    slot_mask: u32,
    slot_bits: u32,
}

impl Index {
    /// An index for at most `capacity` slots. The memory is zeroed pages, which cost nothing until they are touched.
    pub(crate) fn new(capacity: usize) -> Self {
        let slot_bits = usize::BITS - capacity.leading_zeros();
        let lines = ((capacity as f64 / LOAD / ENTRIES as f64).ceil() as usize).max(1);
        let lines: Vec<Line> = bytemuck::allocation::zeroed_vec(lines);
        huge_pages(&lines);
        Self { lines, slot_mask: ((1u64 << slot_bits) - 1) as u32, slot_bits }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        // The high half of the hash chooses the partition, so the low half chooses the line.
        ((u64::from(hash as u32) * self.lines.len() as u64) >> 32) as usize
    }

    #[inline]
    fn fingerprint(&self, hash: u64) -> u32 {
        // The low bits of the high half choose neither the partition nor the line.
        ((hash >> 32) as u32).checked_shl(self.slot_bits).unwrap_or(0)
    }

    /// Prefetches the home line of `hash`.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch(&self.lines, self.home(hash));
    }

    /// Reads the home line only, and no slot.
    #[inline]
    pub(crate) fn probe(&self, hash: u64) -> Probe {
        let line = &self.lines[self.home(hash)];
        let matches = self.matches(line, self.fingerprint(hash));
        if matches != 0 {
            Probe::Perhaps((line.words[matches.trailing_zeros() as usize] & self.slot_mask) - 1)
        } else if line.overflow() == 0 {
            Probe::Absent
        } else {
            Probe::Beyond
        }
    }

    /// The slot with the fingerprint of `hash` for which `is_it` is true.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let fingerprint = self.fingerprint(hash);
        let mut at = self.home(hash);
        loop {
            let line = &self.lines[at];
            let mut matches = self.matches(line, fingerprint);
            while matches != 0 {
                let slot = (line.words[matches.trailing_zeros() as usize] & self.slot_mask) - 1;
                if is_it(slot) {
                    return Some(slot);
                }
                matches &= matches - 1;
            }
            at = self.after(at);
            // Where all lines have overflowed, the search ends at the line where it began.
            if line.overflow() == 0 || at == self.home(hash) {
                return None;
            }
        }
    }

    /// Bit i: entry i is occupied and has this fingerprint.
    #[inline]
    fn matches(&self, line: &Line, fingerprint: u32) -> u32 {
        let found = equal_lanes(&line.words, fingerprint, !self.slot_mask) & ((1 << ENTRIES) - 1);
        // Empty entries have the fingerprint 0.
        if fingerprint == 0 { found & !equal_lanes(&line.words, 0, u32::MAX) } else { found }
    }

    /// Inserts a slot. The index is never more than LOAD full, so there is room.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        let entry = self.fingerprint(hash) | (slot + 1);
        let mut at = self.home(hash);
        loop {
            let line = &mut self.lines[at];
            let free = equal_lanes(&line.words, 0, u32::MAX).trailing_zeros() as usize;
            if free < ENTRIES {
                line.words[free] = entry;
                return;
            }
            line.words[ENTRIES] += 1;
            at = self.after(at);
        }
    }

    /// Removes a slot that was inserted under this hash.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let entry = self.fingerprint(hash) | (slot + 1);
        let mut at = self.home(hash);
        for _ in 0..self.lines.len() {
            let line = &mut self.lines[at];
            let found = equal_lanes(&line.words, entry, u32::MAX).trailing_zeros() as usize;
            if found < ENTRIES {
                line.words[found] = 0;
                return;
            }
            // The entry is in a later line, so this line counted it.
            line.words[ENTRIES] = line.words[ENTRIES].saturating_sub(1);
            at = self.after(at);
        }
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.lines.len() { 0 } else { at + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::placement_hash;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_search_ends_where_every_line_overflowed() {
        let mut index = Index::new(22);
        assert_eq!(index.lines.len(), 2);
        // The low half of a hash chooses the line, the high half tells ids apart.
        let hash = |line: u64, slot: u32| u64::from(slot) << 32 | (line * u64::from(u32::MAX));
        (0..16).for_each(|slot| index.insert(hash(0, slot), slot));
        (0..10).for_each(|slot| index.remove(hash(0, slot), slot));
        (0..10).chain(16..21).for_each(|slot| index.insert(hash(1, slot), slot));
        assert!(index.lines.iter().all(|line| line.overflow() == 1));
        assert_eq!(index.find(hash(0, 21), |_| true), None);
        assert_eq!(index.find(hash(1, 22), |_| true), None);
        let all = (0..10).chain(16..21).map(|slot| (1, slot)).chain((10..16).map(|slot| (0, slot)));
        for (line, slot) in all {
            assert_eq!(index.find(hash(line, slot), |_| true), Some(slot));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_map(capacity in 1usize..200, ops in proptest::collection::vec((0u64..300, any::<bool>()), 0..600)) {
            let mut index = Index::new(capacity);
            let mut ids = vec![u64::MAX; capacity];
            let mut free: Vec<u32> = (0..capacity as u32).collect();
            let mut model: BTreeMap<u64, u32> = BTreeMap::new();
            for (id, insert) in ops {
                let hash = placement_hash(id);
                let found = index.find(hash, |slot| ids[slot as usize] == id);
                prop_assert_eq!(found, model.get(&id).copied());
                match found {
                    Some(slot) if !insert => {
                        index.remove(hash, slot);
                        ids[slot as usize] = u64::MAX;
                        free.push(slot);
                        model.remove(&id);
                    }
                    None if insert => if let Some(slot) = free.pop() {
                        index.insert(hash, slot);
                        ids[slot as usize] = id;
                        model.insert(id, slot);
                    },
                    _ => {}
                }
            }
            for line in &index.lines {
                prop_assert!(!model.is_empty() || line.overflow() == 0, "overflow counts come back to 0");
            }
        }
    }
}
