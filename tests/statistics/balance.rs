//! Weights under caps, shares and leases (docs/methods.md 7.4 and 8), over the real store and the real API.

use super::*;

const N: u64 = 1200;

/// Half of the ids are of stratum 0, a quarter of 1, and so on to 4.
fn stratum(id: u64) -> u32 {
    (id + 1).trailing_zeros().min(4)
}

fn value(id: u64, score: f32) -> f64 {
    f(id, score) + f64::from(stratum(id))
}

async fn fill_balanced(client: &Client, pool: &str, scores: &[f32]) {
    let batch = pb::ScoreBatch {
        pool: format!("pools/{pool}"),
        ids: Some(hardneg::proto::columns::encode_ids(
            (0..N).collect::<Vec<u64>>(),
            pb::ColumnEncoding::Packed,
        )),
        scores: Some(hardneg::proto::columns::encode_floats(scores.to_vec(), pb::ColumnEncoding::Packed)),
        strata: (0..N).map(stratum).collect(),
        groups: Some(hardneg::proto::columns::encode_ids(
            (0..N).map(|id| 1 + id / 5).collect::<Vec<u64>>(),
            pb::ColumnEncoding::Packed,
        )),
        ..Default::default()
    };
    let request = pb::ReportScoresRequest { batch: Some(batch) };
    client.mining_service().report_scores(request).await.expect("reported");
}

async fn draw(client: &Client, request: pb::MineBatchRequest) -> Batch {
    let answer = client.mining_service().mine_batch(request).await.expect("mined");
    Batch::try_from(answer.into_inner().batch.expect("a batch")).expect("columns")
}

fn request(pool: &str, epsilon: f64, balance: pb::Balance, seed: u64) -> pb::MineBatchRequest {
    pb::MineBatchRequest {
        pool: format!("pools/{pool}"),
        batch_size: 64,
        seed: Some(seed),
        policy: Some(pb::MiningPolicy {
            random_fraction: Some(epsilon),
            balance: Some(balance),
            ..Default::default()
        }),
        fields: Some(pb::BatchFields {
            importance_weights: true,
            inclusion_probabilities: true,
            strata: true,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Weighted means are unbiased (docs/methods.md 7.2 and 8); the same means without weights must not pass.
#[tokio::test(flavor = "multi_thread")]
async fn weights_are_unbiased_under_caps_and_shares() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let scores = heavy_tailed(N as usize);
    let truth = (0..N).map(|i| value(i, scores[i as usize])).sum::<f64>() / N as f64;
    let cap =
        |stratum, count| pb::StratumCap { stratum, limit: Some(pb::stratum_cap::Limit::MaxCount(count)) };
    let cases = [
        pb::Balance { max_stratum_fraction: 0.3, ..Default::default() },
        pb::Balance { stratum_caps: vec![cap(0, 8), cap(1, 10)], ..Default::default() },
        pb::Balance { max_per_group: 1, ..Default::default() },
        pb::Balance { equal_shares: true, ..Default::default() },
    ];
    let mut right: Vec<Mean> = cases.iter().map(|_| Mean::default()).collect();
    let mut unweighted = Mean::default();
    let mut chances = super::Chances::default();
    for i in 0..320u64 {
        let pool = format!("balanced-{i}");
        client.create_pool(&pool, spec(250, 160, 4)).await.expect("created");
        fill_balanced(&client, &pool, &scores).await;
        for (balance, mean) in cases.iter().zip(&mut right) {
            let batch = draw(&client, request(&pool, 0.25, balance.clone(), i)).await;
            chances.check(&pool, &batch, pb::Estimand::All);
            assert_eq!(batch.len(), 64);
            let sum: f64 = ids(&batch)
                .iter()
                .zip(&batch.importance_weights)
                .map(|(id, &w)| f64::from(w) * value(*id, scores[*id as usize]))
                .sum();
            mean.add(sum / 64.0);
        }
        let capped = draw(&client, request(&pool, 0.25, cases[1].clone(), i)).await;
        unweighted.add(ids(&capped).iter().map(|id| value(*id, scores[*id as usize])).sum::<f64>() / 64.0);
        client.delete_pool(&pool, false).await.expect("deleted");
    }
    for (balance, mean) in cases.iter().zip(&right) {
        let z = mean.z(truth);
        assert!(z.abs() < Z_LIMIT, "{balance:?}: {} +- {}, truth {truth}", mean.mean(), mean.error());
    }
    assert!(unweighted.z(truth).abs() > 2.0 * Z_LIMIT, "no weights pass with z {}", unweighted.z(truth));
}

/// docs/methods.md 8, where all samples are stored and none comes from the background. r_i is the weight, so the wrong pi, with tau
/// in place of tau_A, can be computed from the samples of strata without a cap. It must fail.
#[tokio::test(flavor = "multi_thread")]
async fn the_weights_of_a_capped_stratum_need_its_own_tau() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let scores = heavy_tailed(N as usize);
    let truth = (0..N).map(|i| value(i, scores[i as usize])).sum::<f64>() / N as f64;
    client.create_pool("capped", spec(N, 16, 4)).await.expect("created");
    fill_balanced(&client, "capped", &scores).await;
    let cap = pb::StratumCap { stratum: 0, limit: Some(pb::stratum_cap::Limit::MaxCount(8)) };
    let balance = pb::Balance { stratum_caps: vec![cap], ..Default::default() };
    let (mut right, mut wrong) = (Mean::default(), Mean::default());
    for seed in 0..3000 {
        let request = pb::MineBatchRequest { dry_run: true, ..request("capped", 0.0, balance.clone(), seed) };
        let batch = draw(&client, request).await;
        let weight = |id: u64| f64::from(scores[id as usize]) + 1e-3;
        let rows =
            || ids(&batch).iter().copied().zip(&batch.importance_weights).zip(&batch.inclusion_probabilities);
        let tau: Vec<f64> = rows()
            .filter(|((id, _), _)| stratum(*id) != 0)
            .map(|((id, _), &pi)| -(1.0 - f64::from(pi)).ln() / weight(id))
            .filter(|tau| tau.is_finite())
            .collect();
        let tau = tau.iter().sum::<f64>() / tau.len() as f64;
        let (mut with, mut without) = (0.0, 0.0);
        for ((id, &w), &pi) in rows() {
            let of = value(id, scores[id as usize]);
            let wrong_pi = if stratum(id) == 0 { 1.0 - (-weight(id) * tau).exp() } else { f64::from(pi) };
            with += f64::from(w) * of;
            without += f64::from(w) * f64::from(pi) / wrong_pi * of;
        }
        right.add(with / 64.0);
        wrong.add(without / 64.0);
    }
    assert!(right.z(truth).abs() < Z_LIMIT, "{} +- {}, truth {truth}", right.mean(), right.error());
    assert!(wrong.z(truth).abs() > 2.0 * Z_LIMIT, "weights without tau_A pass with z {}", wrong.z(truth));
}

/// docs/methods.md 7.4: with leases, mean(w f) estimates the sum over samples that are not leased, divided by the number of all ids; mean(w)
/// estimates their share. With the uncorrected p outside the hard store, where members of the background are leased, the first mean is 16
/// standard errors off.
#[tokio::test(flavor = "multi_thread")]
async fn weights_are_unbiased_over_what_does_not_rest() {
    check_leased(250, 0.25, 64).await;
}

/// The same where H is empty (warm-up, control arm): all samples are in the hard store, and drawn as members of R. With the uncorrected p
/// mean(w) is half of the correct value.
#[tokio::test(flavor = "multi_thread")]
async fn uniform_weights_are_unbiased_over_what_does_not_rest() {
    check_leased(N, 1.0, 24).await;
}

async fn check_leased(capacity: u64, epsilon: f64, batch_size: u32) {
    let server = TestServer::start().await;
    let client = server.client().await;
    let scores = heavy_tailed(N as usize);
    let (mut right, mut share) = (Mean::default(), Mean::default());
    let sized = |pool: &str, seed| pb::MineBatchRequest {
        batch_size,
        ..request(pool, epsilon, pb::Balance::default(), seed)
    };
    let mut chances = super::Chances::default();
    for i in 0..320u64 {
        let pool = format!("leased-{i}");
        client.create_pool(&pool, spec(capacity, 160, 4)).await.expect("created");
        fill_balanced(&client, &pool, &scores).await;
        let mut leased = HashSet::new();
        for seed in 0..3 {
            let lease = Some(prost_types::Duration { seconds: 3600, nanos: 0 });
            let first = pb::MineBatchRequest { lease, ..sized(&pool, seed) };
            let batch = draw(&client, first).await;
            assert!(ids(&batch).iter().all(|id| leased.insert(*id)), "a resting sample was served");
        }
        assert_eq!(client.pool_stats(&pool).await.expect("figures").leased, leased.len() as u64);
        let batch = draw(&client, sized(&pool, i + 99)).await;
        chances.check(&pool, &batch, pb::Estimand::Eligible);
        assert!(ids(&batch).iter().all(|id| !leased.contains(id)));
        let truth =
            (0..N).filter(|id| !leased.contains(id)).map(|id| value(id, scores[id as usize])).sum::<f64>()
                / N as f64;
        let weighed = ids(&batch).iter().zip(&batch.importance_weights);
        let sum: f64 = weighed.map(|(id, &w)| f64::from(w) * value(*id, scores[*id as usize])).sum();
        right.add(sum / batch.len() as f64 - truth);
        let weights: f64 = batch.importance_weights.iter().map(|w| f64::from(*w)).sum();
        share.add(weights / batch.len() as f64 - (N - leased.len() as u64) as f64 / N as f64);
        client.delete_pool(&pool, false).await.expect("deleted");
    }
    assert!(right.z(0.0).abs() < Z_LIMIT, "{} +- {}", right.mean(), right.error());
    assert!(share.z(0.0).abs() < Z_LIMIT, "{} +- {}", share.mean(), share.error());
}
