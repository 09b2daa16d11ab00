//! Tests of the draws of anchored pools, without a server.

use crate::model::anchored_spec::AnchoredSpec;
use crate::model::batch::Source;
use crate::model::error::PoolError;
use crate::model::limits::Limits;
use crate::model::negative_policy::{DistanceWeighting, NegativePolicy, NegativeStrategy};
use crate::model::negatives::{MinedNegatives, NegativesRequest};
use crate::model::policy::Shortfall;
use crate::model::report::{Ids, Report};
use crate::model::spec::{IdKind, PoolSpec};
use crate::pool::Pool;
use crate::pool::admission::Patience;
use crate::pool::clock::TimeSource;
use crate::pool::registry::Registry;
use crate::store::fake::{self, Handle};
use crate::store::naive_engine::NaiveEngine;
use crate::store::{BackgroundSpec, Engine};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A pool of which `change` says what is not default, with one report.
async fn pool_of(change: impl FnOnce(&mut PoolSpec), report: Report) -> Arc<Pool> {
    pool_in(Arc::new(NaiveEngine::default()), change, report).await
}

async fn pool_in(engine: Arc<dyn Engine>, change: impl FnOnce(&mut PoolSpec), report: Report) -> Arc<Pool> {
    let limits = Limits::default();
    let registry = Registry::new(engine, limits.clone(), TimeSource::monotonic());
    let mut spec =
        PoolSpec { anchored: Some(AnchoredSpec::defaults(&limits)), ..PoolSpec::defaults(&limits) };
    change(&mut spec);
    let (pool, _) = registry.create("p", spec).await.unwrap();
    pool.report(report).await.unwrap();
    pool
}

/// Anchors 0..`anchors` with eight negatives each, of 512 ids.
async fn pool(anchors: u64) -> Arc<Pool> {
    let rows = anchors * 8;
    let report = Report {
        anchors: Some(Ids::U64((0..rows).map(|row| row / 8).collect())),
        ids: Ids::U64((0..rows).map(|row| row * 2_654_435_761 % 512).collect()),
        scores: (0..rows).map(|row| 0.1 + (row % 101) as f32 / 100.0).collect(),
        ..Report::default()
    };
    pool_of(|_| (), report).await
}

/// Anchor 1 has ids 0.. of these scores, in `groups` groups; `others` more ids are known.
pub(super) fn report_of(scores: &[f32], others: u64, groups: u64) -> Report {
    let own = scores.len() as u64;
    let ids = 0..own + others;
    Report {
        anchors: Some(Ids::U64(ids.clone().map(|id| if id < own { 1 } else { 1_000 + id / 16 }).collect())),
        scores: ids.clone().map(|id| scores.get(id as usize).copied().unwrap_or(0.5)).collect(),
        groups: Ids::U64(ids.clone().filter(|_| groups > 0).map(|id| 1 + id % groups).collect()),
        ids: Ids::U64(ids.collect()),
        ..Report::default()
    }
}

/// Draws for anchor 1, as often as `draws`: ids with their probabilities.
async fn draws(
    pool: &Pool,
    draws: usize,
    num_negatives: u32,
    policy: NegativePolicy,
) -> Vec<Vec<(u64, f64)>> {
    seeded_draws(pool, draws, num_negatives, policy, 3).await
}

async fn seeded_draws(
    pool: &Pool,
    draws: usize,
    num_negatives: u32,
    policy: NegativePolicy,
    seed: u64,
) -> Vec<Vec<(u64, f64)>> {
    let request = NegativesRequest {
        anchors: Ids::U64(vec![1; draws]),
        num_negatives,
        policy,
        exclude: Ids::default(),
        seed: Some(seed),
        ..NegativesRequest::default()
    };
    let mined = pool.mine_negatives(request, Patience::Refuse).await.unwrap();
    by_draw(mined)
}

/// Ids with their probabilities.
pub(super) fn by_draw(mined: MinedNegatives) -> Vec<Vec<(u64, f64)>> {
    let probabilities = mined.inclusion_probabilities.unwrap();
    let rows: Vec<(u64, f64)> = mined.ids.into_iter().zip(probabilities.into_iter().map(f64::from)).collect();
    mined.offsets.windows(2).map(|w| rows[w[0] as usize..w[1] as usize].to_vec()).collect()
}

/// Of ids 0..n, 1/pi averages to 1 over draws, it being 0 where the id did not come: z of 5 for each.
pub(super) fn assert_unbiased(draws: &[Vec<(u64, f64)>], n: u64) {
    for id in 0..n {
        let estimates: Vec<f64> = draws
            .iter()
            .map(|draw| draw.iter().find(|row| row.0 == id).map_or(0.0, |row| 1.0 / row.1))
            .collect();
        let n = estimates.len() as f64;
        let mean = estimates.iter().sum::<f64>() / n;
        let error = (estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
        assert!((mean - 1.0).abs() < 5.0 * error + 1e-6, "id {id}: {mean} +- {error}");
    }
}

/// Masses e^777 and e^1,050 below the largest: drawn in this order, but for one in e^272 draws.
#[tokio::test]
async fn masses_beyond_a_floats_reach_are_told_apart() {
    let distances = |spec: &mut PoolSpec| spec.hardness.lower_is_harder = true;
    let pool = pool_of(distances, report_of(&[1.2, 0.9, 0.5], 400, 0)).await;
    let weighting = DistanceWeighting::of_dimension(1_536);
    let policy = |random_fraction| NegativePolicy {
        strategy: NegativeStrategy::DistanceWeighted,
        distance_weighting: Some(weighting),
        random_fraction,
        // The other samples have no distance from the anchor.
        unscored: true,
        ..NegativePolicy::default()
    };
    for draw in draws(&pool, 1_000, 2, policy(0.0)).await {
        assert_eq!(draw.iter().map(|row| row.0).collect::<Vec<_>>(), [2, 1]);
        assert!((draw[0].1, draw[1].1) == (1.0, 1.0), "tau is e^272 of the second's time: {draw:?}");
    }
    for share in [0.0, 0.25, 1.0] {
        for (_, pi) in draws(&pool, 1_000, 4, policy(share)).await.concat() {
            assert!(pi > 0.0 && pi <= 1.0, "{pi} at {share}");
        }
    }
}

/// One eligible negative, one wanted: the background still has about its share. Fixed seed; a right formula fails under one in
/// 10,000 by z of 5 for 33 ids and a sampling error of 0.003 in 0.03.
#[tokio::test]
async fn a_single_wanted_negative_can_come_from_either_source() {
    let pool = pool_of(|_| (), report_of(&[0.9], 32, 0)).await;
    for strategy in [NegativeStrategy::Proportional, NegativeStrategy::Random] {
        let policy = NegativePolicy { strategy, random_fraction: 0.25, ..NegativePolicy::default() };
        let draws = draws(&pool, 20_000, 1, policy).await;
        assert!(draws.iter().flatten().all(|row| row.1 > 0.0 && row.1 <= 1.0));
        let random = draws.iter().filter(|draw| draw[0].0 > 0).count() as f64 / 20_000.0;
        assert!((random - 0.25).abs() < 0.03, "{random}");
        assert_unbiased(&draws, 33);
    }
}

/// Fixed seed; a right formula fails under one seed in 20,000 (z of 5, 64 ids).
#[tokio::test]
async fn group_caps_and_the_background_together_leave_probabilities_unbiased() {
    let scores: Vec<f32> = (0..16).map(|i| 0.1 + i as f32 / 16.0).collect();
    let pool = pool_of(|_| (), report_of(&scores, 16, 5)).await;
    let policy = |max_per_group, random_fraction| NegativePolicy {
        strategy: NegativeStrategy::Proportional,
        alpha: 2.0,
        max_per_group,
        random_fraction,
        ..NegativePolicy::default()
    };
    for (max_per_group, share, k) in [(1, 0.5, 3), (2, 0.25, 6)] {
        let draws = draws(&pool, 30_000, k, policy(max_per_group, share)).await;
        for draw in &draws {
            let of_group = |group: u64| draw.iter().filter(|row| row.0 % 5 == group).count();
            assert!((0..5).all(|group| of_group(group) <= max_per_group as usize));
        }
        assert_unbiased(&draws, 32);
    }
}

/// A name that the background lost between the draw and the answer is a row fewer, or the error that ERROR stands for.
#[tokio::test]
async fn a_negative_that_lost_its_name_counts_as_shortfall() {
    let handle = Arc::new(Handle::default());
    let pool = pool_in(
        fake::engine(&handle),
        |spec| spec.id_kind = IdKind::Name,
        Report {
            anchors: Some(Ids::U64(vec![1, 2])),
            ids: Ids::Names(vec!["own".into(), "other".into()]),
            scores: vec![0.9, 0.8],
            ..Report::default()
        },
    )
    .await;
    let mined = async |shortfall| {
        let policy = NegativePolicy {
            strategy: NegativeStrategy::Random,
            random_fraction: 0.5,
            shortfall,
            ..NegativePolicy::default()
        };
        let request =
            NegativesRequest { anchors: Ids::U64(vec![1]), num_negatives: 2, policy, ..Default::default() };
        pool.mine_negatives(request, Patience::Refuse).await
    };
    assert_eq!(mined(Shortfall::Error).await.unwrap().names.unwrap().len(), 2);
    handle.all_gone.store(true, Ordering::Relaxed);
    let left = mined(Shortfall::Fill).await.unwrap();
    assert_eq!((left.names.unwrap(), left.shortfall_count), (vec!["own".into()], 1));
    match mined(Shortfall::Error).await {
        Err(PoolError::FailedPrecondition { reason: "SHORTFALL", message }) => {
            assert!(message.starts_with("anchors[0] (1) lost"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

/// What an anchor gets, and what is counted of it, is the same whatever other anchors it is asked with: a draw that has ended
/// does not go on while others read the background.
#[tokio::test]
async fn the_draw_of_an_anchor_does_not_depend_on_other_anchors() {
    let pool = pool(32).await;
    let excluded: Vec<u64> = (0..256).collect();
    for random_fraction in [0.0, 0.5] {
        let request = |anchors: std::ops::Range<u64>| NegativesRequest {
            anchors: Ids::U64(anchors.collect()),
            num_negatives: 12,
            policy: NegativePolicy {
                strategy: NegativeStrategy::Proportional,
                random_fraction,
                ..NegativePolicy::default()
            },
            exclude: Ids::U64(excluded.clone()),
            seed: Some(5),
            ..NegativesRequest::default()
        };
        let one = pool.mine_negatives(request(0..1), Patience::Refuse).await.unwrap();
        let all = pool.mine_negatives(request(0..32), Patience::Refuse).await.unwrap();
        assert_eq!(one.ids, all.ids[..all.offsets[1] as usize]);
        // Half of the background is excluded: about as many proposals fail as succeed, own negatives apart.
        let background = all.count_from(crate::model::batch::Source::Background) as f64;
        let failed = all.filtered.excluded as f64;
        assert!(failed < 1.7 * background + 32.0 * 6.0, "{failed} proposals failed for {background} rows");
    }
}

/// Σ1/π of the own ids of anchor 1 (`own` of them), divided by the number of those that may be served, and of all other ids, in each of many
/// pools, each with a salt of its own and a background that holds a quarter of the ids. Anchors have label 1.
async fn counted(
    policy: &NegativePolicy,
    own: u64,
    num_negatives: u32,
    label_of: fn(u64) -> u32,
) -> [Vec<f64>; 2] {
    const OTHERS: u64 = 1_008;
    let served = |ids: std::ops::Range<u64>| ids.filter(|id| label_of(*id) != 1).count() as f64;
    let mut found = [Vec::new(), Vec::new()];
    for seed in 0..120 {
        let scores: Vec<f32> = (0..own).map(|i| 0.1 + (i * i) as f32 / 64.0).collect();
        let sampled = |spec: &mut PoolSpec| spec.background = BackgroundSpec::Sampled { size: 256 };
        let plain = report_of(&scores, OTHERS, 0);
        let labels: Vec<u32> = (0..own + OTHERS).map(label_of).collect();
        let report = Report { anchor_labels: vec![1; labels.len()], labels, ..plain };
        let pool = pool_of(sampled, report).await;
        let draws = seeded_draws(&pool, 400, num_negatives, policy.clone(), seed).await;
        let sum = |is_own: bool| {
            let rows = draws.iter().flatten().filter(|(id, _)| (*id < own) == is_own);
            rows.map(|(_, pi)| 1.0 / pi).sum::<f64>() / draws.len() as f64
        };
        assert!(draws.iter().flatten().all(|(id, _)| label_of(*id) != 1), "of the anchor's label");
        found[0].push(sum(true) / served(0..own));
        found[1].push(sum(false) / served(own..own + OTHERS));
    }
    found
}

/// Σ1/π counts the candidates, own and others, if the background is a sample (docs/methods.md 10.4). The pools draw their salts, so the
/// limit is z of 5, beside the stated bias of 1/256: a right formula fails one run in 150,000 (12 figures). A π that leaves out p counts a
/// quarter of the others. With labels two thirds of the ids are candidates.
#[tokio::test]
async fn probabilities_are_marginal_over_the_background() {
    let proportional = |random_fraction| NegativePolicy {
        strategy: NegativeStrategy::Proportional,
        random_fraction,
        ..NegativePolicy::default()
    };
    let fill = NegativePolicy { strategy: NegativeStrategy::Random, ..NegativePolicy::default() };
    // At random_fraction 0.97 an own negative comes from the background about as often as on its own.
    let none: fn(u64) -> u32 = |_| 0;
    let thirds: fn(u64) -> u32 = |id| (id % 3) as u32;
    let cases = [
        (proportional(0.25), 8, none),
        (proportional(0.97), 48, none),
        (proportional(1.0), 8, none),
        (fill.clone(), 24, none),
        (proportional(0.5), 8, thirds),
        (fill, 24, thirds),
    ];
    for (policy, k, label_of) in cases {
        for (figures, whose) in counted(&policy, 16, k, label_of).await.iter().zip(["own", "others"]) {
            let n = figures.len() as f64;
            let mean = figures.iter().sum::<f64>() / n;
            let error = (figures.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
            let allowed = 5.0 * error + 1.0 / 256.0;
            let case = format!("{whose} at {} of {k}: {mean} +- {error}", policy.random_fraction);
            assert!((mean - 1.0).abs() < allowed, "{case}");
            assert!(error < 0.06, "enough draws to tell: {case}");
        }
    }
}

/// The answer tells the sizes of the pool, and how many rows FILL added.
#[tokio::test]
async fn what_fills_up_is_counted_apart_from_the_share_of_the_background() {
    let sampled = |spec: &mut PoolSpec| spec.background = BackgroundSpec::Sampled { size: 256 };
    let pool = pool_of(sampled, report_of(&[0.9, 0.8, 0.7, 0.6], 1_996, 0)).await;
    let mined = async |anchors: Vec<u64>, random_fraction, strategy| {
        let policy = NegativePolicy { strategy, random_fraction, ..NegativePolicy::default() };
        let request =
            NegativesRequest { anchors: Ids::U64(anchors), num_negatives: 8, policy, ..Default::default() };
        pool.mine_negatives(request, Patience::Refuse).await.unwrap()
    };
    for strategy in [NegativeStrategy::Top, NegativeStrategy::Random] {
        let filled = mined(vec![1, 1, 77], 0.0, strategy).await;
        assert_eq!((filled.count_from(Source::Background), filled.filled_count()), (16, 16), "{strategy:?}");
        assert_eq!((filled.sizes.hard, filled.sizes.background), (4 + 1_996, 256));
        let p = filled.sizes.background_probability;
        assert!((p * filled.sizes.distinct - 256.0).abs() < 1e-6 && (0.08..0.2).contains(&p), "{p}");
        // 4 of 8 are wanted from the background, and the anchor has the other 4.
        let shared = mined(vec![1; 10], 0.5, strategy).await;
        assert!(shared.count_from(Source::Background) > 0);
        assert_eq!(shared.filled_count(), 0, "{strategy:?}");
        let most = mined(vec![77], 0.5, strategy).await;
        assert_eq!((most.count_from(Source::Background), most.filled_count()), (8, 4), "{strategy:?}");
    }
}
