//! The data path: scores in, mined batches out.

use tonic::{Request, Response, Status, Streaming};

use crate::api::codec::{anchored, batch, negatives, report, samples};
use crate::api::services::{batch_stream, score_stream};
use crate::api::{Answers, Context};
use crate::model::error::PoolError;
use crate::places::Places;
use crate::pool::admission::Patience;
use crate::proto::v1::{self as pb, mining_service_server::MiningService};

/// When a refused report may be sent again: a batch of 65,536 rows takes some milliseconds.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(50);

/// MiningService.
pub struct Mining {
    pub(in crate::api) context: Context,
    /// Places for unary reports; streams are slowed by not being read.
    pub(in crate::api) reports: Places,
}

#[tonic::async_trait]
impl MiningService for Mining {
    type StreamScoresStream = Answers<pb::StreamScoresResponse>;
    type StreamBatchesStream = Answers<pb::StreamBatchesResponse>;

    async fn stream_scores(
        &self,
        request: Request<Streaming<pb::StreamScoresRequest>>,
    ) -> Result<Response<Self::StreamScoresStream>, Status> {
        let acks = score_stream::acks(self.context.clone(), request.into_inner());
        Ok(Response::new(Box::pin(acks)))
    }

    async fn report_scores(
        &self,
        request: Request<pb::ReportScoresRequest>,
    ) -> Result<Response<pb::ReportScoresResponse>, Status> {
        let _place = self.reports.try_take().ok_or_else(|| PoolError::Exhausted {
            what: format!("all {} places of max_inflight_reports are taken", self.reports.max()),
            limit: "max_inflight_reports",
            retry_after: Some(RETRY_AFTER),
        })?;
        let ack = report::apply(&self.context, request.into_inner().batch).await?;
        Ok(Response::new(pb::ReportScoresResponse { ack: Some(ack) }))
    }

    async fn mine_batch(
        &self,
        request: Request<pb::MineBatchRequest>,
    ) -> Result<Response<pb::MineBatchResponse>, Status> {
        let (request, reply) = batch::decode(&self.context, request.into_inner(), "")?;
        let batch = batch::mine(&self.context, &reply, request, Patience::Refuse).await?;
        Ok(Response::new(pb::MineBatchResponse { batch: Some(batch) }))
    }

    async fn stream_batches(
        &self,
        request: Request<Streaming<pb::StreamBatchesRequest>>,
    ) -> Result<Response<Self::StreamBatchesStream>, Status> {
        let mut messages = request.into_inner();
        let start = batch_stream::start(&self.context, self.context.next(&mut messages).await?)?;
        Ok(Response::new(Box::pin(batch_stream::batches(self.context.clone(), messages, start))))
    }

    async fn remove_samples(
        &self,
        request: Request<pb::RemoveSamplesRequest>,
    ) -> Result<Response<pb::RemoveSamplesResponse>, Status> {
        let request = request.into_inner();
        let pool = self.context.pool("pool", &request.pool, request.pool_uid)?;
        let ids = report::decode_ids(request.ids, "ids", self.context.rows_max)?;
        let removed_count = pool.remove(ids).await?;
        Ok(Response::new(pb::RemoveSamplesResponse { removed_count, position: None }))
    }

    async fn release_lease(
        &self,
        request: Request<pb::ReleaseLeaseRequest>,
    ) -> Result<Response<pb::ReleaseLeaseResponse>, Status> {
        let request = request.into_inner();
        let pool = self.context.pool("pool", &request.pool, request.pool_uid)?;
        let ids = report::decode_ids(request.ids, "ids", self.context.rows_max)?;
        let released_count = pool.release_lease(ids).await?;
        Ok(Response::new(pb::ReleaseLeaseResponse { released_count }))
    }

    async fn get_samples(
        &self,
        request: Request<pb::GetSamplesRequest>,
    ) -> Result<Response<pb::GetSamplesResponse>, Status> {
        let request = request.into_inner();
        let pool = self.context.pool("pool", &request.pool, request.pool_uid)?;
        let ids = report::decode_ids(request.ids, "ids", self.context.rows_max)?;
        let samples = pool.samples(ids).await?;
        Ok(Response::new(pb::GetSamplesResponse { samples: samples.iter().map(samples::encode).collect() }))
    }

    async fn mine_negatives(
        &self,
        request: Request<pb::MineNegativesRequest>,
    ) -> Result<Response<pb::MineNegativesResponse>, Status> {
        Ok(Response::new(negatives::mine(&self.context, request.into_inner()).await?))
    }

    async fn add_positives(
        &self,
        request: Request<pb::AddPositivesRequest>,
    ) -> Result<Response<pb::AddPositivesResponse>, Status> {
        Ok(Response::new(anchored::add_positives(&self.context, request.into_inner()).await?))
    }

    async fn reject_negatives(
        &self,
        request: Request<pb::RejectNegativesRequest>,
    ) -> Result<Response<pb::RejectNegativesResponse>, Status> {
        Ok(Response::new(anchored::reject_negatives(&self.context, request.into_inner()).await?))
    }
}
