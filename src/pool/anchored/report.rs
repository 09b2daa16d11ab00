//! Reports into an anchored pool: checks, the decay clock, resends, the anchors' store, the background, the ack.

use std::collections::HashMap;
use std::sync::Arc;

use super::Anchored;
use crate::pool::clock::Moment;
use crate::pool::core::Pool;
use crate::pool::error::PoolError;
use crate::pool::ingest::retain;
use crate::pool::ledger::Delivery;
use crate::pool::report::{Ack, AckStatus, Report, ReportCounts};
use crate::pool::reporting::group_numbers;
use crate::pool::sampler::background::Background;
use crate::pool::spec::PoolSpec;
use crate::pool::stats::Counters;
use crate::store::anchored::{AnchorApplied, AnchorBatch, least_alike};
use crate::store::{ApplyCounts, BackgroundSpec, ReportBatch};

/// The columns of a report, and what of it never reaches a store.
struct Columns {
    batch: AnchorBatch,
    non_finite: u64,
    out_of_range: u64,
}

impl Pool {
    /// Applies a batch of scores of negatives for their anchors.
    pub(in crate::pool) async fn report_negatives(
        &self,
        anchored: &Anchored,
        report: Report,
    ) -> Result<Ack, PoolError> {
        let spec = self.spec();
        let rows = report.ids.len() as u64;
        let (sender, step, model_version) = (report.sender.clone(), report.step, report.model_version);
        let columns = self.columns(&spec, report)?;
        let moment = self.clock.report(step)?;
        if self.ledger.has(&sender) {
            Counters::add(&self.counters.duplicate_batches, 1);
            let counts = ReportCounts { duplicate: rows, ..ReportCounts::default() };
            return Ok(ack(AckStatus::Duplicate, counts, 0));
        }
        let (counts, position) = self.apply_columns(anchored, &spec, columns, moment).await?;
        Counters::add(&self.counters.reported_rows, rows);
        Counters::add(&self.counters.reported_batches, 1);
        self.ledger
            .deliver(&sender, Delivery { now_millis: self.clock.now_millis(), rows, step, model_version });
        self.grown.notify_waiters();
        // Of positions only a journal makes use, and there is none.
        let _ = position;
        Ok(ack(AckStatus::Applied, counts, 0))
    }

    /// Reads the columns and takes out the rows that can never be stored.
    fn columns(&self, spec: &PoolSpec, report: Report) -> Result<Columns, PoolError> {
        let of_anchors = spec.anchored.as_ref().ok_or(PoolError::Internal("spec"))?;
        let Some(anchors) = report.anchors else {
            return Err(PoolError::invalid(
                "batch.anchors",
                format!("are missing: pool `{}` is anchored", self.id),
            ));
        };
        for (set, column) in [
            (!report.payloads.is_empty(), "payloads"),
            (!report.strata.is_empty(), "strata"),
            (!report.reference_scores.is_empty(), "reference_scores"),
        ] {
            if set {
                return Err(PoolError::invalid(
                    format!("batch.{column}"),
                    "are not kept in an anchored pool",
                ));
            }
        }
        let (ids, names) = self.resolve(spec, report.ids, "batch.ids")?;
        let mut batch = AnchorBatch {
            anchors: self.resolve_anchors(of_anchors, anchors, "batch.anchors")?,
            ids,
            names,
            scores: report.scores,
            positive_scores: report.positive_scores,
            groups: group_numbers(report.groups),
            model_version: report.model_version,
            ..AnchorBatch::default()
        };
        // Infinite is no better than absent.
        batch.positive_scores.iter_mut().filter(|s| s.is_infinite()).for_each(|s| *s = f32::NAN);
        let in_space = |id: u64| match spec.background {
            BackgroundSpec::Dense { ids } => id < ids,
            BackgroundSpec::Sampled { .. } => true,
        };
        let keep: Vec<bool> =
            batch.ids.iter().zip(&batch.scores).map(|(id, s)| s.is_finite() && in_space(*id)).collect();
        let non_finite = batch.scores.iter().filter(|s| !s.is_finite()).count() as u64;
        let dropped = keep.iter().filter(|keep| !**keep).count() as u64;
        if dropped > 0 {
            keep_positives(&mut batch, &keep, spec.hardness.lower_is_harder);
            retain(&mut batch.anchors, &keep);
            retain(&mut batch.ids, &keep);
            retain::<Arc<str>>(&mut batch.names, &keep);
            retain(&mut batch.scores, &keep);
            retain(&mut batch.positive_scores, &keep);
            retain(&mut batch.groups, &keep);
        }
        Ok(Columns { batch, non_finite, out_of_range: dropped - non_finite })
    }

    /// Anchors first, then the background, which is fed what turned out to be a negative.
    async fn apply_columns(
        &self,
        anchored: &Anchored,
        spec: &PoolSpec,
        columns: Columns,
        moment: Moment,
    ) -> Result<(ReportCounts, u64), PoolError> {
        let Columns { mut batch, non_finite, out_of_range } = columns;
        batch.decay_units = moment.decay_units;
        batch.stamp = moment.stamp;
        batch.refuse_stale = spec.decay.by_steps();
        batch.update = spec.score_update;
        // The background is fed after the anchors, from the same columns.
        let flat = self.flat_columns(spec, &batch, moment);
        let applied = anchored.store.apply(batch).await?;
        let too_easy: Vec<u64> = applied.too_easy.iter().map(|row| flat.ids[*row as usize]).collect();
        self.store.apply(pick(flat, &applied)).await?;
        let mut counts = ReportCounts {
            inserted: applied.counts.inserted,
            updated: applied.counts.updated,
            stale: applied.counts.stale,
            coalesced: applied.counts.coalesced,
            anchor_limit: applied.counts.anchor_limit,
            not_negative: applied.counts.not_negative,
            non_finite,
            out_of_range,
            ..ReportCounts::default()
        };
        if !too_easy.is_empty() {
            let census = self.store.census().await?;
            let background = Background::of(&census);
            counts.background_only = too_easy.iter().filter(|id| background.contains(**id)).count() as u64;
            counts.dropped = too_easy.len() as u64 - counts.background_only;
        }
        let evicted = ApplyCounts {
            evicted: applied.counts.evicted,
            clamped: applied.counts.clamped,
            ..ApplyCounts::default()
        };
        self.counters.count_rows(&counts, &evicted);
        Ok((counts, applied.position))
    }

    fn flat_columns(&self, spec: &PoolSpec, batch: &AnchorBatch, moment: Moment) -> ReportBatch {
        ReportBatch {
            ids: batch.ids.clone(),
            scores: batch.scores.clone(),
            names: batch.names.clone(),
            payloads: Vec::new(),
            strata: Vec::new(),
            groups: batch.groups.clone(),
            decay_units: moment.decay_units,
            stamp: moment.stamp,
            refuse_stale: spec.decay.by_steps(),
            model_version: batch.model_version,
            update: spec.score_update,
            renew_after_rows: spec.rotation.after_reports,
            // The arrays of anchors cannot tell a resend: the pool's ledger does.
            sender: None,
        }
    }
}

/// Hands the positive scores of rows that are dropped to the rows of the same anchors that are kept.
fn keep_positives(batch: &mut AnchorBatch, keep: &[bool], lower_is_harder: bool) {
    let mut lost: HashMap<u64, f32> = HashMap::new();
    let rows = batch.anchors.iter().zip(&mut batch.positive_scores).zip(keep);
    for ((anchor, positive), _) in rows.filter(|(_, keep)| !**keep) {
        let least = lost.entry(*anchor).or_insert(f32::NAN);
        *least = least_alike(lower_is_harder, *least, *positive);
    }
    for (anchor, positive) in batch.anchors.iter().zip(&mut batch.positive_scores) {
        if let Some(least) = lost.get(anchor) {
            *positive = least_alike(lower_is_harder, *positive, *least);
        }
    }
}

/// The rows of a batch that are negatives.
fn pick(mut flat: ReportBatch, applied: &AnchorApplied) -> ReportBatch {
    let rows = applied.kept.len() + applied.too_easy.len();
    if rows == flat.ids.len() {
        return flat;
    }
    let mut keep = vec![false; flat.ids.len()];
    applied.kept.iter().chain(&applied.too_easy).for_each(|row| keep[*row as usize] = true);
    retain(&mut flat.ids, &keep);
    retain(&mut flat.scores, &keep);
    retain(&mut flat.names, &keep);
    retain(&mut flat.groups, &keep);
    flat
}

/// No floor is told: each anchor has its own.
fn ack(status: AckStatus, counts: ReportCounts, position: u64) -> Ack {
    Ack { status, counts, floor_log2: None, position, durable_position: 0 }
}
