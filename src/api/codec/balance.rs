//! Decodes and encodes the limits on strata and groups.

use crate::model::balance::{Balance, StratumLimit};
use crate::model::error::PoolError;
use crate::proto::v1::{self as pb, stratum_cap::Limit};

/// The limits that a message sets. The pool layer checks the ranges.
///
/// # Errors
/// `Invalid` naming the field below `prefix`.
pub(super) fn decode(prefix: &str, message: pb::Balance) -> Result<Balance, PoolError> {
    let stratum_caps = message
        .stratum_caps
        .into_iter()
        .enumerate()
        .map(|(i, cap)| {
            let limit = match cap.limit {
                Some(Limit::MaxFraction(fraction)) => StratumLimit::Fraction(fraction),
                Some(Limit::MaxCount(count)) => StratumLimit::Count(count),
                None => {
                    return Err(PoolError::invalid(
                        format!("{prefix}.stratum_caps[{i}]"),
                        "has no limit: set max_fraction or max_count",
                    ));
                }
            };
            Ok((cap.stratum, limit))
        })
        .collect::<Result<_, _>>()?;
    Ok(Balance {
        max_stratum_fraction: message.max_stratum_fraction,
        stratum_caps,
        equal_shares: message.equal_shares,
        min_per_stratum: message.min_per_stratum,
        max_per_group: message.max_per_group,
    })
}

/// Encodes the limits.
pub(super) fn encode(balance: &Balance) -> pb::Balance {
    let limit = |limit: &StratumLimit| match *limit {
        StratumLimit::Fraction(fraction) => Limit::MaxFraction(fraction),
        StratumLimit::Count(count) => Limit::MaxCount(count),
    };
    pb::Balance {
        max_stratum_fraction: balance.max_stratum_fraction,
        stratum_caps: balance
            .stratum_caps
            .iter()
            .map(|(stratum, l)| pb::StratumCap { stratum: *stratum, limit: Some(limit(l)) })
            .collect(),
        equal_shares: balance.equal_shares,
        min_per_stratum: balance.min_per_stratum,
        max_per_group: balance.max_per_group,
    }
}
