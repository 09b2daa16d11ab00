//! Reports that come again, and rows that repeat a pair.

use super::*;

/// EMA as witness: what is applied twice is another score.
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

/// Rows apply one by one: as if each had come in a batch of its own.
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
