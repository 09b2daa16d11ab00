//! The spans of the work on a pool, for the traces. At `debug`: where nobody looks they cost nothing.
//! Numbers are `i64`, the only integers that OpenTelemetry has; others would arrive as text.
//!
//! Futures are pinned where they are made, and the pin is what a span wraps: to move them costs more than the span.

use std::pin::Pin;

use tracing::{Instrument as _, Span, debug_span, field::Empty, field::debug};

use crate::model::batch::{MineRequest, MinedBatch, Wait};
use crate::model::error::PoolError;
use crate::model::policy::Strategy;

/// A batch of scores, from its checks to its counts.
pub(super) fn report(pool: &str, rows: usize) -> Span {
    debug_span!("report", pool, rows = rows as i64)
}

/// A batch of scores in the store.
pub(super) fn apply(shards: u32) -> Span {
    debug_span!("apply", shards = i64::from(shards))
}

/// A mining request.
pub(super) fn mine(pool: &str, request: &MineRequest) -> Span {
    debug_span!("mine", pool, batch_size = i64::from(request.batch_size), strategy = Empty)
}

/// A request for negatives of anchors.
pub(super) fn mine_negatives(pool: &str, anchors: usize, num_negatives: u32) -> Span {
    debug_span!("mine_negatives", pool, anchors = anchors as i64, num_negatives = i64::from(num_negatives))
}

/// Until the pool has filled.
pub(super) fn wait(wait: Wait) -> Span {
    debug_span!("wait", min_size = wait.min_size as i64)
}

/// Draws under a span that tells what came of it; the request's learns by which strategy.
pub(super) async fn draw(
    strategy: Strategy,
    drawing: Pin<&mut impl Future<Output = Result<MinedBatch, PoolError>>>,
) -> Result<MinedBatch, PoolError> {
    Span::current().record("strategy", debug(strategy));
    let span = debug_span!("draw", rows = Empty, proposals = Empty);
    let batch = drawing.instrument(span.clone()).await?;
    span.record("rows", batch.columns.ids.len() as i64);
    span.record("proposals", batch.draw.proposals as i64);
    Ok(batch)
}
