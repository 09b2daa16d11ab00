//! Tests of the sampler against docs/methods.md 5 to 7, on the naive store. Seeds are fixed, so a test passes always or never. The error
//! rates in comments are those of a right formula under a fresh seed.

use super::*;
use crate::model::policy::Policy;
use crate::model::policy::{Normalization, Window};
use crate::store::key::Key;
use crate::store::key::{Hardness, HardnessFunction};
use crate::store::naive::NaiveStore;
use crate::store::{BackgroundSpec, ReportBatch, StoreSpec};
use crate::store::{ServeMark, ServePenalty, Store};

pub(super) struct Pool {
    pub(super) store: NaiveStore,
    pub(super) scores: Vec<f32>,
}

/// A pool of ids 0..scores.len(), reported once.
pub(super) async fn pool(
    scores: Vec<f32>,
    capacity: usize,
    background: BackgroundSpec,
    salt_seed: u64,
) -> Pool {
    let store = NaiveStore::new(StoreSpec {
        capacity,
        partitions: 3,
        background,
        hardness: Hardness { function: HardnessFunction::Power { offset: 1e-3 }, lower_is_harder: false },
        named: false,
        salt_seed,
        workers: 64,
    });
    store
        .apply(ReportBatch {
            ids: (0..scores.len() as u64).collect(),
            scores: scores.clone(),
            decay_units: 1 << 40,
            stamp: 1000,
            ..ReportBatch::default()
        })
        .await
        .unwrap();
    Pool { store, scores }
}

fn context(pool: &Pool, batch_size: usize, policy: Policy, seed: u64) -> MineContext<'_> {
    context_of(&pool.store, batch_size, policy, seed)
}

pub(super) fn context_of(store: &dyn Store, batch_size: usize, policy: Policy, seed: u64) -> MineContext<'_> {
    MineContext {
        store,
        policy,
        batch_size,
        requested: batch_size,
        excluded: HashSet::new(),
        seed,
        clock: DrawClock { now: Key(0), stamp: 1000, by_steps: false },
        pool: PoolTraits::default(),
        serving: Serving {
            penalty: ServePenalty::default(),
            mark: ServeMark { count: false, max_serves: u16::MAX, lease_until: None },
        },
        scan_limit: 1 << 20,
        strata_limit: 1 << 10,
        marking: &|| {},
        ranks: None,
    }
}

pub(super) fn policy(strategy: Strategy, alpha: f64, random_fraction: f64) -> Policy {
    Policy { strategy, alpha, random_fraction, ..Policy::default() }
}

/// Log-normal scores with a heavy tail, the same for every pool.
pub(super) fn scores(n: usize) -> Vec<f32> {
    let mut draws = Draws::new(17);
    (0..n)
        .map(|_| {
            let normal: f64 = (0..12).map(|_| draws.unit()).sum::<f64>() - 6.0;
            (normal * 1.2).exp() as f32
        })
        .collect()
}

fn f(id: u64, score: f32) -> f64 {
    f64::from(score).sqrt() + (id % 7) as f64 / 7.0
}

fn estimate(batch: &MinedBatch, scores: &[f32]) -> f64 {
    let weights = batch.columns.importance_weights.as_ref().expect("weighted");
    let sum: f64 = batch
        .columns
        .ids
        .iter()
        .zip(weights)
        .map(|(&id, &w)| f64::from(w) * f(id, scores[id as usize]))
        .sum();
    sum / batch.columns.ids.len() as f64
}

/// The true mean, and the mean and standard error of the estimates, one from each of `pools` pools with different salts
/// (docs/methods.md 7.2).
async fn over_pools(pools: u64, background: BackgroundSpec, policy: &Policy) -> (f64, f64, f64) {
    let scores = scores(600);
    let truth = (0..600).map(|i| f(i, scores[i as usize])).sum::<f64>() / 600.0;
    let (mut sum, mut squares) = (0.0, 0.0);
    for salt in 0..pools {
        let pool = pool(scores.clone(), 150, background, salt.wrapping_mul(0x9e37_79b9) + 1).await;
        let batch = mine(context(&pool, 40, policy.clone(), salt + 1)).await.unwrap();
        let e = estimate(&batch, &pool.scores);
        sum += e;
        squares += e * e;
    }
    let n = pools as f64;
    let mean = sum / n;
    (truth, mean, ((squares / n - mean * mean) / n).sqrt())
}

#[tokio::test]
async fn weights_are_unbiased_over_all_ids() {
    // The limit is 4 standard errors: a right formula fails one configuration in 16,000.
    let sampled = BackgroundSpec::Sampled { size: 100 };
    let whole = BackgroundSpec::Sampled { size: 1000 };
    let dense = BackgroundSpec::Dense { ids: 600 };
    let mut cases = Vec::new();
    for background in [sampled, whole, dense] {
        for epsilon in [0.1, 0.5, 1.0] {
            for alpha in [0.5, 1.0] {
                cases.push((background, policy(Strategy::Proportional, alpha, epsilon)));
            }
        }
        cases.push((background, policy(Strategy::Rank, 1.0, 0.25)));
        cases.push((background, policy(Strategy::Uniform, 1.0, 0.25)));
        cases.push((background, policy(Strategy::Top, 1.0, 0.25)));
        // epsilon B is 0.4: the background has a place only sometimes.
        cases.push((background, policy(Strategy::Top, 1.0, 0.01)));
        let mut windowed = policy(Strategy::Proportional, 1.0, 0.25);
        windowed.windows = vec![Window::Rank { min: 10, max: 80 }, Window::Score { min: 0.0, max: 8.0 }];
        cases.push((background, windowed));
    }
    for (background, policy) in cases {
        let (truth, mean, error) = over_pools(600, background, &policy).await;
        assert!(
            (mean - truth).abs() < 4.0 * error,
            "{background:?} {policy:?}: {mean} +- {error}, truth {truth}"
        );
    }
}

#[tokio::test]
async fn the_test_above_rejects_a_split_on_membership() {
    // The wrong formula of docs/methods.md 7.2: members of S stand for themselves even if only the background can bring them.
    let scores = scores(600);
    let truth = (0..600).map(|i| f(i, scores[i as usize])).sum::<f64>() / 600.0;
    let background = BackgroundSpec::Sampled { size: 100 };
    let (mut sum, mut squares) = (0.0, 0.0);
    for salt in 0..600u64 {
        let pool = pool(scores.clone(), 150, background, salt.wrapping_mul(0x9e37_79b9) + 1).await;
        let batch =
            mine(context(&pool, 40, policy(Strategy::Proportional, 1.0, 1.0), salt + 1)).await.unwrap();
        let p = batch.draw.sizes.background_probability;
        let ids: Vec<u64> = batch.columns.ids.clone();
        let rows = pool.store.get(&ids).await.unwrap();
        let weights = batch.columns.importance_weights.as_ref().unwrap();
        let n = ids.len() as f64;
        let e: f64 = rows
            .iter()
            .zip(weights)
            .map(|(row, &w)| {
                let row = row.unwrap();
                let split = if row.hard_key.is_some() { p } else { 1.0 };
                f64::from(w) * split * f(row.id, row.score)
            })
            .sum::<f64>()
            / n;
        sum += e;
        squares += e * e;
    }
    let mean = sum / 600.0;
    let error = ((squares / 600.0 - mean * mean) / 600.0).sqrt();
    assert!((mean - truth).abs() > 4.0 * error, "{mean} +- {error}, truth {truth}");
}

/// The upper 1e-6 quantile of chi-square, by the approximation of Wilson and Hilferty.
fn chi2_limit(degrees: usize) -> f64 {
    let k = degrees as f64;
    let z = 4.753;
    k * (1.0 - 2.0 / (9.0 * k) + z * (2.0 / (9.0 * k)).sqrt()).powi(3)
}

async fn first_draws(policy: &Policy, n: usize, draws: u64) -> (Pool, Vec<f64>) {
    let scores: Vec<f32> = (0..n).map(|i| 1.5f32.powi(i as i32 % 13) + 0.01 * i as f32).collect();
    let pool = pool(scores, n, BackgroundSpec::Sampled { size: 1000 }, 5).await;
    let mut counts = vec![0.0; n];
    for seed in 0..draws {
        let batch = mine(context(&pool, 1, policy.clone(), seed)).await.unwrap();
        counts[batch.columns.ids[0] as usize] += 1.0;
    }
    (pool, counts)
}

fn chi2(counts: &[f64], expected: &[f64]) -> (f64, usize) {
    let total: f64 = expected.iter().sum();
    let draws: f64 = counts.iter().sum();
    let mut cells = 0;
    let statistic = counts
        .iter()
        .zip(expected)
        .filter(|(_, e)| **e > 0.0)
        .map(|(c, e)| {
            cells += 1;
            let e = e / total * draws;
            (c - e).powi(2) / e
        })
        .sum();
    (statistic, cells - 1)
}

#[tokio::test]
async fn a_first_draw_follows_the_strategy() {
    for alpha in [0.5, 1.0, 2.0] {
        let (pool, counts) = first_draws(&policy(Strategy::Proportional, alpha, 0.0), 40, 20_000).await;
        let expected: Vec<f64> = pool.scores.iter().map(|s| f64::from(s + 1e-3).powf(alpha)).collect();
        let (statistic, degrees) = chi2(&counts, &expected);
        assert!(statistic < chi2_limit(degrees), "alpha {alpha}: {statistic} of {degrees}");
        let wrong: Vec<f64> = pool.scores.iter().map(|s| f64::from(s + 1e-3).powf(alpha * 1.15)).collect();
        assert!(chi2(&counts, &wrong).0 > chi2_limit(degrees), "the test would not see a wrong alpha");
    }
    let (_, counts) = first_draws(&policy(Strategy::Uniform, 1.0, 0.0), 40, 20_000).await;
    let (statistic, degrees) = chi2(&counts, &[1.0; 40]);
    assert!(statistic < chi2_limit(degrees), "{statistic} of {degrees}");
}

#[tokio::test]
async fn a_batch_holds_no_id_twice_and_keeps_its_mixture() {
    let pool = pool(scores(3000), 800, BackgroundSpec::Sampled { size: 500 }, 9).await;
    for strategy in
        [Strategy::Proportional, Strategy::Rank, Strategy::Uniform, Strategy::Top, Strategy::Stalest]
    {
        for epsilon in [0.0, 0.25, 0.5, 1.0] {
            let mut realized = 0.0;
            for seed in 0..40 {
                let batch = mine(context(&pool, 200, policy(strategy, 2.0, epsilon), seed)).await.unwrap();
                let distinct: HashSet<u64> = batch.columns.ids.iter().copied().collect();
                assert_eq!(distinct.len(), 200, "{strategy:?} {epsilon}");
                realized += batch.draw.realized_random_fraction / 40.0;
            }
            // The realized fraction counts the samples that the background brought. A sample of both sources may come from either.
            assert!((realized - epsilon).abs() < 0.03, "{strategy:?} {epsilon}: {realized}");
        }
    }
}

#[tokio::test]
async fn one_sample_with_nearly_all_the_mass_costs_little() {
    let mut scores = vec![1e-3f32; 5000];
    scores[1234] = 1e6;
    let pool = pool(scores, 5000, BackgroundSpec::Sampled { size: 1000 }, 3).await;
    for (alpha, epsilon) in [(1.0, 0.25), (4.0, 0.25), (16.0, 0.0), (1.0, 0.0)] {
        let batch =
            mine(context(&pool, 256, policy(Strategy::Proportional, alpha, epsilon), 8)).await.unwrap();
        assert_eq!(batch.columns.ids.len(), 256);
        assert!(batch.columns.ids.contains(&1234));
        assert!(batch.draw.proposals < 5000, "alpha {alpha}: {} proposals", batch.draw.proposals);
    }
}

#[tokio::test]
async fn a_selective_window_is_finished_by_one_pass_and_stays_exact() {
    // 15 of 1,500 samples pass the window, so 16 B proposals find few of them.
    let pool = pool(
        (0..1500).map(|i| 1.0 + (i % 97) as f32).collect(),
        1500,
        BackgroundSpec::Sampled { size: 10_000 },
        3,
    )
    .await;
    let mut windowed = policy(Strategy::Proportional, 1.0, 0.0);
    windowed.windows = vec![Window::Score { min: 3.0, max: 3.0 }];
    let eligible = (0..1500).filter(|i| i % 97 == 2).count();
    let batch = mine(context(&pool, 200, windowed.clone(), 1)).await.unwrap();
    assert_eq!(batch.columns.ids.len(), eligible, "exactly the samples that pass");
    assert!(batch.columns.ids.iter().all(|id| id % 97 == 2));
    let mut counts = vec![0.0; 1500];
    for seed in 0..1000 {
        for id in mine(context(&pool, 5, windowed.clone(), seed)).await.unwrap().columns.ids {
            counts[id as usize] += 1.0;
        }
    }
    let counts: Vec<f64> = (0..1500).filter(|i| i % 97 == 2).map(|i: usize| counts[i]).collect();
    let (statistic, degrees) = chi2(&counts, &vec![1.0; counts.len()]);
    assert!(statistic < chi2_limit(degrees), "{statistic} of {degrees}");
    windowed.random_fraction = 0.25;
    let batch = mine(context(&pool, 200, windowed.clone(), 1)).await.unwrap();
    assert_eq!(batch.columns.ids.len(), 200, "the background fills the batch");
    windowed.shortfall = Shortfall::Short;
    let batch = mine(context(&pool, 200, windowed.clone(), 1)).await.unwrap();
    assert_eq!(batch.columns.ids.len(), (eligible as f64 / 0.75) as usize);
    windowed.shortfall = Shortfall::Error;
    let refused = mine(context(&pool, 200, windowed, 1)).await;
    assert!(matches!(refused, Err(PoolError::FailedPrecondition { reason: "SHORTFALL", .. })));
}

#[tokio::test]
async fn exclusions_and_rank_windows_are_respected() {
    let pool = pool(scores(1000), 1000, BackgroundSpec::Dense { ids: 1000 }, 3).await;
    let mut order: Vec<u64> = (0..1000).collect();
    order.sort_by(|a, b| pool.scores[*b as usize].total_cmp(&pool.scores[*a as usize]));
    let mut windowed = policy(Strategy::Uniform, 1.0, 0.0);
    windowed.windows = vec![Window::Rank { min: 5, max: 105 }];
    let batch = mine(context(&pool, 500, windowed, 2)).await.unwrap();
    let got: HashSet<u64> = batch.columns.ids.iter().copied().collect();
    assert_eq!(got, order[5..105].iter().copied().collect());
    for strategy in [Strategy::Top, Strategy::Proportional, Strategy::Stalest] {
        let mut context = context(&pool, 300, policy(strategy, 1.0, 0.5), 2);
        context.excluded = order[..50].iter().copied().collect();
        let batch = mine(context).await.unwrap();
        assert_eq!(batch.columns.ids.len(), 300);
        assert!(batch.columns.ids.iter().all(|id| !order[..50].contains(id)));
    }
}

#[tokio::test]
async fn the_same_seed_gives_the_same_batch_and_normalizations_scale_weights() {
    let pool = pool(scores(1000), 300, BackgroundSpec::Sampled { size: 200 }, 3).await;
    let mut p = policy(Strategy::Proportional, 1.0, 0.25);
    let first = mine(context(&pool, 64, p.clone(), 11)).await.unwrap();
    let again = mine(context(&pool, 64, p.clone(), 11)).await.unwrap();
    assert_eq!(first.columns.ids, again.columns.ids);
    assert_eq!(first.columns.importance_weights, again.columns.importance_weights);
    p.normalization = Normalization::Max;
    let max = mine(context(&pool, 64, p.clone(), 11)).await.unwrap().columns.importance_weights.unwrap();
    assert_eq!(max.iter().copied().fold(0.0, f32::max), 1.0);
    p.normalization = Normalization::Mean;
    let mean = mine(context(&pool, 64, p, 11)).await.unwrap().columns.importance_weights.unwrap();
    assert!((mean.iter().sum::<f32>() / 64.0 - 1.0).abs() < 1e-5);
}

#[tokio::test]
async fn no_weight_exceeds_about_one_over_epsilon() {
    let scores: Vec<f32> = (0..3000).map(|i| 2f32.powf(-(i as f32) / 50.0)).collect();
    let pool = pool(scores, 1000, BackgroundSpec::Sampled { size: 3000 }, 4).await;
    for seed in 0..50 {
        let batch = mine(context(&pool, 128, policy(Strategy::Proportional, 1.0, 0.25), seed)).await.unwrap();
        let largest = batch.columns.importance_weights.unwrap().into_iter().fold(0.0, f32::max);
        assert!(largest < 1.5 / 0.25, "{largest}");
    }
}

#[tokio::test]
async fn an_empty_pool_gives_an_empty_batch() {
    let pool = pool(Vec::new(), 10, BackgroundSpec::Sampled { size: 16 }, 4).await;
    for strategy in
        [Strategy::Top, Strategy::Proportional, Strategy::Rank, Strategy::Uniform, Strategy::Stalest]
    {
        let batch = mine(context(&pool, 8, policy(strategy, 1.0, 0.25), 1)).await.unwrap();
        assert_eq!((batch.columns.ids.len(), batch.draw.shortfall_count), (0, 8));
    }
}
