//! The handlers of the calls.

mod batch_stream;
mod mined_batch;
pub(super) mod mining;
pub(super) mod pools;
mod score_batch;
mod score_stream;
mod stats_stream;
