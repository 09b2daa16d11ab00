//! The string keys of negatives: one copy each, for as long as any anchor has the sample.

use hardneg_partition::id_map::IdMap;
use parking_lot::Mutex;
use std::sync::Arc;

use crate::store::hash::placement_hash;
use crate::store::layout::partition_of;

/// What an entry takes beside the bytes of its name: place in the map, counts, block.
const ENTRY_BYTES: usize = 72;

/// Names by id, in parts with a lock each. Locked under a shard's lock, never the other way round.
#[derive(Debug)]
pub(super) struct Names {
    parts: Vec<Mutex<Part>>,
}

#[derive(Debug, Default)]
struct Part {
    /// With the number of anchors that have it.
    names: IdMap<(Arc<str>, u32)>,
    bytes: usize,
}

impl Names {
    pub(super) fn new(parts: usize) -> Self {
        Self { parts: (0..parts).map(|_| Mutex::default()).collect() }
    }

    fn part(&self, id: u64) -> &Mutex<Part> {
        &self.parts[partition_of(placement_hash(id), self.parts.len())]
    }

    /// One more anchor has it.
    pub(super) fn retain(&self, id: u64, name: &Arc<str>) {
        let mut part = self.part(id).lock();
        let mut added = 0;
        let entry = part.names.entry(id).or_insert_with(|| {
            added = name.len() + ENTRY_BYTES;
            (name.clone(), 0)
        });
        entry.1 += 1;
        part.bytes += added;
    }

    /// One anchor less has it.
    pub(super) fn release(&self, id: u64) {
        let mut part = self.part(id).lock();
        let Some(entry) = part.names.get_mut(&id) else {
            return;
        };
        entry.1 -= 1;
        if entry.1 == 0 {
            part.bytes -= entry.0.len() + ENTRY_BYTES;
            part.names.remove(&id);
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<str>> {
        self.part(id).lock().names.get(&id).map(|entry| entry.0.clone())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.lock().bytes).sum()
    }
}
