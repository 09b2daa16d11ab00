//! A batch of reported scores, and its ack.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

use crate::model::columns::{column, texts};

use crate::model::run::Entry;

/// Maximum length of a string key, in bytes.
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
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U64(ids) => ids.len(),
            Self::Names(names) => names.len(),
        }
    }

    /// Whether there are no rows.
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

/// The sender of a batch, by which resends are recognised (docs/methods.md 14.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The worker's name; may be empty.
    pub worker_id: String,
    /// Drawn at random by each client process.
    pub epoch: u64,
    /// Sequence number of the batch, from 1; 0: the batch is never taken for a resend.
    pub sequence: u64,
}

impl From<&Sender> for hardneg_partition::Sender {
    fn from(sender: &Sender) -> Self {
        let worker = xxh3_128(sender.worker_id.as_bytes());
        Self { worker, epoch: sender.epoch, sequence: sender.sequence }
    }
}

/// A batch of reported scores as columns of equal length. The lengths have been checked.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The samples.
    pub ids: Ids,
    /// Raw scores; non-finite ones are dropped and counted.
    pub scores: Vec<f32>,
    /// Scores of a reference model, one per row, 0 if there is none; or empty.
    pub reference_scores: Vec<f32>,
    /// Payloads, one per row, or empty.
    pub payloads: Vec<Bytes>,
    /// Anchored pools: the anchors that the rows are negatives of.
    pub anchors: Option<Ids>,
    /// Anchored pools: positive scores of the anchors, one per row or empty; NaN: none.
    pub positive_scores: Vec<f32>,
    /// Anchored pools: labels of the samples, one per row, or empty; 0: no label.
    pub labels: Vec<u32>,
    /// Anchored pools: labels of the anchors, one per row, or empty; 0: no label.
    pub anchor_labels: Vec<u32>,
    /// Strata, one per row, or empty.
    pub strata: Vec<u32>,
    /// Groups, one per row, or empty; 0 or the empty name: no group.
    pub groups: Ids,
    /// The training run; empty: none. Like the step, it matters only if the pool ages by steps.
    pub run_id: String,
    /// The training step of the run.
    pub step: u64,
    /// Version of the model that computed the scores.
    pub model_version: u32,
    /// The sender of the batch.
    pub sender: Sender,
}

impl Report {
    /// The fields of the batch that the runs of the pool need.
    #[must_use]
    pub fn entry(&self) -> Entry<'_> {
        Entry { run_id: &self.run_id, step: self.step, sender: &self.sender }
    }
}

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Numbers of rows by outcome. They sum to the rows of the batch.
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
    /// The sample is new in the hard store.
    inserted,
    /// The sample was stored and has been updated.
    updated,
    /// The sample is kept in the background only.
    background_only,
    /// The sample is too easy for the hard store, and not in the background.
    dropped,
    /// The score is NaN or infinite.
    non_finite,
    /// The id (in an anchored pool: anchor and id) stands in an earlier row of the batch; the row is applied like all others.
    coalesced,
    /// The row was applied before: the batch is a resend.
    duplicate,
    /// The row is older than the stored sample, and was ignored.
    stale,
    /// The id is outside the dense id space.
    out_of_range,
    /// The sample is in quarantine, or the row has set it aside.
    quarantined,
    /// The sample is blocked.
    blocked,
    /// The anchor is new, and there is no room for more anchors.
    anchor_limit,
    /// The sample is a positive of the anchor, or vetoed.
    not_negative,
}

impl ReportCounts {
    /// The status of an applied batch of `rows` rows: `Stale` if over half of the rows that could be stored at all were stale.
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
    /// The batch was applied.
    Applied,
    /// The batch was applied, but over half of its rows were older than what is stored and changed nothing.
    Stale,
    /// The batch is a resend of an applied batch, and changed nothing.
    Duplicate,
}

/// The answer to a [`Report`].
#[derive(Clone, Debug)]
pub struct Ack {
    /// Whether the batch was applied.
    pub status: AckStatus,
    /// Numbers of rows by outcome.
    pub counts: ReportCounts,
    /// Number of rows whose log2 weight was clamped to +-4,096.
    pub clamped: u64,
    /// Number of rows with scores below 0 in a pool of power hardness, which all have the same weight.
    pub floored: u64,
    /// log2 of the lowest present weight in the hard store; `None` while the hard store has room.
    pub floor_log2: Option<f32>,
}
