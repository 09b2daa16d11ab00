//! The handlers of the calls.

pub(super) mod batch_stream;
pub(super) mod mining;
pub(super) mod pools;
pub(super) mod score_stream;
pub(super) mod stats_stream;
