//! One partition (shard) of a pool: a synchronous, deterministic, serialisable state machine.
//!
//! A pool is divided into partitions by a hash of the id, and no partition knows of the others. [`Partition::begin`] and
//! [`Partition::step`] apply one operation after another, and nothing else changes a partition. An operation ([`op`]) carries everything
//! that its effect depends on: the crate has no clock, no source of randomness and no hasher with a random seed. So the state is a function
//! of the operations alone: a recorded log that is replayed anywhere gives the same bytes ([`Partition::save`]).
//!
//! What a partition holds:
//! - the **hard store** (`hard/`): the samples with the highest places ([`place`]), found by id, by order and by bucket;
//! - the **background** (`background/`): a uniform sample of all ids that were reported. It is replaced by a newer one once a control
//!   sample, the witness, shows that the newer one is complete;
//! - leases, strata, names and payloads of the samples of both;
//! - the **quarantine** (`quarantine/`): samples that are set aside, streaks of samples that may be next, and ids that are trusted or
//!   blocked;
//! - in pools with a time to live, a queue of samples by expiry time (`expiry.rs`);
//! - which reports of which worker were applied (`dedupe/`), so that a resend changes nothing.
//!
//! Anchored pools keep their anchors in a second kind of partition ([`anchors`]).

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
mod lru;
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
    ScoreUpdate, Sender, ServeMark, SetAsideCounts, Source, Terms, WORN_UNTIL,
};
pub use partition::{HalfLimits, Job, Partition, ServePenalty, updated_score};
pub use quarantine::Quarantined;
pub use spec::{BackgroundSpec, PartitionSpec, QuarantineLimits};
pub use totals::Totals;
