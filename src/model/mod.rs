//! Plain words and ranges of what the server is asked and what it answers. No state, no store, nothing of the wire.

pub mod anchored_spec;
pub mod balance;
pub mod batch;
mod columns;
pub mod curriculum;
pub mod encoded;
pub mod error;
pub mod filter_counts;
pub mod flow;
pub mod limits;
pub mod moment;
pub mod negative_policy;
pub mod negatives;
pub mod policy;
pub mod quarantine;
pub mod report;
pub mod run;
pub mod spec;
pub mod spec_change;
