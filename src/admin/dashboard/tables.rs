//! The numbers and tables of a pool.

use std::sync::Arc;

use maud::{Markup, html};

use crate::activity::stats::PoolStats;
use crate::activity::{HardSample, PoolActivity, Tick};
use crate::pool::Pool;
use crate::units;

/// A worker without a report for longer than this is marked as silent.
const SILENT_SECONDS: f64 = 30.0;
/// Number of ticks over which a rate is averaged.
const RATE_TICKS: usize = 5;
/// The largest number of pools in the list; further pools are only counted.
const POOLS_MAX: usize = 100;

/// The average over the last ticks, per second.
fn rate(ticks: &[Tick], of: fn(&Tick) -> u64) -> f64 {
    let last = &ticks[ticks.len().saturating_sub(RATE_TICKS)..];
    let seconds: f64 = last.iter().map(|tick| tick.seconds).sum();
    last.iter().map(of).sum::<u64>() as f64 / seconds.max(1e-3)
}

/// A pool in the list.
pub(super) struct PoolLine {
    pub(super) id: String,
    pub(super) hard: u64,
}

/// The list of pools, in which the shown one is marked.
pub(super) fn pools(pools: &[PoolLine], shown: Option<&str>) -> Markup {
    html! {
        @if pools.is_empty() {
            p.empty { "No pool yet." }
        } @else {
            ul {
                @for pool in pools.iter().take(POOLS_MAX) {
                    li {
                        a href={ "/?pool=" (pool.id) } aria-current=[(Some(&*pool.id) == shown).then_some("page")] {
                            span.name { (pool.id) }
                            span.size { (units::count(pool.hard as f64)) " hard" }
                        }
                    }
                }
                @if pools.len() > POOLS_MAX {
                    li.more { (pools.len() - POOLS_MAX) " more: /?pool=NAME" }
                }
            }
        }
    }
}

const NOT_FINITE: &str = "Not finite";

/// The numbers at the top of the page.
pub(super) fn kpis(pool: &Pool, activity: &PoolActivity) -> Markup {
    let (stats, ticks) = (&activity.stats, &activity.ticks);
    let capacity = pool.spec().capacity;
    let counters = &stats.counters;
    let floor = stats.sizes.floor_log2.map_or_else(|| "has room".to_owned(), |f| format!("{f:.1}"));
    let percent = 100.0 * stats.sizes.hard as f64 / capacity.max(1) as f64;
    let shortfalls = counters.shortfalls;
    let cards: [(&str, String, String); 8] = [
        (
            "Hard samples",
            units::count(stats.sizes.hard as f64),
            format!("{percent:.0} % of {}", units::count(capacity as f64)),
        ),
        (
            "Distinct ids",
            units::count(stats.sizes.distinct),
            format!("background {}", units::count(stats.sizes.background as f64)),
        ),
        (
            "Reported",
            format!("{}/s", units::count(rate(ticks, |t| t.reported_rows))),
            format!("{} scores so far", units::count(counters.reported_rows as f64)),
        ),
        (
            "Mined",
            format!("{}/s", units::count(rate(ticks, |t| t.mined_batches))),
            format!("{} batches so far", units::count(counters.mined_batches as f64)),
        ),
        ("Floor (log2)", floor, format!("{} evicted", units::count(counters.evicted as f64))),
        ("Short batches", units::count(shortfalls as f64), "fewer samples than requested".to_owned()),
        (
            NOT_FINITE,
            units::count(counters.rows.non_finite as f64),
            format!("scores dropped; {} batches refused", units::count(counters.rejected_batches as f64)),
        ),
        ("Memory", units::bytes(stats.store.memory_bytes), clock(stats)),
    ];
    // Mark it from one in a thousand on, like the alert HardnegNonFiniteScores, because a loss may have diverged.
    let diverged = counters.rows.non_finite.saturating_mul(1000) > counters.reported_rows;
    html! {
        dl {
            @for (name, value, note) in &cards {
                div.late[diverged && *name == NOT_FINITE] { dt { (name) } dd { (value) } dd.note { (note) } }
            }
        }
    }
}

/// Whether the pool ages by time or by steps, and its current run.
fn clock(stats: &PoolStats) -> String {
    match &stats.run {
        None => "ages by time".to_owned(),
        Some(run) if run.run_id.is_empty() => format!("step {}", run.step),
        Some(run) => format!("step {} of run {}", run.step, run.run_id),
    }
}

/// The string key of a sample if it has one, else its id.
fn sample_name(id: u64, name: Option<&Arc<str>>) -> String {
    name.map_or_else(|| id.to_string(), ToString::to_string)
}

fn age(seconds_or_steps: f64, by_steps: bool) -> String {
    if by_steps { units::count(seconds_or_steps) } else { units::span(seconds_or_steps) }
}

/// The table of workers: their rates, and how far they are behind the newest step.
pub(super) fn workers(activity: &PoolActivity, by_steps: bool) -> Markup {
    // The newest step is that of the current run, because workers of the run before may have higher steps.
    let newest_step = activity.stats.run.as_ref().map_or(0, |run| run.step);
    let newest = activity.workers.iter().map(|w| w.model_version).max().unwrap_or(0);
    html! {
        @if activity.workers.is_empty() {
            p.empty { "No worker reported in the last five minutes." }
        } @else {
            table {
                thead { tr {
                    th { "Worker" } th.number { "Silent" } th.number { "Scores/s" } th.number { "Scores" }
                    @if by_steps { th.number { "Step" } th.number { "Steps behind" } }
                    th.number { "Version" } th.number { "Versions behind" }
                } }
                tbody {
                    @for worker in &activity.workers {
                        tr.late[worker.silent_seconds > SILENT_SECONDS] {
                            td { @if worker.worker_id.is_empty() { "(unnamed)" } @else { (worker.worker_id) } }
                            td.number { (units::span(worker.silent_seconds)) }
                            td.number { (units::count(worker.rows_per_second)) }
                            td.number { (units::count(worker.rows as f64)) }
                            @if by_steps { td.number { (worker.step) } td.number { (newest_step.saturating_sub(worker.step)) } }
                            td.number { (worker.model_version) }
                            td.number { (newest - worker.model_version) }
                        }
                    }
                }
            }
            @if activity.worker_count > activity.workers.len() {
                p.note { (activity.worker_count - activity.workers.len()) " more." }
            }
        }
    }
}

/// The table of the hardest samples.
pub(super) fn hardest(activity: &PoolActivity, by_steps: bool) -> Markup {
    html! {
        @if activity.hardest.is_empty() {
            p.empty { "No sample yet." }
        } @else {
            table {
                thead { tr {
                    th { "Sample" } th.number { "Score" } th.number { "Weight (log2)" }
                    th.number { @if by_steps { "Age (steps)" } @else { "Age" } } th.number { "Serves" } th.number { "Version" }
                } }
                tbody { @for sample in &activity.hardest { (row(sample, by_steps)) } }
            }
        }
    }
}

fn row(sample: &HardSample, by_steps: bool) -> Markup {
    html! {
        tr {
            td.id { (sample_name(sample.id, sample.name.as_ref())) }
            td.number { (format!("{:.4}", sample.score)) }
            td.number { (format!("{:.2}", sample.weight_log2)) }
            td.number { (age(sample.age, by_steps)) }
            td.number { (sample.serves) }
            td.number { (sample.model_version) }
        }
    }
}

/// The table of noise suspects, whose labels should be checked.
pub(super) fn suspects(activity: &PoolActivity) -> Markup {
    html! {
        @if activity.suspects.is_empty() {
            p.empty { "None: no sample stayed among the hardest through three fresh scores." }
        } @else {
            table {
                thead { tr {
                    th { "Sample" } th.number { "Score" } th.number { "Fresh scores" } th.number { "Seconds among the hardest" }
                } }
                tbody {
                    @for (suspect, name) in &activity.suspects {
                        tr {
                            td.id { (sample_name(suspect.id, name.as_ref())) }
                            td.number { (format!("{:.4}", suspect.score)) }
                            td.number { (suspect.reports) }
                            td.number { (suspect.looks) }
                        }
                    }
                }
            }
        }
    }
}
