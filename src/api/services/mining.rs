//! MiningService: the data path. Scores come in, mined batches go out.

use tonic::{Request, Response, Status, Streaming};

use crate::api::codec::{anchored, negatives, report, samples, selection};
use crate::api::services::{batch_stream, mined_batch, score_batch, score_stream};
use crate::api::{Answers, Context};
use crate::model::error::PoolError;
use crate::permits::Permits;
use crate::pool::admission::Patience;
use crate::proto::v1::{self as pb, mining_service_server::MiningService};

/// The retry delay of a refused report: a batch of 65,536 rows takes some milliseconds.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_millis(50);

/// The handlers of MiningService.
pub(crate) struct Mining {
    pub(in crate::api) context: Context,
    /// One permit for each running unary report. Streams need none: the server slows them by not reading them.
    pub(in crate::api) reports: Permits,
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
        let _permit = self.reports.try_take().ok_or_else(|| PoolError::Exhausted {
            what: format!("all {} of max_inflight_reports are in use", self.reports.max()),
            limit: "max_inflight_reports",
            retry_after: Some(RETRY_AFTER),
        })?;
        let ack = score_batch::apply(&self.context, request.into_inner().batch).await?;
        Ok(Response::new(pb::ReportScoresResponse { ack: Some(ack) }))
    }

    async fn mine_batch(
        &self,
        request: Request<pb::MineBatchRequest>,
    ) -> Result<Response<pb::MineBatchResponse>, Status> {
        let (request, target) = mined_batch::decode(&self.context, request.into_inner(), "")?;
        let batch = mined_batch::mine(&self.context, &target, request, Patience::Refuse).await?;
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

    async fn select_from(
        &self,
        request: Request<pb::SelectFromRequest>,
    ) -> Result<Response<pb::SelectFromResponse>, Status> {
        let (request, reply) = selection::decode(request.into_inner(), self.context.rows_max)?;
        let selected = self.context.registry.select(request).await?;
        let answer = selection::encode(selected, &reply);
        self.context.check_length(&answer, "fewer samples")?;
        Ok(Response::new(answer))
    }

    async fn mine_negatives(
        &self,
        request: Request<pb::MineNegativesRequest>,
    ) -> Result<Response<pb::MineNegativesResponse>, Status> {
        let message = request.into_inner();
        let pool = self.context.pool("pool", &message.pool, message.pool_uid)?;
        let (request, reply) = negatives::decode(message, self.context.rows_max)?;
        let mined = pool.mine_negatives(request, Patience::Refuse).await?;
        let answer = negatives::encode(mined, pool.uid(), &reply);
        self.context.check_length(&answer, "fewer anchors or negatives")?;
        Ok(Response::new(answer))
    }

    async fn add_positives(
        &self,
        request: Request<pb::AddPositivesRequest>,
    ) -> Result<Response<pb::AddPositivesResponse>, Status> {
        let request = request.into_inner();
        let pool = self.context.pool("pool", &request.pool, request.pool_uid)?;
        let positives = anchored::decode_positives(request, self.context.rows_max)?;
        let counts = pool.add_positives(positives).await?;
        Ok(Response::new(pb::AddPositivesResponse {
            added_count: counts.added,
            removed_count: counts.removed,
            refused: anchored::encode_refused(counts),
        }))
    }

    async fn reject_negatives(
        &self,
        request: Request<pb::RejectNegativesRequest>,
    ) -> Result<Response<pb::RejectNegativesResponse>, Status> {
        let request = request.into_inner();
        let pool = self.context.pool("pool", &request.pool, request.pool_uid)?;
        let anchors = report::decode_ids(request.anchors, "anchors", self.context.rows_max)?;
        let negatives = report::decode_ids(request.negatives, "negatives", self.context.rows_max)?;
        let counts = pool.reject_negatives(anchors, negatives).await?;
        Ok(Response::new(pb::RejectNegativesResponse {
            added_count: counts.added,
            removed_count: counts.removed,
            refused: anchored::encode_refused(counts),
        }))
    }
}
