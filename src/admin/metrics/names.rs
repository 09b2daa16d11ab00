//! The table of all metrics: name, labels and meaning. docs/metrics.md is made from it, and a test compares it with the metrics of a
//! server. Names contain the units. The configuration bounds the number of values of each label; clients cannot add values.

use std::fmt::Write as _;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that can rise and fall.
    Gauge,
    /// A count that only rises, until the server restarts or the pool is deleted.
    Counter,
    /// Counts by upper bound, as `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// The name as exposed, with its unit.
    pub name: &'static str,
    /// Gauge, counter or histogram.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts, and in which unit.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $constant: Metric =
                Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };
        )*
        /// All metrics, in the order of the page.
        pub static METRICS: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    BUILD_INFO Gauge "hardneg_build_info" ["version"] "Always 1; the label has the server's version";
    READY Gauge "hardneg_ready" [] "1 while the server accepts requests, 0 while it drains";
    POOLS Gauge "hardneg_pools" [] "Pools";
    LIMIT Gauge "hardneg_limit" ["limit"] "The configured limits of other gauges";
    GRPC_CONNECTIONS Gauge "hardneg_grpc_connections" [] "Open gRPC connections";
    GRPC_INFLIGHT_REQUESTS Gauge "hardneg_grpc_inflight_requests" ["method"] "Calls in progress, including open streams";
    GRPC_REQUESTS Counter "hardneg_grpc_requests_total" ["method", "code"] "Finished calls by code; a stream is one call";
    GRPC_REQUEST_DURATION Histogram "hardneg_grpc_request_duration_seconds" ["method"]
        "Duration of calls, from the headers to the last byte; for streams, how long they were open";
    INFLIGHT_MINES Gauge "hardneg_inflight_mines" [] "Mining calls in progress, over all pools";
    WAITING_MINES Gauge "hardneg_waiting_mines" [] "Calls that wait for a pool to fill, for their round to be drawn, or for the rate limiter of a pool, over all pools";
    INFLIGHT_REPORTS Gauge "hardneg_inflight_reports" [] "Unary reports in progress, over all pools";

    POOL_HARD_SAMPLES Gauge "hardneg_pool_hard_samples" ["pool"] "Samples in the hard store";
    POOL_CAPACITY_SAMPLES Gauge "hardneg_pool_capacity_samples" ["pool"] "Samples that the hard store may hold";
    POOL_BACKGROUND_SAMPLES Gauge "hardneg_pool_background_samples" ["pool"] "Samples in the background that is served";
    POOL_LEASED_SAMPLES Gauge "hardneg_pool_leased_samples" ["pool"] "Samples that are leased, and therefore not served";
    POOL_WORN_SAMPLES Gauge "hardneg_pool_worn_samples" ["pool"] "Samples that were served max_serves times, and are not served until they are reported";
    POOL_DISTINCT_SAMPLES Gauge "hardneg_pool_distinct_samples" ["pool"]
        "Distinct ids reported; an estimate once there are more than the background holds";
    POOL_CLOSED_LOOP_RATIO Gauge "hardneg_pool_closed_loop_ratio" ["pool"]
        "The number of ids that the hard store and the background together represent, divided by the number of distinct ids; differs from 1 where the hard store depends on the background";
    POOL_MEMORY_BYTES Gauge "hardneg_pool_memory_bytes" ["pool"] "Bytes of the store and the quarantine, including indexes and free space";
    POOL_FLOOR_LOG2 Gauge "hardneg_pool_floor_log2" ["pool"]
        "log2 of the lowest weight in the hard store, which a new sample must exceed; absent while the hard store is not full";
    POOL_QUARANTINED_SAMPLES Gauge "hardneg_pool_quarantined_samples" ["pool"] "Samples in quarantine";
    POOL_BLOCKED_SAMPLES Gauge "hardneg_pool_blocked_samples" ["pool"] "Blocked samples, whose reports are ignored";
    POOL_QUARANTINE_THRESHOLD Gauge "hardneg_pool_quarantine_threshold" ["pool"]
        "The raw score above which reports count for the quarantine (its running quantile); absent without a quarantine rule, or before 1,000 rows";
    POOL_STEP Gauge "hardneg_pool_step" ["pool"] "The highest step of the current training run; absent in pools that age by time";
    POOL_TICK Gauge "hardneg_pool_tick" ["pool"] "The highest tick: training steps by which the pool has aged, over all runs; absent in pools that age by time";
    POOL_FLOW_BALANCE Gauge "hardneg_pool_flow_balance_samples" ["pool"]
        "The balance of the rate limiter: reported x mined_per_reported - mined; absent in pools without a flow";
    POOL_WORKERS Gauge "hardneg_pool_workers" ["pool"] "Workers that reported in the last minute";
    POOL_WORKER_LAG_SECONDS Gauge "hardneg_pool_worker_lag_seconds" ["pool"]
        "The longest time since the last report of a worker, over workers that reported in the last five minutes; absent when there are none";

    POOL_REPORTED_ROWS Counter "hardneg_pool_reported_rows_total" ["pool"]
        "Rows of applied batches, including non-finite ones; rows of resends are not counted again";
    POOL_REPORTED_BATCHES Counter "hardneg_pool_reported_batches_total" ["pool"] "Applied batches of reports";
    POOL_REJECTED_BATCHES Counter "hardneg_pool_rejected_batches_total" ["pool"] "Batches of reports that were refused as a whole";
    POOL_DUPLICATE_BATCHES Counter "hardneg_pool_duplicate_batches_total" ["pool"]
        "Batches of reports that were resent after they had been applied, or while they were being applied";
    POOL_ROWS Counter "hardneg_pool_rows_total" ["pool", "outcome"]
        "Rows by outcome: inserted, updated, background_only, dropped, non_finite, coalesced, duplicate, stale, out_of_range, quarantined, blocked, anchor_limit, not_negative";
    POOL_EVICTED_SAMPLES Counter "hardneg_pool_evicted_samples_total" ["pool"]
        "Samples that harder ones pushed out of the hard store";
    POOL_REMOVED_SAMPLES Counter "hardneg_pool_removed_samples_total" ["pool"] "Samples removed on request: RemoveSamples, BlockSamples, ClearPool";
    POOL_EXPIRED_SAMPLES Counter "hardneg_pool_expired_samples_total" ["pool"] "Samples removed because their last report was older than sample_ttl";
    POOL_SET_ASIDE_SAMPLES Counter "hardneg_pool_set_aside_samples_total" ["pool"] "Samples set aside in quarantine";
    POOL_RELEASED_SAMPLES Counter "hardneg_pool_released_samples_total" ["pool"] "Samples released from quarantine";
    POOL_QUARANTINE_OVERFLOWS Counter "hardneg_pool_quarantine_overflows_total" ["pool"]
        "Samples that the rule would have set aside, had the quarantine not been full";
    POOL_REFUSED_PAIRS Counter "hardneg_pool_refused_pairs_total" ["pool"]
        "Known positives and vetoes of anchors that were refused because a limit was reached";
    POOL_CLAMPED_SCORES Counter "hardneg_pool_clamped_scores_total" ["pool"]
        "Scores whose log2 weight was clamped to +-4,096";
    POOL_FLOORED_SCORES Counter "hardneg_pool_floored_scores_total" ["pool"]
        "Scores below 0 in a pool with POWER hardness, where all of them have the same weight";
    POOL_MINED_BATCHES Counter "hardneg_pool_mined_batches_total" ["pool"] "Mined batches";
    POOL_SERVED_SAMPLES Counter "hardneg_pool_served_samples_total" ["pool", "source"]
        "Samples of mined batches by source: hard or background";
    POOL_SHORT_BATCHES Counter "hardneg_pool_short_batches_total" ["pool"] "Mined batches smaller than requested";
    POOL_FILTERED_CANDIDATES Counter "hardneg_pool_filtered_candidates_total" ["pool", "filter"]
        "Candidates of mined batches that were rejected, by the first filter that rejected them";
    POOL_PROPOSALS Counter "hardneg_pool_proposals_total" ["pool"]
        "Proposals that the sampler drew; divided by the served samples they are the cost of a draw";
    POOL_ROUNDS Counter "hardneg_pool_rounds_total" ["pool"] "Rounds drawn";
    POOL_ROUND_REPLAYS Counter "hardneg_pool_round_replays_total" ["pool"]
        "Responses with a share of a round that an earlier request had drawn: for other ranks and for retries";
    POOL_CONTROL_BATCHES Counter "hardneg_pool_control_batches_total" ["pool"] "Rounds of the control arm";
    POOL_FLOW_WAITS Counter "hardneg_pool_flow_waits_total" ["pool", "side"]
        "Calls that waited for the rate limiter of the pool, by side: report or mine";
    POOL_FLOW_TIMEOUTS Counter "hardneg_pool_flow_timeouts_total" ["pool", "side"]
        "Calls whose wait for the rate limiter timed out: reports that were refused, mining requests that got fewer samples";
    POOL_BACKGROUND_GENERATIONS Counter "hardneg_pool_background_generations_total" ["pool"]
        "Generations of the background that began";
    POOL_REPORT_DURATION Histogram "hardneg_pool_report_duration_seconds" ["pool"]
        "Duration of reports, from a batch's arrival at the pool to its ack";
    POOL_MINE_DURATION Histogram "hardneg_pool_mine_duration_seconds" ["pool"]
        "Duration of mining, without waits, to the mined batch";

    PROCESS_CPU Counter "process_cpu_seconds_total" [] "CPU time of the process";
    PROCESS_RESIDENT_MEMORY Gauge "process_resident_memory_bytes" [] "Resident memory of the process";
    PROCESS_OPEN_FDS Gauge "process_open_fds" [] "Open file descriptors";
    PROCESS_MAX_FDS Gauge "process_max_fds" [] "File descriptors that the process may open";
    PROCESS_START_TIME Gauge "process_start_time_seconds" [] "Start time of the process, in seconds since 1970";
}

/// The text of docs/metrics.md.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\nThe metrics that `/metrics` exposes, in the OpenMetrics text format. The names contain the units. A label's \
         values are bounded by the server's own limits: `pool` by `max_pools` (the series of a deleted pool end), `method` and \
         `code` by the contract. The `process_*` metrics exist on Linux only.\n\nThe code writes this page from \
         `src/admin/metrics/names.rs`; a test checks that it is current.\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in METRICS {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "| `{}` | {kind} | {labels} | {} |", metric.name, metric.help);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `BLESS=1 cargo test --lib admin::metrics` writes the page.
    #[test]
    fn the_page_is_made_from_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), markdown());
    }

    #[test]
    fn names_follow_the_conventions() {
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        for metric in METRICS {
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.kind != Kind::Histogram || metric.name.ends_with("_seconds"), "{}", metric.name);
            assert_eq!(
                metric.name.starts_with("hardneg_pool_"),
                metric.labels.contains(&"pool"),
                "{}",
                metric.name
            );
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }
}
