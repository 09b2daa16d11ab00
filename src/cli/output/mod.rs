//! Standard output: tables for people, JSON for programs.

use std::io::{self, Write as _};

use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};
use serde_json::{Value, json};

use super::flags::values::short_name;
use crate::client::{Ids, pb};

/// Writes to standard output; a closed pipe is an error that ends the program quietly.
pub(super) fn print(text: &str) -> io::Result<()> {
    if cfg!(test) {
        // The test harness captures the macro's output only.
        print!("{text}");
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes a line to standard error, for people; unlike `eprintln!` without a panic when nobody listens.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a JSON document.
pub(super) fn print_json(value: &Value) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(print(&text)?)
}

/// A table without lines; columns in `right` are aligned to the right.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.into_iter().map(Cell::new));
    }
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// Name and value a line.
pub(super) fn properties(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A floating-point number; JSON has no NaN.
pub(super) fn number(value: f32) -> Value {
    if value.is_finite() {
        // Through its shortest decimal form: 0.1_f32 is 0.1, not 0.10000000149.
        value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
    } else {
        Value::Null
    }
}

/// A column of floating-point numbers.
pub(super) fn floats_json(column: &[f32]) -> Value {
    column.iter().copied().map(number).collect()
}

/// A column of ids.
pub(super) fn ids_json(ids: &Ids) -> Value {
    match ids {
        Ids::U64(ids) => json!(ids),
        Ids::Keys(keys) => json!(keys),
    }
}

/// Rows as CSV.
pub(super) fn csv_text(header: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.flush()?;
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8(bytes)?)
}

/// The counts of reported rows, none left out.
pub(super) fn counts(counts: &pb::ReportCounts) -> [(&'static str, u64); 13] {
    [
        ("inserted", counts.inserted),
        ("updated", counts.updated),
        ("background_only", counts.background_only),
        ("dropped", counts.dropped),
        ("non_finite", counts.non_finite),
        ("coalesced", counts.coalesced),
        ("duplicate", counts.duplicate),
        ("stale", counts.stale),
        ("out_of_range", counts.out_of_range),
        ("anchor_limit", counts.anchor_limit),
        ("not_negative", counts.not_negative),
        ("quarantined", counts.quarantined),
        ("blocked", counts.blocked),
    ]
}

/// The counts as JSON.
pub(super) fn counts_json(report: &pb::ReportCounts) -> Value {
    counts(report)
        .into_iter()
        .map(|(name, count)| (name.to_owned(), Value::from(count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// A pool as JSON.
pub(super) fn pool_json(pool: &pb::Pool) -> Value {
    let create_time = pool
        .create_time
        .and_then(|time| std::time::SystemTime::try_from(time).ok())
        .map(|time| humantime::format_rfc3339_millis(time).to_string());
    json!({
        "name": pool.name,
        "uid": pool.uid.to_string(),
        "etag": pool.etag,
        "create_time": create_time,
        "spec": pool.spec.as_ref().map(spec_json),
        "run": pool.run.as_ref().map(run_json),
    })
}

fn spec_json(spec: &pb::PoolSpec) -> Value {
    use pb::decay::HalfLife;
    use pb::pool_spec::{Background, SampleTtl};

    let background = match spec.background {
        Some(Background::BackgroundSize(size)) => json!({ "background_size": size }),
        Some(Background::DenseIds(ids)) => json!({ "dense_ids": ids }),
        None => Value::Null,
    };
    let hardness = spec.hardness.as_ref().map(|hardness| {
        json!({
            "function": short_name(hardness.function().as_str_name(), "HARDNESS_FUNCTION_"),
            "lower_is_harder": hardness.lower_is_harder,
            "offset": hardness.offset,
            "temperature": hardness.temperature,
        })
    });
    let decay = spec.decay.as_ref().map(|decay| {
        let half_life = match decay.half_life {
            Some(HalfLife::HalfLifeTime(time)) => duration_text(time).into(),
            Some(HalfLife::HalfLifeSteps(steps)) => json!({ "steps": steps }),
            Some(HalfLife::Disabled(_)) => "disabled".into(),
            None => Value::Null,
        };
        json!({ "half_life": half_life, "max_step_jump": decay.max_step_jump })
    });
    let rotation = spec.background_rotation.as_ref().map(|rotation| {
        json!({
            "after_reports": rotation.after_reports,
            "disabled": rotation.disabled,
        })
    });
    json!({
        "capacity": spec.capacity,
        "background": background,
        "background_rotation": rotation,
        "shards": spec.shards,
        "id_kind": short_name(spec.id_kind().as_str_name(), "ID_KIND_"),
        "hardness": hardness,
        "decay": decay,
        "score_update": spec.score_update.as_ref().map(|update| json!({
            "rule": short_name(update.rule().as_str_name(), "SCORE_UPDATE_RULE_"),
            "ema_weight": update.ema_weight,
        })),
        "default_policy": spec.default_policy.as_ref().map(policy_json),
        "serve_limits": spec.serve_limits.as_ref().map(|limits| json!({
            "serve_penalty": limits.serve_penalty,
            "max_serves": limits.max_serves,
            "lease": limits.lease.map(duration_text),
        })),
        "max_payload_bytes": spec.max_payload_bytes,
        "quarantine": spec.quarantine.as_ref().map(|rule| json!({
            "quantile": rule.quantile,
            "reports": rule.reports,
            "capacity": rule.capacity,
        })),
        "kind": short_name(spec.kind().as_str_name(), "POOL_KIND_"),
        "anchored": spec.anchored.as_ref().map(|anchored| json!({
            "negatives_per_anchor": anchored.negatives_per_anchor,
            "max_anchors": anchored.max_anchors,
            "max_positives_per_anchor": anchored.max_positives_per_anchor,
            "max_vetoes_per_anchor": anchored.max_vetoes_per_anchor,
            "max_pairs": anchored.max_pairs,
            "absolute_margin": anchored.absolute_margin.map(number),
            "relative_margin": anchored.relative_margin.map(number),
            "anchor_id_kind": short_name(anchored.anchor_id_kind().as_str_name(), "ID_KIND_"),
        })),
        "flow": spec.flow.as_ref().map(|flow| json!({
            "mined_per_reported": flow.mined_per_reported,
            "error_buffer": flow.error_buffer,
            "min_reported": flow.min_reported,
            "max_wait": flow.max_wait.map(duration_text),
        })),
        "control_fraction": spec.control_fraction,
        "sample_ttl": spec.sample_ttl.as_ref().map(|ttl| match ttl {
            SampleTtl::SampleTtlTime(time) => duration_text(*time).into(),
            SampleTtl::SampleTtlSteps(steps) => json!({ "steps": steps }),
        }),
        "durability": short_name(spec.durability().as_str_name(), "DURABILITY_"),
    })
}

/// A mining policy as JSON.
pub(super) fn policy_json(policy: &pb::MiningPolicy) -> Value {
    use pb::window::Kind;

    let windows: Vec<Value> = policy
        .windows
        .iter()
        .filter_map(|window| window.kind.as_ref())
        .map(|kind| match kind {
            Kind::Score(w) => json!({ "score": { "min": w.min, "max": w.max } }),
            Kind::Rank(w) => json!({ "rank": { "min": w.min, "max": w.max } }),
            Kind::Quantile(w) => json!({ "quantile": { "min": w.min, "max": w.max } }),
            Kind::Age(w) => json!({ "age": { "min": w.min, "max": w.max } }),
            Kind::ModelVersion(w) => json!({ "model_version": { "min": w.min, "max": w.max } }),
        })
        .collect();
    json!({
        "strategy": short_name(policy.strategy().as_str_name(), "STRATEGY_"),
        "alpha": policy.alpha,
        "random_fraction": policy.random_fraction,
        "beta": policy.beta,
        "normalization": short_name(policy.normalization().as_str_name(), "NORMALIZATION_"),
        "shortfall": short_name(policy.shortfall().as_str_name(), "SHORTFALL_"),
        "windows": windows,
        "balance": policy.balance.as_ref().map(balance_json),
        "curriculum": policy.curriculum.as_ref().map(curriculum_json),
    })
}

fn balance_json(balance: &pb::Balance) -> Value {
    use pb::stratum_cap::Limit;

    let caps: Vec<Value> = balance
        .stratum_caps
        .iter()
        .map(|cap| match cap.limit {
            Some(Limit::MaxFraction(share)) => json!({ "stratum": cap.stratum, "max_fraction": share }),
            Some(Limit::MaxCount(samples)) => json!({ "stratum": cap.stratum, "max_count": samples }),
            None => json!({ "stratum": cap.stratum }),
        })
        .collect();
    json!({
        "max_stratum_fraction": balance.max_stratum_fraction,
        "stratum_caps": caps,
        "equal_shares": balance.equal_shares,
        "min_per_stratum": balance.min_per_stratum,
        "max_per_group": balance.max_per_group,
    })
}

fn curriculum_json(curriculum: &pb::Curriculum) -> Value {
    let schedule = |schedule: &Option<pb::Schedule>| {
        schedule.as_ref().map(|schedule| {
            json!({
                "shape": short_name(schedule.shape().as_str_name(), "SCHEDULE_SHAPE_"),
                "from": schedule.from,
                "to": schedule.to,
                "begin_step": schedule.begin_step,
                "end_step": schedule.end_step,
            })
        })
    };
    json!({
        "warmup_steps": curriculum.warmup_steps,
        "alpha": schedule(&curriculum.alpha),
        "random_fraction": schedule(&curriculum.random_fraction),
        "beta": schedule(&curriculum.beta),
        "quantile_min": schedule(&curriculum.quantile_min),
        "quantile_max": schedule(&curriculum.quantile_max),
    })
}

/// Candidates that each filter turned away, as JSON.
pub(super) fn filtered_json(filtered: &pb::FilterCounts) -> Value {
    json!({
        "excluded": filtered.excluded,
        "known_positives": filtered.known_positives,
        "vetoed": filtered.vetoed,
        "leased": filtered.leased,
        "max_serves": filtered.max_serves,
        "model_version": filtered.model_version,
        "age": filtered.age,
        "score": filtered.score,
        "positive_aware": filtered.positive_aware,
        "rank": filtered.rank,
        "stratum": filtered.stratum,
        "group": filtered.group,
        "unscored_passed": filtered.unscored_passed,
    })
}

/// A pool's sizes as JSON.
pub(super) fn sizes_json(sizes: &pb::PoolSizes) -> Value {
    json!({
        "hard": sizes.hard,
        "background": sizes.background,
        "distinct": sizes.distinct,
        "background_probability": sizes.background_probability,
        "closed_loop_ratio": sizes.closed_loop_ratio,
        "floor_log2": sizes.floor_log2.map(number),
    })
}

/// A pool's current run as JSON.
pub(super) fn run_json(run: &pb::Run) -> Value {
    json!({ "run_id": run.run_id, "first_step": run.first_step, "step": run.step, "tick": run.tick })
}

/// A pool's figures as JSON.
pub(super) fn stats_json(stats: &pb::PoolStats) -> Value {
    let mut value = json!({
        "name": stats.name,
        "uid": stats.uid.to_string(),
        "sizes": stats.sizes.as_ref().map(sizes_json),
        "counts": counts_json(&stats.counts.unwrap_or_default()),
        "run": stats.run.as_ref().map(run_json),
        "filtered": stats.filtered.as_ref().map(filtered_json),
        "anchored": stats.anchored.as_ref().map(|anchored| {
            anchored_counters(anchored).into_iter().collect::<std::collections::BTreeMap<_, _>>()
        }),
    });
    for (name, count) in stats_counters(stats) {
        value[name] = count.into();
    }
    value
}

/// What an anchored pool holds, and what it had no room for.
pub(super) fn anchored_counters(stats: &pb::AnchoredStats) -> [(&'static str, u64); 6] {
    [
        ("anchors", stats.anchors),
        ("negatives", stats.negatives),
        ("positives", stats.positives),
        ("vetoes", stats.vetoes),
        ("anchors_refused", stats.anchors_refused),
        ("pairs_refused", stats.pairs_refused),
    ]
}

/// The plain counters of a pool's figures.
pub(super) fn stats_counters(stats: &pb::PoolStats) -> [(&'static str, u64); 27] {
    [
        ("reported_rows", stats.reported_rows),
        ("reported_batches", stats.reported_batches),
        ("rejected_batches", stats.rejected_batches),
        ("duplicate_batches", stats.duplicate_batches),
        ("evicted", stats.evicted),
        ("removed", stats.removed),
        ("expired", stats.expired),
        ("clamped", stats.clamped),
        ("floored", stats.floored),
        ("in_quarantine", stats.quarantined),
        ("quarantine_overflows", stats.quarantine_overflows),
        ("blocked_samples", stats.blocked),
        ("trusted_samples", stats.trusted),
        ("set_aside", stats.set_aside),
        ("released", stats.released),
        ("mined_batches", stats.mined_batches),
        ("served_hard", stats.served_hard),
        ("served_background", stats.served_background),
        ("shortfalls", stats.shortfalls),
        ("proposals", stats.proposals),
        ("background_generations", stats.background_generations),
        ("distinct_by_witness", stats.distinct_by_witness),
        ("leased", stats.leased),
        ("rounds", stats.rounds),
        ("round_replays", stats.round_replays),
        ("control_batches", stats.control_batches),
        ("memory_bytes", stats.memory_bytes),
    ]
}

/// A duration as `1h 30m`.
pub(super) fn duration_text(duration: prost_types::Duration) -> String {
    std::time::Duration::try_from(duration).map_or_else(
        |_| format!("{}s", duration.seconds),
        |duration| humantime::format_duration(duration).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_anchors_hold_and_what_was_refused_is_shown() {
        let anchored = pb::AnchoredStats { anchors: 3, pairs_refused: 7, ..Default::default() };
        let value = stats_json(&pb::PoolStats { anchored: Some(anchored), ..Default::default() });
        assert_eq!(
            (&value["anchored"]["anchors"], &value["anchored"]["pairs_refused"]),
            (&json!(3), &json!(7))
        );
        assert_eq!(stats_json(&pb::PoolStats::default())["anchored"], Value::Null);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(number(0.1), json!(0.1));
        assert_eq!(number(f32::NAN), Value::Null);
    }
}
