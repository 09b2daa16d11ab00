//! A request for a mined batch, and the batch.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

use crate::model::columns::{byte_strings, column, optional_column, optional_texts, sources, text};
use crate::model::filter_counts::FilterCounts;
use crate::model::policy::{Policy, PolicyOverrides};
use crate::model::report::Ids;

/// Largest batch (docs/methods.md 6.2).
pub const BATCH_SIZE_MAX: u32 = 65_536;

/// A request for one batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MineRequest {
    /// Samples wanted, 1 ..= 65,536.
    pub batch_size: u32,
    /// Over the pool's default policy.
    pub policy: PolicyOverrides,
    /// Never these.
    pub exclude: Ids,
    /// `None`: one is drawn.
    pub seed: Option<u64>,
    /// Wait for the pool to fill.
    pub wait: Option<Wait>,
    /// A retry within the configured time gets the same batch; empty: no such promise.
    pub request_id: String,
    /// Count no serve.
    pub dry_run: bool,
    /// How long what is served rests; `None`: the pool's default.
    pub lease: Option<Duration>,
    /// One rank's share of a round; `batch_size` is then each rank's.
    pub round: Option<Round>,
    /// The training step, for a curriculum.
    pub step: Option<u64>,
}

/// A training step in which every rank gets its own share (docs/methods.md 11.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// The round.
    pub number: u64,
    /// This rank, below `world_size`.
    pub rank: u32,
    /// Ranks.
    pub world_size: u32,
    /// The training run.
    #[serde(with = "text")]
    pub run_id: Arc<str>,
}

impl MineRequest {
    /// Samples that one draw for it has: in a round those of all ranks.
    #[must_use]
    pub fn draw_size(&self) -> u64 {
        u64::from(self.batch_size) * self.round.as_ref().map_or(1, |round| u64::from(round.world_size))
    }

    /// Bytes this holds, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let exclude = match &self.exclude {
            Ids::U64(ids) => ids.len() * 8,
            Ids::Names(names) => names.iter().map(|n| n.len() + 32).sum(),
        };
        std::mem::size_of::<Self>() + exclude + self.request_id.len()
    }
}

/// Waiting for a pool to fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Hard samples needed.
    pub min_size: u64,
    /// How long to wait.
    pub timeout: Duration,
}

pub use hardneg_partition::Source;

/// What mean(w f) over a batch estimates (docs/methods.md 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Estimand {
    /// The mean over all ids.
    All,
    /// The sum over eligible hard samples divided by |S|.
    HardStore,
    /// The sum over eligible ids divided by the number of all ids.
    Eligible,
    /// Nothing; no weights.
    None,
    /// As All, approximately.
    Approximate,
}

/// Why weights are approximate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Approximation {
    /// The race was cut short at a limit of the server.
    ScanLimit,
    /// Places were kept for strata.
    MinPerStratum,
    /// Members of the background were left out because they were served before, who knows how many.
    ServedBefore,
    /// Who is in the hard store depends on who is in the background, by more than chance.
    ClosedLoop,
}

/// Sizes of a pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolSizes {
    /// |S|.
    pub hard: u64,
    /// |R|.
    pub background: u64,
    /// N, or its estimate |R|/p.
    pub distinct: f64,
    /// p.
    pub background_probability: f64,
    /// (|H| + |R outside H|/p)/N, H the hard store: 1 but for chance where H does not depend on R (docs/methods.md 4.3).
    pub closed_loop_ratio: f64,
    /// log2 of the lowest weight in a full hard store.
    pub floor_log2: Option<f32>,
}

/// A mined batch: its rows, and how they were drawn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MinedBatch {
    /// The rows.
    pub columns: BatchColumns,
    /// How they were drawn.
    pub draw: DrawInfo,
}

/// Columns of n rows, no id twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchColumns {
    /// The samples (integer ids, or hashes where `names` is set).
    #[serde(with = "column")]
    pub ids: Vec<u64>,
    /// String keys of a named pool.
    #[serde(with = "optional_texts")]
    pub names: Option<Vec<Arc<str>>>,
    /// Raw scores; NaN for a dense id never reported.
    #[serde(with = "column")]
    pub scores: Vec<f32>,
    /// After beta and normalization; `None` where the estimand is None.
    #[serde(with = "optional_column")]
    pub importance_weights: Option<Vec<f32>>,
    /// pi_i; `None` where the estimand is None.
    #[serde(with = "optional_column")]
    pub inclusion_probabilities: Option<Vec<f32>>,
    /// Which source each came from.
    #[serde(with = "sources")]
    pub sources: Vec<Source>,
    /// Seconds or steps since the report; NaN if never reported.
    #[serde(with = "column")]
    pub ages: Vec<f32>,
    /// Versions of the reports' models.
    #[serde(with = "column")]
    pub model_versions: Vec<u32>,
    /// Serves since the report, this one included.
    #[serde(with = "column")]
    pub serves: Vec<u32>,
    /// Strata.
    #[serde(with = "column")]
    pub strata: Vec<u32>,
    /// Groups; 0: none.
    #[serde(with = "column")]
    pub groups: Vec<u64>,
    /// One a row, or empty when the pool keeps none.
    #[serde(with = "byte_strings")]
    pub payloads: Vec<Bytes>,
}

/// What concerns a draw as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DrawInfo {
    /// What the weights estimate.
    pub estimand: Estimand,
    /// Why they do so approximately.
    pub approximations: Vec<Approximation>,
    /// As applied.
    pub policy: Policy,
    /// As applied.
    pub seed: u64,
    /// The background's share as it came out.
    pub realized_random_fraction: f64,
    /// Rows fewer than asked for.
    pub shortfall_count: u32,
    /// The wait ended first.
    pub timed_out: bool,
    /// The pool when it was mined.
    pub sizes: PoolSizes,
    /// Proposals drawn.
    pub proposals: u64,
    /// What each filter turned away.
    pub filtered: FilterCounts,
    /// The round that it is a share of.
    pub round: Option<Round>,
    /// A uniform batch of the control arm.
    pub control: bool,
    /// A uniform batch, because the curriculum's warm-up goes on.
    pub warmup: bool,
}

impl BatchColumns {
    /// The rows at these indices.
    #[must_use]
    pub fn rows(&self, indices: &[u32]) -> Self {
        fn pick<T: Clone>(column: &[T], indices: &[u32]) -> Vec<T> {
            // An optional column that is absent stays so.
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

    /// No rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Rows from `source`.
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

    /// Bytes this holds, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let rows = self.columns.ids.len() * 76;
        let names = self.columns.names.iter().flatten().map(|n| n.len() + 16).sum::<usize>();
        let payloads = self.columns.payloads.iter().map(|p| p.len() + 32).sum::<usize>();
        std::mem::size_of::<Self>() + rows + names + payloads
    }
}
