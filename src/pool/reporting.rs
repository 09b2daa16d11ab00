//! Reports in: checks, the decay clock, resends, the store, the ack.

use std::pin::pin;
use std::time::Instant;
use tracing::Instrument as _;
use xxhash_rust::xxh3::xxh3_64;

use super::clock::Moment;
use super::core::Pool;
use super::error::PoolError;
use super::ingest::{check_flat_columns, check_payloads, drop_unusable, merge};
use super::ledger::Delivery;
use super::report::{Ack, AckStatus, Ids, Report, ReportCounts};
use super::spans;
use super::stats::Counters;
use crate::store::key::Key;
use crate::store::{ReportBatch, Rotation};

impl Pool {
    /// Applies a batch of scores.
    ///
    /// # Errors
    /// `Invalid` naming the column, `Exhausted`, `Unavailable`; nothing is applied then.
    pub async fn report(&self, report: Report) -> Result<Ack, PoolError> {
        let begun = Instant::now();
        let span = spans::report(&self.id, report.ids.len());
        let applying = pin!(self.apply(report));
        let result = applying.instrument(span).await;
        match &result {
            Ok(_) => self.recorder.reports.record(begun.elapsed()),
            Err(_) => self.count_rejected(),
        }
        result
    }

    async fn apply(&self, report: Report) -> Result<Ack, PoolError> {
        if let Some(anchored) = &self.anchored {
            return self.report_negatives(anchored, report).await;
        }
        check_flat_columns(&report)?;
        let spec = self.spec();
        check_payloads(&spec, &report)?;
        let rows = report.ids.len() as u64;
        let (ids, names) = self.resolve(&spec, report.ids, "batch.ids")?;
        let moment = self.clock.report(report.step)?;
        if !self.ledger.enter(&report.sender) {
            Counters::add(&self.counters.duplicate_batches, 1);
            let floor = self.store.level().await?.floor;
            return Ok(self.ack(AckStatus::Duplicate, ReportCounts::default(), floor, moment));
        }
        let mut batch = ReportBatch {
            ids,
            scores: report.scores,
            names,
            payloads: report.payloads,
            strata: report.strata,
            groups: group_numbers(report.groups),
            decay_units: moment.decay_units,
            stamp: moment.stamp,
            refuse_stale: spec.decay.by_steps(),
            model_version: report.model_version,
            update: spec.score_update,
            rotation: Some(Rotation {
                after_rows: spec.rotation.after_reports.unwrap_or(u64::MAX),
                max_fill_millis: spec.rotation.max_fill_time.as_millis() as u64,
            }),
            now_millis: self.clock.now_millis(),
        };
        let (non_finite, out_of_range) = drop_unusable(&mut batch, spec.background);
        let applied = match self.store.apply(batch).instrument(spans::apply(spec.shards)).await {
            Ok(applied) => applied,
            Err(error) => {
                self.ledger.forget(&report.sender);
                return Err(error.into());
            }
        };
        let counts = merge(&applied.counts, non_finite, out_of_range);
        self.counters.count_report(rows, &counts, &applied.counts);
        let delivery = Delivery {
            now_millis: self.clock.now_millis(),
            rows,
            step: report.step,
            model_version: report.model_version,
        };
        self.ledger.deliver(&report.sender, delivery);
        self.grown.notify_waiters();
        Ok(self.ack(AckStatus::Applied, counts, applied.floor, moment))
    }

    fn ack(&self, status: AckStatus, counts: ReportCounts, floor: Option<Key>, now: Moment) -> Ack {
        Ack {
            status,
            counts,
            floor_log2: floor.map(|key| now.log2_weight(key)),
            position: 0,
            durable_position: 0,
        }
    }
}

/// Groups by number: names by their hash.
pub(super) fn group_numbers(groups: Ids) -> Vec<u64> {
    match groups {
        Ids::U64(groups) => groups,
        Ids::Names(names) => {
            names.iter().map(|name| if name.is_empty() { 0 } else { xxh3_64(name.as_bytes()) }).collect()
        }
    }
}
