//! The quarantine beside the store: samples go out of it before the ack, and back into it on release.

use std::sync::Arc;

use bytes::Bytes;

use super::{Passage, Quarantined, Report, Screened, Settled, TRUSTED_MAX};
use crate::pool::clock::ADVANCE_MAX_UNITS;
use crate::pool::core::Pool;
use crate::pool::error::PoolError;
use crate::pool::executor;
use crate::pool::report::Ids;
use crate::pool::spec::PoolSpec;
use crate::pool::stats::Counters;
use crate::store::{Applied, ReportBatch, ScoreUpdate};

/// Samples released at a time, while no report passes.
const RELEASED_AT_A_TIME: usize = 1_024;

/// A page of the quarantine.
#[derive(Clone, Debug, Default)]
pub struct QuarantinePage {
    /// In order of id.
    pub samples: Vec<Quarantined>,
    /// More follow.
    pub more: bool,
    /// All samples in quarantine.
    pub total: u64,
}

impl Pool {
    /// Counts what a batch, which the store has applied, means for the quarantine, and takes out of the store who is set aside:
    /// from both sources, and before this returns.
    pub(in crate::pool) async fn quarantine(
        &self,
        spec: &PoolSpec,
        mut passage: Passage<'_>,
        mut screened: Screened,
        report: Report,
        applied: &Applied,
    ) -> Result<Settled, PoolError> {
        if report.refuse_stale && applied.counts.stale > 0 {
            self.drop_stale(&mut screened, report).await?;
        }
        let lower_is_harder = spec.hardness.lower_is_harder;
        let settled = self.quarantine.settle(spec.quarantine.as_ref(), lower_is_harder, screened, report);
        if settled.set_aside.is_empty() {
            return Ok(settled);
        }
        Counters::add(&self.counters.quarantine_set_aside, settled.set_aside.len() as u64);
        passage.outlast_others().await;
        for row in self.store.get(&settled.set_aside).await?.iter().flatten() {
            self.quarantine.characterise(row);
        }
        if spec.max_payload_bytes > 0 {
            let served = self.store.attachments(&settled.set_aside).await?;
            for (id, served) in settled.set_aside.iter().zip(served) {
                if let Some(payload) = served.and_then(|served| served.payload) {
                    self.quarantine.attach(*id, payload);
                }
            }
        }
        self.store.remove(&settled.set_aside).await?;
        Ok(settled)
    }

    /// A stale report neither continues nor ends a streak. The store counts stale rows; which they are, its stamps tell.
    async fn drop_stale(&self, screened: &mut Screened, report: Report) -> Result<(), PoolError> {
        let ids: Vec<u64> = screened.watched.iter().map(|row| row.id).collect();
        let mut rows = self.store.get(&ids).await?.into_iter();
        screened.watched.retain(|_| {
            let stored = rows.next().flatten().and_then(|row| row.stamp);
            stored.is_none_or(|stamp| !super::is_later(stamp, report.moment.stamp))
        });
        Ok(())
    }

    /// Up to `limit` samples in quarantine with ids over `after`, in order of id.
    #[must_use]
    pub fn list_quarantined(&self, after: Option<u64>, limit: usize) -> QuarantinePage {
        let (samples, more) = self.quarantine.page(after, limit);
        QuarantinePage { samples, more, total: self.quarantine.len() }
    }

    /// Puts samples back (`None`: all of them) with the score, time and version of their last report, and with `trust` never sets
    /// them aside again; how many were in quarantine. Some thousand at a time, between reports.
    ///
    /// # Errors
    /// `Invalid` naming `ids`; `Exhausted` when there would be more than [`TRUSTED_MAX`] trusted samples.
    pub async fn release_quarantined(
        self: &Arc<Self>,
        ids: Option<Ids>,
        trust: bool,
    ) -> Result<u64, PoolError> {
        let pool = self.clone();
        executor::finish("release", async move { pool.release_quarantined_now(ids, trust).await }).await
    }

    async fn release_quarantined_now(&self, ids: Option<Ids>, trust: bool) -> Result<u64, PoolError> {
        let mut ids = match ids {
            Some(ids) => self.resolve(&self.spec(), ids, "ids")?.0,
            None => self.quarantine.ids(),
        };
        ids.sort_unstable();
        ids.dedup();
        let trusted = self.quarantine.trusted.load(std::sync::atomic::Ordering::Relaxed);
        if trust && trusted + ids.len() as u64 > TRUSTED_MAX {
            return Err(PoolError::Exhausted {
                what: format!(
                    "{trusted} samples are trusted and {} more would be over {TRUSTED_MAX}",
                    ids.len()
                ),
                limit: "trusted_samples",
                retry_after: None,
            });
        }
        let mut released = 0;
        for ids in ids.chunks(RELEASED_AT_A_TIME) {
            let _alone = self.quarantine.gate.alone().await;
            let mut records: Vec<_> = ids.iter().filter_map(|id| self.quarantine.get(*id)).collect();
            let report_of =
                |record: &Quarantined| (record.moment.decay_units, record.moment.stamp, record.model_version);
            records.sort_unstable_by_key(report_of);
            for records in records.chunk_by(|a, b| report_of(a) == report_of(b)) {
                self.put_back(records).await?;
                for record in records {
                    self.quarantine.take(record.id);
                    if trust {
                        self.quarantine.trust(record.id);
                    }
                }
                released += records.len() as u64;
            }
        }
        Counters::add(&self.counters.quarantine_released, released);
        self.grown.notify_waiters();
        Ok(released)
    }

    /// Stores samples of one report as that report would have.
    async fn put_back(&self, records: &[Quarantined]) -> Result<(), PoolError> {
        let Some(first) = records.first() else {
            return Ok(());
        };
        // A clock that has gone on without them for ever must not meet keys that serial order takes for later ones.
        let oldest = self.clock.now().decay_units.saturating_sub(ADVANCE_MAX_UNITS as u64);
        let names: Option<Vec<Arc<str>>> = records.iter().map(|record| record.name.clone()).collect();
        let with_payloads = records.iter().any(|record| record.payload.is_some());
        let batch = ReportBatch {
            ids: records.iter().map(|record| record.id).collect(),
            scores: records.iter().map(|record| record.stored_score).collect(),
            names: names.unwrap_or_default(),
            payloads: match with_payloads {
                true => records.iter().map(|r| r.payload.clone().unwrap_or_else(Bytes::new)).collect(),
                false => Vec::new(),
            },
            strata: if records.iter().all(|record| record.stratum == 0) {
                Vec::new()
            } else {
                records.iter().map(|record| record.stratum).collect()
            },
            groups: if records.iter().all(|record| record.group == 0) {
                Vec::new()
            } else {
                records.iter().map(|record| record.group).collect()
            },
            decay_units: first.moment.decay_units.max(oldest),
            stamp: first.moment.stamp,
            model_version: first.model_version,
            update: ScoreUpdate::Last,
            ..ReportBatch::default()
        };
        let applied = self.store.apply(batch).await?;
        Counters::add(&self.counters.evicted, applied.counts.evicted);
        Ok(())
    }

    /// Removes samples from everywhere, the quarantine included; how many were anywhere.
    pub(in crate::pool) async fn remove_everywhere(&self, ids: &[u64]) -> Result<u64, PoolError> {
        if !self.quarantine.is_used.load(std::sync::atomic::Ordering::Acquire) {
            return Ok(self.store.remove(ids).await?.0);
        }
        // A report that is setting one aside has done so, or does it on a later report.
        let _alone = self.quarantine.gate.alone().await;
        let held = ids.iter().filter(|id| self.quarantine.forget(**id)).count() as u64;
        Ok(held + self.store.remove(ids).await?.0)
    }
}
