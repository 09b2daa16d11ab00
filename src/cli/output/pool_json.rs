//! A pool and its spec as JSON.

use serde_json::{Value, json};

use super::{
    duration_text,
    json::{number, run_json},
    short_name,
};
use crate::client::pb;

/// A pool as JSON.
pub(in crate::cli) fn pool_json(pool: &pb::Pool) -> Value {
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
    json!({
        "capacity": spec.capacity,
        "background": background,
        "background_rotation": spec.background_rotation.as_ref().map(|rotation| json!({
            "after_reports": rotation.after_reports,
            "disabled": rotation.disabled,
        })),
        "shards": spec.shards,
        "id_kind": short_name(spec.id_kind().as_str_name(), "ID_KIND_"),
        "hardness": hardness,
        "decay": spec.decay.as_ref().map(decay_json),
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
        "anchored": spec.anchored.as_ref().map(anchored_json),
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

fn decay_json(decay: &pb::Decay) -> Value {
    use pb::decay::HalfLife;

    let half_life = match decay.half_life {
        Some(HalfLife::HalfLifeTime(time)) => duration_text(time).into(),
        Some(HalfLife::HalfLifeSteps(steps)) => json!({ "steps": steps }),
        Some(HalfLife::Disabled(_)) => "disabled".into(),
        Some(HalfLife::ScorePerSecond(rate)) => json!({ "score_per_second": rate }),
        Some(HalfLife::ScorePerStep(rate)) => json!({ "score_per_step": rate }),
        None => Value::Null,
    };
    json!({ "half_life": half_life, "max_step_jump": decay.max_step_jump })
}

fn anchored_json(anchored: &pb::AnchoredSpec) -> Value {
    json!({
        "negatives_per_anchor": anchored.negatives_per_anchor,
        "max_anchors": anchored.max_anchors,
        "max_positives_per_anchor": anchored.max_positives_per_anchor,
        "max_vetoes_per_anchor": anchored.max_vetoes_per_anchor,
        "max_pairs": anchored.max_pairs,
        "absolute_margin": anchored.absolute_margin.map(number),
        "relative_margin": anchored.relative_margin.map(number),
        "anchor_id_kind": short_name(anchored.anchor_id_kind().as_str_name(), "ID_KIND_"),
        "anchors_are_samples": anchored.anchors_are_samples,
    })
}

/// A mining policy as JSON.
pub(in crate::cli) fn policy_json(policy: &pb::MiningPolicy) -> Value {
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
