//! What a partition must know of its pool.

use crate::key::Hardness;

/// What a partition must know of its pool. Validated by the pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionSpec {
    /// Samples kept in the hard store. 1 ..= 2^31.
    pub capacity: usize,
    /// Where background samples come from.
    pub background: BackgroundSpec,
    /// How a score becomes a key.
    pub hardness: Hardness,
    /// Samples have string keys, kept beside them.
    pub named: bool,
    /// Seeds the salts of background and witness, so that partitions differ and tests repeat.
    pub salt_seed: u64,
    /// Serves remembered of ids that are stored nowhere.
    pub unstored_serves: usize,
    /// Processes of workers that are remembered at most, so that resends of their reports do nothing. 0 ..= 2^20; 0: every report is
    /// applied.
    pub workers: usize,
    /// What is remembered of suspects.
    pub quarantine: QuarantineLimits,
}

impl PartitionSpec {
    /// Ids of a dense space; 0 where the background is a sample.
    pub(crate) fn dense_ids(&self) -> u64 {
        match self.background {
            BackgroundSpec::Dense { ids } => ids,
            BackgroundSpec::Sampled { .. } => 0,
        }
    }
}

/// What the quarantine of a partition remembers at most, beside the samples that are set aside: their number comes with the
/// operations, because it changes in a live pool. Each 0 ..= 2^20.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineLimits {
    /// Samples with rows above the threshold in a row. The one that was not above it for the longest is forgotten first.
    pub streaks: usize,
    /// Ids that rows never set aside.
    pub trusted: usize,
    /// Ids that are blocked.
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
    /// Every id in 0..ids, reported or not, less what was removed.
    Dense {
        /// 1 ..= 2^40.
        ids: u64,
    },
}
