//! Leases of one shard: which samples rest, and whose lease ends first.

use std::collections::BTreeSet;

use super::background::IdMap;

/// Leases end to this many milliseconds, rounded up, so that those of one batch end together.
const TICK_MILLIS: u64 = 16;

#[derive(Clone, Copy, Debug)]
struct Lease {
    end: u64,
    /// Of a sample outside the hard store: the generation of the background that it was served from.
    generation: Option<u64>,
}

/// Leases by id and in order of their ends.
#[derive(Debug)]
pub(super) struct Leases {
    ends: IdMap<Lease>,
    /// Leases of samples that were served from this generation of the background, from outside the hard store.
    outside: u64,
    generation: u64,
    order: BTreeSet<(u64, u64)>,
    most: usize,
}

impl Leases {
    /// For at most `most` leases: one more ends the earliest.
    pub(super) fn new(most: usize) -> Self {
        Self { ends: IdMap::default(), outside: 0, generation: 0, order: BTreeSet::new(), most }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub(super) fn contains(&self, id: u64) -> bool {
        !self.ends.is_empty() && self.ends.contains_key(&id)
    }

    /// When the lease of an id ends.
    pub(super) fn end_of(&self, id: u64) -> Option<u64> {
        self.ends.get(&id).map(|lease| lease.end)
    }

    /// Leases of samples that were served from `generation` of the background, from outside the hard store.
    pub(super) fn outside(&self, generation: u64) -> u64 {
        if generation == self.generation { self.outside } else { 0 }
    }

    /// Starts a lease; the id whose lease had to end for it. `generation`: as of [`Lease`].
    pub(super) fn start(&mut self, id: u64, until_millis: u64, generation: Option<u64>) -> Option<u64> {
        self.end(id);
        let end = until_millis.div_ceil(TICK_MILLIS).saturating_mul(TICK_MILLIS);
        self.ends.insert(id, Lease { end, generation });
        self.order.insert((end, id));
        if let Some(generation) = generation {
            if generation != self.generation {
                (self.generation, self.outside) = (generation, 0);
            }
            self.outside += 1;
        }
        if self.ends.len() <= self.most {
            return None;
        }
        let (_, earliest) = *self.order.first()?;
        self.end(earliest);
        Some(earliest)
    }

    /// Ends the lease of an id; whether there was one.
    #[inline]
    pub(super) fn end(&mut self, id: u64) -> bool {
        if self.ends.is_empty() {
            return false;
        }
        let Some(lease) = self.ends.remove(&id) else {
            return false;
        };
        self.order.remove(&(lease.end, id));
        self.outside -= u64::from(lease.generation == Some(self.generation));
        true
    }

    /// Ends one lease that is over by `now_millis`: its id.
    pub(super) fn pop_over(&mut self, now_millis: u64) -> Option<u64> {
        let (end, id) = *self.order.first()?;
        if end > now_millis {
            return None;
        }
        self.end(id);
        Some(id)
    }

    /// When the first lease ends.
    pub(super) fn first_end(&self) -> Option<u64> {
        self.order.first().map(|(end, _)| *end)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        // A set's nodes are at least half full.
        self.ends.allocation_size() + self.order.len() * 32
    }
}
