//! Training runs of a pool that ages by steps: their state, what is saved of them, and errors of reports.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::model::error::Violation;
use crate::model::report::Sender;

/// Maximum length of a run_id, in bytes.
pub const RUN_ID_BYTES_MAX: usize = 128;

/// The state of the runs of a pool that its record saves. Reports in progress are not part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunLandmarks {
    /// The current run; `None` before the first report.
    pub current: Option<RunLandmark>,
    /// Ids of the runs that have ended, in the order in which they ended; at most 1,024.
    pub ended: Vec<String>,
}

/// The saved state of the current run. The processes that have reported in it are not saved: each is new to a restored run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunLandmark {
    /// The run_id of its reports; empty: they have none.
    pub run_id: String,
    /// s0, its first step.
    pub first_step: u64,
    /// t0, the tick of the pool at that step.
    pub first_tick: i64,
    /// Its highest step.
    pub step: u64,
}

/// Why the current run of a pool does not accept a report. Nothing of the report was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Another run has begun since.
    #[error(
        "run `{run_id}` has ended: the pool's current run is `{current}`. A run that starts again or resumes needs a new run_id"
    )]
    Ended {
        /// The run of the report.
        run_id: Arc<str>,
        /// The current run.
        current: Arc<str>,
    },
    /// The current run has a run_id, and the report has none.
    #[error(
        "the report has no run_id, and the pool's current run is `{current}`: give that run_id, or a new one"
    )]
    Missing {
        /// The current run.
        current: Arc<str>,
    },
    /// The first step of a process is more than a half-life behind the highest step of the current run.
    #[error(
        "the first step of this process is {step}, more than a half-life behind the current run's highest step {highest}: a run \
         that starts again or resumes from an older step needs a new run_id"
    )]
    StepBehind {
        /// The step of the report.
        step: u64,
        /// The highest step of the current run.
        highest: u64,
        /// The current run; empty if it has no run_id.
        current: Arc<str>,
    },
}

/// What is wrong with a run_id, if anything; `field` is its name in the request.
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
    /// The run_id of its reports; empty: they have none.
    pub run_id: Arc<str>,
    /// The first step of the run.
    pub first_step: u64,
    /// The highest step of the run.
    pub step: u64,
    /// The highest tick of the pool.
    pub tick: u64,
}

/// The fields of a report that the runs of a pool need.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The run_id; empty: none.
    pub run_id: &'a str,
    /// The training step in that run.
    pub step: u64,
    /// The sender of the report.
    pub sender: &'a Sender,
}

impl Entry<'_> {
    /// A hash of the worker process that sent the report.
    pub(crate) fn process(&self) -> u64 {
        xxh3_64_with_seed(self.sender.worker_id.as_bytes(), self.sender.epoch)
    }
}
