//! A request for a mined batch, and its answer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

use crate::model::columns::{byte_strings, column, optional_column, optional_texts, sources, text};
use crate::model::filter_counts::FilterCounts;
use crate::model::policy::{Policy, PolicyOverrides};
use crate::model::report::Ids;

/// Maximum size of a batch (docs/methods.md 6.2).
pub const BATCH_SIZE_MAX: u32 = 65_536;

/// A request for one batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MineRequest {
    /// Number of samples wanted, 1 ..= 65,536; also 0 if `may_be_empty`.
    pub batch_size: u32,
    /// Whether the size may be 0, because it comes from a number of positives. The batch is then empty.
    pub may_be_empty: bool,
    /// Fields of the policy that replace those of the pool's default policy.
    pub policy: PolicyOverrides,
    /// Ids that must not be served.
    pub exclude: Ids,
    /// Seed of the draw; `None`: the server draws one.
    pub seed: Option<u64>,
    /// Waits for the pool to fill; `None`: the call does not wait.
    pub wait: Option<Wait>,
    /// A retry with the same id within `request_id_ttl` gets the same batch; empty: retries draw anew.
    pub request_id: String,
    /// Whether the batch is a dry run, which marks no sample as served.
    pub dry_run: bool,
    /// The lease of the served samples; `None`: the default of the pool.
    pub lease: Option<Duration>,
    /// The round of which the batch is the share of one rank; `batch_size` is then the size of each share.
    pub round: Option<Round>,
    /// The training step, which a curriculum needs.
    pub step: Option<u64>,
}

/// A training step in which every rank gets its own share (docs/methods.md 11.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Number of the round.
    pub number: u64,
    /// The rank that asks, below `world_size`.
    pub rank: u32,
    /// Number of ranks.
    pub world_size: u32,
    /// The run_id of the training run.
    #[serde(with = "text")]
    pub run_id: Arc<str>,
}

impl MineRequest {
    /// Number of samples of the draw: in a round those of all ranks.
    #[must_use]
    pub fn draw_size(&self) -> u64 {
        u64::from(self.batch_size) * self.round.as_ref().map_or(1, |round| u64::from(round.world_size))
    }

    /// About how many bytes of memory this takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let exclude = match &self.exclude {
            Ids::U64(ids) => ids.len() * 8,
            Ids::Names(names) => names.iter().map(|n| n.len() + 32).sum(),
        };
        std::mem::size_of::<Self>() + exclude + self.request_id.len()
    }
}

/// A wait for the pool to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Number of hard samples that end the wait.
    pub min_size: u64,
    /// Maximum wait.
    pub timeout: Duration,
}

pub use hardneg_partition::Source;

/// What mean(w f) over a batch estimates (docs/methods.md 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Estimand {
    /// The mean over all ids.
    All,
    /// The mean over the samples of S in the rank window.
    HardStore,
    /// The sum over eligible ids divided by the number of all ids, or of all samples of S in the rank window.
    Eligible,
    /// Nothing: the batch has no weights.
    None,
    /// The same as `All`, but only approximately.
    Approximate,
}

/// A reason why weights are only approximate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Approximation {
    /// The draw ended early at a limit of the server.
    ScanLimit,
    /// Which samples are in the hard store depends on which are in the background, by more than chance.
    ClosedLoop,
}

/// Sizes of a pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolSizes {
    /// |S|: samples in the hard store.
    pub hard: u64,
    /// |R|: members of the background.
    pub background: u64,
    /// N: the number of distinct ids, or the estimate of it.
    pub distinct: f64,
    /// |R|/N: the mean probability p that an id is in the background.
    pub background_probability: f64,
    /// (|H| + |R outside H|/p)/N, with H the hard store. It is 1 but for chance if H does not depend on R (docs/methods.md 4.3).
    pub closed_loop_ratio: f64,
    /// log2 of the lowest weight in the hard store; `None` while it has room.
    pub floor_log2: Option<f32>,
}

impl PoolSizes {
    /// The sizes of an empty anchored pool. Its anchors have no common floor, and nothing is drawn as hard from the store that holds its
    /// background.
    #[must_use]
    pub fn of_anchored() -> Self {
        Self { closed_loop_ratio: 1.0, background_probability: 1.0, ..Self::default() }
    }
}

/// A mined batch: its rows, and the facts about the draw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MinedBatch {
    /// The rows, as columns.
    pub columns: BatchColumns,
    /// The facts about the draw.
    pub draw: DrawInfo,
}

/// Columns of n rows. No id is in two rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchColumns {
    /// The samples: integer ids, or hashes if `names` is set.
    #[serde(with = "column")]
    pub ids: Vec<u64>,
    /// String keys; `None` in a pool of integer ids.
    #[serde(with = "optional_texts")]
    pub names: Option<Vec<Arc<str>>>,
    /// Raw scores; NaN for an id of a dense space that was never reported.
    #[serde(with = "column")]
    pub scores: Vec<f32>,
    /// Importance weights after beta and normalization; `None` if the estimand is `None`.
    #[serde(with = "optional_column")]
    pub importance_weights: Option<Vec<f32>>,
    /// Inclusion probabilities pi_i; `None` if the estimand is `None`.
    #[serde(with = "optional_column")]
    pub inclusion_probabilities: Option<Vec<f32>>,
    /// The source that brought each sample.
    #[serde(with = "sources")]
    pub sources: Vec<Source>,
    /// Ages: seconds or steps since the last report; NaN if never reported.
    #[serde(with = "column")]
    pub ages: Vec<f32>,
    /// Model versions of the last reports.
    #[serde(with = "column")]
    pub model_versions: Vec<u32>,
    /// Numbers of serves since the last report, this one included.
    #[serde(with = "column")]
    pub serves: Vec<u32>,
    /// Strata; 0 if none was reported.
    #[serde(with = "column")]
    pub strata: Vec<u32>,
    /// Groups; 0: no group.
    #[serde(with = "column")]
    pub groups: Vec<u64>,
    /// Payloads, one per row; empty if the pool keeps none.
    #[serde(with = "byte_strings")]
    pub payloads: Vec<Bytes>,
}

/// The facts about a draw as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DrawInfo {
    /// What the weights estimate.
    pub estimand: Estimand,
    /// The reasons why the weights are approximate; empty if they are exact.
    pub approximations: Vec<Approximation>,
    /// The policy as applied, with all defaults filled in.
    pub policy: Policy,
    /// The seed that was used.
    pub seed: u64,
    /// Share of the rows that the background brought.
    pub realized_random_fraction: f64,
    /// The share of the ids that were eligible, which is an estimate unless it is 1; `None`: the batch has no weights. mean(w f) divided by
    /// it is the mean of f over the eligible ids.
    pub eligible_fraction: Option<f64>,
    /// Number of rows missing to the number asked for.
    pub shortfall_count: u32,
    /// Whether the wait ended before the pool had filled.
    pub timed_out: bool,
    /// Sizes of the pool at the time of the draw.
    pub sizes: PoolSizes,
    /// Number of proposals that the sampler made.
    pub proposals: u64,
    /// Candidates that each filter refused.
    pub filtered: FilterCounts,
    /// The round of which the batch is a share; `None`: it is not of a round.
    pub round: Option<Round>,
    /// Whether the batch is a uniform one of the control arm.
    pub control: bool,
    /// Whether the batch is uniform because the step is in the warm-up of the curriculum.
    pub warmup: bool,
}

impl BatchColumns {
    /// The rows at these indices.
    #[must_use]
    pub fn rows(&self, indices: &[u32]) -> Self {
        fn pick<T: Clone>(column: &[T], indices: &[u32]) -> Vec<T> {
            // A column that is absent has no values, and stays absent.
            indices.iter().filter_map(|&index| column.get(index as usize).cloned()).collect()
        }
        Self {
            ids: pick(&self.ids, indices),
            names: self.names.as_ref().map(|names| pick(names, indices)),
            scores: pick(&self.scores, indices),
            importance_weights: self.importance_weights.as_ref().map(|w| pick(w, indices)),
            inclusion_probabilities: self.inclusion_probabilities.as_ref().map(|p| pick(p, indices)),
            sources: pick(&self.sources, indices),
            ages: pick(&self.ages, indices),
            model_versions: pick(&self.model_versions, indices),
            serves: pick(&self.serves, indices),
            strata: pick(&self.strata, indices),
            groups: pick(&self.groups, indices),
            payloads: pick(&self.payloads, indices),
        }
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of rows from `source`.
    #[must_use]
    pub fn count_from(&self, source: Source) -> usize {
        self.sources.iter().filter(|s| **s == source).count()
    }
}

impl MinedBatch {
    /// The rows at these indices as a batch of their own, of which `asked` rows were asked for.
    #[must_use]
    pub fn rows(&self, indices: &[u32], asked: u32) -> Self {
        let columns = self.columns.rows(indices);
        let draw = DrawInfo {
            realized_random_fraction: columns.count_from(Source::Background) as f64
                / indices.len().max(1) as f64,
            shortfall_count: asked.saturating_sub(indices.len() as u32),
            ..self.draw.clone()
        };
        Self { columns, draw }
    }

    /// About how many bytes of memory this takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let rows = self.columns.ids.len() * 76;
        let names = self.columns.names.iter().flatten().map(|n| n.len() + 16).sum::<usize>();
        let payloads = self.columns.payloads.iter().map(|p| p.len() + 32).sum::<usize>();
        std::mem::size_of::<Self>() + rows + names + payloads
    }
}
