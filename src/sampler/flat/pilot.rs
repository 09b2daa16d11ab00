//! An estimate of the masses of the eligible hard samples, from which the rate of the background is solved (docs/methods.md 6.3).
//!
//! Without conditions on single samples the census gives these masses. With conditions (windows, exclusions, serve penalties) a small pilot
//! sample estimates them. It affects only c, which may be any number that is fixed before the first draw.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::mass::{Mass, Span};
use super::quota::Quota;
use super::race::Field;
use super::tiers::Tier;
use crate::model::error::PoolError;
use crate::sampler::mixture::{Part, Point, solve_tau};
use crate::sampler::rng::Draws;
use crate::store::Address;

/// Number of samples in the pilot sample.
const PILOT: usize = 256;

/// Whether the census knows the masses of the eligible hard samples: no condition looks at the single sample.
fn is_counted(field: &Field<'_>) -> bool {
    !field.filter.looks_at_rows() && field.penalty.units_per_serve == 0
}

/// Whether it knows them well enough for weights: besides, the rank window divides no tier whose samples have different masses.
pub(super) fn is_counted_exactly(field: &Field<'_>, mass: Option<&Mass>) -> bool {
    let divides =
        |rank: u64| field.tiers.list.iter().any(|tier| rank > tier.rank && rank < tier.rank + tier.count);
    let (first, end) = field.filter.ranks;
    let is_even = !matches!(mass, Some(Mass::Proportional { .. })) || !(divides(first) || divides(end));
    is_counted(field) && is_even
}

/// The hard samples in the rank window that do not rest, by mass.
pub(super) fn census(field: &Field<'_>, mass: &Mass) -> Vec<Point> {
    mass.spans(field.tiers).into_iter().map(|span| inside(field, &span)).collect()
}

/// As [`census`], of the tiers of the census, for RANK with the mean mass of all ranks of a tier.
fn by_tier(field: &Field<'_>, mass: &Mass) -> Vec<Point> {
    let span = |(i, tier): (usize, &Tier)| Span {
        rank: tier.rank,
        count: tier.count,
        active: tier.active as f64,
        mass: mass.mean(i, tier),
    };
    field.tiers.list.iter().enumerate().map(|tier| inside(field, &span(tier))).collect()
}

/// The active samples of a span that are in the rank window.
fn inside(field: &Field<'_>, span: &Span) -> Point {
    let (first, end) = field.filter.ranks;
    let inside = (span.rank + span.count).min(end).saturating_sub(span.rank.max(first));
    Point { weight: inside as f64 * span.active / span.count.max(1) as f64, mass: span.mass }
}

/// The hard samples as points of equal mass, each with its stratum, which is 0 if there are no limits on strata. `census`: that of
/// [`census`].
pub(super) async fn points(
    field: &Field<'_>,
    mass: &Mass,
    census: &[Point],
    (batch_size, random_fraction): (f64, f64),
    draws: &mut Draws,
) -> Result<Vec<(u32, Point)>, PoolError> {
    let total: f64 = census.iter().map(|p| p.weight).sum();
    let unknown = || census.iter().map(|point| (0, *point)).collect();
    if (is_counted(field) && field.strata.is_empty()) || total <= 0.0 {
        return Ok(unknown());
    }
    let tiers = by_tier(field, mass);
    let target = ((1.0 - random_fraction) * batch_size).min(total * 0.99);
    let tau = solve_tau(&tiers, target);
    let sampled = pilot(field, mass, &tiers, tau, draws).await?;
    let found = sampled.iter().any(|(_, p)| p.mass > 0.0);
    Ok(if found { sampled } else { unknown() })
}

/// Draws the pilot sample: half of it by the expected share of the batch, half uniformly, so that no part is missed.
async fn pilot(
    field: &Field<'_>,
    mass: &Mass,
    census: &[Point],
    tau: f64,
    draws: &mut Draws,
) -> Result<Vec<(u32, Point)>, PoolError> {
    let share = |tier: usize| census[tier].weight / field.tiers.list[tier].active.max(1) as f64;
    let counts: Vec<(f64, f64)> = field
        .census
        .buckets
        .iter()
        .zip(&field.tiers.of_bucket)
        .map(|(bucket, &tier)| {
            let tier = tier as usize;
            let members = f64::from(bucket.count) * share(tier);
            (members, members * -(-census[tier].mass * tau).exp_m1())
        })
        .collect();
    let members: f64 = counts.iter().map(|c| c.0).sum();
    let included: f64 = counts.iter().map(|c| c.1).sum();
    let chance = |c: &(f64, f64)| 0.5 * c.0 / members + 0.5 * c.1 / included.max(f64::MIN_POSITIVE);
    let mut sums = Vec::with_capacity(counts.len());
    let mut sum = 0.0;
    for c in &counts {
        sum += chance(c);
        sums.push(sum);
    }
    let mut addresses = Vec::with_capacity(PILOT);
    let mut weights = Vec::with_capacity(PILOT);
    for _ in 0..PILOT {
        let x = draws.unit() * sum;
        let i = sums.partition_point(|s| *s <= x).min(counts.len() - 1);
        let bucket = &field.census.buckets[i];
        let ordinal = draws.below(u64::from(bucket.count.max(1))) as u32;
        addresses.push(Address::Hard { partition: bucket.partition, bucket: bucket.bucket, ordinal });
        weights.push(f64::from(bucket.count) * sum / (chance(&counts[i]) * PILOT as f64));
    }
    let rows = field.store.fetch(&addresses).await?;
    Ok(rows
        .into_iter()
        .zip(weights)
        .filter_map(|(row, weight)| {
            let row = row?;
            let band = mass.band(&row, field.tiers)?;
            let eligible = field.filter.admits_hard(&row);
            eligible.then(|| {
                let mass = mass.of(band, row.serves, field.penalty);
                (row.stratum, Point { weight, mass })
            })
        })
        .collect())
}

/// The strata as parts of the batch, each with its points, background and cap. Strata that the pilot sample does not have differ only in
/// their sizes and caps; those of about the same sizes are one part, so that the work does not grow with the number of strata.
pub(super) fn parts(field: &Field<'_>, quota: &Quota, points: &[(u32, Point)]) -> Vec<Part> {
    let mean = |of: fn(&Point) -> f64| points.iter().map(|(_, p)| of(p)).sum::<f64>();
    let mass = mean(|p| p.weight * p.mass) / mean(|p| p.weight).max(f64::MIN_POSITIVE);
    // The number of leases by stratum is not counted, so all strata get the mean share of members without a lease.
    let awake = field.background.awake() / field.background.size.max(1.0);
    let mut sampled: HashMap<u32, Vec<Point>> = HashMap::new();
    for (stratum, point) in points {
        sampled.entry(*stratum).or_default().push(*point);
    }
    let mut parts = Vec::new();
    let mut alike: BTreeMap<(u64, u64, u32), Alike> = BTreeMap::new();
    for stratum in field.strata {
        let cap = quota.cap(stratum.stratum);
        if let Some(points) = sampled.remove(&stratum.stratum) {
            let background = stratum.background as f64 * awake;
            parts.push(Part { strata: 1.0, points, background, cap: f64::from(cap) });
        } else {
            let sizes = (size_class(stratum.hard), size_class(stratum.background), cap);
            let alike = alike.entry(sizes).or_default();
            alike.strata += 1.0;
            alike.hard += stratum.hard as f64;
            alike.background += stratum.background as f64;
        }
    }
    parts.extend(alike.into_iter().map(|((.., cap), alike)| {
        // These strata are too rare to be in the pilot sample, so their samples get the mean mass.
        let hard = (alike.hard > 0.0).then(|| Point { weight: alike.hard / alike.strata, mass });
        let background = alike.background / alike.strata * awake;
        Part { strata: alike.strata, points: hard.into_iter().collect(), background, cap: f64::from(cap) }
    }));
    parts
}

/// Strata of about the same sizes, with the same cap.
#[derive(Default)]
struct Alike {
    strata: f64,
    /// Hard samples of all of them.
    hard: f64,
    /// Members of the background of all of them.
    background: f64,
}

/// Sizes in one class differ by less than an eighth.
fn size_class(size: u64) -> u64 {
    let octave = 64 - size.leading_zeros().min(60);
    let shift = u64::from(octave - 4);
    (size >> shift) + (shift << 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_one_class_differ_by_less_than_an_eighth() {
        let (mut class, mut least) = (0, 0u64);
        for size in 0..100_000 {
            if size_class(size) == class {
                assert!(8 * (size - least) <= least, "{least} and {size}");
            } else {
                assert!(size_class(size) > class, "{size}");
                (class, least) = (size_class(size), size);
            }
        }
        assert!(size_class(u64::MAX) > class);
    }
}
