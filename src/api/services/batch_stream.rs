//! StreamBatches: one batch for each credit, mined when the client is ready to read it.

use std::pin::pin;

use tokio_stream::Stream;
use tonic::{Status, Streaming};
use tracing::{Instrument as _, debug_span};

use crate::api::Context;
use crate::api::services::mined_batch::{self, Target};
use crate::model::batch::MineRequest;
use crate::model::error::PoolError;
use crate::pool::admission::Patience;
use crate::proto::v1::{self as pb, stream_batches_request::Message};

/// The credits that a stream begins with: the default, and the largest number.
const OUTSTANDING: u32 = 2;
const OUTSTANDING_MAX: u32 = 64;
/// The largest number of credits that one message grants.
const CREDITS_MAX: u32 = 1_024;

/// The path of the mining request in the first message, for field names in errors.
const PREFIX: &str = "start.request.";

/// What the first message asked for, with the credits left.
pub(in crate::api) struct Start {
    request: MineRequest,
    target: Target,
    credits: u32,
}

/// Decodes the first message.
///
/// # Errors
/// `Invalid` naming the field.
pub(super) fn start(context: &Context, first: Option<pb::StreamBatchesRequest>) -> Result<Start, PoolError> {
    let Some(Message::Start(start)) = first.and_then(|first| first.message) else {
        return Err(PoolError::invalid("start", "must be the first message of the stream"));
    };
    let request = start
        .request
        .ok_or_else(|| PoolError::invalid("start.request", "is missing: it says what to mine"))?;
    if !request.request_id.is_empty() {
        return Err(PoolError::invalid(
            "start.request.request_id",
            "must be empty: every batch of a stream is another one",
        ));
    }
    let credits = match start.max_outstanding {
        0 => OUTSTANDING,
        n if n <= OUTSTANDING_MAX => n,
        n => {
            return Err(PoolError::invalid(
                "start.max_outstanding",
                format!("{n} is not in 1..={OUTSTANDING_MAX}"),
            ));
        }
    };
    let (request, target) = mined_batch::decode(context, request, PREFIX)?;
    Ok(Start { request, target, credits })
}

/// A stream between two batches.
struct OpenStream {
    context: Context,
    messages: Streaming<pb::StreamBatchesRequest>,
    start: Start,
    /// Batches sent.
    sent: u64,
}

/// Mines the batches of a stream. The seed, the step and the round's number grow by one with each batch where the request has them.
pub(super) fn batches(
    context: Context,
    messages: Streaming<pb::StreamBatchesRequest>,
    start: Start,
) -> impl Stream<Item = Result<pb::StreamBatchesResponse, Status>> + Send {
    let state = OpenStream { context, messages, start, sent: 0 };
    futures_util::stream::try_unfold(state, |mut state| async move {
        while state.start.credits == 0 {
            match state.context.next(&mut state.messages).await? {
                None => return Ok(None),
                Some(message) => state.start.credits = granted(&message)?,
            }
        }
        let mut request = state.start.request.clone();
        request.seed = request.seed.map(|seed| seed.wrapping_add(state.sent));
        request.step = request.step.map(|step| step.wrapping_add(state.sent));
        if let Some(round) = &mut request.round {
            round.number = round.number.wrapping_add(state.sent);
        }
        let drain = state.context.drain.clone();
        // Made while the stream's own span is entered, so that it becomes a child of it.
        let span = debug_span!(
            "batch",
            pool = state.start.target.pool_id(),
            sequence = state.sent as i64,
            rows = i64::from(request.batch_size)
        );
        let batch = {
            let mining =
                pin!(mined_batch::mine(&state.context, &state.start.target, request, Patience::Queue));
            tokio::select! {
                biased;
                () = drain.cancelled() => Err(PoolError::Stopping),
                mined = mining.instrument(span) => mined,
            }
        };
        let batch = batch.map_err(|error| error.below(PREFIX))?;
        state.start.credits -= 1;
        state.sent += 1;
        Ok::<_, Status>(Some((pb::StreamBatchesResponse { batch: Some(batch) }, state)))
    })
}

/// The credits that a later message grants.
fn granted(message: &pb::StreamBatchesRequest) -> Result<u32, PoolError> {
    match &message.message {
        Some(Message::Credits(credits)) if *credits <= CREDITS_MAX => Ok(*credits),
        Some(Message::Credits(credits)) => {
            Err(PoolError::invalid("credits", format!("{credits} is over {CREDITS_MAX}")))
        }
        Some(Message::Start(_)) => Err(PoolError::invalid("start", "may only be the first message")),
        None => Err(PoolError::invalid("message", "is empty: expected credits")),
    }
}
