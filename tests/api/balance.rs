//! Strata and groups over the wire: columns, limits, bad input.

use super::leases::{mined, u64s};
use super::*;
use common::TestServer;
use hardneg::client::ClientOptions;
use hardneg::proto::columns;
use pb::stratum_cap::Limit;
use std::collections::HashMap;

async fn report(client: &Client, batch: pb::ScoreBatch) {
    let batch = pb::ScoreBatch { pool: "pools/p".into(), ..batch };
    client.mining_service().report_scores(pb::ReportScoresRequest { batch: Some(batch) }).await.unwrap();
}

fn balanced(batch_size: u32, balance: pb::Balance) -> pb::MineBatchRequest {
    let fields =
        pb::BatchFields { strata: true, groups: true, importance_weights: true, ..Default::default() };
    pb::MineBatchRequest {
        batch_size,
        policy: Some(pb::MiningPolicy { balance: Some(balance), ..Default::default() }),
        fields: Some(fields),
        ..Default::default()
    }
}

/// `raw` answers too, for the columns that the client's batch does not have.
async fn raw(client: &Client, request: pb::MineBatchRequest) -> pb::MinedBatch {
    let request = pb::MineBatchRequest { pool: "pools/p".into(), ..request };
    client.mining_service().mine_batch(request).await.unwrap().into_inner().batch.unwrap()
}

fn scores(n: usize) -> Option<pb::FloatColumn> {
    Some(columns::encode_floats(
        (0..n).map(|i| 1.0 + i as f32).collect::<Vec<f32>>(),
        pb::ColumnEncoding::Packed,
    ))
}

/// Ids 0..n: stratum id % 4, group id / 3 + 1.
async fn fill(client: &Client, n: u64) {
    client.create_pool("p", plain(10_000)).await.unwrap();
    let ids: Vec<u64> = (0..n).collect();
    report(
        client,
        pb::ScoreBatch {
            ids: u64s(&ids),
            scores: scores(ids.len()),
            strata: ids.iter().map(|id| (id % 4) as u32).collect(),
            groups: u64s(&ids.iter().map(|id| id / 3 + 1).collect::<Vec<_>>()),
            ..Default::default()
        },
    )
    .await;
}

fn decode_groups(batch: &pb::MinedBatch) -> Vec<u64> {
    match columns::decode_ids(batch.groups.clone()).unwrap() {
        columns::Ids::U64(groups) => groups,
        columns::Ids::Keys(_) => panic!("groups are numbers"),
    }
}

#[tokio::test]
async fn strata_and_groups_come_back_and_are_kept() {
    let server = TestServer::start().await;
    let client = server.client().await;
    fill(&client, 8).await;
    let look = || pb::MineBatchRequest { dry_run: true, ..balanced(8, pb::Balance::default()) };
    let seen = async || {
        let batch = raw(&client, look()).await;
        let ids = match columns::decode_ids(batch.ids.clone()).unwrap() {
            columns::Ids::U64(ids) => ids,
            columns::Ids::Keys(_) => panic!("integer ids"),
        };
        let groups = decode_groups(&batch);
        let rows = ids.iter().zip(batch.strata).zip(groups);
        rows.map(|((id, stratum), group)| (*id, (stratum, group))).collect::<HashMap<_, _>>()
    };
    let first = seen().await;
    assert!((0..8).all(|id| first[&id] == ((id % 4) as u32, id / 3 + 1)), "{first:?}");
    // A report without these columns leaves both unchanged; a report with one of them changes that one only.
    report(&client, pb::ScoreBatch { ids: u64s(&[1, 2]), scores: scores(2), ..Default::default() }).await;
    assert_eq!(seen().await, first);
    report(
        &client,
        pb::ScoreBatch { ids: u64s(&[1]), scores: scores(1), strata: vec![9], ..Default::default() },
    )
    .await;
    assert_eq!(seen().await[&1], (9, 1));
    // Groups given as strings, and the empty string for no group.
    let names = columns::encode_keys(vec!["clip-1".into(), "clip-1".into(), String::new()]);
    let batch = pb::ScoreBatch {
        ids: u64s(&[1, 2, 3]),
        scores: scores(3),
        groups: Some(names),
        ..Default::default()
    };
    report(&client, batch).await;
    let named = seen().await;
    assert_eq!(named[&1].1, named[&2].1);
    assert!(named[&1].1 > 100 && named[&3].1 == 0 && named[&1].0 == 9, "{named:?}");
    // Without the fields the columns are absent.
    let plain = raw(&client, pb::MineBatchRequest { fields: None, ..look() }).await;
    assert!(plain.strata.is_empty() && plain.groups.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_under_concurrent_reports_and_miners() {
    let server = TestServer::start().await;
    let client = server.client().await;
    fill(&client, 3000).await;
    let cap = pb::StratumCap { stratum: 2, limit: Some(Limit::MaxCount(3)) };
    let cases = [
        pb::Balance { max_stratum_fraction: 0.3, stratum_caps: vec![cap], ..Default::default() },
        pb::Balance { equal_shares: true, max_per_group: 1, ..Default::default() },
        pb::Balance { min_per_stratum: 10, ..Default::default() },
    ];
    let writer = {
        let client = client.clone();
        tokio::spawn(async move {
            for i in 0..100u64 {
                let ids: Vec<u64> = (0..500).map(|j| (i * 37 + j * 6) % 3000).collect();
                report(
                    &client,
                    pb::ScoreBatch { ids: u64s(&ids), scores: scores(500), ..Default::default() },
                )
                .await;
            }
        })
    };
    let miners: Vec<_> = (0..6usize)
        .map(|i| {
            let client = client.clone();
            let balance = cases[i % 3].clone();
            tokio::spawn(async move {
                for _ in 0..40 {
                    let batch = raw(&client, balanced(48, balance.clone())).await;
                    let mut strata: HashMap<u32, u32> = HashMap::new();
                    batch.strata.iter().for_each(|s| *strata.entry(*s).or_default() += 1);
                    // Three strata of 14 and one of 3.
                    assert_eq!(batch.strata.len(), if i % 3 == 0 { 45 } else { 48 });
                    match i % 3 {
                        0 => assert!(
                            strata.iter().all(|(s, n)| *n <= if *s == 2 { 3 } else { 14 }),
                            "{strata:?}"
                        ),
                        1 => {
                            assert!(strata.values().all(|n| *n == 12), "{strata:?}");
                            let groups = decode_groups(&batch);
                            let distinct: std::collections::HashSet<_> = groups.iter().collect();
                            assert_eq!(distinct.len(), groups.len());
                        }
                        _ => {
                            assert!((0..4).all(|s| strata[&s] >= 10), "{strata:?}");
                            assert_eq!(batch.estimand(), pb::Estimand::None);
                            assert!(batch.importance_weights.is_none());
                        }
                    }
                }
            })
        })
        .collect();
    for miner in miners {
        miner.await.unwrap();
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn a_wrong_balance_names_its_field() {
    let server = TestServer::start().await;
    let client = server.client().await;
    fill(&client, 30).await;
    let cap = |stratum, limit| pb::StratumCap { stratum, limit };
    let caps = |stratum_caps| pb::Balance { stratum_caps, ..Default::default() };
    let half = Some(Limit::MaxFraction(0.5));
    let cases = [
        ("max_stratum_fraction", pb::Balance { max_stratum_fraction: 1.5, ..Default::default() }),
        ("max_stratum_fraction", pb::Balance { max_stratum_fraction: -0.1, ..Default::default() }),
        ("max_stratum_fraction", pb::Balance { max_stratum_fraction: f64::NAN, ..Default::default() }),
        ("stratum_caps[0]", caps(vec![cap(1, None)])),
        ("stratum_caps[1].stratum", caps(vec![cap(1, half), cap(1, half)])),
        ("stratum_caps[0].max_fraction", caps(vec![cap(1, Some(Limit::MaxFraction(-1.0)))])),
        ("stratum_caps", caps((0..1025).map(|s| cap(s, half)).collect())),
        ("equal_shares", pb::Balance { equal_shares: true, max_stratum_fraction: 0.5, ..Default::default() }),
        ("min_per_stratum", pb::Balance { equal_shares: true, min_per_stratum: 1, ..Default::default() }),
    ];
    for (field, balance) in cases {
        let field = format!("policy.balance.{field}");
        assert_invalid(mined(&client, balanced(8, balance.clone())).await, &field);
        let policy = pb::MiningPolicy { balance: Some(balance), ..Default::default() };
        let spec = pb::PoolSpec { default_policy: Some(policy), ..plain(10) };
        let field = format!("pool.spec.default_{field}");
        assert_invalid(client.create_pool("q", spec).await, &field);
    }
    let many = pb::Balance { min_per_stratum: 3, ..Default::default() };
    let (code, reason, _) = told(mined(&client, balanced(8, many)).await);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "TOO_MANY_STRATA"));
}

#[tokio::test]
async fn the_shortfall_policy_knows_of_caps() {
    let server = TestServer::start().await;
    let client = server.client().await;
    fill(&client, 40).await;
    let request = |shortfall: pb::Shortfall| {
        let policy = pb::MiningPolicy {
            balance: Some(pb::Balance { max_stratum_fraction: 0.1, ..Default::default() }),
            shortfall: shortfall.into(),
            random_fraction: Some(0.0),
            ..Default::default()
        };
        pb::MineBatchRequest { policy: Some(policy), ..balanced(20, pb::Balance::default()) }
    };
    // Four strata, two each.
    assert_eq!(mined(&client, request(pb::Shortfall::Short)).await.unwrap().len(), 8);
    let filled = mined(&client, request(pb::Shortfall::Fill)).await.unwrap();
    assert_eq!((filled.len(), filled.info.shortfall_count), (8, 12));
    let (code, reason, _) = told(mined(&client, request(pb::Shortfall::Error)).await);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "SHORTFALL"));
}

/// Unreported ids of a dense id space are all of stratum 0, whose cap is reached soon: the draw must not try the other 10^9 ids one by one.
#[tokio::test]
async fn a_cap_over_an_unreported_id_space_ends() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let background = Some(pb::pool_spec::Background::DenseIds(1_000_000_000));
    client.create_pool("p", pb::PoolSpec { background, ..plain(1_000) }).await.unwrap();
    let balance = pb::Balance { max_stratum_fraction: 0.1, ..Default::default() };
    let batch = mined(&client, balanced(65_536, balance)).await.unwrap();
    assert_eq!(batch.len(), 6_553);
    assert_eq!(batch.estimand, pb::Estimand::Approximate);
    let proposals = figures(&client, "p").await.proposals;
    assert!(proposals < 6 * 65_536 + 65_536, "{proposals}");
}

/// Server and client share one thread: a call is answered meanwhile only if the mines let it through.
#[tokio::test]
async fn mines_over_many_strata_let_other_calls_through() {
    let server = TestServer::start().await;
    // The claim is about turns, not about time: on a busy machine a call may wait for long.
    let patient = ClientOptions { timeout: std::time::Duration::from_secs(600), ..ClientOptions::default() };
    let client = server.client_with(patient).await;
    client.create_pool("p", plain(100_000)).await.unwrap();
    let strata = 20_000;
    let ids: Vec<u64> = (0..3 * strata).collect();
    for ids in ids.chunks(30_000) {
        let batch = pb::ScoreBatch {
            ids: u64s(ids),
            scores: scores(ids.len()),
            strata: ids.iter().map(|id| 1 + (id % strata) as u32).collect(),
            ..Default::default()
        };
        report(&client, batch).await;
    }
    let balance = pb::Balance { equal_shares: true, ..Default::default() };
    let four: Vec<_> = (0..4)
        .map(|_| {
            let (client, balance) = (client.clone(), balance.clone());
            tokio::spawn(async move { mined(&client, balanced(20_000, balance)).await.unwrap().len() })
        })
        .collect();
    let mut answered = 0;
    while !four.iter().all(tokio::task::JoinHandle::is_finished) {
        client.get_pool("p").await.unwrap();
        answered += 1;
    }
    for one in four {
        assert_eq!(one.await.unwrap(), 20_000);
    }
    // 19; between the calls of mines that never yield 11 get a turn.
    assert!(answered >= 15, "{answered} calls were answered while four mines ran");
}

/// A policy may have limits on as many strata as the server's limit says.
#[tokio::test]
async fn limits_on_too_many_strata_are_refused_by_name() {
    let mut config = hardneg::config::Config::default();
    config.limits.max_balance_strata = 3;
    let server = TestServer::start_with(config).await;
    let client = server.client().await;
    fill(&client, 400).await;
    let balance = pb::Balance { max_stratum_fraction: 0.5, ..Default::default() };
    let refused = mined(&client, balanced(8, balance.clone())).await;
    let message = refused.as_ref().err().map(ToString::to_string).unwrap_or_default();
    assert_eq!(told(refused), (Code::FailedPrecondition, "TOO_MANY_STRATA".into(), String::new()));
    assert!(
        message.contains("policy.balance") && message.contains("3 strata (max_balance_strata)"),
        "{message}"
    );
    let by_group = pb::Balance { max_per_group: 1, ..Default::default() };
    assert_eq!(mined(&client, balanced(8, by_group)).await.unwrap().len(), 8);
}

/// Equal shares give no share to ids whose stratum is unknown.
#[tokio::test]
async fn equal_shares_of_a_dense_space_are_of_what_was_reported() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let background = Some(pb::pool_spec::Background::DenseIds(1_000));
    client.create_pool("p", pb::PoolSpec { background, ..plain(1_000) }).await.unwrap();
    let ids: Vec<u64> = (0..200).collect();
    let strata = ids.iter().map(|id| 1 + (id % 2) as u32).collect();
    report(&client, pb::ScoreBatch { ids: u64s(&ids), scores: scores(200), strata, ..Default::default() })
        .await;
    let balance = pb::Balance { equal_shares: true, ..Default::default() };
    let batch = mined(&client, balanced(50, balance)).await.unwrap();
    assert!(integers(&batch.ids).iter().all(|id| *id < 200), "{:?}", batch.ids);
    assert_eq!((batch.len(), batch.estimand), (50, pb::Estimand::Eligible));
}

/// Each of ten strata has a minimum of one sample, but the flow admits only five: at the deadline five are returned.
#[tokio::test]
async fn a_flow_that_lets_less_than_a_sample_a_stratum_pass_gives_a_partial_batch() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let flow = pb::Flow { mined_per_reported: 1.0, error_buffer: 55.0, min_reported: 1, max_wait: None };
    client.create_pool("p", pb::PoolSpec { flow: Some(flow), ..plain(1_000) }).await.unwrap();
    let ids: Vec<u64> = (0..100).collect();
    let strata = ids.iter().map(|id| (id % 10) as u32).collect();
    report(&client, pb::ScoreBatch { ids: u64s(&ids), scores: scores(100), strata, ..Default::default() })
        .await;
    // 55 + 55 may be mined.
    let shared = |n| pb::MineBatchRequest {
        wait: Some(pb::Wait {
            min_size: 0,
            timeout: Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 }),
        }),
        ..balanced(n, pb::Balance { equal_shares: true, ..Default::default() })
    };
    for (n, left) in [(65, 45.0), (40, 5.0)] {
        assert_eq!(mined(&client, shared(n)).await.unwrap().len(), n as usize);
        assert_eq!(figures(&client, "p").await.flow.unwrap().balance + 55.0, left);
    }
    let part = mined(&client, shared(10)).await.unwrap();
    assert_eq!((part.len(), part.info.timed_out), (5, true));
    assert_eq!(part.info.shortfall_count, 5);
}
