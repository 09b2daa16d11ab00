//! The handlers: one method for each call of the contract, one file for each stream.

mod batch_stream;
mod mined_batch;
pub(super) mod mining;
pub(super) mod pools;
mod score_batch;
mod score_stream;
mod stats_stream;
