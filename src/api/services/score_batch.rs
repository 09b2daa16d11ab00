//! Applies one score batch, for ReportScores and StreamScores.

use std::pin::pin;

use crate::api::Context;
use crate::api::codec::report;
use crate::model::error::PoolError;
use crate::proto::v1 as pb;

/// Applies one batch.
///
/// # Errors
/// Those of [`crate::pool::Pool::report`], and `Invalid` for columns that cannot be decoded.
pub(super) async fn apply(
    context: &Context,
    batch: Option<pb::ScoreBatch>,
) -> Result<pb::ScoreAck, PoolError> {
    let batch = batch.ok_or_else(|| PoolError::invalid("batch", "is missing"))?;
    let sequence = batch.sequence;
    let pool = context.pool("batch.pool", &batch.pool, batch.pool_uid)?;
    let report = report::decode(batch, context.rows_max).inspect_err(|_| pool.count_rejected())?;
    let uid = pool.uid();
    let permit = pin!(pool.ready_for(&report)).await?;
    let ack = pin!(pool.report_ready(report, permit)).await?;
    Ok(report::encode(sequence, uid, &ack))
}
