//! Latencies of calls: percentiles of the last tick, and a histogram since the pool was created.

use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Upper bounds of the buckets of the histogram, in seconds: from the draw of an idle pool to a typical deadline.
pub(crate) const BOUNDS_SECONDS: [f64; 17] = [
    50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
];

/// Longest latency that percentiles distinguish, in microseconds.
const MICROS_MAX: u64 = 60_000_000;

/// Latencies of one kind of call. It takes about 12 KB. Recording takes a short lock, once per batch.
#[derive(Debug)]
pub(crate) struct Latency(Mutex<Latencies>);

#[derive(Debug)]
struct Latencies {
    /// Latencies since the last tick in microseconds, with a precision of 1 %.
    recent: Histogram<u32>,
    counts: LatencyCounts,
}

/// A histogram of the latencies of calls since the pool was created.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyCounts {
    /// Calls in each bucket of [`BOUNDS_SECONDS`], not cumulative.
    pub buckets: [u64; BOUNDS_SECONDS.len()],
    /// Number of all calls, including those above the last bound.
    pub count: u64,
    /// Sum of the latencies of all calls, in seconds.
    pub sum_seconds: f64,
}

/// Percentiles of the latencies of the calls in one tick, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// The median: half of the calls were faster.
    pub p50: f64,
    /// 99 of 100 calls were faster.
    pub p99: f64,
}

impl Default for Latency {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the bounds are constants that the crate accepts")]
        let recent = Histogram::new_with_bounds(1, MICROS_MAX, 2).expect("1 < 60 s, 2 digits");
        Self(Mutex::new(Latencies { recent, counts: LatencyCounts::default() }))
    }
}

impl Latency {
    /// Counts one call.
    pub(crate) fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut state = self.0.lock();
        state.recent.saturating_record((took.as_micros() as u64).max(1));
        state.counts.count += 1;
        state.counts.sum_seconds += seconds;
        if let Some(bucket) = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound) {
            state.counts.buckets[bucket] += 1;
        }
    }

    /// The percentiles of the calls recorded since this was called last; `None` if there were none.
    pub(crate) fn take_recent(&self) -> Option<Percentiles> {
        let mut state = self.0.lock();
        if state.recent.is_empty() {
            return None;
        }
        let at = |q| state.recent.value_at_quantile(q) as f64 * 1e-6;
        let percentiles = Percentiles { p50: at(0.5), p99: at(0.99) };
        state.recent.reset();
        Some(percentiles)
    }

    /// The histogram of all calls so far.
    #[must_use]
    pub(crate) fn counts(&self) -> LatencyCounts {
        self.0.lock().counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_last_tick_and_the_histogram_is_of_all_time() {
        let latency = Latency::default();
        assert_eq!(latency.take_recent(), None);
        for micros in 1..=1000 {
            latency.record(Duration::from_micros(micros));
        }
        let recent = latency.take_recent().unwrap();
        assert!((recent.p50 - 500e-6).abs() < 10e-6, "{recent:?}");
        assert!((recent.p99 - 990e-6).abs() < 15e-6, "{recent:?}");
        assert_eq!(latency.take_recent(), None);
        latency.record(Duration::from_secs(100));
        let counts = latency.counts();
        assert_eq!(counts.count, 1001);
        assert_eq!(counts.buckets[..5], [50, 50, 150, 250, 500]);
        assert_eq!(counts.buckets[5..].iter().sum::<u64>(), 0, "a call above the last bound is in no bucket");
        assert!((counts.sum_seconds - 100.5005).abs() < 1e-6);
        assert!(
            (latency.take_recent().unwrap().p99 - 60.0).abs() < 1.0,
            "a longer latency counts as the longest"
        );
    }
}
