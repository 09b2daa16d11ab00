//! The figures of a pool: the title of each, a sentence on its healthy state, and its drawing.

use maud::{Markup, PreEscaped, html};

use super::chart::{self, Bars, Ink, Line, Scale, Values};
use crate::activity::{Histogram, PoolActivity, Tick};
use crate::units;

/// The longest time that figures over time show, in seconds.
const SECONDS_MAX: f64 = 300.0;

/// One figure.
pub(super) struct Figure {
    /// The id of the HTML element that it fills.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) legend: &'static [(Ink, &'static str)],
    /// What a healthy state looks like, in one sentence.
    pub(super) healthy: &'static str,
    draw: fn(&View<'_>) -> Markup,
}

/// The data from which the figures are drawn.
pub(super) struct View<'a> {
    pub(super) activity: &'a PoolActivity,
    /// The pool ages by steps.
    pub(super) by_steps: bool,
    /// `random_fraction` of the pool's default policy.
    pub(super) random_fraction: f64,
}

impl Figure {
    /// The drawing, with a sentence that says the same.
    pub(super) fn draw(&self, view: &View<'_>) -> Markup {
        (self.draw)(view)
    }
}

const BOTH: &[(Ink, &str)] = &[(Ink::Stored, "stored"), (Ink::Served, "served")];

/// All figures, in the order of the page.
pub(super) const FIGURES: &[Figure] = &[
    Figure {
        id: "reports",
        title: "Scores reported per second",
        legend: &[],
        healthy: "steady while training runs; zero means that no worker reports, and all scores get older",
        draw: |view| over_time(view, Ink::Stored, units::count, |t| t.reported_rows as f64 / t.seconds),
    },
    Figure {
        id: "mines",
        title: "Batches mined per second",
        legend: &[],
        healthy: "the rate of training steps; zero during training means that trainers use their own batches instead",
        draw: |view| over_time(view, Ink::Served, units::count, |t| t.mined_batches as f64 / t.seconds),
    },
    Figure {
        id: "latency",
        title: "Latency",
        legend: &[
            (Ink::Served, "mine p99"),
            (Ink::Fourth, "mine p50"),
            (Ink::Stored, "report p99"),
            (Ink::Third, "report p50"),
        ],
        healthy: "steady, at most a few milliseconds; a p99 far above the p50 means that the server's cores are fully used",
        draw: latency,
    },
    Figure {
        id: "scores",
        title: "Scores: stored and served",
        legend: BOTH,
        healthy: "served is on the harder side of stored, but overlaps it; if nearly all of it is in the last bar, you train on a few outliers only",
        draw: |view| {
            let scores = &view.activity.figures.scores;
            let label = |i: usize| scores.bounds.get(i).map_or_else(String::new, |bound| score(*bound));
            histogram(scores, "Median score", &label, |value| format!("{value:.3}"))
        },
    },
    Figure {
        id: "sources",
        title: "Random share of the served samples",
        legend: &[(Ink::Served, "from the background"), (Ink::Third, "requested by the pool's policy")],
        healthy: "close to the share that the policy requests; far above it means that the hard store is too small for your batches",
        draw: sources,
    },
    Figure {
        id: "ages",
        title: "Age of scores: stored and served",
        legend: BOTH,
        healthy: "served is younger than stored, mostly within a few half-lives; old served scores come from an outdated model",
        draw: |view| {
            let ages = &view.activity.figures.ages;
            let show = if view.by_steps { units::count } else { units::span };
            let label = |i: usize| {
                ages.bounds.get(i).map_or_else(String::new, |bound| show(*bound).replace(".0 ", " "))
            };
            histogram(ages, if view.by_steps { "Median age in steps" } else { "Median age" }, &label, show)
        },
    },
    Figure {
        id: "serves",
        title: "Serves since the last report",
        legend: BOTH,
        healthy: "mostly 0 to 2; samples at 8 and more are trained on repeatedly without a new score: report more often, or set max_serves",
        draw: |view| {
            let serves = &view.activity.figures.serves;
            let last = serves.stored.len().saturating_sub(1);
            categories(serves, &|i| if i == last { format!("{i}+") } else { i.to_string() })
        },
    },
    Figure {
        id: "versions",
        title: "Model versions that scored the samples",
        legend: BOTH,
        healthy: "most served samples have the newest versions; many old versions mean that the half-life is too long for the speed at which the model learns",
        draw: versions,
    },
    Figure {
        id: "floor",
        title: "Floor: the weight below which a new sample is dropped (log2)",
        legend: &[],
        healthy: "rises at first and then levels off; absent while the hard store is not full",
        draw: |view| {
            over_time(
                view,
                Ink::Third,
                |floor| format!("{floor:.2}"),
                |t| t.floor_log2.map_or(f64::NAN, f64::from),
            )
        },
    },
    Figure {
        id: "evictions",
        title: "Samples evicted per second",
        legend: &[],
        healthy: "well below the rate of reported scores; if it is nearly as high, the pool is too small for the data, and hard samples are evicted before they are served",
        draw: |view| over_time(view, Ink::Fourth, units::count, |t| t.evicted as f64 / t.seconds),
    },
];

fn score(value: f64) -> String {
    match value.abs() {
        v if v >= 1_000.0 => units::count(value),
        v if v >= 10.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The time that figures over time show, in seconds: the whole minutes for which there are ticks.
fn span(view: &View<'_>) -> f64 {
    let seconds: f64 = view.activity.ticks.iter().map(|tick| tick.seconds).sum();
    ((seconds / 60.0).ceil() * 60.0).clamp(60.0, SECONDS_MAX)
}

/// A value of each tick, with the tick's time relative to now, in seconds (not positive).
fn points(view: &View<'_>, value: impl Fn(&Tick) -> f64) -> Vec<(f64, f64)> {
    let mut before = 0.0;
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(view.activity.ticks.len());
    for tick in view.activity.ticks.iter().rev() {
        points.push((-before, value(tick)));
        before += tick.seconds;
        if before > SECONDS_MAX {
            break;
        }
    }
    points.reverse();
    points
}

/// The drawing, and the sentence below it.
fn drawn(svg: String, summary: &str) -> Markup {
    html! {
        (PreEscaped(svg))
        p.summary { (summary) }
    }
}

fn nothing(yet: &str) -> Markup {
    html! { p.empty { (yet) } }
}

fn over_time(view: &View<'_>, ink: Ink, show: fn(f64) -> String, value: impl Fn(&Tick) -> f64) -> Markup {
    let points = points(view, value);
    let finite: Vec<f64> = points.iter().map(|p| p.1).filter(|v| v.is_finite()).collect();
    let Some(highest) = finite.iter().copied().reduce(f64::max) else {
        return nothing("Nothing yet.");
    };
    let lowest = finite.iter().copied().fold(highest, f64::min);
    let scale = if lowest < 0.0 { Scale::Fit } else { Scale::FromZero };
    let svg = chart::lines(&[Line { ink, points: &points }], span(view), Values { show, scale });
    let now = points.last().map(|p| p.1).filter(|v| v.is_finite());
    let now = now.map_or_else(|| "nothing".to_owned(), show);
    drawn(svg, &format!("Now {now}; before that {} to {}.", show(lowest), show(highest)))
}

fn latency(view: &View<'_>) -> Markup {
    let of = |value: fn(&Tick) -> Option<f64>| points(view, |tick| value(tick).unwrap_or(f64::NAN));
    let sets = [
        (Ink::Third, of(|t| t.report.map(|p| p.p50))),
        (Ink::Stored, of(|t| t.report.map(|p| p.p99))),
        (Ink::Fourth, of(|t| t.mine.map(|p| p.p50))),
        (Ink::Served, of(|t| t.mine.map(|p| p.p99))),
    ];
    if sets.iter().all(|(_, points)| points.iter().all(|p| p.1.is_nan())) {
        return nothing("No call in the last five minutes.");
    }
    let lines: Vec<Line<'_>> = sets.iter().map(|(ink, points)| Line { ink: *ink, points }).collect();
    let svg = chart::lines(&lines, span(view), Values { show: units::latency, scale: Scale::Log });
    // The latest tick with calls.
    let last = |points: &[(f64, f64)]| {
        points
            .iter()
            .rev()
            .map(|p| p.1)
            .find(|v| v.is_finite())
            .map_or_else(|| "–".to_owned(), units::latency)
    };
    let [report50, report99, mine50, mine99] = sets.map(|(_, points)| last(&points));
    drawn(svg, &format!("Last: mine p50 {mine50}, p99 {mine99}; report p50 {report50}, p99 {report99}."))
}

/// The median, assuming that the samples of a bar are spread evenly over it.
fn median(histogram: &Histogram, counts: &[u64]) -> Option<f64> {
    let half = counts.iter().sum::<u64>() as f64 / 2.0;
    let mut before = 0.0;
    for (bar, count) in counts.iter().map(|count| *count as f64).enumerate() {
        if count > 0.0 && before + count >= half {
            let (low, high) = (*histogram.bounds.get(bar)?, *histogram.bounds.get(bar + 1)?);
            return Some(low + (high - low) * (half - before) / count);
        }
        before += count;
    }
    None
}

fn histogram(
    histogram: &Histogram,
    what: &str,
    label: &dyn Fn(usize) -> String,
    show: fn(f64) -> String,
) -> Markup {
    if histogram.stored.iter().chain(&histogram.served).all(|count| *count == 0) {
        return nothing("No sample yet.");
    }
    let svg =
        chart::bars(&Bars { stored: &histogram.stored, served: &histogram.served, centred: false, label });
    let median = |counts| median(histogram, counts).map_or_else(|| "–".to_owned(), show);
    drawn(
        svg,
        &format!("{what}: stored {}, served {}.", median(&histogram.stored), median(&histogram.served)),
    )
}

fn categories(histogram: &Histogram, label: &dyn Fn(usize) -> String) -> Markup {
    if histogram.stored.iter().chain(&histogram.served).all(|count| *count == 0) {
        return nothing("No sample yet.");
    }
    let svg =
        chart::bars(&Bars { stored: &histogram.stored, served: &histogram.served, centred: true, label });
    let never = histogram.stored.first().copied().unwrap_or(0) as f64;
    let all = histogram.stored.iter().sum::<u64>().max(1) as f64;
    drawn(
        svg,
        &format!(
            "{:.0} % of the stored samples were not served since their last report.",
            never / all * 100.0
        ),
    )
}

fn versions(view: &View<'_>) -> Markup {
    // Oldest first, as time runs.
    let versions: Vec<_> = view.activity.figures.versions.iter().rev().collect();
    let Some(newest) = versions.last() else {
        return nothing("No sample yet.");
    };
    let stored: Vec<u64> = versions.iter().map(|v| v.stored).collect();
    let served: Vec<u64> = versions.iter().map(|v| v.served).collect();
    let label = |i: usize| versions.get(i).map_or_else(String::new, |v| v.version.to_string());
    let svg = chart::bars(&Bars { stored: &stored, served: &served, centred: true, label: &label });
    let share = |count: u64, all: &[u64]| 100.0 * count as f64 / all.iter().sum::<u64>().max(1) as f64;
    drawn(
        svg,
        &format!(
            "Version {}: {:.0} % of the stored samples, {:.0} % of the served samples.",
            newest.version,
            share(newest.stored, &stored),
            share(newest.served, &served)
        ),
    )
}

fn sources(view: &View<'_>) -> Markup {
    let background = points(view, |t| match t.served_hard + t.served_background {
        0 => f64::NAN,
        all => t.served_background as f64 / all as f64,
    });
    if background.iter().all(|p| p.1.is_nan()) {
        return nothing("Nothing served in the last five minutes.");
    }
    let seconds = span(view);
    let asked = [(-seconds, view.random_fraction), (0.0, view.random_fraction)];
    let svg = chart::lines(
        &[Line { ink: Ink::Third, points: &asked }, Line { ink: Ink::Served, points: &background }],
        seconds,
        Values { show: |share| format!("{:.0} %", share * 100.0), scale: Scale::Share },
    );
    let (hard, random) = view
        .activity
        .ticks
        .iter()
        .fold((0, 0), |(hard, random), t| (hard + t.served_hard, random + t.served_background));
    drawn(
        svg,
        &format!(
            "In five minutes {:.1} % random ({} of {} samples); the policy requests {:.1} %.",
            100.0 * random as f64 / (hard + random).max(1) as f64,
            units::count(random as f64),
            units::count((hard + random) as f64),
            view.random_fraction * 100.0
        ),
    )
}
