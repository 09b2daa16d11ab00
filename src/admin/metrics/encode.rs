//! Encodes what the server counts at one moment in the text format of OpenMetrics.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::names::{self as m, Kind, Metric};
use super::process::Process;
use crate::activity::stats::PoolStats;
use crate::activity::{BOUNDS_SECONDS, LatencyCounts};
use crate::pool::admission::Occupancy;
use crate::rpc_metrics::{CODES, Meter};

/// What one scrape shows.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) pools: Vec<PoolSnapshot>,
    pub(super) ready: bool,
    pub(super) occupancy: Occupancy,
    pub(super) connections: usize,
    pub(super) inflight_reports: usize,
    /// The configured limits: name and value.
    pub(super) limits: [(&'static str, usize); 5],
    pub(super) meter: Arc<Meter>,
    pub(super) process: Option<Process>,
}

/// What one scrape shows of a pool.
#[derive(Debug)]
pub(super) struct PoolSnapshot {
    pub(super) id: String,
    pub(super) capacity: u64,
    pub(super) stats: PoolStats,
    pub(super) reporting: usize,
    pub(super) lag_seconds: Option<f64>,
    pub(super) reports: LatencyCounts,
    pub(super) mines: LatencyCounts,
}

/// Encodes a snapshot as text.
pub(super) fn text(snapshot: Snapshot) -> Result<String, Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// A metric under way: its encoder, and whether its values are counters.
struct Family<'a>(MetricEncoder<'a>, Kind);

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Family<'_> {
    fn value(&mut self, labels: Labels<'_>, value: f64) -> Result<(), Error> {
        match self.1 {
            Kind::Counter => {
                self.0.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
            }
            Kind::Gauge | Kind::Histogram => self.0.encode_family(&labels)?.encode_gauge(&value),
        }
    }

    fn latencies(&mut self, labels: Labels<'_>, counts: &LatencyCounts) -> Result<(), Error> {
        let within: u64 = counts.buckets.iter().sum();
        let buckets: Vec<(f64, u64)> = BOUNDS_SECONDS
            .into_iter()
            .zip(counts.buckets)
            .chain([(f64::MAX, counts.count - within)])
            .collect();
        self.0.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
            counts.sum_seconds,
            counts.count,
            &buckets,
            None,
        )
    }
}

/// Writes one metric.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    write: impl FnOnce(&mut Family<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (kind, name) = match metric.kind {
        Kind::Gauge => (MetricType::Gauge, metric.name),
        // The encoder adds the ending of counters.
        Kind::Counter => (MetricType::Counter, metric.name.trim_end_matches("_total")),
        Kind::Histogram => (MetricType::Histogram, metric.name),
    };
    write(&mut Family(encoder.encode_descriptor(name, metric.help, None, kind)?, metric.kind))
}

/// Reads one counter of a pool.
type Read = fn(&PoolSnapshot) -> u64;

/// The counters that have no label but the pool.
static POOL_COUNTERS: &[(&Metric, Read)] = &[
    (&m::POOL_REPORTED_ROWS, |p| p.stats.counters.reported_rows),
    (&m::POOL_REPORTED_BATCHES, |p| p.stats.counters.reported_batches),
    (&m::POOL_REJECTED_BATCHES, |p| p.stats.counters.rejected_batches),
    (&m::POOL_DUPLICATE_BATCHES, |p| p.stats.counters.duplicate_batches),
    (&m::POOL_EVICTED_SAMPLES, |p| p.stats.counters.evicted),
    (&m::POOL_REMOVED_SAMPLES, |p| p.stats.counters.removed),
    (&m::POOL_EXPIRED_SAMPLES, |p| p.stats.counters.expired),
    (&m::POOL_SET_ASIDE_SAMPLES, |p| p.stats.counters.quarantine_set_aside),
    (&m::POOL_RELEASED_SAMPLES, |p| p.stats.counters.quarantine_released),
    (&m::POOL_QUARANTINE_OVERFLOWS, |p| p.stats.store.quarantine.overflows),
    (&m::POOL_REFUSED_PAIRS, |p| p.stats.counters.pairs_refused),
    (&m::POOL_CLAMPED_SCORES, |p| p.stats.counters.clamped),
    (&m::POOL_FLOORED_SCORES, |p| p.stats.counters.floored),
    (&m::POOL_MINED_BATCHES, |p| p.stats.counters.mined_batches),
    (&m::POOL_SHORT_BATCHES, |p| p.stats.counters.shortfalls),
    (&m::POOL_PROPOSALS, |p| p.stats.counters.proposals),
    (&m::POOL_ROUNDS, |p| p.stats.counters.rounds),
    (&m::POOL_ROUND_REPLAYS, |p| p.stats.counters.round_replays),
    (&m::POOL_CONTROL_BATCHES, |p| p.stats.counters.control_batches),
    (&m::POOL_BACKGROUND_GENERATIONS, |p| p.stats.store.generations),
];

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        self.server(encoder)?;
        self.calls(encoder)?;
        self.pool_gauges(encoder)?;
        self.pool_counters(encoder)?;
        self.process(encoder)
    }
}

impl Snapshot {
    fn server(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        family(encoder, &m::BUILD_INFO, |f| f.value(&[("version", env!("CARGO_PKG_VERSION"))], 1.0))?;
        family(encoder, &m::LIMIT, |f| {
            self.limits.iter().try_for_each(|(limit, value)| f.value(&[("limit", limit)], *value as f64))
        })?;
        for (metric, value) in [
            (&m::READY, usize::from(self.ready)),
            (&m::POOLS, self.pools.len()),
            (&m::GRPC_CONNECTIONS, self.connections),
            (&m::INFLIGHT_MINES, self.occupancy.mining),
            (&m::WAITING_MINES, self.occupancy.waiting),
            (&m::INFLIGHT_REPORTS, self.inflight_reports),
        ] {
            family(encoder, metric, |f| f.value(&[], value as f64))?;
        }
        Ok(())
    }

    fn calls(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let methods = self.meter.methods();
        family(encoder, &m::GRPC_INFLIGHT_REQUESTS, |f| {
            methods.iter().try_for_each(|c| f.value(&[("method", &c.name)], c.inflight() as f64))
        })?;
        family(encoder, &m::GRPC_REQUESTS, |f| {
            for method in methods {
                for (code, count) in CODES.into_iter().zip(method.codes()) {
                    // A code that no call ended with is left out, except OK: its rate begins at 0.
                    if count > 0 || code == CODES[0] {
                        f.value(&[("method", &method.name), ("code", code)], count as f64)?;
                    }
                }
            }
            Ok(())
        })?;
        family(encoder, &m::GRPC_REQUEST_DURATION, |f| {
            methods.iter().try_for_each(|c| f.latencies(&[("method", &c.name)], &c.durations()))
        })
    }

    /// Writes one value of each pool; a pool whose `value` is `None` is left out.
    fn each(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        metric: &Metric,
        value: impl Fn(&PoolSnapshot) -> Option<f64>,
    ) -> Result<(), Error> {
        family(encoder, metric, |f| {
            self.pools.iter().try_for_each(|pool| match value(pool) {
                Some(value) => f.value(&[("pool", &pool.id)], value),
                None => Ok(()),
            })
        })
    }

    fn pool_gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let sizes = |p: &PoolSnapshot| p.stats.sizes;
        self.each(encoder, &m::POOL_HARD_SAMPLES, |p| Some(sizes(p).hard as f64))?;
        self.each(encoder, &m::POOL_CAPACITY_SAMPLES, |p| Some(p.capacity as f64))?;
        self.each(encoder, &m::POOL_BACKGROUND_SAMPLES, |p| Some(sizes(p).background as f64))?;
        self.each(encoder, &m::POOL_DISTINCT_SAMPLES, |p| Some(sizes(p).distinct))?;
        self.each(encoder, &m::POOL_CLOSED_LOOP_RATIO, |p| Some(sizes(p).closed_loop_ratio))?;
        self.each(encoder, &m::POOL_LEASED_SAMPLES, |p| Some(p.stats.store.leased as f64))?;
        self.each(encoder, &m::POOL_WORN_SAMPLES, |p| Some(p.stats.store.worn as f64))?;
        self.each(encoder, &m::POOL_MEMORY_BYTES, |p| Some(p.stats.store.memory_bytes as f64))?;
        self.each(encoder, &m::POOL_FLOOR_LOG2, |p| sizes(p).floor_log2.map(f64::from))?;
        self.each(encoder, &m::POOL_QUARANTINED_SAMPLES, |p| {
            Some(p.stats.store.quarantine.set_aside as f64)
        })?;
        self.each(encoder, &m::POOL_BLOCKED_SAMPLES, |p| Some(p.stats.store.quarantine.blocked as f64))?;
        self.each(encoder, &m::POOL_QUARANTINE_THRESHOLD, |p| p.stats.quarantine_threshold.map(f64::from))?;
        self.each(encoder, &m::POOL_STEP, |p| p.stats.run.as_ref().map(|run| run.step as f64))?;
        self.each(encoder, &m::POOL_TICK, |p| p.stats.run.as_ref().map(|run| run.tick as f64))?;
        self.each(encoder, &m::POOL_FLOW_BALANCE, |p| p.stats.flow_balance)?;
        self.each(encoder, &m::POOL_WORKERS, |p| Some(p.reporting as f64))?;
        self.each(encoder, &m::POOL_WORKER_LAG_SECONDS, |p| p.lag_seconds)
    }

    /// Writes some values of each pool, each with its value of `label`.
    fn each_by<I: IntoIterator<Item = (&'static str, u64)>>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        metric: &Metric,
        label: &str,
        values: impl Fn(&PoolSnapshot) -> I,
    ) -> Result<(), Error> {
        family(encoder, metric, |f| {
            for pool in &self.pools {
                for (name, value) in values(pool) {
                    f.value(&[("pool", &pool.id), (label, name)], value as f64)?;
                }
            }
            Ok(())
        })
    }

    fn pool_counters(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        for (metric, value) in POOL_COUNTERS {
            self.each(encoder, metric, |pool| Some(value(pool) as f64))?;
        }
        self.each_by(encoder, &m::POOL_ROWS, "outcome", |p| p.stats.counters.rows.by_outcome())?;
        self.each_by(encoder, &m::POOL_FILTERED_CANDIDATES, "filter", |p| p.stats.filtered.by_filter())?;
        self.each_by(encoder, &m::POOL_FLOW_WAITS, "side", |p| {
            let c = &p.stats.counters;
            [("report", c.flow_report_waits), ("mine", c.flow_mine_waits)]
        })?;
        self.each_by(encoder, &m::POOL_FLOW_TIMEOUTS, "side", |p| {
            let c = &p.stats.counters;
            [("report", c.flow_report_timeouts), ("mine", c.flow_mine_timeouts)]
        })?;
        self.each_by(encoder, &m::POOL_SERVED_SAMPLES, "source", |p| {
            let c = &p.stats.counters;
            [("hard", c.served_hard), ("background", c.served_background)]
        })?;
        self.pool_durations(encoder, &m::POOL_REPORT_DURATION, |p| &p.reports)?;
        self.pool_durations(encoder, &m::POOL_MINE_DURATION, |p| &p.mines)
    }

    fn pool_durations(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        metric: &Metric,
        counts: impl Fn(&PoolSnapshot) -> &LatencyCounts,
    ) -> Result<(), Error> {
        family(encoder, metric, |f| {
            self.pools.iter().try_for_each(|pool| f.latencies(&[("pool", &pool.id)], counts(pool)))
        })
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(process) = &self.process else { return Ok(()) };
        for (metric, value) in [
            (&m::PROCESS_CPU, Some(process.cpu_seconds)),
            (&m::PROCESS_RESIDENT_MEMORY, Some(process.resident_bytes as f64)),
            (&m::PROCESS_OPEN_FDS, Some(process.open_fds as f64)),
            (&m::PROCESS_MAX_FDS, process.max_fds.map(|limit| limit as f64)),
            (&m::PROCESS_START_TIME, process.start_seconds),
        ] {
            if let Some(value) = value {
                family(encoder, metric, |f| f.value(&[], value))?;
            }
        }
        Ok(())
    }
}
