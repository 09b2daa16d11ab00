//! Decodes pool specs, whose absent fields get their defaults, and encodes specs with every field set.

use std::time::Duration;

use super::{anchored, duration, duration_message, flow, policy, quarantine, variant};
use crate::model::error::PoolError;
use crate::model::hardness::half_life_in_score;
use crate::model::limits::Limits;
use crate::model::spec::{
    BackgroundRotation, DEFAULT_MAX_STEP_JUMP, Decay, IdKind, PoolSpec, SampleTtl, ServeLimits,
};
use crate::model::spec_change::SpecChange;
use crate::proto::v1::{self as pb, decay::HalfLife, pool_spec::Background};
use crate::store::key::{Hardness, HardnessFunction};
use crate::store::{BackgroundSpec, ScoreUpdate};

/// The defaults of `hardness.offset` (docs/methods.md 2.1), `hardness.temperature` and `score_update.ema_weight`.
const OFFSET: f64 = 1e-3;
const TEMPERATURE: f64 = 1.0;
const EMA_WEIGHT: f64 = 0.5;

/// The spec that a message describes. The pool layer checks the ranges.
///
/// # Errors
/// `Invalid` or `Unimplemented`, naming the field.
pub(crate) fn decode(message: pb::PoolSpec, limits: &Limits) -> Result<PoolSpec, PoolError> {
    let defaults = PoolSpec::defaults(limits);
    let anchored = anchored::decode_spec(&message, limits)?;
    let hardness = decode_hardness("pool.spec.hardness", message.hardness)?;
    match variant("pool.spec.durability", message.durability)? {
        pb::Durability::Unspecified | pb::Durability::None => {}
        pb::Durability::Async | pb::Durability::Sync => {
            return Err(PoolError::Unimplemented("pool.spec.durability".into()));
        }
    }
    let background = match message.background {
        None | Some(Background::BackgroundSize(0)) => defaults.background,
        Some(Background::BackgroundSize(size)) => {
            BackgroundSpec::Sampled { size: usize::try_from(size).unwrap_or(usize::MAX) }
        }
        Some(Background::DenseIds(ids)) => BackgroundSpec::Dense { ids },
    };
    let capacity = match (&anchored, message.capacity) {
        (Some(anchored), _) => anchored.capacity(),
        (None, 0) => defaults.capacity,
        (None, capacity) => capacity,
    };
    Ok(PoolSpec {
        capacity,
        background,
        rotation: decode_rotation(message.background_rotation, background),
        shards: match message.shards {
            0 => PoolSpec::default_shards(capacity, background),
            shards => shards,
        },
        id_kind: match variant("pool.spec.id_kind", message.id_kind)? {
            pb::IdKind::Unspecified | pb::IdKind::U64 => IdKind::U64,
            pb::IdKind::String => IdKind::Name,
        },
        hardness,
        decay: decode_decay(message.decay, defaults.decay, &hardness)?,
        score_update: decode_score_update(message.score_update)?,
        default_policy: policy::decode("pool.spec.default_policy", message.default_policy)?,
        serve_limits: decode_serve_limits(message.serve_limits)?,
        max_payload_bytes: message.max_payload_bytes,
        control_fraction: message.control_fraction,
        sample_ttl: decode_ttl(message.sample_ttl)?,
        flow: flow::decode(message.flow)?,
        quarantine: message.quarantine.map(quarantine::decode),
        anchored,
    })
}

/// The change that an update mask picks from a spec.
///
/// # Errors
/// `Invalid` for a path that may not change, or a field that is wrong.
pub(crate) fn decode_change(
    message: &pb::PoolSpec,
    paths: &[String],
    current: &PoolSpec,
) -> Result<SpecChange, PoolError> {
    if paths.is_empty() {
        return Err(PoolError::invalid("update_mask", "names no path: say which fields to change"));
    }
    let mut change = SpecChange::default();
    for (i, path) in paths.iter().enumerate() {
        match path.as_str() {
            "spec.decay" => {
                change.decay = Some(decode_decay(message.decay, current.decay, &current.hardness)?);
            }
            "spec.default_policy" => {
                change.default_policy =
                    Some(policy::decode("pool.spec.default_policy", message.default_policy.clone())?);
            }
            "spec.serve_limits" => change.serve_limits = Some(decode_serve_limits(message.serve_limits)?),
            "spec.background_rotation" => {
                change.rotation = Some(decode_rotation(message.background_rotation, current.background));
            }
            "spec.score_update" => change.score_update = Some(decode_score_update(message.score_update)?),
            "spec.flow" => change.flow = Some(flow::decode(message.flow)?),
            "spec.control_fraction" => change.control_fraction = Some(message.control_fraction),
            "spec.sample_ttl" => change.sample_ttl = Some(decode_ttl(message.sample_ttl)?),
            "spec.quarantine" => change.quarantine = Some(message.quarantine.map(quarantine::decode)),
            other => {
                let shown: String = other.chars().take(80).collect();
                return Err(PoolError::invalid(
                    format!("update_mask.paths[{i}]"),
                    format!(
                        "`{}` cannot change in a live pool; spec.decay, spec.default_policy, spec.serve_limits, \
                         spec.background_rotation, spec.score_update, spec.control_fraction, spec.sample_ttl, \
                         spec.flow and spec.quarantine can",
                        shown.escape_debug()
                    ),
                ));
            }
        }
    }
    Ok(change)
}

/// The value, or its default where it is 0.
fn or_default(value: f64, default: f64) -> f64 {
    if value == 0.0 { default } else { value }
}

/// A hardness, with its defaults; errors name fields below `prefix`.
pub(super) fn decode_hardness(prefix: &str, message: Option<pb::Hardness>) -> Result<Hardness, PoolError> {
    let message = message.unwrap_or_default();
    let function = match variant(&format!("{prefix}.function"), message.function)? {
        pb::HardnessFunction::Unspecified | pb::HardnessFunction::Power => {
            HardnessFunction::Power { offset: or_default(message.offset, OFFSET) as f32 }
        }
        pb::HardnessFunction::Exponential => {
            HardnessFunction::Exponential { temperature: or_default(message.temperature, TEMPERATURE) as f32 }
        }
    };
    Ok(Hardness { function, lower_is_harder: message.lower_is_harder })
}

/// Decodes the decay of a pool of this hardness; an absent half-life means `otherwise`.
fn decode_decay(
    message: Option<pb::Decay>,
    otherwise: Decay,
    hardness: &Hardness,
) -> Result<Decay, PoolError> {
    let message = message.unwrap_or_default();
    Ok(match message.half_life {
        None => match otherwise {
            Decay::Steps { half_life, .. } if message.max_step_jump != 0 => {
                Decay::Steps { half_life, max_step_jump: message.max_step_jump }
            }
            otherwise => otherwise,
        },
        Some(HalfLife::HalfLifeTime(half_life)) => {
            Decay::Time { half_life: duration("pool.spec.decay.half_life_time", half_life)? }
        }
        Some(HalfLife::HalfLifeSteps(half_life)) => by_steps(half_life, message.max_step_jump),
        Some(HalfLife::ScorePerSecond(rate)) => {
            let seconds = half_life_of("score_per_second", rate, hardness, 1e-3..=100.0 * 366.0 * 86_400.0)?;
            Decay::Time { half_life: Duration::from_secs_f64(seconds) }
        }
        Some(HalfLife::ScorePerStep(rate)) => {
            let steps =
                half_life_of("score_per_step", rate, hardness, f64::MIN_POSITIVE..=(1u64 << 40) as f64)?;
            by_steps(steps, message.max_step_jump)
        }
        Some(HalfLife::Disabled(true)) => Decay::Disabled,
        Some(HalfLife::Disabled(false)) => {
            return Err(PoolError::invalid("pool.spec.decay.disabled", "is false: set a half-life instead"));
        }
    })
}

fn by_steps(half_life: f64, max_step_jump: u64) -> Decay {
    let max_step_jump = if max_step_jump == 0 { DEFAULT_MAX_STEP_JUMP } else { max_step_jump };
    Decay::Steps { half_life, max_step_jump }
}

/// The half-life, in seconds or steps, with which a sample loses `rate` of its score in one of these (docs/methods.md 2.2).
///
/// # Errors
/// `Invalid` naming the field, under POWER and where the half-life is not within `range`.
fn half_life_of(
    field: &str,
    rate: f64,
    hardness: &Hardness,
    range: std::ops::RangeInclusive<f64>,
) -> Result<f64, PoolError> {
    let field = format!("pool.spec.decay.{field}");
    let Some(in_score) = half_life_in_score(hardness) else {
        return Err(PoolError::invalid(
            field,
            "needs hardness EXPONENTIAL: under POWER a half-life halves score + offset, and takes no fixed amount",
        ));
    };
    let half_life = in_score / rate;
    // With this comparison NaN is an error as well.
    if rate > 0.0 && range.contains(&half_life) {
        return Ok(half_life);
    }
    Err(PoolError::invalid(
        field,
        format!(
            "{rate} is a half-life of {half_life}, not one of {} to {} (temperature x ln 2 = {in_score})",
            range.start(),
            range.end()
        ),
    ))
}

fn decode_ttl(message: Option<pb::pool_spec::SampleTtl>) -> Result<Option<SampleTtl>, PoolError> {
    Ok(match message {
        None => None,
        Some(pb::pool_spec::SampleTtl::SampleTtlTime(time)) => {
            Some(SampleTtl::Time(duration("pool.spec.sample_ttl_time", time)?))
        }
        Some(pb::pool_spec::SampleTtl::SampleTtlSteps(steps)) => Some(SampleTtl::Steps(steps)),
    })
}

fn encode_ttl(ttl: SampleTtl) -> pb::pool_spec::SampleTtl {
    match ttl {
        SampleTtl::Time(time) => pb::pool_spec::SampleTtl::SampleTtlTime(duration_message(time)),
        SampleTtl::Steps(steps) => pb::pool_spec::SampleTtl::SampleTtlSteps(steps),
    }
}

fn decode_score_update(message: Option<pb::ScoreUpdate>) -> Result<ScoreUpdate, PoolError> {
    let message = message.unwrap_or_default();
    Ok(match variant("pool.spec.score_update.rule", message.rule)? {
        pb::ScoreUpdateRule::Unspecified | pb::ScoreUpdateRule::Last => ScoreUpdate::Last,
        pb::ScoreUpdateRule::Max => ScoreUpdate::Max,
        pb::ScoreUpdateRule::Ema => {
            ScoreUpdate::Ema { weight: or_default(message.ema_weight, EMA_WEIGHT) as f32 }
        }
    })
}

fn decode_serve_limits(message: Option<pb::ServeLimits>) -> Result<ServeLimits, PoolError> {
    let message = message.unwrap_or_default();
    let max_serves = u16::try_from(message.max_serves).map_err(|_| {
        PoolError::invalid(
            "pool.spec.serve_limits.max_serves",
            format!("{} is over {}", message.max_serves, crate::model::spec::MAX_SERVES_LIMIT),
        )
    })?;
    let lease = match message.lease {
        None => Duration::ZERO,
        Some(lease) => duration("pool.spec.serve_limits.lease", lease)?,
    };
    Ok(ServeLimits { serve_penalty: or_default(message.serve_penalty, 1.0), max_serves, lease })
}

fn decode_rotation(
    message: Option<pb::BackgroundRotation>,
    background: BackgroundSpec,
) -> BackgroundRotation {
    let message = message.unwrap_or_default();
    let size = match background {
        BackgroundSpec::Sampled { size } => size as u64,
        BackgroundSpec::Dense { .. } => 0,
    };
    let default = PoolSpec::default_rotation(size);
    let after_reports = match message.after_reports {
        0 => default.after_reports,
        rows => Some(rows),
    };
    BackgroundRotation { after_reports: after_reports.filter(|_| !message.disabled) }
}

/// Encodes a spec with every field set, so that decoding the message gives the same spec.
pub(crate) fn encode(spec: &PoolSpec) -> pb::PoolSpec {
    let message = pb::PoolSpec {
        capacity: spec.capacity,
        background: Some(match spec.background {
            BackgroundSpec::Sampled { size } => Background::BackgroundSize(size as u64),
            BackgroundSpec::Dense { ids } => Background::DenseIds(ids),
        }),
        background_rotation: Some(pb::BackgroundRotation {
            after_reports: spec.rotation.after_reports.unwrap_or(0),
            disabled: spec.rotation.after_reports.is_none(),
        }),
        shards: spec.shards,
        id_kind: match spec.id_kind {
            IdKind::U64 => pb::IdKind::U64,
            IdKind::Name => pb::IdKind::String,
        }
        .into(),
        hardness: Some(encode_hardness(&spec.hardness)),
        decay: Some(encode_decay(spec.decay)),
        score_update: Some(match spec.score_update {
            ScoreUpdate::Last => pb::ScoreUpdate { rule: pb::ScoreUpdateRule::Last.into(), ema_weight: 0.0 },
            ScoreUpdate::Max => pb::ScoreUpdate { rule: pb::ScoreUpdateRule::Max.into(), ema_weight: 0.0 },
            ScoreUpdate::Ema { weight } => {
                pb::ScoreUpdate { rule: pb::ScoreUpdateRule::Ema.into(), ema_weight: as_written(weight) }
            }
        }),
        default_policy: Some(policy::encode_overrides(&spec.default_policy)),
        serve_limits: Some(pb::ServeLimits {
            serve_penalty: spec.serve_limits.serve_penalty,
            max_serves: spec.serve_limits.max_serves.into(),
            lease: Some(spec.serve_limits.lease).filter(|l| !l.is_zero()).map(duration_message),
        }),
        max_payload_bytes: spec.max_payload_bytes,
        control_fraction: spec.control_fraction,
        sample_ttl: spec.sample_ttl.map(encode_ttl),
        flow: spec.flow.as_ref().map(flow::encode),
        quarantine: spec.quarantine.map(quarantine::encode),
        kind: pb::PoolKind::Flat.into(),
        durability: pb::Durability::None.into(),
        ..Default::default()
    };
    match &spec.anchored {
        None => message,
        Some(anchored) => anchored::encode_spec(anchored, message),
    }
}

/// The shortest double that rounds to this single-precision number, so that 0.001 comes back as 0.001.
fn as_written(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(value.into())
}

fn encode_hardness(hardness: &Hardness) -> pb::Hardness {
    let (function, offset, temperature) = match hardness.function {
        HardnessFunction::Power { offset } => (pb::HardnessFunction::Power, as_written(offset), 0.0),
        HardnessFunction::Exponential { temperature } => {
            (pb::HardnessFunction::Exponential, 0.0, as_written(temperature))
        }
    };
    pb::Hardness { function: function.into(), lower_is_harder: hardness.lower_is_harder, offset, temperature }
}

fn encode_decay(decay: Decay) -> pb::Decay {
    match decay {
        Decay::Time { half_life } => pb::Decay {
            half_life: Some(HalfLife::HalfLifeTime(duration_message(half_life))),
            max_step_jump: 0,
        },
        Decay::Steps { half_life, max_step_jump } => {
            pb::Decay { half_life: Some(HalfLife::HalfLifeSteps(half_life)), max_step_jump }
        }
        Decay::Disabled => pb::Decay { half_life: Some(HalfLife::Disabled(true)), max_step_jump: 0 },
    }
}
