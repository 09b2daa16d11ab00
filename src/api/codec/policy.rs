//! Decodes and encodes mining policies.

use super::{balance, curriculum, variant};
use crate::model::balance::Balance;
use crate::model::error::PoolError;
use crate::model::policy::{Normalization, Policy, PolicyOverrides, Shortfall, Strategy, Window};
use crate::proto::v1::{self as pb, window::Kind};

/// The overrides that a message sets; errors name fields below `prefix`. The pool layer checks the ranges.
///
/// # Errors
/// `Invalid` naming the field.
pub(crate) fn decode(prefix: &str, message: Option<pb::MiningPolicy>) -> Result<PolicyOverrides, PoolError> {
    let message = message.unwrap_or_default();
    let curriculum = message
        .curriculum
        .map(|message| curriculum::decode(&format!("{prefix}.curriculum"), message))
        .transpose()?;
    let strategy = decode_strategy(&format!("{prefix}.strategy"), message.strategy)?;
    let normalization = decode_normalization(&format!("{prefix}.normalization"), message.normalization)?;
    let shortfall = decode_shortfall(prefix, message.shortfall)?;
    let windows = message
        .windows
        .into_iter()
        .enumerate()
        .map(|(i, window)| {
            decode_window(window).ok_or_else(|| {
                PoolError::invalid(format!("{prefix}.windows[{i}]"), "is empty: set exactly one kind")
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(PolicyOverrides {
        strategy,
        alpha: message.alpha,
        random_fraction: message.random_fraction,
        beta: message.beta,
        normalization,
        windows,
        shortfall,
        balance: message
            .balance
            .map(|message| balance::decode(&format!("{prefix}.balance"), message))
            .transpose()?,
        curriculum,
    })
}

/// The strategy that a message sets; `None` where it sets none.
///
/// # Errors
/// `Invalid` naming the field.
pub(super) fn decode_strategy(field: &str, number: i32) -> Result<Option<Strategy>, PoolError> {
    Ok(match variant(field, number)? {
        pb::Strategy::Unspecified => None,
        pb::Strategy::Top => Some(Strategy::Top),
        pb::Strategy::Proportional => Some(Strategy::Proportional),
        pb::Strategy::Rank => Some(Strategy::Rank),
        pb::Strategy::Uniform => Some(Strategy::Uniform),
        pb::Strategy::Stalest => Some(Strategy::Stalest),
    })
}

/// The normalization that a message sets; `None` where it sets none.
///
/// # Errors
/// `Invalid` naming the field.
pub(super) fn decode_normalization(field: &str, number: i32) -> Result<Option<Normalization>, PoolError> {
    Ok(match variant(field, number)? {
        pb::Normalization::Unspecified => None,
        pb::Normalization::None => Some(Normalization::None),
        pb::Normalization::Max => Some(Normalization::Max),
        pb::Normalization::Mean => Some(Normalization::Mean),
    })
}

/// The shortfall rule that a message sets; `None` where it sets none.
///
/// # Errors
/// `Invalid` naming the field.
pub(super) fn decode_shortfall(prefix: &str, number: i32) -> Result<Option<Shortfall>, PoolError> {
    Ok(match variant(&format!("{prefix}.shortfall"), number)? {
        pb::Shortfall::Unspecified => None,
        pb::Shortfall::Short => Some(Shortfall::Short),
        pb::Shortfall::Fill => Some(Shortfall::Fill),
        pb::Shortfall::Error => Some(Shortfall::Error),
        pb::Shortfall::FillUnscored => {
            let why =
                "FILL_UNSCORED is for MineNegatives: in a flat pool windows do not restrict the background";
            return Err(PoolError::invalid(format!("{prefix}.shortfall"), why));
        }
    })
}

/// Encodes a shortfall rule.
pub(super) fn encode_shortfall(shortfall: Shortfall) -> pb::Shortfall {
    match shortfall {
        Shortfall::Short => pb::Shortfall::Short,
        Shortfall::Fill => pb::Shortfall::Fill,
        Shortfall::Error => pb::Shortfall::Error,
    }
}

fn decode_window(window: pb::Window) -> Option<Window> {
    Some(match window.kind? {
        Kind::Score(w) => {
            Window::Score { min: w.min.unwrap_or(f32::NEG_INFINITY), max: w.max.unwrap_or(f32::INFINITY) }
        }
        Kind::Rank(w) => Window::Rank { min: w.min, max: w.max.unwrap_or(u64::MAX) },
        Kind::Quantile(w) => Window::Quantile { min: w.min, max: w.max.unwrap_or(1.0) },
        Kind::Age(w) => Window::Age { min: w.min, max: w.max.unwrap_or(f64::INFINITY) },
        Kind::ModelVersion(w) => Window::ModelVersion { min: w.min, max: w.max.unwrap_or(u32::MAX) },
    })
}

/// Encodes the policy that was applied.
pub(crate) fn encode(policy: &Policy) -> pb::MiningPolicy {
    encode_overrides(&PolicyOverrides {
        strategy: Some(policy.strategy),
        alpha: Some(policy.alpha),
        random_fraction: Some(policy.random_fraction),
        beta: Some(policy.beta),
        normalization: Some(policy.normalization),
        windows: policy.windows.clone(),
        shortfall: Some(policy.shortfall),
        balance: Some(policy.balance.clone()).filter(Balance::is_active),
        // The curriculum's values are in the other fields already.
        curriculum: None,
    })
}

/// Encodes the overrides of a pool's default policy.
pub(crate) fn encode_overrides(policy: &PolicyOverrides) -> pb::MiningPolicy {
    let strategy = policy.strategy.map_or(pb::Strategy::Unspecified, |strategy| match strategy {
        Strategy::Top => pb::Strategy::Top,
        Strategy::Proportional => pb::Strategy::Proportional,
        Strategy::Rank => pb::Strategy::Rank,
        Strategy::Uniform => pb::Strategy::Uniform,
        Strategy::Stalest => pb::Strategy::Stalest,
    });
    let normalization =
        policy.normalization.map_or(pb::Normalization::Unspecified, |normalization| match normalization {
            Normalization::None => pb::Normalization::None,
            Normalization::Max => pb::Normalization::Max,
            Normalization::Mean => pb::Normalization::Mean,
        });
    let shortfall = policy.shortfall.map_or(pb::Shortfall::Unspecified, encode_shortfall);
    pb::MiningPolicy {
        strategy: strategy.into(),
        alpha: policy.alpha,
        random_fraction: policy.random_fraction,
        beta: policy.beta,
        normalization: normalization.into(),
        windows: policy.windows.iter().map(encode_window).collect(),
        shortfall: shortfall.into(),
        balance: policy.balance.as_ref().map(balance::encode),
        curriculum: policy.curriculum.as_ref().map(curriculum::encode),
    }
}

fn encode_window(window: &Window) -> pb::Window {
    let kind = match *window {
        Window::Score { min, max } => Kind::Score(pb::ScoreWindow {
            min: Some(min).filter(|min| min.is_finite()),
            max: Some(max).filter(|max| max.is_finite()),
        }),
        Window::Rank { min, max } => {
            Kind::Rank(pb::RankWindow { min, max: Some(max).filter(|m| *m != u64::MAX) })
        }
        Window::Quantile { min, max } => Kind::Quantile(pb::QuantileWindow { min, max: Some(max) }),
        Window::Age { min, max } => {
            Kind::Age(pb::AgeWindow { min, max: Some(max).filter(|m| m.is_finite()) })
        }
        Window::ModelVersion { min, max } => {
            Kind::ModelVersion(pb::VersionWindow { min, max: Some(max).filter(|m| *m != u32::MAX) })
        }
    };
    pb::Window { kind: Some(kind) }
}
