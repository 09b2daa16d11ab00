//! The cost of saving and loading an image, and the longest pause of a step: `cargo bench -p hardneg-partition --bench image`.
//!
//! Times are CPU time of this thread, because others may run in parallel. Of several runs the fastest is printed, except for pauses.

#![allow(unsafe_code)]

use hardneg_partition::hash::background_hash;
use hardneg_partition::key::Hardness;
use hardneg_partition::{
    BackgroundSpec, Change, Columns, Op, Partition, PartitionSpec, QuarantineLimits, Terms,
};
use std::hint::black_box;
use std::sync::Arc;

const DAY: u64 = 1 << 42;
const ROWS: u64 = 1_000_000;
const OP: u64 = 4096;
const STEP: usize = 1024;

fn main() {
    // `cargo test --benches` runs it too, only to see that it runs.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let rows = if is_test { 20_000 } else { ROWS };
    println!("an image of {rows} plain rows, background 16,384");
    for law in LAWS {
        image(law, rows);
    }
    println!("\nsteps of {STEP} rows, {rows} new ids: how many took up to so many microseconds");
    for capacity in [131_072, 1_048_576] {
        println!("capacity {capacity}");
        for law in LAWS {
            pauses(law, rows, capacity);
        }
    }
}

/// CPU time of this thread in nanoseconds, or wall time where that is not available.
fn now() -> u64 {
    #[cfg(target_os = "linux")]
    return thread_time();
    #[cfg(not(target_os = "linux"))]
    {
        static BEGAN: std::sync::LazyLock<std::time::Instant> =
            std::sync::LazyLock::new(std::time::Instant::now);
        BEGAN.elapsed().as_nanos() as u64
    }
}

#[cfg(target_os = "linux")]
fn thread_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to `time`, which outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn time<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let from = now();
    let result = black_box(work());
    (result, now() - from)
}

/// A function from the share of rows before a row, and its number, to its score.
type Law = (&'static str, fn(u64, u64) -> f32);

const LAWS: [Law; 6] = [
    ("lognormal", |id, _| normal(id).exp2() as f32),
    ("sigmoid(N(4,1))", |id, _| sigmoid(4.0 + normal(id))),
    ("sigmoid(N(8,1))", |id, _| sigmoid(8.0 + normal(id))),
    ("all equal", |_, _| 0.5),
    ("zeros, then harder", |id, rows| if id < rows / 2 { 0.0 } else { id as f32 }),
    ("a floor that creeps", |id, _| 16.0 + id as f32 * 1e-5),
];

fn sigmoid(x: f64) -> f32 {
    (1.0 / (1.0 + (-x).exp())) as f32
}

/// A normal number with mean 0 and standard deviation 1, by Box and Muller from two hashes.
fn normal(id: u64) -> f64 {
    let uniform = |salt| (background_hash(id, salt) >> 11) as f64 / (1u64 << 53) as f64;
    (-2.0 * (1.0 - uniform(1)).ln()).sqrt() * (std::f64::consts::TAU * uniform(2)).cos()
}

fn spec(capacity: usize) -> PartitionSpec {
    PartitionSpec {
        capacity,
        background: BackgroundSpec::Sampled { size: 16_384 },
        hardness: Hardness::default(),
        named: false,
        salt_seed: 7,
        unstored_serves: 1 << 16,
        workers: 0,
        quarantine: QuarantineLimits::default(),
    }
}

fn ops(law: Law, rows: u64) -> Vec<Op> {
    (0..rows.div_ceil(OP))
        .map(|at| {
            let ids: Vec<u64> = (at * OP..((at + 1) * OP).min(rows)).collect();
            let scores = ids.iter().map(|id| (law.1)(*id, rows)).collect();
            let rows = Columns::plain(ids, scores, &Hardness::default(), DAY);
            let (range, terms) = (0..rows.ids.len(), Terms { decay_units: DAY, ..Terms::default() });
            Op {
                position: at + 1,
                change: Change::Report { rows: Arc::new(rows), range, terms, sender: None },
            }
        })
        .collect()
}

fn image(law: Law, rows: u64) {
    let mut partition = Partition::new(spec(1 << 20));
    let mut apply = 0;
    for op in ops(law, rows) {
        apply += time(|| partition.apply(op)).1;
    }
    let (mut save, mut load, mut len) = (u64::MAX, u64::MAX, 0);
    for _ in 0..7 {
        let (image, nanos) = time(|| partition.save());
        let (loaded, load_nanos) = time(|| Partition::load(&image).expect("its own image"));
        (save, load, len) = (save.min(nanos), load.min(load_nanos), image.len());
        drop(loaded);
    }
    let by_row = |n: u64| n as f64 / rows as f64;
    let memory = partition.stats().memory_bytes;
    println!(
        "  {:<20} save {:>5.1} ns a row ({:>5.1} ms), load {:>5.1}, apply {:>5.1}; image {:.2} bytes a row; memory {:.1} \
         (index, slots, buckets, all else: {})",
        law.0,
        by_row(save),
        save as f64 / 1e6,
        by_row(load),
        by_row(apply),
        by_row(len as u64),
        by_row(memory.iter().sum::<usize>() as u64),
        memory.map(|bytes| format!("{:.1}", by_row(bytes as u64))).join(", "),
    );
}

fn pauses(law: Law, rows: u64, capacity: usize) {
    let mut partition = Partition::new(spec(capacity));
    let (mut histogram, mut longest, mut total) = ([0_u32; 64], (0, 0), 0);
    let mut steps = 0;
    for op in ops(law, rows) {
        let mut job = partition.begin(op);
        loop {
            let (reply, nanos) = time(|| partition.step(&mut job, STEP));
            // Upper bounds are powers of two.
            histogram[(u64::BITS - (nanos / 1000).leading_zeros()) as usize] += 1;
            longest = longest.max((nanos, steps));
            total += nanos;
            steps += 1;
            if reply.is_some() {
                break;
            }
        }
    }
    let buckets = histogram.iter().enumerate().filter(|(_, count)| **count > 0);
    let buckets: Vec<String> = buckets.map(|(at, count)| format!("{}: {count}", 1_u64 << at)).collect();
    println!(
        "  {:<20} {:>5.1} ns a row; longest {:>6.1} us, step {} of {steps}; {}",
        law.0,
        total as f64 / rows as f64,
        longest.0 as f64 / 1000.0,
        longest.1,
        buckets.join(", ")
    );
}
