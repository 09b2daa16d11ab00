//! Statistical claims about anchored pools, tested over the real gRPC API (docs/methods.md 10.3 and 10.4).
//!
//! Pools draw their own salts, so each run has new random numbers. A correct formula fails one run in a million for each limit
//! (z of 5, chi-square at 1e-6); where a formula could be mistaken, a wrong one must fail. An anchor that is given many times
//! is drawn for as many times, so one call is thousands of draws.

use super::*;
use hardneg::proto::columns::{decode_floats, decode_u64s};
use pb::NegativeStrategy as Strategy;

/// A function of the negatives of a draw and their probabilities.
type Estimate<'a> = dyn Fn(&[(u64, f64)]) -> f64 + 'a;

const DRAWS: usize = 65_536;

fn u64s(values: Vec<u64>) -> Option<pb::IdColumn> {
    Some(pb::IdColumn { encoding: Some(pb::id_column::Encoding::U64s(pb::U64s { values })) })
}

fn floats(values: Vec<f32>) -> Option<pb::FloatColumn> {
    let encoding = Some(pb::float_column::Encoding::Floats(pb::Floats { values }));
    Some(pb::FloatColumn { encoding, ..Default::default() })
}

/// A pool of distances or similarities in which anchor 1 has ids 0.. with these scores, and anchors from 1,000 on have `others`
/// more ids.
async fn pool(client: &Client, lower_is_harder: bool, scores: &[f32], others: u64) {
    let spec = pb::PoolSpec {
        kind: pb::PoolKind::Anchored.into(),
        anchored: Some(pb::AnchoredSpec { negatives_per_anchor: 64, ..Default::default() }),
        hardness: Some(pb::Hardness { lower_is_harder, ..Default::default() }),
        decay: Some(pb::Decay { half_life: Some(pb::decay::HalfLife::Disabled(true)), max_step_jump: 0 }),
        ..Default::default()
    };
    client.create_pool("p", spec).await.expect("created");
    let own = scores.len() as u64;
    report(client, vec![1; scores.len()], (0..own).collect(), scores.to_vec()).await;
    let ids: Vec<u64> = (own..own + others).collect();
    let anchors = ids.iter().map(|id| 1_000 + id / 32).collect();
    report(client, anchors, ids.clone(), vec![0.5; ids.len()]).await;
}

async fn report(client: &Client, anchors: Vec<u64>, ids: Vec<u64>, scores: Vec<f32>) {
    let batch = pb::ScoreBatch {
        pool: "pools/p".into(),
        positive_scores: floats(vec![0.75; ids.len()]),
        anchors: u64s(anchors),
        ids: u64s(ids),
        scores: floats(scores),
        ..Default::default()
    };
    let request = pb::ReportScoresRequest { batch: Some(batch) };
    client.mining_service().report_scores(request).await.expect("reported");
}

/// Draws negatives of anchor 1 `draws` times: ids and inclusion probabilities, draw by draw.
async fn mine(client: &Client, k: u32, draws: usize, policy: pb::NegativePolicy) -> Vec<Vec<(u64, f64)>> {
    let request = pb::MineNegativesRequest {
        pool: "pools/p".into(),
        anchors: u64s(vec![1; draws]),
        num_negatives: k,
        policy: Some(policy),
        ..Default::default()
    };
    let answer = client.mining_service().mine_negatives(request).await.expect("mined").into_inner();
    let ids = decode_u64s(answer.ids).expect("integers");
    let probabilities = decode_floats(answer.inclusion_probabilities).expect("drawn");
    let rows: Vec<(u64, f64)> = ids.into_iter().zip(probabilities.into_iter().map(f64::from)).collect();
    answer.offsets.windows(2).map(|w| rows[w[0] as usize..w[1] as usize].to_vec()).collect()
}

fn of(strategy: Strategy) -> pb::NegativePolicy {
    pb::NegativePolicy { strategy: strategy.into(), ..Default::default() }
}

/// How often each of n ids came first.
fn firsts(draws: &[Vec<(u64, f64)>], n: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n];
    draws.iter().for_each(|draw| counts[draw[0].0 as usize] += 1.0);
    counts
}

#[tokio::test]
async fn first_draws_follow_their_strategy() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let scores: Vec<f32> = (0..32).map(|i| 0.1 + i as f32 / 40.0).collect();
    pool(&client, false, &scores, 0).await;
    let n = scores.len();
    let limit = chi2_limit(n - 1);
    let random = firsts(&mine(&client, 4, DRAWS, of(Strategy::Random)).await, n);
    assert!(chi2(&random, &vec![1.0; n]) < limit, "{}", chi2(&random, &vec![1.0; n]));
    let masses =
        |alpha: f64| -> Vec<f64> { scores.iter().map(|s| (f64::from(*s) + 1e-3).powf(alpha)).collect() };
    for alpha in [1.0, 3.0] {
        let policy = pb::NegativePolicy { alpha: Some(alpha), ..of(Strategy::Proportional) };
        let counts = firsts(&mine(&client, 4, DRAWS, policy).await, n);
        assert!(chi2(&counts, &masses(alpha)) < limit, "alpha {alpha}: {}", chi2(&counts, &masses(alpha)));
        assert!(chi2(&counts, &masses(alpha + 0.3)) > limit, "another exponent must fail");
    }
    // Those in 0.75 - 0.25 .. 0.75 are drawn with the same probability.
    let policy = pb::NegativePolicy { semi_hard_margin: Some(0.25), ..of(Strategy::SemiHard) };
    let counts = firsts(&mine(&client, 4, DRAWS, policy).await, n);
    let inside: Vec<usize> = (0..n).filter(|i| scores[*i] > 0.5 && scores[*i] < 0.75).collect();
    assert!((0..n).all(|i| inside.contains(&i) || counts[i] == 0.0));
    let inside: Vec<f64> = inside.into_iter().map(|i| counts[i]).collect();
    assert!(chi2(&inside, &vec![1.0; inside.len()]) < chi2_limit(inside.len() - 1));
}

#[tokio::test]
async fn distance_weighted_draws_by_the_inverse_density() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let distances: Vec<f32> = (0..32).map(|i| 0.3 + i as f32 / 25.0).collect();
    pool(&client, true, &distances, 0).await;
    let dimension = 8;
    let policy = pb::NegativePolicy {
        distance_weighting: Some(pb::DistanceWeighting { dimension, cutoff: 0.5, max_distance: 1.4 }),
        ..of(Strategy::DistanceWeighted)
    };
    let counts = firsts(&mine(&client, 4, DRAWS, policy).await, distances.len());
    let near: Vec<usize> = (0..distances.len()).filter(|i| f64::from(distances[*i]) <= 1.4).collect();
    assert!(near.len() < distances.len());
    assert!((0..distances.len()).all(|i| near.contains(&i) || counts[i] == 0.0), "beyond the loss's reach");
    let counts: Vec<f64> = near.iter().map(|i| counts[*i]).collect();
    let masses = |power: f64, cutoff: f64| -> Vec<f64> {
        let q = |d: f64| d.powf(power) * (1.0 - d * d / 4.0).powf((f64::from(dimension) - 3.0) / 2.0);
        near.iter().map(|i| 1.0 / q(f64::from(distances[*i]).max(cutoff))).collect()
    };
    let limit = chi2_limit(near.len() - 1);
    let right = chi2(&counts, &masses(f64::from(dimension) - 2.0, 0.5));
    assert!(right < limit, "{right}");
    assert!(chi2(&counts, &masses(f64::from(dimension) - 1.0, 0.5)) > limit, "d^(n-1) must fail");
    assert!(chi2(&counts, &masses(f64::from(dimension) - 2.0, 0.3)) > limit, "so must another cutoff");
}

/// The sum of f/pi over a draw estimates the sum of f over all candidates; with n/k in place of 1/pi it does not.
#[tokio::test]
async fn inclusion_probabilities_are_unbiased() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let scores: Vec<f32> = (0..24).map(|i| 0.05 + (i * i) as f32 / 600.0).collect();
    let others = 40;
    pool(&client, false, &scores, others).await;
    let n = scores.len() as u64;
    let f = |id: u64| 1.0 + (id % 7) as f64 + if id < n { f64::from(scores[id as usize]) * 5.0 } else { 0.0 };
    // With random_fraction 0 the candidates are the anchor's negatives, otherwise all ids.
    let cases = [
        (of(Strategy::Random), 0.0, 6, n),
        (of(Strategy::Proportional), 0.0, 6, n),
        (pb::NegativePolicy { alpha: Some(3.0), ..of(Strategy::Proportional) }, 0.0, 6, n),
        (of(Strategy::Proportional), 0.25, 8, n + others),
        (pb::NegativePolicy { alpha: Some(3.0), ..of(Strategy::Proportional) }, 0.5, 8, n + others),
        (of(Strategy::Random), 1.0, 8, n + others),
    ];
    for (policy, share, k, population) in cases {
        let policy = pb::NegativePolicy { random_fraction: Some(share), ..policy };
        let draws = mine(&client, k, DRAWS, policy).await;
        let truth: f64 = (0..population).map(f).sum();
        let z = |estimate: &Estimate<'_>| {
            let all: Vec<f64> = draws.iter().map(|draw| estimate(draw)).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (all.len() - 1) as f64;
            (mean - truth) / (variance / all.len() as f64).sqrt()
        };
        let weighted = z(&|draw| draw.iter().map(|(id, pi)| f(*id) / pi).sum());
        assert!(weighted.abs() < Z_LIMIT, "{policy:?}: z {weighted}");
        if share < 1.0 && policy.strategy() == Strategy::Proportional {
            let plain = population as f64 / f64::from(k);
            let unweighted = z(&|draw| draw.iter().map(|(id, _)| f(*id) * plain).sum());
            assert!(unweighted.abs() > Z_LIMIT, "a draw by hardness is no uniform one: z {unweighted}");
        }
    }
}

#[tokio::test]
async fn group_caps_leave_inclusion_probabilities_unbiased() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let scores: Vec<f32> = (0..12).map(|i| 0.2 + i as f32 / 10.0).collect();
    pool(&client, false, &[], 0).await;
    let batch = pb::ScoreBatch {
        pool: "pools/p".into(),
        anchors: u64s(vec![1; 12]),
        ids: u64s((0..12).collect()),
        scores: floats(scores),
        groups: u64s((0..12).map(|i| 1 + i / 4).collect()),
        ..Default::default()
    };
    let request = pb::ReportScoresRequest { batch: Some(batch) };
    client.mining_service().report_scores(request).await.expect("reported");
    let policy = pb::NegativePolicy {
        max_per_group: 1,
        shortfall: pb::Shortfall::Short.into(),
        ..of(Strategy::Proportional)
    };
    let draws = mine(&client, 2, DRAWS, policy).await;
    let mut errors: HashMap<u64, Vec<f64>> = HashMap::new();
    for draw in &draws {
        for id in 0..12 {
            let estimate = draw.iter().find(|row| row.0 == id).map_or(0.0, |row| 1.0 / row.1);
            errors.entry(id).or_default().push(estimate);
        }
    }
    for (id, estimates) in errors {
        let mean = estimates.iter().sum::<f64>() / estimates.len() as f64;
        let variance = estimates.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / estimates.len() as f64;
        let z = (mean - 1.0) / (variance / estimates.len() as f64).sqrt();
        assert!(z.abs() < Z_LIMIT, "id {id}: mean {mean}, z {z}");
    }
}

#[tokio::test]
async fn the_random_fraction_is_honoured() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let scores: Vec<f32> = (0..48).map(|i| 0.05 + (i * i) as f32 / 900.0).collect();
    pool(&client, false, &scores, 2_000).await;
    for (strategy, alpha) in [
        (Strategy::Random, 1.0),
        (Strategy::Proportional, 1.0),
        (Strategy::Proportional, 4.0),
        (Strategy::Top, 1.0),
    ] {
        for share in [0.1, 0.25, 0.5, 0.75] {
            let request = pb::MineNegativesRequest {
                pool: "pools/p".into(),
                anchors: u64s(vec![1; 20_000]),
                num_negatives: 8,
                policy: Some(pb::NegativePolicy {
                    alpha: Some(alpha),
                    random_fraction: Some(share),
                    ..of(strategy)
                }),
                ..Default::default()
            };
            let answer = client.mining_service().mine_negatives(request).await.expect("mined").into_inner();
            let got = f64::from(answer.background_count) / 160_000.0;
            // TOP rounds: 0.1 of 8 is 1. The other strategies meet the share to 0.01 (docs/methods.md 6.3); sampling errors are a tenth of that.
            let asked = if strategy == Strategy::Top { (share * 8.0).round() / 8.0 } else { share };
            assert!((got - asked).abs() < 0.012, "{strategy:?} {alpha} {share}: {got}");
        }
    }
}

#[tokio::test]
async fn what_fills_up_is_uniform_over_the_background() {
    let server = TestServer::start().await;
    let client = server.client().await;
    pool(&client, false, &[0.9, 0.8], 30).await;
    let draws = mine(&client, 6, DRAWS, of(Strategy::Random)).await;
    let mut counts = vec![0.0; 30];
    for draw in &draws {
        assert_eq!(draw.len(), 6);
        for (id, pi) in &draw[..] {
            if *id < 2 {
                assert_eq!(*pi, 1.0, "all that the anchor has");
            } else {
                counts[*id as usize - 2] += 1.0;
            }
        }
    }
    // Draws without replacement spread less than a multinomial: the limit holds a fortiori.
    let statistic = chi2(&counts, &vec![1.0; 30]);
    assert!(statistic < chi2_limit(29), "{statistic}");
    let mean: f64 =
        draws.iter().map(|d| d.iter().filter(|r| r.0 >= 2).map(|r| 1.0 / r.1).sum::<f64>()).sum::<f64>()
            / draws.len() as f64;
    assert!((mean - 30.0).abs() < 0.3, "sum 1/pi counts the background: {mean}");
}
