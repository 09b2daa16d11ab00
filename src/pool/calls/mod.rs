//! The calls of a pool: one file per call, or for a few calls that belong together.

mod ingest;
mod mine;
mod mine_negatives;
pub(crate) mod pairs;
pub(crate) mod quarantine;
mod report;
mod report_negatives;
pub(crate) mod samples;
mod watch;
