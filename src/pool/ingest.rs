//! What happens to the columns of a report before they reach the store.

use bytes::Bytes;
use std::sync::Arc;

use super::error::PoolError;
use super::report::{Report, ReportCounts};
use super::spec::PoolSpec;
use crate::store::{ApplyCounts, BackgroundSpec, ReportBatch};

/// Checks that a report to a flat pool has only what such a pool keeps.
///
/// # Errors
/// `Invalid` naming the column.
pub(super) fn check_flat_columns(report: &Report) -> Result<(), PoolError> {
    for (set, column) in
        [(report.anchors.is_some(), "anchors"), (!report.positive_scores.is_empty(), "positive_scores")]
    {
        if set {
            return Err(PoolError::invalid(
                format!("batch.{column}"),
                "are for anchored pools, and this one is flat",
            ));
        }
    }
    Ok(())
}

/// Checks payloads against the pool's limit.
///
/// # Errors
/// `Invalid` naming the row.
pub(super) fn check_payloads(spec: &PoolSpec, report: &Report) -> Result<(), PoolError> {
    let limit = spec.max_payload_bytes as usize;
    match report.payloads.iter().position(|p| p.len() > limit) {
        Some(i) => Err(PoolError::invalid(
            format!("batch.payloads[{i}]"),
            format!("{} bytes, over the pool's max_payload_bytes {limit}", report.payloads[i].len()),
        )),
        None => Ok(()),
    }
}

/// The counts of an applied batch with those of the rows that never reached the store.
pub(super) fn merge(applied: &ApplyCounts, non_finite: u64, out_of_range: u64) -> ReportCounts {
    ReportCounts {
        inserted: applied.inserted,
        updated: applied.updated,
        background_only: applied.background_only,
        dropped: applied.dropped,
        coalesced: applied.coalesced,
        stale: applied.stale,
        non_finite,
        out_of_range,
        ..ReportCounts::default()
    }
}

/// Takes out rows that can never be stored; how many for each reason.
pub(super) fn drop_unusable(batch: &mut ReportBatch, background: BackgroundSpec) -> (u64, u64) {
    let ids_end = match background {
        BackgroundSpec::Dense { ids } => ids,
        BackgroundSpec::Sampled { .. } => u64::MAX,
    };
    let dense = matches!(background, BackgroundSpec::Dense { .. });
    let in_range = |id: u64| !dense || id < ids_end;
    // The usual batch has nothing to drop: two passes that vectorise.
    let all_finite = batch.scores.iter().fold(true, |ok, s| ok & s.is_finite());
    if all_finite && (!dense || batch.ids.iter().all(|&id| in_range(id))) {
        return (0, 0);
    }
    let keep: Vec<bool> =
        batch.ids.iter().zip(&batch.scores).map(|(&id, score)| score.is_finite() && in_range(id)).collect();
    let non_finite = batch.scores.iter().filter(|s| !s.is_finite()).count() as u64;
    let kept = keep.iter().filter(|k| **k).count() as u64;
    let out_of_range = keep.len() as u64 - kept - non_finite;
    retain(&mut batch.ids, &keep);
    retain(&mut batch.scores, &keep);
    retain::<Arc<str>>(&mut batch.names, &keep);
    retain::<Bytes>(&mut batch.payloads, &keep);
    retain(&mut batch.strata, &keep);
    retain(&mut batch.groups, &keep);
    (non_finite, out_of_range)
}

pub(super) fn retain<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    // An optional column that is absent stays so.
    column.retain(|_| keep.next().copied().unwrap_or(true));
}
