//! Figures of an anchored pool for its statistics and its activity.

use crate::activity::stats::{AnchoredFigures, PoolStats};
use crate::model::batch::PoolSizes;
use crate::model::error::PoolError;
use crate::pool::Pool;
use crate::store::Level;
use crate::store::anchored::Negative;

impl Pool {
    /// Replaces the figures of the hard store, which in an anchored pool is only the top of the background, by those of the anchors.
    pub(in crate::pool) async fn with_anchors(&self, mut stats: PoolStats) -> Result<PoolStats, PoolError> {
        let Some(anchored) = &self.anchored else {
            return Ok(stats);
        };
        let store = anchored.store.stats().await?;
        // The counters of the partitions of samples are those of the background only.
        stats.counters = self.counters.values().with_anchor_totals(&store.totals);
        stats.sizes = PoolSizes {
            hard: store.negatives,
            background: stats.sizes.background,
            distinct: stats.sizes.distinct,
            background_probability: stats.sizes.background_probability,
            ..PoolSizes::of_anchored()
        };
        stats.store.hard = store.negatives;
        stats.store.floor = None;
        stats.store.memory_bytes += store.memory_bytes;
        stats.anchored = Some(AnchoredFigures { store, filtered: anchored.filtered.values() });
        Ok(stats)
    }

    /// Number of hard samples of the pool; in an anchored pool the number of negatives of all anchors.
    pub(in crate::pool) async fn level(&self) -> Result<Level, PoolError> {
        match &self.anchored {
            None => Ok(self.store.level().await?),
            Some(anchored) => Ok(Level { hard: anchored.store.stats().await?.negatives, ..Level::default() }),
        }
    }

    /// A sample of the negatives of the anchors; `None` for a flat pool.
    pub(in crate::pool) async fn sampled_negatives(
        &self,
        n: usize,
    ) -> Result<Option<Vec<Negative>>, PoolError> {
        match &self.anchored {
            None => Ok(None),
            Some(anchored) => Ok(Some(anchored.store.sample(n).await?)),
        }
    }
}
