//! The time of a request with each policy, inside one process, compared with plain PROPORTIONAL at the same batch size on the same pool.
//! Both are measured alternately. `make bench` prints the table.

use hardneg::model::balance::{Balance, StratumLimit};
use hardneg::model::batch::{MineRequest, Round};
use hardneg::model::curriculum::{Curriculum, Schedule, Shape};
use hardneg::model::limits::Limits;
use hardneg::model::policy::{PolicyOverrides, Strategy, Window};
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
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const ENTRIES: u64 = 1_000_000;
const ROWS: u64 = 4096;
const BATCH: u32 = 256;
/// Number of draws of a policy, followed by as many plain ones.
const DRAWS: usize = 96;
const PAIRS: usize = 9;
/// If the draws of a policy together take longer than this, fewer are made.
const SLOW: Duration = Duration::from_millis(500);
const RANKS: u32 = 8;

fn main() {
    if std::env::args().any(|a| a == "--list" || a == "--test") {
        return; // cargo test --benches: nothing to check here.
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let registry = Registry::new(Arc::new(LocalEngine::new()), Limits::default(), TimeSource::monotonic());
    println!(
        "{BATCH} of {ENTRIES} in process: medians of {PAIRS} pairs of means of {DRAWS} draws, policy and plain PROPORTIONAL in turn"
    );
    println!("| policy | us a request | of plain | samples |");
    println!("|---|---|---|---|");
    let mut asked = 0;
    for (strata, name) in [(8, "8 strata"), (80, "80 strata, the rarest 1 in 20,000")] {
        let pool = filled(&runtime, &registry, strata);
        for (policy, request) in policies(strata) {
            let (micros, ratio, samples) = compare(&runtime, &pool, &request, &mut asked);
            println!("| {policy} ({name}) | {micros:.0} | {ratio:.2} | {samples} |");
        }
    }
}

/// A pool with strata of falling size, groups of eight, and scores like losses.
fn filled(runtime: &Runtime, registry: &Arc<Registry>, strata: u32) -> Arc<Pool> {
    let spec = PoolSpec { capacity: ENTRIES, shards: 8, ..PoolSpec::defaults(&Limits::default()) };
    let (pool, _) = runtime.block_on(registry.create(&format!("strata-{strata}"), spec)).expect("created");
    let mut rng = SmallRng::seed_from_u64(1);
    // Each stratum is 1.1 (of 80) or 1.5 (of 8) times as rare as the one before it.
    let ratio: f64 = if strata > 8 { 1.0 / 1.1 } else { 1.0 / 1.5 };
    let of = |u: f64| ((1.0 - u * (1.0 - ratio.powi(strata as i32))).ln() / ratio.ln()) as u32;
    for start in (0..ENTRIES).step_by(ROWS as usize) {
        let ids: Vec<u64> = (start..(start + ROWS).min(ENTRIES)).collect();
        let normal = |rng: &mut SmallRng| (0..4).map(|_| rng.random::<f32>()).sum::<f32>() - 2.0;
        let report = Report {
            scores: ids.iter().map(|_| (normal(&mut rng) * 3.46).exp2()).collect(),
            strata: ids.iter().map(|_| of(rng.random()).min(strata - 1)).collect(),
            groups: Ids::U64(ids.iter().map(|id| 1 + id / 8).collect()),
            ids: Ids::U64(ids),
            ..Report::default()
        };
        runtime.block_on(pool.report(report)).expect("reported");
    }
    pool
}

fn policies(strata: u32) -> Vec<(&'static str, MineRequest)> {
    let request = |policy| MineRequest { batch_size: BATCH, policy, ..MineRequest::default() };
    let balance = |balance| request(PolicyOverrides { balance: Some(balance), ..PolicyOverrides::default() });
    let strategy =
        |strategy| request(PolicyOverrides { strategy: Some(strategy), ..PolicyOverrides::default() });
    let window = |window| request(PolicyOverrides { windows: vec![window], ..PolicyOverrides::default() });
    let leased = |millis| MineRequest {
        lease: Some(Duration::from_millis(millis)),
        ..request(PolicyOverrides::default())
    };
    let by_stratum = vec![
        ("max_stratum_fraction 0.3", balance(Balance { max_stratum_fraction: 0.3, ..Balance::default() })),
        ("equal_shares", balance(Balance { equal_shares: true, ..Balance::default() })),
        ("min_per_stratum 2", balance(Balance { min_per_stratum: 2, ..Balance::default() })),
    ];
    if strata > 8 {
        return by_stratum;
    }
    let cap = vec![(0, StratumLimit::Count(16))];
    let curriculum = Curriculum {
        alpha: Some(Schedule { shape: Shape::Linear, from: 0.0, to: 2.0, begin_step: 0, end_step: 1000 }),
        ..Curriculum::default()
    };
    let mut all = vec![
        ("PROPORTIONAL", request(PolicyOverrides::default())),
        ("TOP", strategy(Strategy::Top)),
        ("RANK", strategy(Strategy::Rank)),
        ("UNIFORM", strategy(Strategy::Uniform)),
        ("STALEST", strategy(Strategy::Stalest)),
        ("score window over half", window(Window::Score { min: 1.0, max: f32::INFINITY })),
        ("rank window 1,000 to 101,000", window(Window::Rank { min: 1000, max: 101_000 })),
        ("quantile window 0.5 to 0.99", window(Window::Quantile { min: 0.5, max: 0.99 })),
        (
            "exclude 1,000 ids",
            MineRequest { exclude: Ids::U64((0..1000).collect()), ..request(PolicyOverrides::default()) },
        ),
        ("lease 20 ms", leased(20)),
        ("stratum_caps, one", balance(Balance { stratum_caps: cap, ..Balance::default() })),
        ("max_per_group 1", balance(Balance { max_per_group: 1, ..Balance::default() })),
        (
            "round of 8 ranks, a rank's share",
            MineRequest {
                // number and rank are those of the request: see `numbered`.
                round: Some(Round { number: 0, rank: 0, world_size: RANKS, run_id: "bench".into() }),
                ..request(PolicyOverrides::default())
            },
        ),
        (
            "curriculum",
            MineRequest {
                step: Some(500),
                ..request(PolicyOverrides { curriculum: Some(curriculum), ..PolicyOverrides::default() })
            },
        ),
    ];
    all.extend(by_stratum);
    all
}

/// The median of a policy's mean times in microseconds, the median of the ratios to plain, and the size of its last batch.
fn compare(runtime: &Runtime, pool: &Arc<Pool>, request: &MineRequest, asked: &mut u64) -> (f64, f64, usize) {
    let plain = MineRequest { batch_size: BATCH, ..MineRequest::default() };
    let (mut micros, mut ratios, mut samples) = (Vec::new(), Vec::new(), 0);
    for _ in 0..PAIRS {
        let (policy, n) = mean_of_draws(runtime, pool, request, asked);
        let (without, _) = mean_of_draws(runtime, pool, &plain, asked);
        micros.push(policy);
        ratios.push(policy / without);
        samples = n;
    }
    (median(micros), median(ratios), samples)
}

fn mean_of_draws(
    runtime: &Runtime,
    pool: &Arc<Pool>,
    request: &MineRequest,
    asked: &mut u64,
) -> (f64, usize) {
    let mut samples = 0;
    let requests: Vec<MineRequest> = (0..DRAWS).map(|_| numbered(request, asked)).collect();
    let start = Instant::now();
    let mut done = 0;
    for request in requests {
        if start.elapsed() > SLOW {
            break;
        }
        done += 1;
        samples = runtime.block_on(pool.mine(request, Patience::Refuse)).expect("mined").columns.ids.len();
    }
    (start.elapsed().as_secs_f64() * 1e6 / f64::from(done), samples)
}

/// The request; for a round, that of the next rank.
fn numbered(request: &MineRequest, asked: &mut u64) -> MineRequest {
    let mut request = request.clone();
    if let Some(round) = request.round.as_mut() {
        round.number = *asked / u64::from(RANKS);
        round.rank = (*asked % u64::from(RANKS)) as u32;
        *asked += 1;
    }
    request
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
