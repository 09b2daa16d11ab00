//! TOP and STALEST (docs/methods.md 5.4): chosen by order, not by a race.

use std::collections::HashSet;

use super::background::Background;
use super::mass::Mass;
use super::output::{Account, Chosen};
use super::quota::Quota;
use super::race::{Arrival, Field, Race};
use super::{MineContext, approximations, quota, serve_first, serve_rows, shortened, unweighed};
use crate::model::batch::{Approximation, Estimand, Source};
use crate::model::error::PoolError;
use crate::model::filter_counts::{FilterCounts, Reason};
use crate::model::moment;
use crate::sampler::mixture::{Point, solve_tau};
use crate::sampler::rng::Draws;
use crate::sampler::weights;
use crate::store::hash::placement_hash;
use crate::store::key::Key;
use crate::store::layout::partition_of;
use crate::store::{Row, Served};

/// STALEST takes the B oldest of this many times B uniform draws.
const STALEST_DRAWS: usize = 16;

/// The B - round(epsilon B) hardest, and the rest uniformly from what else is in the background.
pub(super) async fn top(
    context: &MineContext<'_>,
    field: &Field<'_>,
    draws: &mut Draws,
) -> Result<(Vec<Chosen>, Account), PoolError> {
    let (hard_wanted, mut size) = hard_share(context);
    let hardest = hardest(context, field, hard_wanted).await?;
    let found = hardest.rows.len();
    if found < hard_wanted {
        size = shortened(context, found as u64, hard_wanted as u64)?;
    }
    let limited = hardest.quota.is_some();
    let lowest = lowest_key(field, &hardest.rows);
    let stands = |row: &Row| lowest.is_none_or(|lowest| stands(field, row, lowest));
    let (served, mut random) =
        with_background(context, field, hardest.rows, stands, size, hardest.quota, draws).await?;
    random.filtered.add(&hardest.filtered);
    // Of those that the ranks could not share equally only the background can be left out without a bias.
    let cut = context.ranks.is_some() && served.len() < found;
    let n = served.len() + random.chosen.len();
    // At random_fraction 0 the batch is the same whatever is drawn: nothing is estimated.
    let weighed = context.policy.random_fraction > 0.0;
    let population = field.background.distinct();
    let mut guessed = random.wears_out && !field.background.is_whole();
    let mut chosen: Vec<Chosen> = served
        .into_iter()
        .map(|(row, served)| {
            let stands = stands(&row);
            let probability = if stands { 1.0 } else { field.background.probability_of(&row, false) };
            guessed |= !stands && !field.background.is_exact_for(&row, false);
            Chosen {
                weighed: weighed.then(|| (1.0, weights::weight(n, population, probability, 1.0))),
                ..unweighed(row, served, Source::Hard)
            }
        })
        .collect();
    chosen.extend(random.chosen.into_iter().map(|(mut c, inclusion)| {
        let probability = field.background.probability_of(&c.row, false);
        guessed |= !field.background.is_exact_for(&c.row, false);
        c.weighed = weighed.then(|| (inclusion, weights::weight(n, population, probability, inclusion)));
        c
    }));
    let mut approximations = random.approximations;
    if hardest.approximate && !approximations.contains(&Approximation::ScanLimit) {
        approximations.push(Approximation::ScanLimit);
    }
    if guessed {
        approximations.push(Approximation::ServedBefore);
    }
    if hard_wanted > 0 && field.census.background.loop_ratio().is_off() {
        approximations.push(Approximation::ClosedLoop);
    }
    let estimand = if !weighed {
        approximations.clear();
        Estimand::None
    } else if cut || !approximations.is_empty() {
        Estimand::Approximate
    } else if field.filter.removes_items() || limited {
        // What the hardest filled leaves the rest of its stratum or group without a chance.
        Estimand::Eligible
    } else {
        Estimand::All
    };
    let account = Account {
        estimand,
        approximations,
        asked: context.batch_size,
        proposals: random.proposals,
        filtered: random.filtered,
    };
    Ok((chosen, account))
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
    let (mut proposals, mut filtered) = (race.proposals, race.filtered);
    let mut rows: Vec<Row> = race.arrivals.into_iter().map(|a| a.row).collect();
    let age =
        |row: &Row| row.stamp.map_or(f64::INFINITY, |s| moment::age(context.stamp_now, s, context.by_steps));
    // The draw came in random order, so equal ages are broken at random.
    rows.sort_by(|a, b| age(b).total_cmp(&age(a)));
    let mut places = quota(context, field, context.batch_size)?;
    let rows = with_a_place(rows.into_iter(), &mut places, hard_wanted, &mut filtered);
    if rows.len() < hard_wanted {
        size = shortened(context, rows.len() as u64, hard_wanted as u64)?;
    }
    let (served, random) = with_background(context, field, rows, |_| true, size, places, draws).await?;
    proposals += random.proposals;
    filtered.add(&random.filtered);
    let mut chosen: Vec<Chosen> =
        served.into_iter().map(|(row, served)| unweighed(row, served, Source::Hard)).collect();
    chosen.extend(random.chosen.into_iter().map(|(chosen, _)| chosen));
    let account = Account {
        estimand: Estimand::None,
        approximations: Vec::new(),
        asked: context.batch_size,
        proposals,
        filtered,
    };
    Ok((chosen, account))
}

/// Hard samples wanted, and the batch's size.
fn hard_share(context: &MineContext<'_>) -> (usize, usize) {
    let size = context.batch_size;
    let random = (context.policy.random_fraction * size as f64).round() as usize;
    (size - random.min(size), size)
}

/// The key of the lowest of the hardest samples, its penalty taken off.
fn lowest_key(field: &Field<'_>, hardest: &[Row]) -> Option<Key> {
    let keys = hardest.iter().filter_map(|row| penalised(field, row, row.hard_key));
    keys.reduce(|a, b| if b.since(a) < 0 { b } else { a })
}

/// Whether a sample would be one of the hardest, of which the lowest has the key `lowest`, if it were not in R (docs/methods.md 4.3).
fn stands(field: &Field<'_>, row: &Row, lowest: Key) -> bool {
    let is_eligible = || field.filter.admits_hard(&Row { hard_key: row.own_key, ..*row });
    row.own_key == row.hard_key
        || (penalised(field, row, row.own_key).is_some_and(|key| key.since(lowest) >= 0) && is_eligible())
}

fn penalised(field: &Field<'_>, row: &Row, key: Option<Key>) -> Option<Key> {
    key.map(|key| key.plus(-field.penalty.units(row.serves)))
}

/// Background samples wanted beside `hard` hard ones. At random_fraction 0 the background fills nothing.
fn random_share(context: &MineContext<'_>, size: usize, hard: usize) -> usize {
    if context.policy.random_fraction > 0.0 { size.saturating_sub(hard) } else { 0 }
}

/// The first `wanted` of rows in order that find a place.
fn with_a_place(
    rows: impl Iterator<Item = Row>,
    quota: &mut Option<Quota>,
    wanted: usize,
    filtered: &mut FilterCounts,
) -> Vec<Row> {
    let mut chosen = Vec::with_capacity(wanted);
    for (order, row) in rows.enumerate() {
        if chosen.len() == wanted {
            break;
        }
        if let Some(quota) = quota
            && let Err(full) = quota.admit(&row, order as f64)
        {
            filtered.count(full.into());
            quota.remember(Arrival {
                row,
                time: order as f64,
                from_background: false,
                hard_mass: 0.0,
                own_mass: 0.0,
                owed_to: Source::Hard,
            });
            continue;
        }
        chosen.push(row);
    }
    chosen
}

/// The hardest samples, not yet marked.
struct Hardest {
    rows: Vec<Row>,
    /// The scan limit cut them short.
    approximate: bool,
    /// The places that are left.
    quota: Option<Quota>,
    filtered: FilterCounts,
}

/// The `wanted` hardest eligible samples.
async fn hardest(context: &MineContext<'_>, field: &Field<'_>, wanted: usize) -> Result<Hardest, PoolError> {
    let mut quota = quota(context, field, context.batch_size)?;
    let (first, end) = field.filter.ranks;
    if wanted == 0 || first >= end {
        return Ok(Hardest {
            rows: Vec::new(),
            approximate: false,
            quota,
            filtered: FilterCounts::default(),
        });
    }
    let total = field.census.hard as usize;
    let mut asked = (wanted + first as usize + context.excluded.len()).min(total);
    loop {
        let rows = field.store.top(asked, field.penalty, field.scan_limit).await?;
        let whole = rows.len() < asked || asked >= total;
        let limited = asked >= field.scan_limit;
        let mut filtered = FilterCounts::default();
        let refusal = |row: &Row| match row.hard_key {
            Some(_) => field.filter.refuses_hard(row),
            None => Some(Reason::Rank),
        };
        let eligible: Vec<Row> = rows
            .into_iter()
            .filter(|row| {
                let refused = refusal(row);
                refused.into_iter().for_each(|reason| filtered.count(reason));
                refused.is_none()
            })
            .collect();
        if let Some(quota) = quota.as_mut() {
            quota.clear();
        }
        let mut chosen = with_a_place(eligible.iter().copied(), &mut quota, wanted, &mut filtered);
        let last = whole || limited;
        while last && chosen.len() < wanted && quota.as_mut().is_some_and(Quota::relax) {
            quota.iter_mut().for_each(Quota::clear);
            chosen = with_a_place(eligible.iter().copied(), &mut quota, wanted, &mut FilterCounts::default());
        }
        if chosen.len() >= wanted || last {
            return Ok(Hardest { rows: chosen, approximate: limited && !whole, quota, filtered });
        }
        asked = (asked * 4).min(total).min(field.scan_limit.max(1));
    }
}

/// Marks `rows` as served, those that do not stand for themselves as of the background, and fills up from the background: `size` in all, or as many as the ranks can share equally.
async fn with_background(
    context: &MineContext<'_>,
    field: &Field<'_>,
    mut rows: Vec<Row>,
    stands: impl Fn(&Row) -> bool,
    size: usize,
    quota: Option<Quota>,
    draws: &mut Draws,
) -> Result<(Vec<(Row, Served)>, Uniform), PoolError> {
    let wanted = random_share(context, size, rows.len());
    let taken: HashSet<u64> = rows.iter().map(|row| row.id).collect();
    let mut race = Race::new(field, None, 1.0, 0.0, wanted, draws).within(quota);
    race.forbid(taken.iter().copied());
    if wanted > 0 {
        race.run_to(wanted + 1).await?;
    }
    let total = context.shareable(rows.len() + wanted.min(race.arrivals.len()));
    rows.truncate(total);
    // Before the mark: another request may take the last serve of one meanwhile, which is missing then.
    let random = total - rows.len();
    let served = serve_rows(context, rows, stands).await?;
    let uniform = uniform_background(context, field, &taken, race, random).await?;
    Ok((served, uniform))
}

/// Samples drawn uniformly from the background.
struct Uniform {
    /// With pi of each, of those not taken otherwise.
    chosen: Vec<(Chosen, f64)>,
    proposals: u64,
    filtered: FilterCounts,
    approximations: Vec<Approximation>,
    /// Members of the background had been served as often as they may be.
    wears_out: bool,
}

async fn uniform_background(
    context: &MineContext<'_>,
    field: &Field<'_>,
    taken: &HashSet<u64>,
    mut race: Race<'_>,
    wanted: usize,
) -> Result<Uniform, PoolError> {
    let served = if wanted == 0 { Vec::new() } else { serve_first(context, &mut race, wanted).await? };
    let n = served.len();
    // How many of the background are eligible is not known where some are turned away, but when the next would have come is.
    let tau = (!field.filter.removes_items() && race.quota.is_none())
        .then(|| planned_tau(field.background, taken, n));
    let inclusion = |row: &Row| {
        let deadline = match tau {
            Some(tau) => tau,
            None => race.deadline(row, n),
        };
        weights::inclusion_probability(field.background.share_of(row.id), deadline)
    };
    let chosen = race.arrivals[..n]
        .iter()
        .zip(served)
        .map(|(arrival, served)| {
            (unweighed(arrival.row, served, Source::Background), inclusion(&arrival.row))
        })
        .collect();
    Ok(Uniform {
        chosen,
        proposals: race.proposals,
        filtered: race.filtered,
        approximations: approximations(&race, false, false),
        wears_out: race.wears_out,
    })
}

/// The tau at which `n` members of the background without `taken` are expected to have arrived; `None`: when all have. Where all
/// partitions have one p it is that of a plain draw of n.
fn planned_tau(background: &Background<'_>, taken: &HashSet<u64>, n: usize) -> Option<f64> {
    let mut points: Vec<Point> = background
        .lanes()
        .into_iter()
        .map(|lane| Point { weight: lane.members as f64, mass: lane.share })
        .collect();
    if background.is_dense() {
        points = vec![Point { weight: background.size, mass: 1.0 / background.distinct() }];
    }
    let members = points.len();
    for id in taken.iter().filter(|id| background.contains(**id)) {
        let partition = partition_of(placement_hash(*id), members);
        points[partition].weight = (points[partition].weight - 1.0).max(0.0);
    }
    let others: f64 = points.iter().map(|point| point.weight).sum();
    (others > n as f64).then(|| solve_tau(&points, n as f64))
}
