//! StreamScores: batches up, acks down, in order.
//!
//! The server reads the next batch only when it can send the ack of the last one. What a client sends beyond that waits in HTTP/2's
//! windows, so memory is bounded whatever trainers send, and a client that does not read its acks slows only itself.

use std::pin::pin;

use tokio_stream::Stream;
use tonic::{Status, Streaming};
use tracing::{Instrument as _, Span, debug_span, field::Empty};

use crate::api::Context;
use crate::api::services::score_batch;
use crate::api::status::to_message;
use crate::proto::{columns, v1 as pb};

/// Applies the batches of a stream and yields their acks in order.
pub(super) fn acks(
    context: Context,
    batches: Streaming<pb::StreamScoresRequest>,
) -> impl Stream<Item = Result<pb::StreamScoresResponse, Status>> + Send {
    futures_util::stream::try_unfold((context, batches), |(context, mut batches)| async move {
        let Some(message) = context.next(&mut batches).await? else {
            return Ok(None);
        };
        let sequence = message.batch.as_ref().map_or(0, |batch| batch.sequence);
        // Made while the stream's own span is entered, so that it becomes a child of it.
        let span = batch_span(message.batch.as_ref());
        let ack = match pin!(score_batch::apply(&context, message.batch)).instrument(span).await {
            Ok(ack) => ack,
            // A bad batch fails alone: the stream goes on.
            Err(error) => pb::ScoreAck {
                sequence,
                status: pb::AckStatus::Rejected.into(),
                error: Some(to_message(&error.into())),
                ..Default::default()
            },
        };
        Ok(Some((pb::StreamScoresResponse { ack: Some(ack) }, (context, batches))))
    })
}

/// The tracing span of one batch.
fn batch_span(batch: Option<&pb::ScoreBatch>) -> Span {
    let span = debug_span!("batch", worker_id = Empty, sequence = Empty, rows = Empty, pool = Empty);
    if let Some(batch) = batch.filter(|_| !span.is_disabled()) {
        span.record("worker_id", &batch.worker_id);
        span.record("sequence", batch.sequence as i64);
        span.record("rows", columns::id_rows(batch.ids.as_ref()).unwrap_or(0) as i64);
        span.record("pool", &batch.pool);
    }
    span
}
