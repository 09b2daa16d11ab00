//! StreamScores: batches up, acks down, in order.
//!
//! The next batch is read when its ack can be sent, and not before: what a client sends beyond that waits in HTTP/2's
//! windows, so memory is bounded whatever the trainers send, and one that does not read its acks slows only itself.

use tokio_stream::Stream;
use tonic::{Status, Streaming};

use super::Context;
use super::convert::report;
use super::status::to_message;
use crate::proto::v1 as pb;

/// The acks of a stream of batches.
pub(super) fn acks(
    context: Context,
    batches: Streaming<pb::StreamScoresRequest>,
) -> impl Stream<Item = Result<pb::StreamScoresResponse, Status>> + Send {
    futures_util::stream::try_unfold((context, batches), |(context, mut batches)| async move {
        let Some(message) = context.next(&mut batches).await? else {
            return Ok(None);
        };
        let sequence = message.batch.as_ref().map_or(0, |batch| batch.sequence);
        let ack = match report::apply(&context, message.batch).await {
            Ok(ack) => ack,
            // A bad batch fails alone.
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
