//! Which negatives are admitted: filters, windows, groups, and agreement with sentence-transformers.

use super::*;

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
    // 1 is of an old model, 4 is excluded, 8 scores too low, 2 is within the pool's margin; of 3, 5, 6, 7 the range admits 5 and 6.
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
    // A stored negative of the anchor is filtered by its score, whichever source it would come from. FILL_UNSCORED lets a sample pass that
    // has no score.
    report(&client, rows(&[(2, 50, 0.9)])).await.unwrap();
    let policy = pb::NegativePolicy {
        max_score: Some(0.35),
        shortfall: pb::Shortfall::FillUnscored.into(),
        ..Default::default()
    };
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

/// The result of mine_hard_negatives of sentence-transformers 6.2 for the (id, score) pairs of an anchor, by its documentation and source: it
/// takes the nearest range_max + positives first; then it applies positives, margins, max_score, min_score; of the remaining ones it takes the
/// nearest range_max, without the first range_min.
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

/// Creates the pool `cosine`. POWER would give scores below zero equal weights.
async fn create_cosine_pool(client: &Client) {
    let function = pb::HardnessFunction::Exponential.into();
    let hardness = Some(pb::Hardness { function, temperature: 0.1, ..Default::default() });
    client.create_pool("cosine", pb::PoolSpec { hardness, ..spec(64) }).await.unwrap();
}

/// Tells the pool `cosine` an anchor with its negatives and its positives: ids and scores.
async fn add_anchor(client: &Client, anchor: u64, negatives: &[(u64, f32)], positives: &[(u64, f32)]) {
    let list: Vec<_> = negatives.iter().map(|(id, score)| (anchor, *id, *score)).collect();
    report(client, pb::ScoreBatch { pool: "pools/cosine".into(), ..rows(&list) }).await.unwrap();
    let request = pb::AddPositivesRequest {
        pool: "pools/cosine".into(),
        anchors: u64s(positives.iter().map(|_| anchor)),
        positives: u64s(positives.iter().map(|p| p.0)),
        scores: floats(positives.iter().map(|p| p.1)),
        ..Default::default()
    };
    client.mining_service().add_positives(request).await.unwrap();
}

/// The ids that the pool `cosine` serves to an anchor.
async fn mined_ids(client: &Client, anchor: u64, k: u32, policy: pb::NegativePolicy) -> Vec<u64> {
    let request = pb::MineNegativesRequest { pool: "pools/cosine".into(), ..request([anchor], k, policy) };
    by_anchor(&mine(client, request).await.unwrap()).remove(0)
}

/// Windows and margins of every kind, alone and together.
fn policies_with_windows() -> Vec<pb::NegativePolicy> {
    let none = || short(Strategy::Top);
    vec![
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
    ]
}

#[tokio::test]
async fn windows_and_margins_are_those_of_sentence_transformers() {
    let server = TestServer::start().await;
    let client = server.client().await;
    create_cosine_pool(&client).await;
    // Scores are multiples of 1/16, so that bounds are not affected by rounding, and some are below zero.
    let corpus: Vec<(u64, f32)> = (0..32).map(|i| (i, 1.0 - i as f32 / 16.0)).collect();
    for (anchor, positives) in [
        (1u64, vec![(3u64, 13.0 / 16.0)]),
        (2, vec![(3, 13.0 / 16.0), (6, 10.0 / 16.0)]),
        (3, vec![(20, -0.25)]),
    ] {
        add_anchor(&client, anchor, &corpus, &positives).await;
        for policy in policies_with_windows() {
            let expected = sentence_transformers(&corpus, &positives, &policy);
            let mined = mined_ids(&client, anchor, 40, policy).await;
            assert_eq!(mined, expected, "anchor {anchor} {policy:?}");
            let five = mined_ids(&client, anchor, 5, policy).await;
            assert_eq!(five, expected[..expected.len().min(5)], "num_negatives");
            let random = pb::NegativePolicy { strategy: Strategy::Random.into(), ..policy };
            let (mut ids, mut all) = (mined_ids(&client, anchor, 40, random).await, expected);
            ids.sort_unstable();
            all.sort_unstable();
            assert_eq!(ids, all, "random chooses among the same");
        }
        // Here hardneg differs: range_max counts candidates after the filters, there before them.
        let both = pb::NegativePolicy { range_max: Some(4), max_score: Some(0.5), ..short(Strategy::Top) };
        assert_eq!(mined_ids(&client, anchor, 40, both).await.len(), 4);
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
        let asked = pb::MineNegativesRequest { pool: pool.clone(), ..request([1], 16, policy) };
        let mut ids = by_anchor(&mine(&client, asked).await.unwrap())[0].clone();
        ids.sort_unstable();
        assert_eq!(ids, inside, "{pool}");
        // Without a positive score the semi-hard window is empty.
        report(&client, pb::ScoreBatch { pool: pool.clone(), ..rows(&[(2, 9, 0.7)]) }).await.unwrap();
        let asked = pb::MineNegativesRequest { pool, ..request([2], 16, policy) };
        assert_eq!(by_anchor(&mine(&client, asked).await.unwrap())[0], Vec::<u64>::new());
    }
}

/// Scores that differ by a thousandth of an octave, or whose weights are all clamped, have equal keys. The order of ids is not that of the scores.
#[tokio::test]
async fn the_hardest_of_one_key_come_first() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let hardness = |function: pb::HardnessFunction, temperature, lower_is_harder| pb::Hardness {
        function: function.into(),
        temperature,
        lower_is_harder,
        ..Default::default()
    };
    let (power, exponential) = (pb::HardnessFunction::Power, pb::HardnessFunction::Exponential);
    for (pool, hardness, scores) in [
        ("near", hardness(power, 0.0, false), [0.9, 0.9001, 0.9002, 0.9003]),
        ("clamped", hardness(exponential, 0.01, false), [0.5, 0.6, 0.7, 0.9]),
        ("distances", hardness(power, 0.0, true), [0.9002, 0.9001, 0.9, 0.8999]),
    ] {
        let spec = pb::PoolSpec { hardness: Some(hardness), ..spec(3) };
        client.create_pool(pool, spec).await.unwrap();
        let rows_of =
            |list: &[(u64, u64, f32)]| pb::ScoreBatch { pool: format!("pools/{pool}"), ..rows(list) };
        let list: Vec<_> = (0..3).map(|i| (1, i, scores[i as usize])).collect();
        report(&client, rows_of(&list)).await.unwrap();
        let top = |k| pb::MineNegativesRequest {
            pool: format!("pools/{pool}"),
            ..request([1], k, short(Strategy::Top))
        };
        assert_eq!(by_anchor(&mine(&client, top(2)).await.unwrap()), [vec![2, 1]], "{pool}");
        let counts = report(&client, rows_of(&[(1, 3, scores[3])])).await.unwrap();
        assert_eq!(counts.inserted, 1, "the hardest takes the place of the easiest");
        assert_eq!(by_anchor(&mine(&client, top(4)).await.unwrap()), [vec![3, 2, 1]], "{pool}");
    }
}

#[tokio::test]
async fn margins_of_distances_are_above_the_positive() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let distance = pb::Hardness { lower_is_harder: true, ..Default::default() };
    client.create_pool("p", pb::PoolSpec { hardness: Some(distance), ..spec(8) }).await.unwrap();
    let list: Vec<_> = (0..8).map(|i| (1, i, (i + 1) as f32 / 8.0)).collect();
    // The last of the rows counts.
    report(
        &client,
        pb::ScoreBatch {
            positive_scores: floats([0.1, 0.25, 0.2].repeat(3).into_iter().take(8)),
            ..rows(&list)
        },
    )
    .await
    .unwrap();
    for (absolute, relative, first) in
        [(Some(0.0), None, 1), (Some(0.25), None, 3), (None, Some(0.5), 2), (Some(0.25), Some(1.5), 4)]
    {
        let policy = pb::NegativePolicy {
            absolute_margin: absolute,
            relative_margin: relative,
            ..short(Strategy::Top)
        };
        let answer = mine(&client, request([1], 8, policy)).await.unwrap();
        assert_eq!(by_anchor(&answer), [(first..8).collect::<Vec<u64>>()], "{policy:?}");
        assert_eq!(answer.filtered.unwrap().positive_aware, first);
    }
}

#[tokio::test]
async fn the_age_window_is_in_steps_since_the_report() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let half_life = Some(pb::decay::HalfLife::HalfLifeSteps(1_000.0));
    let steps = pb::Decay { half_life, max_step_jump: 0 };
    client.create_pool("p", pb::PoolSpec { decay: Some(steps), ..spec(8) }).await.unwrap();
    for step in 0..6 {
        report(&client, pb::ScoreBatch { step: 10 + step * 5, ..rows(&[(1, step, 0.5)]) }).await.unwrap();
    }
    // Ages 25, 20, 15, 10, 5 and 0.
    for (min, max, ids) in [(0.0, Some(10.0), 3..6), (10.0, Some(20.0), 1..4), (11.0, None, 0..3)] {
        for strategy in [Strategy::Top, Strategy::Random, Strategy::Proportional] {
            let policy = pb::NegativePolicy { age: Some(pb::AgeWindow { min, max }), ..short(strategy) };
            let asked = pb::MineNegativesRequest {
                fields: Some(pb::NegativeFields { ages: true, ..Default::default() }),
                ..request([1], 8, policy)
            };
            let answer = mine(&client, asked).await.unwrap();
            let mut got = by_anchor(&answer)[0].clone();
            got.sort_unstable();
            assert_eq!(got, ids.clone().collect::<Vec<u64>>(), "{strategy:?} {min} {max:?}");
            let ages = decode_floats(answer.ages).unwrap();
            assert!(ages.iter().all(|age| *age >= min as f32 && max.is_none_or(|max| *age <= max as f32)));
            assert_eq!(answer.filtered.unwrap().age, 3);
        }
    }
}

#[tokio::test]
async fn a_dense_space_fills_up_with_ids_that_nobody_reported() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let background = Some(pb::pool_spec::Background::DenseIds(40));
    client.create_pool("p", pb::PoolSpec { background, ..spec(4) }).await.unwrap();
    let counts = report(&client, rows(&[(1, 0, 0.9), (1, 1, 0.8), (1, 40, 0.9)])).await.unwrap();
    assert_eq!((counts.inserted, counts.out_of_range), (2, 1));
    add_positives(&client, &[(1, 2)], &[]).await.unwrap();
    client.remove("p", &[0, 3, 4]).await.unwrap();
    let expected: BTreeSet<u64> = (0..40).filter(|id| ![0, 2, 3, 4].contains(id)).collect();
    for (strategy, share) in [(Strategy::Top, 0.0), (Strategy::Random, 0.5), (Strategy::Proportional, 1.0)] {
        let policy = pb::NegativePolicy {
            strategy: strategy.into(),
            random_fraction: Some(share),
            ..Default::default()
        };
        let answer = mine(&client, request([1, 1, 7], 64, policy)).await.unwrap();
        let drawn = by_anchor(&answer);
        for ids in &drawn[..2] {
            assert_eq!(ids.len(), expected.len());
            assert_eq!(ids.iter().copied().collect::<BTreeSet<_>>(), expected, "{strategy:?}");
        }
        assert_eq!(drawn[2].len(), 37, "the other anchor's positive is not its own");
    }
}
