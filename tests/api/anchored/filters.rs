//! Filters hold for every negative served, from either source: margins, windows, labels, and the anchor itself.

use super::*;

/// 40 anchors of 60 samples: the cosine of anchor a and sample s.
fn cosine(anchor: u64, sample: u64) -> f32 {
    0.2 + ((anchor * 31 + sample * 17) % 61) as f32 / 100.0
}

/// A pool in which each of 40 anchors keeps its 8 hardest of 60 samples, and has a positive score of 0.7, but for the last two.
async fn cosines(client: &Client, spec: pb::PoolSpec) {
    client.create_pool("p", spec).await.unwrap();
    let all: Vec<_> = (0..40).flat_map(|a| (0..60).map(move |s| (a, s, cosine(a, s)))).collect();
    let positives = all.iter().map(|(anchor, _, _)| if *anchor < 38 { 0.7 } else { f32::NAN });
    report(client, pb::ScoreBatch { positive_scores: floats(positives), ..rows(&all) }).await.unwrap();
}

/// Mines 24 negatives for each anchor: far more than most have.
async fn mine_all(client: &Client, policy: pb::NegativePolicy) -> pb::MineNegativesResponse {
    mine(client, request(0..40, 24, policy)).await.unwrap()
}

/// Policies with one filter each, and whether a negative of an anchor meets it.
type Filtered = (pb::NegativePolicy, fn(u64, u64) -> bool);

fn filtered() -> [Filtered; 8] {
    let none = pb::NegativePolicy::default;
    // An anchor without a positive score has no margin, but the background brings nothing to it either.
    [
        (pb::NegativePolicy { absolute_margin: Some(0.1), ..none() }, |a, s| a >= 38 || cosine(a, s) <= 0.6),
        (pb::NegativePolicy { relative_margin: Some(0.1), ..none() }, |a, s| a >= 38 || cosine(a, s) <= 0.63),
        (pb::NegativePolicy { hard_margin: Some(0.05), ..none() }, |a, s| a < 38 && cosine(a, s) > 0.65),
        (pb::NegativePolicy { min_score: Some(0.72), ..none() }, |a, s| cosine(a, s) >= 0.72),
        (pb::NegativePolicy { max_score: Some(0.75), ..none() }, |a, s| cosine(a, s) <= 0.75),
        (pb::NegativePolicy { range_min: 5, ..none() }, |a, s| rank(a, s) >= 5),
        (pb::NegativePolicy { range_max: Some(3), ..none() }, |a, s| rank(a, s) < 3),
        (
            pb::NegativePolicy { model_version: Some(pb::VersionWindow { min: 0, max: Some(0) }), ..none() },
            |_, _| true,
        ),
    ]
}

/// How many samples are harder for the anchor.
fn rank(anchor: u64, sample: u64) -> usize {
    (0..60).filter(|other| cosine(anchor, *other) > cosine(anchor, sample)).count()
}

/// Whatever the strategy, the share of the background and the shortfall rule, no row breaks a filter.
#[tokio::test]
async fn a_filter_holds_for_every_negative() {
    let server = TestServer::start().await;
    let client = server.client().await;
    cosines(&client, spec(8)).await;
    for (policy, meets) in filtered() {
        for strategy in [Strategy::Top, Strategy::Random, Strategy::Proportional] {
            for share in [0.0, 0.5, 1.0] {
                for shortfall in [pb::Shortfall::Fill, pb::Shortfall::Short] {
                    let policy = pb::NegativePolicy {
                        strategy: strategy.into(),
                        random_fraction: Some(share),
                        shortfall: shortfall.into(),
                        ..policy
                    };
                    let answer = mine_all(&client, policy).await;
                    for (anchor, ids) in (0..).zip(by_anchor(&answer)) {
                        let broken = ids.iter().find(|id| !meets(anchor, **id));
                        assert_eq!(broken, None, "anchor {anchor}: {policy:?}");
                    }
                    let scores = decode_floats(answer.scores.clone()).unwrap();
                    assert!(scores.iter().all(|score| !score.is_nan()), "nothing that cannot be judged");
                    assert_eq!((answer.background_count, answer.filled_count), (0, 0));
                    assert_eq!(answer.policy.unwrap().random_fraction, Some(0.0), "as applied");
                    let filtered = answer.filtered.unwrap();
                    assert_eq!(filtered.unscored_passed, 0);
                    let missing = u64::from(answer.shortfall_count);
                    if shortfall == pb::Shortfall::Fill {
                        assert!(missing > 0 && filtered.unscored >= missing, "{filtered:?}");
                    } else if share == 0.0 {
                        assert_eq!(filtered.unscored, 0, "nothing was asked of the background");
                    }
                }
            }
        }
    }
}

/// FILL_UNSCORED, by name, serves what cannot be judged, and counts it. What can be judged must still meet the filter.
#[tokio::test]
async fn fill_unscored_serves_what_no_filter_can_judge() {
    let server = TestServer::start().await;
    let client = server.client().await;
    cosines(&client, spec(8)).await;
    for (policy, meets) in filtered() {
        for (strategy, share) in [(Strategy::Top, 0.0), (Strategy::Random, 0.5)] {
            let policy = pb::NegativePolicy {
                strategy: strategy.into(),
                random_fraction: Some(share),
                shortfall: pb::Shortfall::FillUnscored.into(),
                ..policy
            };
            let answer = mine_all(&client, policy).await;
            assert_eq!(answer.shortfall_count, 0, "{policy:?}");
            let scores = decode_floats(answer.scores.clone()).unwrap();
            let unscored = scores.iter().filter(|score| score.is_nan()).count();
            let filtered = answer.filtered.unwrap();
            assert!(unscored > 0);
            assert_eq!((filtered.unscored_passed, filtered.unscored), (unscored as u64, 0));
            assert_eq!(answer.policy.unwrap(), pb::NegativePolicy { alpha: Some(1.0), ..policy });
            let mut row = 0;
            for (anchor, ids) in (0..).zip(by_anchor(&answer)) {
                for id in ids {
                    assert!(
                        scores[row].is_nan() || meets(anchor, id),
                        "anchor {anchor}, id {id}: {policy:?}"
                    );
                    row += 1;
                }
            }
        }
    }
    // A batch of a flat pool has no such rule.
    client.create_pool("flat", plain(10)).await.unwrap();
    let policy = pb::MiningPolicy { shortfall: pb::Shortfall::FillUnscored.into(), ..Default::default() };
    assert_invalid(client.mine(MineRequest::new("flat", 1).policy(policy)).await, "policy.shortfall");
}

/// A margin of the pool counts as one of the request, and anchors that have nothing to measure from are counted.
#[tokio::test]
async fn anchors_without_a_positive_score_are_counted() {
    let server = TestServer::start().await;
    let client = server.client().await;
    cosines(&client, with_anchored(8, |anchored| anchored.absolute_margin = Some(0.1))).await;
    let answer = mine_all(&client, Default::default()).await;
    assert_eq!((answer.no_positive_count, answer.background_count), (2, 0));
    let counts: Vec<usize> = by_anchor(&answer).iter().map(Vec::len).collect();
    assert_eq!(counts[38..], [8, 8], "margins do not apply to them");
    let asked = mine(&client, request([1, 38, 99], 4, Default::default())).await.unwrap();
    assert_eq!((asked.no_positive_count, asked.unknown_anchor_count), (2, 1));
    client.create_pool("plain", spec(8)).await.unwrap();
    let free = pb::MineNegativesRequest { pool: "pools/plain".into(), ..request([1], 4, Default::default()) };
    assert_eq!(mine(&client, free).await.unwrap().no_positive_count, 0, "nothing measures from it");
}

/// With labels of samples and of anchors no sample of an anchor's own class is served: by own negatives, by the share of the background, and
/// by FILL. 0 is no label.
#[tokio::test]
async fn a_sample_of_the_anchors_label_is_never_served() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(16)).await.unwrap();
    let label_of = |id: u64| (id % 4) as u32;
    let all: Vec<_> = (0..40).flat_map(|a| (0..60).map(move |s| (a, s, cosine(a, s)))).collect();
    let batch = pb::ScoreBatch {
        labels: all.iter().map(|row| label_of(row.1)).collect(),
        anchor_labels: all.iter().map(|row| label_of(row.0)).collect(),
        ..rows(&all)
    };
    report(&client, batch).await.unwrap();
    for strategy in [Strategy::Top, Strategy::Random, Strategy::Proportional] {
        for share in [0.0, 0.5, 1.0] {
            for (shortfall, k) in [(pb::Shortfall::Fill, 64), (pb::Shortfall::Short, 8)] {
                let policy = pb::NegativePolicy {
                    strategy: strategy.into(),
                    random_fraction: Some(share),
                    shortfall: shortfall.into(),
                    ..Default::default()
                };
                let answer = mine(&client, request(0..40, k, policy)).await.unwrap();
                for (anchor, ids) in (0..40).zip(by_anchor(&answer)) {
                    let label = label_of(anchor);
                    let wrong = ids.iter().find(|id| label != 0 && label_of(**id) == label);
                    assert_eq!(wrong, None, "anchor {anchor}: {policy:?}");
                    if k == 64 {
                        assert_eq!(ids.len(), if label == 0 { 60 } else { 45 }, "all others are");
                    }
                }
                assert!(answer.filtered.unwrap().same_label > 0);
            }
        }
    }
    assert!(figures(&client, "p").await.filtered.unwrap().same_label > 0);
}

/// Where each sample is also an anchor, none is its own negative; where they are not, equal ids mean nothing.
#[tokio::test]
async fn an_anchor_that_is_a_sample_is_never_its_own_negative() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let shared = || with_anchored(16, |anchored| anchored.anchors_are_samples = true);
    let named = pb::PoolSpec {
        id_kind: pb::IdKind::String.into(),
        ..with_anchored(16, |anchored| {
            anchored.anchors_are_samples = true;
            anchored.anchor_id_kind = pb::IdKind::String.into();
        })
    };
    // Anchors 0 to 39 are 40 of the 60 samples, and the hardest negative of each is itself, if it counts.
    let all: Vec<_> = (0..40u64)
        .flat_map(|a| (0..60u64).map(move |s| (a, s, if a == s { 1.0 } else { cosine(a, s) })))
        .collect();
    let key = |id: u64| format!("sample {id}");
    for (pool, spec, is_shared) in [("p", shared(), true), ("apart", spec(16), false), ("named", named, true)]
    {
        let (pool_spec, _) = client.create_pool(pool, spec).await.unwrap();
        assert_eq!(pool_spec.spec.unwrap().anchored.unwrap().anchors_are_samples, is_shared);
        let mut batch = pb::ScoreBatch { pool: format!("pools/{pool}"), ..rows(&all) };
        let mut asked = pb::MineNegativesRequest {
            pool: format!("pools/{pool}"),
            ..request(0..40, 64, Default::default())
        };
        if pool == "named" {
            let of = |ids: Vec<String>| strings(&ids.iter().map(String::as_str).collect::<Vec<_>>());
            batch.anchors = of(all.iter().map(|row| key(row.0)).collect());
            batch.ids = of(all.iter().map(|row| key(row.1)).collect());
            asked.anchors = of((0..40).map(key).collect());
        }
        report(&client, batch).await.unwrap();
        for (strategy, share) in
            [(Strategy::Top, 0.0), (Strategy::Random, 0.5), (Strategy::Proportional, 1.0)]
        {
            let policy = pb::NegativePolicy {
                strategy: strategy.into(),
                random_fraction: Some(share),
                ..Default::default()
            };
            let answer = mine(&client, pb::MineNegativesRequest { policy: Some(policy), ..asked.clone() })
                .await
                .unwrap();
            let ids: Vec<u64> = match answer.ids.clone().unwrap().encoding {
                Some(pb::id_column::Encoding::Strings(names)) => {
                    names.values.iter().map(|name| name["sample ".len()..].parse().unwrap()).collect()
                }
                _ => decode_u64s(answer.ids.clone()).unwrap(),
            };
            for (anchor, rows) in (0..40u64).zip(answer.offsets.windows(2)) {
                let ids = &ids[rows[0] as usize..rows[1] as usize];
                assert_eq!(ids.len(), if is_shared { 59 } else { 60 }, "{pool}: all others are negatives");
                assert_eq!(ids.contains(&anchor), !is_shared, "{pool} {strategy:?}");
            }
            assert_eq!(answer.filtered.unwrap().anchor_itself > 0, is_shared);
        }
    }
}

/// Whether a score violates a margin.
type IsHard = fn(f32, f32) -> bool;

/// The negatives that a triplet loss of this margin learns from: those of pytorch-metric-learning's TripletMarginMiner ("all", and "hard"
/// with margin 0) and MultiSimilarityMiner, s_n + epsilon > the lowest positive similarity.
#[tokio::test]
async fn the_hard_margin_admits_negatives_that_violate_the_margin() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let distance = pb::Hardness { lower_is_harder: true, ..Default::default() };
    client.create_pool("p", spec(16)).await.unwrap();
    client.create_pool("distances", pb::PoolSpec { hardness: Some(distance), ..spec(16) }).await.unwrap();
    let scores: Vec<f32> = (1..=12).map(|i| i as f32 / 8.0).collect();
    let cases: [(&str, IsHard); 2] = [("p", |s, m| s > 0.75 - m), ("distances", |d, m| d < 0.75 + m)];
    for (pool, is_hard) in cases {
        let pool = format!("pools/{pool}");
        let list: Vec<_> = (0..12).map(|i| (1, i, scores[i as usize])).collect();
        let batch = pb::ScoreBatch { pool: pool.clone(), positive_scores: floats([0.75; 12]), ..rows(&list) };
        report(&client, batch).await.unwrap();
        report(&client, pb::ScoreBatch { pool: pool.clone(), ..rows(&[(2, 9, 0.7)]) }).await.unwrap();
        for margin in [0.0, 0.125, 0.25, 0.3] {
            let policy = pb::NegativePolicy { hard_margin: Some(margin), ..Default::default() };
            let asked = pb::MineNegativesRequest { pool: pool.clone(), ..request([1, 2], 16, policy) };
            let answer = mine(&client, asked).await.unwrap();
            let mut ids = by_anchor(&answer)[0].clone();
            ids.sort_unstable();
            let expected: Vec<u64> = (0..12).filter(|i| is_hard(scores[*i as usize], margin)).collect();
            assert_eq!(ids, expected, "{pool} {margin}");
            assert_eq!(by_anchor(&answer)[1], Vec::<u64>::new(), "without a positive score there are none");
            assert_eq!(answer.no_positive_count, 1);
        }
    }
}

/// Each anchor gets its own number of negatives; an anchor with 0 gets none.
#[tokio::test]
async fn each_anchor_gets_as_many_as_were_asked_for_it() {
    let server = TestServer::start().await;
    let client = server.client().await;
    cosines(&client, spec(8)).await;
    let numbers = vec![3, 0, 24, 8, 0, 1];
    for (strategy, share) in [(Strategy::Top, 0.25), (Strategy::Random, 0.5), (Strategy::Proportional, 0.0)] {
        for shortfall in [pb::Shortfall::Fill, pb::Shortfall::Short, pb::Shortfall::Error] {
            let policy = pb::NegativePolicy {
                strategy: strategy.into(),
                random_fraction: Some(share),
                shortfall: shortfall.into(),
                ..Default::default()
            };
            let asked = |numbers: &[u32]| pb::MineNegativesRequest {
                num_negatives_per_anchor: numbers.to_vec(),
                ..request(0..numbers.len() as u64, 0, policy)
            };
            let got = |answer: &pb::MineNegativesResponse| -> Vec<u32> {
                by_anchor(answer).iter().map(|ids| ids.len() as u32).collect()
            };
            match shortfall {
                pb::Shortfall::Fill => {
                    let answer = mine(&client, asked(&numbers)).await.unwrap();
                    assert_eq!((got(&answer), answer.shortfall_count), (numbers.clone(), 0));
                }
                pb::Shortfall::Short => {
                    let answer = mine(&client, asked(&numbers)).await.unwrap();
                    let got = got(&answer);
                    assert!((0..6).all(|i| got[i] == numbers[i] || (i == 2 && got[i] >= 8)), "{got:?}");
                    assert_eq!(answer.shortfall_count, 24 - got[2]);
                }
                _ => {
                    let error = mine(&client, asked(&numbers)).await.unwrap_err();
                    assert!(error.to_string().contains("anchors[2]"), "{error}");
                    mine(&client, asked(&[3, 0, 8])).await.unwrap();
                }
            }
        }
    }
    let none = pb::MineNegativesRequest {
        num_negatives_per_anchor: vec![0, 0],
        ..request([1, 2], 0, Default::default())
    };
    assert_eq!(mine(&client, none).await.unwrap().offsets, [0, 0, 0]);
}
