//! A batch of reported scores, and what became of it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

use crate::model::columns::{column, texts};

use crate::model::run::Entry;

/// Longest string key, bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Sample ids of either kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ids {
    /// Integer ids.
    U64(#[serde(with = "column")] Vec<u64>),
    /// String keys.
    Names(#[serde(with = "texts")] Vec<Arc<str>>),
}

impl Ids {
    /// Rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U64(ids) => ids.len(),
            Self::Names(names) => names.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::U64(Vec::new())
    }
}

/// Who sent a batch, so that a resend can be told (docs/methods.md 14.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The worker's name; may be empty.
    pub worker_id: String,
    /// Drawn at random by each client process.
    pub epoch: u64,
    /// From 1; 0: never taken for a resend.
    pub sequence: u64,
}

impl From<&Sender> for hardneg_partition::Sender {
    fn from(sender: &Sender) -> Self {
        let worker = xxh3_128(sender.worker_id.as_bytes());
        Self { worker, epoch: sender.epoch, sequence: sender.sequence }
    }
}

/// A batch of reported scores: columns of equal length, already checked to be so.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The samples.
    pub ids: Ids,
    /// Raw scores; non-finite ones are dropped and counted.
    pub scores: Vec<f32>,
    /// Scores of a reference model, one a row, 0 where there is none; or empty.
    pub reference_scores: Vec<f32>,
    /// One a row, or empty.
    pub payloads: Vec<Bytes>,
    /// Anchored pools: the anchors that the rows are negatives of.
    pub anchors: Option<Ids>,
    /// Anchored pools: the anchors' positive scores, one a row or empty; NaN: none.
    pub positive_scores: Vec<f32>,
    /// Anchored pools: labels of the samples, one a row, or empty; 0: none.
    pub labels: Vec<u32>,
    /// Anchored pools: labels of the anchors, one a row, or empty; 0: none.
    pub anchor_labels: Vec<u32>,
    /// Strata, one a row, or empty.
    pub strata: Vec<u32>,
    /// Groups, one a row, or empty; 0 and the empty name: none.
    pub groups: Ids,
    /// The training run; empty: none. Used where the pool ages by steps, as the step is.
    pub run_id: String,
    /// Training step of the run.
    pub step: u64,
    /// Version of the model.
    pub model_version: u32,
    /// Who sent it.
    pub sender: Sender,
}

impl Report {
    /// What the pool's runs are told of it.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        Entry { run_id: &self.run_id, step: self.step, sender: &self.sender }
    }
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What became of the rows; sums to the batch's rows.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct ReportCounts { $($(#[$doc])* pub $name: u64,)* }

        impl ReportCounts {
            /// The counts by the name of the outcome, which is the same in the contract, the metrics and the command line.
            pub fn by_outcome(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name)),*].into_iter()
            }
        }

        impl std::ops::AddAssign for ReportCounts {
            fn add_assign(&mut self, more: Self) {
                $(self.$name += more.$name;)*
            }
        }
    };
}

outcomes! {
    /// New in the hard store.
    inserted,
    /// Known and updated.
    updated,
    /// Kept in the background only.
    background_only,
    /// Too easy, and not in the background's sample.
    dropped,
    /// NaN or infinite.
    non_finite,
    /// Their id (anchored pools: anchor and id) stands in an earlier row of the batch; they are applied as all others.
    coalesced,
    /// Applied before: the batch is a resend.
    duplicate,
    /// Older than what is stored.
    stale,
    /// Outside the dense id space.
    out_of_range,
    /// Of samples in quarantine, or that the row set aside.
    quarantined,
    /// Of blocked samples.
    blocked,
    /// Of anchors beyond max_anchors.
    anchor_limit,
    /// Known positives or vetoed negatives of their anchor.
    not_negative,
}

impl ReportCounts {
    /// Of a batch of `rows` that was applied: whether over half of the rows that could be stored at all were stale.
    #[must_use]
    pub fn applied_status(&self, rows: u64) -> AckStatus {
        let others = self.non_finite + self.out_of_range + self.blocked + self.duplicate;
        let storable = rows.saturating_sub(others + self.anchor_limit + self.not_negative);
        if 2 * self.stale > storable { AckStatus::Stale } else { AckStatus::Applied }
    }
}

/// Whether a batch was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckStatus {
    /// Applied.
    Applied,
    /// Applied, but over half of the rows were older than what is stored, and changed nothing.
    Stale,
    /// A resend of an applied batch: nothing done.
    Duplicate,
}

/// The answer to a [`Report`].
#[derive(Clone, Debug)]
pub struct Ack {
    /// Whether it was applied.
    pub status: AckStatus,
    /// What became of the rows.
    pub counts: ReportCounts,
    /// Rows whose log2 weight was clamped.
    pub clamped: u64,
    /// Rows whose score is below the one from which on scores differ in weight.
    pub floored: u64,
    /// log2 of the lowest weight in a full hard store, now.
    pub floor_log2: Option<f32>,
}
