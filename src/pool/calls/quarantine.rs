//! Calls of the quarantine: list it, set samples aside and release them, block ids and unblock them; and clear the pool.

use std::sync::Arc;

use crate::activity::stats::Counters;
use crate::model::error::PoolError;
use crate::model::quarantine::QuarantineRule;
use crate::model::report::Ids;
use crate::pool::Pool;
use crate::pool::executor;
use crate::store::quarantine::{
    BLOCKED_MAX, BlockCounts, BlockedId, Found, Quarantined, ReleaseCounts, SetAside, SetAsideCounts,
    TRUSTED_MAX,
};

/// Samples that are released at a time when all are released.
const RELEASED_AT_A_TIME: usize = 65_536;

/// A page of the quarantine.
#[derive(Clone, Debug, Default)]
pub struct QuarantinePage {
    /// The samples, in order of id.
    pub samples: Vec<Quarantined>,
    /// More follow.
    pub more: bool,
    /// All samples in quarantine.
    pub total: u64,
}

/// A page of the blocked ids.
#[derive(Clone, Debug, Default)]
pub struct BlockedPage {
    /// In order of id.
    pub ids: Vec<BlockedId>,
    /// More follow.
    pub more: bool,
    /// All blocked ids.
    pub total: u64,
}

/// Whether ids are blocked or unblocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    /// The ids are removed, and their rows are refused.
    Block,
    /// Rows of the ids are accepted again.
    Unblock,
}

impl Pool {
    /// Up to `limit` samples in quarantine with ids above `after`, in order of id.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_quarantined(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> Result<QuarantinePage, PoolError> {
        // One more is read to see whether more follow.
        let mut samples = self.store.quarantined(after, limit.saturating_add(1)).await?;
        let more = samples.len() > limit;
        samples.truncate(limit);
        let total = self.store.stats().await?.quarantine.set_aside;
        Ok(QuarantinePage { samples, more, total })
    }

    /// Sets samples aside by hand, even if the pool has no rule; returns counts by outcome. Samples that are in quarantine already are in
    /// none of the counts.
    ///
    /// # Errors
    /// `Invalid` naming `ids`; `FailedPrecondition` in an anchored pool; `Unavailable`.
    pub async fn set_aside(self: &Arc<Self>, ids: Ids) -> Result<SetAsideCounts, PoolError> {
        self.check_flat("QuarantineSamples", "remove the samples or veto them")?;
        let (ids, _) = self.resolve(&self.spec(), ids, "ids")?;
        let pool = self.clone();
        let setting_aside = async move {
            let rule = pool.spec().quarantine.unwrap_or_default();
            let QuarantineRule { capacity, .. } = rule;
            let now_millis = pool.clock.now_millis();
            let decay_units = pool.clock.now().decay_units;
            pool.expire().await?;
            Ok(pool.store.set_aside(&ids, SetAside { capacity, decay_units, now_millis }).await?)
        };
        executor::finish("setting aside", setting_aside).await
    }

    /// Puts samples back (`None`: all of them) with the score, time and version of their last report. With `trust` they are never set aside
    /// again. All samples are released a few thousand at a time.
    ///
    /// # Errors
    /// `Invalid` naming `ids`; `Exhausted` if there would be more than [`TRUSTED_MAX`] trusted samples; `Unavailable`.
    pub async fn release_quarantined(
        self: &Arc<Self>,
        ids: Option<Ids>,
        trust: bool,
    ) -> Result<ReleaseCounts, PoolError> {
        let ids = match ids {
            Some(ids) => Some(self.resolve(&self.spec(), ids, "ids")?.0),
            None => None,
        };
        let pool = self.clone();
        executor::finish("release", async move { pool.release_quarantined_now(ids, trust).await }).await
    }

    async fn release_quarantined_now(
        &self,
        ids: Option<Vec<u64>>,
        trust: bool,
    ) -> Result<ReleaseCounts, PoolError> {
        if trust {
            let held = self.store.stats().await?.quarantine;
            let more = match &ids {
                Some(ids) => self.count(ids, |found| matches!(found, Found::SetAside(_))).await?,
                None => held.set_aside,
            };
            check_room("trusted", "trusted_samples", held.trusted, more, TRUSTED_MAX)?;
        }
        let mut sum = ReleaseCounts::default();
        let mut add = |counts: ReleaseCounts| {
            sum.released += counts.released;
            sum.refused += counts.refused;
            sum.evicted += counts.evicted;
        };
        match ids {
            Some(ids) => add(self.store.release_quarantined(&ids, trust).await?),
            None => {
                let mut after = None;
                loop {
                    let page = self.store.quarantined(after, RELEASED_AT_A_TIME).await?;
                    let ids: Vec<u64> = page.iter().map(|sample| sample.id).collect();
                    let Some(last) = ids.last().copied() else { break };
                    add(self.store.release_quarantined(&ids, trust).await?);
                    after = Some(last);
                }
            }
        }
        self.grown.notify_waiters();
        Ok(sum)
    }

    /// Blocks or unblocks ids; returns counts by outcome. Ids that were so before are in none of the counts.
    ///
    /// # Errors
    /// `Invalid` naming `ids`; `FailedPrecondition` in an anchored pool; `Exhausted` when there would be more than [`BLOCKED_MAX`];
    /// `Unavailable`.
    pub async fn set_blocked(self: &Arc<Self>, ids: Ids, how: Blocking) -> Result<BlockCounts, PoolError> {
        self.check_flat("a block list", "veto the samples")?;
        let (ids, names) = self.resolve(&self.spec(), ids, "ids")?;
        let pool = self.clone();
        let blocking = async move {
            if how == Blocking::Unblock {
                let blocked = pool.store.unblock(&ids).await?;
                return Ok(BlockCounts { blocked, ..BlockCounts::default() });
            }
            let held = pool.store.stats().await?.quarantine.blocked;
            let more = pool.count(&ids, |found| !matches!(found, Found::Blocked)).await?;
            check_room("blocked", "blocked_samples", held, more, BLOCKED_MAX)?;
            Ok(pool.store.block(&ids, &names).await?)
        };
        executor::finish("blocking", blocking).await
    }

    /// Number of these ids, each counted once, whose place satisfies `is`.
    async fn count(&self, ids: &[u64], is: impl Fn(&Found) -> bool) -> Result<u64, PoolError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        Ok(self.store.find(&ids).await?.iter().filter(|found| is(found)).count() as u64)
    }

    /// Up to `limit` blocked ids above `after`, in order of id.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn list_blocked(&self, after: Option<u64>, limit: usize) -> Result<BlockedPage, PoolError> {
        let mut ids = self.store.blocked(after, limit.saturating_add(1)).await?;
        let more = ids.len() > limit;
        ids.truncate(limit);
        let total = self.store.stats().await?.quarantine.blocked;
        Ok(BlockedPage { ids, more, total })
    }

    /// Removes all samples of a live pool; returns how many there were, in quarantine or not, or in an anchored pool the number of
    /// negatives. Everything else stays: the spec, clock and runs, which batches were applied, which ids are trusted or blocked, the
    /// counters, and the positives and vetoes of anchors.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn clear(self: &Arc<Self>) -> Result<u64, PoolError> {
        let pool = self.clone();
        let clearing = async move {
            let Some(anchored) = &pool.anchored else {
                return Ok(pool.store.clear().await?.0);
            };
            let (cleared, _) = anchored.store.clear().await?;
            pool.store.clear().await?;
            Counters::add(&pool.counters.removed, cleared);
            Ok(cleared)
        };
        executor::finish("clearing", clearing).await
    }
}

/// Checks that a list has room for `more` ids.
fn check_room(
    adjective: &str,
    limit: &'static str,
    held: u64,
    more: u64,
    most: usize,
) -> Result<(), PoolError> {
    if held + more <= most as u64 {
        return Ok(());
    }
    Err(PoolError::Exhausted {
        what: format!("{held} samples are {adjective} and {more} more would be over {most}"),
        limit,
        retry_after: None,
    })
}
