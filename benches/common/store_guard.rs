//! `--guard [PART]` of benches/store.rs: the store's figures for benches/guard.py, one line `name value unit` per figure.
//! Times are CPU times of the thread, which a busy machine affects less.

use super::laws::Law;
use super::stopwatch::Stopwatch;
use super::subject::{DECAY_UNITS, Memory, Weight};
use super::{ROWS, SHARDS};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

type Part = (&'static str, fn());
const PARTS: [Part; 5] = [
    ("upsert", upserts),
    ("insert", inserts),
    ("exponential", exponentials),
    ("drop_and_top", drop_and_top),
    ("memory", memory),
];
const LAWS: [Law; 3] = [Law::LogNormal, Law::Sigmoid { mean: 4.0 }, Law::Sigmoid { mean: 8.0 }];
const MILLION: usize = 1_000_000;
/// The least number of calls for a median.
const CALLS: usize = 240;

/// Prints the figures of one part, or of all.
pub(crate) fn run(part: Option<&str>) {
    let known = |name: &str| PARTS.iter().any(|(part, _)| *part == name);
    assert!(part.is_none_or(known), "parts are {:?}", PARTS.map(|(name, _)| name));
    for (name, print) in PARTS {
        if part.is_none_or(|part| part == name) {
            print();
        }
    }
}

/// Random known ids of a full pool get new scores.
fn upserts() {
    for size in [125_000, MILLION] {
        for law in LAWS {
            let store = full(size, SHARDS, Weight::Default, law);
            print_apply("upsert", &format!("{size}/{}", law.name()), &upsert_random(&store, size, law));
        }
    }
}

/// As many new ids as a full pool holds are reported to it. If the distribution does not change, two in three are admitted.
fn inserts() {
    for (size, shards) in [(MILLION, SHARDS), (65_536, 1)] {
        let zeros = Law::ZerosFirst { rows: size as u64 };
        for law in LAWS.into_iter().chain([Law::Equal, zeros, Law::Creeping]) {
            let mut times = Vec::new();
            while times.len() < CALLS {
                let store = full(size, shards, Weight::Default, law);
                let mut rng = SmallRng::seed_from_u64(7);
                for start in (size as u64..2 * size as u64).step_by(ROWS) {
                    let ids = (start..start + ROWS as u64).collect();
                    times.push(timed_apply(&store, ids, law, &mut rng));
                }
            }
            print_apply("insert_evict", &format!("{size}/{}", law.name()), &times);
        }
    }
}

/// Logits under exp(score / temperature): the lower the temperature, the more buckets.
fn exponentials() {
    for temperature in [1.0, 0.1, 0.05] {
        for shards in [8, 32] {
            let case = format!("exponential_{temperature}/{shards}_shards");
            let store = full(MILLION, shards, Weight::Exponential { temperature }, Law::Logits);
            print_apply("upsert", &case, &upsert_random(&store, MILLION, Law::Logits));
            print_micros(&format!("census/{case}"), || store.census());
        }
    }
}

/// New ids below the admission threshold, and the 256 hardest.
fn drop_and_top() {
    let store = full(MILLION, SHARDS, Weight::Default, Law::LogNormal);
    let mut rng = SmallRng::seed_from_u64(7);
    let zeros = Law::ZerosFirst { rows: u64::MAX };
    let times: Vec<f64> = (0..CALLS as u64)
        .map(|call| {
            let start = (1 << 40) + call * ROWS as u64;
            timed_apply(&store, (start..start + ROWS as u64).collect(), zeros, &mut rng)
        })
        .collect();
    print_apply("drop", &MILLION.to_string(), &times);
    print_micros(&format!("top_256/{MILLION}"), || store.top(256));
}

fn memory() {
    let size = 10 * MILLION;
    let store = full(size, SHARDS, Weight::Default, Law::LogNormal);
    let bytes: usize = store.memory_by_part().iter().map(|(_, bytes)| bytes).sum();
    println!("bytes_per_entry/{size} {:.3} bytes", bytes as f64 / size as f64);
}

/// A store that holds ids 0..size.
fn full(size: usize, shards: usize, weight: Weight, law: Law) -> Memory {
    let store = Memory::open(size, shards, weight);
    let mut rng = SmallRng::seed_from_u64(1);
    for start in (0..size).step_by(ROWS) {
        let ids = (start as u64..(start + ROWS).min(size) as u64).collect();
        timed_apply(&store, ids, law, &mut rng);
    }
    store
}

fn upsert_random(store: &Memory, size: usize, law: Law) -> Vec<f64> {
    let mut rng = SmallRng::seed_from_u64(7);
    let random_ids = |rng: &mut SmallRng| (0..ROWS).map(|_| rng.random_range(0..size as u64)).collect();
    (0..CALLS)
        .map(|_| {
            let ids = random_ids(&mut rng);
            timed_apply(store, ids, law, &mut rng)
        })
        .collect()
}

/// Nanoseconds of a call that applies a batch.
fn timed_apply(store: &Memory, ids: Vec<u64>, law: Law, rng: &mut SmallRng) -> f64 {
    let scores = ids.iter().map(|id| law.score(*id, rng)).collect();
    let watch = Stopwatch::start();
    store.apply(ids, scores, DECAY_UNITS);
    watch.nanos()
}

/// Prints the median time per row, and the time of the longest call.
fn print_apply(what: &str, case: &str, nanos: &[f64]) {
    println!("{what}/{case} {:.2} ns/row", median(nanos) / ROWS as f64);
    println!("pause/{what}/{case} {:.0} ns", nanos.iter().copied().fold(0.0, f64::max));
}

fn print_micros(name: &str, mut call: impl FnMut() -> usize) {
    let time = |_| {
        let watch = Stopwatch::start();
        divan::black_box(call());
        watch.nanos() / 1e3
    };
    let micros: Vec<f64> = (0..CALLS).map(time).collect();
    println!("{name} {:.2} us", median(&micros));
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
