//! A server for tests of the client: it stores no samples, and fails in ways that the test chooses.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::HashSet,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{Server, server::TcpIncoming},
};

use super::pb;
use crate::proto::columns::{encode_ids, float_rows, id_rows};
use pb::{
    mining_service_server::{MiningService, MiningServiceServer},
    pool_service_server::{PoolService, PoolServiceServer},
    stream_batches_request::Message,
};

/// Acknowledges batches in order, ends each stream of scores after `acks_per_stream` acks, and answers `away` unary calls with UNAVAILABLE.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    pub acks_per_stream: u64,
    /// Applied batches by (epoch, sequence).
    pub applied: Mutex<HashSet<(u64, u64)>>,
    pub duplicates: AtomicU64,
    /// Number of unary calls that are still to be answered with UNAVAILABLE.
    pub away: AtomicU32,
    /// Number of batches sent on mining streams.
    pub mined: AtomicU64,
    pub credits: AtomicU64,
    pub batches_per_stream: u64,
    /// The pool that GetPool returns; `None`: NOT_FOUND, until CreatePool sets it.
    pub pool: Mutex<Option<pb::Pool>>,
    /// Number of rows received.
    pub rows: AtomicU64,
    /// The last batch received.
    pub last: Mutex<Option<pb::ScoreBatch>>,
    /// The last mining request received, including those that start a stream.
    pub last_mine: Mutex<Option<pb::MineBatchRequest>>,
}

type AnswerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Fake {
    fn apply(&self, batch: &pb::ScoreBatch) -> pb::ScoreAck {
        let rows = float_rows(batch.scores.as_ref()).unwrap() as u64;
        self.rows.fetch_add(rows, Ordering::Relaxed);
        *self.last.lock() = Some(batch.clone());
        let new = self.applied.lock().insert((batch.worker_epoch, batch.sequence));
        let mut ack = pb::ScoreAck { sequence: batch.sequence, ..Default::default() };
        if batch.model_version == 13 {
            ack.set_status(pb::AckStatus::Rejected);
            ack.error = Some(tonic_types::pb::Status {
                code: Code::InvalidArgument.into(),
                message: "unlucky".into(),
                details: Vec::new(),
            });
        } else if new && batch.model_version == 14 {
            ack.set_status(pb::AckStatus::Stale);
            ack.counts = Some(pb::ReportCounts { stale: rows, ..Default::default() });
        } else if new {
            ack.set_status(pb::AckStatus::Applied);
            ack.counts = Some(pb::ReportCounts { inserted: rows, ..Default::default() });
        } else {
            self.duplicates.fetch_add(1, Ordering::Relaxed);
            ack.set_status(pb::AckStatus::Duplicate);
        }
        ack
    }

    fn is_away(&self) -> bool {
        self.away.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    fn mined_batch(&self) -> pb::MinedBatch {
        pb::MinedBatch {
            ids: Some(encode_ids(
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
                if sender.send(Ok(pb::StreamScoresResponse { ack })).await.is_err() {
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
        if self.0.is_away() {
            return Err(Status::unavailable("restarting"));
        }
        Ok(Response::new(pb::ReportScoresResponse { ack: Some(ack) }))
    }

    async fn mine_batch(
        &self,
        request: Request<pb::MineBatchRequest>,
    ) -> Result<Response<pb::MineBatchResponse>, Status> {
        let request = request.into_inner();
        *self.0.last_mine.lock() = Some(request.clone());
        if request.round.is_some() && self.0.is_away() {
            return Err(Status::unavailable("restarting"));
        }
        match request.batch_size {
            // The first call hangs, the second is refused, later ones mine.
            0 => std::future::pending().await,
            1 => Err(Status::unavailable("away")),
            _ => Ok(Response::new(pb::MineBatchResponse { batch: Some(self.0.mined_batch()) })),
        }
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
                    Message::Start(start) => {
                        *fake.last_mine.lock() = start.request;
                        start.max_outstanding
                    }
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

    async fn release_lease(
        &self,
        request: Request<pb::ReleaseLeaseRequest>,
    ) -> Result<Response<pb::ReleaseLeaseResponse>, Status> {
        let released_count = id_rows(request.into_inner().ids.as_ref()).unwrap() as u64;
        Ok(Response::new(pb::ReleaseLeaseResponse { released_count }))
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
        Err(Status::unimplemented("select_from"))
    }

    async fn mine_negatives(
        &self,
        request: Request<pb::MineNegativesRequest>,
    ) -> Result<Response<pb::MineNegativesResponse>, Status> {
        // One negative an anchor: its own number.
        let anchors = id_rows(request.get_ref().anchors.as_ref()).unwrap();
        Ok(Response::new(pb::MineNegativesResponse {
            offsets: (0..=anchors as u32).collect(),
            ids: request.into_inner().anchors,
            ..Default::default()
        }))
    }

    async fn add_positives(
        &self,
        request: Request<pb::AddPositivesRequest>,
    ) -> Result<Response<pb::AddPositivesResponse>, Status> {
        let request = request.into_inner();
        let added_count = id_rows(request.positives.as_ref()).unwrap() as u64;
        let removed_count = request.scores.map_or(0, |scores| scores.present.len() as u64);
        Ok(Response::new(pb::AddPositivesResponse { added_count, removed_count, refused: None }))
    }

    async fn reject_negatives(
        &self,
        request: Request<pb::RejectNegativesRequest>,
    ) -> Result<Response<pb::RejectNegativesResponse>, Status> {
        let added_count = id_rows(request.into_inner().negatives.as_ref()).unwrap() as u64;
        Ok(Response::new(pb::RejectNegativesResponse { added_count, removed_count: 0, refused: None }))
    }
}

#[tonic::async_trait]
impl PoolService for Service {
    async fn create_pool(
        &self,
        request: Request<pb::CreatePoolRequest>,
    ) -> Result<Response<pb::CreatePoolResponse>, Status> {
        let request = request.into_inner();
        let pool = pb::Pool {
            name: format!("pools/{}", request.pool_id),
            uid: 7,
            ..request.pool.unwrap_or_default()
        };
        *self.0.pool.lock() = Some(pool.clone());
        Ok(Response::new(pb::CreatePoolResponse { pool: Some(pool), created: true }))
    }

    async fn get_pool(
        &self,
        _: Request<pb::GetPoolRequest>,
    ) -> Result<Response<pb::GetPoolResponse>, Status> {
        let pool = self.0.pool.lock().clone();
        let pool = pool.ok_or_else(|| Status::not_found("no such pool"))?;
        Ok(Response::new(pb::GetPoolResponse { pool: Some(pool) }))
    }

    async fn list_pools(
        &self,
        request: Request<pb::ListPoolsRequest>,
    ) -> Result<Response<pb::ListPoolsResponse>, Status> {
        // Two pages of one pool each.
        let first = request.into_inner().page_token.is_empty();
        let pool = self.0.pool.lock().clone();
        Ok(Response::new(pb::ListPoolsResponse {
            pools: pool.into_iter().collect(),
            next_page_token: if first { "2".into() } else { String::new() },
        }))
    }

    async fn update_pool(
        &self,
        request: Request<pb::UpdatePoolRequest>,
    ) -> Result<Response<pb::UpdatePoolResponse>, Status> {
        let pool = request.into_inner().pool;
        Ok(Response::new(pb::UpdatePoolResponse { pool }))
    }

    async fn delete_pool(
        &self,
        _: Request<pb::DeletePoolRequest>,
    ) -> Result<Response<pb::DeletePoolResponse>, Status> {
        *self.0.pool.lock() = None;
        Ok(Response::new(pb::DeletePoolResponse {}))
    }

    async fn get_pool_stats(
        &self,
        request: Request<pb::GetPoolStatsRequest>,
    ) -> Result<Response<pb::GetPoolStatsResponse>, Status> {
        Ok(Response::new(pb::GetPoolStatsResponse {
            stats: Some(pb::PoolStats {
                name: request.into_inner().name,
                reported_rows: self.0.rows.load(Ordering::Relaxed),
                ..Default::default()
            }),
        }))
    }

    type WatchPoolStatsStream = tokio_stream::Empty<Result<pb::WatchPoolStatsResponse, Status>>;

    async fn watch_pool_stats(
        &self,
        _: Request<pb::WatchPoolStatsRequest>,
    ) -> Result<Response<Self::WatchPoolStatsStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn list_quarantined(
        &self,
        _: Request<pb::ListQuarantinedRequest>,
    ) -> Result<Response<pb::ListQuarantinedResponse>, Status> {
        Err(Status::unimplemented("ListQuarantined"))
    }

    async fn quarantine_samples(
        &self,
        _: Request<pb::QuarantineSamplesRequest>,
    ) -> Result<Response<pb::QuarantineSamplesResponse>, Status> {
        Err(Status::unimplemented("QuarantineSamples"))
    }

    async fn block_samples(
        &self,
        _: Request<pb::BlockSamplesRequest>,
    ) -> Result<Response<pb::BlockSamplesResponse>, Status> {
        Err(Status::unimplemented("BlockSamples"))
    }

    async fn unblock_samples(
        &self,
        _: Request<pb::UnblockSamplesRequest>,
    ) -> Result<Response<pb::UnblockSamplesResponse>, Status> {
        Err(Status::unimplemented("UnblockSamples"))
    }

    async fn list_blocked(
        &self,
        _: Request<pb::ListBlockedRequest>,
    ) -> Result<Response<pb::ListBlockedResponse>, Status> {
        Err(Status::unimplemented("ListBlocked"))
    }

    async fn clear_pool(
        &self,
        _: Request<pb::ClearPoolRequest>,
    ) -> Result<Response<pb::ClearPoolResponse>, Status> {
        Err(Status::unimplemented("ClearPool"))
    }

    async fn release_quarantined(
        &self,
        _: Request<pb::ReleaseQuarantinedRequest>,
    ) -> Result<Response<pb::ReleaseQuarantinedResponse>, Status> {
        Err(Status::unimplemented("ReleaseQuarantined"))
    }
}

/// Serves `fake` on a free port of this machine, and returns its address.
pub(crate) async fn serve(fake: &Arc<Fake>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Service(Arc::clone(fake));
    tokio::spawn(
        Server::builder()
            .add_service(MiningServiceServer::new(service.clone()))
            .add_service(PoolServiceServer::new(service))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    address.to_string()
}
