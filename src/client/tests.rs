//! The client against a server that misbehaves on purpose.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use super::*;
use pb::{
    mining_service_server::{MiningService, MiningServiceServer},
    stream_batches_request::Message,
};

/// Acks in order; cuts each stream of scores after `acks_per_stream`, and the whole when `away` calls are left.
#[derive(Debug, Default)]
struct Fake {
    acks_per_stream: u64,
    /// Applied batches by (epoch, sequence).
    applied: Mutex<HashSet<(u64, u64)>>,
    duplicates: AtomicU64,
    /// Unary calls that are answered UNAVAILABLE first.
    away: AtomicU32,
    /// Batches of the mining stream sent, and credits received.
    mined: AtomicU64,
    credits: AtomicU64,
    batches_per_stream: u64,
}

type AnswerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Fake {
    fn apply(&self, batch: &pb::ScoreBatch) -> pb::ScoreAck {
        let new = self
            .applied
            .lock()
            .unwrap()
            .insert((batch.worker_epoch, batch.sequence));
        let mut ack = pb::ScoreAck {
            sequence: batch.sequence,
            ..Default::default()
        };
        if batch.model_version == 13 {
            ack.set_status(pb::AckStatus::Rejected);
            ack.error = Some(tonic_types::pb::Status {
                code: Code::InvalidArgument.into(),
                message: "unlucky".into(),
                details: Vec::new(),
            });
        } else if new {
            ack.set_status(pb::AckStatus::Applied);
            ack.counts = Some(pb::ReportCounts {
                inserted: 2,
                ..Default::default()
            });
        } else {
            self.duplicates.fetch_add(1, Ordering::Relaxed);
            ack.set_status(pb::AckStatus::Duplicate);
        }
        ack
    }

    fn mined_batch(&self) -> pb::MinedBatch {
        pb::MinedBatch {
            ids: Some(crate::proto::columns::encode_ids(
                vec![self.mined.fetch_add(1, Ordering::Relaxed)],
                pb::ColumnEncoding::LittleEndian,
            )),
            ..Default::default()
        }
    }
}

#[derive(Clone, Debug)]
struct Service(Arc<Fake>);

#[tonic::async_trait]
impl MiningService for Service {
    type StreamScoresStream = AnswerStream<pb::StreamScoresResponse>;
    type StreamBatchesStream = AnswerStream<pb::StreamBatchesResponse>;

    async fn stream_scores(
        &self,
        request: Request<Streaming<pb::StreamScoresRequest>>,
    ) -> Result<Response<Self::StreamScoresStream>, Status> {
        let fake = Arc::clone(&self.0);
        let mut batches = request.into_inner();
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            let mut left = fake.acks_per_stream;
            while let Some(Ok(message)) = batches.next().await {
                let ack = Some(fake.apply(&message.batch.unwrap()));
                // The last one is applied, but its ack is lost.
                if left == 0 {
                    return;
                }
                left -= 1;
                if sender
                    .send(Ok(pb::StreamScoresResponse { ack }))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn report_scores(
        &self,
        request: Request<pb::ReportScoresRequest>,
    ) -> Result<Response<pb::ReportScoresResponse>, Status> {
        let ack = self.0.apply(&request.into_inner().batch.unwrap());
        let away = &self.0.away;
        if away
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            .is_ok()
        {
            return Err(Status::unavailable("restarting"));
        }
        Ok(Response::new(pb::ReportScoresResponse { ack: Some(ack) }))
    }

    async fn mine_batch(
        &self,
        request: Request<pb::MineBatchRequest>,
    ) -> Result<Response<pb::MineBatchResponse>, Status> {
        if request.into_inner().batch_size == 0 {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Err(Status::unavailable("away"))
    }

    async fn stream_batches(
        &self,
        request: Request<Streaming<pb::StreamBatchesRequest>>,
    ) -> Result<Response<Self::StreamBatchesStream>, Status> {
        let fake = Arc::clone(&self.0);
        let mut messages = request.into_inner();
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        tokio::spawn(async move {
            let mut left = fake.batches_per_stream;
            while let Some(Ok(message)) = messages.next().await {
                let credits = match message.message.unwrap() {
                    Message::Start(start) => start.max_outstanding,
                    Message::Credits(credits) => credits,
                };
                for _ in 0..credits {
                    if left == 0 {
                        let _ = sender.send(Err(Status::unavailable("cut"))).await;
                        return;
                    }
                    left -= 1;
                    fake.credits.fetch_add(1, Ordering::Relaxed);
                    let batch = Some(fake.mined_batch());
                    let _ = sender.send(Ok(pb::StreamBatchesResponse { batch })).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn remove_samples(
        &self,
        _: Request<pb::RemoveSamplesRequest>,
    ) -> Result<Response<pb::RemoveSamplesResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn client_of(fake: &Arc<Fake>, options: ClientOptions) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = MiningServiceServer::new(Service(Arc::clone(fake)));
    tokio::spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    Client::connect_with(address.to_string(), options)
        .await
        .unwrap()
}

fn batch(number: u64) -> ScoreBatch {
    ScoreBatch::new("p", &[number, number + 1], &[0.5, 1.5]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_loses_and_doubles_nothing() {
    let fake = Arc::new(Fake {
        acks_per_stream: 7,
        ..Default::default()
    });
    let client = client_of(&fake, ClientOptions::default()).await;
    let mut stream = client.score_stream(ScoreStreamOptions {
        window: 4,
        ..Default::default()
    });
    let mut pending = Vec::new();
    for number in 0..40 {
        let batch = if number == 20 {
            batch(number).model_version(13)
        } else {
            batch(number)
        };
        pending.push(stream.send(batch).await.unwrap());
    }
    for (number, ack) in pending.into_iter().enumerate() {
        let expected = number as u64 + 1;
        assert_eq!(ack.sequence(), expected);
        match ack.await {
            Ok(ack) => assert_eq!(ack.sequence, expected),
            Err(error) => {
                assert_eq!(expected, 21);
                assert_eq!(
                    error.to_string(),
                    "batch 21 was rejected: INVALID_ARGUMENT: unlucky"
                );
            }
        }
    }
    let summary = stream.finish().await.unwrap();
    assert_eq!((summary.batches, summary.rejected), (40, 1));
    assert!(summary.reconnects >= 4, "{summary:?}");
    assert_eq!(fake.applied.lock().unwrap().len(), 40);
    assert_eq!(
        summary.counts.inserted + 2 * summary.duplicates,
        2 * 39,
        "{summary:?}"
    );
    assert_eq!(summary.duplicates, fake.duplicates.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_bounds_what_is_unacknowledged() {
    // A server that acknowledges nothing: the first stream stays open without an ack.
    let fake = Arc::new(Fake::default());
    let client = client_of(&fake, ClientOptions::default()).await;
    let mut stream = client.score_stream(ScoreStreamOptions {
        window: 2,
        give_up_after: Duration::from_millis(300),
    });
    let mut accepted = 0;
    let failure = loop {
        match stream.send(batch(accepted)).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted <= 4, "the window, one slot, and one under way");
    };
    assert_eq!(failure.code(), Code::Unavailable, "{failure}");
    assert!(stream.finish().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_retried_under_one_sequence() {
    let fake = Arc::new(Fake {
        away: AtomicU32::new(2),
        ..Default::default()
    });
    let client = client_of(&fake, ClientOptions::default()).await;
    // In a task of its own: the futures are Send.
    let task = tokio::spawn(async move { client.report("p", &[1, 2], &[0.5, 0.6]).await });
    let ack = task.await.unwrap().unwrap();
    assert_eq!(ack.status(), pb::AckStatus::Duplicate);
    assert_eq!(fake.applied.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wait_is_finite() {
    let options = ClientOptions {
        timeout: Duration::from_millis(100),
        ..Default::default()
    };
    let client = client_of(&Arc::default(), options).await;
    let error = client.mine(MineRequest::new("p", 0)).await.unwrap_err();
    assert!(
        matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{error}"
    );
    let error = client.mine(MineRequest::new("p", 1)).await.unwrap_err();
    assert!(error.is_unavailable());
    assert_eq!(error.to_string(), "UNAVAILABLE: away");

    // A port that nobody listens on.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::connect(address.to_string()).await.unwrap_err();
    assert!(error.is_unavailable());
    assert!(error.to_string().contains("onnection refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_mined_on_credit_and_through_breaks() {
    let fake = Arc::new(Fake {
        batches_per_stream: 5,
        ..Default::default()
    });
    let client = client_of(&fake, ClientOptions::default()).await;
    let options = BatchStreamOptions {
        max_outstanding: 3,
        ..Default::default()
    };
    let mut stream = client
        .batch_stream(MineRequest::new("p", 1), options)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        fake.credits.load(Ordering::Relaxed),
        3,
        "no more than asked for"
    );
    for expected in 0..12 {
        let batch = stream.next().await.unwrap();
        assert_eq!(batch.ids, Ids::U64(vec![expected]));
    }
}
