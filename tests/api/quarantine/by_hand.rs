//! Samples are set aside, blocked and cleared on request.

use super::*;

#[tokio::test]
async fn samples_are_set_aside_by_hand_without_a_rule() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(10_000)).await.unwrap();
    crowd(&client, "p").await;
    let ids = Ids::U64(vec![1_001, 1_002, 5]);
    let counts = client.quarantine_samples("p", ids.clone()).await.unwrap();
    assert_eq!((counts.quarantined_count, counts.absent_count, counts.refused_count), (2, 1, 0));
    let again = client.quarantine_samples("p", ids).await.unwrap();
    assert_eq!(
        (again.quarantined_count, again.absent_count),
        (0, 1),
        "those that are are in none of the counts"
    );
    let list = client.list_quarantined("p").await.unwrap();
    assert_eq!(
        list.iter().map(|s| (s.id, s.score, s.threshold)).collect::<Vec<_>>(),
        [(1_001, 1.0, None), (1_002, 2.0, None)]
    );
    // Reports go on in the record, and a release puts back the last.
    let counts = client.report("p", &[1_001], &[77.0]).await.unwrap().counts.unwrap();
    assert_eq!(counts.quarantined, 1);
    let everywhere = served(&client, "p").await;
    assert!(!everywhere.contains(&1_001) && !everywhere.contains(&1_002) && everywhere.len() == 1_998);
    assert_eq!(client.release_quarantined("p", None, false).await.unwrap().released_count, 2);
    let samples = client.get_samples("p", Ids::U64(vec![1_001, 1_002])).await.unwrap();
    assert_eq!(samples.iter().map(|s| s.score.unwrap()).collect::<Vec<_>>(), [77.0, 2.0]);
    assert_eq!(served(&client, "p").await.len(), 2_000);
    let many = client.quarantine_samples("p", Ids::U64(vec![1; 65_537])).await;
    assert_invalid(many, "ids");
    assert_invalid(client.quarantine_samples("p", Ids::Keys(vec!["a".into()])).await, "ids");
}

#[tokio::test]
async fn nothing_brings_a_blocked_sample_back_until_it_is_unblocked() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", pb::PoolSpec { quarantine: rule(), ..plain(10_000) }).await.unwrap();
    crowd(&client, "p").await;
    client.quarantine_samples("p", Ids::U64(vec![1_000])).await.unwrap();
    // One in quarantine, one stored, one that is nowhere.
    let ids = Ids::U64(vec![1_000, 1_001, 7]);
    let counts = client.block_samples("p", ids.clone()).await.unwrap();
    assert_eq!((counts.blocked_count, counts.removed_count, counts.refused_count), (3, 2, 0));
    assert_eq!(client.block_samples("p", ids.clone()).await.unwrap().blocked_count, 0);
    assert_eq!(held(&client, "p").await, Vec::<u64>::new());
    for _ in 0..4 {
        let counts = client.report("p", &[1_000, 1_001, 7, 8], &[99.5; 4]).await.unwrap().counts.unwrap();
        assert_eq!(counts.blocked, 3, "{counts:?}");
    }
    // Neither a removal, nor a release, nor clearing the pool unblocks.
    assert_eq!(client.remove("p", &[1_001]).await.unwrap(), 0);
    client.release_quarantined("p", None, false).await.unwrap();
    let places = client.get_samples("p", ids.clone()).await.unwrap();
    assert!(places.iter().all(|sample| sample.place() == pb::SamplePlace::Blocked && sample.score.is_none()));
    let everywhere = served(&client, "p").await;
    assert!([1_000, 1_001, 7].iter().all(|id| !everywhere.contains(id)) && everywhere.contains(&8));
    let stats = figures(&client, "p").await;
    assert_eq!((stats.blocked, stats.counts.unwrap().blocked), (3, 12));
    let listed =
        async || client.list_blocked("p").await.unwrap().iter().map(|sample| sample.id).collect::<Vec<_>>();
    assert_eq!(listed().await, [7, 1_000, 1_001]);
    assert_eq!(client.clear_pool("p").await.unwrap(), 1_999);
    assert_eq!(listed().await, [7, 1_000, 1_001]);
    assert_eq!(client.unblock_samples("p", Ids::U64(vec![7, 8])).await.unwrap(), 1);
    let counts = client.report("p", &[7, 1_000], &[1.0; 2]).await.unwrap().counts.unwrap();
    assert_eq!((counts.inserted, counts.blocked), (1, 1));
    assert_invalid(client.block_samples("p", Ids::Keys(vec!["a".into()])).await, "ids");
    assert_invalid(client.unblock_samples("p", Ids::U64(vec![1; 65_537])).await, "ids");
    for bad in ["x", "ffff"] {
        let request =
            pb::ListBlockedRequest { name: "pools/p".into(), page_token: bad.into(), ..Default::default() };
        assert_invalid(client.pool_service().list_blocked(request).await.map_err(Error::from), "page_token");
    }
}

/// Blocked keys are listed by their names, page by page.
#[tokio::test]
async fn blocked_keys_are_listed_by_name() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let spec = pb::PoolSpec { id_kind: pb::IdKind::String.into(), ..plain(100) };
    client.create_pool("p", spec).await.unwrap();
    let names: Vec<String> = (0..25).map(|i| format!("row-{i}")).collect();
    client.block_samples("p", Ids::Keys(names.clone())).await.unwrap();
    let (mut seen, mut token, mut pages) = (HashSet::new(), String::new(), 0);
    loop {
        let request = pb::ListBlockedRequest {
            name: "pools/p".into(),
            page_size: 10,
            page_token: std::mem::take(&mut token),
            pool_uid: 0,
        };
        let answer = client.pool_service().list_blocked(request).await.unwrap().into_inner();
        assert_eq!(answer.total, 25);
        seen.extend(answer.samples.into_iter().map(|sample| sample.name));
        pages += 1;
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((seen, pages), (names.into_iter().collect(), 3));
}

#[tokio::test]
async fn a_cleared_pool_is_empty_and_goes_on() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", pb::PoolSpec { quarantine: rule(), ..plain(10_000) }).await.unwrap();
    crowd(&client, "p").await;
    for _ in 0..3 {
        client.report("p", &[1], &[95.0]).await.unwrap();
    }
    let send = async || {
        let batch = pb::ScoreBatch {
            pool: "pools/p".into(),
            ids: Some(Ids::U64(vec![2]).into_column(pb::ColumnEncoding::Packed)),
            scores: Some(hardneg::proto::columns::encode_floats(vec![50.0], pb::ColumnEncoding::Packed)),
            worker_id: "w".into(),
            worker_epoch: 1,
            sequence: 1,
            ..Default::default()
        };
        let request = pb::ReportScoresRequest { batch: Some(batch) };
        client.mining_service().report_scores(request).await.unwrap().into_inner().ack.unwrap()
    };
    assert_eq!(send().await.status(), pb::AckStatus::Applied);
    let uid = client.get_pool("p").await.unwrap().uid;
    assert_eq!(client.clear_pool("p").await.unwrap(), 2_002);
    assert_eq!(client.clear_pool("p").await.unwrap(), 0);
    let stats = figures(&client, "p").await;
    let sizes = stats.sizes.unwrap();
    assert_eq!(
        (sizes.hard, sizes.background, sizes.distinct, sizes.background_probability),
        (0, 0, 0.0, 1.0)
    );
    assert_eq!((stats.quarantined, stats.removed, stats.uid), (0, 2_002, uid));
    assert!(served(&client, "p").await.is_empty());
    // What was applied before stays applied.
    assert_eq!(send().await.status(), pb::AckStatus::Duplicate);
    client.report("p", &[2], &[50.0]).await.unwrap();
    assert_eq!(served(&client, "p").await, HashSet::from([2]));
}

#[tokio::test]
async fn an_anchored_pool_says_what_it_has_instead() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let anchored = Some(pb::AnchoredSpec { negatives_per_anchor: 4, ..Default::default() });
    let kind = pb::PoolKind::Anchored.into();
    client.create_pool("a", pb::PoolSpec { kind, anchored, ..plain(0) }).await.unwrap();
    let ids = || Ids::U64(vec![1]);
    for (call, answer) in [
        ("quarantine", client.quarantine_samples("a", ids()).await.map(|_| ())),
        ("block", client.block_samples("a", ids()).await.map(|_| ())),
        ("unblock", client.unblock_samples("a", ids()).await.map(|_| ())),
    ] {
        let error = answer.unwrap_err();
        assert_eq!(error.reason().as_deref(), Some("POOL_ANCHORED"), "{call}: {error}");
    }
}
