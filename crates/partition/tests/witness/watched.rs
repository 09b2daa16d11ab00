//! A partition whose reports are recorded, draws from a seed, and means with their errors.

use hardneg_partition::hash::background_hash;
use hardneg_partition::key::Hardness;
use hardneg_partition::{
    BackgroundSpec, Change, Columns, Op, Partition, PartitionSpec, QuarantineLimits, Reply, Terms,
};
use std::ops::Range;
use std::sync::Arc;

const DAY: u64 = 1 << 42;

pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        background_hash(self.0, 0x5eed)
    }

    /// Of 0..end.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Mean and standard error.
pub(crate) struct Mean {
    pub(crate) mean: f64,
    pub(crate) error: f64,
}

impl Mean {
    pub(crate) fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, error: (variance / n).sqrt() }
    }

    pub(crate) fn check(&self, what: &str, expected: f64) {
        // Where all values are what they should be there is no spread.
        let z = if self.mean == expected { 0.0 } else { (self.mean - expected) / self.error };
        println!("{what}: {:.5} +- {:.5}, {expected:.5} expected, z = {z:.2}", self.mean, self.error);
        assert!(z.abs() < 4.0, "{what}: z = {z}");
    }
}

/// A partition, and which ids were reported since its last generation began.
pub(crate) struct Watched {
    pub(crate) partition: Partition,
    pub(crate) scores: fn(u64) -> f32,
    pub(crate) renew_after_rows: u64,
    pub(crate) generations: u64,
    serving: u64,
    /// The number of the last report of each id, and of the report after which the last generation began.
    pub(crate) reported: Vec<u64>,
    pub(crate) began: u64,
    reports: u64,
    /// Ids reported before and not since the generation that took over began, one number a takeover.
    pub(crate) missing: Vec<f64>,
}

impl Watched {
    pub(crate) fn new(seed: u64, size: usize, renew_after_rows: u64) -> Self {
        let partition = Partition::new(PartitionSpec {
            capacity: 1 << 15,
            background: BackgroundSpec::Sampled { size },
            hardness: Hardness::default(),
            named: false,
            salt_seed: background_hash(seed, 77),
            unstored_serves: 0,
            workers: 0,
            quarantine: QuarantineLimits::default(),
        });
        Self {
            partition,
            scores: |_| 1.0,
            renew_after_rows,
            generations: 1,
            serving: 0,
            reported: Vec::new(),
            began: 0,
            reports: 0,
            missing: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, change: Change) -> Reply {
        let position = self.partition.position() + 1;
        self.partition.apply(Op { position, change })
    }

    /// Reports ids one by one: a generation begins after a row, and here it is to be known after which.
    pub(crate) fn report(&mut self, ids: &[u64]) {
        let scores = ids.iter().map(|id| (self.scores)(*id)).collect();
        let rows = Arc::new(Columns::plain(ids.to_vec(), scores, &self.partition.spec().hardness, DAY));
        let renew_after_rows = self.renew_after_rows;
        let terms = Terms { decay_units: DAY, renew_after_rows, ..Terms::default() };
        for (row, id) in ids.iter().enumerate() {
            self.apply(Change::Report { rows: rows.clone(), range: row..row + 1, terms, sender: None });
            self.reports += 1;
            let at = *id as usize;
            if self.reported.len() <= at {
                self.reported.resize(at + 1, 0);
            }
            self.reported[at] = self.reports;
            self.look();
        }
    }

    /// What became of the generations.
    pub(crate) fn look(&mut self) {
        let (serving, generations) = self.partition.generations();
        if serving != self.serving {
            self.serving = serving;
            self.missing.push((self.living() - self.reported_since_began()) as f64);
        }
        if generations != self.generations {
            self.generations = generations;
            self.began = self.reports;
        }
    }

    pub(crate) fn living(&self) -> usize {
        self.reported.iter().filter(|at| **at > 0).count()
    }

    pub(crate) fn reported_since_began(&self) -> usize {
        self.reported.iter().filter(|at| **at > self.began).count()
    }

    pub(crate) fn remove(&mut self, ids: Range<u64>) {
        for id in ids.clone() {
            self.reported[id as usize] = 0;
        }
        self.apply(Change::Remove { ids: ids.collect() });
        self.look();
    }

    /// N-hat: members by the share of the ids that are.
    pub(crate) fn estimate(&self) -> f64 {
        let background = self.partition.census().background;
        let share = background.threshold.map_or(1.0, |threshold| threshold as f64 / 2_f64.powi(64));
        background.members as f64 / share
    }

    pub(crate) fn fills(&self) -> bool {
        self.partition.generations().1 > 1 + self.missing.len() as u64
    }
}

/// Ids of which batches are drawn, each id as likely as any other.
pub(crate) struct Ids(pub(crate) Vec<u64>);

impl Ids {
    pub(crate) fn new(ids: Range<u64>) -> Self {
        Self(ids.collect())
    }

    /// All in random order, batch by batch.
    pub(crate) fn all(&mut self, random: &mut SplitMix, batch: usize) -> impl Iterator<Item = &[u64]> {
        let n = self.0.len();
        self.batch(random, n);
        self.0.chunks(batch)
    }

    /// A batch of so many, no id twice.
    pub(crate) fn batch(&mut self, random: &mut SplitMix, len: usize) -> &[u64] {
        for at in 0..len {
            let other = at + random.below(self.0.len() - at);
            self.0.swap(at, other);
        }
        &self.0[..len]
    }
}
