//! Puts the columns of a batch together from the samples that were chosen.

use std::cmp::Reverse;

use super::background::Background;
use super::{MineContext, Ranks};
use crate::model::batch::{Approximation, BatchColumns, DrawInfo, Estimand, MinedBatch, PoolSizes, Source};
use crate::model::filter_counts::FilterCounts;
use crate::model::moment::Moment;
use crate::model::policy::Policy;
use crate::sampler::weights;
use crate::store::key::{Key, UNITS_PER_OCTAVE};
use crate::store::place::Rank;
use crate::store::{Census, Row, Served};

/// A chosen sample, with the answer of the store to its serve.
pub(super) struct Chosen {
    pub(super) row: Row,
    pub(super) source: Source,
    pub(super) served: Served,
    /// Inclusion probability and importance weight before beta and normalization.
    pub(super) weighed: Option<(f64, f64)>,
}

/// Facts about a draw that the batch reports.
pub(super) struct Account {
    pub(super) estimand: Estimand,
    pub(super) approximations: Vec<Approximation>,
    /// Size of the batch that was asked for.
    pub(super) asked: usize,
    /// The expected share of the background, at most the one asked for.
    pub(super) random_fraction: f64,
    pub(super) proposals: u64,
    pub(super) filtered: FilterCounts,
}

/// Puts the columns of a batch together, with names and payloads where the pool has them.
pub(super) fn batch(
    context: &MineContext<'_>,
    census: &Census,
    background: &Background<'_>,
    mut chosen: Vec<Chosen>,
    account: Account,
) -> MinedBatch {
    if let Some(ranks) = &context.ranks {
        sort_by_hardness(context, ranks, &mut chosen);
    }
    let n = chosen.len();
    let weighed: Option<Vec<(f64, f64)>> = chosen.iter().map(|c| c.weighed).collect();
    let weighed = weighed.filter(|_| account.estimand != Estimand::None);
    let eligible_fraction = weighed.as_ref().and_then(|weighed| eligible_fraction(account.estimand, weighed));
    let from_background = chosen.iter().filter(|c| c.source == Source::Background).count();
    let age = |stamp| context.clock.age(stamp) as f32;
    let mut columns = BatchColumns {
        ids: chosen.iter().map(|c| c.row.id).collect(),
        names: None,
        scores: chosen.iter().map(|c| c.row.score).collect(),
        importance_weights: weighed.as_ref().map(|w| {
            let raw: Vec<f64> = w.iter().map(|(_, weight)| *weight).collect();
            weights::finish(&raw, &context.policy)
        }),
        inclusion_probabilities: weighed
            .as_ref()
            .map(|w| w.iter().map(|(inclusion, _)| *inclusion as f32).collect()),
        sources: chosen.iter().map(|c| c.source).collect(),
        ages: chosen.iter().map(|c| c.row.stamp.map_or(f32::NAN, age)).collect(),
        model_versions: chosen.iter().map(|c| c.row.model_version).collect(),
        serves: chosen.iter().map(|c| u32::from(c.served.serves)).collect(),
        strata: chosen.iter().map(|c| c.row.stratum).collect(),
        groups: chosen.iter().map(|c| c.row.group).collect(),
        payloads: Vec::new(),
    };
    let draw = DrawInfo {
        estimand: account.estimand,
        approximations: account.approximations,
        policy: Policy { random_fraction: account.random_fraction, ..context.policy.clone() },
        seed: context.seed,
        realized_random_fraction: from_background as f64 / n.max(1) as f64,
        shortfall_count: account.asked.saturating_sub(n) as u32,
        timed_out: false,
        sizes: pool_sizes(context, census, background),
        eligible_fraction,
        proposals: account.proposals,
        filtered: account.filtered,
        round: None,
        control: false,
        warmup: false,
    };
    if context.pool.named {
        let name = |c: &mut Chosen| c.served.name.take().unwrap_or_else(|| "".into());
        columns.names = Some(chosen.iter_mut().map(name).collect());
    }
    if context.pool.payloads {
        columns.payloads = chosen.iter_mut().map(|c| c.served.payload.take().unwrap_or_default()).collect();
    }
    MinedBatch { columns, draw }
}

/// The share of the ids that were eligible: the mean weight before beta and normalization estimates it where it is not 1 by what the
/// estimand says. `None`: the estimand is `None`.
fn eligible_fraction(estimand: Estimand, weighed: &[(f64, f64)]) -> Option<f64> {
    match estimand {
        Estimand::All | Estimand::HardStore => Some(1.0),
        Estimand::Eligible | Estimand::Approximate => {
            let sum: f64 = weighed.iter().map(|(_, weight)| *weight).sum();
            Some(sum / weighed.len().max(1) as f64)
        }
        Estimand::None => None,
    }
}

/// The sizes of the pool when the draw began.
fn pool_sizes(context: &MineContext<'_>, census: &Census, background: &Background<'_>) -> PoolSizes {
    let now = Moment { decay_units: u64::from(context.clock.now.0), stamp: context.clock.stamp };
    PoolSizes {
        hard: census.hard,
        background: background.size as u64,
        distinct: background.distinct(),
        background_probability: background.mean_probability(),
        closed_loop_ratio: census.background.loop_ratio().ratio,
        floor_log2: census.floor.map(|key| now.log2_weight(key)),
    }
}

/// Sorts a batch by hardness, in the order of the hard store: which rank gets which sample must not depend on how the draw went.
fn sort_by_hardness(context: &MineContext<'_>, ranks: &Ranks, chosen: &mut [Chosen]) {
    let rank = |row: &Row| Rank::of(row.score, row.id, context.pool.lower_is_harder);
    chosen.sort_by_cached_key(|c| Reverse((units_above(context, ranks, &c.row), rank(&c.row))));
}

/// How hard a sample is now, in key units. A sample that only the background holds has no key: it is computed from score and age.
fn units_above(context: &MineContext<'_>, ranks: &Ranks, row: &Row) -> i64 {
    if let Some(key) = row.hard_key {
        return key.since(context.clock.now);
    }
    match row.stamp {
        Some(stamp) if row.score.is_finite() => {
            let age = context.clock.age(stamp);
            ranks.hardness.key(row.score, 0).0.since(Key(0)) - (age * ranks.units_per_age) as i64
        }
        _ => i64::MIN / UNITS_PER_OCTAVE,
    }
}
