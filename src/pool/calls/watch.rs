//! Figures of a pool for the dashboard, `hardneg top`, WatchPoolStats and metrics.

use std::sync::Arc;

use crate::activity::{
    BiasFigures, LatencyCounts, NEGATIVES_MAX, PoolActivity, Second, View, WORKER_GONE_SECONDS,
    WorkerActivity,
};
use crate::model::error::PoolError;
use crate::model::spec::IdKind;
use crate::pool::Pool;

impl Pool {
    /// Ends a tick of the activity. It must be called about once per second.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tick(&self) -> Result<(), PoolError> {
        self.forget_old_rounds().await?;
        // Samples expire here too, so that their memory is freed even if nobody reports or reads.
        self.expire().await?;
        let (counters, level) = (self.counters().await?, self.level().await?);
        let now = self.clock.now();
        let second = Second {
            store: &*self.store,
            counters,
            hard: level.hard,
            floor_log2: level.floor.map(|key| now.log2_weight(key)),
            now_millis: self.clock.now_millis(),
        };
        self.recorder.tick(second).await
    }

    /// Samples in the hard store.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn hard_samples(&self) -> Result<u64, PoolError> {
        Ok(self.level().await?.hard)
    }

    /// Latencies of reports and of mines since the pool was created.
    #[must_use]
    pub fn latencies(&self) -> (LatencyCounts, LatencyCounts) {
        (self.recorder.reports.counts(), self.recorder.mines.counts())
    }

    /// The workers that reported within the last [`WORKER_GONE_SECONDS`], in order of name.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerActivity> {
        self.workers.list(self.clock.now_millis(), WORKER_GONE_SECONDS)
    }

    /// The activity of the pool, at most half a second old: concurrent callers share one measurement.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn activity(&self) -> Result<Arc<PoolActivity>, PoolError> {
        self.recorder.activity(self.view()).await
    }

    async fn view(&self) -> Result<View<'_>, PoolError> {
        let spec = self.spec();
        Ok(View {
            store: &*self.store,
            stats: self.stats().await?,
            now: self.clock.now(),
            by_steps: spec.decay.by_steps(),
            named: spec.id_kind == IdKind::Name,
            workers: self.workers(),
            negatives: self.sampled_negatives(NEGATIVES_MAX).await?,
        })
    }

    /// The present figures of the bias of mining.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn bias(&self) -> Result<BiasFigures, PoolError> {
        self.expire().await?;
        self.recorder.bias(&*self.store).await
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
