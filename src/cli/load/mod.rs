//! `hardneg load`: loads a server and measures it.
//!
//! Batches are made before the measurement and sent repeatedly, and they share raw columns, so that the client needs little CPU compared
//! with the server. With a target rate, latency is measured from the time at which a batch was due, not from when it was sent. Otherwise
//! a slow server would delay the client, and its latency would look better than it is (coordinated omission).

mod batches;
mod bodies;
mod cpu;
mod measurements;
mod workers;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::time::Instant;

use super::{
    exit::Usage,
    flags::{
        connection::Connection,
        policy::PolicyArgs,
        values::{Encoding, count, duration},
    },
    output::{grouped, note, print, print_json},
};
use crate::client::{Client, MineRequest, pb};
use batches::Ids;
use measurements::{Figures, Shared};

const EXAMPLES: &str = "\
Examples:
  hardneg load --pool bench --fill --duration 30s
  hardneg load --pool bench --streams 8 --batch-size 8192 --ids 10M --mine-concurrency 4
  hardneg load --pool bench --rate 1M --server-pid $(pidof hardneg) --json";

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The pool; created when it does not exist
    #[arg(long)]
    pool: String,
    /// Capacity of the pool if it is created [default: the server's default]
    #[arg(long, value_parser = count, value_name = "N")]
    capacity: Option<u64>,
    /// Number of streams of scores; 0 reports nothing
    #[arg(long, default_value_t = 4, value_name = "N")]
    streams: usize,
    /// Number of rows of a score batch, 1 to 65,536
    #[arg(long, default_value_t = 4_096, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    /// Largest number of unacknowledged batches of a stream
    #[arg(long, default_value_t = 8, value_name = "N")]
    window: usize,
    /// Report ids from 0 to N-1
    #[arg(long, default_value = "1M", value_parser = count, value_name = "N")]
    ids: u64,
    /// Report ids in sequence instead of at random
    #[arg(long)]
    sequential: bool,
    /// How long to measure
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    duration: Duration,
    /// How long to load the server before the measurement begins
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "DURATION")]
    warmup: Duration,
    /// Target rate in scores per second over all streams [default: as fast as the server acknowledges]
    #[arg(long, value_parser = count, value_name = "N")]
    rate: Option<u64>,
    /// Number of concurrent mining calls; 0 mines nothing
    #[arg(long, default_value_t = 1, value_name = "N")]
    mine_concurrency: usize,
    /// Number of samples of a mined batch
    #[arg(long, default_value_t = 256, value_name = "N")]
    mine_batch_size: u32,
    /// The encoding of columns in messages
    #[arg(long, value_enum, default_value_t = Encoding::Bytes)]
    encoding: Encoding,
    /// The training run of the reports, for a pool that ages by steps [default: made of torchrun's environment variables]
    #[arg(long, value_name = "TEXT")]
    run_id: Option<String>,
    /// Report every id once before the measurement
    #[arg(long)]
    fill: bool,
    /// Number of connections
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    connections: u16,
    /// Seed of ids and scores
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Also measure the CPU time of the server, which is the process with this id (Linux)
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Send nothing; write request bodies for another load generator, such as ghz, into this folder
    #[arg(long, value_name = "FOLDER")]
    write_bodies: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgs,
}

pub(super) async fn run(connection: &Connection, args: Args) -> anyhow::Result<()> {
    check(&args)?;
    if let Some(folder) = &args.write_bodies {
        return bodies::write(&args, folder)
            .with_context(|| format!("cannot write the bodies to {}", folder.display()));
    }
    let mut options = connection.options();
    options.channels = args.connections.into();
    options.worker_id = Some("load".to_owned());
    options.run_id.clone_from(&args.run_id);
    let client = Client::connect_with(&connection.server, options).await?;
    prepare(&client, &args).await?;
    if args.fill {
        fill(&client, &args).await?;
    }
    let before = client.pool_stats(&args.pool).await?;
    let mut figures = measure(&client, &args).await?;
    figures.pool = Some((before, client.pool_stats(&args.pool).await?));
    if args.json {
        print_json(&figures.to_json())?;
    } else {
        print(&figures.to_text())?;
    }
    match figures.first_error {
        None => Ok(()),
        Some(first) => anyhow::bail!("{} calls failed; the first: {first}", figures.errors),
    }
}

fn check(args: &Args) -> Result<(), Usage> {
    let problem = if args.streams == 0 && args.mine_concurrency == 0 {
        "nothing to do: --streams and --mine-concurrency are both 0"
    } else if args.ids == 0 {
        "--ids must be at least 1"
    } else if args.rate == Some(0) {
        "--rate must be at least 1"
    } else if args.streams > 4_096 || args.mine_concurrency > 4_096 {
        "--streams and --mine-concurrency are at most 4,096"
    } else if args.duration < Duration::from_secs(1) || args.duration > Duration::from_secs(86_400) {
        "--duration must be 1s to 1d"
    } else {
        return Ok(());
    };
    Err(Usage(problem.into()))
}

/// Gets the pool, and creates it when it does not exist.
async fn prepare(client: &Client, args: &Args) -> anyhow::Result<()> {
    let pool = match client.get_pool(&args.pool).await {
        Err(error) if error.code() == tonic::Code::NotFound => {
            let spec = pb::PoolSpec { capacity: args.capacity.unwrap_or_default(), ..Default::default() };
            client.create_pool(&args.pool, spec).await?.0
        }
        outcome => outcome?,
    };
    let id_kind = pool.spec.as_ref().map_or(pb::IdKind::U64, pb::PoolSpec::id_kind);
    if id_kind == pb::IdKind::String {
        return Err(Usage("load needs a pool of integer ids".into()).into());
    }
    Ok(())
}

/// Reports every id once, over all streams.
async fn fill(client: &Client, args: &Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let lanes = args.streams.max(1);
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..lanes {
        let (client, args) = (client.clone(), args.clone());
        tasks.spawn(async move { workers::fill_lane(&client, &args, lane, lanes).await });
    }
    while let Some(lane) = tasks.join_next().await {
        lane??;
    }
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = args.ids as f64 / seconds / 1e6;
    note(&format!("filled {} ids in {seconds:.1} s, {rate:.2} M scores/s", grouped(args.ids)));
    Ok(())
}

async fn measure(client: &Client, args: &Args) -> anyhow::Result<Figures> {
    let shared = Arc::new(Shared::default());
    let started = Instant::now();
    let end = started + args.warmup + args.duration;
    shared.measure_from(started + args.warmup);
    let mut scores = tokio::task::JoinSet::new();
    for lane in 0..args.streams {
        let rows = args.batch_size as usize;
        let ids = if args.sequential { Ids::Sequential { lane, lanes: args.streams } } else { Ids::Random };
        let seed = args.seed.wrapping_add(lane as u64);
        let batches = batches::make(&args.pool, args.ids, rows, ids, seed, args.encoding.into())?;
        let worker = workers::ScoreWorker {
            client: client.clone(),
            batches,
            window: args.window,
            interval: interval(args),
            end,
            shared: Arc::clone(&shared),
        };
        scores.spawn(worker.run());
    }
    let mut mines = tokio::task::JoinSet::new();
    for _ in 0..args.mine_concurrency {
        mines.spawn(workers::mine(client.clone(), mine_request(args), end, Arc::clone(&shared)));
    }

    tokio::time::sleep_until(started + args.warmup).await;
    let cpu = cpu::Meter::start(args.server_pid)?;
    let slices = measurements::slices(&shared, end).await;
    let cpu = cpu.stop();
    let mut figures = Figures::new(slices, cpu);
    while let Some(histogram) = scores.join_next().await {
        figures.acks.add(histogram??)?;
    }
    while let Some(histogram) = mines.join_next().await {
        figures.mines.add(histogram?)?;
    }
    figures.take_errors(&shared);
    Ok(figures)
}

/// The mining request that is repeated.
fn mine_request(args: &Args) -> MineRequest {
    let request = MineRequest::new(&args.pool, args.mine_batch_size).encoding(args.encoding.into());
    match args.policy.over(None) {
        Some(policy) => request.policy(policy),
        None => request,
    }
}

/// The time between two batches of one stream; `None` without a target rate.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn interval(args: &Args) -> Option<Duration> {
    let rate = args.rate? as f64 / args.streams.max(1) as f64;
    Some(Duration::from_secs_f64(f64::from(args.batch_size) / rate))
}
