//! Flow.

use super::{duration, duration_message};
use crate::model::error::PoolError;
use crate::model::flow::{DEFAULT_MAX_WAIT, Flow};
use crate::proto::v1 as pb;

/// What a message sets; ranges are checked by the pool layer.
///
/// # Errors
/// `Invalid` naming the field.
pub(super) fn decode(message: Option<pb::Flow>) -> Result<Option<Flow>, PoolError> {
    let Some(message) = message else { return Ok(None) };
    Ok(Some(Flow {
        mined_per_reported: message.mined_per_reported,
        error_buffer: message.error_buffer,
        min_reported: message.min_reported.max(1),
        max_wait: match message.max_wait {
            None => DEFAULT_MAX_WAIT,
            Some(wait) => duration("pool.spec.flow.max_wait", wait)?,
        },
    }))
}

/// As a message, every default filled in.
pub(super) fn encode(flow: &Flow) -> pb::Flow {
    pb::Flow {
        mined_per_reported: flow.mined_per_reported,
        error_buffer: flow.error_buffer,
        min_reported: flow.min_reported,
        max_wait: Some(duration_message(flow.max_wait)),
    }
}
