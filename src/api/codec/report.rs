//! Decodes score batches and encodes their acks.

use std::sync::Arc;

use crate::model::error::PoolError;
use crate::model::report::{Ack, AckStatus, Ids, Report, ReportCounts, Sender};
use crate::model::run::run_id_violation;
use crate::proto::columns::{self, ColumnError};
use crate::proto::v1 as pb;

/// Longest name of a worker, bytes (the contract's limit).
const WORKER_ID_BYTES_MAX: usize = 128;

/// Checks a batch and reads its columns. Lengths are compared before anything is copied.
///
/// # Errors
/// `Invalid` naming the field.
pub(crate) fn decode(mut batch: pb::ScoreBatch, rows_max: usize) -> Result<Report, PoolError> {
    batch.anchors = present_ids(batch.anchors);
    batch.groups = present_ids(batch.groups);
    batch.positive_scores = batch.positive_scores.filter(|column| column.encoding.is_some());
    check_sender(&batch)?;
    check_lengths(&batch, rows_max)?;
    let ids = |column, field| decode_ids(column, field, rows_max);
    Ok(Report {
        ids: ids(batch.ids, "batch.ids")?,
        scores: columns::decode_floats(batch.scores).map_err(column("batch.scores"))?,
        reference_scores: decode_references(batch.reference_scores)?,
        payloads: batch.payloads,
        anchors: batch.anchors.map(|anchors| ids(Some(anchors), "batch.anchors")).transpose()?,
        positive_scores: match batch.positive_scores {
            Some(scores) => columns::decode_floats(Some(scores)).map_err(column("batch.positive_scores"))?,
            None => Vec::new(),
        },
        labels: batch.labels,
        anchor_labels: batch.anchor_labels,
        strata: batch.strata,
        groups: decode_optional_ids(batch.groups, "batch.groups", rows_max)?,
        run_id: batch.run_id,
        step: batch.step,
        model_version: batch.model_version,
        sender: Sender { worker_id: batch.worker_id, epoch: batch.worker_epoch, sequence: batch.sequence },
    })
}

/// Checks the names of the worker and of its run.
fn check_sender(batch: &pb::ScoreBatch) -> Result<(), PoolError> {
    if batch.worker_id.len() > WORKER_ID_BYTES_MAX {
        return Err(PoolError::invalid(
            "batch.worker_id",
            format!("{} bytes, over {WORKER_ID_BYTES_MAX}", batch.worker_id.len()),
        ));
    }
    run_id_violation("batch.run_id", &batch.run_id)
        .map_or(Ok(()), |violation| Err(PoolError::Invalid(vec![violation])))
}

/// Checks that every given column has one row for each id, and that the ids are at most `rows_max`.
fn check_lengths(batch: &pb::ScoreBatch, rows_max: usize) -> Result<(), PoolError> {
    let rows = columns::id_rows(batch.ids.as_ref()).map_err(column("batch.ids"))?;
    check_rows("batch.ids", rows, rows_max)?;
    let check = |field: &str, got: usize| {
        if got == rows {
            return Ok(());
        }
        Err(PoolError::invalid(field, format!("has {got} rows, batch.ids has {rows}")))
    };
    check("batch.scores", columns::float_rows(batch.scores.as_ref()).map_err(column("batch.scores"))?)?;
    let lists = [
        ("batch.payloads", batch.payloads.len()),
        ("batch.strata", batch.strata.len()),
        ("batch.labels", batch.labels.len()),
        ("batch.anchor_labels", batch.anchor_labels.len()),
    ];
    for (field, got) in lists.into_iter().filter(|(_, got)| *got != 0) {
        check(field, got)?;
    }
    for (field, ids) in [("batch.anchors", &batch.anchors), ("batch.groups", &batch.groups)] {
        if ids.is_some() {
            check(field, columns::id_rows(ids.as_ref()).map_err(column(field))?)?;
        }
    }
    // Reference scores without values are a mistake, not an absence.
    let floats = [
        ("batch.positive_scores", &batch.positive_scores),
        ("batch.reference_scores", &batch.reference_scores),
    ];
    for (field, floats) in floats {
        if floats.is_some() {
            check(field, columns::float_rows(floats.as_ref()).map_err(column(field))?)?;
        }
    }
    Ok(())
}

/// Decodes reference scores. A row without a value has reference 0. A row whose reference is NaN or infinite counts as non_finite.
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

/// An optional column. A message without an encoding counts as absent.
fn present_ids(ids: Option<pb::IdColumn>) -> Option<pb::IdColumn> {
    ids.filter(|ids| ids.encoding.is_some())
}

/// Decodes a column of integer ids or string keys.
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

/// Decodes an optional column of ids; an absent one is empty.
///
/// # Errors
/// `Invalid` naming `field`.
pub(super) fn decode_optional_ids(
    ids: Option<pb::IdColumn>,
    field: &str,
    rows_max: usize,
) -> Result<Ids, PoolError> {
    present_ids(ids).map_or_else(|| Ok(Ids::default()), |ids| decode_ids(Some(ids), field, rows_max))
}

/// Decodes an optional column of floats that all have values; an absent one is empty.
///
/// # Errors
/// `Invalid` naming `field`.
pub(super) fn decode_optional_floats(
    floats: Option<pb::FloatColumn>,
    field: &str,
    rows_max: usize,
) -> Result<Vec<f32>, PoolError> {
    let Some(floats) = floats.filter(|floats| floats.encoding.is_some()) else {
        return Ok(Vec::new());
    };
    check_rows(field, columns::float_rows(Some(&floats)).map_err(column(field))?, rows_max)?;
    columns::decode_floats(Some(floats)).map_err(column(field))
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

/// The ack of the batch `sequence`.
pub(crate) fn encode(sequence: u64, pool_uid: u64, ack: &Ack) -> pb::ScoreAck {
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
        // There is no journal yet.
        position: None,
        durable_position: None,
        pool_uid,
        clamped: ack.clamped,
        floored: ack.floored,
    }
}

/// Encodes what became of the rows.
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
