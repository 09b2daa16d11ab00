//! Tests of caps, equal shares and minima of strata and groups: batches respect them, and the weights take them into account
//! (docs/methods.md 8).

use std::collections::HashMap;

use super::tests::{context_of, policy, scores};
use super::*;
use crate::model::balance::{Balance, StratumLimit};
use crate::model::batch::Estimand;
use crate::model::policy::Policy;
use crate::store::key::{Hardness, HardnessFunction};
use crate::store::naive::NaiveStore;
use crate::store::{BackgroundSpec, ReportBatch, StoreSpec};
use crate::store::{ServeMark, Store};

const N: u64 = 600;
const SAMPLED: BackgroundSpec = BackgroundSpec::Sampled { size: 200 };

/// Half of the samples are of stratum 0, a quarter of stratum 1, and so on.
fn stratum(id: u64) -> u32 {
    (id + 1).trailing_zeros().min(4)
}

/// Groups of four samples; every fifth sample has none.
fn group(id: u64) -> u64 {
    if id % 5 == 4 { 0 } else { 1 + id / 5 }
}

async fn pool(background: BackgroundSpec, salt_seed: u64) -> NaiveStore {
    let store = NaiveStore::new(StoreSpec {
        capacity: 150,
        partitions: 3,
        background,
        hardness: Hardness { function: HardnessFunction::Power { offset: 1e-3 }, lower_is_harder: false },
        named: false,
        salt_seed,
        workers: 64,
    });
    let batch = ReportBatch {
        ids: (0..N).collect(),
        scores: scores(N as usize),
        strata: (0..N).map(stratum).collect(),
        groups: (0..N).map(group).collect(),
        decay_units: 1 << 40,
        stamp: 1000,
        ..ReportBatch::default()
    };
    store.apply(batch).await.unwrap();
    store
}

fn f(id: u64, score: f32) -> f64 {
    f64::from(score).sqrt() + f64::from(stratum(id)) + (id % 7) as f64 / 7.0
}

fn estimate(batch: &MinedBatch, of: impl Fn(u64, f32) -> f64) -> f64 {
    let weights = batch.columns.importance_weights.as_ref().expect("weighted");
    let scores = scores(N as usize);
    let sum: f64 = batch
        .columns
        .ids
        .iter()
        .zip(weights)
        .map(|(&id, &w)| f64::from(w) * of(id, scores[id as usize]))
        .sum();
    sum / batch.columns.ids.len() as f64
}

fn most<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut counts = HashMap::new();
    keys.for_each(|key| *counts.entry(key).or_insert(0) += 1);
    counts
}

fn limits() -> Vec<(&'static str, Balance)> {
    vec![
        ("fraction", Balance { max_stratum_fraction: 0.3, ..Balance::default() }),
        ("count", Balance { stratum_caps: vec![(0, StratumLimit::Count(5))], ..Balance::default() }),
        ("group", Balance { max_per_group: 1, ..Balance::default() }),
        ("equal", Balance { equal_shares: true, ..Balance::default() }),
        ("both", Balance { max_stratum_fraction: 0.4, max_per_group: 2, ..Balance::default() }),
    ]
}

/// Where the caps leave fewer samples than the batch has places, the race ends when every stratum is closed, and its weights are exact.
#[tokio::test]
async fn a_batch_that_caps_cannot_fill_ends_when_every_stratum_is_full() {
    let store = pool(SAMPLED, 5).await;
    let caps = (0..5).map(|stratum| (stratum, StratumLimit::Count(3))).collect();
    let balance = Balance { stratum_caps: caps, ..Balance::default() };
    for random_fraction in [0.0, 0.25] {
        let policy = Policy { balance: balance.clone(), ..policy(Strategy::Uniform, 1.0, random_fraction) };
        let batch = mine(context_of(&store, 400, policy, 3)).await.unwrap();
        assert_eq!(batch.columns.ids.len(), 15, "{random_fraction}");
        assert_eq!(batch.draw.approximations, [], "{random_fraction}");
        // About 95; a race that goes on until nothing is left takes 206 and 645.
        assert!(batch.draw.proposals < 150, "{random_fraction}: {}", batch.draw.proposals);
    }
}

#[tokio::test]
async fn limits_hold_exactly_for_every_strategy() {
    let store = pool(SAMPLED, 5).await;
    let strategies =
        [Strategy::Top, Strategy::Proportional, Strategy::Rank, Strategy::Uniform, Strategy::Stalest];
    for (name, balance) in limits() {
        for strategy in strategies {
            for epsilon in [0.0, 0.25, 1.0] {
                for seed in 0..20 {
                    let policy = Policy { balance: balance.clone(), ..policy(strategy, 1.0, epsilon) };
                    let batch = mine(context_of(&store, 40, policy, seed)).await.unwrap();
                    let case = format!("{name} {strategy:?} {epsilon}");
                    let strata = most(batch.columns.ids.iter().map(|id| stratum(*id)));
                    assert_eq!(
                        batch.columns.strata,
                        batch.columns.ids.iter().map(|id| stratum(*id)).collect::<Vec<_>>()
                    );
                    let cap = |s: u32| match name {
                        "fraction" => 12,
                        "count" if s == 0 => 5,
                        "both" => 16,
                        _ => 40,
                    };
                    assert!(strata.iter().all(|(s, n)| *n <= cap(*s)), "{case}: {strata:?}");
                    let per_group =
                        [("group", 1), ("both", 2)].iter().find(|g| g.0 == name).map_or(40, |g| g.1);
                    let grouped = batch.columns.ids.iter().map(|id| group(*id)).filter(|g| *g != 0);
                    assert!(most(grouped).values().all(|n| *n <= per_group), "{case}");
                    assert!(most(batch.columns.ids.iter()).values().all(|n| *n == 1), "{case}");
                    // STALEST chooses among the samples that its draws found, which may be too few for the shares. The other strategies
                    // fill the batch.
                    if strategy != Strategy::Stalest {
                        assert_eq!(batch.columns.ids.len(), 40, "{case}");
                        if name == "equal" {
                            assert!(strata.values().all(|n| *n == 8), "{case}: {strata:?}");
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_stratum_with_a_cap_of_0_is_never_served_and_the_estimand_is_eligible() {
    let store = pool(SAMPLED, 5).await;
    let balance = Balance { stratum_caps: vec![(0, StratumLimit::Fraction(0.0))], ..Balance::default() };
    for seed in 0..50 {
        let policy = Policy { balance: balance.clone(), ..policy(Strategy::Proportional, 1.0, 0.5) };
        let batch = mine(context_of(&store, 40, policy, seed)).await.unwrap();
        assert!(batch.columns.strata.iter().all(|s| *s != 0));
        assert_eq!(batch.draw.estimand, Estimand::Eligible);
        assert!(batch.draw.filtered.stratum > 0);
    }
}

#[tokio::test]
async fn minima_are_met_and_the_batch_has_no_weights() {
    let store = pool(SAMPLED, 5).await;
    let balance = Balance { min_per_stratum: 6, ..Balance::default() };
    for strategy in [Strategy::Proportional, Strategy::Top] {
        for seed in 0..50 {
            let policy = Policy { balance: balance.clone(), ..policy(strategy, 2.0, 0.25) };
            let batch = mine(context_of(&store, 40, policy, seed)).await.unwrap();
            let strata = most(batch.columns.strata.iter().copied());
            assert_eq!(batch.columns.ids.len(), 40);
            assert!((0..5).all(|s| strata[&s] >= 6), "{strata:?}");
            assert_eq!(batch.draw.estimand, Estimand::None);
            assert_eq!((batch.columns.importance_weights, batch.draw.eligible_fraction), (None, None));
        }
    }
    let too_many = Policy { balance: Balance { min_per_stratum: 9, ..balance }, ..Policy::default() };
    let refused = mine(context_of(&store, 40, too_many, 1)).await;
    assert!(matches!(refused, Err(PoolError::FailedPrecondition { reason: "TOO_MANY_STRATA", .. })));
}

/// One estimate from each of 400 pools with different salts. The limit is 4 standard errors: a right formula fails one case in 16,000. A
/// formula that ignores tau_A is off by more than 10 standard errors in these cases (see `weights_that_ignore_the_caps_are_biased`).
#[tokio::test]
async fn weights_are_unbiased_under_every_limit() {
    let scores = scores(N as usize);
    let truth = (0..N).map(|i| f(i, scores[i as usize])).sum::<f64>() / N as f64;
    for (name, balance) in limits() {
        for (strategy, epsilon) in
            [(Strategy::Proportional, 0.25), (Strategy::Rank, 0.5), (Strategy::Proportional, 1.0)]
        {
            let policy = Policy { balance: balance.clone(), ..policy(strategy, 1.0, epsilon) };
            let (mean, error) = over_pools(&policy, f).await;
            assert!(
                (mean - truth).abs() < 4.0 * error,
                "{name} {strategy:?} {epsilon}: {mean:.4} +- {error:.4}, truth {truth:.4}"
            );
        }
    }
}

/// Mean and standard error over pools.
async fn over_pools(policy: &Policy, of: impl Fn(u64, f32) -> f64 + Copy) -> (f64, f64) {
    let (mut sum, mut squares) = (0.0, 0.0);
    for salt in 0..400u64 {
        let store = pool(SAMPLED, salt.wrapping_mul(0x9e37_79b9) + 1).await;
        let batch = mine(context_of(&store, 40, policy.clone(), salt + 1)).await.unwrap();
        assert_eq!(batch.draw.estimand, Estimand::All);
        let e = estimate(&batch, of);
        sum += e;
        squares += e * e;
    }
    let mean = sum / 400.0;
    (mean, ((squares / 400.0 - mean * mean) / 400.0).sqrt())
}

/// Weights that ignore its cap would undercount the capped stratum, so the test above has the power to see the mistake.
#[tokio::test]
async fn weights_that_ignore_the_caps_are_biased() {
    let balance = Balance { stratum_caps: vec![(0, StratumLimit::Count(5))], ..Balance::default() };
    let policy = Policy { balance, ..policy(Strategy::Proportional, 1.0, 0.25) };
    let share = (0..N).filter(|id| stratum(*id) == 0).count() as f64 / N as f64;
    let of_stratum = |id: u64, _: f32| f64::from(u8::from(stratum(id) == 0));
    let (right, error) = over_pools(&policy, of_stratum).await;
    assert!((right - share).abs() < 4.0 * error, "{right:.4} +- {error:.4}, truth {share:.4}");
    // With tau in place of tau_A, pi of the capped stratum would be too large by about the ratio of the two.
    let store = pool(SAMPLED, 9).await;
    let mut wrong = 0.0;
    for seed in 0..100 {
        let batch = mine(context_of(&store, 40, policy.clone(), seed)).await.unwrap();
        let tau = |capped: bool| {
            let pi = batch.columns.inclusion_probabilities.as_ref().unwrap();
            let of = (0..40).filter(|i| (batch.columns.strata[*i] == 0) == capped).map(|i| f64::from(pi[i]));
            of.fold(0.0, f64::max)
        };
        wrong += f64::from(u8::from(tau(false) > tau(true)));
    }
    assert!(wrong > 90.0, "the capped stratum closes before the others: {wrong}");
}

/// The samples of three batches rest, in half of the pools under a lease and in the others because they may be served only once: mean(w f)
/// estimates the sum of f over the others, divided by N.
#[tokio::test]
async fn weights_are_unbiased_over_samples_that_do_not_rest() {
    let scores = scores(N as usize);
    let sum = |ids: &mut dyn Iterator<Item = u64>| ids.map(|i| f(i, scores[i as usize])).sum::<f64>();
    for balance in [Balance::default(), Balance { max_stratum_fraction: 0.3, ..Balance::default() }] {
        for strategy in [Strategy::Proportional, Strategy::Rank] {
            let policy = Policy { balance: balance.clone(), ..policy(strategy, 1.0, 0.25) };
            let (mut off, mut squares) = (0.0, 0.0);
            for salt in 0..400u64 {
                let store = pool(SAMPLED, salt.wrapping_mul(0x9e37_79b9) + 1).await;
                let mut resting = HashSet::new();
                for seed in 0..3 {
                    let mut context = context_of(&store, 40, Policy::default(), salt * 7 + seed);
                    context.serving.mark = if salt % 2 == 0 {
                        ServeMark { count: true, lease_until: Some(1 << 40), max_serves: u16::MAX }
                    } else {
                        ServeMark { count: true, lease_until: None, max_serves: 1 }
                    };
                    resting.extend(mine(context).await.unwrap().columns.ids);
                }
                assert_eq!(resting.len(), 120);
                let batch = mine(context_of(&store, 40, policy.clone(), salt + 1)).await.unwrap();
                assert_eq!(batch.draw.estimand, Estimand::Eligible);
                assert!(batch.columns.ids.iter().all(|id| !resting.contains(id)));
                let truth = sum(&mut (0..N).filter(|id| !resting.contains(id))) / N as f64;
                let e = estimate(&batch, f) - truth;
                off += e / 400.0;
                squares += e * e / 400.0;
            }
            let error = ((squares - off * off) / 400.0).sqrt();
            assert!(off.abs() < 4.0 * error, "{balance:?} {strategy:?}: {off:.4} +- {error:.4}");
        }
    }
}

/// The limit for the mean over 200 pools is 0.02: the share in a batch of 40 has a standard deviation of about 0.07, and the mean of 0.005.
#[tokio::test]
async fn the_mixture_has_the_wanted_share_under_limits_and_leases() {
    for (name, balance) in limits() {
        for epsilon in [0.25, 0.5] {
            let mut shares = [0.0; 2];
            for salt in 0..200u64 {
                let store = pool(SAMPLED, salt.wrapping_mul(0x9e37_79b9) + 1).await;
                let policy =
                    Policy { balance: balance.clone(), ..policy(Strategy::Proportional, 1.0, epsilon) };
                let batch = mine(context_of(&store, 40, policy.clone(), salt + 1)).await.unwrap();
                shares[0] += batch.draw.realized_random_fraction / 200.0;
                // Half of the background is under a lease.
                let everyone = Policy { random_fraction: 1.0, ..Policy::default() };
                let rests = mine(context_of(&store, 100, everyone, salt + 2)).await.unwrap().columns.ids;
                let mark = ServeMark { count: true, max_serves: u16::MAX, lease_until: Some(1 << 40) };
                store.serve(&Drawn::all(&rests, Source::Hard), mark).await.unwrap();
                let batch = mine(context_of(&store, 40, policy, salt + 3)).await.unwrap();
                shares[1] += batch.draw.realized_random_fraction / 200.0;
            }
            assert!((shares[0] - epsilon).abs() < 0.02, "{name} {epsilon}: {shares:?}");
            // The number of leases by stratum is not counted, so the share is less exact.
            let tolerance = if name == "group" { 0.03 } else { 0.06 };
            assert!((shares[1] - epsilon).abs() < tolerance, "{name} {epsilon} with leases: {shares:?}");
        }
    }
}
