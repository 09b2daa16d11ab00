use super::*;
use bytes::Bytes;
use common::TestServer;
use hardneg::client::{MineRequest, ScoreBatch};
use hardneg::config::{Config, Limits};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// A pool of ids 0..n with scores 1..=n.
async fn ramp(client: &Client, pool: &str, n: u64) {
    client.create_pool(pool, plain(1 << 16)).await.unwrap();
    let ids: Vec<u64> = (0..n).collect();
    let scores: Vec<f32> = ids.iter().map(|id| (id + 1) as f32).collect();
    client.report(pool, &ids, &scores).await.unwrap();
}

fn hard(pool: &str, size: u32) -> MineRequest {
    MineRequest::new(pool, size).random_fraction(0.0)
}

#[tokio::test]
async fn a_wrong_request_names_its_field() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 10).await;
    let before = figures(&client, "p").await;
    let window = |kind| pb::MiningPolicy { windows: vec![pb::Window { kind }], ..Default::default() };
    let policy = |policy| MineRequest::new("p", 1).policy(policy);
    let cases = [
        ("batch_size", MineRequest::new("p", 0)),
        ("batch_size", MineRequest::new("p", 1_000_000_000)),
        ("pool", MineRequest::new("a/b", 1)),
        ("policy.alpha", MineRequest::new("p", 1).alpha(16.5)),
        ("policy.alpha", MineRequest::new("p", 1).alpha(f64::NAN)),
        ("policy.random_fraction", MineRequest::new("p", 1).random_fraction(-0.1)),
        ("policy.beta", MineRequest::new("p", 1).beta(1.1)),
        ("policy.strategy", policy(pb::MiningPolicy { strategy: 99, ..Default::default() })),
        ("policy.windows[0]", policy(window(None))),
        ("policy.windows[0]", MineRequest::new("p", 1).score_window(Some(2.0), Some(1.0))),
        ("policy.windows[0]", MineRequest::new("p", 1).score_window(Some(f32::NAN), None)),
        ("policy.windows[0]", MineRequest::new("p", 1).rank_window(5, Some(5))),
        ("policy.windows[0]", MineRequest::new("p", 1).quantile_window(-0.1, None)),
        ("policy.windows[1]", MineRequest::new("p", 1).rank_window(0, None).age_window(-1.0, None)),
        ("policy.windows[1]", MineRequest::new("p", 1).rank_window(0, Some(10)).rank_window(10, Some(30))),
        (
            "policy.windows[2]",
            MineRequest::new("p", 1)
                .quantile_window(0.5, None)
                .age_window(0.0, None)
                .quantile_window(0.0, Some(0.4)),
        ),
        ("wait.min_size", MineRequest::new("p", 1).wait(1 << 40, Duration::from_secs(1))),
        ("wait.timeout", MineRequest::new("p", 1).wait(1, Duration::from_secs(86_400))),
        ("request_id", MineRequest::new("p", 1).request_id("r".repeat(65))),
        ("exclude_ids", MineRequest::new("p", 1).exclude_ids(Ids::Keys(vec!["a".into()]))),
        ("exclude_ids", MineRequest::new("p", 1).exclude(&vec![1; 65_537])),
    ];
    for (field, request) in cases {
        assert_invalid(client.mine(request).await, field);
    }
    let many = (0..17).fold(MineRequest::new("p", 1), |r, _| r.rank_window(0, None));
    assert_invalid(client.mine(many).await, "policy.windows");
    let thousands = (0..5000).fold(MineRequest::new("p", 1), |r, _| r.age_window(-1.0, None));
    assert_invalid(client.mine(thousands).await, "policy.windows");
    let raw = |message: pb::MineBatchRequest| pb::MineBatchRequest {
        pool: "pools/p".into(),
        batch_size: 1,
        ..message
    };
    let negative = pb::Wait { min_size: 1, timeout: Some(prost_types::Duration { seconds: -1, nanos: 0 }) };
    let sent = async |message| client.mining_service().mine_batch(raw(message)).await.map_err(Error::from);
    let wait = pb::MineBatchRequest { wait: Some(negative), ..Default::default() };
    assert_invalid(sent(wait).await, "wait.timeout");
    assert_eq!(told(client.mine(MineRequest::new("none", 1)).await).0, Code::NotFound);
    assert_eq!(figures(&client, "p").await, before);
}

#[tokio::test]
async fn windows_hold_at_their_bounds() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 100).await;
    let mined = async |request: MineRequest| -> Vec<u64> {
        let mut ids = integers(&client.mine(request).await.unwrap().ids).to_vec();
        ids.sort_unstable();
        ids
    };
    for strategy in [pb::Strategy::Top, pb::Strategy::Proportional, pb::Strategy::Rank, pb::Strategy::Uniform]
    {
        let request = || hard("p", 100).strategy(strategy);
        let scores = mined(request().score_window(Some(10.0), Some(19.0))).await;
        assert_eq!(scores, (9..=18).collect::<Vec<_>>(), "{strategy:?}");
        assert_eq!(
            mined(request().rank_window(5, Some(15))).await,
            (85..95).collect::<Vec<_>>(),
            "{strategy:?}"
        );
        let tenth = mined(request().quantile_window(0.9, None)).await;
        assert_eq!(tenth, (90..100).collect::<Vec<_>>(), "{strategy:?}");
        let both = mined(request().rank_window(0, Some(50)).score_window(None, Some(60.0))).await;
        assert_eq!(both, (50..60).collect::<Vec<_>>(), "{strategy:?}");
        assert_eq!(mined(request().version_window(1, None)).await, Vec::<u64>::new());
        assert_eq!(mined(request().age_window(3600.0, None)).await, Vec::<u64>::new());
        assert_eq!(mined(request().exclude(&(1..100).collect::<Vec<_>>())).await, [0]);
    }
    // Windows do not restrict the background.
    let mixed = MineRequest::new("p", 20).random_fraction(0.5).rank_window(0, Some(1));
    let batch = client.mine(mixed).await.unwrap();
    assert_eq!(batch.len(), 20);
    assert!(batch.info.hard_count <= 1);
}

#[tokio::test]
async fn a_shortfall_is_what_the_request_says() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", pb::PoolSpec { shards: 1, ..plain(10) }).await.unwrap();
    let ids: Vec<u64> = (0..100).collect();
    let scores: Vec<f32> = ids.iter().map(|id| 1.0 + *id as f32).collect();
    client.report("p", &ids, &scores).await.unwrap();
    let request = || MineRequest::new("p", 40).random_fraction(0.5);
    let fill = client.mine(request()).await.unwrap();
    assert_eq!((fill.len(), fill.info.shortfall_count), (40, 0));
    assert!(fill.info.background_count >= 30, "the hard store holds 10: {}", fill.info.background_count);
    let short = client.mine(request().shortfall(pb::Shortfall::Short)).await.unwrap();
    assert_eq!((short.len(), short.info.shortfall_count), (20, 20));
    let error = client.mine(request().shortfall(pb::Shortfall::Error)).await;
    assert_eq!(told(error).1, "SHORTFALL");
    let all = client.mine(hard("p", 40)).await.unwrap();
    assert_eq!((all.len(), all.info.shortfall_count), (10, 30), "at random_fraction 0 nothing fills");
    assert_eq!(figures(&client, "p").await.shortfalls, 2);
    client.create_pool("empty", plain(10)).await.unwrap();
    let nothing = client.mine(MineRequest::new("empty", 5)).await.unwrap();
    assert_eq!((nothing.len(), nothing.info.shortfall_count), (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_the_pool_has_filled_or_its_time_is_over() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(100)).await.unwrap();
    let brief = client.mine(MineRequest::new("p", 1).wait(1, Duration::from_millis(50))).await.unwrap();
    assert!(brief.info.timed_out && brief.is_empty());
    let waiting = client.clone();
    let mined =
        tokio::spawn(
            async move { waiting.mine(MineRequest::new("p", 2).wait(2, Duration::from_secs(60))).await },
        );
    client.report("p", &[1], &[1.0]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!mined.is_finished(), "one is not two");
    let reported = Instant::now();
    client.report("p", &[2], &[1.0]).await.unwrap();
    let batch = mined.await.unwrap().unwrap();
    assert!(!batch.info.timed_out && batch.len() == 2 && reported.elapsed() < Duration::from_secs(5));
    let error = MineRequest::new("p", 9)
        .wait(50, Duration::from_millis(20))
        .random_fraction(0.0)
        .shortfall(pb::Shortfall::Error);
    assert_eq!(told(client.mine(error).await).1, "SHORTFALL");
    let waiting = client.clone();
    let orphan = tokio::spawn(async move {
        waiting.mine(MineRequest::new("p", 2).wait(50, Duration::from_secs(60))).await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.delete_pool("p", false).await.unwrap();
    assert_eq!(told(orphan.await.unwrap()).0, Code::NotFound, "a deleted pool is not waited for");
}

#[tokio::test]
async fn a_seed_repeats_and_a_request_id_replays() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 5000).await;
    let seeded = || MineRequest::new("p", 64).seed(7).dry_run(true);
    let first = client.mine(seeded()).await.unwrap();
    assert_eq!((first.info.seed, &client.mine(seeded()).await.unwrap().ids), (7, &first.ids));
    let unseeded = client.mine(MineRequest::new("p", 64).dry_run(true)).await.unwrap();
    assert_ne!(unseeded.ids, first.ids);
    let again = client.mine(MineRequest::new("p", 64).seed(unseeded.info.seed).dry_run(true)).await.unwrap();
    assert_eq!(again.ids, unseeded.ids, "the seed that was drawn is told");
    assert_eq!(figures(&client, "p").await.served_hard, 0, "a dry run serves nobody");
    let served = client.mine(MineRequest::new("p", 64)).await.unwrap();
    let stats = figures(&client, "p").await;
    let hard = served.info.hard_count as u64;
    assert_eq!((stats.served_hard, stats.served_background), (hard, 64 - hard));

    let fields = pb::BatchFields { serves: true, ..Default::default() };
    let replayed = move || MineRequest::new("p", 64).request_id("step-1").fields(fields);
    let first = client.mine(replayed()).await.unwrap();
    let many: Vec<_> = (0..8)
        .map(|_| {
            let c = client.clone();
            tokio::spawn(async move { c.mine(replayed()).await })
        })
        .collect();
    for retry in many {
        let retry = retry.await.unwrap().unwrap();
        assert_eq!((&retry.ids, &retry.serves), (&first.ids, &first.serves));
    }
    assert_invalid(client.mine(MineRequest::new("p", 63).request_id("step-1")).await, "request_id");
    ramp(&client, "q", 10).await;
    let elsewhere = client.mine(MineRequest::new("q", 4).request_id("step-1")).await.unwrap();
    assert_eq!(elsewhere.len(), 4, "ids are each pool's own");
}

#[tokio::test]
async fn serves_are_counted_and_limited() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let limits = pb::ServeLimits { serve_penalty: 0.0, max_serves: 2, ..Default::default() };
    client.create_pool("p", pb::PoolSpec { serve_limits: Some(limits), ..plain(100) }).await.unwrap();
    client.report("p", &[1, 2, 3], &[1.0, 2.0, 3.0]).await.unwrap();
    let fields = pb::BatchFields { serves: true, importance_weights: true, ..Default::default() };
    let all = || MineRequest::new("p", 3).fields(fields);
    for _ in 0..3 {
        assert_eq!(client.mine(all().dry_run(true)).await.unwrap().serves, [0, 0, 0]);
    }
    for serve in 1..=2 {
        let batch = client.mine(all()).await.unwrap();
        assert_eq!((batch.serves.as_slice(), batch.estimand), ([serve; 3].as_slice(), pb::Estimand::All));
    }
    assert_eq!(client.mine(all()).await.unwrap().len(), 0);
    client.report("p", &[2], &[2.0]).await.unwrap();
    assert_eq!(integers(&client.mine(all()).await.unwrap().ids), [2], "a report lets it serve again");

    // Of many concurrent calls never more than the limit run.
    client.report("p", &[1, 2, 3], &[1.0; 3]).await.unwrap();
    let miners: Vec<_> = (0..16)
        .map(|_| {
            let c = client.clone();
            tokio::spawn(async move { c.mine(MineRequest::new("p", 3)).await.unwrap().len() })
        })
        .collect();
    let mut served = 0;
    for miner in miners {
        served += miner.await.unwrap();
    }
    assert_eq!(served, 6);
}

#[tokio::test]
async fn string_keys_and_payloads_come_back() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let spec = pb::PoolSpec { id_kind: pb::IdKind::String.into(), max_payload_bytes: 8, ..plain(10) };
    client.create_pool("docs", spec).await.unwrap();
    let batch = ScoreBatch::with_keys("docs", ["doc/1", "äö"], &[2.0, 1.0]).unwrap();
    client.report_batch(batch.payloads(vec![Bytes::from("crop"), Bytes::new()])).await.unwrap();
    let top = || hard("docs", 2).strategy(pb::Strategy::Top);
    let batch = client.mine(top()).await.unwrap();
    assert_eq!(batch.ids.as_keys().unwrap(), ["doc/1", "äö"]);
    assert_eq!(batch.payloads, ["crop".as_bytes(), b""]);
    client.report_keys("docs", ["doc/1"], &[3.0]).await.unwrap();
    assert_eq!(client.mine(top()).await.unwrap().payloads[0], "crop", "a report without one keeps it");
    let excluded = hard("docs", 2).exclude_ids(Ids::Keys(vec!["doc/1".into()]));
    assert_eq!(client.mine(excluded).await.unwrap().ids.as_keys().unwrap(), ["äö"]);
    let batch = client.mine(MineRequest::new("docs", 2).random_fraction(1.0)).await.unwrap();
    let keys: HashSet<_> = batch.ids.as_keys().unwrap().iter().map(String::as_str).collect();
    assert_eq!(keys, HashSet::from(["doc/1", "äö"]), "the background knows names");
    let long = ScoreBatch::with_keys("docs", ["x"], &[2.0]).unwrap().payloads(vec![Bytes::from(vec![0; 9])]);
    assert_invalid(client.report_batch(long).await, "batch.payloads[0]");
}

#[tokio::test]
async fn only_what_is_asked_for_is_returned() {
    let server = TestServer::start().await;
    let client = server.client().await;
    ramp(&client, "p", 50).await;
    let usual = client.mine(MineRequest::new("p", 8)).await.unwrap();
    assert_eq!((usual.scores.len(), usual.importance_weights.len(), usual.sources.len()), (8, 8, 8));
    let unasked = usual.inclusion_probabilities.len() + usual.ages.len() + usual.serves.len();
    assert_eq!(unasked + usual.model_versions.len() + usual.payloads.len(), 0);
    let policy = usual.info.policy.as_ref().unwrap();
    assert_eq!(
        (policy.strategy(), policy.alpha, policy.random_fraction),
        (pb::Strategy::Proportional, Some(1.0), Some(0.25))
    );
    let fields = pb::BatchFields { ages: true, inclusion_probabilities: true, ..Default::default() };
    let other = client.mine(MineRequest::new("p", 8).fields(fields)).await.unwrap();
    assert_eq!((other.scores.len(), other.ages.len(), other.inclusion_probabilities.len()), (0, 8, 8));
    assert!(other.inclusion_probabilities.iter().all(|p| *p > 0.0 && *p <= 1.0));
    let normalized =
        client.mine(MineRequest::new("p", 8).normalization(pb::Normalization::Max)).await.unwrap();
    let largest = normalized.importance_weights.iter().copied().fold(0.0, f32::max);
    assert_eq!(largest, 1.0);
    let uncorrected = client.mine(MineRequest::new("p", 8).beta(0.0)).await.unwrap();
    assert_eq!(uncorrected.importance_weights, [1.0; 8]);
}

/// docs/methods.md 6.2: a pool in which one sample holds 99.99 % of the mass still mines 256 in bounded work.
#[tokio::test]
async fn one_dominant_sample_costs_no_more_than_a_few_proposals() {
    let server = TestServer::start().await;
    let client = server.client().await;
    client.create_pool("p", plain(1 << 16)).await.unwrap();
    let ids: Vec<u64> = (0..10_000).collect();
    let mut scores = vec![1.0f32; 10_000];
    scores[77] = 1e8;
    client.report("p", &ids, &scores).await.unwrap();
    for epsilon in [0.0, 0.25] {
        let before = figures(&client, "p").await.proposals;
        let batch = client.mine(MineRequest::new("p", 256).random_fraction(epsilon)).await.unwrap();
        let proposals = figures(&client, "p").await.proposals - before;
        assert_eq!(batch.len(), 256);
        assert!(integers(&batch.ids).contains(&77));
        assert!(proposals < 4 * 256, "{proposals} proposals");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_calls_and_answers_are_bounded() {
    let limits = Limits { max_waiting_mines: 1, max_message_bytes: 1 << 20, ..Limits::default() };
    let server = TestServer::start_with(Config { limits, ..Config::default() }).await;
    let client = server.client().await;
    let spec = pb::PoolSpec { max_payload_bytes: 4096, ..plain(1000) };
    client.create_pool("p", spec).await.unwrap();
    let waiting = client.clone();
    let first =
        tokio::spawn(
            async move { waiting.mine(MineRequest::new("p", 1).wait(1, Duration::from_secs(60))).await },
        );
    tokio::time::sleep(Duration::from_millis(100)).await;
    let second = client.mine(MineRequest::new("p", 1).wait(1, Duration::from_secs(60))).await.unwrap_err();
    assert_eq!(second.code(), Code::ResourceExhausted);
    assert!(second.retry_delay().is_some());
    for start in [0, 200] {
        let ids: Vec<u64> = (start..start + 200).collect();
        let batch = ScoreBatch::new("p", &ids, &[1.0; 200]).unwrap();
        client.report_batch(batch.payloads(vec![Bytes::from(vec![7; 4000]); 200])).await.unwrap();
    }
    first.await.unwrap().unwrap();
    let (code, reason, _) = told(client.mine(MineRequest::new("p", 400)).await);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "LIMIT_REACHED"));
    let fields = pb::BatchFields { scores: true, ..Default::default() };
    assert_eq!(client.mine(MineRequest::new("p", 400).fields(fields)).await.unwrap().len(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_and_mixture_hold_while_the_background_changes_under_the_draw() {
    let server = TestServer::start().await;
    let client = server.client().await;
    let rotation = pb::BackgroundRotation { after_reports: 8192, ..Default::default() };
    let spec = pb::PoolSpec {
        shards: 8,
        background: Some(pb::pool_spec::Background::BackgroundSize(4096)),
        background_rotation: Some(rotation),
        ..plain(1024)
    };
    client.create_pool("p", spec).await.unwrap();
    let reporter = client.clone();
    let reports = tokio::spawn(async move {
        // Report all 20,000 ids repeatedly, each time in another order.
        for batch in 0.. {
            let ids: Vec<u64> = (0..2048u64).map(|i| (batch * 2048 + i) * 7919 % 20_011 % 20_000).collect();
            let scores: Vec<f32> = ids.iter().map(|id| 1.0 + (id % 97) as f32).collect();
            reporter.report("p", &ids, &scores).await.unwrap();
        }
    });
    client.mine(MineRequest::new("p", 1).wait(1000, Duration::from_secs(20))).await.unwrap();
    let (mut random, mut of) = (0, 0);
    for draws in 1.. {
        let batch = client.mine(MineRequest::new("p", 64).random_fraction(0.5)).await.unwrap();
        assert_eq!(batch.importance_weights.len(), batch.len());
        for (w, source) in batch.importance_weights.iter().zip(&batch.sources) {
            assert!(w.is_finite() && *w > 0.0, "weight {w} of source {source:?}");
            random += usize::from(*source == pb::Source::Background);
        }
        of += batch.len();
        let stats = figures(&client, "p").await;
        if draws >= 1000 && stats.background_generations >= 50 {
            break;
        }
        assert!(
            draws < 20_000,
            "{} generations after {} rows",
            stats.background_generations,
            stats.reported_rows
        );
    }
    reports.abort();
    // With 64,000 draws or more 0.02 is ten standard errors, which leaves room for draws that run during a change of generation.
    let share = random as f64 / of as f64;
    assert!((share - 0.5).abs() < 0.02, "{share}");
}
