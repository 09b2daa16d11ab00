//! Draws a batch from a store: strategy, mixture and weights, written once for all stores.
//!
//! The steps of a draw: census → tiers (ranks) → filter → mass of each sample → rate of the background → race (or TOP, STALEST) → marking
//! as served → weights → batch.

pub(crate) mod background;
mod filter;
mod mass;
mod output;
mod pilot;
mod quota;
mod race;
mod ranked;
mod tiers;

use std::collections::HashSet;

use hashbrown::HashMap;

use crate::model::batch::{Approximation, Estimand, MinedBatch, Source};
use crate::model::error::PoolError;
use crate::model::policy::{self, Policy, Shortfall, Strategy};
use crate::sampler::mixture::{self, Point};
pub(crate) use crate::sampler::rng::Draws;
use crate::sampler::weights;
use crate::store::key::{Hardness, Key};
use crate::store::{Cursor, Drawn, Row, ServeMark, ServePenalty, Served, Store};
use background::Background;
use filter::Filter;
use mass::Mass;
use output::{Account, Chosen};
use quota::{Quota, Sizes};
use race::{Field, Race};
use tiers::Tiers;

/// Everything that a draw depends on.
pub(crate) struct MineContext<'a> {
    pub(crate) store: &'a dyn Store,
    /// The policy, with all defaults filled in.
    pub(crate) policy: Policy,
    pub(crate) batch_size: usize,
    /// The size of the request, before the flow reduced it to `batch_size`.
    pub(crate) requested: usize,
    /// Ids that must not be served.
    pub(crate) excluded: HashSet<u64>,
    /// The decay clock D(t), as a key.
    pub(crate) now: Key,
    /// The present stamp by the pool's clock.
    pub(crate) stamp_now: u32,
    /// Whether stamps are steps rather than milliseconds.
    pub(crate) by_steps: bool,
    /// Whether the lower of two scores is the harder one.
    pub(crate) lower_is_harder: bool,
    pub(crate) penalty: ServePenalty,
    pub(crate) mark: ServeMark,
    pub(crate) seed: u64,
    /// Maximum number of rows that a pass over the store may read.
    pub(crate) scan_limit: usize,
    /// Whether the pool has string keys.
    pub(crate) named: bool,
    /// Whether the batch gets the payloads of its samples.
    pub(crate) payloads: bool,
    /// What the round of the batch needs; `None`: the batch is not of a round.
    pub(crate) ranks: Option<Ranks>,
}

/// What a round needs of its draw: a size that is a multiple of the number of ranks, and rows in order of hardness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranks {
    pub(crate) count: usize,
    pub(crate) hardness: Hardness,
    /// Key units that a weight loses per second, or per step.
    pub(crate) units_per_age: f64,
}

impl MineContext<'_> {
    /// The largest size up to `size` that the ranks can share equally.
    fn shareable(&self, size: usize) -> usize {
        size - size % self.ranks.map_or(1, |ranks| ranks.count.max(1))
    }
}

/// Maximum number of attempts: a draw whose background was replaced during the draw begins again.
const ATTEMPTS_MAX: usize = 3;

/// Draws one batch.
///
/// # Errors
/// `FailedPrecondition` (`SHORTFALL`) if samples are missing and the policy says ERROR; `Unavailable` from the store.
pub(crate) async fn mine(context: MineContext<'_>) -> Result<MinedBatch, PoolError> {
    let mut draws = Draws::new(context.seed);
    let mut attempts = 0;
    loop {
        attempts += 1;
        if let Some(batch) = attempt(&context, &mut draws, attempts == ATTEMPTS_MAX).await? {
            return Ok(batch);
        }
    }
}

/// One attempt at a draw. `None`: its background was replaced, and this is not the last attempt; nothing has been marked as served.
async fn attempt(
    context: &MineContext<'_>,
    draws: &mut Draws,
    last: bool,
) -> Result<Option<MinedBatch>, PoolError> {
    let census = context.store.census().await?;
    let background = Background::of(&census);
    let tiers = Tiers::of(&census);
    let mut filter = Filter::new(
        &context.excluded,
        context.mark.max_serves,
        &context.policy.windows,
        context.stamp_now,
        (context.by_steps, context.lower_is_harder),
        &census,
    );
    filter.locate_ranks(context.store, census.hard).await?;
    let by_stratum = context.policy.balance.is_by_stratum();
    let strata = if by_stratum { context.store.strata().await? } else { Vec::new() };
    let field = Field {
        store: context.store,
        census: &census,
        tiers: &tiers,
        background: &background,
        filter: &filter,
        penalty: context.penalty,
        scan_limit: context.scan_limit,
        strata: &strata,
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
    Ok(Some(output::batch(context, &census, &background, chosen, account)))
}

/// The batch of a strategy that draws: the first B arrivals of the race. `None` as in [`attempt`].
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
    let quota = quota(context, field, size)?;
    // At random_fraction 1 no sample takes part as a hard one (docs/methods.md 6.1).
    let mass = (random_fraction < 1.0).then(|| Mass::new(policy, field.tiers));
    let c = match &mass {
        _ if random_fraction == 0.0 => 0.0,
        None => 1.0,
        Some(mass) => {
            let points = pilot::points(field, mass, size, random_fraction, draws).await?;
            background_rate(field, quota.as_ref(), &points, size as f64, random_fraction)
        }
    };
    let population = if random_fraction > 0.0 { background.distinct() } else { field.census.hard as f64 };
    let cut = if random_fraction > 0.0 { c / population } else { 0.0 };
    let mut race = Race::new(field, mass.as_ref(), c, cut, size, draws).within(quota);
    race.schedule_rare().await?;
    race.run_to(size + 1).await?;
    if race.is_overtaken() && !last {
        return Ok(None);
    }
    // The size is cut to what the ranks can share equally before any sample is marked as served.
    let size = context.shareable(size.min(race.arrivals.len()));
    let mut served = serve_first(context, &mut race, size).await?;
    // A concurrent request that takes the last serve of samples may leave surplus rows marked but not returned.
    let n = context.shareable(served.len());
    served.truncate(n);
    let alone = mass.is_none();
    let mut guessed = race.wears_out && !background.is_whole();
    let chosen = race.arrivals[..n]
        .iter()
        .zip(served)
        .map(|(arrival, served)| {
            let rate = race.rate(&arrival.row, arrival.hard_mass);
            let inclusion = weights::inclusion_probability(rate, race.deadline(&arrival.row, n));
            let stands = race.stands(arrival);
            let probability = if stands { 1.0 } else { background.probability_of(&arrival.row, alone) };
            guessed |= !stands && !background.is_exact_for(&arrival.row, alone);
            Chosen {
                row: arrival.row,
                source: if arrival.from_background { Source::Background } else { Source::Hard },
                served,
                weighed: Some((inclusion, weights::weight(n, population, probability, inclusion))),
            }
        })
        .collect();
    // If all samples come from one source, it does not matter whether H depends on R.
    let looped = random_fraction > 0.0 && !alone && field.census.background.loop_ratio().is_off();
    let approximations = approximations(&race, guessed, looped);
    let estimand = if !approximations.is_empty() {
        Estimand::Approximate
    } else if field.filter.removes_items()
        || race.quota.as_ref().is_some_and(|quota| quota.shuts_out(background.is_dense()))
    {
        Estimand::Eligible
    } else if random_fraction == 0.0 {
        Estimand::HardStore
    } else {
        Estimand::All
    };
    let account = Account {
        estimand,
        approximations,
        asked: context.batch_size,
        proposals: race.proposals,
        filtered: race.filtered,
    };
    Ok(Some((chosen, account)))
}

/// The c of docs/methods.md 6.3, computed for the members of the background that are not under a lease, and adjusted to the caps of strata.
fn background_rate(
    field: &Field<'_>,
    quota: Option<&Quota>,
    points: &[(u32, Point)],
    size: f64,
    random_fraction: f64,
) -> f64 {
    let background = field.background;
    let plain: Vec<Point> = points.iter().map(|(_, point)| *point).collect();
    let awake = background.awake();
    let c = mixture::background_rate(&plain, size, random_fraction, awake) * background.size / awake;
    match quota {
        // The strata of a dense id space are not known, so caps are left out of account there.
        Some(quota) if field.strata.iter().any(|s| s.background > 0) => {
            let parts = pilot::parts(field, quota, points);
            mixture::capped_background_rate(&parts, size, random_fraction, background.size, c)
        }
        _ => c,
    }
}

/// The quota of a batch of `size`; `None`: the policy has no limits.
fn quota(context: &MineContext<'_>, field: &Field<'_>, size: usize) -> Result<Option<Quota>, PoolError> {
    if size == 0 {
        // The flow lets nothing be mined, so there cannot be too many strata.
        return Ok(None);
    }
    let policy = &context.policy;
    let with_background = policy.random_fraction > 0.0 && field.background.size > 0.0;
    let sizes = Sizes { requested: context.requested, asked: context.batch_size, drawn: size };
    Quota::new(&policy.balance, sizes, field.strata, with_background)
}

/// The reasons why the weights are only approximate. `guessed`: it is not known exactly for how many ids some members of the background
/// stand. `looped`: H depends on R.
fn approximations(race: &Race<'_>, guessed: bool, looped: bool) -> Vec<Approximation> {
    let reserves = race.quota.as_ref().is_some_and(Quota::reserves);
    [
        (race.approximate, Approximation::ScanLimit),
        (reserves, Approximation::MinPerStratum),
        (guessed, Approximation::ServedBefore),
        (looped, Approximation::ClosedLoop),
    ]
    .into_iter()
    .filter_map(|(holds, approximation)| holds.then_some(approximation))
    .collect()
}

/// The size of the batch, fixed before the draw. With SHORT or ERROR it depends on the number of eligible hard samples (docs/methods.md
/// 6.4).
async fn allowed_size(context: &MineContext<'_>, field: &Field<'_>) -> Result<usize, PoolError> {
    let size = context.batch_size;
    let random_fraction = context.policy.random_fraction;
    let hard_wanted = policy::hard_wanted(random_fraction, size) as u64;
    if context.policy.shortfall == Shortfall::Fill || hard_wanted == 0 {
        return Ok(size);
    }
    let eligible = eligible_hard(field, quota(context, field, size)?, hard_wanted).await?;
    shortened(context, eligible, hard_wanted)
}

/// The size of the batch if `eligible` hard samples were found and `hard_wanted` were wanted; with ERROR an error if there are too few.
fn shortened(context: &MineContext<'_>, eligible: u64, hard_wanted: u64) -> Result<usize, PoolError> {
    let random_fraction = context.policy.random_fraction;
    if eligible >= hard_wanted {
        return Ok(context.batch_size);
    }
    match context.policy.shortfall {
        Shortfall::Fill => Ok(context.batch_size),
        Shortfall::Short => Ok(policy::size_for(random_fraction, eligible)),
        Shortfall::Error => Err(PoolError::FailedPrecondition {
            reason: "SHORTFALL",
            message: format!(
                "{eligible} hard samples are eligible, but {hard_wanted} are needed (batch_size {} at random_fraction {random_fraction})",
                context.batch_size
            ),
        }),
    }
}

/// The number of eligible hard samples, counted up to `stop_at`.
async fn eligible_hard(field: &Field<'_>, mut quota: Option<Quota>, stop_at: u64) -> Result<u64, PoolError> {
    let (first, end) = field.filter.ranks;
    if !field.filter.looks_at_items() && quota.is_none() {
        return Ok(end - first);
    }
    let (mut eligible, mut read, mut cursor) = (0, 0, Some(Cursor::default()));
    while let Some(at) = cursor.filter(|_| eligible < stop_at && read < field.scan_limit) {
        let page = field.store.scan(at, 4096).await?;
        read += page.rows.len();
        eligible += page
            .rows
            .iter()
            .filter(|row| {
                row.hard_key.is_some()
                    && field.filter.admits_hard(row)
                    && quota.as_mut().is_none_or(|quota| quota.admit(row, 0.0).is_ok())
            })
            .count() as u64;
        cursor = page.next;
    }
    Ok(eligible.min(stop_at))
}

/// Runs the race to B + 1 arrivals (the last gives tau) and marks the first B as served. A sample that the store refuses to serve is
/// dropped, and the race goes on.
async fn serve_first(
    context: &MineContext<'_>,
    race: &mut Race<'_>,
    size: usize,
) -> Result<Vec<Served>, PoolError> {
    let mut served: HashMap<u64, Served> = HashMap::with_capacity(size);
    loop {
        race.run_to(size + 1).await?;
        let first = &race.arrivals[..size.min(race.arrivals.len())];
        let drawn: Vec<Drawn> = first
            .iter()
            .map(|a| Drawn { id: a.row.id, source: a.owed_to })
            .filter(|drawn| !served.contains_key(&drawn.id))
            .collect();
        if drawn.is_empty() {
            return Ok(first.iter().filter_map(|a| served.remove(&a.row.id)).collect());
        }
        let answers = context.store.serve(&drawn, context.mark).await?;
        let mut refused = HashSet::new();
        for (Drawn { id, .. }, answer) in drawn.into_iter().zip(answers) {
            match answer {
                Some(answer) => {
                    served.insert(id, answer);
                }
                None => {
                    refused.insert(id);
                }
            }
        }
        if !refused.is_empty() {
            race.arrivals.retain(|arrival| !refused.contains(&arrival.row.id));
            race.deal_again();
        }
    }
}

/// Marks rows of the hard store as served, and leaves out those that the store refuses. `is_own` tells which rows do not owe the serve to
/// being in R.
async fn serve_rows(
    context: &MineContext<'_>,
    rows: Vec<Row>,
    is_own: impl Fn(&Row) -> bool,
) -> Result<Vec<(Row, Served)>, PoolError> {
    let source = |row: &Row| if is_own(row) { Source::Hard } else { Source::Background };
    let drawn: Vec<Drawn> = rows.iter().map(|row| Drawn { id: row.id, source: source(row) }).collect();
    let answers = context.store.serve(&drawn, context.mark).await?;
    Ok(rows.into_iter().zip(answers).filter_map(|(row, answer)| Some((row, answer?))).collect())
}

/// A batch entry without weights.
fn unweighed(row: Row, served: Served, source: Source) -> Chosen {
    Chosen { row, source, served, weighed: None }
}

#[cfg(test)]
mod online_loop_tests;
#[cfg(test)]
mod overtaken_tests;
#[cfg(test)]
mod partition_tests;
#[cfg(test)]
mod quota_tests;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod tests;
