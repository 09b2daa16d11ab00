//! The tasks that send load: one for each stream, and one for each concurrent mining call.

use std::{sync::Arc, time::Duration};

use hdrhistogram::Histogram;
use rand::SeedableRng as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Args, batches,
    measurements::{Shared, new_histogram, record},
};
use crate::client::{Client, Error, Ids, MineRequest, PendingAck, ScoreBatch, ScoreStreamOptions, pb};

/// The pause after a failed call, so that a server that refuses calls is not flooded.
const PAUSE: Duration = Duration::from_millis(10);

/// One stream of scores.
pub(super) struct ScoreWorker {
    pub client: Client,
    pub batches: Vec<ScoreBatch>,
    pub window: usize,
    /// Time between two batches; `None`: send as fast as the window allows.
    pub interval: Option<Duration>,
    pub end: Instant,
    pub shared: Arc<Shared>,
}

struct Sent {
    due: Instant,
    rows: u64,
    ack: PendingAck,
}

impl ScoreWorker {
    /// Sends batches until the end, and measures the latency of each ack.
    pub(super) async fn run(self) -> anyhow::Result<Histogram<u64>> {
        let options = ScoreStreamOptions { window: self.window, ..ScoreStreamOptions::default() };
        let mut stream = self.client.score_stream(options);
        let (sent, acks) = mpsc::channel(1_024);
        let collector = tokio::spawn(collect(acks, Arc::clone(&self.shared)));
        let mut due = Instant::now();
        for batch in self.batches.iter().cycle() {
            if let Some(interval) = self.interval {
                due += interval;
                tokio::time::sleep_until(due.min(self.end)).await;
            } else {
                due = Instant::now();
            }
            if Instant::now() >= self.end {
                break;
            }
            let ack = stream.send(batch.clone()).await?;
            let rows = batch.rows() as u64;
            if sent.send(Sent { due, rows, ack }).await.is_err() {
                break;
            }
        }
        drop(sent);
        let histogram = collector.await??;
        stream.finish().await?;
        Ok(histogram)
    }
}

/// Awaits the acks, which come in order. A rejected batch is counted; a broken stream ends the measurement.
async fn collect(mut acks: mpsc::Receiver<Sent>, shared: Arc<Shared>) -> Result<Histogram<u64>, Error> {
    let mut histogram = new_histogram();
    while let Some(Sent { due, rows, ack }) = acks.recv().await {
        match ack.await {
            Ok(_) => {
                shared.add_scores(rows);
                if shared.is_measured(due) {
                    record(&mut histogram, due.elapsed());
                }
            }
            Err(error @ (Error::Rejected { .. } | Error::Stale { .. })) => shared.fail(&error),
            Err(error) => return Err(error),
        }
    }
    Ok(histogram)
}

/// Mines batches one after another until `end`.
pub(super) async fn mine(
    client: Client,
    request: MineRequest,
    end: Instant,
    shared: Arc<Shared>,
) -> Histogram<u64> {
    let mut histogram = new_histogram();
    loop {
        let started = Instant::now();
        if started >= end {
            return histogram;
        }
        match client.mine(request.clone()).await {
            Ok(batch) => {
                shared.add_mine(batch.len() as u64);
                if shared.is_measured(started) {
                    record(&mut histogram, started.elapsed());
                }
            }
            Err(error) => {
                shared.fail(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Reports this lane's share of all ids once.
pub(super) async fn fill_lane(client: &Client, args: &Args, lane: usize, lanes: usize) -> anyhow::Result<()> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(args.seed ^ (lane as u64) << 32);
    let mut stream = client.score_stream(ScoreStreamOptions::default());
    let rows = u64::from(args.batch_size);
    for start in (0..args.ids).step_by(args.batch_size as usize).skip(lane).step_by(lanes) {
        let ids: Vec<u64> = (start..(start + rows).min(args.ids)).collect();
        let scores = batches::scores(&mut random, ids.len());
        let encoding = pb::ColumnEncoding::LittleEndian;
        let batch = ScoreBatch::with_encoding(&args.pool, Ids::U64(ids), scores, encoding)?.step(1);
        stream.send(batch).await?;
    }
    let summary = stream.finish().await?;
    match summary.first_rejection {
        None => Ok(()),
        Some(first) => anyhow::bail!("cannot fill the pool: {first}"),
    }
}
