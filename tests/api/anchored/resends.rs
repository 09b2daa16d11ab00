//! Resent reports, and rows that repeat a pair.

use super::*;

/// With EMA a batch that is applied twice gives another score, so the test would detect it.
#[tokio::test]
async fn a_resend_changes_nothing_and_says_so() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let average = pb::ScoreUpdate { rule: pb::ScoreUpdateRule::Ema.into(), ema_weight: 0.5 };
    client.create_pool("p", pb::PoolSpec { score_update: Some(average), ..spec(4) }).await.unwrap();
    let batch = |sequence, score| pb::ScoreBatch {
        worker_id: "w".into(),
        worker_epoch: 5,
        sequence,
        ..rows(&[(1, 10, score), (2, 10, score)])
    };
    report(&client, batch(1, 0.25)).await.unwrap();
    report(&client, batch(2, 0.75)).await.unwrap();
    let counts = report(&client, batch(2, 0.75)).await.unwrap();
    assert_eq!((counts.duplicate, counts.updated), (2, 0));
    let answer = mine(&client, request([1, 2], 1, short(Strategy::Top))).await.unwrap();
    assert_eq!(decode_floats(answer.scores).unwrap(), [0.5, 0.5]);
    assert_eq!(figures(&client, "p").await.duplicate_batches, 1);
}

/// Rows are applied one by one: the result is as if each had come in its own batch.
#[tokio::test]
async fn rows_of_one_pair_apply_one_after_the_other() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let average = pb::ScoreUpdate { rule: pb::ScoreUpdateRule::Ema.into(), ema_weight: 0.5 };
    client.create_pool("p", pb::PoolSpec { score_update: Some(average), ..spec(4) }).await.unwrap();
    let counts = report(&client, rows(&[(1, 10, 0.25), (2, 10, 0.5), (1, 10, 0.75)])).await.unwrap();
    assert_eq!((counts.inserted, counts.coalesced), (2, 1));
    let answer = mine(&client, request([1, 2], 1, short(Strategy::Top))).await.unwrap();
    assert_eq!(decode_floats(answer.scores).unwrap(), [0.5, 0.5]);
}

/// Rows that cannot be stored count once when their batch is resent, in a batch of such rows only and in a mixed one.
#[tokio::test]
async fn what_cannot_be_stored_counts_once() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(4)).await.unwrap();
    let batch = |sequence, told: &[(u64, u64, f32)]| pb::ScoreBatch {
        worker_id: "w".into(),
        worker_epoch: 5,
        sequence,
        ..rows(told)
    };
    let all_lost = [(1, 10, f32::NAN), (2, 10, f32::INFINITY)];
    let some_lost = [(1, 11, f32::NAN), (2, 11, 0.5), (3, 11, 0.25)];
    for (sequence, told) in [(1, &all_lost[..]), (2, &some_lost[..])] {
        let counts = report(&client, batch(sequence, told)).await.unwrap();
        let lost = told.iter().filter(|row| !row.2.is_finite()).count() as u64;
        assert_eq!((counts.non_finite, counts.inserted), (lost, told.len() as u64 - lost));
        let counts = report(&client, batch(sequence, told)).await.unwrap();
        assert_eq!((counts.duplicate, counts.non_finite), (told.len() as u64, 0));
    }
    let stats = figures(&client, "p").await;
    let counts = stats.counts.unwrap();
    assert_eq!((stats.reported_rows, stats.reported_batches, stats.duplicate_batches), (5, 2, 2));
    assert_eq!((counts.non_finite, counts.inserted, counts.duplicate), (3, 2, 5));
}

/// ClearPool removes everything that came from reports; known positives and vetoes stay, and so does the record of applied batches.
#[tokio::test]
async fn a_pool_of_anchors_is_cleared_in_place() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(4)).await.unwrap();
    let sent = pb::ScoreBatch {
        worker_id: "w".into(),
        worker_epoch: 5,
        sequence: 1,
        ..rows(&[(1, 10, 0.25), (1, 11, 0.5), (2, 10, 0.75), (3, 12, 0.5)])
    };
    report(&client, sent.clone()).await.unwrap();
    add_positives(&client, &[(1, 77)], &[0.9]).await.unwrap();
    reject(&client, &[(2, 11)]).await.unwrap();
    let before = figures(&client, "p").await;
    assert_eq!(client.clear_pool("p").await.unwrap(), 4);
    assert_eq!(client.clear_pool("p").await.unwrap(), 0);
    let stats = figures(&client, "p").await;
    let (sizes, anchored) = (stats.sizes.unwrap(), stats.anchored.unwrap());
    assert_eq!((sizes.hard, sizes.background, sizes.distinct), (0, 0, 0.0));
    assert_eq!((anchored.anchors, anchored.positives, anchored.vetoes), (2, 1, 1));
    assert_eq!((stats.removed, stats.reported_rows, stats.uid), (4, before.reported_rows, before.uid));
    let answer = mine(&client, request([1, 2, 3], 2, short(Strategy::Top))).await.unwrap();
    assert_eq!(by_anchor(&answer), [[0_u64; 0]; 3]);
    assert_eq!(report(&client, sent).await.unwrap().duplicate, 4, "a resend brings nothing back");
    let told = rows(&[(1, 77, 0.5), (2, 11, 0.5), (2, 10, 0.5), (3, 77, 0.5)]);
    let counts = report(&client, told).await.unwrap();
    assert_eq!((counts.not_negative, counts.inserted), (2, 2));
    let answer = mine(&client, request([1, 2, 3], 2, short(Strategy::Top))).await.unwrap();
    assert_eq!(by_anchor(&answer), [vec![], vec![10], vec![77]]);
}
