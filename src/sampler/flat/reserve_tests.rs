//! Batches are full as long as either source, or the reserve, has samples (docs/methods.md 6.4), and stay unbiased.

use super::tests::{context_of, policy, pool, scores};
use super::*;
use crate::model::batch::Estimand;
use crate::model::policy::Policy;
use crate::store::{BackgroundSpec, ServeMark};

/// A value of a sample that is independent of its score.
fn value(id: u64) -> f64 {
    1.0 + (id % 5) as f64
}

const STRATEGIES: [(Strategy, f64); 6] = [
    (Strategy::Top, 1.0),
    (Strategy::Stalest, 1.0),
    (Strategy::Proportional, 1.0),
    (Strategy::Proportional, 4.0),
    (Strategy::Rank, 1.0),
    (Strategy::Uniform, 1.0),
];

#[tokio::test]
async fn a_batch_is_short_only_where_all_is_exhausted() {
    for members in [16, 256] {
        let pool = pool(scores(3_000), 2_000, BackgroundSpec::Sampled { size: members }, 5).await;
        // 2,000 hard samples and the members of R that are not among them.
        let all = {
            let everything = context_of(&pool.store, 4_000, policy(Strategy::Uniform, 1.0, 0.5), 1);
            mine(everything).await.unwrap().columns.len()
        };
        assert!(all >= 2_000, "{all}");
        for (strategy, alpha) in STRATEGIES {
            for epsilon in [0.01, 0.05, 0.25, 0.5, 0.9, 1.0] {
                for size in [32, 256, 1_024, 1_990, 2_500] {
                    let wanted = Policy { shortfall: Shortfall::Fill, ..policy(strategy, alpha, epsilon) };
                    let batch = mine(context_of(&pool.store, size, wanted.clone(), 3)).await.unwrap();
                    let case =
                        format!("{strategy:?} {alpha}, epsilon {epsilon}, {size} of {all}, |R| {members}");
                    assert_eq!(batch.columns.len(), size.min(all), "{case}");
                    let strict = Policy { shortfall: Shortfall::Error, ..wanted };
                    match mine(context_of(&pool.store, size, strict, 3)).await {
                        Ok(batch) => assert_eq!(batch.columns.len(), size, "{case}: ERROR and no error"),
                        Err(PoolError::FailedPrecondition { reason: "SHORTFALL", .. }) => {
                            assert!(size > all || (1.0 - epsilon) * size as f64 > 1_999.0, "{case}");
                        }
                        Err(error) => panic!("{case}: {error}"),
                    }
                }
            }
        }
    }
}

/// Lease after lease takes the background out, and the hard store fills the batches.
#[tokio::test]
async fn leased_batches_stay_full_until_all_is_leased() {
    for (strategy, alpha) in STRATEGIES {
        for epsilon in [0.05, 0.5, 0.9] {
            let pool = pool(scores(3_000), 2_000, BackgroundSpec::Sampled { size: 64 }, 6).await;
            let mut served = 0;
            for batch in 0..16 {
                let mut context = context_of(&pool.store, 128, policy(strategy, alpha, epsilon), batch);
                context.serving.mark =
                    ServeMark { count: true, lease_until: Some(1 << 40), max_serves: u16::MAX };
                served += mine(context).await.unwrap().columns.len();
                // All of the hard store, and at most all members outside it.
                let full = served == 128 * (batch as usize + 1);
                assert!(full || served >= 2_000, "{strategy:?} {epsilon}: batch {batch}, {served} served");
            }
        }
    }
}

/// The limit is 4 standard errors: a right formula fails one configuration in 16,000.
#[tokio::test]
async fn weights_are_unbiased_with_a_reserve() {
    const IDS: u64 = 400;
    let scores = scores(IDS as usize);
    let truth = (0..IDS).map(value).sum::<f64>() / IDS as f64;
    let mut reserves = 0;
    for (strategy, alpha, epsilon, size) in [
        (Strategy::Proportional, 2.0, 0.25, 150),
        (Strategy::Proportional, 2.0, 0.25, 205),
        (Strategy::Proportional, 4.0, 0.9, 190),
        (Strategy::Rank, 2.0, 0.5, 200),
        (Strategy::Uniform, 1.0, 1.0, 100),
        // Just the members of R: nothing is drawn from the reserve, and R stands for its samples.
        (Strategy::Uniform, 1.0, 1.0, 48),
        (Strategy::Top, 1.0, 0.5, 190),
        (Strategy::Top, 1.0, 0.9, 100),
    ] {
        let (mut sum, mut squares, pools) = (0.0, 0.0, 800);
        for salt in 0..pools {
            let background = BackgroundSpec::Sampled { size: 48 };
            let pool = pool(scores.clone(), 200, background, u64::wrapping_mul(salt, 0x9e37_79b9) + 1).await;
            let batch = mine(context_of(&pool.store, size, policy(strategy, alpha, epsilon), salt + 1))
                .await
                .unwrap();
            assert_eq!((batch.columns.len(), batch.draw.estimand), (size, Estimand::All));
            let weights = batch.columns.importance_weights.as_ref().unwrap();
            let weighted = batch.columns.ids.iter().zip(weights).map(|(id, w)| f64::from(*w) * value(*id));
            let estimate = weighted.sum::<f64>() / size as f64;
            sum += estimate;
            squares += estimate * estimate;
            let columns = &batch.columns;
            let is_certain = |(source, pi): (&Source, &f32)| {
                let p =
                    if *source == Source::Background { batch.draw.sizes.background_probability } else { 1.0 };
                f64::from(*pi) >= p - 1e-6
            };
            let inclusions = columns.inclusion_probabilities.as_ref().unwrap();
            let certain = columns.sources.iter().zip(inclusions).filter(|row| is_certain(*row)).count();
            // All of R and of H, and then not all of the reserve.
            reserves += u64::from((40..size).contains(&certain));
        }
        let n = pools as f64;
        let mean = sum / n;
        let error = ((squares / n - mean * mean) / n).sqrt();
        assert!(
            (mean - truth).abs() < 4.0 * error,
            "{strategy:?} {epsilon} {size}: {mean} +- {error}, truth {truth}"
        );
    }
    assert!(reserves > 800, "the reserve was opened {reserves} times: this test sees nothing");
}

/// A round of more ranks than there are samples would give each rank an empty batch.
#[tokio::test]
async fn fewer_samples_than_ranks_are_an_error() {
    let pool = pool(scores(10), 2_000, BackgroundSpec::Sampled { size: 64 }, 6).await;
    let mut context = context_of(&pool.store, 16, policy(Strategy::Proportional, 1.0, 0.25), 1);
    context.ranks =
        Some(Ranks { count: 16, hardness: crate::store::key::Hardness::default(), units_per_age: 0.0 });
    let refused = mine(context).await;
    assert!(
        matches!(&refused, Err(PoolError::FailedPrecondition { reason: "SHORTFALL", message }) if message.contains("16 ranks")),
        "{refused:?}"
    );
}
