//! Known positives and vetoes are never served.

use super::*;

/// A million draws contain no known positive or veto, with every shortfall policy.
#[tokio::test]
async fn what_is_no_negative_is_never_served() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(16)).await.unwrap();
    let all: Vec<_> = (0..4_000).map(|i| (i % 200, i / 20, 0.1 + (i % 97) as f32 / 100.0)).collect();
    report(&client, rows(&all)).await.unwrap();
    // For each anchor, some of its own negatives and some of other anchors.
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

/// No request that begins after the response to AddPositives serves the positive, with concurrent reports and draws.
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

/// Strategies that use scores, with every shortfall policy.
fn policies_by_score() -> Vec<pb::NegativePolicy> {
    [
        (Strategy::SemiHard, pb::Shortfall::FillUnscored, 0.0),
        (Strategy::SemiHard, pb::Shortfall::Fill, 0.25),
        (Strategy::DistanceWeighted, pb::Shortfall::Error, 0.5),
        (Strategy::DistanceWeighted, pb::Shortfall::FillUnscored, 0.25),
        (Strategy::Proportional, pb::Shortfall::Short, 0.0),
        (Strategy::Proportional, pb::Shortfall::Error, 0.0),
        (Strategy::Top, pb::Shortfall::Error, 0.5),
    ]
    .into_iter()
    .map(|(strategy, shortfall, share)| pb::NegativePolicy {
        random_fraction: Some(share),
        shortfall: shortfall.into(),
        semi_hard_margin: (strategy == Strategy::SemiHard).then_some(0.5),
        distance_weighting: (strategy == Strategy::DistanceWeighted)
            .then_some(pb::DistanceWeighting { dimension: 16, ..Default::default() }),
        ..short(strategy)
    })
    .collect()
}

/// Scores for 20 anchors, of other samples in each round.
fn batch_of(round: u64) -> pb::ScoreBatch {
    let list: Vec<_> =
        (0..400).map(|i| (i % 20, (i * 7 + round) % 200, ((i + round) % 89) as f32 / 100.0)).collect();
    pb::ScoreBatch { positive_scores: floats(list.iter().map(|_| 0.7)), ..rows(&list) }
}

/// Reports and mines in every second round after `round`, until it is told to stop.
async fn report_and_mine(client: Client, mut round: u64, stop: Arc<AtomicBool>) {
    let policies = policies_by_score();
    while !stop.load(Ordering::Relaxed) {
        round += 2;
        report(&client, batch_of(round)).await.unwrap();
        let policy = policies[round as usize % policies.len()];
        let _short = mine(&client, request(0..20, 4, policy)).await;
    }
}

/// The same for vetoes, with every shortfall policy and with strategies that use scores.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_vetoed_while_others_report_and_mine_is_not_served_later() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(256)).await.unwrap();
    let policies = policies_by_score();
    report(&client, batch_of(0)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> =
        (0..2).map(|worker| tokio::spawn(report_and_mine(client.clone(), worker, stop.clone()))).collect();
    let mut forbidden: BTreeSet<(u64, u64)> = BTreeSet::new();
    let (mut served, mut refused) = (vec![0; policies.len()], 0);
    for round in 0..56u64 {
        let pairs: Vec<(u64, u64)> = (0..20).map(|a| (a, (round * 31 + a * 3) % 200)).collect();
        if round % 2 == 0 {
            reject(&client, &pairs).await.unwrap();
        } else {
            add_positives(&client, &pairs, &[]).await.unwrap();
        }
        forbidden.extend(&pairs);
        let at = round as usize % policies.len();
        match mine(&client, request(0..20, 8, policies[at])).await {
            Ok(answer) => {
                for (anchor, ids) in by_anchor(&answer).into_iter().enumerate() {
                    served[at] += ids.len();
                    let unique: BTreeSet<u64> = ids.iter().copied().collect();
                    assert_eq!(unique.len(), ids.len(), "none twice");
                    let wrong = ids.iter().find(|id| forbidden.contains(&(anchor as u64, **id)));
                    assert_eq!(wrong, None, "anchor {anchor} in round {round}: {:?}", policies[at]);
                }
            }
            Err(error) => {
                assert_eq!(error.reason().as_deref(), Some("SHORTFALL"), "{error}");
                assert_eq!(policies[at].shortfall(), pb::Shortfall::Error);
                refused += 1;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    for other in others {
        other.await.unwrap();
    }
    assert!(served.iter().all(|rows| *rows > 100) && refused < 24, "{served:?}, {refused} refused");
}
