//! A request for a mined batch, and the batch.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

use super::filtered::FilterCounts;
use super::policy::{Policy, PolicyOverrides};
use super::report::Ids;

/// Largest batch (DECISIONS 24).
pub const BATCH_SIZE_MAX: u32 = 65_536;

/// A request for one batch.
#[derive(Clone, Debug, Default, PartialEq)]
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
}

impl MineRequest {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Hard samples needed.
    pub min_size: u64,
    /// How long to wait.
    pub timeout: Duration,
}

/// Where a sample was drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The hard store.
    Hard,
    /// The background.
    Background,
}

/// What mean(w f) over a batch estimates (DECISIONS 1, 4, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approximation {
    /// The race was cut short at a limit of the server.
    ScanLimit,
    /// Places were kept for strata.
    MinPerStratum,
}

/// Sizes of a pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolSizes {
    /// |S|.
    pub hard: u64,
    /// |R|.
    pub background: u64,
    /// N, or its estimate |R|/p.
    pub distinct: f64,
    /// p.
    pub background_probability: f64,
    /// log2 of the lowest weight in a full hard store.
    pub floor_log2: Option<f32>,
}

/// A mined batch: columns of n rows, no id twice.
#[derive(Clone, Debug)]
pub struct MinedBatch {
    /// The samples (integer ids, or hashes where `names` is set).
    pub ids: Vec<u64>,
    /// String keys of a named pool.
    pub names: Option<Vec<Arc<str>>>,
    /// Raw scores; NaN for a dense id never reported.
    pub scores: Vec<f32>,
    /// After beta and normalization; `None` where the estimand is None.
    pub importance_weights: Option<Vec<f32>>,
    /// pi_i; `None` where the estimand is None.
    pub inclusion_probabilities: Option<Vec<f32>>,
    /// Which source each came from.
    pub sources: Vec<Source>,
    /// Seconds or steps since the report; NaN if never reported.
    pub ages: Vec<f32>,
    /// Versions of the reports' models.
    pub model_versions: Vec<u32>,
    /// Serves since the report, this one included.
    pub serves: Vec<u32>,
    /// Strata.
    pub strata: Vec<u32>,
    /// Groups; 0: none.
    pub groups: Vec<u64>,
    /// One a row, or empty when the pool keeps none.
    pub payloads: Vec<Bytes>,
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
}

impl MinedBatch {
    /// Rows from `source`.
    #[must_use]
    pub fn count_from(&self, source: Source) -> usize {
        self.sources.iter().filter(|s| **s == source).count()
    }

    /// Bytes this holds, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let rows = self.ids.len() * 76;
        let names = self.names.iter().flatten().map(|n| n.len() + 16).sum::<usize>();
        let payloads = self.payloads.iter().map(|p| p.len() + 32).sum::<usize>();
        std::mem::size_of::<Self>() + rows + names + payloads
    }
}
