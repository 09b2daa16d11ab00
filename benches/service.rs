//! The service end to end, as `make bench` prints it: the server's CPU time per reported score over gRPC, compared with a server that
//! only sums the columns and with the bare store; and the time of mining while scores are reported.
//!
//! Server and load are separate processes; the server's CPU time comes from the kernel (Linux). Both run on one machine. With two cores
//! they share them, so CPU time per score is more reliable than scores per second.
//!
//! `--guard` prints a few figures of hardneg alone for benches/guard.py, one line `name value unit` per figure.

#[path = "common/subject.rs"]
#[expect(dead_code, reason = "the other benches use the rest of it")]
mod subject;

use bytes::Bytes;
use hardneg::client::{Client, ClientOptions, MineRequest};
use hardneg::proto::v1 as pb;
use hardneg::proto::v1::mining_service_server::{MiningService, MiningServiceServer};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use subject::{DECAY_UNITS, Memory, Weight};
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

const ROWS: usize = 4096;
const STREAMS: usize = 2;
/// Number of different batches that a stream sends repeatedly.
const BATCHES: usize = 512;
const GUARD_DRAWS: u64 = 5_000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--sink") {
        return sink(args[at + 1].parse().expect("an address"));
    }
    if args.iter().any(|a| a == "--list" || a == "--test") {
        return; // cargo test --benches: nothing to check here.
    }
    let value = |name: &str, default: u64| {
        let at = args.iter().position(|a| a == name);
        at.and_then(|i| args.get(i + 1)?.parse().ok()).unwrap_or(default)
    };
    let entries = value("--entries", 10_000_000);
    let seconds = value("--seconds", 6);
    let pairs = value("--pairs", 7);
    let draws = value("--draws", 20_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    if args.iter().any(|a| a == "--guard") {
        return runtime.block_on(guard(entries, seconds));
    }
    runtime.block_on(run(entries, seconds, pairs as usize, draws));
}

async fn run(entries: u64, seconds: u64, pairs: usize, draws: u64) {
    println!("{entries} entries, batches of {ROWS}, {STREAMS} streams, {seconds} s each; medians of 1 s");
    let bare_random = bare_store(entries, false);
    let bare_sequential = bare_store(entries, true);
    println!("bare store, one thread: {bare_random:.1} ns/score random ids, {bare_sequential:.1} sequential");

    let server = Server::start_sink();
    let client = server.client().await;
    let sink = ingest(&server, &client, entries, false, Duration::from_secs(seconds), None).await;
    println!("sink over gRPC: {sink}");
    drop(server);

    let (server, client) = filled(entries).await;
    let sizes = client.pool_stats("bench").await.expect("stats");
    let hard = sizes.sizes.as_ref().map_or(0, |s| s.hard);
    println!("filled: {hard} entries, {:.1} bytes each", sizes.memory_bytes as f64 / hard as f64);
    let random = ingest(&server, &client, entries, false, Duration::from_secs(seconds), None).await;
    println!("hardneg, random ids: {random}");
    let sequential = ingest(&server, &client, entries, true, Duration::from_secs(seconds), None).await;
    println!("hardneg, sequential ids: {sequential}");
    let allowed = bare_random + sink.cpu_ns;
    println!(
        "server CPU a score: {:.2} x (bare store + sink) [{:.1} / ({bare_random:.1} + {:.1})]; sequential {:.2} x random",
        random.cpu_ns / allowed,
        random.cpu_ns,
        sink.cpu_ns,
        sequential.cpu_ns / random.cpu_ns
    );
    mining(&server, &client, entries, random.per_second / 2.0, pairs, draws).await;
}

/// Prints the server's CPU time per score: all of its CPU time divided by the number of acknowledged scores.
async fn guard(entries: u64, seconds: u64) {
    let (server, client) = filled(entries).await;
    let before = server.cpu_seconds();
    let load = ingest(&server, &client, entries, false, Duration::from_secs(seconds), None).await;
    let cpu_ns = (server.cpu_seconds() - before) * 1e9 / load.rows as f64;
    let (p50, p99) = mine_latencies(&client, GUARD_DRAWS).await;
    println!("service/cpu {cpu_ns:.2} ns/score");
    println!("service/throughput {:.0} scores/s", load.per_second);
    println!("service/idle/p50 {p50:.2} us");
    println!("service/idle/p99 {p99:.2} us");
}

/// Starts a server and fills its pool.
async fn filled(entries: u64) -> (Server, Client) {
    let server = Server::start_hardneg();
    let client = server.client().await;
    let spec = pb::PoolSpec { capacity: entries, shards: 8, ..Default::default() };
    client.create_pool("bench", spec).await.expect("created");
    fill(&client, entries).await;
    (server, client)
}

/// Measures mining 256 samples, alternately idle and with reports at half of the peak rate, so that both are measured under the same conditions.
async fn mining(server: &Server, client: &Client, entries: u64, rate: f64, pairs: usize, draws: u64) {
    println!("mining 256, {pairs} pairs of {draws} draws, idle and at {:.1} M scores/s:", rate / 1e6);
    let mut ratios = Vec::new();
    for pair in 0..pairs {
        let idle = mine_latencies(client, draws).await;
        let stop = Arc::new(AtomicBool::new(false));
        let loaded = {
            let load =
                ingest(server, client, entries, false, Duration::from_secs(600), Some((rate, stop.clone())));
            let mines = async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let latencies = mine_latencies(client, draws).await;
                stop.store(true, Ordering::Relaxed);
                latencies
            };
            let (load, latencies) = tokio::join!(load, mines);
            println!(
                "  pair {}: idle p50 {:.0} p99 {:.0} us, loaded p50 {:.0} p99 {:.0} us at {:.1} M scores/s",
                pair + 1,
                idle.0,
                idle.1,
                latencies.0,
                latencies.1,
                load.per_second / 1e6
            );
            latencies
        };
        ratios.push(loaded.1 / idle.1);
    }
    let (low, high) = (min(&ratios), ratios.iter().copied().fold(0.0, f64::max));
    println!("p99 loaded / idle: median {:.2} ({low:.2} to {high:.2})", median(ratios));
}

/// p50 and p99 in microseconds.
async fn mine_latencies(client: &Client, draws: u64) -> (f64, f64) {
    let mut micros = Vec::with_capacity(draws as usize);
    for _ in 0..draws {
        let start = Instant::now();
        let batch = client.mine(MineRequest::new("bench", 256)).await.expect("mined");
        assert_eq!(batch.len(), 256);
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    (micros[micros.len() / 2], micros[micros.len() * 99 / 100])
}

struct Ingest {
    rows: u64,
    per_second: f64,
    cpu_ns: f64,
}

impl std::fmt::Display for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} M scores/s, {:.1} ns server CPU a score", self.per_second / 1e6, self.cpu_ns)
    }
}

/// Streams batches for `time`, or at a rate until `stop` is set.
async fn ingest(
    server: &Server,
    client: &Client,
    entries: u64,
    sequential: bool,
    time: Duration,
    paced: Option<(f64, Arc<AtomicBool>)>,
) -> Ingest {
    let acked = Arc::new(AtomicU64::new(0));
    let stop = paced.as_ref().map_or_else(Arc::default, |(_, stop)| stop.clone());
    let pause = paced.map(|(rate, _)| Duration::from_secs_f64((ROWS * STREAMS) as f64 / rate));
    let mut streams = Vec::new();
    for stream in 0..STREAMS {
        let batches = batches(stream as u64, entries, sequential);
        let (mut service, acked, stop) = (client.mining_service(), acked.clone(), stop.clone());
        streams.push(tokio::spawn(async move {
            let (send, receive) = tokio::sync::mpsc::channel(4);
            let sender = tokio::spawn(async move {
                let mut due = tokio::time::Instant::now();
                for i in 0.. {
                    if let Some(pause) = pause {
                        due += pause;
                        tokio::time::sleep_until(due).await;
                    }
                    let message = batches[i % batches.len()].clone();
                    if stop.load(Ordering::Relaxed) || send.send(message).await.is_err() {
                        break;
                    }
                }
            });
            let messages = tokio_stream::wrappers::ReceiverStream::new(receive);
            let mut acks = service.stream_scores(messages).await.expect("a stream").into_inner();
            while let Some(ack) = acks.next().await {
                let ack = ack.expect("an ack").ack.expect("an ack");
                assert_eq!(ack.status(), pb::AckStatus::Applied);
                acked.fetch_add(ROWS as u64, Ordering::Relaxed);
            }
            sender.await.expect("no panic");
        }));
    }
    let start = Instant::now();
    // Let the streams start before the measurement begins.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    while start.elapsed() < time && !stop.load(Ordering::Relaxed) {
        let (at, rows, cpu) = (Instant::now(), acked.load(Ordering::Relaxed), server.cpu_seconds());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let rows = (acked.load(Ordering::Relaxed) - rows) as f64;
        rates.push(rows / at.elapsed().as_secs_f64());
        costs.push((server.cpu_seconds() - cpu) * 1e9 / rows);
    }
    stop.store(true, Ordering::Relaxed);
    for stream in streams {
        stream.await.expect("no panic");
    }
    let rows = acked.load(Ordering::Relaxed);
    Ingest { rows, per_second: median(rates), cpu_ns: median(costs) }
}

fn batches(seed: u64, entries: u64, sequential: bool) -> Vec<pb::StreamScoresRequest> {
    let mut rng = SmallRng::seed_from_u64(seed);
    (0..BATCHES as u64)
        .map(|i| {
            let start = (seed * BATCHES as u64 + i) * ROWS as u64;
            let id = |rng: &mut SmallRng, j: u64| {
                if sequential { (start + j) % entries } else { rng.random_range(0..entries) }
            };
            let ids: Vec<u64> = (0..ROWS as u64).map(|j| id(&mut rng, j)).collect();
            let scores: Vec<f32> = (0..ROWS).map(|_| score(&mut rng)).collect();
            message(&ids, &scores)
        })
        .collect()
}

/// A log-normal score, like a loss: its log2 has a standard deviation of two.
fn score(rng: &mut SmallRng) -> f32 {
    let normal: f32 = (0..4).map(|_| rng.random::<f32>()).sum::<f32>() - 2.0;
    (normal * 3.46).exp2()
}

fn message(ids: &[u64], scores: &[f32]) -> pb::StreamScoresRequest {
    let ids: Bytes = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    let scores: Bytes = scores.iter().flat_map(|s| s.to_le_bytes()).collect();
    pb::StreamScoresRequest {
        batch: Some(pb::ScoreBatch {
            pool: "pools/bench".into(),
            ids: Some(pb::IdColumn { encoding: Some(pb::id_column::Encoding::U64Le(ids)) }),
            scores: Some(pb::FloatColumn {
                encoding: Some(pb::float_column::Encoding::F32Le(scores)),
                present: Bytes::new(),
            }),
            ..Default::default()
        }),
    }
}

async fn fill(client: &Client, entries: u64) {
    let mut rng = SmallRng::seed_from_u64(99);
    let mut start = 0;
    while start < entries {
        let end = (start + 65_536).min(entries);
        let ids: Vec<u64> = (start..end).collect();
        let scores: Vec<f32> = ids.iter().map(|_| score(&mut rng)).collect();
        client.report("bench", &ids, &scores).await.expect("reported");
        start = end;
    }
}

/// Nanoseconds per score of the store alone, in batches, on this thread.
fn bare_store(entries: u64, sequential: bool) -> f64 {
    let store = Memory::open(entries as usize, 8, Weight::Default);
    let mut rng = SmallRng::seed_from_u64(5);
    let mut next = 0;
    while next < entries {
        let end = (next + ROWS as u64).min(entries);
        apply(&store, (next..end).collect(), &mut rng);
        next = end;
    }
    let mut costs = Vec::new();
    for _ in 0..5 {
        let mut spent = Duration::ZERO;
        let rounds = 200;
        for _ in 0..rounds {
            let ids = (0..ROWS as u64)
                .map(|_| {
                    next += 1;
                    if sequential { next % entries } else { rng.random_range(0..entries) }
                })
                .collect();
            spent += apply(&store, ids, &mut rng);
        }
        costs.push(spent.as_secs_f64() * 1e9 / (rounds * ROWS) as f64);
    }
    median(costs)
}

fn apply(store: &Memory, ids: Vec<u64>, rng: &mut SmallRng) -> Duration {
    let scores = ids.iter().map(|_| score(rng)).collect();
    let start = Instant::now();
    store.apply(ids, scores, DECAY_UNITS);
    start.elapsed()
}

/// A server in its own process, which is stopped on drop.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start_hardneg() -> Self {
        let address = free_address();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hardneg"));
        command.args(["serve", "--http-listen", "off", "--listen"]).arg(address.to_string());
        Self::start(command, address)
    }

    fn start_sink() -> Self {
        let address = free_address();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("--sink").arg(address.to_string());
        Self::start(command, address)
    }

    fn start(mut command: Command, address: SocketAddr) -> Self {
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a server");
        Self { process, address }
    }

    async fn client(&self) -> Client {
        let url = format!("http://{}", self.address);
        let options = ClientOptions { channels: STREAMS + 1, ..Default::default() };
        for _ in 0..100 {
            if let Ok(client) = Client::connect_with(&url, options.clone()).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no server at {url}");
    }

    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
        ticks.sum::<f64>() / 100.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// A server of StreamScores that only sums the columns.
struct Sink;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl MiningService for Sink {
    type StreamScoresStream = Answers<pb::StreamScoresResponse>;
    type StreamBatchesStream = Answers<pb::StreamBatchesResponse>;

    async fn stream_scores(
        &self,
        request: Request<Streaming<pb::StreamScoresRequest>>,
    ) -> Result<Response<Self::StreamScoresStream>, Status> {
        let answers = request.into_inner().map(|message| {
            let batch = message?.batch.unwrap_or_default();
            let sum =
                |bytes: &Bytes| bytes.chunks_exact(4).fold(0u32, |a, c| a.wrapping_add(u32::from(c[0])));
            let mut total = 0;
            if let Some(pb::id_column::Encoding::U64Le(ids)) = batch.ids.and_then(|c| c.encoding) {
                total += sum(&ids);
            }
            if let Some(pb::float_column::Encoding::F32Le(scores)) = batch.scores.and_then(|c| c.encoding) {
                total += sum(&scores);
            }
            let ack = pb::ScoreAck {
                status: pb::AckStatus::Applied.into(),
                sequence: u64::from(total),
                ..Default::default()
            };
            Ok(pb::StreamScoresResponse { ack: Some(ack) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn report_scores(
        &self,
        _: Request<pb::ReportScoresRequest>,
    ) -> Result<Response<pb::ReportScoresResponse>, Status> {
        Err(Status::unimplemented("a sink"))
    }

    async fn mine_batch(
        &self,
        _: Request<pb::MineBatchRequest>,
    ) -> Result<Response<pb::MineBatchResponse>, Status> {
        Err(Status::unimplemented("a sink"))
    }

    async fn stream_batches(
        &self,
        _: Request<Streaming<pb::StreamBatchesRequest>>,
    ) -> Result<Response<Self::StreamBatchesStream>, Status> {
        Err(Status::unimplemented("a sink"))
    }

    async fn remove_samples(
        &self,
        _: Request<pb::RemoveSamplesRequest>,
    ) -> Result<Response<pb::RemoveSamplesResponse>, Status> {
        Err(Status::unimplemented("a sink"))
    }

    async fn release_lease(
        &self,
        _: Request<pb::ReleaseLeaseRequest>,
    ) -> Result<Response<pb::ReleaseLeaseResponse>, Status> {
        Err(Status::unimplemented("ReleaseLease"))
    }

    async fn get_samples(
        &self,
        _: Request<pb::GetSamplesRequest>,
    ) -> Result<Response<pb::GetSamplesResponse>, Status> {
        Err(Status::unimplemented("GetSamples"))
    }

    async fn select_from(
        &self,
        _: Request<pb::SelectFromRequest>,
    ) -> Result<Response<pb::SelectFromResponse>, Status> {
        Err(Status::unimplemented("SelectFrom"))
    }

    async fn mine_negatives(
        &self,
        _: Request<pb::MineNegativesRequest>,
    ) -> Result<Response<pb::MineNegativesResponse>, Status> {
        Err(Status::unimplemented("MineNegatives"))
    }

    async fn add_positives(
        &self,
        _: Request<pb::AddPositivesRequest>,
    ) -> Result<Response<pb::AddPositivesResponse>, Status> {
        Err(Status::unimplemented("AddPositives"))
    }

    async fn reject_negatives(
        &self,
        _: Request<pb::RejectNegativesRequest>,
    ) -> Result<Response<pb::RejectNegativesResponse>, Status> {
        Err(Status::unimplemented("RejectNegatives"))
    }
}

fn sink(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let service = MiningServiceServer::new(Sink).max_decoding_message_size(64 << 20);
    let serve = tonic::transport::Server::builder()
        .max_frame_size(Some(128 << 10))
        .add_service(service)
        .serve(address);
    runtime.expect("a runtime").block_on(serve).expect("served");
}
