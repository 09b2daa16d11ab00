//! Applies reports to an anchored pool: checks, the decay clock, resends, the anchor store, the background and the ack.

use std::collections::HashMap;
use std::sync::Arc;

use crate::activity::Delivery;
use crate::model::error::PoolError;
use crate::model::moment::Moment;
use crate::model::report::{Ack, AckStatus, Report, ReportCounts};
use crate::model::run::Entry;
use crate::model::spec::PoolSpec;
use crate::pool::Pool;
use crate::pool::anchored::Anchored;
use crate::pool::calls::ingest::retain;
use crate::pool::calls::report::group_numbers;
use crate::sampler::flat::background::Background;
use crate::store::anchored::{AnchorApplied, AnchorBatch, AnchorCounts};
use crate::store::{self, BackgroundSpec, ReportBatch};

impl Pool {
    /// Applies a batch of scores of negatives for their anchors.
    pub(in crate::pool) async fn report_negatives(
        &self,
        anchored: &Anchored,
        report: Report,
    ) -> Result<Ack, PoolError> {
        let spec = self.spec();
        let rows = report.ids.len() as u64;
        let (sender, run_id) = (report.sender.clone(), report.run_id.clone());
        let (step, model_version) = (report.step, report.model_version);
        let batch = self.columns(&spec, report)?;
        let resent = || {
            self.counters.count_resend(rows);
            let counts = ReportCounts { duplicate: rows, ..ReportCounts::default() };
            Ok(ack(AckStatus::Duplicate, counts))
        };
        let Some(admission) = self.enter_run(Entry { run_id: &run_id, step, sender: &sender }).await? else {
            return resent();
        };
        let (counts, applied) = self.apply_columns(anchored, &spec, batch, admission.moment).await?;
        if rows > 0 && counts.duplicate == rows {
            self.counters.count_resend(rows);
            return Ok(ack(AckStatus::Duplicate, counts));
        }
        admission.applied();
        self.counters.count_batch(&counts);
        self.workers
            .hear(&sender, Delivery { now_millis: self.clock.now_millis(), rows, step, model_version });
        self.grown.notify_waiters();
        let AnchorCounts { clamped, floored, .. } = applied;
        self.weight_warnings.warn(&self.id, rows, clamped, floored);
        Ok(Ack { clamped, floored, ..ack(counts.applied_status(rows), counts) })
    }

    /// Reads the columns, removes the rows that can never be stored, and sets their numbers by reason in the batch.
    fn columns(&self, spec: &PoolSpec, report: Report) -> Result<AnchorBatch, PoolError> {
        let of_anchors = spec.anchored.as_ref().ok_or(PoolError::Internal("spec"))?;
        let Some(anchors) = report.anchors else {
            return Err(PoolError::invalid(
                "batch.anchors",
                format!("are missing: pool `{}` is anchored", self.id),
            ));
        };
        for (set, column, why) in [
            (!report.payloads.is_empty(), "payloads", "are not kept in an anchored pool"),
            (!report.strata.is_empty(), "strata", "are not kept in an anchored pool: send labels"),
            (!report.reference_scores.is_empty(), "reference_scores", "are not kept in an anchored pool"),
        ] {
            if set {
                return Err(PoolError::invalid(format!("batch.{column}"), why));
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
            labels: report.labels,
            anchor_labels: report.anchor_labels,
            model_version: report.model_version,
            sender: Some(&report.sender).filter(|sender| sender.sequence != 0).map(store::Sender::from),
            ..AnchorBatch::default()
        };
        // An infinite score counts as absent.
        batch.positive_scores.iter_mut().filter(|s| s.is_infinite()).for_each(|s| *s = f32::NAN);
        let in_space = |id: u64| match spec.background {
            BackgroundSpec::Dense { ids } => id < ids,
            BackgroundSpec::Sampled { .. } => true,
        };
        let keep: Vec<bool> =
            batch.ids.iter().zip(&batch.scores).map(|(id, s)| s.is_finite() && in_space(*id)).collect();
        let dropped = keep.iter().filter(|keep| !**keep).count() as u64;
        batch.non_finite = batch.scores.iter().filter(|s| !s.is_finite()).count() as u64;
        batch.out_of_range = dropped - batch.non_finite;
        if dropped > 0 {
            hand_over_positives(&mut batch, &keep);
            retain(&mut batch.anchors, &keep);
            retain(&mut batch.ids, &keep);
            retain::<Arc<str>>(&mut batch.names, &keep);
            retain(&mut batch.scores, &keep);
            retain(&mut batch.positive_scores, &keep);
            retain(&mut batch.groups, &keep);
            retain(&mut batch.labels, &keep);
            retain(&mut batch.anchor_labels, &keep);
        }
        Ok(batch)
    }

    /// Applies the batch to the anchors first, then reports to the background the rows that are negatives.
    async fn apply_columns(
        &self,
        anchored: &Anchored,
        spec: &PoolSpec,
        mut batch: AnchorBatch,
        moment: Moment,
    ) -> Result<(ReportCounts, AnchorCounts), PoolError> {
        batch.decay_units = moment.decay_units;
        batch.stamp = moment.stamp;
        batch.refuse_stale = spec.decay.by_steps();
        batch.update = spec.score_update;
        // The columns are kept, because the background gets its rows from them after the anchors.
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
            duplicate: applied.counts.duplicate,
            non_finite: applied.counts.non_finite,
            out_of_range: applied.counts.out_of_range,
            ..ReportCounts::default()
        };
        if !too_easy.is_empty() {
            let census = self.store.census().await?;
            let background = Background::of(&census);
            counts.background_only = too_easy.iter().filter(|id| background.contains(**id)).count() as u64;
            counts.dropped = too_easy.len() as u64 - counts.background_only;
        }
        Ok((counts, applied.counts))
    }

    fn flat_columns(&self, spec: &PoolSpec, batch: &AnchorBatch, moment: Moment) -> ReportBatch {
        ReportBatch {
            ids: batch.ids.clone(),
            scores: batch.scores.clone(),
            names: batch.names.clone(),
            // The background stores labels as strata.
            strata: batch.labels.clone(),
            groups: batch.groups.clone(),
            decay_units: moment.decay_units,
            stamp: moment.stamp,
            refuse_stale: spec.decay.by_steps(),
            model_version: batch.model_version,
            update: spec.score_update,
            renew_after_rows: spec.rotation.after_reports,
            sender: batch.sender,
            ..ReportBatch::default()
        }
    }
}

/// Moves the positive scores of dropped rows to kept rows of the same anchors, so that the latest score stays the latest: to the next kept
/// row, unless that has a score itself, or else to the last one.
fn hand_over_positives(batch: &mut AnchorBatch, keep: &[bool]) {
    if batch.positive_scores.is_empty() {
        return;
    }
    let mut lost: HashMap<u64, f32> = HashMap::new();
    for (row, kept) in keep.iter().enumerate() {
        let (anchor, score) = (batch.anchors[row], &mut batch.positive_scores[row]);
        match kept {
            false if !score.is_nan() => _ = lost.insert(anchor, *score),
            false => {}
            true => {
                let handed = lost.remove(&anchor).filter(|_| score.is_nan());
                *score = handed.unwrap_or(*score);
            }
        }
    }
    for row in (0..keep.len()).rev().filter(|row| keep[*row]) {
        if let Some(score) = lost.remove(&batch.anchors[row]) {
            batch.positive_scores[row] = score;
        }
    }
}

/// The batch of the rows that are negatives.
fn pick(mut flat: ReportBatch, applied: &AnchorApplied) -> ReportBatch {
    if applied.negatives.len() == flat.ids.len() {
        return flat;
    }
    let mut keep = vec![false; flat.ids.len()];
    applied.negatives.iter().for_each(|row| keep[*row as usize] = true);
    retain(&mut flat.ids, &keep);
    retain(&mut flat.scores, &keep);
    retain(&mut flat.names, &keep);
    retain(&mut flat.groups, &keep);
    retain(&mut flat.strata, &keep);
    flat
}

/// The ack has no floor, because each anchor has its own.
fn ack(status: AckStatus, counts: ReportCounts) -> Ack {
    Ack { status, counts, clamped: 0, floored: 0, floor_log2: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whichever rows are dropped, an anchor with a kept row ends with its latest reported score.
    #[test]
    fn the_latest_positive_score_survives_dropped_rows() {
        const NONE: f32 = f32::NAN;
        for (rows, expected) in [
            (vec![(1, 0.5, false), (1, NONE, true)], vec![0.5]),
            (vec![(1, 0.5, false), (1, 0.6, true)], vec![0.6]),
            (vec![(1, 0.6, true), (1, NONE, true), (1, 0.5, false)], vec![0.6, 0.5]),
            (vec![(1, 0.1, false), (2, NONE, true), (1, 0.2, false), (1, NONE, true)], vec![NONE, 0.2]),
            (vec![(1, NONE, false), (1, 0.3, true)], vec![0.3]),
            (vec![(1, 0.4, false), (2, 0.3, true)], vec![0.3]),
        ] {
            let keep: Vec<bool> = rows.iter().map(|row| row.2).collect();
            let mut batch = AnchorBatch {
                anchors: rows.iter().map(|row| row.0).collect(),
                positive_scores: rows.iter().map(|row| row.1).collect(),
                ..AnchorBatch::default()
            };
            hand_over_positives(&mut batch, &keep);
            retain(&mut batch.positive_scores, &keep);
            let same = |a: &f32, b: &f32| a == b || (a.is_nan() && b.is_nan());
            let got = &batch.positive_scores;
            assert!(
                got.len() == expected.len() && got.iter().zip(&expected).all(|(a, b)| same(a, b)),
                "{rows:?}: {got:?}"
            );
        }
    }
}
