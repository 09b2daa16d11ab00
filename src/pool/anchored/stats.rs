//! What an anchored pool holds, for its statistics and for those who watch it.

use crate::activity::stats::{AnchoredFigures, PoolStats};
use crate::model::error::PoolError;
use crate::pool::Pool;
use crate::store::Level;
use crate::store::anchored::Negative;

impl Pool {
    /// What the anchors hold takes the place of the hard store, which of an anchored pool is only the top of its background.
    pub(in crate::pool) async fn with_anchors(&self, mut stats: PoolStats) -> Result<PoolStats, PoolError> {
        let Some(anchored) = &self.anchored else {
            return Ok(stats);
        };
        let store = anchored.store.stats().await?;
        // Those of the partitions of samples are of the background alone.
        stats.counters = self.counters.values().with_anchor_totals(&store.totals);
        stats.sizes.hard = store.negatives;
        stats.sizes.floor_log2 = None;
        // Of the background's own top, which nothing is drawn from as hard.
        stats.sizes.closed_loop_ratio = 1.0;
        stats.store.hard = store.negatives;
        stats.store.floor = None;
        stats.store.memory_bytes += store.memory_bytes;
        stats.anchored = Some(AnchoredFigures { store, filtered: anchored.filtered.values() });
        Ok(stats)
    }

    /// How full the pool is: of an anchored one the negatives of all anchors.
    pub(in crate::pool) async fn level(&self) -> Result<Level, PoolError> {
        match &self.anchored {
            None => Ok(self.store.level().await?),
            Some(anchored) => Ok(Level { hard: anchored.store.stats().await?.negatives, ..Level::default() }),
        }
    }

    /// Some negatives of some anchors; `None` of a flat pool.
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
