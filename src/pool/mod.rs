//! What a pool is: spec, decay, sampler, mixture, weights. Knows the store's trait; knows nothing of the wire.

pub mod activity;
pub mod admission;
pub mod anchored;
pub mod balance;
pub mod batch;
pub mod clock;
pub mod core;
pub mod error;
pub mod filtered;
mod house;
mod ingest;
mod ledger;
mod mining;
pub mod policy;
pub mod registry;
mod replay;
pub mod report;
mod reporting;
mod sampler;
mod spans;
pub mod spec;
pub mod stats;
