//! Applies reports: checks, the decay clock, resends, the store and the ack.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument as _;
use xxhash_rust::xxh3::xxh3_64;

use crate::activity::Delivery;
use crate::model::error::PoolError;
use crate::model::flow::Side;
use crate::model::moment::Moment;
use crate::model::report::{Ack, AckStatus, Ids, Report, ReportCounts, Sender};
use crate::model::run::Entry;
use crate::pool::Pool;
use crate::pool::calls::ingest::{
    check_flat_columns, check_payloads, counts_of, drop_unusable, subtract_references,
};
use crate::pool::clock::Admission;
use crate::pool::dedupe::Turn;
use crate::pool::executor;
use crate::pool::rate_limiter::{FlowPermit, Told};
use crate::pool::spans;
use crate::store::key::Key;
use crate::store::{self, ApplyCounts, ReportBatch};

impl Pool {
    /// Applies a batch of scores.
    ///
    /// # Errors
    /// `Invalid` naming the column, `Run`, `Exhausted` (also if a wait for the flow timed out), `Unavailable`; nothing is applied then.
    pub async fn report(self: &Arc<Self>, report: Report) -> Result<Ack, PoolError> {
        let permit = self.ready_for(&report).await?;
        self.report_ready(report, permit).await
    }

    /// The first half of [`report`](Self::report): waits until the flow permits the batch. Nothing has begun yet, and dropping the call
    /// ends the wait.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub(crate) async fn ready_for(&self, report: &Report) -> Result<Option<FlowPermit>, PoolError> {
        pin!(self.wait_for_miners(report)).await.inspect_err(|_| self.count_rejected())
    }

    /// The second half: applies the batch and counts it. A resend of a batch that is being applied waits for the outcome of the first copy,
    /// and gets the same answer or error.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub(crate) async fn report_ready(
        self: &Arc<Self>,
        report: Report,
        permit: Option<FlowPermit>,
    ) -> Result<Ack, PoolError> {
        let pool = self.clone();
        executor::finish("report", async move { pin!(pool.apply_or_follow(report, permit)).await }).await
    }

    /// Applies a batch if it is the first copy with its sender and sequence; otherwise waits for the first copy.
    async fn apply_or_follow(
        &self,
        report: Report,
        mut permit: Option<FlowPermit>,
    ) -> Result<Ack, PoolError> {
        if report.sender.sequence == 0 {
            return self.apply_counted(report, permit).await;
        }
        loop {
            match self.under_way.enter(&report.sender) {
                Turn::First(ticket) => {
                    let outcome = self.apply_admitted(report, permit).await;
                    ticket.finish(&outcome);
                    return outcome;
                }
                Turn::Resend(first) => {
                    // The permit is dropped, because the first copy may be waiting for what it has reserved.
                    permit = None;
                    if let Some(outcome) = first.outcome().await {
                        match outcome {
                            Ok(_) => self.counters.count_resend(report.ids.len() as u64),
                            Err(_) => self.count_rejected(),
                        }
                        return outcome;
                    }
                }
            }
        }
    }

    /// Applies a batch, and takes a permit if it has none. A resend has none if its first copy was in progress; if that copy failed, the
    /// resend is applied.
    async fn apply_admitted(&self, report: Report, permit: Option<FlowPermit>) -> Result<Ack, PoolError> {
        let permit = match permit {
            Some(permit) => Some(permit),
            None => {
                let admitted = pin!(self.admit(&report)).await;
                admitted.inspect_err(|_| self.count_rejected())?
            }
        };
        self.apply_counted(report, permit).await
    }

    /// Applies a batch and counts it.
    async fn apply_counted(&self, report: Report, permit: Option<FlowPermit>) -> Result<Ack, PoolError> {
        let rows = report.ids.len();
        let begun = Instant::now();
        let applying = pin!(self.apply(report));
        let result = applying.instrument(spans::report(&self.id, rows)).await;
        let sums = self.sums_of_flow().await;
        match &result {
            Ok(ack) => {
                self.recorder.reports.record(begun.elapsed());
                if let Some(permit) = permit {
                    // Rows that a partition had applied before were counted at that time.
                    permit.settle((rows as u64).saturating_sub(ack.counts.duplicate), sums);
                }
            }
            Err(_) => {
                self.count_rejected();
                if let Some(permit) = permit {
                    permit.fail(sums);
                }
            }
        }
        result
    }

    /// Waits while the report would bring the balance of the flow above its bound. This comes before anything is entered or counted, so
    /// that a refused report can be sent again.
    async fn wait_for_miners(&self, report: &Report) -> Result<Option<FlowPermit>, PoolError> {
        // A resend of a batch that is being applied gets the answer of the first copy.
        if self.under_way.has(&report.sender) { Ok(None) } else { self.admit(report).await }
    }

    /// Waits for the permit of a report; a resend gets none, because it changes nothing.
    async fn admit(&self, report: &Report) -> Result<Option<FlowPermit>, PoolError> {
        let spec = self.spec();
        let Some(flow) = spec.flow else { return Ok(self.rate_limiter.free(Side::Report)) };
        if self.has_applied(&report.sender).await? {
            return Ok(None);
        }
        check_payloads(&spec, report)?;
        // This is checked before the wait, so that a report of a run that has ended is refused at once.
        if let Err(error) = self.clock.check(report.entry()) {
            return self.unless_applied(&report.sender, error).await.map(|()| None);
        }
        let rows = report.ids.len() as u64;
        if let Some(fault) = flow.fault(Side::Report, rows, "batch.ids") {
            return Err(PoolError::Invalid(vec![fault]));
        }
        let deadline = tokio::time::Instant::now() + flow.max_wait.min(self.limits.max_wait);
        let told =
            Told { waits: &self.counters.flow_report_waits, timeouts: &self.counters.flow_report_timeouts };
        let place = || self.server.admission.wait();
        self.rate_limiter.report(rows, deadline, (&self.closed, &self.id), place, told).await.map(Some)
    }

    async fn apply(&self, report: Report) -> Result<Ack, PoolError> {
        if let Some(anchored) = &self.anchored {
            return self.report_negatives(anchored, report).await;
        }
        check_flat_columns(&report)?;
        let spec = self.spec();
        check_payloads(&spec, &report)?;
        let rows = report.ids.len() as u64;
        let (sender, run_id, step) = (report.sender, report.run_id, report.step);
        let mut scores = report.scores;
        let raw_scores = subtract_references(&spec.hardness, &mut scores, &report.reference_scores)?;
        let (ids, names) = self.resolve(&spec, report.ids, "batch.ids")?;
        let Some(admission) = self.enter_run(Entry { run_id: &run_id, step, sender: &sender }).await? else {
            return self.resent(rows).await;
        };
        let moment = admission.moment;
        let mut batch = ReportBatch {
            ids,
            scores,
            raw_scores,
            names,
            payloads: report.payloads,
            strata: report.strata,
            groups: group_numbers(report.groups),
            decay_units: moment.decay_units,
            stamp: moment.stamp,
            refuse_stale: spec.decay.by_steps(),
            model_version: report.model_version,
            update: spec.score_update,
            renew_after_rows: spec.rotation.after_reports,
            sender: Some(&sender).filter(|sender| sender.sequence != 0).map(store::Sender::from),
            oldest_stamp: spec.sample_ttl.map(|ttl| self.clock.oldest_stamp(ttl, Some(moment))),
            ..ReportBatch::default()
        };
        drop_unusable(&mut batch, spec.background);
        let sampled = self.under_quarantine(&spec, &mut batch);
        let applied = self.store.apply(batch).instrument(spans::apply(spec.shards)).await?;
        let counts = counts_of(&applied.counts);
        if counts.duplicate > 0 && counts.duplicate == rows {
            self.counters.count_resend(rows);
            return Ok(self.ack(AckStatus::Duplicate, counts, applied.floor, moment));
        }
        admission.applied();
        if let Some(sampled) = sampled {
            self.score_quantile.learn(&sampled.less(applied.counts.duplicate));
        }
        self.counters.count_batch(&counts);
        let delivery =
            Delivery { now_millis: self.clock.now_millis(), rows, step, model_version: report.model_version };
        self.workers.hear(&sender, delivery);
        self.grown.notify_waiters();
        let ApplyCounts { clamped, floored, .. } = applied.counts;
        self.weight_warnings.warn(&self.id, rows, clamped, floored);
        let ack = self.ack(counts.applied_status(rows), counts, applied.floor, moment);
        Ok(Ack { clamped, floored, ..ack })
    }

    /// Admits a report to its run. `None`: the run does not admit it, but the batch is a resend that has been applied, which is what its
    /// sender must learn.
    ///
    /// # Errors
    /// As [`Clock::admit`](crate::pool::clock::Clock::admit).
    pub(in crate::pool) async fn enter_run(
        &self,
        entry: Entry<'_>,
    ) -> Result<Option<Admission<'_>>, PoolError> {
        match self.clock.admit(entry) {
            Ok(admission) => Ok(Some(admission)),
            Err(error) => self.unless_applied(entry.sender, error).await.map(|()| None),
        }
    }

    /// Returns the error, unless the batch is a resend of an applied batch.
    async fn unless_applied(&self, sender: &Sender, error: PoolError) -> Result<(), PoolError> {
        if self.has_applied(sender).await? { Ok(()) } else { Err(error) }
    }

    /// Whether any partition has applied a batch. A batch with sequence 0 never counts as applied.
    async fn has_applied(&self, sender: &Sender) -> Result<bool, PoolError> {
        if sender.sequence == 0 {
            return Ok(false);
        }
        Ok(match &self.anchored {
            None => self.store.has_applied(&sender.into()).await?,
            Some(anchored) => anchored.store.has_applied(&sender.into()).await?,
        })
    }

    /// The answer to a resend.
    async fn resent(&self, rows: u64) -> Result<Ack, PoolError> {
        self.counters.count_resend(rows);
        let floor = self.store.level().await?.floor;
        let counts = ReportCounts { duplicate: rows, ..ReportCounts::default() };
        Ok(self.ack(AckStatus::Duplicate, counts, floor, self.clock.now()))
    }

    fn ack(&self, status: AckStatus, counts: ReportCounts, floor: Option<Key>, now: Moment) -> Ack {
        Ack { status, counts, clamped: 0, floored: 0, floor_log2: floor.map(|key| now.log2_weight(key)) }
    }
}

/// Groups as numbers: names become their hashes.
pub(in crate::pool) fn group_numbers(groups: Ids) -> Vec<u64> {
    match groups {
        Ids::U64(groups) => groups,
        Ids::Names(names) => {
            names.iter().map(|name| if name.is_empty() { 0 } else { xxh3_64(name.as_bytes()) }).collect()
        }
    }
}
