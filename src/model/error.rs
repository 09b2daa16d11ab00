//! Errors of requests to a pool. The gRPC layer maps each to a status.

use std::time::Duration;

use crate::model::run::RunError;

/// A field of a request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field in the contract, such as `pool.spec.capacity`.
    pub field: String,
    /// What is wrong, with the limit.
    pub description: String,
}

impl Violation {
    /// A violation of `field`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// Collects the violations of the fields of one message.
#[derive(Debug, Default)]
pub struct Checks<'a> {
    /// Path of the message in the contract, such as `pool.spec`; empty: the request itself.
    prefix: &'a str,
    /// The violations found so far.
    pub found: Vec<Violation>,
}

impl<'a> Checks<'a> {
    /// No violations yet; fields are named below `prefix`.
    #[must_use]
    pub fn below(prefix: &'a str) -> Self {
        Self { prefix, found: Vec::new() }
    }

    /// Adds a violation of `field` unless `ok`.
    pub fn check(&mut self, ok: bool, field: &str, description: String) {
        if !ok {
            let dot = if self.prefix.is_empty() { "" } else { "." };
            self.found.push(Violation::new(format!("{}{dot}{field}", self.prefix), description));
        }
    }
}

/// Why a pool refused a request. Nothing of the request was applied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PoolError {
    /// No pool has this name.
    #[error("pool `{0}` does not exist")]
    NotFound(String),
    /// A pool of this name exists with another spec.
    #[error("pool `{pool}` exists with another spec: {differs} differs")]
    AlreadyExists {
        /// Name of the pool.
        pool: String,
        /// The first field that differs.
        differs: String,
    },
    /// Fields of the request are wrong: all violations that were found.
    #[error("{}", .0.iter().map(|v| format!("{}: {}", v.field, v.description)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// A limit of the server has been reached.
    #[error("{what}")]
    Exhausted {
        /// What is exhausted, with its limit.
        what: String,
        /// Name of the limit.
        limit: &'static str,
        /// When to try again; `None` if a retry cannot help.
        retry_after: Option<Duration>,
    },
    /// The pool is not in a state that allows the request.
    #[error("{message}")]
    FailedPrecondition {
        /// A reason for programs, in UPPER_SNAKE_CASE.
        reason: &'static str,
        /// The explanation for people.
        message: String,
    },
    /// The current run of the pool does not accept the report.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The pool changed since the caller read it.
    #[error("{0}")]
    Aborted(String),
    /// The contract has this, but this version of the server does not.
    #[error("{0}: not available in this version")]
    Unimplemented(String),
    /// The store behind the pool failed.
    #[error("{0}")]
    Unavailable(String),
    /// The server is stopping. The client may retry with another server, or with this one after its restart.
    #[error("the server is stopping")]
    Stopping,
    /// A defect of the server: the named task panicked.
    #[error("internal error: {0} failed")]
    Internal(&'static str),
}

impl PoolError {
    /// The same error, for a request that is a field of another message: fields are named below `prefix`.
    #[must_use]
    pub fn below(self, prefix: &str) -> Self {
        match self {
            Self::Invalid(violations) => Self::Invalid(
                violations
                    .into_iter()
                    .map(|v| Violation::new(format!("{prefix}{}", v.field), v.description))
                    .collect(),
            ),
            other => other,
        }
    }

    /// The error for one wrong field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }
}

impl PoolError {
    /// The error for a pool of this name that has another uid than the caller means.
    pub(crate) fn recreated(pool: &str, wanted: u64, present: u64) -> Self {
        Self::FailedPrecondition {
            reason: "POOL_RECREATED",
            message: format!(
                "pool `{pool}` has uid {present}, not {wanted}: it was deleted and created again"
            ),
        }
    }

    /// The error for a pool whose etag differs from the one that the caller gave.
    pub(crate) fn changed(pool: &str) -> Self {
        Self::Aborted(format!("pool `{pool}` has changed since it was read: its etag differs"))
    }
}
