//! What a pool is asked for: one file a call, or a few that belong together.

mod ingest;
mod mine;
mod mine_negatives;
pub mod pairs;
pub mod quarantine;
mod report;
mod report_negatives;
pub mod samples;
mod watch;
