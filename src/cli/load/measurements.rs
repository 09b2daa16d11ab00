//! The measurements of a load, and their output.

use std::{
    fmt::Write as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    super::output::{grouped, stats_json},
    cpu::Cpu,
};
use crate::client::{Error, pb};

/// The longest latency that the histogram distinguishes: a minute, in microseconds.
const MAX_MICROS: u64 = 60_000_000;
const SLICE: Duration = Duration::from_secs(1);

/// Counters that all workers share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    scores: AtomicU64,
    mines: AtomicU64,
    mined_samples: AtomicU64,
    errors: AtomicU64,
    first_error: OnceLock<String>,
    measure_from: OnceLock<Instant>,
}

impl Shared {
    /// Latencies of batches and calls that were due earlier are not recorded.
    pub(super) fn measure_from(&self, start: Instant) {
        let _ = self.measure_from.set(start);
    }

    pub(super) fn is_measured(&self, due: Instant) -> bool {
        self.measure_from.get().is_some_and(|start| due >= *start)
    }

    pub(super) fn add_scores(&self, rows: u64) {
        self.scores.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn add_mine(&self, samples: u64) {
        self.mines.fetch_add(1, Ordering::Relaxed);
        self.mined_samples.fetch_add(samples, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, error: &Error) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.first_error.get_or_init(|| error.to_string());
    }

    fn counts(&self) -> [u64; 3] {
        [&self.scores, &self.mines, &self.mined_samples].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Latencies in microseconds, to three digits.
pub(super) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_MICROS, 3)
        .expect("1 <= low, 2 x low <= high and digits <= 5, which is all that it asks")
}

pub(super) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(MAX_MICROS);
    histogram.saturating_record(micros.clamp(1, MAX_MICROS));
}

/// Totals and rates of the measured time.
#[derive(Debug, Default)]
pub(super) struct Slices {
    seconds: f64,
    /// Numbers of scores, mining calls and mined samples over the whole time.
    totals: [u64; 3],
    /// Scores and mining calls per second, in each full second.
    rates: [Vec<f64>; 2],
}

/// Counts second by second from now to `end`.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) async fn slices(shared: &Shared, end: Instant) -> Slices {
    let started = Instant::now();
    let first = shared.counts();
    let (mut then, mut last) = (started, first);
    let mut slices = Slices::default();
    while Instant::now() + SLICE / 2 < end {
        tokio::time::sleep_until((then + SLICE).min(end)).await;
        let (now, counts) = (Instant::now(), shared.counts());
        let seconds = (now - then).as_secs_f64();
        for (rates, (count, before)) in slices.rates.iter_mut().zip(counts.iter().zip(last)) {
            rates.push((count - before) as f64 / seconds);
        }
        (then, last) = (now, counts);
    }
    slices.seconds = (then - started).as_secs_f64();
    slices.totals = std::array::from_fn(|i| last[i] - first[i]);
    slices
}

/// Everything that is printed at the end.
#[derive(Debug)]
pub(super) struct Figures {
    slices: Slices,
    cpu: Cpu,
    /// Latency of acks.
    pub acks: Histogram<u64>,
    /// Latency of mining calls.
    pub mines: Histogram<u64>,
    /// The pool's statistics before and after the measurement.
    pub pool: Option<(pb::PoolStats, pb::PoolStats)>,
    /// Number of failed mining calls and rejected batches.
    pub errors: u64,
    /// The text of the first of these errors.
    pub first_error: Option<String>,
}

impl Figures {
    pub(super) fn new(slices: Slices, cpu: Cpu) -> Self {
        Self {
            slices,
            cpu,
            acks: new_histogram(),
            mines: new_histogram(),
            pool: None,
            errors: 0,
            first_error: None,
        }
    }

    pub(super) fn take_errors(&mut self, shared: &Shared) {
        self.errors = shared.errors.load(Ordering::Relaxed);
        self.first_error = shared.first_error.get().cloned();
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    fn nanos_per_score(&self, nanos: Option<u64>) -> Option<f64> {
        let scores = self.slices.totals[0];
        (scores > 0).then_some(nanos? as f64 / scores as f64)
    }

    pub(super) fn to_json(&self) -> Value {
        let [scores, mines, samples] = self.slices.totals;
        json!({
            "seconds": self.slices.seconds,
            "scores": scores,
            "scores_per_second_median": median(&self.slices.rates[0]),
            "scores_per_second": self.slices.rates[0],
            "mines": mines,
            "mined_samples": samples,
            "mines_per_second_median": median(&self.slices.rates[1]),
            "ack_latency_us": percentiles_json(&self.acks),
            "mine_latency_us": percentiles_json(&self.mines),
            "server_cpu_ns_per_score": self.nanos_per_score(self.cpu.server),
            "client_cpu_ns_per_score": self.nanos_per_score(self.cpu.client),
            "errors": self.errors,
            "first_error": self.first_error,
            "pool_before": self.pool.as_ref().map(|(before, _)| stats_json(before)),
            "pool_after": self.pool.as_ref().map(|(_, after)| stats_json(after)),
        })
    }

    pub(super) fn to_text(&self) -> String {
        let [scores, mines, samples] = self.slices.totals;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "scores  {} in {:.1} s, median {:.3} M/s over seconds",
            grouped(scores),
            self.slices.seconds,
            median(&self.slices.rates[0]) / 1e6,
        );
        let _ = writeln!(
            text,
            "mines   {} ({} samples), median {:.0}/s",
            grouped(mines),
            grouped(samples),
            median(&self.slices.rates[1]),
        );
        for (name, histogram) in [("ack", &self.acks), ("mine", &self.mines)] {
            if !histogram.is_empty() {
                let _ = write!(text, "{name:6} ");
                for (quantile, micros) in percentiles(histogram) {
                    let _ = write!(text, " {quantile} {}", millis(micros));
                }
                text.push('\n');
            }
        }
        let shares = [("server", self.cpu.server), ("client", self.cpu.client)];
        for (name, nanos) in shares {
            if let Some(nanos) = self.nanos_per_score(nanos) {
                let _ = writeln!(text, "{name} cpu  {nanos:.0} ns/score (mining included)");
            }
        }
        if let Some((before, after)) = &self.pool {
            let sizes = after.sizes.unwrap_or_default();
            let _ = writeln!(
                text,
                "pool    {} hard, {} background, {:.0} distinct; {} rows and {} mined batches since the start",
                grouped(sizes.hard),
                grouped(sizes.background),
                sizes.distinct,
                grouped(after.reported_rows.saturating_sub(before.reported_rows)),
                grouped(after.mined_batches.saturating_sub(before.mined_batches)),
            );
            if let Some(bytes) = after.memory_bytes.checked_div(sizes.hard) {
                let total = grouped(after.memory_bytes);
                let _ = writeln!(text, "memory  {total} bytes, {bytes} a sample");
            }
        }
        text
    }
}

fn percentiles(histogram: &Histogram<u64>) -> [(&'static str, u64); 5] {
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)]
        .map(|(name, quantile)| (name, histogram.value_at_quantile(quantile)))
}

fn percentiles_json(histogram: &Histogram<u64>) -> Value {
    if histogram.is_empty() {
        return Value::Null;
    }
    let mut value: serde_json::Map<_, _> = percentiles(histogram)
        .into_iter()
        .map(|(name, micros)| (name.to_owned(), Value::from(micros)))
        .collect();
    value.insert("count".to_owned(), histogram.len().into());
    value.into()
}

#[expect(clippy::cast_precision_loss, reason = "at most a minute")]
fn millis(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1e3)
}

/// The median; 0 when there are no values.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!(median(&[]).abs() < f64::EPSILON);
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn latencies_saturate() {
        let mut histogram = new_histogram();
        record(&mut histogram, Duration::ZERO);
        record(&mut histogram, Duration::from_secs(600));
        assert_eq!(histogram.len(), 2);
        assert!(histogram.max() <= MAX_MICROS + MAX_MICROS / 500);
    }
}
