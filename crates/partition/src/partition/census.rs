//! Counts what a partition holds.

use super::Partition;
use crate::background::Background;
use crate::expiry::Expiry;
use crate::place::Place;
use crate::row::{BackgroundCount, Census, PartitionStats, StratumCount};

impl Partition {
    /// Counts the buckets and the background.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            buckets: self.hard.buckets.census(),
            hard: self.hard.len() as u64,
            leased: self.leases.len() as u64,
            background: self.count_background(),
            floor: self.floor(),
        }
    }

    /// The number of the serving generation of the background, from 0, and how many began so far; zeros in a dense id space.
    #[must_use]
    pub fn generations(&self) -> (u64, u64) {
        self.background
            .as_ref()
            .map_or((0, 0), |background| (background.serving.number, background.generations))
    }

    fn count_background(&self) -> BackgroundCount {
        let Some(serving) = self.serving() else {
            let leased = self.leases.len() as u64;
            return BackgroundCount { removed: self.removed.len(), leased, ..BackgroundCount::default() };
        };
        let resting = self.leases.members(serving.number);
        BackgroundCount {
            salt: serving.salt,
            threshold: serving.threshold(),
            members: serving.len() as u64,
            removed: 0,
            leased: resting.members,
            resting_outside: resting.outside_ever,
            resting_outside_members: resting.outside,
            in_hard: serving.own_keys.hard() as u64,
            own: serving.count_own(self.floor(), self.hard.lower_is_harder) as u64,
        }
    }

    /// The number of samples of each stored stratum, in order of stratum; of the first `most` and one more, if there are so many.
    #[must_use]
    pub fn strata(&self, most: usize) -> Vec<StratumCount> {
        let hard = self.hard.strata.counts(self.hard.len());
        let of_hard = hard.map(|(stratum, hard)| StratumCount { stratum, hard, background: 0 });
        let background = self.serving().map(|serving| serving.strata.counts(serving.len()));
        let of_background = background.into_iter().flatten();
        let of_background =
            of_background.map(|(stratum, background)| StratumCount { stratum, hard: 0, background });
        StratumCount::merged(of_hard, of_background, most)
    }

    /// Sizes and memory.
    #[must_use]
    pub fn stats(&self) -> PartitionStats {
        let background = self.background.as_ref();
        let counted = self.count_background();
        PartitionStats {
            hard: self.hard.len() as u64,
            background: background.map_or(0, |b| b.serving.len() as u64),
            threshold: counted.threshold,
            in_hard: counted.in_hard,
            own: counted.own,
            removed: counted.removed,
            leased: (self.leases.len() - self.leases.worn()) as u64,
            worn: self.leases.worn() as u64,
            generations: background.map_or(0, |b| b.generations),
            witness: background.map_or(0, |b| b.witness.len() as u64),
            distinct: background.map_or((0, 0), Background::distinct),
            witness_pending: background.map_or(0, |b| b.witness.pending() as u64),
            workers: self.dedupe.len() as u64,
            quarantined: self.quarantine.len() as u64,
            quarantine_overflows: self.quarantine.overflows,
            streaks: self.quarantine.streaks.len() as u64,
            trusted: self.quarantine.trusted_len() as u64,
            blocked: self.quarantine.blocked_len() as u64,
            floor: self.floor(),
            memory_bytes: self.memory_bytes(),
        }
    }

    /// The place that a new sample must be above to enter the hard store; `None` while there is room.
    #[must_use]
    pub fn floor(&self) -> Option<Place> {
        self.hard.is_full().then(|| self.hard.floor()).flatten()
    }

    /// Samples in the hard store.
    #[must_use]
    pub fn hard_len(&self) -> u64 {
        self.hard.len() as u64
    }

    fn memory_bytes(&self) -> [usize; 4] {
        [
            self.hard.index_bytes(),
            self.hard.slots.memory_bytes(),
            self.hard.buckets.memory_bytes() + self.hard.victims_bytes(),
            self.background.as_ref().map_or(0, Background::memory_bytes)
                + self.removed.serialized_size()
                + self.unstored_serves.allocation_size()
                + self.leases.memory_bytes()
                + self.hard.strata.memory_bytes()
                + self.dedupe.memory_bytes()
                + self.quarantine.memory_bytes()
                + self.expiry.as_ref().map_or(0, Expiry::memory_bytes),
        ]
    }
}
