//! Positive scores: the last score of each positive counts.

use super::*;

#[tokio::test]
async fn a_positive_that_is_scored_anew_moves_the_margin_both_ways() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", with_anchored(4, |a| a.absolute_margin = Some(0.0))).await.unwrap();
    report(&client, rows(&[(1, 10, 0.9), (1, 11, 0.6), (1, 12, 0.4)])).await.unwrap();
    let margin = async || {
        let fields = Some(pb::NegativeFields { positive_scores: true, ..Default::default() });
        let asked = pb::MineNegativesRequest { fields, ..request([1], 4, short(Strategy::Top)) };
        let answer = mine(&client, asked).await.unwrap();
        (decode_floats(answer.positive_scores.clone()).unwrap()[0], by_anchor(&answer).concat())
    };
    assert_eq!(margin().await.1, [10, 11, 12], "no positive is known");
    add_positives(&client, &[(1, 500), (1, 501)], &[0.5, 0.7]).await.unwrap();
    assert_eq!(margin().await, (0.5, vec![12]));
    // A better model scores the positive higher, and the margin moves with it.
    add_positives(&client, &[(1, 500)], &[0.8]).await.unwrap();
    assert_eq!(margin().await, (0.7, vec![11, 12]));
    add_positives(&client, &[(1, 501)], &[f32::NAN]).await.unwrap();
    assert_eq!(margin().await.0, 0.7, "what is not told stays");
    add_positives(&client, &[(1, 501)], &[0.95]).await.unwrap();
    assert_eq!(margin().await, (0.8, vec![11, 12]));
    // The last positive score of a report, which is not attributed to a positive, is one more score.
    for (told, expected) in [(0.3, 0.3), (0.99, 0.8)] {
        let batch = pb::ScoreBatch { positive_scores: floats([told]), ..rows(&[(1, 12, 0.4)]) };
        report(&client, batch).await.unwrap();
        assert_eq!(margin().await.0, expected);
    }
}
