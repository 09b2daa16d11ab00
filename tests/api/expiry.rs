//! The time to live of samples (`sample_ttl`), in a pool that ages by steps, so that the tests need not wait.

use super::*;
use common::TestServer;
use hardneg::client::{MineRequest, ScoreBatch};
use pb::SamplePlace::{Background, Hard, Nowhere, Quarantine};
use pb::pool_spec::SampleTtl;

fn by_steps(capacity: u64, sample_ttl: Option<SampleTtl>) -> pb::PoolSpec {
    let half_life = Some(pb::decay::HalfLife::HalfLifeSteps(100.0));
    pb::PoolSpec {
        decay: Some(pb::Decay { half_life, max_step_jump: 0 }),
        background: Some(pb::pool_spec::Background::BackgroundSize(64)),
        sample_ttl,
        ..plain(capacity)
    }
}

async fn report(client: &Client, step: u64, ids: std::ops::Range<u64>) -> Result<pb::ScoreAck, Error> {
    let ids: Vec<u64> = ids.collect();
    let scores = vec![1.0; ids.len()];
    client.report_batch(ScoreBatch::new("p", &ids, &scores)?.step(step)).await
}

/// The number of samples in the hard store, of distinct ids (exact while the background holds all), and of expired samples.
async fn living(client: &Client) -> (u64, f64, u64) {
    let stats = figures(client, "p").await;
    let sizes = stats.sizes.unwrap();
    (sizes.hard, sizes.distinct, stats.expired)
}

async fn places(client: &Client, ids: &[u64]) -> Vec<pb::SamplePlace> {
    let samples = client.get_samples("p", Ids::U64(ids.to_vec())).await.unwrap();
    samples.iter().map(pb::Sample::place).collect()
}

#[tokio::test]
async fn samples_that_are_not_reported_are_in_no_draw_and_no_count() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", by_steps(200, Some(SampleTtl::SampleTtlSteps(5)))).await.unwrap();
    report(&client, 1, 0..30).await.unwrap();
    report(&client, 4, 20..50).await.unwrap();
    // Being served does not count as a report.
    let all = MineRequest::new("p", 50).random_fraction(0.5);
    assert_eq!(client.mine(all.clone()).await.unwrap().ids.as_u64().unwrap().len(), 50);
    // Six steps after the first report only ids below 20 have not been reported for more than five.
    report(&client, 6, 60..61).await.unwrap();
    assert_eq!(living(&client).await, (51, 51.0, 0));
    report(&client, 7, 60..61).await.unwrap();
    assert_eq!(living(&client).await, (31, 31.0, 20));
    assert_eq!(figures(&client, "p").await.distinct_by_witness, 31, "the witness holds all of so few");
    assert_eq!(places(&client, &[3, 19, 20, 49, 60]).await, [Nowhere, Nowhere, Hard, Hard, Hard]);
    let mined = client.mine(all).await.unwrap();
    let mut ids = integers(&mined.ids).to_vec();
    ids.sort_unstable();
    assert_eq!(ids, (20..50).chain([60]).collect::<Vec<u64>>(), "all that lives, and nothing else");
    // All rows of a report that is older than the time to live are stale.
    let error = report(&client, 1, 0..3).await.expect_err("over half of the rows are stale");
    assert!(error.to_string().contains("STALE") || error.to_string().contains("older"), "{error}");
    let stats = figures(&client, "p").await;
    assert_eq!((stats.counts.unwrap().stale, places(&client, &[0]).await[0]), (3, Nowhere));
    // The next report adds an expired sample again.
    report(&client, 7, 0..1).await.unwrap();
    assert_eq!(living(&client).await, (32, 32.0, 20));
}

#[tokio::test]
async fn the_time_to_live_changes_in_a_live_pool() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", by_steps(1_000, None)).await.unwrap();
    for step in 1..=20 {
        report(&client, step, step * 10..step * 10 + 10).await.unwrap();
    }
    assert_eq!(living(&client).await.0, 200);
    let update = async |sample_ttl| {
        let spec = pb::PoolSpec { sample_ttl, ..Default::default() };
        client.update_pool("p", spec, &["spec.sample_ttl"], None).await
    };
    let changed = update(Some(SampleTtl::SampleTtlSteps(9))).await.unwrap();
    assert_eq!(changed.spec.unwrap().sample_ttl, Some(SampleTtl::SampleTtlSteps(9)));
    let (hard, _, expired) = living(&client).await;
    assert_eq!((hard, expired), (100, 100));
    // A longer time to live brings no sample back; a shorter one applies at once.
    update(Some(SampleTtl::SampleTtlSteps(15))).await.unwrap();
    assert_eq!(living(&client).await.0, 100);
    update(Some(SampleTtl::SampleTtlSteps(4))).await.unwrap();
    assert_eq!(places(&client, &[159, 160]).await, [Nowhere, Hard]);
    update(None).await.unwrap();
    report(&client, 1_000, 0..1).await.unwrap();
    let (hard, _, expired) = living(&client).await;
    assert_eq!((hard, expired), (51, 150));
    assert_invalid(update(Some(SampleTtl::SampleTtlSteps(0))).await, "pool.spec.sample_ttl_steps");
    assert_invalid(update(Some(SampleTtl::SampleTtlSteps(1 << 40))).await, "pool.spec.sample_ttl_steps");
    let time = SampleTtl::SampleTtlTime(prost_types::Duration { seconds: 5, nanos: 0 });
    assert_invalid(update(Some(time)).await, "pool.spec.sample_ttl_time");
}

#[tokio::test]
async fn a_time_to_live_is_refused_where_it_means_nothing() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let ttl = Some(SampleTtl::SampleTtlSteps(5));
    let dense =
        pb::PoolSpec { background: Some(pb::pool_spec::Background::DenseIds(100)), ..by_steps(50, ttl) };
    assert_invalid(client.create_pool("p", dense).await, "pool.spec.sample_ttl_steps");
    let anchored = pb::PoolSpec { kind: pb::PoolKind::Anchored.into(), capacity: 0, ..by_steps(50, ttl) };
    assert_invalid(client.create_pool("p", anchored).await, "pool.spec.sample_ttl");
    client.create_pool("p", by_steps(50, ttl)).await.unwrap();
    let (code, _, _) = told(client.create_pool("p", by_steps(50, None)).await);
    assert_eq!(code, Code::AlreadyExists, "the specs differ in it");
}

/// A sample in quarantine does not expire; a release restores it with its age.
#[tokio::test]
async fn what_is_set_aside_outlives_its_time() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", by_steps(100, Some(SampleTtl::SampleTtlSteps(5)))).await.unwrap();
    report(&client, 1, 0..10).await.unwrap();
    client.quarantine_samples("p", Ids::U64(vec![3, 4])).await.unwrap();
    report(&client, 20, 50..51).await.unwrap();
    assert_eq!(living(&client).await, (1, 1.0, 8));
    assert_eq!(places(&client, &[2, 3]).await, [Nowhere, Quarantine]);
    // Reports of the sample update the age of its record.
    report(&client, 21, 3..4).await.unwrap();
    client.release_quarantined("p", Some(Ids::U64(vec![3, 4])), false).await.unwrap();
    let after = places(&client, &[3, 4]).await;
    assert!(matches!(after[0], Hard | Background) && after[1] == Nowhere, "{after:?}");
    assert_eq!(living(&client).await.2, 9);
}
