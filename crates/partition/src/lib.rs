//! One partition of a pool: a synchronous, deterministic, serialisable state machine.
//!
//! A pool is partitions, an id's by its hash, and a partition knows nothing of the others. [`Partition::begin`] and
//! [`Partition::step`] apply one operation after another, and nothing else changes it; everything an operation depends on is in the
//! operation ([`op`]). There is no clock in here, no source of randomness, no hasher with a seed of its own. So the state is a
//! function of the operations alone: a recorded log replayed anywhere gives the same bytes ([`Partition::save`]).
//!
//! What a partition holds:
//! - the **hard store** (`hard/`): the samples with the highest places ([`place`]), found by id, by order and by bucket;
//! - the **background** (`background/`): a uniform sample of all ids it was ever told of, renewed under the eyes of a witness;
//! - leases, strata, names and payloads of both;
//! - the **quarantine** (`quarantine/`): samples that are set aside, what makes others suspect, ids that are trusted or blocked;
//! - in pools whose samples live for a time, when to look at each (`expiry.rs`);
//! - which reports of which worker were applied (`dedupe/`), so that a resend does nothing.
//!
//! The anchors of a pool are in partitions of their own kind ([`anchors`]).

pub mod anchors;
mod background;
mod counters;
mod dedupe;
mod encoding;
mod expiry;
mod hard;
pub mod hash;
pub mod id_map;
mod image;
pub mod key;
mod leases;
mod log2;
pub mod op;
mod partition;
pub mod place;
mod quarantine;
pub mod row;
pub mod spec;
mod strata;
mod totals;

pub use image::ImageError;
pub use op::{
    ApplyCounts, BlockCounts, Change, Columns, Drawn, Op, QuarantineTerms, ReleaseCounts, Reply, RowFaults,
    ScoreUpdate, Sender, ServeMark, SetAsideCounts, Source, Terms,
};
pub use partition::{HalfLimits, Job, Partition, ServePenalty, updated_score};
pub use quarantine::Quarantined;
pub use spec::{BackgroundSpec, PartitionSpec, QuarantineLimits};
pub use totals::Totals;
