//! Anchored pools: reports with anchors, MineNegatives, AddPositives, RejectNegatives, and every bad input.

use super::*;
use common::TestServer;
use hardneg::client::MineRequest;
use hardneg::config::{Config, Limits};
use hardneg::proto::columns::{decode_floats, decode_u64s};
use pb::NegativeStrategy as Strategy;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_stream::StreamExt as _;

type Result<T> = std::result::Result<T, Error>;

fn u64s(values: impl IntoIterator<Item = u64>) -> Option<pb::IdColumn> {
    let values = values.into_iter().collect();
    Some(pb::IdColumn { encoding: Some(pb::id_column::Encoding::U64s(pb::U64s { values })) })
}

fn strings(values: &[&str]) -> Option<pb::IdColumn> {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    Some(pb::IdColumn { encoding: Some(pb::id_column::Encoding::Strings(pb::Strings { values })) })
}

fn floats(values: impl IntoIterator<Item = f32>) -> Option<pb::FloatColumn> {
    let values = values.into_iter().collect();
    Some(pb::FloatColumn {
        encoding: Some(pb::float_column::Encoding::Floats(pb::Floats { values })),
        ..Default::default()
    })
}

fn spec(n: u32) -> pb::PoolSpec {
    pb::PoolSpec {
        kind: pb::PoolKind::Anchored.into(),
        anchored: Some(pb::AnchoredSpec { negatives_per_anchor: n, ..Default::default() }),
        ..plain(0)
    }
}

fn with_anchored(n: u32, change: impl FnOnce(&mut pb::AnchoredSpec)) -> pb::PoolSpec {
    let mut spec = spec(n);
    change(spec.anchored.as_mut().unwrap());
    spec
}

/// Rows of (anchor, id, score).
fn rows(rows: &[(u64, u64, f32)]) -> pb::ScoreBatch {
    pb::ScoreBatch {
        pool: "pools/p".into(),
        anchors: u64s(rows.iter().map(|r| r.0)),
        ids: u64s(rows.iter().map(|r| r.1)),
        scores: floats(rows.iter().map(|r| r.2)),
        ..Default::default()
    }
}

async fn report(client: &Client, batch: pb::ScoreBatch) -> Result<pb::ReportCounts> {
    let request = pb::ReportScoresRequest { batch: Some(batch) };
    let answer = client.mining_service().report_scores(request).await.map_err(Error::from)?;
    Ok(answer.into_inner().ack.unwrap().counts.unwrap())
}

fn request(
    anchors: impl IntoIterator<Item = u64>,
    k: u32,
    policy: pb::NegativePolicy,
) -> pb::MineNegativesRequest {
    pb::MineNegativesRequest {
        pool: "pools/p".into(),
        anchors: u64s(anchors),
        num_negatives: k,
        policy: Some(policy),
        ..Default::default()
    }
}

fn short(strategy: Strategy) -> pb::NegativePolicy {
    pb::NegativePolicy {
        strategy: strategy.into(),
        shortfall: pb::Shortfall::Short.into(),
        ..Default::default()
    }
}

async fn mine(client: &Client, request: pb::MineNegativesRequest) -> Result<pb::MineNegativesResponse> {
    let answer = client.mining_service().mine_negatives(request).await.map_err(Error::from)?;
    Ok(answer.into_inner())
}

/// The ids of each anchor.
fn by_anchor(answer: &pb::MineNegativesResponse) -> Vec<Vec<u64>> {
    let ids = decode_u64s(answer.ids.clone()).unwrap();
    answer.offsets.windows(2).map(|w| ids[w[0] as usize..w[1] as usize].to_vec()).collect()
}

async fn add_positives(
    client: &Client,
    pairs: &[(u64, u64)],
    scores: &[f32],
) -> Result<pb::AddPositivesResponse> {
    let request = pb::AddPositivesRequest {
        pool: "pools/p".into(),
        anchors: u64s(pairs.iter().map(|p| p.0)),
        positives: u64s(pairs.iter().map(|p| p.1)),
        scores: if scores.is_empty() { None } else { floats(scores.iter().copied()) },
        ..Default::default()
    };
    Ok(client.mining_service().add_positives(request).await.map_err(Error::from)?.into_inner())
}

async fn reject(client: &Client, pairs: &[(u64, u64)]) -> Result<pb::RejectNegativesResponse> {
    let request = pb::RejectNegativesRequest {
        pool: "pools/p".into(),
        anchors: u64s(pairs.iter().map(|p| p.0)),
        negatives: u64s(pairs.iter().map(|p| p.1)),
        ..Default::default()
    };
    Ok(client.mining_service().reject_negatives(request).await.map_err(Error::from)?.into_inner())
}

#[tokio::test]
async fn the_hardest_of_each_anchor_come_back_in_the_order_asked() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(3)).await.unwrap();
    let batch = pb::ScoreBatch {
        positive_scores: floats([0.9, f32::NAN, 0.95, 0.8, f32::NAN]),
        ..rows(&[(7, 1, 0.5), (7, 2, 0.7), (7, 3, 0.6), (8, 1, 0.9), (7, 4, 0.1)])
    };
    let counts = report(&client, batch).await.unwrap();
    assert_eq!((counts.inserted, counts.background_only), (4, 1), "the easiest is in the background only");
    let asked = pb::MineNegativesRequest {
        fields: Some(pb::NegativeFields {
            scores: true,
            sources: true,
            ages: true,
            positive_scores: true,
            inclusion_probabilities: true,
        }),
        ..request([8, 7, 99, 7], 2, short(Strategy::Top))
    };
    for encoding in [pb::ColumnEncoding::Packed, pb::ColumnEncoding::LittleEndian] {
        let answer = mine(&client, pb::MineNegativesRequest { encoding: encoding.into(), ..asked.clone() })
            .await
            .unwrap();
        assert_eq!(by_anchor(&answer), [vec![1], vec![2, 3], vec![], vec![2, 3]]);
        assert_eq!(decode_floats(answer.scores.clone()).unwrap(), [0.9, 0.7, 0.6, 0.7, 0.6]);
        let positives = decode_floats(answer.positive_scores.clone()).unwrap();
        assert_eq!((positives[0], positives[1]), (0.8, 0.9), "the lowest of a batch's rows counts");
        assert!(positives[2].is_nan());
        assert_eq!(answer.inclusion_probabilities, None, "TOP has none");
        assert_eq!(answer.sources, vec![pb::Source::Hard as u8; 5]);
        assert_eq!((answer.shortfall_count, answer.unknown_anchor_count), (3, 1));
    }
    let stats = figures(&client, "p").await;
    let anchored = stats.anchored.unwrap();
    assert_eq!((anchored.anchors, anchored.negatives), (2, 4));
    assert_eq!(stats.sizes.unwrap().hard, 4);
    assert_eq!(stats.sizes.unwrap().background, 4);
    assert!(stats.memory_bytes > 0);
    assert_eq!((stats.mined_batches, stats.served_hard, stats.shortfalls), (2, 10, 2));
    let mut watch = client.watch_pool_stats("p", std::time::Duration::from_secs(1)).await.unwrap();
    let seen = watch.next().await.unwrap().unwrap();
    assert_eq!(seen.stats.unwrap().anchored, Some(anchored));
    let removed = client.remove("p", &[1, 4, 77]).await.unwrap();
    assert_eq!(removed, 2, "1 of both anchors, 4 of the background");
    let answer = mine(&client, request([7, 8], 3, short(Strategy::Top))).await.unwrap();
    assert_eq!(by_anchor(&answer), [vec![2, 3], vec![]]);
}

#[tokio::test]
async fn a_wrong_request_names_its_field() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(16)).await.unwrap();
    report(&client, rows(&[(1, 1, 0.5)])).await.unwrap();
    let policy = |policy: pb::NegativePolicy| request([1], 1, policy);
    let none = pb::NegativePolicy::default;
    let weighting = |dimension, cutoff, max_distance| pb::NegativePolicy {
        strategy: Strategy::DistanceWeighted.into(),
        distance_weighting: Some(pb::DistanceWeighting { dimension, cutoff, max_distance }),
        ..none()
    };
    let semi = |margin| pb::NegativePolicy {
        strategy: Strategy::SemiHard.into(),
        semi_hard_margin: margin,
        ..none()
    };
    let cases = [
        ("anchors", request([], 1, none())),
        ("anchors", pb::MineNegativesRequest { anchors: None, ..request([1], 1, none()) }),
        ("anchors", request(0..1_000_000, 1, none())),
        ("anchors", pb::MineNegativesRequest { anchors: strings(&["a"]), ..request([1], 1, none()) }),
        ("num_negatives", request([1], 0, none())),
        ("num_negatives", request([1], 1_025, none())),
        ("num_negatives", request(0..1_025, 1_024, none())),
        ("exclude_ids", pb::MineNegativesRequest { exclude_ids: u64s(0..65_537), ..request([1], 1, none()) }),
        ("pool", pb::MineNegativesRequest { pool: "p".into(), ..request([1], 1, none()) }),
        ("encoding", pb::MineNegativesRequest { encoding: 9, ..request([1], 1, none()) }),
        ("policy.strategy", policy(pb::NegativePolicy { strategy: 99, ..none() })),
        ("policy.shortfall", policy(pb::NegativePolicy { shortfall: 99, ..none() })),
        ("policy.alpha", policy(pb::NegativePolicy { alpha: Some(16.5), ..none() })),
        ("policy.alpha", policy(pb::NegativePolicy { alpha: Some(f64::NAN), ..none() })),
        ("policy.random_fraction", policy(pb::NegativePolicy { random_fraction: Some(1.1), ..none() })),
        ("policy.range_max", policy(pb::NegativePolicy { range_max: Some(17), ..none() })),
        ("policy.range_min", policy(pb::NegativePolicy { range_min: 5, range_max: Some(5), ..none() })),
        ("policy.range_min", policy(pb::NegativePolicy { range_max: Some(0), ..none() })),
        ("policy.range_min", policy(pb::NegativePolicy { range_min: 16, ..none() })),
        (
            "policy.min_score",
            policy(pb::NegativePolicy { min_score: Some(0.5), max_score: Some(0.4), ..none() }),
        ),
        ("policy.max_score", policy(pb::NegativePolicy { max_score: Some(f32::NAN), ..none() })),
        ("policy.absolute_margin", policy(pb::NegativePolicy { absolute_margin: Some(-0.1), ..none() })),
        ("policy.relative_margin", policy(pb::NegativePolicy { relative_margin: Some(f32::NAN), ..none() })),
        ("policy.semi_hard_margin", policy(semi(None))),
        ("policy.semi_hard_margin", policy(semi(Some(0.0)))),
        (
            "policy.distance_weighting",
            policy(pb::NegativePolicy { distance_weighting: None, ..weighting(3, 0.0, 0.0) }),
        ),
        ("policy.distance_weighting.dimension", policy(weighting(2, 0.0, 0.0))),
        ("policy.distance_weighting.cutoff", policy(weighting(3, 2.0, 0.0))),
        ("policy.distance_weighting.max_distance", policy(weighting(3, 0.5, 0.5))),
        (
            "policy.age",
            policy(pb::NegativePolicy { age: Some(pb::AgeWindow { min: -1.0, max: None }), ..none() }),
        ),
        (
            "policy.model_version",
            policy(pb::NegativePolicy {
                model_version: Some(pb::VersionWindow { min: 2, max: Some(1) }),
                ..none()
            }),
        ),
    ];
    for (field, request) in cases {
        assert_invalid(mine(&client, request).await, field);
    }
    let good = || rows(&[(1, 1, 0.5), (1, 2, 0.5)]);
    let cases = [
        ("batch.anchors", pb::ScoreBatch { anchors: None, ..good() }),
        ("batch.anchors", pb::ScoreBatch { anchors: u64s([1]), ..good() }),
        ("batch.anchors", pb::ScoreBatch { anchors: strings(&["a", "b"]), ..good() }),
        ("batch.positive_scores", pb::ScoreBatch { positive_scores: floats([1.0]), ..good() }),
        ("batch.groups", pb::ScoreBatch { groups: u64s([1]), ..good() }),
        ("batch.payloads", pb::ScoreBatch { payloads: vec!["x".into(), "y".into()], ..good() }),
        ("batch.strata", pb::ScoreBatch { strata: vec![1, 2], ..good() }),
        ("batch.ids", pb::ScoreBatch { ids: strings(&["a", "b"]), ..good() }),
    ];
    for (field, batch) in cases {
        assert_invalid(report(&client, batch).await, field);
    }
    let pairs = |anchors, positives, scores| pb::AddPositivesRequest {
        pool: "pools/p".into(),
        anchors,
        positives,
        scores,
        ..Default::default()
    };
    for (field, request) in [
        ("anchors", pairs(None, u64s([1]), None)),
        ("positives", pairs(u64s([1]), None, None)),
        ("positives", pairs(u64s([1, 2]), u64s([1]), None)),
        ("scores", pairs(u64s([1]), u64s([1]), floats([1.0, 2.0]))),
        ("scores", pairs(u64s([1]), u64s([1]), floats([f32::INFINITY]))),
        ("anchors", pairs(u64s(0..65_537), u64s(0..65_537), None)),
    ] {
        let result = client.mining_service().add_positives(request).await.map_err(Error::from);
        assert_invalid(result, field);
    }
    let anchored = figures(&client, "p").await.anchored.unwrap();
    assert_eq!((anchored.anchors, anchored.negatives, anchored.positives), (1, 1, 0));
}

#[tokio::test]
async fn a_spec_says_what_it_is_and_nothing_beside() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let cases = [
        ("capacity", pb::PoolSpec { capacity: 5, ..spec(4) }),
        ("default_policy", pb::PoolSpec { default_policy: Some(Default::default()), ..spec(4) }),
        ("serve_limits", pb::PoolSpec { serve_limits: Some(Default::default()), ..spec(4) }),
        ("max_payload_bytes", pb::PoolSpec { max_payload_bytes: 1, ..spec(4) }),
        ("quarantine", pb::PoolSpec { quarantine: Some(Default::default()), ..spec(4) }),
        ("flow", pb::PoolSpec { flow: Some(Default::default()), ..spec(4) }),
        ("control_fraction", pb::PoolSpec { control_fraction: 0.1, ..spec(4) }),
        ("anchored", pb::PoolSpec { kind: pb::PoolKind::Flat.into(), ..spec(4) }),
        ("anchored.negatives_per_anchor", spec(1_025)),
        ("anchored.max_anchors", with_anchored(4, |a| a.max_anchors = 1 << 40)),
        ("anchored.max_positives_per_anchor", with_anchored(4, |a| a.max_positives_per_anchor = 4_097)),
        ("anchored.max_vetoes_per_anchor", with_anchored(4, |a| a.max_vetoes_per_anchor = 4_097)),
        ("anchored.absolute_margin", with_anchored(4, |a| a.absolute_margin = Some(-1.0))),
        ("anchored.relative_margin", with_anchored(4, |a| a.relative_margin = Some(f32::INFINITY))),
        ("anchored.anchor_id_kind", with_anchored(4, |a| a.anchor_id_kind = 9)),
    ];
    for (field, spec) in cases {
        assert_invalid(client.create_pool("bad", spec).await, &format!("pool.spec.{field}"));
    }
    let (pool, created) = client.create_pool("p", spec(0)).await.unwrap();
    assert!(created);
    let described = pool.spec.unwrap();
    let anchored = described.anchored.unwrap();
    assert_eq!(
        (
            anchored.negatives_per_anchor,
            anchored.max_anchors,
            anchored.max_positives_per_anchor,
            anchored.max_vetoes_per_anchor
        ),
        (16, 1 << 20, 64, 256)
    );
    let (_, created) = client.create_pool("p", described).await.unwrap();
    assert!(!created, "what it describes is what it is");
    assert_eq!(told(client.create_pool("p", spec(5)).await).0, Code::AlreadyExists);
    let limits = pb::ServeLimits { max_serves: 3, ..Default::default() };
    let change = pb::PoolSpec { serve_limits: Some(limits), ..spec(0) };
    assert_invalid(
        client.update_pool("p", change, &["spec.serve_limits"], None).await,
        "pool.spec.serve_limits",
    );
    // Each call says which pool it is for.
    assert_eq!(told(client.mine(MineRequest::new("p", 1)).await).1, "POOL_ANCHORED");
    client.create_pool("flat", plain(10)).await.unwrap();
    let flat = |r| pb::MineNegativesRequest { pool: "pools/flat".into(), ..r };
    let refused = mine(&client, flat(request([1], 1, Default::default()))).await;
    assert_eq!(told(refused).1, "POOL_NOT_ANCHORED");
    let pairs = pb::RejectNegativesRequest {
        pool: "pools/flat".into(),
        anchors: u64s([1]),
        negatives: u64s([1]),
        ..Default::default()
    };
    let refused = client.mining_service().reject_negatives(pairs).await.map_err(Error::from);
    assert_eq!(told(refused).0, Code::FailedPrecondition);
}

#[tokio::test]
async fn limits_are_named_and_nothing_is_half_done() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let limits = |a: &mut pb::AnchoredSpec| {
        (a.max_anchors, a.max_positives_per_anchor, a.max_vetoes_per_anchor) = (2, 2, 1);
    };
    client.create_pool("p", with_anchored(4, limits)).await.unwrap();
    let counts =
        report(&client, rows(&[(1, 1, 0.5), (2, 1, 0.5), (3, 1, 0.5), (3, 2, f32::NAN)])).await.unwrap();
    assert_eq!((counts.inserted, counts.anchor_limit, counts.non_finite), (2, 1, 1));
    let limit = |error: Error| (error.code(), error.to_string());
    let (code, text) =
        limit(add_positives(&client, &[(2, 9), (1, 7), (1, 8), (1, 9)], &[]).await.unwrap_err());
    assert_eq!(code, Code::ResourceExhausted);
    assert!(text.contains("max_positives_per_anchor 2"), "{text}");
    let (_, text) = limit(reject(&client, &[(2, 1), (1, 8), (1, 9)]).await.unwrap_err());
    assert!(text.contains("max_vetoes_per_anchor 1"), "{text}");
    let (_, text) = limit(add_positives(&client, &[(1, 7), (9, 7)], &[]).await.unwrap_err());
    assert!(text.contains("max_anchors 2"), "{text}");
    let anchored = figures(&client, "p").await.anchored.unwrap();
    assert_eq!((anchored.anchors, anchored.positives, anchored.vetoes, anchored.negatives), (2, 0, 0, 2));
    assert_eq!(anchored.anchors_refused, 1);
    // An answer that no message could hold.
    let limits = Limits { max_message_bytes: 1 << 20, ..Limits::default() };
    let small = TestServer::start_with(Config { limits, ..Config::default() }).await;
    let client = small.client().await;
    client.create_pool("p", spec(64)).await.unwrap();
    let many: Vec<_> = (0..64).map(|i| (1, i, 0.5)).collect();
    report(&client, rows(&many)).await.unwrap();
    let refused = mine(&client, request(vec![1; 4_096], 64, Default::default())).await;
    assert_eq!(told(refused).0, Code::ResourceExhausted);
}

#[tokio::test]
async fn names_of_anchors_and_negatives_work_like_integers() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let named = pb::PoolSpec {
        id_kind: pb::IdKind::String.into(),
        ..with_anchored(2, |a| a.anchor_id_kind = pb::IdKind::String.into())
    };
    client.create_pool("p", named).await.unwrap();
    let batch = pb::ScoreBatch {
        pool: "pools/p".into(),
        anchors: strings(&["q1", "q1", "q1", "q2"]),
        ids: strings(&["easy", "hard", "harder", "other"]),
        scores: floats([0.1, 0.8, 0.9, 0.5]),
        ..Default::default()
    };
    report(&client, batch).await.unwrap();
    let positives = pb::AddPositivesRequest {
        pool: "pools/p".into(),
        anchors: strings(&["q2"]),
        positives: strings(&["hard"]),
        ..Default::default()
    };
    client.mining_service().add_positives(positives).await.unwrap();
    let asked = pb::MineNegativesRequest {
        anchors: strings(&["q1", "q2"]),
        ..request([], 4, pb::NegativePolicy::default())
    };
    let answer = mine(&client, asked).await.unwrap();
    let Some(pb::id_column::Encoding::Strings(names)) = answer.ids.clone().unwrap().encoding else {
        panic!("names")
    };
    assert_eq!(answer.offsets, [0, 4, 7]);
    assert_eq!(names.values[..2], ["harder", "hard"]);
    let filled: BTreeSet<&str> = names.values[2..4].iter().map(String::as_str).collect();
    assert_eq!(filled, BTreeSet::from(["easy", "other"]), "the background fills up");
    assert_eq!(names.values[4], "other");
    let filled: BTreeSet<&str> = names.values[5..].iter().map(String::as_str).collect();
    assert_eq!(filled, BTreeSet::from(["easy", "harder"]), "but not with q2's positive");
    let scores = decode_floats(answer.scores).unwrap();
    assert!(scores[2].is_nan() && scores[0] == 0.9);
    assert_eq!((answer.background_count, answer.shortfall_count), (4, 1));
}

#[tokio::test]
async fn each_shortfall_policy_does_what_it_says() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(4)).await.unwrap();
    // Anchor 1 has 2 of its own; 40 ids are known in all.
    let mut all: Vec<_> = (100..140).map(|i| (1_000 + i, i, 0.5)).collect();
    all.extend([(1, 100, 0.9), (1, 101, 0.8)]);
    report(&client, rows(&all)).await.unwrap();
    for strategy in [Strategy::Top, Strategy::Random, Strategy::Proportional] {
        let policy = |shortfall: pb::Shortfall, share| pb::NegativePolicy {
            shortfall: shortfall.into(),
            random_fraction: Some(share),
            ..short(strategy)
        };
        let filled = mine(&client, request([1, 5_000], 10, policy(pb::Shortfall::Fill, 0.0))).await.unwrap();
        assert_eq!(filled.offsets, [0, 10, 20], "{strategy:?}");
        assert_eq!(
            (filled.shortfall_count, filled.unknown_anchor_count, filled.background_count),
            (0, 1, 18)
        );
        for ids in by_anchor(&filled) {
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 10, "none twice");
        }
        let own: BTreeSet<u64> = by_anchor(&filled)[0][..2].iter().copied().collect();
        assert_eq!(own, BTreeSet::from([100, 101]));
        let shorter = mine(&client, request([1], 10, policy(pb::Shortfall::Short, 0.5))).await.unwrap();
        assert_eq!((shorter.offsets[1], shorter.shortfall_count), (4, 6), "the mixture that was asked for");
        let refused = mine(&client, request([1_100, 1, 2], 2, policy(pb::Shortfall::Error, 0.0))).await;
        let error = refused.unwrap_err();
        assert_eq!((error.code(), error.reason().as_deref()), (Code::FailedPrecondition, Some("SHORTFALL")));
        assert!(error.to_string().contains("anchors[0] (1100)"), "the first such anchor: {error}");
        mine(&client, request([1], 2, policy(pb::Shortfall::Error, 0.0))).await.unwrap();
    }
    // With all of the background taken there is no more.
    let all = mine(&client, request([1], 64, Default::default())).await.unwrap();
    assert_eq!((all.offsets[1], all.shortfall_count), (40, 24));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_negatives_and_anchors_are_drawn_for_apart() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(32)).await.unwrap();
    let all: Vec<_> = (0..64).map(|i| (i / 32, i, 0.5 + i as f32 / 100.0)).collect();
    report(&client, rows(&all)).await.unwrap();
    let policy = pb::NegativePolicy { random_fraction: Some(0.25), ..short(Strategy::Proportional) };
    let asked = |seed| pb::MineNegativesRequest {
        seed: Some(seed),
        // Bytes, so that NaN equals NaN.
        encoding: pb::ColumnEncoding::LittleEndian.into(),
        ..request([0, 1, 0, 0], 8, policy.clone())
    };
    let first = mine(&client, asked(7)).await.unwrap();
    assert_eq!(first, mine(&client, asked(7)).await.unwrap());
    assert_ne!(by_anchor(&first), by_anchor(&mine(&client, asked(8)).await.unwrap()));
    let drawn = by_anchor(&first);
    assert!(drawn[0] != drawn[2] && drawn[2] != drawn[3], "an anchor named twice has two draws");
    assert_eq!(first.seed, 7);
    assert_eq!(first.policy.unwrap().shortfall(), pb::Shortfall::Short);
}

#[tokio::test]
async fn filters_count_in_their_order() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", with_anchored(16, |a| a.absolute_margin = Some(0.1))).await.unwrap();
    let of = |version, list: &[(u64, f32)]| pb::ScoreBatch {
        model_version: version,
        positive_scores: floats(list.iter().map(|_| 0.8)),
        ..rows(&list.iter().map(|(id, score)| (1, *id, *score)).collect::<Vec<_>>())
    };
    report(&client, of(1, &[(1, 0.65)])).await.unwrap();
    report(&client, of(2, &[(2, 0.75), (3, 0.68), (4, 0.6), (5, 0.5), (6, 0.4), (7, 0.3), (8, 0.05)]))
        .await
        .unwrap();
    let policy = pb::NegativePolicy {
        model_version: Some(pb::VersionWindow { min: 2, max: None }),
        min_score: Some(0.1),
        range_min: 1,
        range_max: Some(3),
        ..short(Strategy::Top)
    };
    let asked = pb::MineNegativesRequest { exclude_ids: u64s([4]), ..request([1], 8, policy) };
    let answer = mine(&client, asked).await.unwrap();
    // 1 is of an old model, 4 excluded, 8 too low, 2 within the pool's margin; of 3, 5, 6, 7 the range leaves 5 and 6.
    assert_eq!(by_anchor(&answer), [vec![5, 6]]);
    let counted = answer.filtered.unwrap();
    let expected = pb::FilterCounts {
        excluded: 1,
        model_version: 1,
        score: 1,
        positive_aware: 1,
        rank: 2,
        ..Default::default()
    };
    assert_eq!(counted, expected);
    assert_eq!(answer.policy.unwrap().absolute_margin, Some(0.1), "the pool's, where the request has none");
    assert_eq!(figures(&client, "p").await.filtered.unwrap(), expected);
    // What the anchor has itself is judged by its own score, whichever source it would come from; who knows no score passes.
    report(&client, rows(&[(2, 50, 0.9)])).await.unwrap();
    let policy = pb::NegativePolicy { max_score: Some(0.35), ..Default::default() };
    let answer = mine(&client, request([1], 8, policy)).await.unwrap();
    let ids: BTreeSet<u64> = by_anchor(&answer)[0].iter().copied().collect();
    assert_eq!(ids, BTreeSet::from([7, 8, 50]));
    assert_eq!(answer.filtered.unwrap().unscored_passed, 1);
}

#[tokio::test]
async fn a_group_has_no_more_than_its_share_of_either_source() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(8)).await.unwrap();
    let all: Vec<_> = (0..8).map(|i| (1, i, 0.9 - i as f32 / 100.0)).collect();
    let batch = pb::ScoreBatch { groups: u64s([5, 5, 5, 6, 6, 0, 0, 0]), ..rows(&all) };
    report(&client, batch).await.unwrap();
    let more: Vec<_> = (100..140).map(|i| (2, i, 0.5)).collect();
    for part in more.chunks(8) {
        report(&client, pb::ScoreBatch { groups: u64s(part.iter().map(|_| 5)), ..rows(part) }).await.unwrap();
    }
    let group_of = |id: &u64| match id {
        0..=2 | 100..=139 => 5,
        3 | 4 => 6,
        _ => 0,
    };
    for strategy in [Strategy::Top, Strategy::Random, Strategy::Proportional] {
        let policy = pb::NegativePolicy { strategy: strategy.into(), max_per_group: 1, ..Default::default() };
        let answer = mine(&client, request(vec![1; 100], 8, policy)).await.unwrap();
        for ids in by_anchor(&answer) {
            let mut counts: HashMap<i32, usize> = HashMap::new();
            ids.iter().for_each(|id| *counts.entry(group_of(id)).or_default() += 1);
            assert_eq!(counts, HashMap::from([(5, 1), (6, 1), (0, 3)]), "{strategy:?} {ids:?}");
        }
        assert!(answer.filtered.unwrap().group > 0);
        if strategy == Strategy::Top {
            assert_eq!(by_anchor(&answer)[0], [0, 3, 5, 6, 7], "the hardest of each");
        }
    }
}

/// What sentence-transformers 6.2's mine_hard_negatives leaves of an anchor's (id, score)s, by its documentation and source: the
/// range_max + positives nearest first; then positives, margins, max_score, min_score; then the nearest range_max of those, without
/// the first range_min.
fn sentence_transformers(
    corpus: &[(u64, f32)],
    positives: &[(u64, f32)],
    policy: &pb::NegativePolicy,
) -> Vec<u64> {
    let mut nearest = corpus.to_vec();
    nearest.sort_by(|a, b| b.1.total_cmp(&a.1));
    let range_max = policy.range_max.map_or(usize::MAX / 2, |max| max as usize);
    nearest.truncate(range_max + positives.len());
    let lowest = positives.iter().map(|p| p.1).fold(f32::INFINITY, f32::min);
    nearest.retain(|(id, score)| {
        !positives.iter().any(|p| p.0 == *id)
            && policy.absolute_margin.is_none_or(|m| score + m <= lowest)
            && policy.relative_margin.is_none_or(|m| *score <= lowest - lowest.abs() * m)
            && policy.max_score.is_none_or(|max| *score <= max)
            && policy.min_score.is_none_or(|min| *score >= min)
    });
    nearest.truncate(range_max);
    nearest.into_iter().skip(policy.range_min as usize).map(|n| n.0).collect()
}

#[tokio::test]
async fn windows_and_margins_are_those_of_sentence_transformers() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(64)).await.unwrap();
    // Sixteenths, so that no rounding blurs a bound; below zero too. POWER would tie what is below zero.
    client
        .create_pool(
            "cosine",
            pb::PoolSpec {
                hardness: Some(pb::Hardness {
                    function: pb::HardnessFunction::Exponential.into(),
                    temperature: 0.1,
                    ..Default::default()
                }),
                ..spec(64)
            },
        )
        .await
        .unwrap();
    let corpus: Vec<(u64, f32)> = (0..32).map(|i| (i, 1.0 - i as f32 / 16.0)).collect();
    for (anchor, positives) in [
        (1u64, vec![(3u64, 13.0 / 16.0)]),
        (2, vec![(3, 13.0 / 16.0), (6, 10.0 / 16.0)]),
        (3, vec![(20, -0.25)]),
    ] {
        let list: Vec<_> = corpus.iter().map(|(id, score)| (anchor, *id, *score)).collect();
        let pool = |batch| pb::ScoreBatch { pool: "pools/cosine".into(), ..batch };
        report(&client, pool(rows(&list))).await.unwrap();
        let request_positives = pb::AddPositivesRequest {
            pool: "pools/cosine".into(),
            anchors: u64s(positives.iter().map(|_| anchor)),
            positives: u64s(positives.iter().map(|p| p.0)),
            scores: floats(positives.iter().map(|p| p.1)),
            ..Default::default()
        };
        client.mining_service().add_positives(request_positives).await.unwrap();
        let none = || short(Strategy::Top);
        let cases = [
            none(),
            pb::NegativePolicy { range_min: 3, ..none() },
            pb::NegativePolicy { range_min: 2, range_max: Some(9), ..none() },
            pb::NegativePolicy { max_score: Some(0.5), ..none() },
            pb::NegativePolicy { min_score: Some(-0.5), ..none() },
            pb::NegativePolicy { min_score: Some(0.0), max_score: Some(0.5), range_min: 1, ..none() },
            pb::NegativePolicy { absolute_margin: Some(0.0), ..none() },
            pb::NegativePolicy { absolute_margin: Some(0.125), ..none() },
            pb::NegativePolicy { relative_margin: Some(0.5), ..none() },
            pb::NegativePolicy {
                absolute_margin: Some(0.25),
                relative_margin: Some(0.25),
                range_min: 2,
                ..none()
            },
        ];
        for policy in cases {
            let expected = sentence_transformers(&corpus, &positives, &policy);
            let asked = |policy: &pb::NegativePolicy, k: u32| pb::MineNegativesRequest {
                pool: "pools/cosine".into(),
                ..request([anchor], k, policy.clone())
            };
            let mined = mine(&client, asked(&policy, 40)).await.unwrap();
            assert_eq!(by_anchor(&mined)[0], expected, "anchor {anchor} {policy:?}");
            let five = mine(&client, asked(&policy, 5)).await.unwrap();
            assert_eq!(by_anchor(&five)[0], expected[..expected.len().min(5)], "num_negatives");
            let random = pb::NegativePolicy { strategy: Strategy::Random.into(), ..policy.clone() };
            let mined = mine(&client, asked(&random, 40)).await.unwrap();
            let (mut ids, mut all) = (by_anchor(&mined)[0].clone(), expected.clone());
            ids.sort_unstable();
            all.sort_unstable();
            assert_eq!(ids, all, "random chooses among the same");
        }
        // Where hardneg differs: a range_max counts what the filters left, there what they are to look at.
        let both = pb::NegativePolicy { range_max: Some(4), max_score: Some(0.5), ..none() };
        let asked =
            pb::MineNegativesRequest { pool: "pools/cosine".into(), ..request([anchor], 40, both.clone()) };
        let mined = by_anchor(&mine(&client, asked).await.unwrap())[0].clone();
        assert_eq!(mined.len(), 4);
        assert!(sentence_transformers(&corpus, &positives, &both).is_empty());
    }
}

#[tokio::test]
async fn the_semi_hard_window_is_strict_in_both_forms() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let distance = pb::Hardness { lower_is_harder: true, ..Default::default() };
    client.create_pool("p", spec(16)).await.unwrap();
    client.create_pool("distances", pb::PoolSpec { hardness: Some(distance), ..spec(16) }).await.unwrap();
    let policy = pb::NegativePolicy { semi_hard_margin: Some(0.25), ..short(Strategy::SemiHard) };
    let next = |x: f32| (x.next_down(), x.next_up());
    let (half, three_quarters, one) = (next(0.5), next(0.75), next(1.0));
    for (pool, scores, inside) in [
        ("p", [half.0, 0.5, half.1, three_quarters.0, 0.75, three_quarters.1], [2, 3]),
        ("distances", [three_quarters.0, 0.75, three_quarters.1, one.0, 1.0, one.1], [2, 3]),
    ] {
        let pool = format!("pools/{pool}");
        let list: Vec<_> = (0..6).map(|i| (1, i, scores[i as usize])).collect();
        let batch = pb::ScoreBatch { pool: pool.clone(), positive_scores: floats([0.75; 6]), ..rows(&list) };
        report(&client, batch).await.unwrap();
        let asked = pb::MineNegativesRequest { pool: pool.clone(), ..request([1], 16, policy.clone()) };
        let mut ids = by_anchor(&mine(&client, asked).await.unwrap())[0].clone();
        ids.sort_unstable();
        assert_eq!(ids, inside, "{pool}");
        // Without a positive score there is no window.
        report(&client, pb::ScoreBatch { pool: pool.clone(), ..rows(&[(2, 9, 0.7)]) }).await.unwrap();
        let asked = pb::MineNegativesRequest { pool, ..request([2], 16, policy.clone()) };
        assert_eq!(by_anchor(&mine(&client, asked).await.unwrap())[0], Vec::<u64>::new());
    }
}

/// A million draws: none of what is known to be no negative, whatever the shortfall policy.
#[tokio::test]
async fn what_is_no_negative_is_never_served() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(16)).await.unwrap();
    let all: Vec<_> = (0..4_000).map(|i| (i % 200, i / 20, 0.1 + (i % 97) as f32 / 100.0)).collect();
    report(&client, rows(&all)).await.unwrap();
    // Of each anchor some of its own and some of others.
    let known: Vec<_> =
        (0..200).flat_map(|a| [(a, a % 200), (a, (a + 7) % 200), (a, (a * 3) % 200)]).collect();
    let vetoed: Vec<_> = (0..200).flat_map(|a| [(a, (a + 1) % 200), (a, (a * 5) % 200)]).collect();
    add_positives(&client, &known, &[]).await.unwrap();
    reject(&client, &vetoed).await.unwrap();
    let forbidden: BTreeSet<(u64, u64)> = known.iter().chain(&vetoed).copied().collect();
    let mut draws = 0;
    for (shortfall, share, k) in [
        (pb::Shortfall::Fill, 0.0, 64),
        (pb::Shortfall::Fill, 0.5, 24),
        (pb::Shortfall::Short, 0.25, 12),
        (pb::Shortfall::Error, 1.0, 64),
    ] {
        for strategy in [Strategy::Top, Strategy::Random, Strategy::Proportional] {
            let policy = pb::NegativePolicy {
                strategy: strategy.into(),
                random_fraction: Some(share),
                shortfall: shortfall.into(),
                ..Default::default()
            };
            let anchors: Vec<u64> = (0..2_400).map(|i| i % 200).collect();
            let answer = mine(&client, request(anchors.clone(), k, policy)).await.unwrap();
            for (anchor, ids) in anchors.iter().zip(by_anchor(&answer)) {
                draws += ids.len();
                for id in ids {
                    assert!(!forbidden.contains(&(*anchor, id)), "{anchor} {id} {shortfall:?} {strategy:?}");
                }
            }
            if share > 0.0 {
                let filtered = answer.filtered.unwrap();
                assert!(filtered.known_positives > 0 && filtered.vetoed > 0, "they were there to be drawn");
            }
        }
    }
    assert!(draws >= 1_000_000, "{draws}");
}

/// Once AddPositives has answered, no later request serves it, whatever else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_positive_added_while_others_report_and_mine_is_not_served_later() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(8)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let batch = |round: u64| -> Vec<(u64, u64, f32)> {
        (0..400).map(|i| (i % 20, (i * 7 + round) % 200, 0.1 + ((i + round) % 89) as f32 / 100.0)).collect()
    };
    report(&client, rows(&batch(0))).await.unwrap();
    let mut others = Vec::new();
    for worker in 0..2u64 {
        let (client, stop) = (client.clone(), stop.clone());
        others.push(tokio::spawn(async move {
            let mut round = worker;
            while !stop.load(Ordering::Relaxed) {
                round += 2;
                report(&client, rows(&batch(round))).await.unwrap();
                mine(&client, request(0..20, 16, Default::default())).await.unwrap();
            }
        }));
    }
    let mut known: BTreeSet<(u64, u64)> = BTreeSet::new();
    for round in 0..60u64 {
        let pairs: Vec<(u64, u64)> = (0..20).map(|a| (a, (round * 31 + a) % 200)).collect();
        add_positives(&client, &pairs, &[]).await.unwrap();
        known.extend(&pairs);
        let policy = pb::NegativePolicy { random_fraction: Some(0.5), ..Default::default() };
        let answer = mine(&client, request(0..20, 64, policy)).await.unwrap();
        for (anchor, ids) in by_anchor(&answer).into_iter().enumerate() {
            assert!(ids.len() >= 60, "the background fills up");
            for id in ids {
                assert!(!known.contains(&(anchor as u64, id)), "{anchor} {id} in round {round}");
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for other in others {
        other.await.unwrap();
    }
}
