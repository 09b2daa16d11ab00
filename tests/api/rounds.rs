use super::*;
use common::TestServer;
use hardneg::config::{Config, Limits};
use prost::Message as _;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A small generator with a fixed seed. The order of events differs between runs of the test, but the requests are the same.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

async fn ramp(client: &Client, pool: &str, n: u64) {
    client.create_pool(pool, plain(1 << 16)).await.unwrap();
    let ids: Vec<u64> = (0..n).collect();
    let scores: Vec<f32> = ids.iter().map(|id| (id + 1) as f32).collect();
    client.report(pool, &ids, &scores).await.unwrap();
}

fn round(number: u64, rank: u32, world_size: u32) -> pb::Round {
    pb::Round { number, rank, world_size, run_id: "run".into() }
}

fn share(pool: &str, batch_size: u32, round: pb::Round) -> pb::MineBatchRequest {
    pb::MineBatchRequest {
        pool: format!("pools/{pool}"),
        batch_size,
        round: Some(round),
        encoding: pb::ColumnEncoding::Packed.into(),
        ..Default::default()
    }
}

async fn mined(client: &Client, request: pb::MineBatchRequest) -> Result<pb::MinedBatch, Error> {
    let answer = client.mining_service().mine_batch(request).await?;
    Ok(answer.into_inner().batch.expect("a batch"))
}

fn ids(batch: &pb::MinedBatch) -> Vec<u64> {
    match &batch.ids.as_ref().unwrap().encoding {
        Some(pb::id_column::Encoding::U64s(ids)) => ids.values.clone(),
        other => panic!("{other:?}"),
    }
}

fn floats(column: &Option<pb::FloatColumn>) -> Vec<f32> {
    match &column.as_ref().unwrap().encoding {
        Some(pb::float_column::Encoding::Floats(floats)) => floats.values.clone(),
        other => panic!("{other:?}"),
    }
}

async fn server_that_keeps(rounds: usize) -> TestServer {
    let limits = Limits { max_rounds_per_pool: rounds, ..Limits::default() };
    TestServer::start_with(Config { limits, ..Config::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn ranks_get_disjoint_equal_shares_whoever_asks_and_however_often() {
    const RANKS: u32 = 8;
    const ROUNDS: u64 = 200;
    let server = server_that_keeps(256).await;
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(server.client().await);
    }
    ramp(&connections[0], "p", 3_000).await;
    let mut draw = numbers(1);
    let mut shares: HashMap<(u64, u32), Vec<u8>> = HashMap::new();
    let mut answers = 0;
    for window in 0..ROUNDS / 10 {
        // Ten rounds at a time, with their calls in random order.
        let mut calls: Vec<(u64, u32, bool)> = Vec::new();
        for number in window * 10..(window + 1) * 10 {
            for rank in 0..RANKS {
                calls.extend((0..2 + draw(2)).map(|_| (number, rank, false)));
            }
            // Some callers cancel, often before any other rank has sent its request.
            calls.extend((0..draw(3)).map(|i| (number, i as u32, true)));
        }
        for i in (1..calls.len()).rev() {
            calls.swap(i, draw(i as u64 + 1) as usize);
        }
        let mut running = Vec::new();
        for (number, rank, goes_away) in calls {
            let client = connections[draw(4) as usize].clone();
            let call = tokio::spawn(async move {
                mined(&client, share("p", 16, round(number, rank, RANKS))).await.unwrap()
            });
            if goes_away {
                tokio::time::sleep(Duration::from_micros(draw(600))).await;
                call.abort();
            } else {
                running.push((number, rank, call));
            }
        }
        for (number, rank, call) in running {
            let batch = call.await.unwrap();
            assert_eq!(batch.round, Some(round(number, rank, RANKS)));
            let bytes = batch.encode_to_vec();
            answers += 1;
            let first = shares.entry((number, rank)).or_insert_with(|| bytes.clone());
            assert!(*first == bytes, "round {number} rank {rank}: a retry gets another batch");
        }
    }
    for number in 0..ROUNDS {
        let mut union = HashSet::new();
        for rank in 0..RANKS {
            let batch = pb::MinedBatch::decode(shares[&(number, rank)].as_slice()).unwrap();
            assert_eq!((ids(&batch).len(), batch.shortfall_count), (16, 0));
            assert_eq!(batch.hard_count + batch.background_count, 16);
            union.extend(ids(&batch));
        }
        assert_eq!(union.len(), 128, "round {number} repeats a sample");
    }
    let stats = figures(&connections[0], "p").await;
    assert_eq!((stats.rounds, stats.mined_batches), (ROUNDS, ROUNDS), "each was drawn once");
    assert_eq!(stats.served_hard + stats.served_background, ROUNDS * 128);
    assert!(stats.round_replays >= answers - ROUNDS, "{} of {answers}", stats.round_replays);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_survives_the_caller_that_began_it() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 10).await;
    let mut first = share("p", 4, round(0, 0, 2));
    first.wait = Some(pb::Wait { min_size: 50, timeout: None });
    let began = {
        let (client, first) = (client.clone(), first.clone());
        tokio::spawn(async move { mined(&client, first).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    let other = {
        let client = client.clone();
        tokio::spawn(async move { mined(&client, share("p", 4, round(0, 1, 2))).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    began.abort();
    assert!(!other.is_finished(), "it waits for the draw of the first, which waits for the pool");
    client.report("p", &(100..200).collect::<Vec<_>>(), &[1.0; 100]).await.unwrap();
    let other = other.await.unwrap().unwrap();
    let retried = mined(&client, first).await.unwrap();
    assert_eq!((ids(&other).len(), ids(&retried).len()), (4, 4));
    assert!(ids(&other).iter().all(|id| !ids(&retried).contains(id)));
    let stats = figures(&client, "p").await;
    assert_eq!((stats.rounds, stats.round_replays, stats.mined_batches), (1, 2, 1));
}

#[tokio::test]
async fn the_world_may_grow_and_shrink_between_rounds_not_within_one() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 1_000).await;
    for (number, world_size) in [4, 7, 1, 16, 3].into_iter().enumerate() {
        let mut union = HashSet::new();
        for rank in 0..world_size {
            union.extend(ids(&mined(&client, share("p", 8, round(number as u64, rank, world_size)))
                .await
                .unwrap()));
        }
        assert_eq!(union.len() as u32, world_size * 8);
        let wrong = mined(&client, share("p", 8, round(number as u64, 0, world_size + 1))).await.unwrap_err();
        let text = format!("it was {world_size}, and is {} here", world_size + 1);
        assert!(wrong.to_string().contains(&text), "{wrong}");
        assert_eq!(
            told(Err::<(), _>(wrong)),
            (Code::FailedPrecondition, "ROUND_MISMATCH".into(), String::new())
        );
    }
}

#[tokio::test]
async fn a_request_that_differs_from_the_first_is_told_where() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 200).await;
    let first = || share("p", 8, round(3, 0, 2));
    let batch = mined(&client, first()).await.unwrap();
    let one = pb::IdColumn { encoding: Some(pb::id_column::Encoding::U64s(pb::U64s { values: vec![1] })) };
    let alpha = pb::MiningPolicy { alpha: Some(2.0), ..Default::default() };
    let differing = [
        ("batch_size", pb::MineBatchRequest { batch_size: 9, ..first() }),
        ("policy", pb::MineBatchRequest { policy: Some(alpha), ..first() }),
        ("exclude_ids", pb::MineBatchRequest { exclude_ids: Some(one), ..first() }),
        ("seed", pb::MineBatchRequest { seed: Some(4), ..first() }),
        (
            "lease",
            pb::MineBatchRequest { lease: Some(prost_types::Duration { seconds: 1, nanos: 0 }), ..first() },
        ),
    ];
    for (field, request) in differing {
        let error = mined(&client, request).await.unwrap_err();
        assert!(error.to_string().contains(&format!("another {field}")), "{error}");
        assert_eq!(told(Err::<(), _>(error)).1, "ROUND_MISMATCH");
    }
    // Rank, wait, encoding and fields may differ between ranks.
    let free = pb::MineBatchRequest {
        wait: Some(pb::Wait { min_size: 10_000, timeout: None }),
        encoding: pb::ColumnEncoding::LittleEndian.into(),
        fields: Some(pb::BatchFields { ages: true, ..Default::default() }),
        ..first()
    };
    let other = mined(&client, free).await.unwrap();
    assert!(other.scores.is_none() && other.ages.is_some() && !other.timed_out);
    assert_eq!(mined(&client, first()).await.unwrap(), batch);
}

#[tokio::test]
async fn a_wrong_round_names_its_field() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 10).await;
    let before = figures(&client, "p").await;
    let cases = [
        ("round.rank", share("p", 1, round(0, 2, 2))),
        ("round.world_size", share("p", 1, round(0, 0, 0))),
        ("round.world_size", share("p", 1, round(0, 0, 65_537))),
        ("round.world_size", share("p", 65_536, round(0, 0, 17))),
        ("round.run_id", share("p", 1, pb::Round { run_id: "r".repeat(129), ..round(0, 0, 1) })),
        ("request_id", pb::MineBatchRequest { request_id: "r".into(), ..share("p", 1, round(0, 0, 1)) }),
        ("dry_run", pb::MineBatchRequest { dry_run: true, ..share("p", 1, round(0, 0, 1)) }),
        ("batch_size", share("p", 0, round(0, 0, 1))),
    ];
    for (field, request) in cases {
        assert_invalid(mined(&client, request).await, field);
    }
    assert_eq!(told(mined(&client, share("none", 1, round(0, 0, 1))).await).0, Code::NotFound);
    assert_eq!(figures(&client, "p").await, before);
    // The largest allowed round, in a pool of ten samples: no rank could get one.
    let (code, reason, _) = told(mined(&client, share("p", 16, round(0, 0, 65_536))).await);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "SHORTFALL"));
}

#[tokio::test]
async fn too_few_samples_are_shared_equally_and_the_rest_is_not_marked() {
    let server = TestServer::start().await;
    let client = server.client().await;
    use pb::Strategy::{Proportional, Rank, Stalest, Top, Uniform};
    for strategy in [Proportional, Rank, Uniform, Top, Stalest] {
        for random_fraction in [0.0, 0.25, 1.0] {
            let pool =
                format!("{}-{}", strategy.as_str_name().to_lowercase(), (random_fraction * 100.0) as u32);
            ramp(&client, &pool, 11).await;
            let policy = pb::MiningPolicy {
                strategy: strategy.into(),
                random_fraction: Some(random_fraction),
                ..Default::default()
            };
            let mut union = HashSet::new();
            for rank in 0..4 {
                let request = pb::MineBatchRequest {
                    policy: Some(policy.clone()),
                    ..share(&pool, 5, round(0, rank, 4))
                };
                let batch = mined(&client, request).await.unwrap();
                assert_eq!((ids(&batch).len(), batch.shortfall_count), (2, 3), "{pool}");
                union.extend(ids(&batch));
            }
            assert_eq!(union.len(), 8, "{pool}");
            let serves = pb::MineBatchRequest {
                pool: format!("pools/{pool}"),
                batch_size: 11,
                dry_run: true,
                fields: Some(pb::BatchFields { serves: true, ..Default::default() }),
                ..Default::default()
            };
            let served: u32 = mined(&client, serves).await.unwrap().serves.iter().sum();
            assert_eq!(served, 8, "{pool}: three of eleven were not served");
        }
    }
}

#[tokio::test]
async fn weights_are_scaled_over_the_whole_round() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 2_000).await;
    for (number, normalization) in [(0, pb::Normalization::Max), (1, pb::Normalization::Mean)] {
        let mut weights = Vec::new();
        let mut largest = Vec::new();
        for rank in 0..4 {
            // Background samples have equal weights; without them all weights differ.
            let policy = pb::MiningPolicy {
                normalization: normalization.into(),
                random_fraction: Some(0.0),
                ..Default::default()
            };
            let request = pb::MineBatchRequest {
                seed: Some(7),
                policy: Some(policy),
                ..share("p", 16, round(number, rank, 4))
            };
            let of_rank = floats(&mined(&client, request).await.unwrap().importance_weights);
            largest.push(of_rank.iter().copied().fold(0.0, f32::max));
            weights.extend(of_rank);
        }
        let mean = weights.iter().sum::<f32>() / 64.0;
        match normalization {
            pb::Normalization::Max => {
                assert_eq!(
                    largest.iter().filter(|w| **w == 1.0).count(),
                    1,
                    "one rank has the largest: {largest:?}"
                );
            }
            _ => assert!((mean - 1.0).abs() < 1e-4, "{mean}"),
        }
    }
}

#[tokio::test]
async fn a_round_that_is_over_is_not_drawn_again() {
    let server = server_that_keeps(2).await;
    let client = server.client().await;
    ramp(&client, "p", 200).await;
    for number in 0..4 {
        mined(&client, share("p", 4, round(number, 0, 2))).await.unwrap();
    }
    for number in [0, 1] {
        let error = mined(&client, share("p", 4, round(number, 1, 2))).await.unwrap_err();
        assert!(error.to_string().contains("rounds up to 1 of run `run` are over"), "{error}");
        assert_eq!(
            told(Err::<(), _>(error)),
            (Code::FailedPrecondition, "ROUND_EXPIRED".into(), String::new())
        );
    }
    for number in [2, 3] {
        mined(&client, share("p", 4, round(number, 1, 2))).await.unwrap();
    }
    let again = pb::Round { run_id: "again".into(), ..round(0, 0, 2) };
    assert_eq!(ids(&mined(&client, share("p", 4, again)).await.unwrap()).len(), 4);
    // A pool that was deleted and created again has no rounds.
    client.delete_pool("p", false).await.unwrap();
    ramp(&client, "p", 200).await;
    mined(&client, share("p", 4, round(0, 1, 2))).await.unwrap();
}

#[tokio::test]
async fn a_draw_that_failed_may_be_tried_again() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 3).await;
    let policy = pb::MiningPolicy { shortfall: pb::Shortfall::Error.into(), ..Default::default() };
    let request =
        |rank| pb::MineBatchRequest { policy: Some(policy.clone()), ..share("p", 4, round(0, rank, 2)) };
    for rank in [0, 1] {
        assert_eq!(told(mined(&client, request(rank)).await).1, "SHORTFALL");
    }
    client.report("p", &(10..50).collect::<Vec<_>>(), &[1.0; 40]).await.unwrap();
    for rank in [0, 1] {
        assert_eq!(ids(&mined(&client, request(rank)).await.unwrap()).len(), 4);
    }
    assert_eq!(figures(&client, "p").await.rounds, 1);
}

#[tokio::test]
async fn a_stream_goes_on_from_round_to_round() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 500).await;
    let mut streams = Vec::new();
    for rank in 0..2 {
        let start =
            pb::StreamBatchesStart { request: Some(share("p", 8, round(40, rank, 2))), max_outstanding: 5 };
        let first =
            pb::StreamBatchesRequest { message: Some(pb::stream_batches_request::Message::Start(start)) };
        let stream = client.mining_service().stream_batches(tokio_stream::iter([first])).await.unwrap();
        streams.push(stream.into_inner());
    }
    for number in 40..45 {
        let mut union = HashSet::new();
        for (rank, stream) in streams.iter_mut().enumerate() {
            let batch = stream.message().await.unwrap().unwrap().batch.unwrap();
            assert_eq!(batch.round, Some(round(number, rank as u32, 2)));
            union.extend(ids(&batch));
        }
        assert_eq!(union.len(), 16);
    }
    assert_eq!(figures(&client, "p").await.rounds, 5);
}
