//! Leases and strata over the wire.

use super::*;
use common::TestServer;
use hardneg::client::{Batch, MineRequest};
use hardneg::proto::columns;
use prost_types::Duration as Lease;
use std::collections::HashSet;
use std::time::{Duration, Instant};

const HOUR: Lease = Lease { seconds: 3600, nanos: 0 };

pub(super) fn u64s(ids: &[u64]) -> Option<pb::IdColumn> {
    Some(columns::encode_ids(ids.to_vec(), pb::ColumnEncoding::Packed))
}

pub(super) async fn mined(client: &Client, request: pb::MineBatchRequest) -> Result<Batch, Error> {
    let request = pb::MineBatchRequest { pool: "pools/p".into(), ..request };
    let answer = client.mining_service().mine_batch(request).await?.into_inner();
    Ok(Batch::try_from(answer.batch.unwrap()).unwrap())
}

/// A request for the hardest samples, which are leased for `lease`.
fn top(batch_size: u32, lease: Option<Lease>) -> pb::MineBatchRequest {
    let policy = pb::MiningPolicy {
        strategy: pb::Strategy::Top.into(),
        random_fraction: Some(0.0),
        ..Default::default()
    };
    pb::MineBatchRequest { batch_size, lease, policy: Some(policy), ..Default::default() }
}

async fn ten(client: &Client, spec: pb::PoolSpec) {
    client.create_pool("p", spec).await.unwrap();
    let ids: Vec<u64> = (0..10).collect();
    client.report("p", &ids, &ids.iter().map(|id| (id + 1) as f32).collect::<Vec<_>>()).await.unwrap();
}

async fn release(client: &Client, ids: Option<pb::IdColumn>) -> Result<u64, Error> {
    let request = pb::ReleaseLeaseRequest { pool: "pools/p".into(), pool_uid: 0, ids };
    Ok(client.mining_service().release_lease(request).await?.into_inner().released_count)
}

#[tokio::test]
async fn a_served_sample_rests_until_it_is_reported_or_released() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ten(&client, plain(100)).await;
    let first = mined(&client, top(3, Some(HOUR))).await.unwrap();
    assert_eq!(integers(&first.ids), [9, 8, 7]);
    assert_eq!(first.estimand, pb::Estimand::None);
    let second = mined(&client, top(3, Some(HOUR))).await.unwrap();
    assert_eq!(integers(&second.ids), [6, 5, 4]);
    assert_eq!(figures(&client, "p").await.leased, 6);

    // A dry run leases no samples, and does not return leased ones.
    let look = pb::MineBatchRequest { dry_run: true, ..top(3, Some(HOUR)) };
    assert_eq!(integers(&mined(&client, look).await.unwrap().ids), [3, 2, 1]);
    assert_eq!(figures(&client, "p").await.leased, 6);

    client.report("p", &[8], &[100.0]).await.unwrap();
    assert_eq!(release(&client, u64s(&[5, 6, 3, 77])).await.unwrap(), 2);
    assert_eq!(figures(&client, "p").await.leased, 3);
    assert_eq!(integers(&mined(&client, top(10, None)).await.unwrap().ids), [8, 6, 5, 3, 2, 1, 0]);
    // A sample that is removed and reported again has no lease.
    client.remove("p", &[9]).await.unwrap();
    client.report("p", &[9], &[200.0]).await.unwrap();
    assert_eq!(integers(&mined(&client, top(1, None)).await.unwrap().ids), [9]);
    // The others are still leased, for both sources.
    let all = MineRequest::new("p", 100).random_fraction(0.5);
    let batch = client.mine(all).await.unwrap();
    assert_eq!((batch.len(), batch.estimand), (8, pb::Estimand::Eligible));
    assert!(!integers(&batch.ids).contains(&7) && !integers(&batch.ids).contains(&4));
}

#[tokio::test]
async fn a_lease_ends_with_its_time_and_the_pool_has_a_default() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let limits =
        pb::ServeLimits { lease: Some(Lease { seconds: 0, nanos: 300_000_000 }), ..Default::default() };
    ten(&client, pb::PoolSpec { serve_limits: Some(limits), ..plain(100) }).await;
    assert_eq!(client.get_pool("p").await.unwrap().spec.unwrap().serve_limits.unwrap().lease, limits.lease);
    let begun = Instant::now();
    assert_eq!(mined(&client, top(10, None)).await.unwrap().len(), 10);
    let mut ended = None;
    while ended.is_none() {
        let seen =
            mined(&client, pb::MineBatchRequest { dry_run: true, ..top(10, None) }).await.unwrap().len();
        assert!(seen == 0 || seen == 10, "leases of one batch end together");
        ended = (seen > 0).then(|| begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(20), "the lease never ends");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(ended.unwrap() >= Duration::from_millis(300), "{ended:?}");
    assert_eq!(figures(&client, "p").await.leased, 0);
    // A request may switch the pool's lease off.
    let none = Some(Lease::default());
    assert_eq!(mined(&client, top(10, none)).await.unwrap().len(), 10);
    assert_eq!(mined(&client, top(10, none)).await.unwrap().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_miners_never_share_a_leased_sample() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(5000)).await.unwrap();
    let ids: Vec<u64> = (0..4000).collect();
    client.report("p", &ids, &ids.iter().map(|id| 1.0 + *id as f32).collect::<Vec<_>>()).await.unwrap();
    let miners: Vec<_> = (0..16u32)
        .map(|i| {
            let client = client.clone();
            tokio::spawn(async move {
                let strategy =
                    [pb::Strategy::Top, pb::Strategy::Proportional, pb::Strategy::Uniform][i as usize % 3];
                let policy = pb::MiningPolicy {
                    strategy: strategy.into(),
                    random_fraction: Some(if i % 2 == 0 { 0.0 } else { 0.5 }),
                    balance: Some(pb::Balance { max_per_group: 3, ..Default::default() }),
                    ..Default::default()
                };
                let request = pb::MineBatchRequest {
                    batch_size: 40,
                    lease: Some(HOUR),
                    policy: Some(policy),
                    ..Default::default()
                };
                let mut served = Vec::new();
                for _ in 0..5 {
                    served.extend(integers(&mined(&client, request.clone()).await.unwrap().ids).to_vec());
                }
                served
            })
        })
        .collect();
    let mut seen = HashSet::new();
    let mut served = 0;
    for miner in miners {
        for id in miner.await.unwrap() {
            assert!(seen.insert(id), "{id} was served to two");
            served += 1;
        }
    }
    // A concurrent request may lease a sample after TOP has read it and before TOP marks it as served; other strategies draw further samples
    // until the batch is full.
    assert!(served > 2500, "{served}");
    assert_eq!(figures(&client, "p").await.leased, served);
}

#[tokio::test]
async fn a_wrong_lease_names_its_field() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ten(&client, plain(100)).await;
    let month = Lease { seconds: 31 * 86_400, nanos: 0 };
    assert_invalid(mined(&client, top(1, Some(month))).await, "lease");
    assert_invalid(mined(&client, top(1, Some(Lease { seconds: -1, nanos: 0 }))).await, "lease");
    let limits = |lease| pb::PoolSpec {
        serve_limits: Some(pb::ServeLimits { lease: Some(lease), ..Default::default() }),
        ..plain(100)
    };
    assert_invalid(client.create_pool("q", limits(month)).await, "pool.spec.serve_limits.lease");
    let names = columns::encode_keys(vec!["a".into()]);
    assert_invalid(release(&client, Some(names)).await, "ids");
    assert_invalid(release(&client, u64s(&vec![1; 65_537])).await, "ids");
    assert_eq!(figures(&client, "p").await.leased, 0);
}

/// Of 200 ids 32 are in the background. Those that have reached max_serves are counted, so it is known how many ids each of the others
/// represents.
#[tokio::test]
async fn the_others_of_a_worn_background_represent_the_ids_that_are_not_worn() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let limits = pb::ServeLimits { max_serves: 1, ..Default::default() };
    let background = Some(pb::pool_spec::Background::BackgroundSize(32));
    let spec = pb::PoolSpec { serve_limits: Some(limits), background, shards: 1, ..plain(20) };
    client.create_pool("p", spec).await.unwrap();
    let ids: Vec<u64> = (0..200).collect();
    client.report("p", &ids, &vec![1.0; 200]).await.unwrap();
    let uniform = |n| MineRequest::new("p", n).random_fraction(1.0).shortfall(pb::Shortfall::Short);
    let first = client.mine(uniform(22)).await.unwrap();
    assert_eq!((first.estimand, first.len()), (pb::Estimand::All, 22));
    let stats = figures(&client, "p").await;
    assert_eq!((stats.worn, stats.leased), (22, 0));
    let second = client.mine(uniform(8)).await.unwrap();
    assert_eq!((second.estimand, second.len()), (pb::Estimand::Eligible, 8));
    // The estimate of N, which is 32/p, less the 22.
    let distinct = second.info.sizes.unwrap().distinct;
    let eligible = second.info.eligible_fraction.unwrap();
    assert!((eligible - (distinct - 22.0) / distinct).abs() < 0.02, "{eligible} of {distinct}");
    // A report ends the rest; a release does not.
    let released = release(&client, u64s(&ids)).await.unwrap();
    assert_eq!((released, figures(&client, "p").await.worn), (0, 30));
    client.report("p", &ids, &vec![1.0; 200]).await.unwrap();
    assert_eq!(figures(&client, "p").await.worn, 0);
    // Where the background holds all ids the weights are exact.
    let everything = pb::PoolSpec { serve_limits: Some(limits), ..plain(20) };
    client.create_pool("whole", everything).await.unwrap();
    client.report("whole", &ids, &vec![1.0; 200]).await.unwrap();
    for estimand in [pb::Estimand::All, pb::Estimand::Eligible] {
        let batch = client.mine(MineRequest::new("whole", 100).random_fraction(1.0)).await.unwrap();
        assert_eq!((batch.estimand, batch.len()), (estimand, 100));
    }
}
