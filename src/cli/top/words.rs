//! The figures as text, for the screen and for `--once`. Absent and non-finite values are dashes.

use std::fmt::Display;

use super::{app::PoolLine, source::Picture};
use crate::{client::pb, units};

/// Number of ticks over which a rate is averaged.
const RATE_TICKS: usize = 5;
/// A worker without a report for longer than this is marked as silent.
pub(super) const SILENT_SECONDS: f64 = 30.0;
/// The number of figures in a column of the overview.
pub(super) const NUMBERS: usize = 6;
/// The hint that is shown when there are no pools.
pub(super) const NO_POOL: &str = "No pool yet. Create one: hardneg pool create faces --capacity 1000000";
const DASH: &str = "–";

/// A table: its header, and its rows with a flag for rows to highlight. The first column is text.
pub(super) struct Rows {
    pub(super) header: &'static [&'static str],
    pub(super) rows: Vec<(Vec<String>, bool)>,
}

/// A number with three digits and a metric prefix, such as `1.23M`.
pub(super) fn number(value: u64) -> String {
    units::count(value as f64)
}

/// As [`number`], for a value that may be NaN or infinite.
pub(super) fn count(value: f64) -> String {
    if value.is_finite() { units::count(value) } else { DASH.to_owned() }
}

fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| DASH.to_owned(), |value| value.to_string())
}

fn finite(value: f32, digits: usize) -> String {
    if !value.is_finite() {
        return DASH.to_owned();
    }
    let text = format!("{value:.digits$}");
    // Write -0 as 0.
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| matches!(c, '0' | '.')) => zero.to_owned(),
        _ => text,
    }
}

/// A weight, from its log2.
fn power_of_two(log2: f32) -> String {
    if log2.is_finite() { format!("2^{}", finite(log2, 2)) } else { DASH.to_owned() }
}

/// The last ticks that span at most `seconds`.
fn last(ticks: &[pb::ActivityTick], seconds: f64) -> &[pb::ActivityTick] {
    let mut span = 0.0;
    let enough = |tick: &pb::ActivityTick| {
        span += tick.seconds;
        // A tick is about a second long, so allow half a second more.
        span > seconds + 0.5
    };
    let from = ticks.iter().rposition(enough).map_or(0, |at| at + 1);
    &ticks[from..]
}

/// The average over the last ticks, per second.
pub(super) fn rate(ticks: &[pb::ActivityTick], of: fn(&pb::ActivityTick) -> u64) -> Option<f64> {
    let last = &ticks[ticks.len().saturating_sub(RATE_TICKS)..];
    let seconds: f64 = last.iter().map(|tick| tick.seconds).sum();
    (seconds > 0.0).then(|| last.iter().map(of).sum::<u64>() as f64 / seconds)
}

/// Percentiles of the latest tick that had calls, within the last minute.
fn latency(
    ticks: &[pb::ActivityTick],
    of: fn(&pb::ActivityTick) -> Option<pb::LatencyPercentiles>,
) -> [String; 2] {
    let percentiles = last(ticks, 60.0).iter().rev().find_map(of);
    [or_dash(percentiles.map(|p| units::latency(p.p50))), or_dash(percentiles.map(|p| units::latency(p.p99)))]
}

/// The share of the samples served in the last minute that came from the background.
pub(super) fn random_share(ticks: &[pb::ActivityTick]) -> Option<f64> {
    let last = last(ticks, 60.0);
    let random: u64 = last.iter().map(|tick| tick.served_background).sum();
    let all = random + last.iter().map(|tick| tick.served_hard).sum::<u64>();
    (all > 0).then(|| random as f64 / all as f64)
}

/// What the pool is doing, in a few words.
pub(super) fn state(picture: &Picture) -> &'static str {
    let ticks = &picture.activity.ticks;
    if ticks.is_empty() {
        return "new";
    }
    let busy = |of: fn(&pb::ActivityTick) -> u64| rate(ticks, of).is_some_and(|rate| rate > 0.0);
    match (busy(|tick| tick.reported_rows), busy(|tick| tick.mined_batches)) {
        (true, true) => "reported to and mined",
        (true, false) => "reported to, not mined",
        (false, true) => "mined, not reported to",
        (false, false) => "idle",
    }
}

/// The current training run of a pool that ages by steps.
pub(super) fn run(picture: &Picture) -> Option<String> {
    let run = picture.stats.run.as_ref()?;
    let step = units::count(run.step as f64);
    Some(match run.run_id.as_str() {
        "" => format!("step {step}"),
        name => format!("run {}, step {step}", clean(name)),
    })
}

/// Removes control characters from a name, since any client can choose names and they must not control the terminal.
pub(super) fn clean(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn sample_name(id: u64, name: &str) -> String {
    if name.is_empty() { id.to_string() } else { clean(name) }
}

fn by_steps(pool: &pb::Pool) -> bool {
    let decay = pool.spec.as_ref().and_then(|spec| spec.decay);
    matches!(decay.and_then(|decay| decay.half_life), Some(pb::decay::HalfLife::HalfLifeSteps(_)))
}

/// An age in seconds or steps, as the pool ages.
pub(super) fn age(picture: &Picture, value: f64) -> String {
    if by_steps(&picture.pool) { count(value) } else { units::span(value) }
}

/// `123k / 1.00M`
fn fill(pool: &pb::Pool, stats: &pb::PoolStats) -> String {
    let capacity = pool.spec.as_ref().map_or(0, |spec| spec.capacity);
    format!("{} / {}", number(stats.sizes.unwrap_or_default().hard), number(capacity))
}

/// The names and values of a pool's figures, in three columns: traffic, latencies, the store.
pub(super) fn numbers(picture: &Picture) -> [[(&'static str, String); NUMBERS]; 3] {
    let (stats, ticks) = (&picture.stats, &picture.activity.ticks);
    let sizes = stats.sizes.unwrap_or_default();
    let per_second = |of| or_dash(rate(ticks, of).map(count));
    let silent = picture.activity.workers.iter().filter(|worker| is_silent(worker)).count();
    let heard = picture.activity.worker_count;
    let [report_p50, report_p99] = latency(ticks, |tick| tick.report);
    let [mine_p50, mine_p99] = latency(ticks, |tick| tick.mine);
    [
        [
            ("rows/s", per_second(|tick| tick.reported_rows)),
            ("mines/s", per_second(|tick| tick.mined_batches)),
            ("evicted/s", per_second(|tick| tick.evicted)),
            ("random", or_dash(random_share(ticks).map(|share| format!("{:.1} %", share * 100.0)))),
            ("silent", format!("{silent} of {heard}")),
            ("NaN/inf", number(stats.counts.unwrap_or_default().non_finite)),
        ],
        [
            ("report p50", report_p50),
            ("report p99", report_p99),
            ("mine p50", mine_p50),
            ("mine p99", mine_p99),
            ("mined", number(stats.mined_batches)),
            ("shortfalls", number(stats.shortfalls)),
        ],
        [
            ("hard", fill(&picture.pool, stats)),
            ("distinct", count(sizes.distinct)),
            ("floor", sizes.floor_log2.map_or_else(|| "has room".to_owned(), power_of_two)),
            ("memory", units::bytes(stats.memory_bytes)),
            ("reported", number(stats.reported_rows)),
            ("refused", number(stats.rejected_batches)),
        ],
    ]
}

/// Whether a worker has sent no report for longer than [`SILENT_SECONDS`].
pub(super) fn is_silent(worker: &pb::WorkerActivity) -> bool {
    worker.silent_seconds > SILENT_SECONDS
}

/// The table of workers.
pub(super) fn workers(picture: &Picture) -> Rows {
    let row = |worker: &pb::WorkerActivity| {
        let name =
            if worker.worker_id.is_empty() { "(unnamed)".to_owned() } else { clean(&worker.worker_id) };
        let cells = vec![
            name,
            units::span(worker.silent_seconds),
            count(worker.rows_per_second),
            number(worker.rows),
            worker.step.to_string(),
            worker.model_version.to_string(),
        ];
        (cells, is_silent(worker))
    };
    let rows = picture.activity.workers.iter().map(row).collect();
    Rows { header: &["worker", "silent", "rows/s", "rows", "step", "version"], rows }
}

/// The table of the hardest samples.
pub(super) fn hardest(picture: &Picture) -> Rows {
    let row = |sample: &pb::HardSample| {
        let cells = vec![
            sample_name(sample.id, &sample.name),
            finite(sample.score, 4),
            finite(sample.weight_log2, 2),
            age(picture, sample.age),
            sample.serves.to_string(),
            sample.model_version.to_string(),
        ];
        (cells, false)
    };
    let rows = picture.activity.hardest.iter().map(row).collect();
    Rows { header: &["hardest sample", "score", "log2 weight", "age", "serves", "version"], rows }
}

/// The table of noise suspects, whose labels should be checked.
pub(super) fn suspects(picture: &Picture) -> Rows {
    let row = |suspect: &pb::NoiseSuspect| {
        let cells = vec![
            sample_name(suspect.id, &suspect.name),
            finite(suspect.score, 4),
            suspect.reports.to_string(),
            suspect.looks.to_string(),
        ];
        (cells, false)
    };
    let rows = picture.activity.suspects.iter().map(row).collect();
    Rows { header: &["noise suspect", "score", "fresh scores", "looks"], rows }
}

/// The table of the newest model versions.
pub(super) fn versions(picture: &Picture) -> Rows {
    let versions = &picture.activity.versions;
    let stored: u64 = versions.iter().map(|version| version.stored).sum();
    let served: u64 = versions.iter().map(|version| version.served).sum();
    let share = |part: u64, all: u64| match part as f64 / all as f64 * 100.0 {
        _ if all == 0 => DASH.to_owned(),
        percent if part > 0 && percent < 1.0 => "<1 %".to_owned(),
        percent => format!("{percent:.0} %"),
    };
    let row = |version: &pb::VersionCount| {
        let cells =
            vec![version.version.to_string(), share(version.stored, stored), share(version.served, served)];
        (cells, false)
    };
    Rows { header: &["version", "stored", "served"], rows: versions.iter().map(row).collect() }
}

/// The table of pools.
pub(super) fn pools(lines: &[PoolLine]) -> Rows {
    let row = |line: &PoolLine| {
        let cells = vec![
            line.id().to_owned(),
            fill(&line.listed.pool, &line.listed.stats),
            or_dash(line.rows_per_second.map(count)),
            or_dash(line.mines_per_second.map(count)),
            units::bytes(line.listed.stats.memory_bytes),
        ];
        (cells, false)
    };
    Rows {
        header: &["pool", "hard / capacity", "rows/s", "mines/s", "memory"],
        rows: lines.iter().map(row).collect(),
    }
}
