//! Leases of one shard: which samples rest, and whose lease ends first.

use std::collections::BTreeSet;

use super::background::IdMap;

/// Leases end to this many milliseconds, rounded up, so that those of one batch end together.
const TICK_MILLIS: u64 = 16;

#[derive(Clone, Copy, Debug)]
struct Lease {
    end: u64,
    membership: Option<Membership>,
}

/// Of a sample that was in the background when its lease started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) generation: u64,
    /// By which it leaves that generation, when the threshold falls.
    pub(super) hash: u64,
    /// It was outside the hard store.
    pub(super) outside: bool,
}

/// Leases of members of the background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct LeasedMembers {
    /// In the serving generation.
    pub(in crate::store) members: u64,
    /// Of these, outside the hard store.
    pub(in crate::store) outside: u64,
    /// Outside the hard store, those included that have left the generation or were in an earlier one.
    pub(in crate::store) outside_ever: u64,
}

/// Leases by id and in order of their ends.
#[derive(Debug)]
pub(super) struct Leases {
    ends: IdMap<Lease>,
    /// The generation of the background that is counted, and its leased members by hash.
    generation: u64,
    by_hash: BTreeSet<(u64, u64)>,
    counts: LeasedMembers,
    order: BTreeSet<(u64, u64)>,
    most: usize,
}

impl Leases {
    /// For at most `most` leases: one more ends the earliest.
    pub(super) fn new(most: usize) -> Self {
        Self {
            ends: IdMap::default(),
            generation: 0,
            by_hash: BTreeSet::new(),
            counts: LeasedMembers::default(),
            order: BTreeSet::new(),
            most,
        }
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

    /// Leased members of a generation of the background whose threshold has fallen to `limit`.
    pub(super) fn members(&mut self, generation: u64, limit: u64) -> LeasedMembers {
        if generation != self.generation {
            return LeasedMembers { outside_ever: self.counts.outside_ever, ..LeasedMembers::default() };
        }
        while let Some((_, id)) = self.by_hash.last().copied().filter(|(hash, _)| *hash >= limit) {
            self.by_hash.pop_last();
            self.counts.members -= 1;
            let lease = self.ends.get(&id).and_then(|lease| lease.membership);
            self.counts.outside -= u64::from(lease.is_some_and(|m| m.outside));
        }
        self.counts
    }

    /// Starts a lease; the id whose lease had to end for it.
    pub(super) fn start(
        &mut self,
        id: u64,
        until_millis: u64,
        membership: Option<Membership>,
    ) -> Option<u64> {
        self.end(id);
        let end = until_millis.div_ceil(TICK_MILLIS).saturating_mul(TICK_MILLIS);
        self.ends.insert(id, Lease { end, membership });
        self.order.insert((end, id));
        if let Some(Membership { generation, hash, outside }) = membership {
            if generation != self.generation {
                self.generation = generation;
                self.by_hash.clear();
                (self.counts.members, self.counts.outside) = (0, 0);
            }
            self.by_hash.insert((hash, id));
            self.counts.members += 1;
            self.counts.outside += u64::from(outside);
            self.counts.outside_ever += u64::from(outside);
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
        if let Some(membership) = lease.membership {
            let outside = u64::from(membership.outside);
            self.counts.outside_ever -= outside;
            if membership.generation == self.generation && self.by_hash.remove(&(membership.hash, id)) {
                self.counts.members -= 1;
                self.counts.outside -= outside;
            }
        }
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
        self.ends.allocation_size() + (self.order.len() + self.by_hash.len()) * 32
    }
}
