//! The string keys of negatives. A reference-counted copy is kept while any anchor of the partition has the sample.

use std::sync::Arc;

use crate::id_map::IdMap;

/// Bytes of an entry beside its name: the map entry, the counts of the `Arc`, and the allocation.
const ENTRY_BYTES: usize = 72;

/// Names by id.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: IdMap<Entry>,
    /// Bytes of all names.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Entry {
    /// The name; empty if no report had one.
    name: Arc<str>,
    /// The number of anchors that have the sample.
    anchors: u32,
}

impl Names {
    /// Counts one more anchor that has the sample.
    pub(crate) fn retain(&mut self, id: u64, name: Option<&Arc<str>>) {
        let entry = self.names.entry(id).or_default();
        entry.anchors += 1;
        if let Some(name) = name.filter(|name| entry.name.is_empty() && !name.is_empty()) {
            entry.name = name.clone();
            self.bytes += name.len();
        }
    }

    /// Counts one anchor less that has the sample.
    pub(crate) fn release(&mut self, id: u64) {
        let Some(entry) = self.names.get_mut(&id) else {
            return;
        };
        entry.anchors -= 1;
        if entry.anchors == 0 {
            self.bytes -= entry.name.len();
            self.names.remove(&id);
        }
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Arc<str>> {
        self.names.get(&id).map(|entry| &entry.name)
    }

    /// Names in order of id.
    pub(crate) fn all(&self) -> Vec<(u64, &Arc<str>)> {
        let mut all: Vec<_> = self.names.iter().map(|(id, entry)| (*id, &entry.name)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Restores the name of an id. False: no anchor has the id.
    pub(crate) fn restore(&mut self, id: u64, name: &str) -> bool {
        let Some(entry) = self.names.get_mut(&id) else {
            return false;
        };
        self.bytes += name.len();
        if !name.is_empty() {
            entry.name = name.into();
        }
        true
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.names.len() * ENTRY_BYTES + self.bytes
    }
}
