//! Leases: which samples rest because they were served, and which lease ends first. A worn sample, which was served `max_serves` times, has
//! a lease that only a report ends.

use std::collections::BTreeSet;

use crate::id_map::IdMap;
use crate::op::WORN_UNTIL;

/// The ends of leases are rounded up to multiples of this, in milliseconds, so that the leases of one batch end together.
const TICK_MILLIS: u64 = 16;

#[derive(Clone, Copy, Debug)]
struct Lease {
    end: u64,
    membership: Option<Membership>,
}

/// The membership in the background that a sample had when its lease started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) generation: u64,
    /// The background hash of the sample: it leaves the generation when the threshold falls to this.
    pub(crate) hash: u64,
    /// The sample was outside the hard store, or would have been by its own key.
    pub(crate) outside: bool,
}

/// The number of leases of members of the background.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeasedMembers {
    /// Leased members of the serving generation.
    pub(crate) members: u64,
    /// The leased members of the serving generation that are [`Membership::outside`].
    pub(crate) outside: u64,
    /// All leases that are [`Membership::outside`], including those of samples that have left the generation or were members of an earlier
    /// one.
    pub(crate) outside_ever: u64,
}

/// Leases by id and in order of their ends.
#[derive(Debug)]
pub(crate) struct Leases {
    ends: IdMap<Lease>,
    /// The generation of the background whose leased members are counted, and those members by hash.
    generation: u64,
    by_hash: BTreeSet<(u64, u64)>,
    counts: LeasedMembers,
    order: BTreeSet<(u64, u64)>,
    /// The number of worn samples ([`WORN_UNTIL`]).
    worn: usize,
    most: usize,
}

impl Leases {
    /// Holds at most `most` leases. One more ends the lease that would end first.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            ends: IdMap::default(),
            generation: 0,
            by_hash: BTreeSet::new(),
            counts: LeasedMembers::default(),
            order: BTreeSet::new(),
            worn: 0,
            most,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The number of samples that rest, worn ones included.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of worn samples.
    pub(crate) fn worn(&self) -> usize {
        self.worn
    }

    /// The maximal number of leases.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    #[inline]
    pub(crate) fn contains(&self, id: u64) -> bool {
        !self.ends.is_empty() && self.ends.contains_key(&id)
    }

    /// When the lease of an id ends.
    pub(crate) fn end_of(&self, id: u64) -> Option<u64> {
        self.ends.get(&id).map(|lease| lease.end)
    }

    /// The leased members of a generation of the background.
    pub(crate) fn members(&self, generation: u64) -> LeasedMembers {
        if generation != self.generation {
            return LeasedMembers { outside_ever: self.counts.outside_ever, ..LeasedMembers::default() };
        }
        self.counts
    }

    /// The threshold of the serving generation fell to `limit`: leased samples with larger hashes are no members any more.
    #[inline]
    pub(crate) fn follow(&mut self, generation: u64, limit: u64) {
        if generation != self.generation {
            return;
        }
        while let Some((_, id)) = self.by_hash.last().copied().filter(|(hash, _)| *hash >= limit) {
            self.by_hash.pop_last();
            self.counts.members -= 1;
            let lease = self.ends.get(&id).and_then(|lease| lease.membership);
            self.counts.outside -= u64::from(lease.is_some_and(|m| m.outside));
        }
    }

    /// All leases in order of their ends: (end, id, membership, whether the sample is still counted as a member).
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, u64, Option<Membership>, bool)> + '_ {
        self.order.iter().filter_map(|(end, id)| {
            let membership = self.ends.get(id)?.membership;
            let counts = membership
                .is_some_and(|m| m.generation == self.generation && self.by_hash.contains(&(m.hash, *id)));
            Some((*end, *id, membership, counts))
        })
    }

    /// The generation whose members are counted.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Before [`Self::restore`]: sets the generation whose members are counted, and reserves memory for `leases` leases.
    pub(crate) fn restore_generation(&mut self, generation: u64, leases: usize) {
        self.generation = generation;
        self.ends.reserve(leases);
    }

    /// Restores a lease that [`Self::all`] returned. False: no sequence of operations gives this lease.
    pub(crate) fn restore(
        &mut self,
        (end, id, membership, counts): (u64, u64, Option<Membership>, bool),
    ) -> bool {
        let fits = !counts || membership.is_some_and(|m| m.generation == self.generation);
        if self.ends.len() == self.most || !fits || self.ends.contains_key(&id) {
            return false;
        }
        self.ends.insert(id, Lease { end, membership });
        self.order.insert((end, id));
        self.worn += usize::from(end == WORN_UNTIL);
        if let Some(m) = membership {
            self.counts.outside_ever += u64::from(m.outside);
            if counts {
                self.by_hash.insert((m.hash, id));
                self.counts.members += 1;
                self.counts.outside += u64::from(m.outside);
            }
        }
        true
    }

    /// Starts a lease. Returns the id whose lease ended to make room.
    pub(crate) fn start(
        &mut self,
        id: u64,
        until_millis: u64,
        membership: Option<Membership>,
    ) -> Option<u64> {
        self.end(id);
        let end = until_millis.div_ceil(TICK_MILLIS).saturating_mul(TICK_MILLIS);
        self.ends.insert(id, Lease { end, membership });
        self.order.insert((end, id));
        self.worn += usize::from(end == WORN_UNTIL);
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
    pub(crate) fn end(&mut self, id: u64) -> bool {
        if self.ends.is_empty() {
            return false;
        }
        let Some(lease) = self.ends.remove(&id) else {
            return false;
        };
        self.order.remove(&(lease.end, id));
        self.worn -= usize::from(lease.end == WORN_UNTIL);
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

    /// Ends one lease that has run out by `now_millis`. Returns its id.
    pub(crate) fn pop_over(&mut self, now_millis: u64) -> Option<u64> {
        let (end, id) = *self.order.first()?;
        if end > now_millis {
            return None;
        }
        self.end(id);
        Some(id)
    }

    /// When the first lease ends.
    pub(crate) fn first_end(&self) -> Option<u64> {
        self.order.first().map(|(end, _)| *end)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // The nodes of a B-tree are at least half full.
        self.ends.allocation_size() + (self.order.len() + self.by_hash.len()) * 32
    }
}
