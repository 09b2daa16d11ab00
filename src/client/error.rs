//! Errors of the client.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::options::root_cause;
use super::pb;
use crate::proto::columns::ColumnError;

/// Any failure of a client call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server's address is not valid.
    #[error("invalid server address {server:?}: {reason}")]
    InvalidServer {
        /// The address, as the caller gave it.
        server: String,
        /// The problem with it.
        reason: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {server}: {}", root_cause(source))]
    Connect {
        /// The address, as the caller gave it.
        server: String,
        /// The transport's error.
        source: tonic::transport::Error,
    },
    /// The server (or the transport, as UNAVAILABLE) refused the call.
    #[error("{}", describe(status))]
    Status {
        /// The status with its details.
        status: Box<Status>,
    },
    /// The server refused one batch of a stream; the stream goes on.
    #[error("batch {sequence} was rejected: {}", describe(status))]
    Rejected {
        /// The batch's sequence.
        sequence: u64,
        /// The status that a unary call would have had.
        status: Box<Status>,
    },
    /// A batch was applied, but over half of its rows were stale: the pool has reports of later steps for them. The worker is behind, or has
    /// started again without a new run_id. A caller that expects this can read the ack and continue.
    #[error(
        "batch {} was stale: {} of its rows are older than what is stored; a run that starts again or resumes needs a new run_id",
        ack.sequence, ack.counts.unwrap_or_default().stale
    )]
    Stale {
        /// The ack, with the outcomes of the rows.
        ack: Box<pb::ScoreAck>,
    },
    /// Columns of different lengths were given.
    #[error("{ids} ids but {scores} scores")]
    Mismatch {
        /// Rows of the id column.
        ids: usize,
        /// Rows of the score column.
        scores: usize,
    },
    /// A column was given with another number of rows than the one that it belongs to.
    #[error("`{column}` has {got} rows, `{than}` {expected}")]
    Rows {
        /// The column's field name.
        column: &'static str,
        /// The column that it belongs to: ids, or anchors.
        than: &'static str,
        /// Rows of the column that it belongs to.
        expected: usize,
        /// Rows of the column.
        got: usize,
    },
    /// The server's answer holds a column that cannot be read.
    #[error("the server's answer is malformed: column `{column}` {source}")]
    Column {
        /// The column's field name.
        column: &'static str,
        /// The problem.
        source: ColumnError,
    },
    /// The server's answer has a column with another number of rows than its ids.
    #[error("the server's answer is malformed: `{column}` has {got} rows, `ids` {expected}")]
    ColumnLength {
        /// The column's field name.
        column: &'static str,
        /// Rows of the ids.
        expected: usize,
        /// Rows of the column.
        got: usize,
    },
    /// The offsets in the server's answer do not divide its rows among the anchors.
    #[error("the server's answer is malformed: `offsets` do not divide {rows} rows")]
    Offsets {
        /// Rows of the ids.
        rows: usize,
    },
    /// The server's answer lacks a field that the contract promises.
    #[error("the server's answer is malformed: it has no `{missing}`")]
    Protocol {
        /// The field's name.
        missing: &'static str,
    },
    /// The stream ended, by `finish` or by an earlier error.
    #[error("the stream is closed")]
    Closed,
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status { status: Box::new(status) }
    }
}

impl Error {
    /// The status, where the server (or the transport) gave one.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Status { status } | Self::Rejected { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The gRPC code; UNAVAILABLE when no connection could be made, INTERNAL for a malformed answer, FAILED_PRECONDITION for a
    /// stale batch.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Status { status } | Self::Rejected { status, .. } => status.code(),
            Self::Connect { .. } => Code::Unavailable,
            Self::InvalidServer { .. } | Self::Mismatch { .. } | Self::Rows { .. } => Code::InvalidArgument,
            Self::Column { .. }
            | Self::ColumnLength { .. }
            | Self::Offsets { .. }
            | Self::Protocol { .. } => Code::Internal,
            Self::Stale { .. } => Code::FailedPrecondition,
            Self::Closed => Code::Cancelled,
        }
    }

    /// The stable reason of `google.rpc.ErrorInfo`, for example `POOL_NOT_FOUND`.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        Some(self.status()?.get_details_error_info()?.reason)
    }

    /// (field, description) of each `google.rpc.BadRequest` violation.
    #[must_use]
    pub fn field_violations(&self) -> Vec<(String, String)> {
        self.status()
            .and_then(StatusExt::get_details_bad_request)
            .map(|bad| bad.field_violations)
            .unwrap_or_default()
            .into_iter()
            .map(|violation| (violation.field, violation.description))
            .collect()
    }

    /// How long the server asks the client to wait before the next attempt.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.status()?.get_details_retry_info()?.retry_delay
    }

    /// Whether the server could not be reached or did not answer, as opposed to refusing the call. A training can then go on with its own
    /// batches.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self.code(), Code::Unavailable | Code::DeadlineExceeded)
    }
}

/// `NOT_FOUND: no pool \`faces\`` on one line, with the fields at fault.
fn describe(status: &Status) -> String {
    use std::fmt::Write;

    if status.message().is_empty() {
        return code_name(status.code()).to_owned();
    }
    let mut text = format!("{}: {}", code_name(status.code()), one_line(status.message()));
    if let Some(source) = std::error::Error::source(status) {
        let cause = root_cause(source);
        if !status.message().contains(&cause) {
            let _ = write!(text, " ({})", one_line(&cause));
        }
    }
    if let Some(bad) = status.get_details_bad_request() {
        for violation in bad.field_violations {
            if !status.message().contains(&violation.description) {
                let _ = write!(text, "; {}: {}", violation.field, one_line(&violation.description));
            }
        }
    }
    text
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// The code as the specification spells it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn details_are_reachable_and_shown_once() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("BAD_ALPHA", "hardneg", std::collections::HashMap::new())
            .add_bad_request_violation("policy.alpha", "must be 0 to 16")
            .set_retry_info(Some(Duration::from_millis(250)));
        let status = Status::with_error_details(Code::InvalidArgument, "the request is invalid", details);
        let error = Error::from(status);
        assert_eq!(error.code(), Code::InvalidArgument);
        assert_eq!(error.reason().as_deref(), Some("BAD_ALPHA"));
        assert_eq!(error.retry_delay(), Some(Duration::from_millis(250)));
        assert_eq!(error.field_violations(), vec![("policy.alpha".to_owned(), "must be 0 to 16".to_owned())]);
        assert_eq!(
            error.to_string(),
            "INVALID_ARGUMENT: the request is invalid; policy.alpha: must be 0 to 16"
        );
    }
}
