//! Draws a batch from a store: strategy, mixture and weights, written once over the store's primitives.
//!
//! The way of a request: census → tiers (ranks) → filter → mass of each sample → rate of the background → race (or
//! TOP, STALEST) → marking as served → weights → batch.

mod background;
mod filter;
mod mass;
mod mixture;
mod output;
mod pilot;
mod race;
mod ranked;
mod rng;
mod tiers;
mod weights;

use std::collections::HashSet;

use super::batch::{Estimand, MinedBatch, Source};
use super::error::PoolError;
use super::policy::{Policy, Shortfall, Strategy};
use crate::store::key::Key;
use crate::store::{Row, ServeMark, ServePenalty, Served, Store};
use background::Background;
use filter::Filter;
use mass::Mass;
use output::{Account, Chosen};
use race::{Field, Race};
use rng::Draws;
use tiers::Tiers;

/// All that a draw depends on.
pub(super) struct MineContext<'a> {
    pub(super) store: &'a dyn Store,
    /// Complete.
    pub(super) policy: Policy,
    pub(super) batch_size: usize,
    /// Ids never to be served.
    pub(super) excluded: HashSet<u64>,
    /// The decay clock, as a key.
    pub(super) now: Key,
    /// The pool's clock.
    pub(super) stamp_now: u32,
    /// Stamps are steps.
    pub(super) by_steps: bool,
    pub(super) penalty: ServePenalty,
    pub(super) mark: ServeMark,
    pub(super) seed: u64,
    /// Rows that may be read beside the draws.
    pub(super) scan_limit: usize,
    /// The pool has string keys.
    pub(super) named: bool,
    /// The pool keeps payloads.
    pub(super) payloads: bool,
}

/// A draw whose background was replaced meanwhile is begun again, so many times in all.
const ATTEMPTS_MAX: usize = 3;

/// Draws one batch.
///
/// # Errors
/// `FailedPrecondition` (`SHORTFALL`) where the policy asks for it; `Unavailable` from the store.
pub(super) async fn mine(context: MineContext<'_>) -> Result<MinedBatch, PoolError> {
    let mut draws = Draws::new(context.seed);
    let mut attempts = 0;
    loop {
        attempts += 1;
        if let Some(batch) = attempt(&context, &mut draws, attempts == ATTEMPTS_MAX).await? {
            return Ok(batch);
        }
    }
}

/// One draw; `None`: it was overtaken, nothing has been served, and it is not the last attempt.
async fn attempt(
    context: &MineContext<'_>,
    draws: &mut Draws,
    last: bool,
) -> Result<Option<MinedBatch>, PoolError> {
    let census = context.store.census().await?;
    let background = Background::of(&census.background);
    let tiers = Tiers::of(&census);
    let mut filter = Filter::new(
        &context.excluded,
        context.mark.max_serves,
        &context.policy.windows,
        context.stamp_now,
        context.by_steps,
        census.hard,
    );
    filter.locate_ranks(context.store, &census, &tiers).await?;
    let field = Field {
        store: context.store,
        census: &census,
        tiers: &tiers,
        background: &background,
        filter: &filter,
        penalty: context.penalty,
        scan_limit: context.scan_limit,
    };
    let (chosen, account) = match context.policy.strategy {
        Strategy::Top => ranked::top(context, &field, draws).await?,
        Strategy::Stalest => ranked::stalest(context, &field, draws).await?,
        Strategy::Proportional | Strategy::Rank | Strategy::Uniform => {
            match raced(context, &field, draws, last).await? {
                Some(drawn) => drawn,
                None => return Ok(None),
            }
        }
    };
    Ok(Some(output::batch(context, &census, &background, chosen, &account)))
}

/// The batch of a strategy with a probability: the first B arrivals of the race. `None` as of [`attempt`].
async fn raced(
    context: &MineContext<'_>,
    field: &Field<'_>,
    draws: &mut Draws,
    last: bool,
) -> Result<Option<(Vec<Chosen>, Account)>, PoolError> {
    let policy = &context.policy;
    let background = field.background;
    let random_fraction = if background.size > 0.0 { policy.random_fraction } else { 0.0 };
    let size = allowed_size(context, field).await?;
    // At random_fraction 1 nothing is hard (METHODS 5).
    let mass = (random_fraction < 1.0).then(|| Mass::new(policy, field.tiers));
    let c = match &mass {
        _ if random_fraction == 0.0 => 0.0,
        None => 1.0,
        Some(mass) => {
            let points = pilot::points(field, mass, size, random_fraction, draws).await?;
            mixture::background_rate(&points, size as f64, random_fraction, background.size)
        }
    };
    let population = if random_fraction > 0.0 { background.distinct() } else { field.census.hard as f64 };
    let cut = if random_fraction > 0.0 { c / population } else { 0.0 };
    let mut race = Race::new(field, mass.as_ref(), c, cut, size, draws);
    race.run_to(size + 1).await?;
    if race.is_overtaken() && !last {
        return Ok(None);
    }
    let served = serve_first(context, &mut race, size).await?;
    let tau = race.arrivals.get(size).map(|arrival| arrival.time);
    let n = served.len();
    let chosen = race.arrivals[..n]
        .iter()
        .zip(served)
        .map(|(arrival, served)| {
            let rate = race.rate(&arrival.row, arrival.hard_mass);
            let inclusion = weights::inclusion_probability(rate, tau);
            let probability = if arrival.hard_mass > 0.0 { 1.0 } else { background.probability };
            Chosen {
                row: arrival.row,
                source: if arrival.from_background { Source::Background } else { Source::Hard },
                served,
                weighed: Some((inclusion, weights::weight(n, population, probability, inclusion))),
            }
        })
        .collect();
    let estimand = if race.approximate {
        Estimand::Approximate
    } else if field.filter.removes_items() {
        Estimand::Eligible
    } else if random_fraction == 0.0 {
        Estimand::HardStore
    } else {
        Estimand::All
    };
    let account = Account {
        estimand,
        asked: context.batch_size,
        proposals: race.proposals,
        filtered: Default::default(),
    };
    Ok(Some((chosen, account)))
}

/// The size of the batch before the draw: what SHORT and ERROR make of too few eligible hard samples (DECISIONS 7).
async fn allowed_size(context: &MineContext<'_>, field: &Field<'_>) -> Result<usize, PoolError> {
    let size = context.batch_size;
    let random_fraction = context.policy.random_fraction;
    let hard_wanted = ((1.0 - random_fraction) * size as f64).ceil() as u64;
    if context.policy.shortfall == Shortfall::Fill || hard_wanted == 0 {
        return Ok(size);
    }
    let eligible = eligible_hard(field, hard_wanted).await?;
    shortened(context, eligible, hard_wanted)
}

/// What SHORT and ERROR make of `eligible` hard samples where `hard_wanted` were wanted.
fn shortened(context: &MineContext<'_>, eligible: u64, hard_wanted: u64) -> Result<usize, PoolError> {
    let random_fraction = context.policy.random_fraction;
    if eligible >= hard_wanted {
        return Ok(context.batch_size);
    }
    match context.policy.shortfall {
        Shortfall::Fill => Ok(context.batch_size),
        Shortfall::Short => Ok((eligible as f64 / (1.0 - random_fraction)) as usize),
        Shortfall::Error => Err(PoolError::FailedPrecondition {
            reason: "SHORTFALL",
            message: format!(
                "{eligible} hard samples are eligible, {hard_wanted} were wanted (batch_size {} at random_fraction {random_fraction})",
                context.batch_size
            ),
        }),
    }
}

/// Eligible hard samples, counted no further than `stop_at`.
async fn eligible_hard(field: &Field<'_>, stop_at: u64) -> Result<u64, PoolError> {
    let (first, end) = field.filter.ranks;
    if !field.filter.looks_at_items() {
        return Ok(end - first);
    }
    let (mut eligible, mut read, mut cursor) = (0, 0, Some(0));
    while let Some(at) = cursor.filter(|_| eligible < stop_at && read < field.scan_limit) {
        let page = field.store.scan(at, 4096).await?;
        read += page.rows.len();
        eligible += page
            .rows
            .iter()
            .filter(|row| {
                row.hard_key.is_some_and(|key| field.filter.admits_hard(row, field.tiers.offset(key)))
            })
            .count() as u64;
        cursor = page.next;
    }
    Ok(eligible.min(stop_at))
}

/// Runs the race to B + 1 arrivals (the last gives tau) and marks the first B as served. Who is refused is dropped, and
/// the race goes on.
async fn serve_first(
    context: &MineContext<'_>,
    race: &mut Race<'_>,
    size: usize,
) -> Result<Vec<Served>, PoolError> {
    let mut served: Vec<Served> = Vec::with_capacity(size);
    loop {
        race.run_to(size + 1).await?;
        let first = served.len();
        let end = size.min(race.arrivals.len());
        if first >= end {
            return Ok(served);
        }
        let ids: Vec<u64> = race.arrivals[first..end].iter().map(|a| a.row.id).collect();
        let answers = context.store.serve(&ids, context.mark).await?;
        let mut answers = answers.into_iter();
        let newest = race.arrivals.split_off(first);
        for arrival in newest {
            match answers.next() {
                Some(Some(answer)) => {
                    served.push(answer);
                    race.arrivals.push(arrival);
                }
                Some(None) => {}
                // Beyond the first B: not asked.
                None => race.arrivals.push(arrival),
            }
        }
    }
}

/// Marks rows as served; those refused are left out.
async fn serve_rows(context: &MineContext<'_>, rows: Vec<Row>) -> Result<Vec<(Row, Served)>, PoolError> {
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    let answers = context.store.serve(&ids, context.mark).await?;
    Ok(rows.into_iter().zip(answers).filter_map(|(row, answer)| Some((row, answer?))).collect())
}

/// A batch entry without weights.
fn unweighed(row: Row, served: Served, source: Source) -> Chosen {
    Chosen { row, source, served, weighed: None }
}

#[cfg(test)]
mod overtaken_tests;
#[cfg(test)]
mod tests;
