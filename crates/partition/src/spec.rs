//! The spec of a partition.

use crate::key::Hardness;

/// The part of a pool's spec that a partition needs. The pool validates it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionSpec {
    /// Samples kept in the hard store. 1 ..= 2^31.
    pub capacity: usize,
    /// Where background samples come from.
    pub background: BackgroundSpec,
    /// How a score becomes a key.
    pub hardness: Hardness,
    /// Samples have string keys, which are stored with them.
    pub named: bool,
    /// Seed of the salts of background and witness: partitions get different salts, and tests repeat.
    pub salt_seed: u64,
    /// Ids of a dense space that are not stored and whose serve counts are remembered, at most.
    pub unstored_serves: usize,
    /// Processes of workers whose reports are remembered, at most, so that resends change nothing. 0 ..= 2^20; 0: every report is applied.
    pub workers: usize,
    /// Limits on what the quarantine remembers.
    pub quarantine: QuarantineLimits,
}

impl PartitionSpec {
    /// The number of ids of a dense space; 0 where the background is a sample.
    pub(crate) fn dense_ids(&self) -> u64 {
        match self.background {
            BackgroundSpec::Dense { ids } => ids,
            BackgroundSpec::Sampled { .. } => 0,
        }
    }
}

/// Limits on what the quarantine of a partition remembers, each 0 ..= 2^20. The limit on samples that are set aside is not here: operations
/// carry it, because it can change while the pool is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineLimits {
    /// Streaks: samples whose latest rows were all above the threshold. The streak that was extended least recently is forgotten first.
    pub streaks: usize,
    /// Trusted ids, which no row sets aside.
    pub trusted: usize,
    /// Blocked ids, whose rows are ignored.
    pub blocked: usize,
}

/// Where background samples come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackgroundSpec {
    /// Bottom-m by hash over all reported ids (docs/methods.md 4.1).
    Sampled {
        /// m. Of a pool: over all partitions, 16 ..= 2^24.
        size: usize,
    },
    /// Every id in 0..ids, reported or not, except those that were removed.
    Dense {
        /// The number of ids, 1 ..= 2^40.
        ids: u64,
    },
}
