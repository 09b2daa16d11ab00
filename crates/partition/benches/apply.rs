//! The cost of applying a reported row, by distribution of scores: `cargo bench -p hardneg-partition --bench apply`.
//!
//! Eight partitions of one pool on one thread, batches of 4,096 rows, medians. `upsert`: known ids at random; `insert`: new ids into a full
//! pool. With arguments, only cases run whose names contain one of them, such as `-- 1000000/lognormal/upsert`.

// A bench measures time.
#![allow(clippy::disallowed_types)]

use hardneg_partition::hash::{background_hash, placement_hash};
use hardneg_partition::key::{Hardness, HardnessFunction};
use hardneg_partition::{
    BackgroundSpec, Change, Columns, Op, Partition, PartitionSpec, QuarantineLimits, Terms,
};
use std::sync::Arc;
use std::time::Instant;

const PARTITIONS: usize = 8;
const ROWS: usize = 4096;
const D: u64 = 1 << 42;

fn uniform(x: &mut u64) -> f64 {
    *x = background_hash(*x, 1);
    (*x >> 11) as f64 / (1u64 << 53) as f64
}

fn normal(x: &mut u64) -> f64 {
    (-2.0 * uniform(x).max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * uniform(x)).cos()
}

struct Pool {
    partitions: Vec<Partition>,
    position: u64,
    hardness: Hardness,
}

impl Pool {
    fn new(capacity: usize, hardness: Hardness) -> Self {
        let partition = |number: usize| {
            let even = capacity / PARTITIONS;
            Partition::new(PartitionSpec {
                capacity: even + 6 * (even as f64).sqrt() as usize,
                background: BackgroundSpec::Sampled { size: 65_536 / PARTITIONS },
                hardness,
                named: false,
                salt_seed: number as u64,
                unstored_serves: 1,
                workers: 0,
                quarantine: QuarantineLimits::default(),
            })
        };
        Self { partitions: (0..PARTITIONS).map(partition).collect(), position: 0, hardness }
    }

    /// Nanoseconds a row.
    fn apply(&mut self, ids: &[u64], scores: &[f32]) -> f64 {
        let begun = Instant::now();
        let of = |id: u64| (placement_hash(id) >> 61) as usize;
        let mut rows = vec![(Vec::new(), Vec::new()); PARTITIONS];
        for (id, score) in ids.iter().zip(scores) {
            let part = &mut rows[of(*id)];
            part.0.push(*id);
            part.1.push(*score);
        }
        self.position += 1;
        for (partition, (ids, scores)) in self.partitions.iter_mut().zip(rows) {
            let range = 0..ids.len();
            let rows = Arc::new(Columns::plain(ids, scores, &self.hardness, D));
            let terms = Terms { decay_units: D, ..Terms::default() };
            partition.apply(Op {
                position: self.position,
                change: Change::Report { rows, range, terms, sender: None },
            });
        }
        begun.elapsed().as_nanos() as f64 / ids.len() as f64
    }
}

/// A distribution of scores: its name, the temperature of an exponential hardness, the scores that fill the pool, and those after them.
type Law = (&'static str, Option<f32>, fn(&mut u64) -> f64, fn(&mut u64) -> f64);

fn lognormal(x: &mut u64) -> f64 {
    (2.0 * normal(x)).exp2()
}

fn sigmoid<const MEAN: i32>(x: &mut u64) -> f64 {
    1.0 / (1.0 + (-(f64::from(MEAN) + normal(x))).exp())
}

fn main() {
    if std::env::args().any(|a| a == "--test" || a == "--list") {
        return;
    }
    let logits = |x: &mut u64| 5.0 * normal(x);
    let laws: [Law; 6] = [
        ("lognormal", None, lognormal, lognormal),
        ("sigmoid(N(4,1))", None, sigmoid::<4>, sigmoid::<4>),
        ("sigmoid(N(8,1))", None, sigmoid::<8>, sigmoid::<8>),
        ("all equal", None, |_| 0.5, |_| 0.5),
        ("zeros first", None, |_| 0.0, |x| 1.0 + uniform(x)),
        ("exp(N(0,5)/.05)", Some(0.05), logits, logits),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    for size in [125_000_u64, 1_000_000] {
        for (name, temperature, first, law) in laws {
            let is_wanted = |what: &str| {
                let case = format!("{size}/{name}/{what}");
                wanted.is_empty() || wanted.iter().any(|w| case.contains(w.as_str()))
            };
            if !is_wanted("upsert") && !is_wanted("insert") {
                continue;
            }
            let exponential = |temperature| Hardness {
                function: HardnessFunction::Exponential { temperature },
                ..Hardness::default()
            };
            let mut pool = Pool::new(size as usize, temperature.map_or_else(Hardness::default, exponential));
            let mut x = 7;
            for start in (0..size).step_by(ROWS) {
                let ids: Vec<u64> = (start..(start + ROWS as u64).min(size)).collect();
                let scores: Vec<f32> = ids.iter().map(|_| first(&mut x) as f32).collect();
                pool.apply(&ids, &scores);
            }
            let mut next = size;
            let mut median = |make: &mut dyn FnMut(&mut u64) -> u64| {
                let mut times: Vec<f64> = (0..300)
                    .map(|_| {
                        let ids: Vec<u64> = (0..ROWS).map(|_| make(&mut x)).collect();
                        let scores: Vec<f32> = ids.iter().map(|_| law(&mut x) as f32).collect();
                        pool.apply(&ids, &scores)
                    })
                    .collect();
                times.sort_by(f64::total_cmp);
                times[times.len() / 2]
            };
            if is_wanted("upsert") {
                let upsert = median(&mut |x| (uniform(x) * size as f64) as u64);
                println!("{size:>7}/{name:<15} upsert {upsert:6.1} ns/row");
            }
            if is_wanted("insert") {
                let insert = median(&mut |_| {
                    next += 1;
                    next
                });
                println!("{size:>7}/{name:<15} insert {insert:6.1} ns/row");
            }
        }
    }
}
