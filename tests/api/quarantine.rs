use super::*;
use bytes::Bytes;
use common::TestServer;
use hardneg::client::{MineRequest, ScoreBatch};
use std::collections::HashSet;

fn rule() -> Option<pb::Quarantine> {
    Some(pb::Quarantine { quantile: 0.9, reports: 3, capacity: 100 })
}

/// 2,000 samples from 1,000 on with scores 0 to 99: the quantile 0.9 is about 90.
async fn crowd(client: &Client, pool: &str) {
    let ids: Vec<u64> = (1_000..3_000).collect();
    let scores: Vec<f32> = ids.iter().map(|id| (id % 100) as f32).collect();
    client.report(pool, &ids, &scores).await.unwrap();
}

async fn held(client: &Client, pool: &str) -> Vec<u64> {
    client.list_quarantined(pool).await.unwrap().iter().map(|sample| sample.id).collect()
}

/// Everything that either source may serve, without marking it.
async fn served(client: &Client, pool: &str) -> HashSet<u64> {
    let mut all = HashSet::new();
    for epsilon in [0.0, 1.0] {
        let request = MineRequest::new(pool, 20_000).random_fraction(epsilon).dry_run(true);
        let batch = client.mine(request.strategy(pb::Strategy::Uniform)).await.unwrap();
        all.extend(integers(&batch.ids).iter().copied());
    }
    all
}

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

/// Reports of all samples by eight workers at a time: none that was on its way when another set a sample aside may bring it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_brings_back_what_was_set_aside() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let rule = pb::Quarantine { quantile: 0.9, reports: 2, capacity: 10_000 };
    client.create_pool("p", pb::PoolSpec { quarantine: Some(rule), ..plain(10_000) }).await.unwrap();
    crowd(&client, "p").await;
    for round in 0..30u64 {
        let noisy: Vec<u64> = (100_000 + round * 50..100_050 + round * 50).collect();
        let reports = (0..8).map(|_| {
            let (client, noisy) = (client.clone(), noisy.clone());
            tokio::spawn(async move {
                for _ in 0..3 {
                    // Above what the rounds before made of the quantile.
                    client.report("p", &noisy, &[100.0 + round as f32; 50]).await.unwrap();
                }
            })
        });
        for report in reports.collect::<Vec<_>>() {
            report.await.unwrap();
        }
        let held: HashSet<u64> = held(&client, "p").await.into_iter().collect();
        assert_eq!(held.len() as u64, 50 * (round + 1));
        let back: Vec<_> = served(&client, "p").await.intersection(&held).copied().collect();
        assert!(back.is_empty(), "round {round}: {back:?}");
    }
}

/// Eight reporters against releases, removals, setting aside and blocking at random: a sample that nobody removes is at every moment in
/// one place, and nobody is both listed and served.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_lost_or_in_two_places_while_all_go_in_and_out() {
    const IDS: u64 = 400;
    let server = TestServer::start().await;
    let client = server.client().await;
    let rule = pb::Quarantine { quantile: 0.9, reports: 2, capacity: 10_000 };
    let spec = pb::PoolSpec { quarantine: Some(rule), shards: 4, ..plain(100_000) };
    client.create_pool("p", spec).await.unwrap();
    crowd(&client, "p").await;
    // Those below IDS are never removed or blocked, those above are.
    let all: Vec<u64> = (0..2 * IDS).collect();
    client.report("p", &all, &vec![99.5; all.len()]).await.unwrap();
    let random = |seed: u64, round: u64| hardneg::store::hash::background_hash(round, seed);
    let mut tasks = tokio::task::JoinSet::new();
    for reporter in 0..8 {
        let client = client.clone();
        tasks.spawn(async move {
            for round in 0..60 {
                let first = random(reporter, round) % (2 * IDS);
                let ids: Vec<u64> = (0..100).map(|i| (first + i * 7) % (2 * IDS)).collect();
                client.report("p", &ids, &[99.5 + (round % 3) as f32; 100]).await.unwrap();
            }
        });
    }
    for other in 8..11 {
        let client = client.clone();
        tasks.spawn(async move {
            for round in 0..80 {
                let first = random(other, round) % IDS;
                let kept = Ids::U64((0..20).map(|i| (first + i) % IDS).collect());
                let doomed: Vec<u64> = (0..20).map(|i| IDS + (first + i) % IDS).collect();
                match random(other, round + 1_000) % 6 {
                    0 => _ = client.release_quarantined("p", Some(kept), false).await.unwrap(),
                    1 => _ = client.release_quarantined("p", None, false).await.unwrap(),
                    2 => _ = client.quarantine_samples("p", kept).await.unwrap(),
                    3 => _ = client.remove("p", &doomed).await.unwrap(),
                    4 => _ = client.block_samples("p", Ids::U64(doomed)).await.unwrap(),
                    _ => _ = client.unblock_samples("p", Ids::U64(doomed)).await.unwrap(),
                }
            }
        });
    }
    let looks = {
        let client = client.clone();
        tokio::spawn(async move {
            for look in 0..60 {
                for (id, sample) in
                    client.get_samples("p", Ids::U64((0..IDS).collect())).await.unwrap().iter().enumerate()
                {
                    let place = sample.place();
                    let is_somewhere = place == pb::SamplePlace::Hard || place == pb::SamplePlace::Quarantine;
                    assert!(is_somewhere, "look {look}: sample {id} is {place:?}");
                }
            }
        })
    };
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    looks.await.unwrap();
    let held: HashSet<u64> = held(&client, "p").await.into_iter().collect();
    let blocked: HashSet<u64> =
        client.list_blocked("p").await.unwrap().iter().map(|sample| sample.id).collect();
    let served = served(&client, "p").await;
    assert!(held.is_disjoint(&served) && blocked.is_disjoint(&served) && blocked.is_disjoint(&held));
    let lost: Vec<u64> = (0..IDS).filter(|id| !held.contains(id) && !served.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test]
async fn what_is_stored_is_the_score_less_its_reference() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(100)).await.unwrap();
    let floats = |values: &[f32]| {
        hardneg::proto::columns::encode_floats(values.to_vec(), pb::ColumnEncoding::LittleEndian)
    };
    let send = async |pool: &str, references: pb::FloatColumn| {
        let batch = pb::ScoreBatch {
            pool: format!("pools/{pool}"),
            ids: Some(Ids::U64(vec![1, 2, 3, 4, 5]).into_column(pb::ColumnEncoding::Packed)),
            scores: Some(floats(&[5.0, 5.0, 5.0, 5.0, f32::NAN])),
            reference_scores: Some(references),
            ..Default::default()
        };
        let request = pb::ReportScoresRequest { batch: Some(batch) };
        let answer = client.mining_service().report_scores(request).await.map_err(Error::from)?;
        Ok::<_, Error>(answer.into_inner().ack.unwrap().counts.unwrap())
    };
    // Row 3 has no reference; row 4's is NaN; row 5 has no score.
    let some = pb::FloatColumn {
        present: Bytes::from_static(&[0b1_1011]),
        ..floats(&[1.0, 4.5, 99.0, f32::NAN, 0.0])
    };
    let counts = send("p", some).await.unwrap();
    assert_eq!((counts.inserted, counts.non_finite), (3, 2));
    let batch = client.mine(MineRequest::new("p", 3).strategy(pb::Strategy::Top).random_fraction(0.0));
    let batch = batch.await.unwrap();
    assert_eq!((integers(&batch.ids), &batch.scores[..]), ([3, 1, 2].as_slice(), [5.0, 4.0, 0.5].as_slice()));
    assert_invalid(send("p", floats(&[1.0; 4])).await, "batch.reference_scores");
    assert_invalid(send("p", floats(&[])).await, "batch.reference_scores");
    assert_invalid(send("p", pb::FloatColumn::default()).await, "batch.reference_scores");
    let short = pb::FloatColumn { present: Bytes::from_static(&[1, 1]), ..floats(&[1.0; 5]) };
    assert_invalid(send("p", short).await, "batch.reference_scores");
    for (pool, function, refused) in [
        ("power", pb::HardnessFunction::Power, true),
        ("exponential", pb::HardnessFunction::Exponential, false),
    ] {
        let hardness =
            pb::Hardness { function: function.into(), lower_is_harder: true, ..Default::default() };
        client.create_pool(pool, pb::PoolSpec { hardness: Some(hardness), ..plain(10) }).await.unwrap();
        let sent = send(pool, floats(&[1.0; 5])).await;
        if refused {
            assert_invalid(sent, "batch.reference_scores");
            assert_eq!(sizes(&client, pool).await.0.hard, 0);
        } else {
            assert_eq!(sent.unwrap().inserted, 4);
        }
    }
}
