//! Tests of draws that reject most members of the background: their cost and their probabilities.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::tests::{assert_unbiased, by_draw, report_of};
use crate::model::anchored_spec::AnchoredSpec;
use crate::model::error::PoolError;
use crate::model::limits::Limits;
use crate::model::negative_policy::{NegativePolicy, NegativeStrategy};
use crate::model::negatives::{MinedNegatives, NegativesRequest};
use crate::model::policy::Shortfall;
use crate::model::report::Ids;
use crate::model::spec::PoolSpec;
use crate::pool::Pool;
use crate::pool::admission::Patience;
use crate::pool::clock::TimeSource;
use crate::pool::registry::Registry;
use crate::store::BackgroundSpec;
use crate::store::fake::{self, Handle};

/// A pool in which anchor 1 has ids 0.. of these scores, and other anchors have ids up to `ids`, in `groups` groups.
async fn pool(scores: &[f32], ids: u64, groups: u64, scan_limit: usize) -> (Arc<Pool>, Arc<Handle>) {
    let limits = Limits { max_scan_rows: scan_limit, ..Limits::default() };
    let handle = Arc::new(Handle::default());
    let registry = Registry::new(fake::engine(&handle), limits.clone(), TimeSource::monotonic());
    let spec = PoolSpec { anchored: Some(AnchoredSpec::defaults(&limits)), ..PoolSpec::defaults(&limits) };
    let (pool, _) = registry.create("p", spec).await.unwrap();
    pool.report(report_of(scores, ids - scores.len() as u64, groups)).await.unwrap();
    (pool, handle)
}

async fn mine(
    pool: &Pool,
    anchors: Vec<u64>,
    k: u32,
    policy: NegativePolicy,
    exclude: Vec<u64>,
) -> Result<MinedNegatives, PoolError> {
    let request = NegativesRequest {
        anchors: Ids::U64(anchors),
        num_negatives: k,
        policy,
        exclude: Ids::U64(exclude),
        seed: Some(11),
        ..NegativesRequest::default()
    };
    pool.mine_negatives(request, Patience::Refuse).await
}

fn grouped() -> NegativePolicy {
    NegativePolicy { max_per_group: 1, ..NegativePolicy::default() }
}

/// 16 wanted of 8 groups, one of each: no walk through the whole background finds more than 8.
#[tokio::test]
async fn a_draw_cuts_the_background_off_after_too_many_rejected_members() {
    let (pool, handle) = pool(&[], 20_000, 8, 1 << 24).await;
    let mined = mine(&pool, vec![5], 16, grouped(), Vec::new()).await.unwrap();
    assert_eq!((mined.ids.len(), mined.shortfall_count), (8, 8));
    assert_eq!(mined.filtered.group, 1_024 + 16 * 16);
    let fetched = handle.fetched.load(Ordering::Relaxed);
    assert!(fetched < 2_000, "{fetched} members read");
    // ERROR says that the background was to blame.
    let policy = NegativePolicy { shortfall: Shortfall::Error, random_fraction: 1.0, ..grouped() };
    let PoolError::FailedPrecondition { reason, .. } =
        mine(&pool, vec![5], 16, policy, Vec::new()).await.unwrap_err()
    else {
        panic!("no shortfall")
    };
    assert_eq!(reason, "SHORTFALL");
}

/// A thousand such draws share the budget of the request: once it is used up, each draw cuts the background off at its first rejected
/// member.
#[tokio::test]
async fn the_draws_of_a_request_share_one_budget() {
    let (pool, _) = pool(&[], 4_000, 8, 10_000).await;
    let mined = mine(&pool, (5_000..6_000).collect(), 16, grouped(), Vec::new()).await.unwrap();
    assert!(mined.filtered.group <= 10_000 + 1_000, "{}", mined.filtered.group);
    assert_eq!(mined.offsets.len(), 1_001);
    // The negatives of the anchor arrive whatever the background has cost.
    let (pool, _) = self::pool(&[0.9, 0.8, 0.7], 4_000, 0, 1).await;
    let policy = NegativePolicy {
        strategy: NegativeStrategy::Proportional,
        random_fraction: 0.5,
        ..NegativePolicy::default()
    };
    let mined = mine(&pool, vec![1; 100], 8, policy, (3..4_000).collect()).await.unwrap();
    for draw in mined.offsets.windows(2) {
        let mut ids = mined.ids[draw[0] as usize..draw[1] as usize].to_vec();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2]);
    }
}

/// Removed ids of a dense space are found to be gone one by one.
#[tokio::test]
async fn removed_ids_of_a_dense_space_count_as_rejected() {
    let limits = Limits::default();
    let handle = Arc::new(Handle::default());
    let registry = Registry::new(fake::engine(&handle), limits.clone(), TimeSource::monotonic());
    let spec = PoolSpec {
        anchored: Some(AnchoredSpec::defaults(&limits)),
        background: BackgroundSpec::Dense { ids: 50_000 },
        ..PoolSpec::defaults(&limits)
    };
    let (pool, _) = registry.create("p", spec).await.unwrap();
    pool.remove(Ids::U64((0..49_999).collect())).await.unwrap();
    let mined = mine(&pool, vec![5], 4, NegativePolicy::default(), Vec::new()).await.unwrap();
    assert!(mined.ids.len() <= 1);
    let fetched = handle.fetched.load(Ordering::Relaxed);
    assert!(fetched < 2_000, "{fetched} members read");
}

/// Whether the cut ends a draw, or own negatives go on after it. z of 5 for each of 20 ids: a right formula fails under one seed in
/// 80,000, and the seeds are fixed.
#[tokio::test]
async fn a_cut_leaves_inclusion_probabilities_unbiased() {
    // (scores of the own, others that may come, k, exponent)
    for (scores, others, k, alpha) in
        [(vec![0.9, 0.7, 0.5, 0.3], 10, 16, 1.0), (vec![1.0, 0.5, 0.5, 0.5], 2, 2, 16.0)]
    {
        let (pool, _) = pool(&scores, 3_000, 0, 1 << 30).await;
        let own = scores.len() as u64;
        let policy = NegativePolicy {
            strategy: NegativeStrategy::Proportional,
            alpha,
            random_fraction: 0.5,
            ..NegativePolicy::default()
        };

        let excluded = (own + others..3_000).collect();
        let mined = mine(&pool, vec![1; 8_192], k, policy, excluded).await.unwrap();
        let draws = by_draw(mined);
        assert_unbiased(&draws, own + others);
        let rare = (0..own + others)
            .filter(|id| draws.iter().flatten().filter(|row| row.0 == *id).count() < draws.len() * 3 / 4)
            .count();
        assert!(rare >= others as usize, "else the cut made no difference: {rare}");
    }
}
