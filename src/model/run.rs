//! A training run of a pool that ages by steps: what is told of it, kept of it, and wrong with a report of it.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::error::Violation;
use crate::model::report::Sender;

/// Longest run_id, bytes.
pub const RUN_ID_BYTES_MAX: usize = 128;

/// What is kept of the runs of a pool when it is saved: nothing of reports that are under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunLandmarks {
    /// The current run; `None` before the first report.
    pub current: Option<RunLandmark>,
    /// Ids of the runs that have ended, the first ended first; at most 1,024.
    pub ended: Vec<String>,
}

/// The current run, as it is saved. The processes that it has heard are not kept: each is new to a restored run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunLandmark {
    /// As its reports name it; empty: they name none.
    pub run_id: String,
    /// s0, its first step.
    pub first_step: u64,
    /// t0, the tick of that step.
    pub first_tick: i64,
    /// Its highest step.
    pub step: u64,
}

/// Why the current run of a pool does not take a report. Nothing of the report was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Another run began after it.
    #[error(
        "run `{run_id}` has ended: the pool's current run is `{current}`. A run that starts again or resumes needs a new run_id"
    )]
    Ended {
        /// The run that was named.
        run_id: Arc<str>,
        /// The current one.
        current: Arc<str>,
    },
    /// The current run has a name, and none was given.
    #[error("the report has no run_id, and the pool's current run is `{current}`: name it, or a new one")]
    Missing {
        /// The current one.
        current: Arc<str>,
    },
    /// The first step of a process is more than a half-life behind.
    #[error(
        "the first step of this process is {step}, more than a half-life behind the current run's highest step {highest}: a run \
         that starts again or resumes from an older step needs a new run_id"
    )]
    StepBehind {
        /// The step of the report.
        step: u64,
        /// The run's highest.
        highest: u64,
        /// The current run; empty where it has no name.
        current: Arc<str>,
    },
}

/// Whether this may be a run's id; `field` names it.
#[must_use]
pub fn run_id_violation(field: &str, run_id: &str) -> Option<Violation> {
    let problem = if run_id.len() > RUN_ID_BYTES_MAX {
        format!("{} bytes, over {RUN_ID_BYTES_MAX}", run_id.len())
    } else if run_id.chars().any(char::is_control) {
        "has control characters".to_owned()
    } else {
        return None;
    };
    Some(Violation::new(field, problem))
}

/// The current run of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunState {
    /// As its reports name it; empty: they name none.
    pub run_id: Arc<str>,
    /// Its first step.
    pub first_step: u64,
    /// Its highest step.
    pub step: u64,
    /// The pool's highest tick.
    pub tick: u64,
}

/// What the runs are told of a report.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Empty: none.
    pub run_id: &'a str,
    /// Its step in the run.
    pub step: u64,
    /// Who sent it.
    pub sender: &'a Sender,
}

impl Entry<'_> {
    /// The process that sent it, as a hash.
    pub(crate) fn process(&self) -> u64 {
        xxh3_64_with_seed(self.sender.worker_id.as_bytes(), self.sender.epoch)
    }
}
