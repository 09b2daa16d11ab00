//! Draws a batch from a store: strategy, mixture and weights, written once for all stores.
//!
//! The steps of a draw: census → tiers → filter → mass of each sample → rate of the background → race (or TOP, STALEST) → marking
//! as served → weights → batch.

pub(crate) mod background;
mod context;
mod filter;
mod lone_place;
mod mass;
mod output;
mod pilot;
mod quota;
mod race;
mod raced;
mod ranked;
mod ranks;
mod tiers;
mod weighing;

use std::collections::HashSet;

use hashbrown::HashMap;

use crate::model::batch::{MinedBatch, Source};
use crate::model::error::PoolError;
use crate::model::policy::{self, Shortfall, Strategy};
pub(crate) use crate::sampler::rng::Draws;
use crate::store::{Cursor, Drawn, Row, Served, StratumCount};
use background::Background;
pub(crate) use context::{DrawClock, MineContext, PoolTraits, Ranks, Serving};
use filter::Filter;
use output::Chosen;
use quota::{Quota, Sizes};
use race::{Field, Race};
pub(crate) use ranks::rank_mass;
use tiers::Tiers;

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

/// Makes one draw. `None`: it was overtaken, nothing has been served, and it is not the `last` attempt.
async fn attempt(
    context: &MineContext<'_>,
    draws: &mut Draws,
    last: bool,
) -> Result<Option<MinedBatch>, PoolError> {
    let census = context.store.census().await?;
    let background = Background::of(&census);
    let tiers = Tiers::of(&census);
    let mut filter = Filter::of(context, &census);
    filter.locate_ranks(context.store, census.hard).await?;
    let strata = strata(context).await?;
    let field = Field {
        store: context.store,
        census: &census,
        tiers: &tiers,
        background: &background,
        filter: &filter,
        penalty: context.serving.penalty,
        scan_limit: context.scan_limit,
        strata: &strata,
    };
    let (chosen, account) = match context.policy.strategy {
        Strategy::Top => ranked::top(context, &field, draws).await?,
        Strategy::Stalest => ranked::stalest(context, &field, draws).await?,
        Strategy::Proportional | Strategy::Rank | Strategy::Uniform => {
            match raced::draw(context, &field, draws, last).await? {
                Some(drawn) => drawn,
                None => return Ok(None),
            }
        }
    };
    Ok(Some(output::batch(context, &census, &background, chosen, account)))
}

/// The stored strata, if the policy has limits on strata.
///
/// # Errors
/// `FailedPrecondition` (`TOO_MANY_STRATA`) if there are more than a policy may balance over.
async fn strata(context: &MineContext<'_>) -> Result<Vec<StratumCount>, PoolError> {
    if !context.policy.balance.is_by_stratum() {
        return Ok(Vec::new());
    }
    let most = context.strata_limit;
    let strata = context.store.strata(most).await?;
    if strata.len() > most {
        return Err(PoolError::FailedPrecondition {
            reason: "TOO_MANY_STRATA",
            message: format!(
                "policy.balance: the pool stores more than {most} strata (max_balance_strata), the most that a policy may balance over; \
                 limit groups instead (max_per_group), or report coarser strata"
            ),
        });
    }
    Ok(strata)
}

/// The places of strata and groups in a batch of `size`; `None`: the policy sets no limits.
fn quota(context: &MineContext<'_>, field: &Field<'_>, size: usize) -> Result<Option<Quota>, PoolError> {
    if size == 0 {
        // The flow lets nothing be mined now: there is no place that a stratum could want.
        return Ok(None);
    }
    let policy = &context.policy;
    let with_background = policy.random_fraction > 0.0 && field.background.size > 0.0;
    let sizes = Sizes { requested: context.requested, asked: context.batch_size, drawn: size };
    Quota::new(&policy.balance, sizes, field.strata, with_background)
}

/// The size of the batch before the draw: what SHORT and ERROR make of too few eligible hard samples (docs/methods.md 6.4).
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

/// Checks that the `found` samples of both sources are enough. Called before anything is marked as served.
///
/// # Errors
/// `FailedPrecondition` (`SHORTFALL`) where they are fewer than asked for and the policy asks for an error, or too few for one each rank.
fn check_found(context: &MineContext<'_>, found: usize) -> Result<(), PoolError> {
    let message = match context.ranks {
        Some(ranks) if found > 0 && found < ranks.count => {
            format!(
                "{found} samples are eligible in both sources, fewer than the {} ranks of the round",
                ranks.count
            )
        }
        _ if context.policy.shortfall == Shortfall::Error && found < context.batch_size => {
            format!("{found} samples are eligible in both sources, {} were asked for", context.batch_size)
        }
        _ => return Ok(()),
    };
    Err(PoolError::FailedPrecondition { reason: "SHORTFALL", message })
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
        tokio::task::yield_now().await;
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

/// Runs the race to B + 1 arrivals (the last gives tau) and marks the first B as served. A sample that may not be served any more is
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
        (context.marking)();
        let answers = context.store.serve(&drawn, context.serving.mark).await?;
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

/// Marks rows of the hard store as served, and leaves out those that may not be. `is_own`: a row would be chosen outside R too.
async fn serve_rows(
    context: &MineContext<'_>,
    rows: Vec<Row>,
    is_own: impl Fn(&Row) -> bool,
) -> Result<Vec<(Row, Served)>, PoolError> {
    let source = |row: &Row| if is_own(row) { Source::Hard } else { Source::Background };
    let drawn: Vec<Drawn> = rows.iter().map(|row| Drawn { id: row.id, source: source(row) }).collect();
    (context.marking)();
    let answers = context.store.serve(&drawn, context.serving.mark).await?;
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
mod reserve_tests;
#[cfg(test)]
mod tests;
