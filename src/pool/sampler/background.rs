//! The background as the sampler sees it (METHODS 6, DECISIONS 6).

use crate::store::hash::background_hash;
use crate::store::{Address, BackgroundCount};

/// The serving generation: who is in it, how many, and how many ids it stands for.
pub(super) struct Background<'a> {
    count: &'a BackgroundCount,
    /// |R|.
    pub(super) size: f64,
    /// p, the inclusion probability of an id.
    pub(super) probability: f64,
}

impl<'a> Background<'a> {
    pub(super) fn of(count: &'a BackgroundCount) -> Self {
        let (size, probability) = match count {
            BackgroundCount::Sampled { threshold, counts, .. } => (
                counts.iter().map(|&c| u64::from(c)).sum::<u64>() as f64,
                threshold.map_or(1.0, |t| t as f64 / 2f64.powi(64)),
            ),
            BackgroundCount::Dense { ids, removed } => (ids.saturating_sub(*removed) as f64, 1.0),
        };
        Self { count, size, probability }
    }

    /// N, or its estimate |R|/p.
    pub(super) fn distinct(&self) -> f64 {
        self.size / self.probability
    }

    /// Whether a stored sample is in R.
    pub(super) fn contains(&self, id: u64) -> bool {
        match self.count {
            BackgroundCount::Sampled { salt, threshold, .. } => {
                threshold.is_none_or(|t| background_hash(id, *salt) < t)
            }
            BackgroundCount::Dense { ids, .. } => id < *ids,
        }
    }

    /// The partitions that members are drawn from: (partition, ordinals). Dense ordinals are ids, removed ones included.
    pub(super) fn lanes(&self) -> Vec<(u16, u64)> {
        match self.count {
            BackgroundCount::Sampled { counts, .. } => counts
                .iter()
                .enumerate()
                .map(|(partition, &count)| (partition as u16, u64::from(count)))
                .collect(),
            BackgroundCount::Dense { ids, .. } => vec![(0, *ids)],
        }
    }

    /// Where the `ordinal`-th member of a lane is.
    pub(super) fn address(partition: u16, ordinal: u64) -> Address {
        Address::Background { partition, ordinal }
    }
}
