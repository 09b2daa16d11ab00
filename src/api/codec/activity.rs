//! Encodes what a pool is doing: its history, histograms, workers and hardest samples.

use std::sync::Arc;
use std::time::SystemTime;

use crate::activity::{Histogram, Percentiles, PoolActivity, Tick};
use crate::proto::v1 as pb;

/// Encodes the activity, with the ticks that ended after `since`.
pub(crate) fn encode(activity: &PoolActivity, since: Option<SystemTime>) -> pb::PoolActivity {
    let figures = &activity.figures;
    pb::PoolActivity {
        ticks: activity
            .ticks
            .iter()
            .filter(|tick| since.is_none_or(|since| tick.time > since))
            .map(encode_tick)
            .collect(),
        stored_samples: figures.stored_samples,
        served_samples: figures.served_samples,
        scores: Some(encode_histogram(&figures.scores)),
        ages: Some(encode_histogram(&figures.ages)),
        serves: Some(encode_histogram(&figures.serves)),
        versions: figures
            .versions
            .iter()
            .map(|v| pb::VersionCount { version: v.version, stored: v.stored, served: v.served })
            .collect(),
        workers: activity
            .workers
            .iter()
            .map(|w| pb::WorkerActivity {
                worker_id: w.worker_id.clone(),
                silent_seconds: w.silent_seconds,
                rows_per_second: w.rows_per_second,
                rows: w.rows,
                batches: w.batches,
                step: w.step,
                model_version: w.model_version,
            })
            .collect(),
        worker_count: activity.worker_count as u64,
        hardest: activity
            .hardest
            .iter()
            .map(|s| pb::HardSample {
                id: s.id,
                name: name(s.name.as_ref()),
                score: s.score,
                weight_log2: s.weight_log2,
                age: s.age,
                serves: s.serves.into(),
                model_version: s.model_version,
            })
            .collect(),
        suspects: activity
            .suspects
            .iter()
            .map(|(suspect, key)| pb::NoiseSuspect {
                id: suspect.id,
                name: name(key.as_ref()),
                score: suspect.score,
                reports: suspect.reports,
                looks: suspect.looks,
            })
            .collect(),
    }
}

fn name(name: Option<&Arc<str>>) -> String {
    name.map_or_else(String::new, ToString::to_string)
}

fn encode_tick(tick: &Tick) -> pb::ActivityTick {
    pb::ActivityTick {
        time: Some(tick.time.into()),
        seconds: tick.seconds,
        reported_rows: tick.reported_rows,
        reported_batches: tick.reported_batches,
        mined_batches: tick.mined_batches,
        served_hard: tick.served_hard,
        served_background: tick.served_background,
        evicted: tick.evicted,
        hard: tick.hard,
        floor_log2: tick.floor_log2,
        report: tick.report.map(encode_percentiles),
        mine: tick.mine.map(encode_percentiles),
    }
}

fn encode_percentiles(percentiles: Percentiles) -> pb::LatencyPercentiles {
    pb::LatencyPercentiles { p50: percentiles.p50, p99: percentiles.p99 }
}

fn encode_histogram(histogram: &Histogram) -> pb::SampleHistogram {
    pb::SampleHistogram {
        bounds: histogram.bounds.clone(),
        stored: histogram.stored.clone(),
        served: histogram.served.clone(),
    }
}
