//! Anchored pools inside one process: memory per anchor, and the time of MineNegatives with each strategy.
//! `make bench` runs it. HARDNEG_BENCH_ANCHORS (default 10,000,000) is the number of anchors of the memory part. With `--guard` it prints
//! figures of a smaller pool for `make bench-guard`, one line `name value unit` per figure.

use hardneg::model::anchored_spec::AnchoredSpec;
use hardneg::model::limits::Limits;
use hardneg::model::negative_policy::{DistanceWeighting, NegativePolicy, NegativeStrategy};
use hardneg::model::negatives::NegativesRequest;
use hardneg::model::policy::Shortfall;
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
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};

const NEGATIVES: u32 = 10;
/// Number of rows of a batch: the contract's maximum.
const ROWS: u64 = 65_536;
const MINED_ANCHORS: u64 = 1_000_000;
const ANCHORS: usize = 1_024;
const WANTED: u32 = 8;
const CALLS: usize = 2_000;
/// Number of anchors with `--guard`.
const GUARDED_ANCHORS: u64 = 200_000;
const GUARDED_CALLS: usize = 400;

fn main() {
    if std::env::args().any(|a| a == "--list" || a == "--test") {
        return; // cargo test --benches: nothing to check here.
    }
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    if std::env::args().any(|a| a == "--guard") {
        return guard(&runtime);
    }
    latencies(&runtime, &filled(&runtime, MINED_ANCHORS));
    let anchors = std::env::var("HARDNEG_BENCH_ANCHORS").ok().and_then(|n| n.parse().ok());
    memory(&runtime, anchors.unwrap_or(10_000_000));
}

/// Prints the time per new and per known row, and the median time of a call with each strategy.
fn guard(runtime: &Runtime) {
    let pool = empty(runtime, GUARDED_ANCHORS);
    for name in ["fill", "again"] {
        let start = Instant::now();
        let rows = report_all(runtime, &pool, GUARDED_ANCHORS);
        println!("anchored/report/{name} {:.1} ns", start.elapsed().as_secs_f64() * 1e9 / rows as f64);
    }
    for (name, policy) in policies() {
        let name = name.to_lowercase().replace(", ", "+").replace([' ', '/'], "_");
        let (p50, _) = timed(runtime, &pool, &policy, GUARDED_ANCHORS, GUARDED_CALLS);
        println!("anchored/mine/{name} {:.1} us", p50 * 1e3);
    }
}

/// A pool of `anchors` anchors, each with its maximum of negatives.
fn filled(runtime: &Runtime, anchors: u64) -> Arc<Pool> {
    let pool = empty(runtime, anchors);
    let start = Instant::now();
    let rows = report_all(runtime, &pool, anchors);
    let rate = rows as f64 / start.elapsed().as_secs_f64() / 1e6;
    println!("{anchors} anchors x {NEGATIVES} negatives reported by one thread: {rate:.2} M rows/s");
    pool
}

fn empty(runtime: &Runtime, anchors: u64) -> Arc<Pool> {
    let limits = Limits::default();
    let registry = Registry::new(Arc::new(LocalEngine::new()), limits.clone(), TimeSource::monotonic());
    let of_anchors = AnchoredSpec {
        negatives_per_anchor: NEGATIVES,
        max_anchors: anchors,
        ..AnchoredSpec::defaults(&limits)
    };
    let spec = PoolSpec {
        capacity: of_anchors.capacity(),
        anchored: Some(of_anchors),
        shards: 8,
        ..PoolSpec::defaults(&limits)
    };
    runtime.block_on(registry.create("bench", spec)).expect("created").0
}

/// Reports the maximum of negatives of each anchor, and returns the number of rows.
fn report_all(runtime: &Runtime, pool: &Arc<Pool>, anchors: u64) -> u64 {
    let mut rng = SmallRng::seed_from_u64(1);
    let total = anchors * u64::from(NEGATIVES);
    for first in (0..total).step_by(ROWS as usize) {
        let rows = first..(first + ROWS).min(total);
        let report = Report {
            anchors: Some(Ids::U64(rows.clone().map(|row| row / u64::from(NEGATIVES)).collect())),
            ids: Ids::U64(rows.clone().map(|_| rng.random_range(0..50_000_000)).collect()),
            scores: rows.clone().map(|_| rng.random::<f32>()).collect(),
            positive_scores: rows.map(|_| 0.8).collect(),
            model_version: 1,
            ..Report::default()
        };
        runtime.block_on(pool.report(report)).expect("reported");
    }
    total
}

fn memory(runtime: &Runtime, anchors: u64) {
    let before = resident_bytes();
    let pool = filled(runtime, anchors);
    let stats = runtime.block_on(pool.stats()).expect("stats");
    let held = stats.anchored.expect("anchored").store;
    let resident = resident_bytes().saturating_sub(before);
    println!(
        "{} anchors, {} negatives: memory_bytes {:.2} GiB, resident {:.2} GiB ({:.0} B an anchor)",
        held.anchors,
        held.negatives,
        stats.store.memory_bytes as f64 / (1u64 << 30) as f64,
        resident as f64 / (1u64 << 30) as f64,
        resident as f64 / anchors as f64
    );
}

fn policies() -> [(&'static str, NegativePolicy); 7] {
    let of = |strategy| NegativePolicy { strategy, ..NegativePolicy::default() };
    let mixed = NegativePolicy { random_fraction: 0.25, ..of(NegativeStrategy::Proportional) };
    let semi_hard = NegativePolicy { semi_hard_margin: Some(0.5), ..of(NegativeStrategy::SemiHard) };
    let wu = DistanceWeighting { dimension: 128, cutoff: 0.5, max_distance: 1.4 };
    [
        ("PROPORTIONAL", of(NegativeStrategy::Proportional)),
        ("TOP", of(NegativeStrategy::Top)),
        ("RANDOM", of(NegativeStrategy::Random)),
        ("SEMI_HARD", NegativePolicy { shortfall: Shortfall::Short, ..semi_hard.clone() }),
        ("SEMI_HARD with fill-up", semi_hard),
        (
            "DISTANCE_WEIGHTED",
            NegativePolicy { distance_weighting: Some(wu), ..of(NegativeStrategy::DistanceWeighted) },
        ),
        ("PROPORTIONAL, 1/4 random", mixed),
    ]
}

fn latencies(runtime: &Runtime, pool: &Arc<Pool>) {
    println!("MineNegatives {ANCHORS} x {WANTED} of an idle pool of {MINED_ANCHORS} anchors, {CALLS} calls:");
    let mut reference = None;
    for (name, policy) in policies() {
        let (p50, p99) = timed(runtime, pool, &policy, MINED_ANCHORS, CALLS);
        let ratio = p50 / *reference.get_or_insert(p50);
        println!("  {name:<30} p50 {p50:>6.2} ms   p99 {p99:>6.2} ms   {ratio:.2} x PROPORTIONAL");
    }
}

/// p50 and p99 in milliseconds of `calls` calls, each for random anchors out of the pool's `of` anchors.
fn timed(runtime: &Runtime, pool: &Arc<Pool>, policy: &NegativePolicy, of: u64, calls: usize) -> (f64, f64) {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut millis: Vec<f64> = (0..calls)
        .map(|_| {
            let anchors = (0..ANCHORS).map(|_| rng.random_range(0..of)).collect();
            let request = NegativesRequest {
                anchors: Ids::U64(anchors),
                num_negatives: WANTED,
                policy: policy.clone(),
                ..NegativesRequest::default()
            };
            let start = Instant::now();
            let mined = runtime.block_on(pool.mine_negatives(request, Patience::Refuse)).expect("mined");
            assert_eq!(mined.offsets.len(), ANCHORS + 1);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    millis.sort_by(f64::total_cmp);
    (millis[calls / 2], millis[calls * 99 / 100])
}

/// Resident memory of this process in bytes (Linux; 0 elsewhere).
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split_whitespace().nth(1).and_then(|p| p.parse::<usize>().ok()).unwrap_or(0);
    pages * 4096
}
