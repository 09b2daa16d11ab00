//! Score batches and their acks.

use std::pin::pin;
use std::sync::Arc;

use crate::api::Context;
use crate::model::error::PoolError;
use crate::model::report::{Ack, AckStatus, Ids, Report, ReportCounts, Sender};
use crate::model::run::run_id_violation;
use crate::proto::columns::{self, ColumnError};
use crate::proto::v1 as pb;

/// Longest name of a worker, bytes (the contract's limit).
const WORKER_ID_BYTES_MAX: usize = 128;

/// Applies one batch.
///
/// # Errors
/// As of [`crate::pool::Pool::report`], and `Invalid` for columns that cannot be read.
pub(crate) async fn apply(
    context: &Context,
    batch: Option<pb::ScoreBatch>,
) -> Result<pb::ScoreAck, PoolError> {
    let batch = batch.ok_or_else(|| PoolError::invalid("batch", "is missing"))?;
    let sequence = batch.sequence;
    let pool = context.pool("batch.pool", &batch.pool, batch.pool_uid)?;
    let report = decode(batch, context.rows_max).inspect_err(|_| pool.count_rejected())?;
    let uid = pool.uid();
    let permit = pin!(pool.ready_for(&report)).await?;
    let ack = pin!(pool.report_ready(report, permit)).await?;
    Ok(encode(sequence, uid, &ack))
}

/// Checks a batch and reads its columns. Lengths are compared before anything is copied.
fn decode(batch: pb::ScoreBatch, rows_max: usize) -> Result<Report, PoolError> {
    if batch.worker_id.len() > WORKER_ID_BYTES_MAX {
        return Err(PoolError::invalid(
            "batch.worker_id",
            format!("{} bytes, over {WORKER_ID_BYTES_MAX}", batch.worker_id.len()),
        ));
    }
    if let Some(violation) = run_id_violation("batch.run_id", &batch.run_id) {
        return Err(PoolError::Invalid(vec![violation]));
    }
    let rows = columns::id_rows(batch.ids.as_ref()).map_err(column("batch.ids"))?;
    check_rows("batch.ids", rows, rows_max)?;
    let scores = columns::float_rows(batch.scores.as_ref()).map_err(column("batch.scores"))?;
    let (anchors, groups) = (present_ids(batch.anchors), present_ids(batch.groups));
    let positive_scores = batch.positive_scores.filter(|column| column.encoding.is_some());
    // One without values is a mistake, not an absence.
    let reference_scores = batch.reference_scores;
    let of_ids = |ids: &Option<pb::IdColumn>, field| match ids {
        Some(_) => columns::id_rows(ids.as_ref()).map_err(column(field)),
        None => Ok(0),
    };
    let of_floats = |floats: &Option<pb::FloatColumn>, field| match floats {
        Some(_) => columns::float_rows(floats.as_ref()).map_err(column(field)),
        None => Ok(0),
    };
    let lengths = [
        ("batch.scores", scores, true),
        ("batch.payloads", batch.payloads.len(), false),
        ("batch.strata", batch.strata.len(), false),
        ("batch.labels", batch.labels.len(), false),
        ("batch.anchor_labels", batch.anchor_labels.len(), false),
        ("batch.anchors", of_ids(&anchors, "batch.anchors")?, anchors.is_some()),
        (
            "batch.positive_scores",
            of_floats(&positive_scores, "batch.positive_scores")?,
            positive_scores.is_some(),
        ),
        ("batch.groups", of_ids(&groups, "batch.groups")?, groups.is_some()),
        (
            "batch.reference_scores",
            of_floats(&reference_scores, "batch.reference_scores")?,
            reference_scores.is_some(),
        ),
    ];
    for (field, got, required) in lengths {
        if got != rows && (required || got != 0) {
            return Err(PoolError::invalid(field, format!("has {got} rows, batch.ids has {rows}")));
        }
    }
    Ok(Report {
        ids: decode_ids(batch.ids, "batch.ids", rows_max)?,
        scores: columns::decode_floats(batch.scores).map_err(column("batch.scores"))?,
        reference_scores: decode_references(reference_scores)?,
        payloads: batch.payloads,
        anchors: anchors.map(|ids| decode_ids(Some(ids), "batch.anchors", rows_max)).transpose()?,
        positive_scores: match positive_scores {
            Some(scores) => columns::decode_floats(Some(scores)).map_err(column("batch.positive_scores"))?,
            None => Vec::new(),
        },
        labels: batch.labels,
        anchor_labels: batch.anchor_labels,
        strata: batch.strata,
        groups: match groups {
            None => Ids::default(),
            some => decode_ids(some, "batch.groups", rows_max)?,
        },
        run_id: batch.run_id,
        step: batch.step,
        model_version: batch.model_version,
        sender: Sender { worker_id: batch.worker_id, epoch: batch.worker_epoch, sequence: batch.sequence },
    })
}

/// Reference scores; a row without a value has reference 0, one of NaN or infinity spoils its row.
fn decode_references(references: Option<pb::FloatColumn>) -> Result<Vec<f32>, PoolError> {
    let Some(references) = references else {
        return Ok(Vec::new());
    };
    let present = references.present.clone();
    let mut values = columns::decode_floats(Some(references)).map_err(column("batch.reference_scores"))?;
    if !present.is_empty() {
        for (row, value) in values.iter_mut().enumerate() {
            if present[row / 8] >> (row % 8) & 1 == 0 {
                *value = 0.0;
            }
        }
    }
    Ok(values)
}

/// An optional column: a message without ids is as good as none.
fn present_ids(ids: Option<pb::IdColumn>) -> Option<pb::IdColumn> {
    ids.filter(|ids| ids.encoding.is_some())
}

/// A column of ids of either kind.
///
/// # Errors
/// `Invalid` naming `field`.
pub(crate) fn decode_ids(ids: Option<pb::IdColumn>, field: &str, rows_max: usize) -> Result<Ids, PoolError> {
    check_rows(field, columns::id_rows(ids.as_ref()).map_err(column(field))?, rows_max)?;
    Ok(match columns::decode_ids(ids).map_err(column(field))? {
        columns::Ids::U64(ids) => Ids::U64(ids),
        columns::Ids::Keys(keys) => Ids::Names(keys.into_iter().map(Arc::from).collect()),
    })
}

fn check_rows(field: &str, rows: usize, rows_max: usize) -> Result<(), PoolError> {
    if rows > rows_max {
        return Err(PoolError::invalid(
            field,
            format!("{rows} rows, over this server's max_batch_rows {rows_max}"),
        ));
    }
    Ok(())
}

pub(super) fn column(field: &str) -> impl Fn(ColumnError) -> PoolError + '_ {
    move |error| PoolError::invalid(field, error.to_string())
}

fn encode(sequence: u64, pool_uid: u64, ack: &Ack) -> pb::ScoreAck {
    let status = match ack.status {
        AckStatus::Applied => pb::AckStatus::Applied,
        AckStatus::Stale => pb::AckStatus::Stale,
        AckStatus::Duplicate => pb::AckStatus::Duplicate,
    };
    pb::ScoreAck {
        sequence,
        status: status.into(),
        error: None,
        counts: Some(encode_counts(&ack.counts)),
        floor_log2: ack.floor_log2,
        // Nothing is journalled yet.
        position: None,
        durable_position: None,
        pool_uid,
        clamped: ack.clamped,
        floored: ack.floored,
    }
}

/// What became of rows.
pub(super) fn encode_counts(counts: &ReportCounts) -> pb::ReportCounts {
    pb::ReportCounts {
        inserted: counts.inserted,
        updated: counts.updated,
        background_only: counts.background_only,
        dropped: counts.dropped,
        non_finite: counts.non_finite,
        coalesced: counts.coalesced,
        duplicate: counts.duplicate,
        stale: counts.stale,
        out_of_range: counts.out_of_range,
        quarantined: counts.quarantined,
        blocked: counts.blocked,
        anchor_limit: counts.anchor_limit,
        not_negative: counts.not_negative,
    }
}
