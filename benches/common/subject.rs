//! The local store as benches use it. When the store's interface changes, only this file of the benches must change.

use hardneg::store::key::{Hardness, HardnessFunction, Key};
use hardneg::store::local::LocalStore;
use hardneg::store::{Address, BackgroundSpec, ReportBatch, ServePenalty, Store, StoreSpec};
use rand::RngExt;
use rand::rngs::SmallRng;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// D(t) of batches in benches in which no time passes.
pub(crate) const DECAY_UNITS: u64 = 1 << 42;

/// How a score becomes a weight.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weight {
    /// The default of a pool.
    Default,
    /// exp(score / temperature).
    Exponential { temperature: f32 },
}

impl Weight {
    fn hardness(self) -> Hardness {
        match self {
            Self::Default => Hardness::default(),
            Self::Exponential { temperature } => {
                Hardness { function: HardnessFunction::Exponential { temperature }, lower_is_harder: false }
            }
        }
    }
}

/// The key of a score, by which the ordered tree sorts for a fair comparison.
pub(crate) fn sort_key(score: f32) -> u32 {
    let Key(key) = Hardness::default().key(score, 1 << 31).0;
    key
}

/// A local store with a background of 65,536.
pub(crate) struct Memory(LocalStore);

impl Memory {
    pub(crate) fn open(capacity: usize, shards: usize, weight: Weight) -> Self {
        let spec = StoreSpec {
            capacity,
            partitions: shards,
            background: BackgroundSpec::Sampled { size: 65_536 },
            hardness: weight.hardness(),
            named: false,
            salt_seed: 1,
            workers: 64,
        };
        Self(LocalStore::new(spec).expect("memory"))
    }

    pub(crate) fn apply(&self, ids: Vec<u64>, scores: Vec<f32>, decay_units: u64) {
        let batch = ReportBatch { ids, scores, decay_units, ..Default::default() };
        run(self.0.apply(batch)).expect("applied");
    }

    /// Counts the buckets.
    pub(crate) fn census(&self) -> usize {
        run(self.0.census()).expect("read").buckets.len()
    }

    /// A census and `n` members drawn by it: the work of the store in one iteration of the sampler.
    pub(crate) fn census_and_draw(&self, n: usize, rng: &mut SmallRng) -> usize {
        let census = run(self.0.census()).expect("read");
        let address = |_| {
            let bucket = &census.buckets[rng.random_range(0..census.buckets.len())];
            let ordinal = rng.random_range(0..bucket.count);
            Address::Hard { partition: bucket.partition, bucket: bucket.bucket, ordinal }
        };
        let addresses: Vec<Address> = (0..n).map(address).collect();
        run(self.0.fetch(&addresses)).expect("read").len()
    }

    /// Reads the `n` hardest, and returns their number.
    pub(crate) fn top(&self, n: usize) -> usize {
        run(self.0.top(n, ServePenalty::default(), usize::MAX)).expect("read").len()
    }

    /// Bytes, by what they are for.
    pub(crate) fn memory_by_part(&self) -> Vec<(&'static str, usize)> {
        ["index", "slots", "buckets", "background"].into_iter().zip(self.0.memory_by_part()).collect()
    }
}

/// Polls a future of the store until it is ready; in benches it never waits.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
}
