//! The HTTP endpoints, and the responses of WatchPoolStats.

use std::collections::HashSet;
use std::time::Duration;

use hardneg::admin::metrics::names::{METRICS, Metric};
use hardneg::client::MineRequest;
use hardneg::config::{Config, HttpConfig, Limits};
use tokio_stream::StreamExt as _;

use super::common::TestServer;
use super::common::http::{self, Events};
use super::*;

/// A pool for which every kind of figure has values.
async fn used(server: &TestServer) -> Client {
    let client = server.client().await;
    let spec = pb::PoolSpec { capacity: 1_000, shards: 1, ..Default::default() };
    client.create_pool("faces", spec).await.unwrap();
    let ids: Vec<u64> = (0..3_000).collect();
    let mut scores: Vec<f32> = (0..3_000).map(|i| i as f32).collect();
    scores[0] = f32::NAN;
    // Keys tell near scores not apart.
    scores[2_999] = 1e5;
    client.report("faces", &ids, &scores).await.unwrap();
    client.mine(MineRequest::new("faces", 100)).await.unwrap();
    let uneven = pb::ScoreBatch {
        pool: "pools/faces".into(),
        ids: Some(pb::IdColumn {
            encoding: Some(pb::id_column::Encoding::U64s(pb::U64s { values: vec![1, 2] })),
        }),
        scores: Some(pb::FloatColumn {
            encoding: Some(pb::float_column::Encoding::Floats(pb::Floats { values: vec![1.0] })),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = pb::ReportScoresRequest { batch: Some(uneven) };
    let _ = client.mining_service().report_scores(request).await.unwrap_err();
    let _ = client.get_pool("absent").await.unwrap_err();
    client
}

/// The name, labels and value of each line that is not a comment.
fn samples(text: &str) -> Vec<(&str, &str, f64)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            (name, labels.strip_suffix('}').unwrap(), value.parse().unwrap())
        })
        .collect()
}

fn value(text: &str, name: &str, labels: &str) -> f64 {
    let found = samples(text).into_iter().find(|sample| sample.0 == name && sample.1 == labels);
    found.unwrap_or_else(|| panic!("no {name}{{{labels}}} in\n{text}")).2
}

fn metric_of(name: &str) -> Option<&'static &'static Metric> {
    let bare = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending));
    METRICS.iter().find(|metric| metric.name == name || Some(metric.name) == bare)
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_metric_is_told() {
    let server = TestServer::start().await;
    let client = used(&server).await;
    // A flow, so that its balance is there.
    let flow = pb::Flow { mined_per_reported: 1.0, error_buffer: 10.0, ..Default::default() };
    client.create_pool("flow", pb::PoolSpec { flow: Some(flow), ..plain(10) }).await.unwrap();
    // Steps, so that hardneg_pool_step is there.
    let decay = pb::Decay { half_life: Some(pb::decay::HalfLife::HalfLifeSteps(10.0)), max_step_jump: 0 };
    client.create_pool("steps", pb::PoolSpec { decay: Some(decay), ..plain(10) }).await.unwrap();
    let batch = hardneg::client::ScoreBatch::new("steps", &[1], &[1.0]).unwrap().step(7);
    client.report_batch(batch).await.unwrap();
    // And one with a quarantine whose quantile is known.
    let quarantine = Some(pb::Quarantine::default());
    client.create_pool("noisy", pb::PoolSpec { quarantine, ..plain(10) }).await.unwrap();
    client.report("noisy", &(0..1_000).collect::<Vec<_>>(), &[1.0; 1_000]).await.unwrap();

    let answer = http::get(server.http_address, "/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = answer.body;
    assert!(text.ends_with("# EOF\n"));
    let mut told = HashSet::new();
    for (name, labels, _) in samples(&text) {
        let metric = metric_of(name).unwrap_or_else(|| panic!("{name} is not in the table"));
        told.insert(metric.name);
        let names: Vec<&str> = labels
            .split(',')
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|l| *l != "le")
            .collect();
        assert_eq!(names, metric.labels, "{name}");
    }
    for metric in METRICS {
        assert!(told.contains(metric.name), "{} is not told", metric.name);
    }
    assert_eq!(value(&text, "hardneg_pool_step", "pool=\"steps\""), 7.0);
}

#[tokio::test]
async fn metrics_of_a_pool_count_what_was_done_and_end_with_it() {
    let server = TestServer::start().await;
    let client = used(&server).await;
    let text = http::get(server.http_address, "/metrics").await.body;
    let faces = "pool=\"faces\"";
    for (name, expected) in [
        ("hardneg_pool_hard_samples", 1_000.0),
        ("hardneg_pool_capacity_samples", 1_000.0),
        ("hardneg_pool_reported_rows_total", 3_000.0),
        ("hardneg_pool_reported_batches_total", 1.0),
        ("hardneg_pool_rejected_batches_total", 1.0),
        ("hardneg_pool_mined_batches_total", 1.0),
        ("hardneg_pool_workers", 1.0),
        ("hardneg_pool_mine_duration_seconds_count", 1.0),
    ] {
        assert_eq!(value(&text, name, faces), expected, "{name}");
    }
    assert_eq!(value(&text, "hardneg_pool_rows_total", "pool=\"faces\",outcome=\"non_finite\""), 1.0);
    let served =
        |source| value(&text, "hardneg_pool_served_samples_total", &format!("{faces},source=\"{source}\""));
    assert_eq!(served("hard") + served("background"), 100.0);
    let calls = |method: &str, code: &str| {
        value(
            &text,
            "hardneg_grpc_requests_total",
            &format!("method=\"hardneg.v1.{method}\",code=\"{code}\""),
        )
    };
    assert_eq!(calls("PoolService/GetPool", "NOT_FOUND"), 1.0);
    assert_eq!(calls("MiningService/ReportScores", "INVALID_ARGUMENT"), 1.0);
    assert_eq!(calls("MiningService/MineBatch", "OK"), 1.0);
    let buckets: Vec<f64> = samples(&text)
        .into_iter()
        .filter(|s| s.0 == "hardneg_pool_mine_duration_seconds_bucket" && s.1.contains(faces))
        .map(|s| s.2)
        .collect();
    assert!(buckets.is_sorted() && buckets.last() == Some(&1.0), "cumulative, the last has all: {buckets:?}");

    client.delete_pool("faces", false).await.unwrap();
    assert!(
        !http::get(server.http_address, "/metrics").await.body.contains(faces),
        "a deleted pool's series end"
    );
}

#[tokio::test]
async fn clients_make_no_series_and_streams_are_counted_when_they_end() {
    let server = TestServer::start().await;
    let client = used(&server).await;
    let before = samples(&http::get(server.http_address, "/metrics").await.body).len();
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let channel = channel.connect().await.unwrap();
    for i in 0..5 {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let path = format!("/made.up.Service/Method{i}").parse().unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let status = grpc.unary(tonic::Request::new(()), path, codec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
    }
    let watch = client.watch_pool_stats("faces", Duration::from_secs(1)).await.unwrap();
    let method = "method=\"hardneg.v1.PoolService/WatchPoolStats\"";
    let text = http::get(server.http_address, "/metrics").await.body;
    assert_eq!(value(&text, "hardneg_grpc_inflight_requests", method), 1.0);
    drop(watch);
    let cancelled = format!("{method},code=\"CANCELLED\"");
    let text = loop {
        let text = http::get(server.http_address, "/metrics").await.body;
        if value(&text, "hardneg_grpc_inflight_requests", method) == 0.0 {
            break text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(value(&text, "hardneg_grpc_requests_total", &cancelled), 1.0);
    assert_eq!(value(&text, "hardneg_grpc_requests_total", "method=\"other\",code=\"UNIMPLEMENTED\""), 5.0);
    assert_eq!(samples(&text).len(), before + 2, "two new pairs of method and code, and no more");
}

#[tokio::test]
async fn probes_tell_why_a_server_is_not_ready() {
    let server = TestServer::start().await;
    let client = used(&server).await;
    let at = server.http_address;
    for path in ["/livez", "/readyz"] {
        assert_eq!(http::get(at, path).await.status, 200, "{path}");
    }
    // This call delays the end of the drain.
    let mine = MineRequest::new("faces", 1).wait(1_000, Duration::from_secs(3));
    client.remove("faces", &(2_000..3_000).collect::<Vec<u64>>()).await.unwrap();
    let held = tokio::spawn(async move { client.mine(mine).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopping = tokio::spawn(server.stop());
    let answer = loop {
        let answer = http::get(at, "/readyz").await;
        if answer.status != 200 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(
        (answer.status, &*answer.body),
        (503, "not ready: the server is stopping: running calls end, new ones are refused\n")
    );
    assert_eq!(http::get(at, "/livez").await.status, 200, "alive to the end");
    assert!(held.await.unwrap().is_ok());
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_page_is_whole_without_scripts_and_says_what_is_missing() {
    let server = TestServer::start().await;
    let at = server.http_address;
    let empty = http::get(at, "/").await;
    assert_eq!(empty.status, 200);
    assert!(empty.body.contains("No pool yet") && empty.body.contains("hardneg pool create"));
    let client = used(&server).await;
    let page = http::get(at, "/").await;
    for text in ["Scores reported per second", "Noise suspects", "Healthy:", "2999", "<svg aria-hidden"] {
        assert!(page.body.contains(text), "no {text}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    for outside in ["src=\"http", "href=\"http", "url(", "<script>", "style=\""] {
        assert!(!page.body.contains(outside), "{outside}");
    }
    let missing = http::get(at, "/?pool=absent").await;
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("There is no pool absent"));
    let odd = http::get(at, "/?pool=%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert_eq!(odd.status, 404);
    assert!(!odd.body.contains("<script>alert"), "escaped");

    // Names that clients choose are escaped: they are text, not markup.
    let spec = pb::PoolSpec { id_kind: pb::IdKind::String.into(), ..plain(10) };
    client.create_pool("named", spec).await.unwrap();
    let hostile = pb::Strings { values: vec!["<img src=x onerror=alert(1)>".to_owned()] };
    let batch = pb::ScoreBatch {
        pool: "pools/named".into(),
        worker_id: "<b>w</b>".into(),
        ids: Some(pb::IdColumn { encoding: Some(pb::id_column::Encoding::Strings(hostile)) }),
        scores: Some(pb::FloatColumn {
            encoding: Some(pb::float_column::Encoding::Floats(pb::Floats { values: vec![1.0] })),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = pb::ReportScoresRequest { batch: Some(batch) };
    client.mining_service().report_scores(request).await.unwrap();
    let page = http::get(at, "/?pool=named").await.body;
    assert!(page.contains("&lt;img src=x") && page.contains("&lt;b&gt;w&lt;/b&gt;"), "{page}");
    assert!(!page.contains("<img") && !page.contains("<b>w"));
    for path in ["/page.css", "/page.js"] {
        assert_eq!(http::get(at, path).await.status, 200);
    }
    assert_eq!(http::get(at, "/absent").await.status, 404);
    // A process with its own log, like this test, has no filter to change.
    assert_eq!(http::request(at, "PUT", "/log", "info").await.status, 404);
}

#[tokio::test]
async fn a_page_is_moved_by_events_and_told_when_its_pool_goes() {
    let config =
        Config { http: HttpConfig { max_live_pages: 2, ..HttpConfig::default() }, ..Config::default() };
    let server = TestServer::start_with(config).await;
    let at = server.http_address;
    let mut waiting = Events::open(at, "/events").await.unwrap();
    let (name, first) = waiting.next().await.unwrap();
    assert_eq!(
        (&*name, &first["figures"], &first["first_pool"]),
        ("update", &false.into(), &serde_json::Value::Null)
    );
    let client = used(&server).await;
    while waiting.next().await.unwrap().1["first_pool"] != "faces" {}

    let mut events = Events::open(at, "/events?pool=faces").await.unwrap();
    let (_, first) = events.next().await.unwrap();
    assert_eq!(first["figures"], true);
    for id in ["kpis", "reports", "scores", "workers", "hardest", "suspects", "pools", "server"] {
        assert!(first["html"][id].is_string(), "{id}");
    }
    assert!(first["html"]["hardest"].as_str().unwrap().contains("2999"));
    client.report("faces", &[4_000], &[1e6]).await.unwrap();
    let changed = loop {
        let (_, update) = events.next().await.unwrap();
        if let Some(html) = update["html"]["hardest"].as_str()
            && html.contains("4000")
        {
            break update;
        }
    };
    assert!(changed["html"]["suspects"].is_null(), "only what changed is sent");

    let full = Events::open(at, "/events?pool=faces").await.err().unwrap();
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
    assert!(full.body.contains("max_live_pages"), "{}", full.body);

    client.delete_pool("faces", false).await.unwrap();
    while events.next().await.unwrap().1["figures"] != false {}
    drop(client);
    server.stop().await.unwrap();
    assert!(events.next().await.is_none(), "a stopping server ends its pages");
}

#[tokio::test]
async fn a_watch_tells_the_past_once_and_then_what_is_new() {
    let server = TestServer::start().await;
    let client = used(&server).await;
    let mut watch = client.watch_pool_stats("faces", Duration::from_millis(500)).await.unwrap();
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..5 {
        let answer = watch.next().await.unwrap().unwrap();
        assert_eq!(answer.stats.as_ref().unwrap().reported_rows, 3_000);
        let activity = answer.activity.unwrap();
        times.extend(activity.ticks.iter().map(|t| (t.time.unwrap().seconds, t.time.unwrap().nanos)));
        last = Some(activity);
    }
    assert!(!times.is_empty() && times.is_sorted_by(|a, b| a < b), "no tick twice: {times:?}");
    let activity = last.unwrap();
    assert_eq!((activity.stored_samples, activity.served_samples), (1_000, 100));
    let scores = activity.scores.unwrap();
    assert_eq!(scores.stored.iter().sum::<u64>(), 1_000);
    assert_eq!(scores.bounds.len(), scores.stored.len() + 1);
    assert_eq!((activity.hardest.len(), activity.hardest[0].id), (32, 2_999));
    assert_eq!((activity.worker_count, activity.workers.len()), (1, 1));

    client.delete_pool("faces", false).await.unwrap();
    let end = loop {
        match watch.next().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(told::<()>(Err(end)).0, Code::NotFound);
}

#[tokio::test]
async fn a_watch_that_cannot_be_is_refused() {
    let limits = Limits { max_watches: 1, ..Limits::default() };
    let server = TestServer::start_with(Config { limits, ..Config::default() }).await;
    let client = used(&server).await;
    for interval in [Duration::from_millis(499), Duration::from_secs(61)] {
        let refused = client.watch_pool_stats("faces", interval).await.map(drop);
        assert_invalid(refused, "interval");
    }
    let second = Duration::from_secs(1);
    assert_eq!(told(client.watch_pool_stats("absent", second).await.map(drop)).0, Code::NotFound);
    let mut first = client.watch_pool_stats("faces", second).await.unwrap();
    let (code, reason, _) = told(client.watch_pool_stats("faces", second).await.map(drop));
    assert_eq!((code, &*reason), (Code::ResourceExhausted, "LIMIT_REACHED"));
    first.next().await.unwrap().unwrap();
    let stopping = tokio::spawn(server.stop());
    let end = loop {
        match first.next().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(told::<()>(Err(end)), (Code::Unavailable, "SERVER_STOPPING".into(), String::new()));
    stopping.await.unwrap().unwrap();
}
