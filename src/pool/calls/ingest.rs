//! Prepares the columns of a report for the store: checks, rows that cannot be stored, reference scores.

use bytes::Bytes;
use std::sync::Arc;

use crate::model::error::PoolError;
use crate::model::hardness::NO_DIFFERENCES;
use crate::model::report::{Report, ReportCounts};
use crate::model::spec::PoolSpec;
use crate::store::key::{Hardness, HardnessFunction};
use crate::store::{ApplyCounts, BackgroundSpec, ReportBatch};

/// Checks that a report to a flat pool has no column of anchored pools.
///
/// # Errors
/// `Invalid` naming the column.
pub(in crate::pool) fn check_flat_columns(report: &Report) -> Result<(), PoolError> {
    for (set, column) in [
        (report.anchors.is_some(), "anchors"),
        (!report.positive_scores.is_empty(), "positive_scores"),
        (!report.labels.is_empty(), "labels"),
        (!report.anchor_labels.is_empty(), "anchor_labels"),
    ] {
        if set {
            return Err(PoolError::invalid(
                format!("batch.{column}"),
                "are for anchored pools, and this one is flat",
            ));
        }
    }
    Ok(())
}

/// Checks the lengths of payloads against the limit of the pool.
///
/// # Errors
/// `Invalid` naming the row.
pub(in crate::pool) fn check_payloads(spec: &PoolSpec, report: &Report) -> Result<(), PoolError> {
    let limit = spec.max_payload_bytes as usize;
    match report.payloads.iter().position(|p| p.len() > limit) {
        Some(i) => Err(PoolError::invalid(
            format!("batch.payloads[{i}]"),
            format!("{} bytes, over the pool's max_payload_bytes {limit}", report.payloads[i].len()),
        )),
        None => Ok(()),
    }
}

/// The numbers of rows of an applied batch, by outcome.
pub(in crate::pool) fn counts_of(applied: &ApplyCounts) -> ReportCounts {
    ReportCounts {
        inserted: applied.inserted,
        updated: applied.updated,
        background_only: applied.background_only,
        dropped: applied.dropped,
        coalesced: applied.coalesced,
        duplicate: applied.duplicate,
        stale: applied.stale,
        quarantined: applied.quarantined,
        blocked: applied.blocked,
        non_finite: applied.non_finite,
        out_of_range: applied.out_of_range,
        ..ReportCounts::default()
    }
}

/// Removes rows that can never be stored, and sets their numbers by reason in the batch.
pub(in crate::pool) fn drop_unusable(batch: &mut ReportBatch, background: BackgroundSpec) {
    let ids_end = match background {
        BackgroundSpec::Dense { ids } => ids,
        BackgroundSpec::Sampled { .. } => u64::MAX,
    };
    let dense = matches!(background, BackgroundSpec::Dense { .. });
    let in_range = |id: u64| !dense || id < ids_end;
    // Usually there is nothing to remove, which two vectorised passes find out.
    let all_finite = batch.scores.iter().fold(true, |ok, s| ok & s.is_finite());
    if all_finite && (!dense || batch.ids.iter().all(|&id| in_range(id))) {
        return;
    }
    let keep: Vec<bool> =
        batch.ids.iter().zip(&batch.scores).map(|(&id, score)| score.is_finite() && in_range(id)).collect();
    batch.non_finite = batch.scores.iter().filter(|s| !s.is_finite()).count() as u64;
    let kept = keep.iter().filter(|k| **k).count() as u64;
    batch.out_of_range = keep.len() as u64 - kept - batch.non_finite;
    retain_rows(batch, &keep);
}

/// Removes all rows of a batch but those to be kept.
fn retain_rows(batch: &mut ReportBatch, keep: &[bool]) {
    retain(&mut batch.ids, keep);
    retain(&mut batch.scores, keep);
    retain(&mut batch.raw_scores, keep);
    retain::<Arc<str>>(&mut batch.names, keep);
    retain::<Bytes>(&mut batch.payloads, keep);
    retain(&mut batch.strata, keep);
    retain(&mut batch.groups, keep);
}

/// Replaces the scores by what is stored, score - reference (Mindermann et al. 2022, RHO-LOSS), and returns the scores as reported; empty
/// if there are no references, because both are the same then.
///
/// # Errors
/// `Invalid` naming `batch.reference_scores` if the pool cannot order differences.
pub(in crate::pool) fn subtract_references(
    hardness: &Hardness,
    scores: &mut [f32],
    references: &[f32],
) -> Result<Vec<f32>, PoolError> {
    if references.is_empty() {
        return Ok(Vec::new());
    }
    if hardness.lower_is_harder && matches!(hardness.function, HardnessFunction::Power { .. }) {
        return Err(PoolError::invalid("batch.reference_scores", NO_DIFFERENCES));
    }
    let raw = scores.to_vec();
    for (score, reference) in scores.iter_mut().zip(references) {
        *score -= reference;
    }
    Ok(raw)
}

pub(in crate::pool) fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    // A column that is absent has no values, and stays absent.
    column.retain(|_| keep.next().copied().unwrap_or(true));
}
