use super::*;
use common::TestServer;
use hardneg::client::{MineRequest, PoolWatch};
use std::time::Duration;
use tokio_stream::StreamExt as _;

fn close(value: f64, expected: f64, within: f64) {
    assert!((value - expected).abs() <= within, "{value} is not {expected}");
}

#[tokio::test]
async fn bias_in_numbers() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(10_000)).await.unwrap();
    let bias = async || figures(&client, "p").await.bias.expect("bias");
    assert_eq!(bias().await, pb::BiasFigures::default(), "nothing to tell it from");
    let ids: Vec<u64> = (0..2_000).collect();
    let scores: Vec<f32> = ids.iter().map(|id| *id as f32).collect();
    client.report("p", &ids, &scores).await.unwrap();
    // The hundred hardest, to half a per cent since keys tell 2^-10 octave apart; TOP has no weights.
    let top = MineRequest::new("p", 100).strategy(pb::Strategy::Top).random_fraction(0.0);
    client.mine(top).await.unwrap();
    let now = bias().await;
    close(now.serves_gini, 0.95, 1e-9);
    // Mean 1,949.5 against 999.5, deviation 577.5.
    close(now.lift, 1.645, 0.01);
    assert_eq!(now.effective_sample_share, 0.0, "no batch had weights");
    close(now.served_score_quantiles[2], 1_949.5, 5.0);
    for (told, expected) in now.background_score_quantiles.iter().zip([20.0, 199.9, 999.5, 1_799.1, 1_979.0])
    {
        close(*told, expected, 0.1);
    }
    assert!(now.served_age_quantiles.len() == 3 && now.served_age_quantiles.iter().all(|age| *age < 60.0));

    // A uniform draw has equal weights, a skewed one has not; a dry run does not count.
    let mine = async |strategy, alpha: f64| {
        let request = MineRequest::new("p", 500).strategy(strategy).alpha(alpha).random_fraction(0.0);
        let dry = request.clone().dry_run(true);
        client.mine(dry).await.unwrap();
        let weights = client.mine(request).await.unwrap().importance_weights;
        let (sum, squares) =
            weights.iter().fold((0.0, 0.0), |(s, q), w| (s + f64::from(*w), q + f64::from(*w).powi(2)));
        sum * sum / (weights.len() as f64 * squares)
    };
    let uniform = mine(pb::Strategy::Uniform, 1.0).await;
    close(uniform, 1.0, 1e-6);
    close(bias().await.effective_sample_share, 1.0, 1e-6);
    let skewed = mine(pb::Strategy::Proportional, 2.0).await;
    assert!(skewed < 0.9, "{skewed}");
    close(bias().await.effective_sample_share, f64::midpoint(uniform, skewed), 1e-6);

    let mut watch: PoolWatch = client.watch_pool_stats("p", Duration::from_secs(1)).await.unwrap();
    let told = watch.next().await.unwrap().unwrap().stats.unwrap().bias.expect("bias");
    close(told.effective_sample_share, f64::midpoint(uniform, skewed), 1e-6);
}

#[tokio::test]
async fn ids_that_were_never_reported_have_no_score_to_compare() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let background = Some(pb::pool_spec::Background::DenseIds(1_000));
    client.create_pool("p", pb::PoolSpec { background, ..plain(100) }).await.unwrap();
    client.report("p", &[1, 2, 3], &[1.0, 2.0, 3.0]).await.unwrap();
    client.mine(MineRequest::new("p", 50).random_fraction(1.0)).await.unwrap();
    let bias = figures(&client, "p").await.bias.unwrap();
    close(bias.background_score_quantiles[2], 2.0, 1e-9);
    assert!(bias.lift.is_finite());
}

#[tokio::test]
async fn strata_served_beside_strata_reported() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(10_000)).await.unwrap();
    let ids: Vec<u64> = (0..1_000).collect();
    let batch = pb::ScoreBatch {
        pool: "pools/p".into(),
        ids: super::leases::u64s(&ids),
        scores: Some(hardneg::proto::columns::encode_floats(
            ids.iter().map(|id| 1.0 + *id as f32).collect::<Vec<f32>>(),
            pb::ColumnEncoding::Packed,
        )),
        // The hardest fifth is of stratum 7.
        strata: ids.iter().map(|id| if *id >= 800 { 7 } else { 3 }).collect(),
        ..Default::default()
    };
    client.mining_service().report_scores(pb::ReportScoresRequest { batch: Some(batch) }).await.unwrap();
    let top = MineRequest::new("p", 250).strategy(pb::Strategy::Top).random_fraction(0.0);
    client.mine(top).await.unwrap();
    let bias = figures(&client, "p").await.bias.unwrap();
    let share = |stratum, reported, served| pb::StratumShare { stratum, reported, served };
    assert_eq!(bias.strata, [share(3, 0.8, 0.2), share(7, 0.2, 0.8)]);
    close(bias.strata_total_variation, 0.6, 1e-9);
    close(bias.strata_kl, 0.2 * 0.25f64.ln() + 0.8 * 4f64.ln(), 1e-9);
}

/// With more samples than are read one by one, figures come from a uniform sample. It must include leased samples, since these were served.
#[tokio::test]
async fn samples_that_rest_count_among_the_served() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(10_000)).await.unwrap();
    let ids: Vec<u64> = (0..10_000).collect();
    client.report("p", &ids, &vec![1.0; 10_000]).await.unwrap();
    let request = MineRequest::new("p", 5_000).strategy(pb::Strategy::Uniform).random_fraction(0.0);
    client.mine(request.lease(Duration::from_secs(3600))).await.unwrap();
    // Half were served once, so the Gini coefficient is 1/2; from 4,096 samples, to within 6 standard errors of 0.008.
    close(figures(&client, "p").await.bias.expect("bias").serves_gini, 0.5, 0.05);
}
