//! What a pool is doing, for those who watch it: the dashboard, `hardneg top`, monitoring.
//!
//! Recording costs a few locks a batch and nothing a sample: what is stored is looked at by drawing some thousand
//! samples when somebody asks, what was served is a ring of the last few thousand.

mod background;
mod bias;
mod figures;
mod history;
mod latency;
mod served;
mod stored;
mod suspects;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

pub use bias::BiasFigures;
pub use figures::{Figures, Histogram, Sample, VersionCount};
pub use history::{TICKS_MAX, Tick};
pub use latency::{BOUNDS_SECONDS, Latency, LatencyCounts, Percentiles};
pub use suspects::Suspect;
pub use workers::WorkerActivity;
pub(super) use workers::{Delivery, Workers};

use super::batch::MinedBatch;
use super::clock::Clock;
use super::core::Pool;
use super::error::PoolError;
use super::spec::IdKind;
use super::stats::PoolStats;
use crate::store::{ServePenalty, Store};
use history::{History, Now};
use served::Served;
use suspects::Suspects;

/// Hardest samples shown.
const HARDEST_MAX: usize = 32;
/// Hardest samples watched for suspects; of a small pool one in so many, since most of it is not extreme.
const WATCHED_MAX: u64 = 64;
const WATCHED_SHARE: u64 = 256;
/// Rows that finding the hardest may read.
const TOP_SCAN_ROWS: usize = 1 << 16;
/// Workers silent for longer are gone.
pub const WORKER_GONE_SECONDS: f64 = 300.0;
/// Workers shown.
const WORKERS_MAX: usize = 64;
/// An answer this young serves the next who asks.
const FRESH: Duration = Duration::from_millis(400);

/// A sample as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct HardSample {
    /// Its id, or the hash of its name.
    pub id: u64,
    /// Its string key, in a pool of names.
    pub name: Option<Arc<str>>,
    /// Raw score.
    pub score: f32,
    /// log2 of its weight now.
    pub weight_log2: f32,
    /// Seconds or steps since its report.
    pub age: f64,
    /// Serves since its report.
    pub serves: u16,
    /// Version of the model that scored it.
    pub model_version: u32,
}

/// What a pool is doing.
#[derive(Clone, Debug)]
pub struct PoolActivity {
    /// Its figures now.
    pub stats: PoolStats,
    /// The last five minutes, oldest first, about a second each.
    pub ticks: Vec<Tick>,
    /// What is stored beside what is served.
    pub figures: Figures,
    /// What the bias of mining looks like.
    pub bias: BiasFigures,
    /// Workers heard in the last five minutes, in order of name, at most 64.
    pub workers: Vec<WorkerActivity>,
    /// All workers heard in the last five minutes.
    pub worker_count: usize,
    /// The hardest samples, the hardest first.
    pub hardest: Vec<HardSample>,
    /// Samples that stay among the hardest through fresh scores, with their names where the pool has them.
    pub suspects: Vec<(Suspect, Option<Arc<str>>)>,
}

/// What a pool keeps for those who watch it. About 100 KB once it has served.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    /// From a batch's arrival at the pool to its ack.
    pub(super) reports: Latency,
    /// From the end of a wait to the batch.
    pub(super) mines: Latency,
    served: Served,
    state: Mutex<State>,
    /// One looks, the others wait for its answer.
    latest: tokio::sync::Mutex<Option<(Instant, Arc<PoolActivity>)>>,
}

#[derive(Debug, Default)]
struct State {
    history: History,
    suspects: Suspects,
    /// Milliseconds of the pool's time source at the last tick.
    ticked_millis: u64,
}

impl Recorder {
    pub(super) fn served(&self, batch: &MinedBatch) {
        self.served.record(batch);
    }
}

impl Pool {
    /// Closes a second: to be called about once a second.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tick(&self) -> Result<(), PoolError> {
        self.forget_old_rounds().await?;
        // Also where nobody reports or reads: memory of the dead is given back.
        self.expire().await?;
        let recorder = self.recorder();
        let counters = self.counters().await?;
        let level = self.level().await?;
        let moved = recorder.state.lock().history.moved(&counters);
        let watched = (level.hard / WATCHED_SHARE).clamp(1, WATCHED_MAX) as usize;
        // Nothing reported, nothing scored again.
        let hardest = match moved {
            true => Some(self.store().top(watched, ServePenalty::default(), TOP_SCAN_ROWS).await?),
            false => None,
        };
        let clock = self.clock();
        let (now, now_millis) = (clock.now(), clock.now_millis());
        let mut state = recorder.state.lock();
        let elapsed = now_millis.saturating_sub(state.ticked_millis).max(1);
        state.ticked_millis = now_millis;
        state.history.push(&Now {
            time: SystemTime::now(),
            seconds: elapsed as f64 / 1e3,
            counters,
            hard: level.hard,
            floor_log2: level.floor.map(|key| now.log2_weight(key)),
            report: recorder.reports.take_recent(),
            mine: recorder.mines.take_recent(),
        });
        if let Some(hardest) = hardest {
            state.suspects.look(&hardest);
        }
        Ok(())
    }

    /// Samples in the hard store.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn hard_samples(&self) -> Result<u64, PoolError> {
        Ok(self.level().await?.hard)
    }

    /// Latencies of reports and of mined batches since the pool was made.
    #[must_use]
    pub fn latencies(&self) -> (LatencyCounts, LatencyCounts) {
        let recorder = self.recorder();
        (recorder.reports.counts(), recorder.mines.counts())
    }

    /// The workers heard in the last [`WORKER_GONE_SECONDS`], in order of name.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerActivity> {
        self.workers.list(self.clock().now_millis(), WORKER_GONE_SECONDS)
    }

    /// What the pool is doing, at most half a second old: those who ask at a time share one look.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn activity(&self) -> Result<Arc<PoolActivity>, PoolError> {
        let mut latest = self.recorder().latest.lock().await;
        if let Some((at, activity)) = &*latest
            && at.elapsed() < FRESH
        {
            return Ok(activity.clone());
        }
        let activity = Arc::new(self.look().await?);
        *latest = Some((Instant::now(), activity.clone()));
        Ok(activity)
    }

    async fn look(&self) -> Result<PoolActivity, PoolError> {
        let recorder = self.recorder();
        let spec = self.spec();
        let store = self.store();
        let stats = self.stats().await?;
        let now = self.clock().now();
        let age = |stamp: Option<u32>| {
            stamp.map_or(f64::NAN, |stamp| Clock::age(now.stamp, stamp, spec.decay.by_steps()))
        };
        let sample = |score, stamp, model_version, serves| Sample {
            score,
            age: age(stamp) as f32,
            model_version,
            serves,
            stratum: 0,
        };
        let (stored, bias): (Vec<Sample>, _) = match self.sampled_negatives(stored::ROWS_MAX).await? {
            Some(negatives) => (
                negatives.iter().map(|n| sample(n.score, Some(n.stamp), n.model_version, 0)).collect(),
                Default::default(),
            ),
            None => {
                let rows = stored::rows(store).await?;
                let bias = self.bias_beside(&rows).await?;
                let samples =
                    rows.iter().map(|row| sample(row.score, row.stamp, row.model_version, row.serves));
                (samples.collect(), bias)
            }
        };
        let rows = store.top(HARDEST_MAX, ServePenalty::default(), TOP_SCAN_ROWS).await?;
        let named = spec.id_kind == IdKind::Name;
        let names = names(store, named, rows.iter().map(|row| row.id).collect()).await?;
        let hardest = rows
            .iter()
            .zip(names)
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
            let state = recorder.state.lock();
            (state.history.ticks(), state.suspects.list())
        };
        let names = self::names(store, named, suspects.iter().map(|s| s.id).collect()).await?;
        let mut workers = self.workers();
        let worker_count = workers.len();
        workers.truncate(WORKERS_MAX);
        Ok(PoolActivity {
            stats,
            ticks,
            figures: Figures::of(&stored, &recorder.served.samples()),
            bias,
            workers,
            worker_count,
            hardest,
            suspects: suspects.into_iter().zip(names).collect(),
        })
    }
}

/// The string keys of samples; a look that counts no serve.
async fn names(store: &dyn Store, named: bool, ids: Vec<u64>) -> Result<Vec<Option<Arc<str>>>, PoolError> {
    if !named {
        return Ok(vec![None; ids.len()]);
    }
    let served = store.attachments(&ids).await?;
    Ok(served.into_iter().map(|served| served.and_then(|served| served.name)).collect())
}

#[cfg(test)]
mod tests;
