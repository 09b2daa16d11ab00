//! A pool's spec and figures as text.

use super::{
    counters::{anchored_counters, counts, stats_counters},
    duration_text, grouped, properties, short_name,
};
use crate::client::{pb, pool_id_of};

fn background(spec: &pb::PoolSpec) -> String {
    use pb::pool_spec::Background;
    match spec.background {
        Some(Background::BackgroundSize(size)) => grouped(size),
        Some(Background::DenseIds(ids)) => format!("all of 0..{}", grouped(ids)),
        None => "default".into(),
    }
}

fn half_life(spec: &pb::PoolSpec) -> String {
    use pb::decay::HalfLife;
    match spec.decay.as_ref().and_then(|decay| decay.half_life) {
        Some(HalfLife::HalfLifeTime(time)) => duration_text(time),
        Some(HalfLife::HalfLifeSteps(steps)) => format!("{steps} steps"),
        Some(HalfLife::Disabled(_)) => "none".into(),
        Some(HalfLife::ScorePerSecond(rate)) => format!("{rate} of the score a second"),
        Some(HalfLife::ScorePerStep(rate)) => format!("{rate} of the score a step"),
        None => "default".into(),
    }
}

fn sample_ttl(spec: &pb::PoolSpec) -> String {
    use pb::pool_spec::SampleTtl;
    match spec.sample_ttl {
        Some(SampleTtl::SampleTtlTime(time)) => duration_text(time),
        Some(SampleTtl::SampleTtlSteps(steps)) => format!("{} steps", grouped(steps)),
        None => "none".into(),
    }
}

/// A pool's row in the table of all pools: name, capacity, background, kind of ids, half-life.
pub(in crate::cli) fn pool_row(pool: &pb::Pool) -> Vec<String> {
    let spec = pool.spec.clone().unwrap_or_default();
    vec![
        pool_id_of(&pool.name).to_owned(),
        grouped(spec.capacity),
        background(&spec),
        short_name(spec.id_kind().as_str_name(), "ID_KIND_"),
        half_life(&spec),
    ]
}

/// A pool's spec and run, one property per line.
pub(in crate::cli) fn describe_pool(pool: &pb::Pool) -> String {
    let spec = pool.spec.clone().unwrap_or_default();
    let run = pool.run.as_ref().map_or("none".to_owned(), |run| {
        format!("{}, step {}, tick {}", run_text(run), grouped(run.step), grouped(run.tick))
    });
    properties(&[
        ("pool", pool_id_of(&pool.name).to_owned()),
        ("uid", pool.uid.to_string()),
        ("etag", pool.etag.clone()),
        ("capacity", grouped(spec.capacity)),
        ("background", background(&spec)),
        ("shards", spec.shards.to_string()),
        ("ids", short_name(spec.id_kind().as_str_name(), "ID_KIND_")),
        ("hardness", hardness(&spec)),
        ("half-life", half_life(&spec)),
        (
            "score update",
            short_name(spec.score_update.unwrap_or_default().rule().as_str_name(), "SCORE_UPDATE_RULE_"),
        ),
        ("policy", policy(&spec)),
        ("serves", serve_limits(&spec)),
        ("anchors", anchored(&spec)),
        ("flow", flow(&spec)),
        ("sample ttl", sample_ttl(&spec)),
        ("control", format!("{} of the rounds", spec.control_fraction)),
        ("quarantine", quarantine(&spec)),
        ("run", run),
        ("payloads", format!("up to {} bytes", spec.max_payload_bytes)),
        ("durability", short_name(spec.durability().as_str_name(), "DURABILITY_")),
    ])
}

fn hardness(spec: &pb::PoolSpec) -> String {
    let hardness = spec.hardness.unwrap_or_default();
    format!(
        "{}{}, offset {}, temperature {}",
        short_name(hardness.function().as_str_name(), "HARDNESS_FUNCTION_"),
        if hardness.lower_is_harder { " (lower is harder)" } else { "" },
        hardness.offset,
        hardness.temperature,
    )
}

fn policy(spec: &pb::PoolSpec) -> String {
    let policy = spec.default_policy.clone().unwrap_or_default();
    let or_default = |value: Option<f64>| value.map_or("default".to_owned(), |value| value.to_string());
    format!(
        "{}, alpha {}, random fraction {}, beta {}, normalization {}, shortfall {}, {} windows",
        short_name(policy.strategy().as_str_name(), "STRATEGY_"),
        or_default(policy.alpha),
        or_default(policy.random_fraction),
        or_default(policy.beta),
        short_name(policy.normalization().as_str_name(), "NORMALIZATION_"),
        short_name(policy.shortfall().as_str_name(), "SHORTFALL_"),
        policy.windows.len(),
    )
}

fn serve_limits(spec: &pb::PoolSpec) -> String {
    let limits = spec.serve_limits.unwrap_or_default();
    format!(
        "penalty {}, at most {}, lease {}",
        limits.serve_penalty,
        if limits.max_serves == 0 { "any number".to_owned() } else { limits.max_serves.to_string() },
        limits.lease.map_or("none".to_owned(), duration_text),
    )
}

fn anchored(spec: &pb::PoolSpec) -> String {
    spec.anchored.as_ref().map_or("none".to_owned(), |anchored| {
        let negatives = grouped(anchored.negatives_per_anchor.into());
        format!("{negatives} negatives of each of {} anchors", grouped(anchored.max_anchors))
    })
}

fn flow(spec: &pb::PoolSpec) -> String {
    spec.flow.map_or("none".to_owned(), |flow| {
        format!("{} samples mined per sample reported, within {}", flow.mined_per_reported, flow.error_buffer)
    })
}

fn quarantine(spec: &pb::PoolSpec) -> String {
    spec.quarantine.map_or("off".to_owned(), |rule| {
        format!(
            "above quantile {} in {} reports, at most {}",
            rule.quantile,
            rule.reports,
            grouped(rule.capacity)
        )
    })
}

/// The run's name, or a text for a run without a name.
fn run_text(run: &pb::Run) -> String {
    if run.run_id.is_empty() { "without a name".to_owned() } else { run.run_id.clone() }
}

/// A pool's statistics, one property per line.
pub(in crate::cli) fn describe_stats(stats: &pb::PoolStats) -> String {
    let sizes = stats.sizes.unwrap_or_default();
    let mut rows = vec![
        ("pool", pool_id_of(&stats.name).to_owned()),
        ("hard", grouped(sizes.hard)),
        ("background", grouped(sizes.background)),
        ("distinct", format!("{:.0}", sizes.distinct)),
        ("background_probability", format!("{:.6}", sizes.background_probability)),
        ("closed_loop_ratio", format!("{:.4}", sizes.closed_loop_ratio)),
        (
            "floor_log2",
            sizes.floor_log2.map_or("none: there is room".to_owned(), |floor| format!("{floor:.3}")),
        ),
    ];
    if let Some(in_score) = stats.half_life_in_score {
        rows.push(("half_life_in_score", format!("{in_score:.6}")));
    }
    if let Some(run) = &stats.run {
        rows.extend([("run", run_text(run)), ("step", grouped(run.step)), ("tick", grouped(run.tick))]);
    }
    if let Some(anchored) = &stats.anchored {
        rows.extend(anchored_counters(anchored).map(|(name, count)| (name, grouped(count))));
    }
    let reported = stats.counts.unwrap_or_default();
    rows.extend(counts(&reported).map(|(name, count)| (name, grouped(count))));
    rows.extend(stats_counters(stats).map(|(name, count)| (name, grouped(count))));
    properties(&rows)
}
