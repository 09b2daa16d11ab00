//! TOP and STALEST (METHODS 4, DECISIONS 10): chosen by order, not by a race.

use std::collections::HashSet;

use super::mass::Mass;
use super::output::{Account, Chosen};
use super::race::{Field, Race};
use super::rng::Draws;
use super::{MineContext, serve_first, serve_rows, shortened, unweighed, weights};
use crate::pool::batch::{Estimand, Source};
use crate::pool::clock::Clock;
use crate::pool::error::PoolError;
use crate::store::Row;

/// STALEST takes the B oldest of this many times B uniform draws.
const STALEST_DRAWS: usize = 16;

/// The B - round(epsilon B) hardest, and the rest uniformly from what else is in the background.
pub(super) async fn top(
    context: &MineContext<'_>,
    field: &Field<'_>,
    draws: &mut Draws,
) -> Result<(Vec<Chosen>, Account), PoolError> {
    let (hard_wanted, mut size) = hard_share(context);
    let (hardest, approximate) = hardest(context, field, hard_wanted).await?;
    if hardest.len() < hard_wanted {
        size = shortened(context, hardest.len() as u64, hard_wanted as u64)?;
    }
    let taken: HashSet<u64> = hardest.iter().map(|(row, _)| row.id).collect();
    let hard_count = hardest.len();
    let random_wanted = random_share(context, size, hard_count);
    let random = uniform_background(context, field, &taken, random_wanted, draws).await?;
    let n = hard_count + random.chosen.len();
    // At random_fraction 0 the batch is the same whatever is drawn: nothing is estimated.
    let weighed = context.policy.random_fraction > 0.0;
    let population = field.background.distinct();
    let mut chosen: Vec<Chosen> = hardest
        .into_iter()
        .map(|(row, served)| Chosen {
            weighed: weighed.then(|| (1.0, weights::weight(n, population, 1.0, 1.0))),
            ..unweighed(row, served, Source::Hard)
        })
        .collect();
    chosen.extend(random.chosen.into_iter().map(|mut c| {
        c.weighed = weighed.then(|| {
            let probability = field.background.probability;
            let w = weights::weight(n, population, probability, random.inclusion);
            (random.inclusion, w)
        });
        c
    }));
    let estimand = if !weighed {
        Estimand::None
    } else if approximate {
        Estimand::Approximate
    } else if field.filter.removes_items() {
        Estimand::Eligible
    } else {
        Estimand::All
    };
    Ok((
        chosen,
        Account {
            estimand,
            asked: context.batch_size,
            proposals: random.proposals,
            filtered: Default::default(),
        },
    ))
}

/// The B - round(epsilon B) longest unreported of 16 times as many uniform draws, and the rest from the background.
pub(super) async fn stalest(
    context: &MineContext<'_>,
    field: &Field<'_>,
    draws: &mut Draws,
) -> Result<(Vec<Chosen>, Account), PoolError> {
    let (hard_wanted, mut size) = hard_share(context);
    let mass = Mass::Uniform;
    let drawn = STALEST_DRAWS * hard_wanted;
    let mut race = Race::new(field, Some(&mass), 0.0, 0.0, drawn, draws);
    race.run_to(drawn).await?;
    let mut proposals = race.proposals;
    let mut rows: Vec<Row> = race.arrivals.into_iter().map(|a| a.row).collect();
    let age =
        |row: &Row| row.stamp.map_or(f64::INFINITY, |s| Clock::age(context.stamp_now, s, context.by_steps));
    // The draw came in random order, so equal ages are broken at random.
    rows.sort_by(|a, b| age(b).total_cmp(&age(a)));
    rows.truncate(hard_wanted);
    if rows.len() < hard_wanted {
        size = shortened(context, rows.len() as u64, hard_wanted as u64)?;
    }
    let served = serve_rows(context, rows).await?;
    let taken: HashSet<u64> = served.iter().map(|(row, _)| row.id).collect();
    let random_wanted = random_share(context, size, served.len());
    let random = uniform_background(context, field, &taken, random_wanted, draws).await?;
    proposals += random.proposals;
    let mut chosen: Vec<Chosen> =
        served.into_iter().map(|(row, served)| unweighed(row, served, Source::Hard)).collect();
    chosen.extend(random.chosen);
    Ok((
        chosen,
        Account {
            estimand: Estimand::None,
            asked: context.batch_size,
            proposals,
            filtered: Default::default(),
        },
    ))
}

/// Hard samples wanted, and the batch's size.
fn hard_share(context: &MineContext<'_>) -> (usize, usize) {
    let size = context.batch_size;
    let random = (context.policy.random_fraction * size as f64).round() as usize;
    (size - random.min(size), size)
}

/// Background samples wanted beside `hard` hard ones. At random_fraction 0 the background fills nothing.
fn random_share(context: &MineContext<'_>, size: usize, hard: usize) -> usize {
    if context.policy.random_fraction > 0.0 { size.saturating_sub(hard) } else { 0 }
}

/// The `wanted` hardest eligible samples, marked as served; and whether the scan limit cut them short.
async fn hardest(
    context: &MineContext<'_>,
    field: &Field<'_>,
    wanted: usize,
) -> Result<(Vec<(Row, crate::store::Served)>, bool), PoolError> {
    let (first, end) = field.filter.ranks;
    if wanted == 0 || first >= end {
        return Ok((Vec::new(), false));
    }
    let total = field.census.hard as usize;
    let mut asked = (wanted + first as usize + context.excluded.len()).min(total);
    loop {
        let rows = field.store.top(asked, field.penalty, field.scan_limit).await?;
        let whole = rows.len() < asked || asked >= total;
        let limited = asked >= field.scan_limit;
        let mut eligible: Vec<Row> = rows
            .into_iter()
            .filter(|row| {
                row.hard_key.is_some_and(|key| field.filter.admits_hard(row, field.tiers.offset(key)))
            })
            .collect();
        if eligible.len() >= wanted || whole || limited {
            eligible.truncate(wanted);
            // Another request may take the last serve of one between the look and the mark: that one is missing then.
            let served = serve_rows(context, eligible).await?;
            return Ok((served, limited && !whole));
        }
        asked = (asked * 4).min(total).min(field.scan_limit.max(1));
    }
}

/// Samples drawn uniformly from the background.
struct Uniform {
    chosen: Vec<Chosen>,
    /// pi of each, of those not taken otherwise.
    inclusion: f64,
    proposals: u64,
}

async fn uniform_background(
    context: &MineContext<'_>,
    field: &Field<'_>,
    taken: &HashSet<u64>,
    wanted: usize,
    draws: &mut Draws,
) -> Result<Uniform, PoolError> {
    if wanted == 0 {
        return Ok(Uniform { chosen: Vec::new(), inclusion: 1.0, proposals: 0 });
    }
    let mut race = Race::new(field, None, 1.0, 0.0, wanted, draws);
    race.forbid(taken.iter().copied());
    let served = serve_first(context, &mut race, wanted).await?;
    let n = served.len();
    let inclusion = if field.filter.removes_items() {
        // How many of the background are eligible is not known, but when the next would have come is.
        let tau = race.arrivals.get(wanted).map(|a| a.time);
        weights::inclusion_probability(1.0 / field.background.size, tau)
    } else {
        let taken_here = taken.iter().filter(|id| field.background.contains(**id)).count();
        (n as f64 / (field.background.size - taken_here as f64).max(1.0)).min(1.0)
    };
    let proposals = race.proposals;
    let chosen = race
        .arrivals
        .into_iter()
        .zip(served)
        .map(|(arrival, served)| unweighed(arrival.row, served, Source::Background))
        .collect();
    Ok(Uniform { chosen, inclusion, proposals })
}
