//! Decodes and encodes a pool's flow.

use super::{duration, duration_message};
use crate::model::error::PoolError;
use crate::model::flow::{DEFAULT_MAX_WAIT, Flow};
use crate::proto::v1 as pb;

/// The flow that a message describes. The pool layer checks the ranges.
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

/// Encodes a flow with every field set.
pub(super) fn encode(flow: &Flow) -> pb::Flow {
    pb::Flow {
        mined_per_reported: flow.mined_per_reported,
        error_buffer: flow.error_buffer,
        min_reported: flow.min_reported,
        max_wait: Some(duration_message(flow.max_wait)),
    }
}
