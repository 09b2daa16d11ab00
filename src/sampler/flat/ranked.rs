//! TOP and STALEST (docs/methods.md 5.4): they choose hard samples by order, not by a race.

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

/// STALEST draws this number times the wanted samples uniformly, and takes the oldest.
const STALEST_DRAWS: usize = 16;

/// TOP: the B - round(epsilon B) hardest samples, and the others of the batch uniformly from the members of the background that are not
/// among these.
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
    // In a round samples may be left out so that the ranks can share the batch equally. Leaving out background samples causes no bias,
    // leaving out hard samples does.
    let cut = context.ranks.is_some() && served.len() < found;
    let n = served.len() + random.chosen.len();
    // At random_fraction 0 the batch does not depend on random draws, so nothing is estimated.
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
        // A stratum or group that the hardest samples fill leaves its other samples no chance to be drawn.
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

/// STALEST: of 16 times as many uniform draws, the B - round(epsilon B) samples that were not reported for the longest, and the others of
/// the batch from the background.
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

/// The number of hard samples wanted, and the size of the batch.
fn hard_share(context: &MineContext<'_>) -> (usize, usize) {
    let size = context.batch_size;
    let random = (context.policy.random_fraction * size as f64).round() as usize;
    (size - random.min(size), size)
}

/// The lowest key less serve penalty among the hardest samples.
fn lowest_key(field: &Field<'_>, hardest: &[Row]) -> Option<Key> {
    let keys = hardest.iter().filter_map(|row| penalised(field, row, row.hard_key));
    keys.reduce(|a, b| if b.since(a) < 0 { b } else { a })
}

/// Whether a sample would still be one of the hardest if it were not in R (docs/methods.md 4.3). `lowest` is the lowest key less penalty
/// among the hardest.
fn stands(field: &Field<'_>, row: &Row, lowest: Key) -> bool {
    let is_eligible = || field.filter.admits_hard(&Row { hard_key: row.own_key, ..*row });
    row.own_key == row.hard_key
        || (penalised(field, row, row.own_key).is_some_and(|key| key.since(lowest) >= 0) && is_eligible())
}

fn penalised(field: &Field<'_>, row: &Row, key: Option<Key>) -> Option<Key> {
    key.map(|key| key.plus(-field.penalty.units(row.serves)))
}

/// The number of background samples wanted beside `hard` hard samples. At random_fraction 0 it is 0.
fn random_share(context: &MineContext<'_>, size: usize, hard: usize) -> usize {
    if context.policy.random_fraction > 0.0 { size.saturating_sub(hard) } else { 0 }
}

/// The first `wanted` rows that the quota admits, in order.
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

/// The hardest samples, not yet marked as served.
struct Hardest {
    rows: Vec<Row>,
    /// Whether the scan limit ended the search early.
    approximate: bool,
    /// The quota, after these samples.
    quota: Option<Quota>,
    filtered: FilterCounts,
}

/// The `wanted` hardest samples that the filter and the quota admit.
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

/// Marks `rows` as served, and adds samples of the background: `size` samples in all, or as many as the ranks can share equally. Rows that
/// do not stand for themselves owe their serve to the background.
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
    // This number is fixed before rows are marked. If another request takes the last serve of a row meanwhile, the batch lacks that row.
    let random = total - rows.len();
    let served = serve_rows(context, rows, stands).await?;
    let uniform = uniform_background(context, field, &taken, race, random).await?;
    Ok((served, uniform))
}

/// Samples drawn uniformly from the background.
struct Uniform {
    /// The samples, each with its pi in a draw from the members that were not taken as hard samples.
    chosen: Vec<(Chosen, f64)>,
    proposals: u64,
    filtered: FilterCounts,
    approximations: Vec<Approximation>,
    /// Whether members of the background were refused because they had been served `max_serves` times.
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
    // If filters or the quota turn members away, the number of eligible members is not known, and tau is the time of the next arrival of
    // the race. Otherwise tau is computed from the counts.
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

/// The tau at which `n` members of the background without `taken` are expected to have arrived; `None` if all are drawn. If all partitions
/// have the same p, pi is that of a simple random sample of n.
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
