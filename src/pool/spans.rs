//! The spans of the work on a pool, for traces. They are at `debug`, so they cost nothing if neither log nor traces want them. Numbers are
//! `i64`, the only integers of OpenTelemetry; others would be sent as text.
//!
//! Futures are pinned where they are made, and a span wraps the pin, because moving the futures costs more than the span.

use std::pin::Pin;

use tracing::{Instrument as _, Span, debug_span, field::Empty, field::debug};

use crate::model::batch::{MineRequest, MinedBatch, Wait};
use crate::model::error::PoolError;
use crate::model::policy::Strategy;

/// The span of a score batch, from its checks to its counts.
pub(super) fn report(pool: &str, rows: usize) -> Span {
    debug_span!("report", pool, rows = rows as i64)
}

/// The span of applying a score batch to the store.
pub(super) fn apply(shards: u32) -> Span {
    debug_span!("apply", shards = i64::from(shards))
}

/// The span of a mining request.
pub(super) fn mine(pool: &str, request: &MineRequest) -> Span {
    debug_span!("mine", pool, batch_size = i64::from(request.batch_size), strategy = Empty)
}

/// The span of a request for negatives of anchors.
pub(super) fn mine_negatives(pool: &str, anchors: usize, num_negatives: u32) -> Span {
    debug_span!("mine_negatives", pool, anchors = anchors as i64, num_negatives = i64::from(num_negatives))
}

/// The span of a wait for the pool to fill.
pub(super) fn wait(wait: Wait) -> Span {
    debug_span!("wait", min_size = wait.min_size as i64)
}

/// Draws a batch under a span that records its rows and proposals. The span of the request records the strategy.
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
