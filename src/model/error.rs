//! What can go wrong with a pool, in the pool's own words; the gRPC layer maps each to a status.

use std::time::Duration;

use crate::model::run::RunError;

/// A request field at fault.
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

/// Checks of the fields of one message.
#[derive(Debug)]
pub struct Checks<'a> {
    /// Path of the message in the contract, such as `pool.spec`.
    prefix: &'a str,
    /// What is wrong with its fields.
    pub found: Vec<Violation>,
}

impl<'a> Checks<'a> {
    /// Of the fields below `prefix`.
    #[must_use]
    pub fn below(prefix: &'a str) -> Self {
        Self { prefix, found: Vec::new() }
    }

    /// Notes a violation of `field` unless `ok`.
    pub fn check(&mut self, ok: bool, field: &str, description: String) {
        if !ok {
            self.found.push(Violation::new(format!("{}.{field}", self.prefix), description));
        }
    }
}

/// Why a pool refused a request. Nothing of the request was applied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PoolError {
    /// There is no such pool.
    #[error("pool `{0}` does not exist")]
    NotFound(String),
    /// The pool exists with another spec.
    #[error("pool `{pool}` exists with another spec: {differs} differs")]
    AlreadyExists {
        /// Pool id.
        pool: String,
        /// The first field that differs.
        differs: String,
    },
    /// Fields of the request are wrong.
    #[error("{}", .0.iter().map(|v| format!("{}: {}", v.field, v.description)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    /// A limit of the server is reached.
    #[error("{what}")]
    Exhausted {
        /// What ran out, with its limit.
        what: String,
        /// The limit's name.
        limit: &'static str,
        /// When to try again, if that may help.
        retry_after: Option<Duration>,
    },
    /// The pool is not in a state that allows the request.
    #[error("{message}")]
    FailedPrecondition {
        /// Machine-readable, UPPER_SNAKE_CASE.
        reason: &'static str,
        /// For people.
        message: String,
    },
    /// The pool's current run does not take the report.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The pool changed since the caller read it.
    #[error("{0}")]
    Aborted(String),
    /// The contract has it, this version does not.
    #[error("{0}: not available in this version")]
    Unimplemented(String),
    /// The store behind the pool failed.
    #[error("{0}")]
    Unavailable(String),
    /// The server is stopping: another one, or this one after its restart, will do it.
    #[error("the server is stopping")]
    Stopping,
    /// A defect of the server: the work that it names panicked.
    #[error("internal error: {0} failed")]
    Internal(&'static str),
}

impl PoolError {
    /// The same error of a request that stands below `prefix` in another message.
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

    /// One wrong field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, description)])
    }
}

impl PoolError {
    /// The pool of this name is not the one that was asked for.
    pub(crate) fn recreated(pool: &str, wanted: u64, present: u64) -> Self {
        Self::FailedPrecondition {
            reason: "POOL_RECREATED",
            message: format!(
                "pool `{pool}` has uid {present}, not {wanted}: it was deleted and created again"
            ),
        }
    }

    /// The pool's etag is another than the one that was asked for.
    pub(crate) fn changed(pool: &str) -> Self {
        Self::Aborted(format!("pool `{pool}` changed: its etag is another"))
    }
}
