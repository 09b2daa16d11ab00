//! Traces and request ids of the real server, seen from a collector and from a client.
#![cfg(all(unix, feature = "server", feature = "cli"))]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

mod common;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use common::http;
use common::process::{PATIENCE, Server};
use hardneg::client::{BatchStreamOptions, Client, ClientOptions, Headers, Ids, MineRequest, ScoreBatch, pb};
use hardneg::proto::columns;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{Span, span::SpanKind},
};
use parking_lot::Mutex;
use tonic::{Request, Response, Status, metadata::MetadataMap};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const MINE: &str = "hardneg.v1.MiningService/MineBatch";
const REPORT: &str = "hardneg.v1.MiningService/ReportScores";
const STREAM: &str = "hardneg.v1.MiningService/StreamScores";

/// The spans that a collector received.
#[derive(Clone, Default)]
struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    resource: Arc<Mutex<HashMap<String, String>>>,
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for group in request.into_inner().resource_spans {
            let attributes = group.resource.unwrap_or_default().attributes;
            self.resource.lock().extend(attributes.into_iter().map(|attribute| {
                (attribute.key, format!("{:?}", attribute.value.and_then(|value| value.value).unwrap()))
            }));
            self.spans.lock().extend(group.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Received {
    /// Starts a collector on a free port, and returns its URL.
    async fn start() -> (Self, String) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Self::default();
        let service = TraceServiceServer::new(received.clone());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let serving = tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming);
        tokio::spawn(serving);
        (received, url)
    }

    /// Waits for a span of this name, and returns all spans.
    async fn until(&self, name: &str) -> Vec<Span> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let spans = self.spans.lock().clone();
            if spans.iter().any(|span| span.name == name) {
                return spans;
            }
            let names: Vec<_> = spans.iter().map(|span| &span.name).collect();
            assert!(Instant::now() < deadline, "no span {name} among {names:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Server {
    async fn client(&self) -> Client {
        let client = Client::connect(&self.address).await.unwrap();
        client.create_pool("faces", pb::PoolSpec::default()).await.unwrap();
        client
    }

    /// Waits for a log line that matches, and returns the first one.
    async fn logged(&self, fits: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.log.lock().iter().find(|line| fits(line)) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "not in the log: {:?}", self.log.lock());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sends SIGTERM, and returns the exit code and the time until the process ended.
    fn terminate(&mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        self.signal("-TERM");
        (self.exit_code(), started.elapsed())
    }
}

/// A request with this message and these headers.
fn with<M>(headers: &[(&'static str, &str)], message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

fn mining() -> pb::MineBatchRequest {
    pb::MineBatchRequest { pool: "pools/faces".to_owned(), batch_size: 2, ..Default::default() }
}

fn scores() -> pb::ScoreBatch {
    pb::ScoreBatch {
        pool: "pools/faces".to_owned(),
        worker_id: "rank-0".to_owned(),
        worker_epoch: rand::random::<u64>() | 1,
        sequence: 7,
        ids: Some(Ids::U64(vec![1, 2, 3]).into_column(pb::ColumnEncoding::LittleEndian)),
        scores: Some(columns::encode_floats(vec![0.1, 0.2, 0.3], pb::ColumnEncoding::LittleEndian)),
        ..Default::default()
    }
}

async fn mine(client: &Client, headers: &[(&'static str, &str)]) -> MetadataMap {
    client.mining_service().mine_batch(with(headers, mining())).await.unwrap().metadata().clone()
}

async fn report(client: &Client, headers: &[(&'static str, &str)]) {
    let request = pb::ReportScoresRequest { batch: Some(scores()) };
    client.mining_service().report_scores(with(headers, request)).await.unwrap();
}

/// The only span of this name.
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {spans:#?}");
    found[0]
}

/// An attribute as text.
fn attribute(span: &Span, key: &str) -> String {
    let value = span.attributes.iter().find(|attribute| attribute.key == key);
    match value.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key} is {other:?} in {span:#?}"),
    }
}

/// Asserts that each span is the parent of the next.
fn assert_nested(spans: &[Span], names: &[&str]) {
    for pair in names.windows(2) {
        let (parent, child) = (only(spans, pair[0]), only(spans, pair[1]));
        assert_eq!(child.parent_span_id, parent.span_id, "{} below {}", pair[1], pair[0]);
        assert_eq!(child.trace_id, parent.trace_id);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sampled_parent_gets_the_spans_of_its_request_whatever_ratio_and_log() {
    let (received, url) = Received::start().await;
    let server =
        Server::start(&["--otlp-endpoint", &url, "--otlp-sample-ratio", "0", "--log-filter", "info"]);
    let client = server.client().await;
    report(&client, &[("traceparent", &traceparent("00"))]).await;
    report(&client, &[]).await;
    let ids = [("traceparent", &*traceparent("01")), ("x-request-id", "step-17")];
    mine(&client, &ids).await;
    let spans = received.until(MINE).await;

    assert_nested(&spans, &[MINE, "mine", "draw"]);
    let request = only(&spans, MINE);
    assert_eq!((hex(&request.trace_id).as_str(), hex(&request.parent_span_id).as_str()), (TRACE, PARENT));
    assert_eq!(request.kind, SpanKind::Server as i32);
    for (key, value) in [
        ("rpc.system", "grpc"),
        ("rpc.service", "hardneg.v1.MiningService"),
        ("rpc.method", "MineBatch"),
        ("rpc.grpc.status_code", "0"),
        ("request_id", "step-17"),
    ] {
        assert_eq!(attribute(request, key), value);
    }
    let mine = only(&spans, "mine");
    let told = ["pool", "batch_size", "strategy"].map(|key| attribute(mine, key));
    assert_eq!(told, ["faces", "2", "Proportional"]);
    let draw = only(&spans, "draw");
    assert_eq!(attribute(draw, "rows"), "2");
    assert!(attribute(draw, "proposals").parse::<u64>().unwrap() >= 2);
    // With ratio 0 no span is sent for a request whose client decided against sampling, or did not decide.
    assert_eq!(spans.len(), 3, "{spans:#?}");

    let resource = received.resource.lock().clone();
    assert!(resource["service.name"].contains("hardneg"), "{resource:?}");
    assert!(resource["service.version"].contains(env!("CARGO_PKG_VERSION")), "{resource:?}");
    assert!(resource.contains_key("service.instance.id"), "{resource:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_parent_the_ratio_decides() {
    let (received, url) = Received::start().await;
    // The log filter does not affect the traces.
    let quiet = "error,hardneg::cli=info";
    let mut server =
        Server::start(&["--otlp-endpoint", &url, "--otlp-sample-ratio", "1", "--log-filter", quiet]);
    let client = server.client().await;
    report(&client, &[]).await;
    let failing = pb::MineBatchRequest { pool: "pools/none".to_owned(), ..mining() };
    client.mining_service().mine_batch(with(&[], failing)).await.unwrap_err();
    // The process sends its last spans before it ends.
    let (code, _) = server.terminate();
    assert_eq!(code, Some(0));
    let spans = received.spans.lock().clone();
    assert_nested(&spans, &[REPORT, "report", "apply"]);
    let request = only(&spans, REPORT);
    assert!(request.parent_span_id.is_empty() && request.trace_id.len() == 16);
    let report = only(&spans, "report");
    assert_eq!(["pool", "rows"].map(|key| attribute(report, key)), ["faces", "3"]);
    assert!(attribute(only(&spans, "apply"), "shards").parse::<u32>().unwrap() > 0);
    assert_eq!(attribute(only(&spans, MINE), "rpc.grpc.status_code"), "5");
    assert!(spans.iter().all(|span| !span.name.starts_with("grpc.")), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_batch_of_a_stream_has_a_span_below_the_streams() {
    let (received, url) = Received::start().await;
    let server = Server::start(&["--otlp-endpoint", &url, "--otlp-sample-ratio", "0"]);
    let client = server.client().await;

    let batches = tokio_stream::iter([pb::StreamScoresRequest { batch: Some(scores()) }]);
    let request = with(&[("traceparent", &traceparent("01"))], batches);
    let mut acks = client.mining_service().stream_scores(request).await.unwrap().into_inner();
    assert!(acks.message().await.unwrap().is_some() && acks.message().await.unwrap().is_none());
    let spans = received.until(STREAM).await;
    assert_nested(&spans, &[STREAM, "batch", "report", "apply"]);
    assert_eq!(hex(&only(&spans, STREAM).trace_id), TRACE);
    let told = ["worker_id", "sequence", "rows", "pool"].map(|key| attribute(only(&spans, "batch"), key));
    assert_eq!(told, ["rank-0", "7", "3", "pools/faces"]);
    received.spans.lock().clear();

    let start = pb::StreamBatchesStart { request: Some(mining()), max_outstanding: 1 };
    let start = pb::StreamBatchesRequest { message: Some(pb::stream_batches_request::Message::Start(start)) };
    let request = with(&[("traceparent", &traceparent("01"))], tokio_stream::iter([start]));
    let mut mined = client.mining_service().stream_batches(request).await.unwrap().into_inner();
    assert!(mined.message().await.unwrap().is_some() && mined.message().await.unwrap().is_none());
    let stream = "hardneg.v1.MiningService/StreamBatches";
    let spans = received.until(stream).await;
    assert_nested(&spans, &[stream, "batch", "mine", "draw"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_passes_its_callers_trace_on_in_calls_and_streams() {
    let (received, url) = Received::start().await;
    let server = Server::start(&["--otlp-endpoint", &url, "--otlp-sample-ratio", "0"]);
    let headers = Headers::new(|metadata| {
        metadata.insert("traceparent", traceparent("01").parse().unwrap());
    });
    let options = ClientOptions { headers: Some(headers), ..Default::default() };
    let client = Client::connect_with(&server.address, options).await.unwrap();
    client.create_pool("faces", pb::PoolSpec::default()).await.unwrap();
    let mut scores = client.score_stream(Default::default());
    scores.send(ScoreBatch::new("faces", &[1, 2], &[0.1, 0.2]).unwrap()).await.unwrap().await.unwrap();
    scores.finish().await.unwrap();
    client.mine(MineRequest::new("faces", 1)).await.unwrap();
    let options = BatchStreamOptions::default();
    let mut batches = client.batch_stream(MineRequest::new("faces", 1), options).await.unwrap();
    batches.next().await.unwrap();
    drop(batches);
    for name in [STREAM, MINE, "hardneg.v1.PoolService/CreatePool", "hardneg.v1.MiningService/StreamBatches"]
    {
        let spans = received.until(name).await;
        assert_eq!(hex(&only(&spans, name).parent_span_id), PARENT);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_the_pool_to_fill_is_seen() {
    let (received, url) = Received::start().await;
    let server = Server::start(&["--otlp-endpoint", &url, "--otlp-sample-ratio", "1"]);
    let client = server.client().await;
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 });
    let wait = Some(pb::Wait { min_size: 9, timeout });
    client.mining_service().mine_batch(with(&[], pb::MineBatchRequest { wait, ..mining() })).await.unwrap();
    let spans = received.until(MINE).await;
    assert_nested(&spans, &[MINE, "mine", "wait"]);
    let wait = only(&spans, "wait");
    assert!(wait.end_time_unix_nano - wait.start_time_unix_nano >= 40_000_000, "{wait:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_an_id_in_its_answer_and_in_the_log() {
    let server = Server::start(&["--log-filter", "hardneg=debug"]);
    let client = server.client().await;
    let answered =
        |metadata: &MetadataMap| metadata.get("x-request-id").unwrap().to_str().unwrap().to_owned();

    assert_eq!(answered(&mine(&client, &[("x-request-id", "rank-0:17")]).await), "rank-0:17");
    let line = server.logged(|line| line["span"]["request_id"] == "rank-0:17").await;
    assert_eq!((&line["message"], &line["level"]), (&"finished".into(), &"DEBUG".into()), "{line}");
    assert_eq!((&line["status"], &line["span"]["rpc.method"]), (&"Ok".into(), &"MineBatch".into()), "{line}");

    let long = "x".repeat(129);
    for bad in [None, Some("two words"), Some(long.as_str())] {
        let headers: Vec<_> = bad.map(|id| ("x-request-id", id)).into_iter().collect();
        let id = answered(&mine(&client, &headers).await);
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        server.logged(|line| line["span"]["request_id"] == id).await;
    }
    // A failed call has a request id too.
    let failing = with(&[("x-request-id", "lost")], pb::MineBatchRequest::default());
    let status = client.mining_service().mine_batch(failing).await.unwrap_err();
    assert_eq!(answered(status.metadata()), "lost");
    let line = server.logged(|line| line["span"]["request_id"] == "lost").await;
    assert_eq!(line["status"], "InvalidArgument", "{line}");

    // A call that its client cancels is logged with the status Cancelled.
    let wait = Some(pb::Wait { min_size: 9, timeout: None });
    let mut hasty = with(&[("x-request-id", "hasty")], pb::MineBatchRequest { wait, ..mining() });
    hasty.set_timeout(Duration::from_millis(50));
    client.mining_service().mine_batch(hasty).await.unwrap_err();
    let line = server.logged(|line| line["span"]["request_id"] == "hasty").await;
    assert_eq!(line["status"], "Cancelled", "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_filter_changes_while_the_server_runs() {
    let server = Server::start(&["--log-filter", "info"]);
    let at = server.http_address;
    let client = server.client().await;
    mine(&client, &[("x-request-id", "before")]).await;

    let answer = http::request(at, "PUT", "/log", "info,hardneg=debug").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "info,hardneg=debug\n"));
    mine(&client, &[("x-request-id", "after")]).await;
    server.logged(|line| line["span"]["request_id"] == "after").await;
    assert!(!server.log.lock().iter().any(|line| line["span"]["request_id"] == "before"));

    let answer = http::request(at, "PUT", "/log", "hardneg=loud").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("hardneg=loud"), "{}", answer.body);
    assert_eq!(http::get(at, "/log").await.body, "info,hardneg=debug\n");

    assert_eq!(http::request(at, "PUT", "/log", "info").await.status, 200);
    mine(&client, &[("x-request-id", "quiet again")]).await;
    server.logged(|line| line["message"] == "the log filter changes" && line["new"] == "info").await;
    assert!(!server.log.lock().iter().any(|line| line["span"]["request_id"] == "quiet again"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_the_log_has_no_line_for_a_call() {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    report(&client, &[]).await;
    mine(&client, &[]).await;
    client.mining_service().mine_batch(with(&[], pb::MineBatchRequest::default())).await.unwrap_err();
    drop(client);
    assert_eq!(server.terminate().0, Some(0));
    server.logged(|line| line["message"] == "drained").await;
    let log = server.log.lock().clone();
    let messages: Vec<_> = log.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["pool created", "SIGTERM", "draining", "drained"]);
    assert!(log[0]["span"]["request_id"].is_string(), "{}", log[0]);
}

/// An unreachable collector (a closed port, or one that never answers) does not affect callers, and the log has one warning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_harms_nobody() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [silent.local_addr().unwrap(), closed.local_addr().unwrap()];
    drop(closed);
    for (address, refused) in addresses.into_iter().zip([false, true]) {
        let mut server =
            Server::start(&["--otlp-endpoint", &format!("http://{address}"), "--otlp-sample-ratio", "1"]);
        let client = server.client().await;
        let started = Instant::now();
        for _ in 0..50 {
            report(&client, &[]).await;
            mine(&client, &[]).await;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let unsent = |line: &serde_json::Value| {
            line["message"].as_str().unwrap_or_default().starts_with("traces cannot be sent")
        };
        if refused {
            let line = server.logged(unsent).await;
            assert_eq!(line["level"], "WARN", "{line}");
            mine(&client, &[]).await;
        }
        drop(client);
        let (code, took) = server.terminate();
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(10), "{took:?}");
        let said = server.log.lock().iter().filter(|line| unsent(line)).count();
        assert!(said <= 1, "{:?}", server.log.lock());
    }
}
