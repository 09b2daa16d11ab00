//! Mining and reporting inside one process, one thread each. It shows what the store's locks cost a draw, without the transport, and
//! without load and server competing for processors (benches/service.rs measures with both). `make bench` runs it.
//! `--guard` prints figures of a smaller, idle pool for benches/guard.py, one line `name value unit` per figure.

#[path = "common/stopwatch.rs"]
mod stopwatch;

use hardneg::model::batch::MineRequest;
use hardneg::model::limits::Limits;
use hardneg::model::report::{Ids, Report};
use hardneg::model::spec::PoolSpec;
use hardneg::pool::Pool;
use hardneg::pool::admission::Patience;
use hardneg::pool::clock::TimeSource;
use hardneg::pool::registry::Registry;
use hardneg::store::local::LocalEngine;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use stopwatch::Stopwatch;
use tokio::runtime::{Builder, Runtime};

const ENTRIES: u64 = 10_000_000;
const ROWS: usize = 4096;
const PAIRS: usize = 7;
const DRAWS: usize = 20_000;
const GUARD_ENTRIES: u64 = 1_000_000;
const GUARD_DRAWS: usize = 2_000;
const GUARD_ROUNDS: usize = 5;

fn main() {
    if std::env::args().any(|a| a == "--list" || a == "--test") {
        return; // cargo test --benches: nothing to check here.
    }
    let runtime = single_threaded();
    if std::env::args().any(|a| a == "--guard") {
        return guard(&runtime, &filled(&runtime, GUARD_ENTRIES));
    }
    let pool = filled(&runtime, ENTRIES);
    let half_of_peak = peak(&pool) / 2.0;
    println!(
        "mining 256 of {ENTRIES} in process, {PAIRS} pairs of {DRAWS} draws, idle and at half of two threads' peak:"
    );
    let mut ratios = Vec::new();
    for pair in 1..=PAIRS {
        let idle = latencies(&runtime, &pool);
        let (stop, rows) = (AtomicBool::new(false), AtomicU64::new(0));
        let (loaded, rate) = std::thread::scope(|scope| {
            scope.spawn(|| ingest(&pool, pair as u64, Some(half_of_peak), &stop, &rows));
            std::thread::sleep(Duration::from_millis(200));
            let (before, start) = (rows.load(Ordering::Relaxed), Instant::now());
            let loaded = latencies(&runtime, &pool);
            let rate = (rows.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
            stop.store(true, Ordering::Relaxed);
            (loaded, rate)
        });
        println!(
            "  pair {pair}: idle p50 {:.0} p99 {:.0} us, loaded p50 {:.0} p99 {:.0} us at {:.1} M scores/s",
            idle.0,
            idle.1,
            loaded.0,
            loaded.1,
            rate / 1e6
        );
        ratios.push(loaded.1 / idle.1);
    }
    ratios.sort_by(f64::total_cmp);
    let (low, median, high) = (ratios[0], ratios[PAIRS / 2], ratios[PAIRS - 1]);
    println!("in process, p99 loaded / idle: median {median:.2} ({low:.2} to {high:.2})");
}

/// Measures idle draws by wall time and by the thread's CPU time. For CPU time each draw is repeated in several rounds, and the quickest
/// counts, because the repetitions differ only by the other activity of the machine.
fn guard(runtime: &Runtime, pool: &Arc<Pool>) {
    let mut quickest = vec![f64::INFINITY; GUARD_DRAWS];
    let mut by_clock = Vec::new();
    for _ in 0..GUARD_ROUNDS {
        for (seed, quickest) in quickest.iter_mut().enumerate() {
            let (watch, start) = (Stopwatch::start(), Instant::now());
            mine(runtime, pool, Some(seed as u64));
            by_clock.push(start.elapsed().as_secs_f64() * 1e6);
            *quickest = quickest.min(watch.nanos() / 1e3);
        }
    }
    for (name, micros) in [("idle", quickest), ("idle_clock", by_clock)] {
        let (p50, p99) = percentiles(micros);
        println!("mining/{name}/p50 {p50:.2} us");
        println!("mining/{name}/p99 {p99:.2} us");
    }
}

fn filled(runtime: &Runtime, entries: u64) -> Arc<Pool> {
    let registry = Registry::new(Arc::new(LocalEngine::new()), Limits::default(), TimeSource::monotonic());
    let spec = PoolSpec { capacity: entries, shards: 8, ..PoolSpec::defaults(&Limits::default()) };
    let (pool, _) = runtime.block_on(registry.create("bench", spec)).expect("created");
    let mut rng = SmallRng::seed_from_u64(1);
    for start in (0..entries).step_by(ROWS) {
        let ids = (start..(start + ROWS as u64).min(entries)).collect();
        runtime.block_on(pool.report(report(ids, &mut rng))).expect("reported");
    }
    pool
}

fn single_threaded() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Scores per second that two threads apply.
fn peak(pool: &Arc<Pool>) -> f64 {
    let (stop, rows) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for seed in [100, 101] {
            let (stop, rows) = (&stop, &rows);
            scope.spawn(move || ingest(pool, seed, None, stop, rows));
        }
        std::thread::sleep(Duration::from_secs(3));
        stop.store(true, Ordering::Relaxed);
    });
    rows.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

/// Reports random ids, at a rate or as fast as possible, until `stop` is set.
fn ingest(pool: &Arc<Pool>, seed: u64, rate: Option<f64>, stop: &AtomicBool, rows: &AtomicU64) {
    let runtime = single_threaded();
    let mut rng = SmallRng::seed_from_u64(seed);
    let batches: Vec<Report> = (0..256)
        .map(|_| report((0..ROWS).map(|_| rng.random_range(0..ENTRIES)).collect(), &mut rng))
        .collect();
    let (start, mut sent) = (Instant::now(), 0u64);
    while !stop.load(Ordering::Relaxed) {
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(sent as f64 / rate);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
        let batch = batches[(sent / ROWS as u64) as usize % batches.len()].clone();
        runtime.block_on(pool.report(batch)).expect("reported");
        sent += ROWS as u64;
        rows.fetch_add(ROWS as u64, Ordering::Relaxed);
    }
}

/// p50 and p99 in microseconds.
fn latencies(runtime: &Runtime, pool: &Arc<Pool>) -> (f64, f64) {
    let draw = |_| {
        let start = Instant::now();
        mine(runtime, pool, None);
        start.elapsed().as_secs_f64() * 1e6
    };
    percentiles((0..DRAWS).map(draw).collect())
}

fn mine(runtime: &Runtime, pool: &Arc<Pool>, seed: Option<u64>) {
    let request = MineRequest { batch_size: 256, seed, ..MineRequest::default() };
    let batch = runtime.block_on(pool.mine(request, Patience::Refuse)).expect("mined");
    assert_eq!(batch.columns.ids.len(), 256);
}

/// p50 and p99.
fn percentiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() * 99 / 100])
}

fn report(ids: Vec<u64>, rng: &mut SmallRng) -> Report {
    // Log-normal, like losses: two octaves of standard deviation.
    let scores = ids.iter().map(|_| (((0..4).map(|_| rng.random::<f32>()).sum::<f32>() - 2.0) * 3.46).exp2());
    Report { scores: scores.collect(), ids: Ids::U64(ids), ..Report::default() }
}
