//! What is known to be no negative is never served.

use super::*;

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
