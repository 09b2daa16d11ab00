//! Every kind of invalid input, and the limits.

use super::*;

/// Policies that are refused, each with the field that the error names.
fn wrong_policies() -> Vec<(&'static str, pb::NegativePolicy)> {
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
    vec![
        ("strategy", pb::NegativePolicy { strategy: 99, ..none() }),
        ("shortfall", pb::NegativePolicy { shortfall: 99, ..none() }),
        ("alpha", pb::NegativePolicy { alpha: Some(16.5), ..none() }),
        ("alpha", pb::NegativePolicy { alpha: Some(f64::NAN), ..none() }),
        ("random_fraction", pb::NegativePolicy { random_fraction: Some(1.1), ..none() }),
        ("range_max", pb::NegativePolicy { range_max: Some(17), ..none() }),
        ("range_min", pb::NegativePolicy { range_min: 5, range_max: Some(5), ..none() }),
        ("range_min", pb::NegativePolicy { range_max: Some(0), ..none() }),
        ("range_min", pb::NegativePolicy { range_min: 16, ..none() }),
        ("min_score", pb::NegativePolicy { min_score: Some(0.5), max_score: Some(0.4), ..none() }),
        ("max_score", pb::NegativePolicy { max_score: Some(f32::NAN), ..none() }),
        ("absolute_margin", pb::NegativePolicy { absolute_margin: Some(-0.1), ..none() }),
        ("relative_margin", pb::NegativePolicy { relative_margin: Some(f32::NAN), ..none() }),
        ("hard_margin", pb::NegativePolicy { hard_margin: Some(-0.1), ..none() }),
        ("hard_margin", pb::NegativePolicy { hard_margin: Some(f32::NAN), ..none() }),
        (
            "hard_margin",
            pb::NegativePolicy { hard_margin: Some(0.25), absolute_margin: Some(0.25), ..none() },
        ),
        ("semi_hard_margin", semi(None)),
        ("semi_hard_margin", semi(Some(0.0))),
        ("semi_hard_margin", pb::NegativePolicy { absolute_margin: Some(0.25), ..semi(Some(0.25)) }),
        ("distance_weighting", pb::NegativePolicy { distance_weighting: None, ..weighting(3, 0.0, 0.0) }),
        ("distance_weighting.dimension", weighting(2, 0.0, 0.0)),
        ("distance_weighting.cutoff", weighting(3, 2.0, 0.0)),
        ("distance_weighting.max_distance", weighting(3, 0.5, 0.5)),
        ("age", pb::NegativePolicy { age: Some(pb::AgeWindow { min: -1.0, max: None }), ..none() }),
        (
            "model_version",
            pb::NegativePolicy { model_version: Some(pb::VersionWindow { min: 2, max: Some(1) }), ..none() },
        ),
    ]
}

/// A server whose pool `p` has one anchor with one negative.
async fn one_negative() -> (TestServer, Client) {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(16)).await.unwrap();
    report(&client, rows(&[(1, 1, 0.5)])).await.unwrap();
    (server, client)
}

#[tokio::test]
async fn a_wrong_request_names_its_field() {
    let (_server, client) = one_negative().await;
    let none = pb::NegativePolicy::default;
    let each = |request, numbers| pb::MineNegativesRequest { num_negatives_per_anchor: numbers, ..request };
    let cases = [
        ("anchors", request([], 1, none())),
        ("anchors", pb::MineNegativesRequest { anchors: None, ..request([1], 1, none()) }),
        ("anchors", request(0..1_000_000, 1, none())),
        ("anchors", pb::MineNegativesRequest { anchors: strings(&["a"]), ..request([1], 1, none()) }),
        ("num_negatives", request([1], 0, none())),
        ("num_negatives", request([1], 1_025, none())),
        ("num_negatives", request(0..1_025, 1_024, none())),
        ("num_negatives_per_anchor", each(request([1], 1, none()), vec![1])),
        ("num_negatives_per_anchor", each(request([1, 2], 0, none()), vec![1])),
        ("num_negatives_per_anchor[1]", each(request([1, 2], 0, none()), vec![1, 1_025])),
        ("num_negatives_per_anchor", each(request(0..1_025, 0, none()), vec![1_024; 1_025])),
        ("exclude_ids", pb::MineNegativesRequest { exclude_ids: u64s(0..65_537), ..request([1], 1, none()) }),
        ("pool", pb::MineNegativesRequest { pool: "p".into(), ..request([1], 1, none()) }),
        ("encoding", pb::MineNegativesRequest { encoding: 9, ..request([1], 1, none()) }),
    ];
    for (field, request) in cases {
        assert_invalid(mine(&client, request).await, field);
    }
    for (field, policy) in wrong_policies() {
        assert_invalid(mine(&client, request([1], 1, policy)).await, &format!("policy.{field}"));
    }
}

#[tokio::test]
async fn a_wrong_report_of_anchors_names_its_field() {
    let (_server, client) = one_negative().await;
    let good = || rows(&[(1, 1, 0.5), (1, 2, 0.5)]);
    let cases = [
        ("batch.anchors", pb::ScoreBatch { anchors: None, ..good() }),
        ("batch.anchors", pb::ScoreBatch { anchors: u64s([1]), ..good() }),
        ("batch.anchors", pb::ScoreBatch { anchors: strings(&["a", "b"]), ..good() }),
        ("batch.positive_scores", pb::ScoreBatch { positive_scores: floats([1.0]), ..good() }),
        ("batch.groups", pb::ScoreBatch { groups: u64s([1]), ..good() }),
        ("batch.payloads", pb::ScoreBatch { payloads: vec!["x".into(), "y".into()], ..good() }),
        ("batch.strata", pb::ScoreBatch { strata: vec![1, 2], ..good() }),
        ("batch.labels", pb::ScoreBatch { labels: vec![1], ..good() }),
        ("batch.anchor_labels", pb::ScoreBatch { anchor_labels: vec![1, 2, 3], ..good() }),
        ("batch.ids", pb::ScoreBatch { ids: strings(&["a", "b"]), ..good() }),
    ];
    for (field, batch) in cases {
        assert_invalid(report(&client, batch).await, field);
    }
    let anchored = figures(&client, "p").await.anchored.unwrap();
    assert_eq!((anchored.anchors, anchored.negatives), (1, 1), "nothing was stored");
}

#[tokio::test]
async fn wrong_positives_name_their_field() {
    let (_server, client) = one_negative().await;
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
    assert_eq!((anchored.anchors, anchored.positives), (1, 0), "nothing was stored");
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
        ("anchored.max_pairs", with_anchored(4, |a| a.max_pairs = (1 << 32) + 1)),
        ("anchored.absolute_margin", with_anchored(4, |a| a.absolute_margin = Some(-1.0))),
        ("anchored.relative_margin", with_anchored(4, |a| a.relative_margin = Some(f32::INFINITY))),
        ("anchored.anchor_id_kind", with_anchored(4, |a| a.anchor_id_kind = 9)),
        (
            "anchored.anchors_are_samples",
            with_anchored(4, |a| {
                a.anchors_are_samples = true;
                a.anchor_id_kind = pb::IdKind::String.into();
            }),
        ),
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
            anchored.max_vetoes_per_anchor,
            anchored.max_pairs
        ),
        (16, 1 << 20, 64, 256, 1 << 24)
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
    // The error names the kind of pool that the call is for.
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
        (a.max_anchors, a.max_positives_per_anchor, a.max_vetoes_per_anchor, a.max_pairs) = (2, 2, 1, 3);
    };
    client.create_pool("p", with_anchored(4, limits)).await.unwrap();
    let counts =
        report(&client, rows(&[(1, 1, 0.5), (2, 1, 0.5), (3, 1, 0.5), (3, 2, f32::NAN)])).await.unwrap();
    assert_eq!((counts.inserted, counts.anchor_limit, counts.non_finite), (2, 1, 1));
    // A small pool has one partition, which stores all pairs of a call or none.
    let named = |refused: Option<pb::RefusedPairs>| {
        let refused = refused.expect("refused");
        let limits: Vec<_> = refused.limits.into_iter().map(|l| (l.row, l.limit, l.max)).collect();
        (refused.rows, limits)
    };
    let limit = |row, name: &str, max| (row, name.to_owned(), max);
    let answer = add_positives(&client, &[(2, 9), (1, 7), (1, 8), (1, 9)], &[]).await.unwrap();
    assert_eq!((answer.added_count, answer.removed_count), (0, 0));
    let expected = vec![limit(0, "max_pairs", 3), limit(1, "max_positives_per_anchor", 2)];
    assert_eq!(named(answer.refused), (vec![0, 1, 2, 3], expected));
    let answer = reject(&client, &[(2, 1), (1, 8), (1, 9)]).await.unwrap();
    assert_eq!(named(answer.refused), (vec![0, 1, 2], vec![limit(1, "max_vetoes_per_anchor", 1)]));
    let answer = add_positives(&client, &[(1, 7), (9, 7)], &[]).await.unwrap();
    assert_eq!(named(answer.refused), (vec![0, 1], vec![limit(1, "max_anchors", 2)]));
    let anchored = figures(&client, "p").await.anchored.unwrap();
    assert_eq!((anchored.anchors, anchored.positives, anchored.vetoes, anchored.negatives), (2, 0, 0, 2));
    assert_eq!((anchored.anchors_refused, anchored.pairs_refused), (1, 9));
    let answer = add_positives(&client, &[(1, 7), (1, 8), (2, 9)], &[]).await.unwrap();
    assert_eq!((answer.added_count, answer.refused), (3, None), "up to the limit there is room");
    // The response would exceed the largest message size.
    let limits = Limits { max_message_bytes: 1 << 20, ..Limits::default() };
    let small = TestServer::start_with(Config { limits, ..Config::default() }).await;
    let client = small.client().await;
    client.create_pool("p", spec(64)).await.unwrap();
    let many: Vec<_> = (0..64).map(|i| (1, i, 0.5)).collect();
    report(&client, rows(&many)).await.unwrap();
    let refused = mine(&client, request(vec![1; 4_096], 64, Default::default())).await;
    assert_eq!(told(refused).0, Code::ResourceExhausted);
}

/// A semi-hard window that lies within the margin, so that no negative can pass, is refused, whether the margin is the request's or the pool's.
#[tokio::test]
async fn a_semi_hard_window_inside_the_margin_is_refused() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", with_anchored(4, |a| a.absolute_margin = Some(0.25))).await.unwrap();
    let batch = pb::ScoreBatch { positive_scores: floats([0.75]), ..rows(&[(1, 1, 0.4375)]) };
    report(&client, batch).await.unwrap();
    let policy = |margin, absolute_margin| pb::NegativePolicy {
        semi_hard_margin: Some(margin),
        absolute_margin,
        ..short(Strategy::SemiHard)
    };
    for (margin, absolute, numbers) in [(0.25, None, ["0.25", "0.25"]), (0.3, Some(0.5), ["0.3", "0.5"])] {
        let error = mine(&client, request([1], 1, policy(margin, absolute))).await.unwrap_err();
        let text = error.to_string();
        assert!(numbers.iter().all(|n| text.contains(n)) && text.contains("absolute_margin"), "{text}");
        assert_invalid(Err::<(), _>(error), "policy.semi_hard_margin");
    }
    for (margin, absolute) in [(0.375, None), (0.375, Some(0.0))] {
        let answer = mine(&client, request([1], 1, policy(margin, absolute))).await.unwrap();
        assert_eq!(by_anchor(&answer), [vec![1]]);
    }
}
