//! Anchored pools: reports with anchors, MineNegatives, AddPositives, RejectNegatives.

mod filters;
mod labels;
mod never;
mod positives;
mod refused;
mod resends;
mod selection;

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
            labels: false,
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
        assert_eq!((positives[0], positives[1]), (0.8, 0.95), "the last of a batch's rows that tell one");
        assert!(positives[2].is_nan());
        assert_eq!(answer.inclusion_probabilities, None, "TOP has none");
        assert_eq!(answer.sources, vec![pb::Source::Hard as u8; 5]);
        assert_eq!((answer.shortfall_count, answer.unknown_anchor_count), (3, 1));
        let sizes = answer.sizes.unwrap();
        assert_eq!((sizes.hard, sizes.background, sizes.distinct), (4, 4, 4.0));
        assert_eq!((sizes.background_probability, sizes.closed_loop_ratio), (1.0, 1.0));
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
    let error = pb::NegativePolicy { shortfall: pb::Shortfall::Error.into(), ..Default::default() };
    let asked = pb::MineNegativesRequest { anchors: strings(&["q1", "q2"]), ..request([], 2, error) };
    let error = mine(&client, asked).await.unwrap_err();
    assert!(
        error.to_string().contains("anchors[1] has 1 eligible"),
        "a row, not the hash of a name: {error}"
    );
}

#[tokio::test]
async fn each_shortfall_policy_does_what_it_says() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(4)).await.unwrap();
    // Anchor 1 has 2 negatives; 40 distinct ids were reported in all.
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
        assert_eq!(filled.filled_count, 18);
        let own: BTreeSet<u64> = by_anchor(&filled)[0][..2].iter().copied().collect();
        assert_eq!(own, BTreeSet::from([100, 101]));
        let shorter = mine(&client, request([1], 10, policy(pb::Shortfall::Short, 0.5))).await.unwrap();
        // With TOP the numbers are rounded: 3 of 5 negatives come from the background.
        let most = if strategy == Strategy::Top { 5 } else { 4 };
        let got = (shorter.offsets[1], shorter.shortfall_count);
        assert_eq!(got, (most, 10 - most), "the mixture that was asked for");
        let refused = mine(&client, request([1_100, 1, 2], 2, policy(pb::Shortfall::Error, 0.0))).await;
        let error = refused.unwrap_err();
        assert_eq!((error.code(), error.reason().as_deref()), (Code::FailedPrecondition, Some("SHORTFALL")));
        assert!(error.to_string().contains("anchors[0] (1100)"), "the first such anchor: {error}");
        mine(&client, request([1], 2, policy(pb::Shortfall::Error, 0.0))).await.unwrap();
        let refused = mine(&client, request([1], 64, policy(pb::Shortfall::Error, 1.0))).await;
        let error = refused.unwrap_err();
        assert_eq!(error.reason().as_deref(), Some("SHORTFALL"));
        assert!(error.to_string().contains("anchors[0] (1) has 40 negatives, 64 were wanted"), "{error}");
    }
    // When all of the background was used there are no more negatives.
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
        // Compare bytes, so that NaN equals NaN.
        encoding: pb::ColumnEncoding::LittleEndian.into(),
        ..request([0, 1, 0, 0], 8, policy)
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
async fn a_dropped_rows_positive_score_is_not_dropped() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let dense = |lower_is_harder| pb::PoolSpec {
        background: Some(pb::pool_spec::Background::DenseIds(100)),
        hardness: Some(pb::Hardness { lower_is_harder, ..Default::default() }),
        ..spec(4)
    };
    // The last positive score stays the last, whether its row is dropped or not.
    for (pool, lower_is_harder, expected) in [("p", false, [0.9, 0.6]), ("distances", true, [0.9, 0.6])] {
        client.create_pool(pool, dense(lower_is_harder)).await.unwrap();
        // A row of anchor 1 is dropped for its NaN, a row of anchor 2 for its id, and all rows of anchor 3.
        let rows = rows(&[
            (1, 1, f32::NAN),
            (1, 2, 0.1),
            (1, 3, f32::NAN),
            (2, 4, 0.1),
            (2, 200, 0.1),
            (3, 5, f32::NAN),
        ]);
        let batch = pb::ScoreBatch {
            pool: format!("pools/{pool}"),
            positive_scores: floats([0.5, 0.7, 0.9, 0.8, 0.6, 0.9]),
            ..rows
        };
        let counts = report(&client, batch).await.unwrap();
        assert_eq!((counts.inserted, counts.non_finite, counts.out_of_range), (2, 3, 1));
        let asked = pb::MineNegativesRequest {
            pool: format!("pools/{pool}"),
            fields: Some(pb::NegativeFields { positive_scores: true, ..Default::default() }),
            ..request([1, 2, 3], 1, short(Strategy::Top))
        };
        let answer = mine(&client, asked).await.unwrap();
        let positives = decode_floats(answer.positive_scores).unwrap();
        assert_eq!(positives[..2], expected, "{pool}");
        assert!(positives[2].is_nan());
        assert_eq!(answer.unknown_anchor_count, 1, "an anchor of no rows is none");
    }
}
