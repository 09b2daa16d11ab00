//! PROPORTIONAL, RANK and UNIFORM (docs/methods.md 5.1 and 6): the batch is the first arrivals of a race.

use super::mass::Mass;
use super::output::{Account, Chosen};
use super::quota::Quota;
use super::race::{Field, Race};
use super::weighing::{Weighing, approximations};
use super::{MineContext, allowed_size, check_found, pilot, quota, serve_first};
use crate::model::batch::{Approximation, Estimand, Source};
use crate::model::error::PoolError;
use crate::sampler::mixture::{self, Plan, Point, Wanted};
use crate::sampler::planned::{Participants, Planned};
use crate::sampler::rng::Draws;
use crate::sampler::weights;
use crate::store::Served;

/// Draws the first B arrivals. `None`: another generation of the background took over, nothing has been served, and this was not the
/// `last` attempt.
pub(super) async fn draw(
    context: &MineContext<'_>,
    field: &Field<'_>,
    draws: &mut Draws,
    last: bool,
) -> Result<Option<(Vec<Chosen>, Account)>, PoolError> {
    let planned = allowed_size(context, field).await?;
    let quota = quota(context, field, planned)?;
    let mixture = Mixture::plan(context, field, planned, quota.as_ref(), draws).await?;
    let Plan { background_rate, cut, .. } = mixture.plan;
    let race = Race::new(field, mixture.mass.as_ref(), background_rate, cut, planned, draws);
    let mut race = race.within(quota).with_reserve(context);
    race.schedule_rare().await?;
    race.run_to(planned + 1).await?;
    if race.is_overtaken() && !last {
        return Ok(None);
    }
    check_found(context, planned.min(race.arrivals.len()))?;
    // Before anything is marked: what the ranks could not share equally is not drawn.
    let size = context.shareable(planned.min(race.arrivals.len()));
    let mut served = serve_first(context, &mut race, size).await?;
    // A concurrent request that takes the last serve of samples may leave surplus rows marked but not returned.
    served.truncate(context.shareable(served.len()));
    let weighing = Weighing {
        background: field.background,
        returned: served.len(),
        population: mixture.population,
        background_only: mixture.mass.is_none(),
    };
    // Where the store has changed since the census, the batch may be full at another time than planned.
    let fixed = mixture.planned.filter(|_| race.went_as_counted(served.len(), planned));
    let chosen = weighed_arrivals(&race, served, fixed, &weighing);
    let approximations = approximations(&race, mixture.is_in_a_closed_loop(field));
    let account = Account {
        estimand: estimand(field, &race, &mixture, &approximations),
        approximations,
        asked: context.batch_size,
        random_fraction: context
            .policy
            .random_fraction
            .min(mixture.plan.background / (planned as f64).max(1.0)),
        proposals: race.proposals,
        filtered: race.filtered,
    };
    Ok(Some((chosen, account)))
}

/// The mixture of hard store and background that a race draws from (docs/methods.md 6.1 and 6.3).
struct Mixture {
    /// Whether the background takes part.
    is_mixed: bool,
    /// What the strategy gives to a hard sample; `None` at random_fraction 1, where H is empty.
    mass: Option<Mass>,
    plan: Plan,
    /// The inclusion probabilities, fixed before the draw; `None` where the counts do not give them (docs/methods.md 7.5).
    planned: Option<Planned>,
    /// N; where nothing is drawn from the background the samples of S in the rank window.
    population: f64,
}

impl Mixture {
    /// Plans a batch of `size`, all of it before the first draw.
    async fn plan(
        context: &MineContext<'_>,
        field: &Field<'_>,
        size: usize,
        quota: Option<&Quota>,
        draws: &mut Draws,
    ) -> Result<Self, PoolError> {
        let background = field.background;
        let random_fraction = context.policy.random_fraction;
        let mass = match random_fraction < 1.0 {
            true => Some(Mass::of_policy(context, field.tiers).await?),
            false => None,
        };
        let census = mass.as_ref().map_or_else(Vec::new, |mass| pilot::census(field, mass));
        let plan = match &mass {
            _ if background.size <= 0.0 || random_fraction == 0.0 => {
                Plan { background_rate: 0.0, cut: 0.0, background: 0.0 }
            }
            None => Plan { background_rate: 1.0, cut: 0.0, background: size as f64 },
            Some(mass) => {
                let sizes = (size as f64, random_fraction);
                let points = pilot::points(field, mass, &census, sizes, draws).await?;
                mixed(field, mass, quota, &points, sizes)
            }
        };
        let is_mixed = plan.background_rate > 0.0;
        let (first, end) = field.filter.ranks;
        let population = if is_mixed { background.distinct() } else { (end - first) as f64 };
        let is_known = quota.is_none() && pilot::is_counted_exactly(field, mass.as_ref());
        let planned = is_known.then(|| planned(field, census, plan, size)).flatten();
        Ok(Self { is_mixed, mass, plan, planned, population })
    }

    /// Whether H depends on R, and the batch is drawn from both; where it is drawn from one source H plays no part.
    fn is_in_a_closed_loop(&self, field: &Field<'_>) -> bool {
        self.is_mixed && self.mass.is_some() && field.census.background.loop_ratio().is_off()
    }
}

/// The inclusion probabilities of a batch of `size`, if the counts give them. `census`: the hard samples that may be drawn, by mass.
fn planned(field: &Field<'_>, census: Vec<Point>, plan: Plan, size: usize) -> Option<Planned> {
    let mut hard = census;
    hard.retain(|point| point.mass >= plan.cut);
    if plan.background_rate <= 0.0 {
        return Planned::of(&Participants { hard: &hard, overlap: 0.0, members: &[] }, size);
    }
    let by_share = field.background.awake_by_share().into_iter();
    let members: Vec<Point> =
        by_share.map(|point| Point { mass: plan.background_rate * point.mass, ..point }).collect();
    Planned::of(&Participants { hard: &hard, overlap: field.background.overlap(), members: &members }, size)
}

/// The plan of a batch from both sources, under the caps of strata.
fn mixed(
    field: &Field<'_>,
    mass: &Mass,
    quota: Option<&Quota>,
    points: &[(u32, Point)],
    (batch_size, random_fraction): (f64, f64),
) -> Plan {
    let background = field.background;
    let plain: Vec<Point> = points.iter().map(|(_, point)| *point).collect();
    let wanted = Wanted {
        batch_size,
        random_fraction,
        members: background.size,
        awake: background.awake(),
        distinct: background.distinct(),
    };
    let plan = Plan::of(&plain, &wanted, |cut| mass.edge_below(cut, field.tiers));
    match quota {
        // The strata of a dense id space are not known, so caps are left out of account there.
        Some(quota) if field.strata.iter().any(|s| s.background > 0) => {
            let parts = pilot::parts(field, quota, points);
            let background_rate = mixture::capped_background_rate(
                &parts,
                batch_size,
                random_fraction,
                background.size,
                plan.background_rate,
            );
            Plan { background_rate, cut: plan.cut.min(background_rate / background.distinct()), ..plan }
        }
        _ => plan,
    }
}

/// The first arrivals, as many as were served, with their weights.
fn weighed_arrivals(
    race: &Race<'_>,
    served: Vec<Served>,
    planned: Option<Planned>,
    weighing: &Weighing<'_>,
) -> Vec<Chosen> {
    let n = served.len();
    let in_reserve = race.is_in_reserve(n);
    race.arrivals[..n]
        .iter()
        .zip(served)
        .map(|(arrival, served)| {
            let rate = race.rate(&arrival.row, arrival.hard_mass);
            let by_time = || weights::inclusion_probability(rate, race.exposure(arrival, n));
            let inclusion = planned.map_or_else(by_time, |planned| planned.inclusion(rate));
            Chosen {
                row: arrival.row,
                source: if arrival.from_background { Source::Background } else { Source::Hard },
                served,
                weighed: Some(weighing.weigh(&arrival.row, race.stands(arrival, in_reserve), inclusion)),
            }
        })
        .collect()
}

/// What the weights estimate (docs/methods.md 7.4).
fn estimand(
    field: &Field<'_>,
    race: &Race<'_>,
    mixture: &Mixture,
    approximations: &[Approximation],
) -> Estimand {
    let shuts_out = |quota: &Quota| quota.shuts_out(field.background.is_dense());
    let removes = field.filter.removes_items() || (!mixture.is_mixed && field.filter.has_row_windows());
    if race.quota.as_ref().is_some_and(Quota::reserves) {
        // No closed form of pi is used for reserved slots (docs/methods.md 8).
        Estimand::None
    } else if !approximations.is_empty() {
        Estimand::Approximate
    } else if removes || race.quota.as_ref().is_some_and(shuts_out) {
        Estimand::Eligible
    } else if !mixture.is_mixed {
        Estimand::HardStore
    } else {
        Estimand::All
    }
}
