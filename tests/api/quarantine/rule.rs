//! The rule of a pool sets samples aside; a release puts them back.

use super::*;

#[tokio::test]
async fn what_stays_above_the_quantile_is_set_aside_and_served_no_more() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", pb::PoolSpec { quarantine: rule(), ..plain(10_000) }).await.unwrap();
    crowd(&client, "p").await;
    // 1 stays above, 2 falls once, 3 is below.
    for (i, second) in [(0, 95.0), (1, 95.0), (2, 10.0), (3, 95.0)] {
        let batch = ScoreBatch::new("p", &[1, 2, 3], &[195.0 + i as f32, second, 50.0]);
        let counts = client.report_batch(batch.unwrap().model_version(i)).await.unwrap().counts.unwrap();
        assert_eq!(counts.quarantined, u64::from(i >= 2), "round {i}: {counts:?}");
    }
    let list = client.list_quarantined("p").await.unwrap();
    let [noisy] = &list[..] else { panic!("{list:?}") };
    assert_eq!((noisy.id, noisy.name.as_str(), noisy.score), (1, "", 198.0), "its score goes on");
    assert_eq!((noisy.reports, noisy.model_version), (3, 3));
    assert!((85.0..95.0).contains(&noisy.threshold.unwrap()) && noisy.quarantine_time.is_some(), "{noisy:?}");
    let everywhere = served(&client, "p").await;
    assert!(everywhere.contains(&2) && everywhere.contains(&3) && !everywhere.contains(&1));
    let stats = figures(&client, "p").await;
    assert_eq!((stats.quarantined, stats.quarantine_overflows), (1, 0));
    assert_eq!((stats.counts.unwrap().quarantined, stats.sizes.unwrap().distinct), (2, 2_002.0));
    assert_eq!((stats.set_aside, stats.released), (1, 0));

    assert_eq!(
        client.release_quarantined("p", Some(Ids::U64(vec![1, 2, 77])), false).await.unwrap().released_count,
        1
    );
    assert_eq!(held(&client, "p").await, Vec::<u64>::new());
    assert!(served(&client, "p").await.contains(&1));
    let top = MineRequest::new("p", 1).strategy(pb::Strategy::Top).random_fraction(0.0).dry_run(true);
    let batch = client.mine(top).await.unwrap();
    assert_eq!((integers(&batch.ids), &batch.scores[..]), ([1].as_slice(), [198.0].as_slice()));

    // Trusted: never again, until it is removed.
    let again = async |trust: bool| {
        for _ in 0..3 {
            client.report("p", &[1], &[99.5]).await.unwrap();
        }
        let held = held(&client, "p").await;
        client.release_quarantined("p", None, trust).await.unwrap();
        held
    };
    assert_eq!(again(true).await, [1]);
    assert_eq!(again(false).await, Vec::<u64>::new());
    assert_eq!(client.remove("p", &[1]).await.unwrap(), 1);
    assert_eq!(again(false).await, [1]);
}

#[tokio::test]
async fn a_removed_sample_leaves_the_quarantine_and_a_dense_pool_takes_one_back() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let background = Some(pb::pool_spec::Background::DenseIds(3_000));
    client.create_pool("p", pb::PoolSpec { quarantine: rule(), background, ..plain(10_000) }).await.unwrap();
    crowd(&client, "p").await;
    for _ in 0..3 {
        client.report("p", &[1, 2], &[95.0, 96.0]).await.unwrap();
    }
    assert_eq!(held(&client, "p").await, [1, 2]);
    assert_eq!(served(&client, "p").await.len(), 2_998);
    assert_eq!(client.remove("p", &[1, 1_000]).await.unwrap(), 2);
    assert_eq!(held(&client, "p").await, [2]);
    assert_eq!(client.release_quarantined("p", None, false).await.unwrap().released_count, 1);
    let everywhere = served(&client, "p").await;
    assert!(everywhere.contains(&2) && !everywhere.contains(&1) && everywhere.len() == 2_998);
}

#[tokio::test]
async fn a_full_quarantine_takes_no_more_and_the_rule_changes_live() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let small = pb::Quarantine { capacity: 2, ..rule().unwrap() };
    // One partition holds just what the rule says.
    let spec = pb::PoolSpec { quarantine: Some(small), shards: 1, ..plain(10_000) };
    client.create_pool("p", spec.clone()).await.unwrap();
    crowd(&client, "p").await;
    let noisy = async || {
        client.report("p", &[1, 2, 3, 4], &[95.0, 96.0, 97.0, 98.0]).await.unwrap();
    };
    for _ in 0..5 {
        noisy().await;
    }
    assert_eq!(held(&client, "p").await, [1, 2]);
    assert_eq!(figures(&client, "p").await.quarantine_overflows, 2, "a sample is counted once");
    assert!(served(&client, "p").await.contains(&4));
    let path = ["spec.quarantine"];
    let changed = client
        .update_pool("p", pb::PoolSpec { quarantine: rule(), ..spec.clone() }, &path, None)
        .await
        .unwrap();
    assert_eq!(changed.spec.unwrap().quarantine, rule());
    noisy().await;
    assert_eq!(held(&client, "p").await, [1, 2, 3, 4]);
    // Off: what is set aside stays so, and its reports still do not reach the store.
    client.update_pool("p", pb::PoolSpec { quarantine: None, ..spec.clone() }, &path, None).await.unwrap();
    let ack = client.report("p", &[1, 5], &[99.0, 99.0]).await.unwrap();
    assert_eq!(ack.counts.unwrap().quarantined, 1);
    for _ in 0..4 {
        client.report("p", &[5], &[99.0]).await.unwrap();
    }
    assert_eq!(held(&client, "p").await, [1, 2, 3, 4]);
    assert_eq!(client.release_quarantined("p", None, false).await.unwrap().released_count, 4);
    assert!(served(&client, "p").await.is_superset(&HashSet::from([1, 2, 3, 4])));
    for (field, rule) in [
        ("quantile", pb::Quarantine { quantile: 0.4, ..rule().unwrap() }),
        ("quantile", pb::Quarantine { quantile: 1.0, ..rule().unwrap() }),
        ("quantile", pb::Quarantine { quantile: f64::NAN, ..rule().unwrap() }),
        ("reports", pb::Quarantine { reports: 1, ..rule().unwrap() }),
        ("reports", pb::Quarantine { reports: 65_536, ..rule().unwrap() }),
        ("capacity", pb::Quarantine { capacity: 1 << 21, ..rule().unwrap() }),
    ] {
        let field = format!("pool.spec.quarantine.{field}");
        let spec = pb::PoolSpec { quarantine: Some(rule), ..plain(10) };
        assert_invalid(client.create_pool("bad", spec.clone()).await, &field);
        assert_invalid(client.update_pool("p", spec, &path, None).await, &field);
    }
    let defaults = pb::PoolSpec { quarantine: Some(pb::Quarantine::default()), ..plain(10) };
    let (pool, _) = client.create_pool("defaults", defaults.clone()).await.unwrap();
    let told = pb::Quarantine { quantile: 0.99, reports: 5, capacity: 65_536 };
    assert_eq!(pool.spec.unwrap().quarantine, Some(told));
    assert!(!client.create_pool("defaults", defaults).await.unwrap().1, "the same spec");
}

#[tokio::test]
async fn pages_are_in_order_of_id() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", pb::PoolSpec { quarantine: rule(), ..plain(10_000) }).await.unwrap();
    crowd(&client, "p").await;
    let noisy: Vec<u64> = (0..25).map(|i| i * 0x0a3d_70a3_d70a_3d70).collect();
    for _ in 0..3 {
        client.report("p", &noisy, &[97.0; 25]).await.unwrap();
    }
    let page = async |page_size: i32, page_token: &str| {
        let request = pb::ListQuarantinedRequest {
            name: "pools/p".into(),
            page_size,
            page_token: page_token.into(),
            pool_uid: 0,
        };
        let answer = client.pool_service().list_quarantined(request).await;
        answer.map(tonic::Response::into_inner).map_err(Error::from)
    };
    let (mut seen, mut token) = (Vec::new(), String::new());
    for expected in [10, 10, 5] {
        let answer = page(10, &token).await.unwrap();
        assert_eq!((answer.samples.len(), answer.total), (expected, 25));
        seen.extend(answer.samples.iter().map(|sample| sample.id));
        token = answer.next_page_token;
    }
    assert_eq!((seen, token.as_str()), (noisy, ""));
    let all = page(25, "").await.unwrap();
    assert_eq!((all.samples.len(), all.next_page_token.as_str()), (25, ""), "no empty page at the end");
    assert_invalid(page(-1, "").await, "page_size");
    for bad in ["x", "00000000000000zz", "+000000000000001", "ffff", &"0".repeat(17)] {
        assert_invalid(page(10, bad).await, "page_token");
    }
    let absent = pb::ListQuarantinedRequest { name: "pools/none".into(), ..Default::default() };
    assert_eq!(client.pool_service().list_quarantined(absent).await.unwrap_err().code(), Code::NotFound);
    let keys = client.release_quarantined("p", Some(Ids::Keys(vec!["a".into()])), false).await;
    assert_invalid(keys, "ids");
    let many = client.release_quarantined("p", Some(Ids::U64(vec![1; 65_537])), false).await;
    assert_invalid(many, "ids");
}

#[tokio::test]
async fn names_and_payloads_come_back() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let spec = pb::PoolSpec {
        quarantine: rule(),
        id_kind: pb::IdKind::String.into(),
        max_payload_bytes: 16,
        ..plain(10_000)
    };
    client.create_pool("p", spec).await.unwrap();
    let names: Vec<String> = (0..2_000).map(|i| format!("row-{i}")).collect();
    let scores: Vec<f32> = (0..2_000).map(|i| (i % 100) as f32).collect();
    client.report_keys("p", names, &scores).await.unwrap();
    let send = async |payload: &'static str| {
        let batch = pb::ScoreBatch {
            pool: "pools/p".into(),
            ids: Some(Ids::Keys(vec!["a".into(), "b".into()]).into_column(pb::ColumnEncoding::Packed)),
            scores: Some(hardneg::proto::columns::encode_floats(
                vec![96.0, 97.0],
                pb::ColumnEncoding::Packed,
            )),
            payloads: vec![Bytes::from_static(payload.as_bytes()), Bytes::new()],
            ..Default::default()
        };
        let request = pb::ReportScoresRequest { batch: Some(batch) };
        client.mining_service().report_scores(request).await.unwrap();
    };
    send("early").await;
    for _ in 0..2 {
        send("").await;
    }
    let mut listed: Vec<String> =
        client.list_quarantined("p").await.unwrap().into_iter().map(|sample| sample.name).collect();
    listed.sort();
    assert_eq!(listed, ["a", "b"]);
    client.release_quarantined("p", Some(Ids::Keys(vec!["a".into(), "b".into()])), false).await.unwrap();
    let fields = pb::BatchFields { payloads: true, ..Default::default() };
    let all = MineRequest::new("p", 3_000).random_fraction(0.0).dry_run(true).fields(fields);
    let batch = client.mine(all).await.unwrap();
    let keys = batch.ids.as_keys().unwrap();
    let payload = |key: &str| batch.payloads[keys.iter().position(|k| k == key).unwrap()].clone();
    assert_eq!((payload("a"), payload("b")), (Bytes::from_static(b"early"), Bytes::new()));
}

/// Each row is a report of its sample, applied in order: one batch may set a sample aside, and a row below ends the streak where it stands.
#[tokio::test]
async fn rows_of_one_batch_count_one_by_one() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", pb::PoolSpec { quarantine: rule(), ..plain(10_000) }).await.unwrap();
    crowd(&client, "p").await;
    let ack = client.report("p", &[1, 1, 1, 1, 2, 2, 2, 2], &[95.0, 96.0, 97.0, 98.0, 95.0, 95.0, 1.0, 95.0]);
    let counts = ack.await.unwrap().counts.unwrap();
    assert_eq!((counts.inserted, counts.coalesced, counts.quarantined), (2, 4, 2), "{counts:?}");
    let list = client.list_quarantined("p").await.unwrap();
    assert_eq!(list.iter().map(|s| (s.id, s.score, s.reports)).collect::<Vec<_>>(), [(1, 98.0, 3)]);
}
