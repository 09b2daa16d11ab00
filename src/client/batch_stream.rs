//! A stream of mined batches with credits: the server mines a bounded number of batches ahead.

use std::time::Duration;

use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{
    Batch, Client, Error, MineRequest, pb, required,
    retry::{backoff, is_transient},
};
use pb::stream_batches_request::Message;

/// Options of a [`BatchStream`].
#[derive(Clone, Copy, Debug)]
pub struct BatchStreamOptions {
    /// Number of batches that the server may mine ahead, 1 to 64. Default 2: one is in transit while the trainer uses the other.
    pub max_outstanding: u32,
    /// Give up after this long without a connection. Default 30 s.
    pub give_up_after: Duration,
}

impl Default for BatchStreamOptions {
    fn default() -> Self {
        Self { max_outstanding: 2, give_up_after: Duration::from_secs(30) }
    }
}

/// An endless stream of mined batches. [`next`](Self::next) grants the server a credit for each batch that it returns.
///
/// After a broken connection the stream is opened again. Batches that were in transit are lost (their serves
/// count); a given seed, step or round continues from the number of batches returned so far.
#[derive(Debug)]
pub struct BatchStream {
    client: Client,
    request: pb::MineBatchRequest,
    options: BatchStreamOptions,
    /// How long a batch may take: the client's timeout and the request's wait.
    patience: Duration,
    connection: Option<Connection>,
    handed_over: u64,
}

#[derive(Debug)]
struct Connection {
    credits: mpsc::Sender<pb::StreamBatchesRequest>,
    batches: Streaming<pb::StreamBatchesResponse>,
}

impl BatchStream {
    pub(super) async fn open(
        client: Client,
        request: MineRequest,
        options: BatchStreamOptions,
    ) -> Result<Self, Error> {
        let patience = client.options().timeout + request.wait_time();
        let mut stream = Self {
            client,
            request: request.into_message(),
            options,
            patience,
            connection: None,
            handed_over: 0,
        };
        let connection = stream.connect().await?;
        stream.connection = Some(connection);
        Ok(stream)
    }

    /// The next batch.
    ///
    /// # Errors
    /// Those of [`Client::mine`]; after one the next call opens the stream again.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        let started = Instant::now();
        let mut attempts = 0;
        loop {
            let status = match self.attempt().await {
                Ok(message) => {
                    self.handed_over += 1;
                    return Batch::try_from(required(message.batch, "batch")?);
                }
                Err(status) => status,
            };
            self.connection = None;
            attempts += 1;
            let delay = backoff(&status, attempts);
            if !is_transient(&status) || started.elapsed() + delay > self.options.give_up_after {
                return Err(status.into());
            }
            tracing::debug!(%status, ?delay, "batch stream broke: opening it again");
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt(&mut self) -> Result<pb::StreamBatchesResponse, Status> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let message = tokio::time::timeout(self.patience, connection.batches.message())
            .await
            .map_err(|_| Status::deadline_exceeded(format!("no batch within {:?}", self.patience)))??
            .ok_or_else(|| Status::unavailable("the server ended the stream"))?;
        let credit = pb::StreamBatchesRequest { message: Some(Message::Credits(1)) };
        // This does not wait for long, because at most `max_outstanding` credits are in transit. If the stream is closed, the next read fails.
        let _ = connection.credits.send(credit).await;
        self.connection = Some(connection);
        Ok(message)
    }

    async fn connect(&self) -> Result<Connection, Status> {
        let mut request = self.request.clone();
        request.seed = request.seed.map(|seed| seed.wrapping_add(self.handed_over));
        request.step = request.step.map(|step| step.wrapping_add(self.handed_over));
        if let Some(round) = &mut request.round {
            round.number = round.number.wrapping_add(self.handed_over);
        }
        let start = pb::StreamBatchesRequest {
            message: Some(Message::Start(pb::StreamBatchesStart {
                request: Some(request),
                max_outstanding: self.options.max_outstanding,
            })),
        };
        let (credits, receiver) = mpsc::channel(self.options.max_outstanding as usize + 1);
        let _ = credits.send(start).await;
        let mut service = self.client.mining_service();
        let opening = service.stream_batches(self.client.options().request(ReceiverStream::new(receiver)));
        let response = tokio::time::timeout(self.patience, opening)
            .await
            .map_err(|_| Status::unavailable("the stream did not open in time"))??;
        Ok(Connection { credits, batches: response.into_inner() })
    }
}
