//! SelectFrom over the wire: a selection from the caller's own set, without a pool.

use super::*;
use common::TestServer;
use hardneg::client::SelectRequest;

fn scores(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 37 % n) as f32).collect()
}

#[tokio::test]
async fn the_hardest_come_back_with_their_rows_and_ids() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let top = SelectRequest::new(scores(10), 3).strategy(pb::Strategy::Top);
    let selected = client.select_from(top.clone()).await.unwrap();
    // Row i has the score 7 i modulo 10.
    assert_eq!(selected.rows, [7, 4, 1]);
    assert_eq!((selected.ids, selected.importance_weights), (None, vec![]));
    assert_eq!(selected.estimand, pb::Estimand::None);
    let names: Vec<String> = (0..10).map(|i| format!("image-{i}")).collect();
    let named = client.select_from(top.clone().ids(Ids::Keys(names))).await.unwrap();
    assert_eq!(named.ids.unwrap().as_keys().unwrap(), ["image-7", "image-4", "image-1"]);
    let learnable = top.reference_scores((0..10).map(|i| if i == 7 { 9.0 } else { 0.0 }).collect());
    assert_eq!(client.select_from(learnable).await.unwrap().rows, [4, 1, 8]);
    assert!(client.list_pools().await.unwrap().is_empty(), "nothing is stored");
}

#[tokio::test]
async fn draws_have_weights_and_a_seed_repeats_them() {
    let server = TestServer::start().await;
    let client = server.client().await;
    for strategy in [pb::Strategy::Proportional, pb::Strategy::Rank, pb::Strategy::Uniform] {
        for replacement in [false, true] {
            let request = SelectRequest::new(scores(20_000), 256).strategy(strategy).replacement(replacement);
            let first = client.select_from(request.clone()).await.unwrap();
            assert_eq!((first.rows.len(), first.estimand), (256, pb::Estimand::All));
            let again = client.select_from(request.clone().seed(first.seed)).await.unwrap();
            assert_eq!(again, first);
            assert_ne!(client.select_from(request).await.unwrap().rows, first.rows);
            assert_eq!(first.inclusion_probabilities.len(), 256);
            for (weight, told) in first.importance_weights.iter().zip(first.inclusion_probabilities) {
                assert!((weight * told * 20_000.0 / 256.0 - 1.0).abs() < 1e-4, "{weight} {told}");
            }
            let distinct: std::collections::HashSet<u32> = first.rows.iter().copied().collect();
            assert!(replacement || distinct.len() == 256);
        }
    }
}

#[tokio::test]
async fn scores_that_are_not_finite_are_left_out_and_counted() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let some = SelectRequest::new(vec![1.0, f32::NAN, 2.0, f32::INFINITY], 4);
    let selected = client.select_from(some).await.unwrap();
    let mut rows = selected.rows.clone();
    rows.sort_unstable();
    assert_eq!((rows, selected.non_finite_count), (vec![0, 2], 2));
    assert_eq!(selected.inclusion_probabilities, vec![1.0, 1.0]);
    let none = client.select_from(SelectRequest::new(vec![f32::NAN], 4)).await.unwrap();
    assert_eq!((none.rows.len(), none.non_finite_count), (0, 1));
}

#[tokio::test]
async fn bad_requests_name_their_fields() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let good = || SelectRequest::new(scores(10), 3);
    let hardness = |offset| pb::Hardness { offset, ..Default::default() };
    let distance = pb::Hardness { lower_is_harder: true, ..Default::default() };
    let cases = [
        (SelectRequest::new(vec![], 3), "scores"),
        (SelectRequest::new(scores(65_537), 3), "scores"),
        (SelectRequest::new(scores(10), 0), "batch_size"),
        (SelectRequest::new(scores(10), 65_537), "batch_size"),
        (good().ids(Ids::U64(vec![1, 2])), "ids"),
        (good().reference_scores(vec![1.0]), "reference_scores"),
        (good().reference_scores(vec![1.0; 10]).hardness(distance), "reference_scores"),
        (good().strategy(pb::Strategy::Stalest), "strategy"),
        (good().strategy(pb::Strategy::Top).replacement(true), "replacement"),
        (good().alpha(17.0), "alpha"),
        (good().alpha(f64::NAN), "alpha"),
        (good().beta(1.5), "beta"),
        (good().hardness(hardness(-1.0)), "hardness.offset"),
    ];
    for (request, field) in cases {
        assert_invalid(client.select_from(request).await, field);
    }
}
