//! What a pool is asked for: one file a call, or a few that belong together.

mod ingest;
mod mine;
mod mine_negatives;
pub(crate) mod pairs;
pub(crate) mod quarantine;
mod report;
mod report_negatives;
pub(crate) mod samples;
mod watch;
