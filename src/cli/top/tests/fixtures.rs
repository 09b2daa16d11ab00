//! Pools as a server might tell of them.

use crate::{
    cli::top::source::{Listed, Picture},
    client::pb,
};

pub(super) fn tick(second: i64) -> pb::ActivityTick {
    pb::ActivityTick {
        time: Some(prost_types::Timestamp { seconds: second, nanos: 0 }),
        seconds: 1.0,
        reported_rows: 4_096,
        mined_batches: 7,
        // The first minute served nothing at random.
        served_hard: if second < 40 { 100 } else { 75 },
        served_background: if second < 40 { 0 } else { 25 },
        mine: Some(pb::LatencyPercentiles { p50: 0.0004, p99: 0.0021 }),
        ..Default::default()
    }
}

pub(super) fn picture(name: &str, ticks: std::ops::Range<i64>) -> Picture {
    let histogram = pb::SampleHistogram {
        bounds: (0..=32).map(f64::from).collect(),
        stored: (0..32).collect(),
        served: (0..32).rev().collect(),
    };
    let worker = |id: &str, silent| pb::WorkerActivity {
        worker_id: id.into(),
        silent_seconds: silent,
        rows_per_second: 512.0,
        ..Default::default()
    };
    Picture {
        pool: pb::Pool {
            name: format!("pools/{name}"),
            spec: Some(pb::PoolSpec { capacity: 1_000_000, ..Default::default() }),
            ..Default::default()
        },
        stats: pb::PoolStats {
            name: format!("pools/{name}"),
            uid: 1,
            sizes: Some(pb::PoolSizes { hard: 123_456, distinct: 654_321.0, ..Default::default() }),
            memory_bytes: 40_000_000,
            ..Default::default()
        },
        activity: pb::PoolActivity {
            ticks: ticks.map(tick).collect(),
            scores: Some(histogram.clone()),
            ages: Some(histogram),
            versions: vec![pb::VersionCount { version: 9, stored: 5, served: 3 }],
            workers: vec![worker("rank-0", 0.4), worker("rank-1\u{1b}[2J", 99.0)],
            worker_count: 2,
            hardest: vec![pb::HardSample { id: 4_711, score: 0.75, age: 3.0, ..Default::default() }],
            suspects: vec![pb::NoiseSuspect { name: "cat.jpg".into(), reports: 5, ..Default::default() }],
            ..Default::default()
        },
    }
}

pub(super) fn listed(name: &str, uid: u64, rows: u64) -> Listed {
    let Picture { pool, stats, .. } = picture(name, 0..0);
    Listed { pool, stats: pb::PoolStats { uid, reported_rows: rows, ..stats } }
}

/// Absent, non-finite and extreme values wherever the protocol can carry them.
pub(super) fn odd() -> Picture {
    let mut odd = picture("faces", 0..9);
    odd.pool.spec = None;
    odd.stats.sizes = Some(pb::PoolSizes {
        hard: u64::MAX,
        distinct: f64::NAN,
        floor_log2: Some(f32::NAN),
        ..Default::default()
    });
    for (n, tick) in odd.activity.ticks.iter_mut().enumerate() {
        tick.seconds = [0.0, f64::NAN, f64::INFINITY, -1.0][n % 4];
        tick.mine = Some(pb::LatencyPercentiles { p50: f64::INFINITY, p99: f64::NAN });
        tick.time = if n == 3 { None } else { Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }) };
    }
    odd.activity.scores = Some(pb::SampleHistogram { bounds: vec![f64::NAN; 2], ..Default::default() });
    odd.activity.workers[0].silent_seconds = f64::NAN;
    odd.activity.hardest[0] = pb::HardSample {
        name: "日本語".repeat(90),
        score: f32::NAN,
        age: f64::NEG_INFINITY,
        ..Default::default()
    };
    odd
}
