//! Streaming score batches: a bounded window of unacknowledged batches, resent after a broken connection.

use std::{
    collections::VecDeque,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{
    Client, Error, ScoreBatch, fresh, new_epoch, pb,
    retry::{backoff, is_transient},
};

/// Options of a [`ScoreStream`].
#[derive(Clone, Copy, Debug)]
pub struct ScoreStreamOptions {
    /// Largest number of batches sent but not acknowledged, 1 to 512; beyond it `send` waits. Default 16. The client keeps all of them for a
    /// resend. (The server remembers 1,024 sequences per worker.)
    pub window: usize,
    /// Give up after this long without a connection or an ack while batches wait for one. Default 30 s.
    pub give_up_after: Duration,
}

impl Default for ScoreStreamOptions {
    fn default() -> Self {
        Self { window: 16, give_up_after: Duration::from_secs(30) }
    }
}

/// The outcomes of all batches of a stream.
#[derive(Clone, Debug, Default)]
pub struct StreamSummary {
    /// Acknowledged batches, including rejected ones.
    pub batches: u64,
    /// Batches refused as a whole.
    pub rejected: u64,
    /// Batches that the server had applied before they were resent.
    pub duplicates: u64,
    /// Batches with the status STALE: over half of their rows were stale.
    pub stale: u64,
    /// How many times the stream was opened again.
    pub reconnects: u64,
    /// The acknowledged rows by outcome; those of resends are `duplicate`.
    pub counts: pb::ReportCounts,
    /// Rows whose log2 weight was clamped to ±4,096.
    pub clamped: u64,
    /// Rows whose score is below 0 where hardness is POWER. All such rows have the same weight.
    pub floored: u64,
    /// The pool's admission threshold in the last ack, as log2 of a weight; `None` while the hard store is not full.
    pub floor_log2: Option<f32>,
    /// The text of the first rejection.
    pub first_rejection: Option<String>,
}

/// A stream of score batches. Acks come in the order of the batches.
///
/// [`ScoreStream::finish`] waits for all outstanding acks. When the stream is dropped instead, its task goes on sending the batches as long
/// as the runtime lives, and the acks are discarded.
#[derive(Debug)]
pub struct ScoreStream {
    outgoing: mpsc::Sender<Outgoing>,
    driver: JoinHandle<StreamSummary>,
    /// The error that ended the stream. The driver sets it once.
    failure: Arc<OnceLock<Status>>,
    worker_id: String,
    run_id: String,
    worker_epoch: u64,
    next_sequence: u64,
}

/// A future of the ack of one batch. It may be dropped.
#[derive(Debug)]
pub struct PendingAck {
    sequence: u64,
    receiver: oneshot::Receiver<Result<pb::ScoreAck, Error>>,
    failure: Arc<OnceLock<Status>>,
}

impl PendingAck {
    /// The batch's sequence.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl IntoFuture for PendingAck {
    type Output = Result<pb::ScoreAck, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Resolves to the ack; to [`Error::Rejected`] when the server refused this batch, to [`Error::Stale`] when most of its rows were stale,
    /// to another error when the stream failed.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            match self.receiver.await {
                Ok(outcome) => outcome,
                Err(_) => Err(closed(&self.failure)),
            }
        })
    }
}

impl ScoreStream {
    pub(super) fn open(client: Client, options: ScoreStreamOptions) -> Self {
        let window = options.window.clamp(1, 512);
        // One slot, because a batch that waits here is not in the window yet.
        let (outgoing, incoming) = mpsc::channel(1);
        let failure = Arc::new(OnceLock::new());
        let worker_id = client.inner.worker_id.clone();
        let run_id = client.inner.run_id.clone();
        let driver = Driver {
            client,
            incoming,
            unacked: VecDeque::with_capacity(window),
            window,
            give_up_after: options.give_up_after,
            failure: Arc::clone(&failure),
            summary: StreamSummary::default(),
        };
        Self {
            outgoing,
            driver: tokio::spawn(driver.run()),
            failure,
            worker_id,
            run_id,
            // Each stream has its own epoch: if two streams shared one, their sequences could be 1,024 apart, and the server would take
            // batches of one for resends.
            worker_epoch: new_epoch(),
            next_sequence: 1,
        }
    }

    /// Sends a batch once the window has room, and returns the future of its ack.
    ///
    /// # Errors
    /// The error that ended the stream.
    pub async fn send(&mut self, batch: ScoreBatch) -> Result<PendingAck, Error> {
        let sequence = self.next_sequence;
        let batch = batch.of_run(&self.run_id).into_message(&self.worker_id, self.worker_epoch, sequence);
        let (reply, receiver) = oneshot::channel();
        if self.outgoing.send(Outgoing { batch, reply }).await.is_err() {
            return Err(closed(&self.failure));
        }
        self.next_sequence += 1;
        Ok(PendingAck { sequence, receiver, failure: Arc::clone(&self.failure) })
    }

    /// Waits until every batch has its ack, and ends the stream.
    ///
    /// # Errors
    /// The error that ended the stream. Rejected and stale batches are not errors here; the summary counts them.
    pub async fn finish(self) -> Result<StreamSummary, Error> {
        drop(self.outgoing);
        let summary = self.driver.await.map_err(|_| Error::Closed)?;
        match self.failure.get() {
            None => Ok(summary),
            Some(status) => Err(status.clone().into()),
        }
    }
}

fn closed(failure: &OnceLock<Status>) -> Error {
    failure.get().map_or(Error::Closed, |status| status.clone().into())
}

#[derive(Debug)]
struct Outgoing {
    batch: pb::ScoreBatch,
    reply: oneshot::Sender<Result<pb::ScoreAck, Error>>,
}

/// Owns the connection and all unacknowledged batches, and runs in its own task.
struct Driver {
    client: Client,
    incoming: mpsc::Receiver<Outgoing>,
    unacked: VecDeque<Outgoing>,
    window: usize,
    give_up_after: Duration,
    failure: Arc<OnceLock<Status>>,
    summary: StreamSummary,
}

/// Why one connection ended.
enum End {
    /// All batches are acknowledged, and the caller has finished.
    Finished,
    /// The stream broke; `progress` says whether an ack had arrived on it.
    Broken { status: Status, progress: bool },
}

impl Driver {
    async fn run(mut self) -> StreamSummary {
        let mut attempts = 0;
        let mut last_progress = Instant::now();
        loop {
            // Open a stream only when there is a batch to send.
            if self.unacked.is_empty() {
                match self.incoming.recv().await {
                    Some(outgoing) => self.unacked.push_back(outgoing),
                    None => return self.summary,
                }
                last_progress = Instant::now();
            }
            let (status, progress) = match self.connection().await {
                End::Finished => return self.summary,
                End::Broken { status, progress } => (status, progress),
            };
            if progress {
                attempts = 0;
                last_progress = Instant::now();
            }
            attempts += 1;
            let delay = backoff(&status, attempts);
            if !is_transient(&status) || last_progress.elapsed() + delay > self.give_up_after {
                // Set the failure before the replies are dropped, so that a caller that awaits one finds the reason.
                let _ = self.failure.set(status);
                return self.summary;
            }
            tracing::debug!(%status, ?delay, unacked = self.unacked.len(), "score stream broke: opening it again");
            self.summary.reconnects += 1;
            tokio::time::sleep(delay).await;
        }
    }

    /// Runs one stream from its opening to its end; sends unacknowledged batches first.
    async fn connection(&mut self) -> End {
        // The channel is as large as the window, so that sending never waits and acks are always read.
        let (requests, receiver) = mpsc::channel(self.window);
        for outgoing in &self.unacked {
            let _ = requests.try_send(request(&outgoing.batch));
        }
        let mut service = self.client.mining_service();
        let opening = service.stream_scores(self.client.options().request(ReceiverStream::new(receiver)));
        let limit = self.client.options().timeout;
        let mut acks = match tokio::time::timeout(limit, opening).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return broken(status, false),
            Err(_) => {
                return broken(Status::unavailable("the stream did not open in time"), false);
            }
        };
        let mut progress = false;
        loop {
            let has_room = self.unacked.len() < self.window;
            tokio::select! {
                ack = next_ack(&mut acks, self.give_up_after, self.unacked.is_empty()) => match ack {
                    Ok(ack) => {
                        if let Err(status) = self.settle(ack) {
                            return broken(status, progress);
                        }
                        progress = true;
                    }
                    Err(status) => return broken(status, progress),
                },
                outgoing = self.incoming.recv(), if has_room => match outgoing {
                    Some(outgoing) => {
                        // This fails only when the stream has ended, which reading the next ack will show.
                        let _ = requests.try_send(request(&outgoing.batch));
                        self.unacked.push_back(outgoing);
                    }
                    // The caller has finished: half-close, so that the server acks the remaining batches and ends the stream.
                    None => return self.last_acks(requests, acks, progress).await,
                },
            }
        }
    }

    /// Reads the outstanding acks after the caller has finished.
    async fn last_acks(
        &mut self,
        requests: mpsc::Sender<pb::StreamScoresRequest>,
        mut acks: Streaming<pb::StreamScoresResponse>,
        mut progress: bool,
    ) -> End {
        drop(requests);
        while !self.unacked.is_empty() {
            match next_ack(&mut acks, self.give_up_after, false).await {
                Ok(ack) => {
                    if let Err(status) = self.settle(ack) {
                        return broken(status, progress);
                    }
                    progress = true;
                }
                Err(status) => return broken(status, progress),
            }
        }
        drain(&mut acks).await;
        End::Finished
    }

    /// Passes the ack to the caller that awaits it.
    fn settle(&mut self, ack: pb::ScoreAck) -> Result<(), Status> {
        let Some(outgoing) = self.unacked.pop_front() else {
            return Err(Status::data_loss("the server sent an ack that nobody waits for"));
        };
        let sequence = outgoing.batch.sequence;
        if ack.sequence != sequence {
            return Err(Status::data_loss(format!(
                "the server acknowledged batch {} where {sequence} was due",
                ack.sequence
            )));
        }
        self.summary.batches += 1;
        self.summary.floor_log2 = ack.floor_log2;
        let outcome = match ack.status() {
            pb::AckStatus::Rejected => {
                self.summary.rejected += 1;
                let error = Error::Rejected { sequence, status: Box::new(status_of(ack.error)) };
                self.summary.first_rejection.get_or_insert_with(|| error.to_string());
                Err(error)
            }
            status => {
                self.summary.duplicates += u64::from(status == pb::AckStatus::Duplicate);
                self.summary.stale += u64::from(status == pb::AckStatus::Stale);
                if let Some(counts) = &ack.counts {
                    add_counts(&mut self.summary.counts, counts);
                }
                self.summary.clamped += ack.clamped;
                self.summary.floored += ack.floored;
                fresh(ack)
            }
        };
        // This fails when the caller dropped the future; the summary counts the ack all the same.
        let _ = outgoing.reply.send(outcome);
        Ok(())
    }
}

fn request(batch: &pb::ScoreBatch) -> pb::StreamScoresRequest {
    pb::StreamScoresRequest { batch: Some(batch.clone()) }
}

fn broken(status: Status, progress: bool) -> End {
    End::Broken { status, progress }
}

/// The next ack. The end of the stream is an error here; a timeout is an error only while an ack is outstanding.
async fn next_ack(
    acks: &mut Streaming<pb::StreamScoresResponse>,
    patience: Duration,
    idle: bool,
) -> Result<pb::ScoreAck, Status> {
    let next = if idle {
        acks.message().await
    } else {
        tokio::time::timeout(patience, acks.message())
            .await
            .map_err(|_| Status::unavailable(format!("no ack within {patience:?}")))?
    };
    match next? {
        Some(pb::StreamScoresResponse { ack: Some(ack) }) => Ok(ack),
        Some(_) => Err(Status::data_loss("the server sent a message without an ack")),
        None => Err(Status::unavailable("the server ended the stream")),
    }
}

/// Lets the server end the stream in order, for at most a second.
async fn drain(acks: &mut Streaming<pb::StreamScoresResponse>) {
    let _ = tokio::time::timeout(Duration::from_secs(1), acks.message()).await;
}

/// A `google.rpc.Status` as the status of a unary call, details included.
fn status_of(error: Option<tonic_types::pb::Status>) -> Status {
    use prost::Message as _;

    let Some(error) = error else {
        return Status::unknown("rejected without a reason");
    };
    let code = tonic::Code::from_i32(error.code);
    let message = error.message.clone();
    Status::with_details(code, message, error.encode_to_vec().into())
}

/// Adds the counts of one batch to a sum.
pub(super) fn add_counts(sum: &mut pb::ReportCounts, counts: &pb::ReportCounts) {
    sum.inserted += counts.inserted;
    sum.updated += counts.updated;
    sum.background_only += counts.background_only;
    sum.dropped += counts.dropped;
    sum.non_finite += counts.non_finite;
    sum.coalesced += counts.coalesced;
    sum.duplicate += counts.duplicate;
    sum.stale += counts.stale;
    sum.out_of_range += counts.out_of_range;
    sum.quarantined += counts.quarantined;
    sum.blocked += counts.blocked;
    sum.anchor_limit += counts.anchor_limit;
    sum.not_negative += counts.not_negative;
}
