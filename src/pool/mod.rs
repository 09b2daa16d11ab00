//! What a pool is: spec, decay, sampler, mixture, weights. Knows the store's trait; knows nothing of the wire.

pub mod activity;
pub mod admission;
pub mod anchored;
pub mod balance;
pub mod batch;
pub mod clock;
mod control;
pub mod core;
pub mod curriculum;
pub mod error;
mod executor;
pub mod filtered;
pub mod flow;
mod house;
mod ingest;
mod mining;
pub mod policy;
pub mod quarantine;
mod record;
#[cfg(test)]
mod recorded_tests;
pub mod registry;
mod remembered;
mod replay;
pub mod report;
mod reporting;
mod resends;
#[cfg(test)]
mod resends_tests;
pub mod rounds;
pub mod runs;
mod sampler;
pub mod samples;
mod spans;
pub mod spec;
pub mod stats;
#[cfg(test)]
mod wall_clock_tests;
mod weight_warnings;
