//! Labels of anchors and of samples.

use super::*;

async fn labelled(client: &Client, anchors: &[u64], policy: pb::NegativePolicy) -> pb::MineNegativesResponse {
    let asked = pb::MineNegativesRequest {
        fields: Some(pb::NegativeFields { labels: true, ..Default::default() }),
        ..request(anchors.iter().copied(), 8, policy)
    };
    mine(client, asked).await.unwrap()
}

#[tokio::test]
async fn labels_are_told_of_anchors_and_of_samples_from_either_source() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", spec(2)).await.unwrap();
    let label_of = |id: u64| (id % 5) as u32;
    // Each of three anchors keeps two negatives; the easiest one is in the background only.
    let all: Vec<_> = (0..9).map(|i| (i / 3, 100 + i, 1.0 - i as f32 / 16.0)).collect();
    let batch = pb::ScoreBatch {
        labels: all.iter().map(|row| label_of(row.1)).collect(),
        anchor_labels: all.iter().map(|row| row.0 as u32 * 10).collect(),
        ..rows(&all)
    };
    report(&client, batch).await.unwrap();
    let filled = labelled(&client, &[2, 0, 77], Default::default()).await;
    assert_eq!(filled.anchor_labels, [20, 0, 0]);
    let ids: Vec<u64> = by_anchor(&filled).concat();
    assert!(filled.background_count > 4 && ids.len() == 24);
    assert_eq!(filled.labels, ids.iter().map(|id| label_of(*id)).collect::<Vec<_>>());
    // A label that is not reported stays; a reported one replaces it, also when it is 0.
    report(&client, rows(&[(0, 100, 0.9), (1, 103, 0.9)])).await.unwrap();
    let again = pb::ScoreBatch { labels: vec![0], anchor_labels: vec![7], ..rows(&[(1, 104, 0.95)]) };
    report(&client, again).await.unwrap();
    let top = labelled(&client, &[0, 1], short(Strategy::Top)).await;
    assert_eq!(by_anchor(&top), [vec![101, 100], vec![104, 103]]);
    assert_eq!((top.labels, top.anchor_labels), (vec![1, 0, 0, 3], vec![0, 7]));
    // The labels were not requested.
    let bare = mine(&client, request([0], 2, short(Strategy::Top))).await.unwrap();
    assert!(bare.labels.is_empty() && bare.anchor_labels.is_empty());
    // A flat pool has strata.
    client.create_pool("flat", plain(10)).await.unwrap();
    for (field, batch) in [
        ("batch.labels", pb::ScoreBatch { labels: vec![1], ..Default::default() }),
        ("batch.anchor_labels", pb::ScoreBatch { anchor_labels: vec![1], ..Default::default() }),
    ] {
        let batch =
            pb::ScoreBatch { pool: "pools/flat".into(), ids: u64s([1]), scores: floats([1.0]), ..batch };
        assert_invalid(report(&client, batch).await, field);
    }
}
