//! The memory store compared with an ordered tree plus a hash map (which is how a sorted set is built), in one run. `make bench` runs it.
//!
//! Times are of a batch of 4,096 rows unless stated otherwise; `item/s` is rows per second. It first prints a table of bytes per entry.

#[path = "common/laws.rs"]
mod laws;
#[path = "common/stopwatch.rs"]
mod stopwatch;
#[path = "common/store_guard.rs"]
mod store_guard;
#[path = "common/subject.rs"]
mod subject;

use divan::Bencher;
use divan::counter::ItemsCount;
use laws::Law;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::any::{Any, TypeId};
use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;
use subject::{DECAY_UNITS, Memory, Weight, sort_key};

const SIZES: [usize; 3] = [10_000, 1_000_000, 10_000_000];
const ROWS: usize = 4096;
const SHARDS: usize = 8;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--guard") {
        // Cargo appends --bench to the arguments.
        return store_guard::run(args.get(at + 1).map(String::as_str).filter(|part| *part != "--bench"));
    }
    if !args.iter().any(|a| a == "--test" || a == "--list") {
        print_memory();
    }
    divan::main();
}

fn score(rng: &mut SmallRng) -> f32 {
    Law::LogNormal.score(0, rng)
}

/// What is measured.
trait Subject: Send + Sized + 'static {
    fn empty(capacity: usize) -> Self;
    fn upsert(&mut self, ids: Vec<u64>, scores: Vec<f32>);
    fn top(&mut self, n: usize) -> usize;
}

impl Subject for Memory {
    fn empty(capacity: usize) -> Self {
        Self::open(capacity, SHARDS, Weight::Default)
    }

    fn upsert(&mut self, ids: Vec<u64>, scores: Vec<f32>) {
        self.apply(ids, scores, DECAY_UNITS);
    }

    fn top(&mut self, n: usize) -> usize {
        Self::top(self, n)
    }
}

/// A sorted set: a tree ordered by (key, id), and a map with the key of each id.
struct OrderedTree {
    capacity: usize,
    order: BTreeSet<(u32, u64)>,
    keys: HashMap<u64, u32>,
}

impl Subject for OrderedTree {
    fn empty(capacity: usize) -> Self {
        Self { capacity, order: BTreeSet::new(), keys: HashMap::new() }
    }

    fn upsert(&mut self, ids: Vec<u64>, scores: Vec<f32>) {
        for (id, score) in ids.into_iter().zip(scores) {
            let key = sort_key(score);
            if let Some(old) = self.keys.get(&id).copied() {
                self.order.remove(&(old, id));
            } else if self.keys.len() == self.capacity {
                match self.order.first().copied() {
                    Some(lowest) if lowest.0 < key => {
                        self.order.remove(&lowest);
                        self.keys.remove(&lowest.1);
                    }
                    _ => continue,
                }
            }
            self.order.insert((key, id));
            self.keys.insert(id, key);
        }
    }

    fn top(&mut self, n: usize) -> usize {
        divan::black_box(self.order.iter().rev().take(n).collect::<Vec<_>>()).len()
    }
}

type Subjects = parking_lot::Mutex<HashMap<(TypeId, usize), Box<dyn Any + Send>>>;
static FULL: LazyLock<Subjects> = LazyLock::new(Subjects::default);

/// Calls `with` with a full subject of `size` entries, with ids 0..size, which is made once.
fn with_full<S: Subject>(size: usize, with: impl FnOnce(&mut S)) {
    let mut subjects = FULL.lock();
    let subject = subjects.entry((TypeId::of::<S>(), size)).or_insert_with(|| {
        let mut subject = S::empty(size);
        let mut rng = SmallRng::seed_from_u64(1);
        for start in (0..size).step_by(ROWS) {
            let ids: Vec<u64> = (start as u64..(start + ROWS).min(size) as u64).collect();
            let scores = ids.iter().map(|_| score(&mut rng)).collect();
            subject.upsert(ids, scores);
        }
        Box::new(subject)
    });
    with(subject.downcast_mut().expect("the type of its key"));
}

/// Measures batches of rows that `row` makes, one by one.
fn bench_rows<S: Subject>(
    bencher: Bencher<'_, '_>,
    size: usize,
    mut row: impl FnMut(&mut SmallRng) -> (u64, f32),
) {
    let mut rng = SmallRng::seed_from_u64(7);
    with_full::<S>(size, |subject| {
        bencher
            .counter(ItemsCount::new(ROWS))
            .with_inputs(|| (0..ROWS).map(|_| row(&mut rng)).unzip::<u64, f32, Vec<_>, Vec<_>>())
            .bench_local_values(|(ids, scores)| subject.upsert(ids, scores));
    });
}

#[divan::bench(types = [Memory, OrderedTree], args = SIZES, sample_count = 300, sample_size = 1, max_time = 8)]
fn upsert_random<S: Subject>(bencher: Bencher<'_, '_>, size: usize) {
    bench_rows::<S>(bencher, size, |rng| (rng.random_range(0..size as u64), score(rng)));
}

#[divan::bench(types = [Memory, OrderedTree], args = SIZES, sample_count = 300, sample_size = 1, max_time = 8)]
fn upsert_sequential<S: Subject>(bencher: Bencher<'_, '_>, size: usize) {
    let mut next = 0;
    bench_rows::<S>(bencher, size, |rng| {
        next = (next + 1) % size as u64;
        (next, score(rng))
    });
}

#[divan::bench(types = [Memory, OrderedTree], args = SIZES, sample_count = 300, sample_size = 1, max_time = 8)]
fn drop_below_floor<S: Subject>(bencher: Bencher<'_, '_>, size: usize) {
    let mut next = 1 << 40;
    bench_rows::<S>(bencher, size, |_| {
        next += 1;
        (next, 1e-9)
    });
}

/// New ids, each a little harder than the last, evict the easiest. This runs last, because it replaces the stored samples.
#[divan::bench(types = [Memory, OrderedTree], args = SIZES, sample_count = 200, sample_size = 1, max_time = 8)]
fn z_insert_and_evict<S: Subject>(bencher: Bencher<'_, '_>, size: usize) {
    let mut next = 1 << 41;
    bench_rows::<S>(bencher, size, |rng| {
        next += 1;
        (next, 16.0 + (next - (1 << 41)) as f32 * 1e-5 + rng.random::<f32>())
    });
}

#[divan::bench(types = [Memory, OrderedTree], args = SIZES, sample_count = 200, sample_size = 1, max_time = 4)]
fn top_256<S: Subject>(bencher: Bencher<'_, '_>, size: usize) {
    with_full::<S>(size, |subject| {
        bencher.bench_local(|| assert_eq!(subject.top(256), 256));
    });
}

/// A census and 256 members drawn by it: the work of the store in one iteration of the sampler. A tree has no equivalent.
#[divan::bench(args = SIZES, sample_count = 500, sample_size = 1, max_time = 4)]
fn census_and_draw_256(bencher: Bencher<'_, '_>, size: usize) {
    let mut rng = SmallRng::seed_from_u64(3);
    with_full::<Memory>(size, |store| {
        bencher.bench_local(|| store.census_and_draw(256, &mut rng));
    });
}

fn print_memory() {
    println!("bytes per entry (score and report time kept, background of 65,536 included)");
    for size in SIZES {
        let before = resident_bytes();
        with_full::<Memory>(size, |store| {
            let resident = resident_bytes().saturating_sub(before);
            let parts = store.memory_by_part();
            let all = parts.iter().map(|(_, bytes)| bytes).sum();
            let columns = parts.into_iter().chain([("all", all), ("resident", resident)]);
            let each = |(name, bytes): (&str, usize)| format!("  {name} {:>6.1}", bytes as f64 / size as f64);
            println!("{size:>12} entries:{}", columns.map(each).collect::<String>());
        });
    }
}

/// Resident memory of this process in bytes (Linux; 0 elsewhere).
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split_whitespace().nth(1).and_then(|p| p.parse::<usize>().ok()).unwrap_or(0);
    pages * 4096
}
