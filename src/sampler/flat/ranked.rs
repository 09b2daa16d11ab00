//! TOP and STALEST (docs/methods.md 5.4): the batch is chosen by an order, not by a race.

use std::collections::HashSet;

use super::background::Background;
use super::lone_place::LonePlace;
use super::mass::Mass;
use super::output::{Account, Chosen};
use super::quota::Quota;
use super::race::{Arrival, Field, Race};
use super::weighing::{Weighing, approximations};
use super::{MineContext, check_found, quota, serve_first, serve_rows, shortened, unweighed};
use crate::model::batch::{Approximation, Estimand, Source};
use crate::model::error::PoolError;
use crate::model::filter_counts::{FilterCounts, Reason};
use crate::sampler::mixture::{Point, solve_tau};
use crate::sampler::rng::Draws;
use crate::sampler::weights;
use crate::store::hash::placement_hash;
use crate::store::key::Key;
use crate::store::layout::partition_of;
use crate::store::{Row, Served};

/// STALEST draws this number times the wanted samples uniformly, and takes the oldest.
const STALEST_DRAWS: usize = 16;

/// Takes the B - round(epsilon B) hardest, and draws the others uniformly from what else is in the background. Where epsilon B < 1, one place
/// goes to the background with probability epsilon B, and to the next hardest sample otherwise.
pub(super) async fn top(
    context: &MineContext<'_>,
    field: &Field<'_>,
    draws: &mut Draws,
) -> Result<(Vec<Chosen>, Account), PoolError> {
    let random_places = context.policy.random_fraction * context.batch_size as f64;
    let wanted = if random_places < 1.0 { context.batch_size } else { hard_places(context) };
    let (mut hardest, scan_cut) = hardest(context, field, wanted).await?;
    let limited = hardest.quota.is_some();
    let reserves = hardest.quota.as_ref().is_some_and(Quota::reserves);
    let size = shortened(context, hardest.rows.len() as u64, wanted as u64)?;
    let lowest = lowest_key(field, &hardest.rows);
    let in_h = |row: &Row| lowest.is_none_or(|lowest| stands(field, row, lowest));
    let share = if random_places < 1.0 { context.policy.random_fraction * size as f64 } else { 1.0 };
    let lone = LonePlace::deal(share, size, &mut hardest.rows, field.background, draws);
    let found = hardest.rows.len();
    let (served, random) = with_background(context, field, hardest, in_h, size, draws).await?;
    // Of what the ranks could not share equally only the background can be left out without a bias.
    let left_out = context.ranks.is_some() && served.len() < found;
    let weighing = Weighing {
        background: field.background,
        returned: served.len() + random.chosen.len(),
        population: field.background.distinct(),
        background_only: false,
    };
    // At random_fraction 0 the batch is the same whatever is drawn: nothing is estimated. Reserved slots have no closed form of pi.
    let estimates = context.policy.random_fraction > 0.0 && !reserves;
    // With the reserve every sample of the hard store stands for itself.
    let stands_for_itself = |row: &Row| if random.is_in_reserve { row.own_key.is_some() } else { in_h(row) };
    let weighing = estimates.then_some(&weighing);
    let chosen = joined(served, random.chosen, stands_for_itself, lone.as_ref(), weighing);
    let mut approximations = random.approximations;
    if scan_cut && !approximations.contains(&Approximation::ScanLimit) {
        approximations.push(Approximation::ScanLimit);
    }
    if wanted > 0 && field.census.background.loop_ratio().is_off() {
        approximations.push(Approximation::ClosedLoop);
    }
    let estimand = if !estimates {
        approximations.clear();
        Estimand::None
    } else if left_out || !approximations.is_empty() {
        Estimand::Approximate
    } else if field.filter.removes_items() || limited {
        // A stratum or group that the hardest have filled leaves its other samples no chance.
        Estimand::Eligible
    } else {
        Estimand::All
    };
    let asked = context.batch_size;
    let (proposals, filtered) = (random.proposals, random.filtered);
    let random_fraction = context.policy.random_fraction;
    Ok((chosen, Account { estimand, approximations, asked, random_fraction, proposals, filtered }))
}

/// Takes the B - round(epsilon B) longest unreported of 16 times as many uniform draws, and draws the others from the background.
pub(super) async fn stalest(
    context: &MineContext<'_>,
    field: &Field<'_>,
    draws: &mut Draws,
) -> Result<(Vec<Chosen>, Account), PoolError> {
    let wanted = hard_places(context);
    let mass = Mass::Uniform;
    let drawn = STALEST_DRAWS * wanted;
    let mut race = Race::new(field, Some(&mass), 0.0, 0.0, drawn, draws);
    race.run_to(drawn).await?;
    let (proposals, mut filtered) = (race.proposals, race.filtered);
    let mut rows: Vec<Row> = race.arrivals.into_iter().map(|a| a.row).collect();
    let age = |row: &Row| row.stamp.map_or(f64::INFINITY, |stamp| context.clock.age(stamp));
    // The draw came in random order, so equal ages are broken at random.
    rows.sort_by(|a, b| age(b).total_cmp(&age(a)));
    let mut quota = quota(context, field, context.batch_size)?;
    let rows = with_a_place(rows.into_iter(), &mut quota, wanted, &mut filtered);
    let size = shortened(context, rows.len() as u64, wanted as u64)?;
    let oldest = Ordered { rows, quota, filtered };
    let (served, random) = with_background(context, field, oldest, |_| true, size, draws).await?;
    let account = Account {
        estimand: Estimand::None,
        approximations: Vec::new(),
        asked: context.batch_size,
        random_fraction: context.policy.random_fraction,
        proposals: proposals + random.proposals,
        filtered: random.filtered,
    };
    Ok((joined(served, random.chosen, |_| true, None, None), account))
}

/// The places of a batch that are for hard samples: B - round(epsilon B).
fn hard_places(context: &MineContext<'_>) -> usize {
    let size = context.batch_size;
    size - ((context.policy.random_fraction * size as f64).round() as usize).min(size)
}

/// Hard samples and those of the background as one batch. Without `weighing` none has a weight.
fn joined(
    hard: Vec<(Row, Served)>,
    random: Vec<Random>,
    in_h: impl Fn(&Row) -> bool,
    lone: Option<&LonePlace>,
    weighing: Option<&Weighing<'_>>,
) -> Vec<Chosen> {
    let weigh =
        |row: &Row, in_h: bool, inclusion: f64| weighing.map(|weighing| weighing.weigh(row, in_h, inclusion));
    let mut chosen = Vec::with_capacity(hard.len() + random.len());
    for (row, served) in hard {
        let inclusion = lone.map_or(1.0, |lone| lone.inclusion_of_hard(row.id));
        let weighed = weigh(&row, in_h(&row), inclusion);
        chosen.push(Chosen { weighed, ..unweighed(row, served, Source::Hard) });
    }
    for random in random {
        let row = random.chosen.row;
        let is_next = lone.is_some_and(|lone| lone.is_next(row.id));
        let inclusion =
            lone.map_or(random.inclusion, |lone| lone.inclusion_of_member(row.id, random.inclusion));
        let weighed = weigh(&row, random.stands || (is_next && in_h(&row)), inclusion);
        chosen.push(Chosen { weighed, ..random.chosen });
    }
    chosen
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

/// Samples chosen by an order, not yet marked as served.
struct Ordered {
    rows: Vec<Row>,
    /// The places that they leave.
    quota: Option<Quota>,
    /// What was turned away.
    filtered: FilterCounts,
}

/// The `wanted` hardest eligible samples, and whether the scan limit cut them short.
async fn hardest(
    context: &MineContext<'_>,
    field: &Field<'_>,
    wanted: usize,
) -> Result<(Ordered, bool), PoolError> {
    let mut quota = quota(context, field, context.batch_size)?;
    let (first, end) = field.filter.ranks;
    if wanted == 0 || first >= end {
        return Ok((Ordered { rows: Vec::new(), quota, filtered: FilterCounts::default() }, false));
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
            return Ok((Ordered { rows: chosen, quota, filtered }, limited && !whole));
        }
        asked = (asked * 4).min(total).min(field.scan_limit.max(1));
    }
}

/// Marks ordered samples as served, and fills up from the background: `size` in all, or as many as the ranks can share equally. A sample
/// outside H (`in_h`) owes its serve to the background.
async fn with_background(
    context: &MineContext<'_>,
    field: &Field<'_>,
    ordered: Ordered,
    in_h: impl Fn(&Row) -> bool,
    size: usize,
    draws: &mut Draws,
) -> Result<(Vec<(Row, Served)>, Uniform), PoolError> {
    let Ordered { mut rows, quota, filtered } = ordered;
    let wanted = random_share(context, size, rows.len());
    let taken: HashSet<u64> = rows.iter().map(|row| row.id).collect();
    let mut race = Race::new(field, None, 1.0, 0.0, wanted, draws).within(quota).with_reserve(context);
    race.forbid(taken.iter().copied());
    if wanted > 0 {
        race.run_to(wanted + 1).await?;
    }
    check_found(context, rows.len() + race.arrivals.len())?;
    let total = context.shareable(rows.len() + wanted.min(race.arrivals.len()));
    rows.truncate(total);
    // Counted before the mark: a row whose last serve another request takes meanwhile is missing, and not made up for.
    let random = total - rows.len();
    let served = serve_rows(context, rows, in_h).await?;
    let mut uniform = uniform_background(context, field, &taken, race, random).await?;
    uniform.filtered.add(&filtered);
    Ok((served, uniform))
}

/// A sample that was drawn uniformly.
struct Random {
    chosen: Chosen,
    /// pi, among those that the order did not take.
    inclusion: f64,
    /// Whether it stands for itself: the reserve was opened (docs/methods.md 6.4), and the hard store has it.
    stands: bool,
}

/// Samples drawn uniformly: from the background, and from the hard store where the background has too few.
struct Uniform {
    chosen: Vec<Random>,
    proposals: u64,
    filtered: FilterCounts,
    approximations: Vec<Approximation>,
    /// Whether the hard store filled what the background could not.
    is_in_reserve: bool,
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
    let in_reserve = race.is_in_reserve(n);
    // If filters or the quota turn members away, the number of eligible members is not known, and tau is the time of the next arrival of
    // the race. Otherwise tau is computed from the counts.
    let tau = (!field.filter.removes_items() && race.quota.is_none())
        .then(|| planned_tau(field.background, taken, n));
    let inclusion = |arrival: &Arrival| {
        let rate = race.rate(&arrival.row, arrival.hard_mass);
        let deadline = match tau {
            Some(tau) if !in_reserve => tau,
            _ => race.exposure(arrival, n),
        };
        weights::inclusion_probability(rate, deadline)
    };
    let chosen = race.arrivals[..n]
        .iter()
        .zip(served)
        .map(|(arrival, served)| {
            let source = if arrival.from_background { Source::Background } else { Source::Hard };
            Random {
                chosen: unweighed(arrival.row, served, source),
                inclusion: inclusion(arrival),
                stands: in_reserve && race.stands(arrival, in_reserve),
            }
        })
        .collect();
    Ok(Uniform {
        chosen,
        proposals: race.proposals,
        filtered: race.filtered,
        approximations: approximations(&race, false),
        is_in_reserve: in_reserve,
    })
}

/// The tau at which `n` members of the background without `taken` are expected to have arrived; `None` if all are drawn. If all partitions
/// have the same p, pi is that of a simple random sample of n.
pub(super) fn planned_tau(background: &Background<'_>, taken: &HashSet<u64>, n: usize) -> Option<f64> {
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
