//! Maps errors of the pool layer to statuses with google.rpc details: always ErrorInfo; BadRequest, RetryInfo and QuotaFailure
//! where they apply (Google AIP 193).

use std::collections::HashMap;
use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::model::error::PoolError;
use crate::model::run::RunError;

/// The domain of every ErrorInfo.
const DOMAIN: &str = "hardneg";
/// The largest number of field violations in one status. Further ones would mostly repeat the first.
const VIOLATIONS_MAX: usize = 32;

/// The longest message of a status, bytes.
const MESSAGE_CHARS_MAX: usize = 1024;
/// The retry delay of a request that a stopping server refused.
const RESTART: Duration = Duration::from_secs(1);

/// The ErrorInfo of an error: the reason that programs match on, and its metadata.
fn details(reason: &str, metadata: &[(&str, &str)]) -> ErrorDetails {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}

/// The ErrorInfo of a report that does not fit the pool's current run.
fn of_run(error: &RunError) -> ErrorDetails {
    match error {
        RunError::Ended { run_id, current } => {
            details("RUN_ENDED", &[("run_id", run_id), ("current_run_id", current)])
        }
        RunError::Missing { current } => details("RUN_MISSING", &[("current_run_id", current)]),
        RunError::StepBehind { step, highest, current } => {
            let (step, highest) = (step.to_string(), highest.to_string());
            details(
                "STEP_BEHIND",
                &[("step", &step), ("highest_step", &highest), ("current_run_id", current)],
            )
        }
    }
}

impl From<PoolError> for Status {
    fn from(error: PoolError) -> Self {
        // The message travels in a header, whose length clients limit.
        let message: String = error.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
        let (code, details) = match error {
            PoolError::NotFound(pool) => (Code::NotFound, details("POOL_NOT_FOUND", &[("pool", &pool)])),
            PoolError::AlreadyExists { pool, differs } => {
                (Code::AlreadyExists, details("POOL_EXISTS", &[("pool", &pool), ("differs", &differs)]))
            }
            PoolError::Invalid(violations) => {
                let fields = violations
                    .into_iter()
                    .take(VIOLATIONS_MAX)
                    .map(|v| FieldViolation::new(v.field, v.description))
                    .collect::<Vec<_>>();
                let mut details = details("INVALID_FIELD", &[]);
                details.set_bad_request(fields);
                (Code::InvalidArgument, details)
            }
            PoolError::Exhausted { what, limit, retry_after } => {
                let mut details = details("LIMIT_REACHED", &[("limit", limit)]);
                details.add_quota_failure_violation(limit, what);
                if retry_after.is_some() {
                    details.set_retry_info(retry_after);
                }
                (Code::ResourceExhausted, details)
            }
            PoolError::FailedPrecondition { reason, .. } => (Code::FailedPrecondition, details(reason, &[])),
            PoolError::Run(error) => (Code::FailedPrecondition, of_run(&error)),
            PoolError::Aborted(_) => (Code::Aborted, details("ETAG_MISMATCH", &[])),
            PoolError::Unimplemented(field) => {
                let mut details = details("NOT_IN_THIS_VERSION", &[("field", &field)]);
                details.add_bad_request_violation(field, "not available in this version");
                (Code::Unimplemented, details)
            }
            PoolError::Stopping => {
                let mut details = details("SERVER_STOPPING", &[]);
                details.set_retry_info(Some(RESTART));
                (Code::Unavailable, details)
            }
            PoolError::Unavailable(_) => (Code::Unavailable, details("STORE_UNAVAILABLE", &[])),
            PoolError::Internal(_) => (Code::Internal, details("INTERNAL", &[])),
        };
        Self::with_error_details(code, message, details)
    }
}

/// Encodes a status, for the ack of a batch that failed while its stream goes on.
pub(super) fn to_message(status: &Status) -> tonic_types::pb::Status {
    tonic_types::pb::Status::decode(status.details()).unwrap_or_else(|_| tonic_types::pb::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}
