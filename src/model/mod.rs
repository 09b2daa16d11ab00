//! The data of requests and answers, with their defaults and ranges. This room has no state, and it does not know the store or the wire
//! format.

pub mod anchored_spec;
pub mod balance;
pub mod batch;
mod columns;
pub mod curriculum;
pub mod encoded;
pub mod error;
pub mod filter_counts;
pub mod flow;
pub mod hardness;
pub mod limits;
pub mod moment;
pub mod negative_policy;
pub mod negatives;
pub mod policy;
pub mod quarantine;
pub mod report;
pub mod run;
pub mod selection;
pub mod spec;
pub mod spec_change;
