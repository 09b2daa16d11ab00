//! Which slot an id is in: fingerprint-first open addressing in cache lines.
//!
//! A line holds fifteen entries (fingerprint in the high bits, slot number + 1 in the low ones, 0 empty) and, in its last
//! word, counts the entries that overflowed past it. A miss reads one line: fingerprints are the admission filter.

use bytemuck::{Pod, Zeroable};

use super::lanes::equal_lanes;
use super::prefetch::{huge_pages, prefetch};

/// Entries in a line.
const ENTRIES: usize = 15;
/// Lines are sized so that this share of their entries is used when full.
const LOAD: f64 = 0.75;

#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line {
    /// Fifteen entries; last, how many entries whose home is here or before stand in a later line.
    words: [u32; ENTRIES + 1],
}

impl Line {
    #[inline]
    fn overflow(&self) -> u32 {
        self.words[ENTRIES]
    }
}

/// What the home line of an id says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// It is not in the index.
    Absent,
    /// It is in this slot, or further on, or nowhere.
    Perhaps(u32),
    /// It may be further on.
    Beyond,
}

/// Which slots the ids are in.
#[derive(Debug)]
pub(crate) struct Index {
    lines: Vec<Line>,
    slot_mask: u32,
    slot_bits: u32,
}

impl Index {
    /// For at most `capacity` slots. Memory is taken as it is touched.
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
        // The partition was chosen by the high half of the hash: the line takes the low half.
        ((u64::from(hash as u32) * self.lines.len() as u64) >> 32) as usize
    }

    #[inline]
    fn fingerprint(&self, hash: u64) -> u32 {
        // Low bits of the high half: neither the partition's bits nor the line's.
        ((hash >> 32) as u32).checked_shl(self.slot_bits).unwrap_or(0)
    }

    /// Starts loading the line of `hash`.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch(&self.lines, self.home(hash));
    }

    /// Looks at the home line only, and at no slot.
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

    /// The slot for which `is_it` holds, among those with the fingerprint of `hash`.
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
            // A few lines may all have entries that overflowed past them: the search ends where it began.
            if line.overflow() == 0 || at == self.home(hash) {
                return None;
            }
        }
    }

    /// Bit i: entry i is occupied and has the fingerprint.
    #[inline]
    fn matches(&self, line: &Line, fingerprint: u32) -> u32 {
        let found = equal_lanes(&line.words, fingerprint, !self.slot_mask) & ((1 << ENTRIES) - 1);
        // What is empty has the fingerprint 0.
        if fingerprint == 0 { found & !equal_lanes(&line.words, 0, u32::MAX) } else { found }
    }

    /// Enters a slot; the index is never more than LOAD full, so there is room.
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

    /// Takes a slot out that was entered under this hash.
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
            // It stands further on, so every line up to it counted it.
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
