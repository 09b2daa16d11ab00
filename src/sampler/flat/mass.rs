//! The unnormalised mass u_i that a strategy gives to a hard sample (docs/methods.md 5.1), and its bound over a bucket.

use super::MineContext;
use super::ranks::{HEAD, RankMasses};
use super::tiers::{Tier, Tiers};
use crate::model::error::PoolError;
use crate::model::policy::Strategy;
use crate::store::key::UNITS_PER_OCTAVE;
use crate::store::{Row, ServePenalty};

/// u_i relative to the highest key of the pool. A common factor changes neither draws nor weights.
pub(super) enum Mass {
    /// 2^(alpha (k_i - reference)).
    Proportional { alpha: f64 },
    /// rank^-alpha.
    Rank(RankMasses),
    /// 1.
    Uniform,
}

/// Samples that are proposed together because they have one mass, or masses with a near bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Band {
    /// A tier of the census, without the samples of the head.
    Census(usize),
    /// A tier of the head of RANK.
    Head(usize),
}

/// Samples at consecutive ranks, with their mean mass.
pub(super) struct Span {
    /// The rank of the first, from 0.
    pub(super) rank: u64,
    /// Number of samples, resting ones included.
    pub(super) count: u64,
    /// Number of samples that do not rest.
    pub(super) active: f64,
    pub(super) mass: f64,
}

impl Mass {
    pub(super) async fn of_policy(context: &MineContext<'_>, tiers: &Tiers) -> Result<Self, PoolError> {
        let alpha = context.policy.alpha;
        Ok(match context.policy.strategy {
            Strategy::Proportional => Self::Proportional { alpha },
            Strategy::Rank => {
                let head = context.store.head(HEAD).await?;
                Self::Rank(RankMasses::of(&head, tiers, alpha, context.pool.lower_is_harder))
            }
            Strategy::Uniform | Strategy::Top | Strategy::Stalest => Self::Uniform,
        })
    }

    /// The band of a sample of the hard store, and how far its key is above the reference; `None`: it is below all tiers.
    pub(super) fn band(&self, row: &Row, tiers: &Tiers) -> Option<(Band, i64)> {
        let offset = tiers.offset(row.hard_key?);
        let tier = tiers.find(offset)?;
        let in_head = match self {
            Self::Rank(ranks) => {
                row.place(ranks.lower_is_harder()).and_then(|place| ranks.find(place.standing()))
            }
            _ => None,
        };
        Some((in_head.map_or(Band::Census(tier), Band::Head), offset))
    }

    /// The masses of ranks; `None` for the other strategies.
    pub(super) fn ranks(&self) -> Option<&RankMasses> {
        match self {
            Self::Rank(ranks) => Some(ranks),
            _ => None,
        }
    }

    /// The largest mass that a member of a bucket of `tier` with highest key `high` may have, if it is not in the head.
    pub(super) fn bound(&self, high: i64, tier: usize) -> f64 {
        self.at(high, Band::Census(tier))
    }

    /// The mean mass of the active samples of a tier, from the mean and the variance of their keys (docs/methods.md 7.5).
    pub(super) fn mean(&self, tier: usize, range: &Tier) -> f64 {
        match self {
            Self::Proportional { alpha } => {
                let slope = alpha * std::f64::consts::LN_2 / UNITS_PER_OCTAVE as f64;
                let spread = slope * slope * range.keys.variance() / 2.0;
                (exp2_units(alpha * range.keys.mean) * (1.0 + spread)).min(self.bound(range.high, tier))
            }
            Self::Rank(ranks) => ranks.whole(tier),
            Self::Uniform => 1.0,
        }
    }

    /// All samples of the hard store, in order of rank.
    pub(super) fn spans(&self, tiers: &Tiers) -> Vec<Span> {
        let ranks = self.ranks();
        let head_len = ranks.map_or(0, |ranks| ranks.head_len);
        let of_head = ranks.into_iter().flat_map(|ranks| &ranks.head).map(|tier| Span {
            rank: tier.rank,
            count: tier.count,
            active: tier.addresses.len() as f64,
            mass: tier.mass,
        });
        let below = tiers.list.iter().enumerate().filter(|(_, tier)| tier.rank + tier.count > head_len);
        let below = below.map(|(i, tier)| {
            let rank = tier.rank.max(head_len);
            let count = tier.rank + tier.count - rank;
            Span {
                rank,
                count,
                active: tier.active as f64 * count as f64 / tier.count as f64,
                mass: ranks.map_or_else(|| self.mean(i, tier), |ranks| ranks.below(i)),
            }
        });
        of_head.chain(below).collect()
    }

    /// The mass at the lowest key of the tier that has samples on both sides of a mass; the mass itself where no tier has.
    pub(super) fn edge_below(&self, mass: f64, tiers: &Tiers) -> f64 {
        let Self::Proportional { .. } = self else {
            return mass;
        };
        let at = tiers.list.partition_point(|tier| self.bound(tier.low, 0) >= mass);
        let divided = tiers.list.get(at).filter(|tier| self.bound(tier.high, at) >= mass);
        divided.map_or(mass, |tier| self.bound(tier.low, at))
    }

    /// The mass of a sample at `offset` in `band` that was served `serves` times. Each serve multiplies the weight by gamma
    /// (docs/methods.md 9.1). For PROPORTIONAL the mass is a power alpha of that weight; for the others the mass itself is multiplied by
    /// gamma.
    pub(super) fn of(&self, (band, offset): (Band, i64), serves: u16, penalty: ServePenalty) -> f64 {
        let units = penalty.units(serves);
        match self {
            Self::Proportional { .. } => self.at(offset - units, band),
            _ => self.at(offset, band) * exp2_units(-units as f64),
        }
    }

    fn at(&self, offset: i64, band: Band) -> f64 {
        match self {
            Self::Proportional { alpha } => exp2_units(alpha * offset as f64),
            Self::Rank(ranks) => match band {
                Band::Head(at) => ranks.head[at].mass,
                Band::Census(tier) => ranks.below(tier),
            },
            Self::Uniform => 1.0,
        }
    }
}

fn exp2_units(units: f64) -> f64 {
    (units / UNITS_PER_OCTAVE as f64).exp2()
}
