//! The activity of a pool, for the dashboard, `hardneg top`, WatchPoolStats and metrics.
//!
//! Recording costs a few locks per batch and nothing per sample. What is stored is estimated from a few thousand samples that are drawn
//! when somebody asks; what was served is kept in a ring of the last few thousand samples.

mod background;
mod bias;
pub(crate) mod filter_totals;
mod histograms;
mod history;
mod latency;
mod served;
pub(crate) mod stats;
mod stored;
mod suspects;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

pub(crate) use bias::BiasFigures;
pub(crate) use histograms::{Figures, Histogram, Sample};
pub(crate) use history::Tick;
pub(crate) use latency::{BOUNDS_SECONDS, Latency, LatencyCounts, Percentiles};
pub(crate) use stored::ROWS_MAX as NEGATIVES_MAX;
pub(crate) use suspects::Suspect;
pub(crate) use workers::WorkerActivity;
pub(crate) use workers::{Delivery, Workers};

use crate::model::batch::MinedBatch;
use crate::model::error::PoolError;
use crate::model::moment::{Moment, age};
use crate::store::anchored::Negative;
use crate::store::{Row, ServePenalty, Store};
use history::{History, Now};
use served::Served;
use stats::{CounterValues, PoolStats};
use suspects::Suspects;

/// Number of hardest samples shown.
const HARDEST_MAX: usize = 32;
/// Number of hardest samples watched for suspects: one in `WATCHED_SHARE` samples of the hard store, because most samples of a small pool
/// are not extreme, but at most `WATCHED_MAX`.
const WATCHED_MAX: u64 = 64;
const WATCHED_SHARE: u64 = 256;
/// Maximum number of rows read to find the hardest samples.
const TOP_SCAN_ROWS: usize = 1 << 16;
/// A worker that was silent for longer than this is no longer listed.
pub(crate) const WORKER_GONE_SECONDS: f64 = 300.0;
/// Maximum number of workers shown.
const WORKERS_MAX: usize = 64;
/// An activity younger than this is returned to the next caller as it is.
const FRESH: Duration = Duration::from_millis(400);

/// One of the hardest samples, with the figures shown to people.
#[derive(Clone, Debug, PartialEq)]
pub struct HardSample {
    /// The id of the sample, or the hash of its string key.
    pub id: u64,
    /// The string key of the sample, in a pool with string keys.
    pub name: Option<Arc<str>>,
    /// The raw score.
    pub score: f32,
    /// log2 of the present weight.
    pub weight_log2: f32,
    /// Seconds or steps since the last report.
    pub age: f64,
    /// Number of serves since the last report.
    pub serves: u16,
    /// Version of the model of the last report.
    pub model_version: u32,
}

/// The activity of a pool.
#[derive(Clone, Debug)]
pub struct PoolActivity {
    /// The present figures of the pool.
    pub stats: PoolStats,
    /// The ticks of the last five minutes, of about a second each, the oldest first.
    pub ticks: Vec<Tick>,
    /// Histograms of stored and served samples.
    pub figures: Figures,
    /// Figures of the bias of mining.
    pub bias: BiasFigures,
    /// Workers that reported in the last five minutes, in order of name, at most 64.
    pub workers: Vec<WorkerActivity>,
    /// Number of all workers that reported in the last five minutes.
    pub worker_count: usize,
    /// The hardest samples, the hardest first.
    pub hardest: Vec<HardSample>,
    /// Samples that stay among the hardest through fresh scores, with their string keys if the pool has them.
    pub suspects: Vec<(Suspect, Option<Arc<str>>)>,
}

/// Records the activity of a pool. It takes about 100 KB after the first served batch.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// Latencies of reports, from the arrival of a batch at the pool to its ack.
    pub(crate) reports: Latency,
    /// Latencies of mines, from the end of the wait to the batch.
    pub(crate) mines: Latency,
    served: Served,
    state: Mutex<Ticked>,
    /// The last activity, and when it was measured. One caller measures while the others wait for the lock.
    latest: tokio::sync::Mutex<Option<(Instant, Arc<PoolActivity>)>>,
}

#[derive(Debug, Default)]
struct Ticked {
    history: History,
    suspects: Suspects,
    /// Milliseconds of the pool's time source at the last tick.
    ticked_millis: u64,
}

/// What a pool gives its recorder to measure an activity.
pub(crate) struct View<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) stats: PoolStats,
    pub(crate) now: Moment,
    /// Whether stamps are steps rather than wall time.
    pub(crate) by_steps: bool,
    /// Whether samples have string keys.
    pub(crate) named: bool,
    /// The workers that reported lately, in order of name.
    pub(crate) workers: Vec<WorkerActivity>,
    /// A sample of the negatives of an anchored pool; `None` for a flat pool.
    pub(crate) negatives: Option<Vec<Negative>>,
}

/// The state of a pool at the end of a tick.
pub(crate) struct Second<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) counters: CounterValues,
    pub(crate) hard: u64,
    pub(crate) floor_log2: Option<f32>,
    /// The present time by the pool's time source, milliseconds.
    pub(crate) now_millis: u64,
}

impl Recorder {
    pub(crate) fn served(&self, batch: &MinedBatch) {
        self.served.record(batch);
    }

    /// Ends a tick: appends it to the history and updates the suspects.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn tick(&self, second: Second<'_>) -> Result<(), PoolError> {
        let Second { store, counters, hard, floor_log2, now_millis } = second;
        let moved = self.state.lock().history.moved(&counters);
        let watched = (hard / WATCHED_SHARE).clamp(1, WATCHED_MAX) as usize;
        // If nothing was counted since the last tick, no sample has a fresh score.
        let hardest = match moved {
            true => Some(store.top(watched, ServePenalty::default(), TOP_SCAN_ROWS).await?),
            false => None,
        };
        let mut state = self.state.lock();
        let elapsed = now_millis.saturating_sub(state.ticked_millis).max(1);
        state.ticked_millis = now_millis;
        state.history.push(&Now {
            time: SystemTime::now(),
            seconds: elapsed as f64 / 1e3,
            counters,
            hard,
            floor_log2,
            report: self.reports.take_recent(),
            mine: self.mines.take_recent(),
        });
        if let Some(hardest) = hardest {
            state.suspects.observe(&hardest);
        }
        Ok(())
    }

    /// The activity of the pool, at most half a second old: concurrent callers share one measurement. `view` is awaited only if a
    /// measurement is due.
    ///
    /// # Errors
    /// The errors of `view`; `Unavailable`.
    pub(crate) async fn activity<'a>(
        &self,
        view: impl Future<Output = Result<View<'a>, PoolError>>,
    ) -> Result<Arc<PoolActivity>, PoolError> {
        let mut latest = self.latest.lock().await;
        if let Some((at, activity)) = &*latest
            && at.elapsed() < FRESH
        {
            return Ok(activity.clone());
        }
        let activity = Arc::new(self.measure(view.await?).await?);
        *latest = Some((Instant::now(), activity.clone()));
        Ok(activity)
    }

    pub(crate) async fn measure(&self, view: View<'_>) -> Result<PoolActivity, PoolError> {
        let View { store, stats, now, by_steps, named, mut workers, negatives } = view;
        let age = |stamp: Option<u32>| stamp.map_or(f64::NAN, |stamp| age(now.stamp, stamp, by_steps));
        let sample = |score, stamp, model_version, serves| Sample {
            score,
            age: age(stamp) as f32,
            model_version,
            serves,
            stratum: 0,
        };
        let (stored, bias): (Vec<Sample>, _) = match negatives {
            Some(negatives) => (
                negatives.iter().map(|n| sample(n.score, Some(n.stamp), n.model_version, 0)).collect(),
                BiasFigures::default(),
            ),
            None => {
                let rows = stored::rows(store).await?;
                let bias = self.bias_beside(store, &rows).await?;
                let samples =
                    rows.iter().map(|row| sample(row.score, row.stamp, row.model_version, row.serves));
                (samples.collect(), bias)
            }
        };
        let rows = store.top(HARDEST_MAX, ServePenalty::default(), TOP_SCAN_ROWS).await?;
        let keys = names(store, named, rows.iter().map(|row| row.id).collect()).await?;
        let hardest = rows
            .iter()
            .zip(keys)
            .map(|(row, name)| HardSample {
                id: row.id,
                name,
                score: row.score,
                weight_log2: row.hard_key.map_or(f32::NEG_INFINITY, |key| now.log2_weight(key)),
                age: age(row.stamp),
                serves: row.serves,
                model_version: row.model_version,
            })
            .collect();
        let (ticks, suspects) = {
            let state = self.state.lock();
            (state.history.ticks(), state.suspects.list())
        };
        let keys = names(store, named, suspects.iter().map(|s| s.id).collect()).await?;
        let worker_count = workers.len();
        workers.truncate(WORKERS_MAX);
        Ok(PoolActivity {
            stats,
            ticks,
            figures: Figures::of(&stored, &self.served.samples()),
            bias,
            workers,
            worker_count,
            hardest,
            suspects: suspects.into_iter().zip(keys).collect(),
        })
    }

    /// The present figures of the bias of mining.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) async fn bias(&self, store: &dyn Store) -> Result<BiasFigures, PoolError> {
        let stored = stored::rows(store).await?;
        self.bias_beside(store, &stored).await
    }

    /// As [`Self::bias`], with a sample of the hard store that was drawn before.
    async fn bias_beside(&self, store: &dyn Store, stored: &[Row]) -> Result<BiasFigures, PoolError> {
        let background = background::scores(store).await?;
        let strata = store.strata(usize::MAX).await?;
        let known = strata.iter().any(|s| s.background > 0);
        let reported: Vec<(u32, u64)> =
            strata.iter().map(|s| (s.stratum, if known { s.background } else { s.hard })).collect();
        Ok(BiasFigures::of(stored, &background, &reported, &self.served.lately()))
    }
}

/// The string keys of samples, read without counting a serve.
async fn names(store: &dyn Store, named: bool, ids: Vec<u64>) -> Result<Vec<Option<Arc<str>>>, PoolError> {
    if !named {
        return Ok(vec![None; ids.len()]);
    }
    let served = store.attachments(&ids).await?;
    Ok(served.into_iter().map(|served| served.and_then(|served| served.name)).collect())
}
