//! What the shards of a pool share: how many samples there are, and where the easiest ones are.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::background::Generation;
use crate::store::ScoreUpdate;
use crate::store::key::{Hardness, Key};

/// What all shards of a pool share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) capacity: i64,
    pub(super) shards: usize,
    /// Samples in all shards; briefly over capacity while a batch is applied.
    pub(super) len: AtomicI64,
    /// The lowest bucket's key of each shard; `u64::MAX` when empty.
    floors: Vec<AtomicU64>,
    /// When the first lease of each shard ends, milliseconds; `u64::MAX`: none.
    lease_ends: Vec<AtomicU64>,
    pub(super) hardness: Hardness,
    /// Ids of a dense id space; 0: not dense.
    pub(super) dense_ids: u64,
}

impl Shared {
    pub(super) fn new(capacity: usize, shards: usize, hardness: Hardness, dense_ids: u64) -> Self {
        Self {
            capacity: capacity as i64,
            shards,
            len: AtomicI64::new(0),
            floors: (0..shards).map(|_| AtomicU64::new(u64::MAX)).collect(),
            lease_ends: (0..shards).map(|_| AtomicU64::new(u64::MAX)).collect(),
            hardness,
            dense_ids,
        }
    }

    /// The lowest bucket of the pool and the shard that holds it.
    pub(super) fn lowest(&self) -> Option<(usize, Key)> {
        self.lowest_of(|_| true)
    }

    /// The lowest bucket of the other shards.
    pub(super) fn lowest_but(&self, number: usize) -> Option<Key> {
        self.lowest_of(|shard| shard != number).map(|l| l.1)
    }

    fn lowest_of(&self, counts: impl Fn(usize) -> bool) -> Option<(usize, Key)> {
        let mut lowest: Option<(usize, Key)> = None;
        for (shard, floor) in self.floors.iter().enumerate() {
            let Ok(key) = u32::try_from(floor.load(Ordering::Relaxed)) else {
                continue;
            };
            if !counts(shard) {
                continue;
            }
            if lowest.is_none_or(|(_, low)| Key(key).since(low) < 0) {
                lowest = Some((shard, Key(key)));
            }
        }
        lowest
    }

    /// The lowest key that a new sample may have; `None` while there is room.
    pub(super) fn floor(&self) -> Option<Key> {
        self.is_full().then(|| self.lowest()).flatten().map(|l| l.1)
    }

    /// Tells the others a shard's lowest bucket.
    #[inline]
    pub(super) fn publish_floor(&self, shard: usize, lowest: Option<Key>) {
        self.floors[shard].store(lowest.map_or(u64::MAX, |key| u64::from(key.0)), Ordering::Relaxed);
    }

    /// When the first lease of a shard ends, or before: a lease that ended early is found out when its time comes.
    pub(super) fn first_lease_end(&self, shard: usize) -> u64 {
        self.lease_ends[shard].load(Ordering::Relaxed)
    }

    /// Tells when a shard's first lease ends; under the shard's lock.
    pub(super) fn publish_lease_end(&self, shard: usize, end: Option<u64>) {
        self.lease_ends[shard].store(end.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether there are as many samples as there may be.
    pub(super) fn is_full(&self) -> bool {
        self.len.load(Ordering::Relaxed) >= self.capacity
    }
}

/// How a part of a batch is applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) stamp: u32,
    pub(super) decay_units: u64,
    pub(super) refuse_stale: bool,
    pub(super) model_version: u32,
    pub(super) update: ScoreUpdate,
}

/// The generations that serve and fill.
#[derive(Clone, Debug)]
pub(super) struct Generations {
    pub(super) serving: Arc<Generation>,
    pub(super) filling: Option<Arc<Generation>>,
}
