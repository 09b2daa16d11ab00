//! PoolService: the administration of pools.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::api::codec::{bias, quarantine, report, spec, stats};
use crate::api::services::stats_stream;
use crate::api::{Answers, pool_id};
use crate::model::error::PoolError;
use crate::model::report::Ids;
use crate::permits::Permits;
use crate::pool::Pool;
use crate::pool::calls::quarantine::Blocking;
use crate::pool::registry::{Registry, check_pool_id};
use crate::proto::v1::{self as pb, pool_service_server::PoolService};

/// Pools on a page of ListPools: the default, and the largest number.
const PAGE_SIZE: i32 = 100;
const PAGE_SIZE_MAX: i32 = 1_000;
/// Samples on a page of ListQuarantined and ListBlocked: the default, and the largest number.
const QUARANTINED_PAGE_SIZE: i32 = 1_000;
const QUARANTINED_PAGE_SIZE_MAX: i32 = 65_536;

/// The retry delay of a refused watch: another client has to stop watching first.
const WATCH_RETRY_AFTER: Duration = Duration::from_secs(5);

/// The handlers of PoolService.
pub(crate) struct Pools {
    pub(in crate::api) registry: Arc<Registry>,
    /// Cancelled when the server stops.
    pub(in crate::api) drain: CancellationToken,
    /// One permit for each running watch.
    pub(in crate::api) watches: Permits,
    /// The largest number of ids in a request.
    pub(in crate::api) rows_max: usize,
    /// The longest answer, bytes.
    pub(in crate::api) message_bytes_max: usize,
}

#[tonic::async_trait]
impl PoolService for Pools {
    type WatchPoolStatsStream = Answers<pb::WatchPoolStatsResponse>;

    async fn create_pool(
        &self,
        request: Request<pb::CreatePoolRequest>,
    ) -> Result<Response<pb::CreatePoolResponse>, Status> {
        let request = request.into_inner();
        let limits = self.registry.limits();
        let wanted = spec::decode(request.pool.and_then(|pool| pool.spec).unwrap_or_default(), limits)?;
        let (pool, created) = self.registry.create(&request.pool_id, wanted).await?;
        Ok(Response::new(pb::CreatePoolResponse { pool: Some(describe(&pool)), created }))
    }

    async fn get_pool(
        &self,
        request: Request<pb::GetPoolRequest>,
    ) -> Result<Response<pb::GetPoolResponse>, Status> {
        let request = request.into_inner();
        let pool = self.pool(&request.name, request.pool_uid)?;
        Ok(Response::new(pb::GetPoolResponse { pool: Some(describe(&pool)) }))
    }

    async fn list_pools(
        &self,
        request: Request<pb::ListPoolsRequest>,
    ) -> Result<Response<pb::ListPoolsResponse>, Status> {
        let request = request.into_inner();
        let size = page_size(request.page_size, PAGE_SIZE, PAGE_SIZE_MAX)?;
        let after = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
        if let Some(token) = after {
            check_pool_id("page_token", token)?;
        }
        let (pools, more) = self.registry.list(size, after);
        let next_page_token =
            pools.last().filter(|_| more).map_or_else(String::new, |last| last.id().to_owned());
        let pools = pools.iter().map(|pool| describe(pool)).collect();
        Ok(Response::new(pb::ListPoolsResponse { pools, next_page_token }))
    }

    async fn update_pool(
        &self,
        request: Request<pb::UpdatePoolRequest>,
    ) -> Result<Response<pb::UpdatePoolResponse>, Status> {
        let request = request.into_inner();
        let pool = request.pool.unwrap_or_default();
        let id = pool_id("pool.name", &pool.name)?;
        // Looked up first, so that a missing pool is reported before a wrong mask.
        let current = self.registry.get(id, pool.uid)?;
        let paths = request.update_mask.unwrap_or_default().paths;
        let change = spec::decode_change(&pool.spec.unwrap_or_default(), &paths, &current.spec())?;
        let updated = self.registry.update(id, pool.uid, &pool.etag, change).await?;
        Ok(Response::new(pb::UpdatePoolResponse { pool: Some(describe(&updated)) }))
    }

    async fn delete_pool(
        &self,
        request: Request<pb::DeletePoolRequest>,
    ) -> Result<Response<pb::DeletePoolResponse>, Status> {
        let request = request.into_inner();
        let id = pool_id("name", &request.name)?;
        self.registry.delete(id, request.pool_uid, &request.etag, request.allow_missing).await?;
        Ok(Response::new(pb::DeletePoolResponse {}))
    }

    async fn get_pool_stats(
        &self,
        request: Request<pb::GetPoolStatsRequest>,
    ) -> Result<Response<pb::GetPoolStatsResponse>, Status> {
        let request = request.into_inner();
        let pool = self.pool(&request.name, request.pool_uid)?;
        let bias = Some(bias::encode(&pool.bias().await?));
        let figures = pb::PoolStats { bias, ..stats::encode(pool.id(), pool.uid(), &pool.stats().await?) };
        Ok(Response::new(pb::GetPoolStatsResponse { stats: Some(figures) }))
    }

    async fn watch_pool_stats(
        &self,
        request: Request<pb::WatchPoolStatsRequest>,
    ) -> Result<Response<Self::WatchPoolStatsStream>, Status> {
        let request = request.into_inner();
        let interval = stats_stream::interval_of(request.interval)?;
        let pool = self.pool(&request.name, request.pool_uid)?;
        let permit = self.watches.try_take().ok_or_else(|| PoolError::Exhausted {
            what: format!("all {} of max_watches are in use", self.watches.max()),
            limit: "max_watches",
            retry_after: Some(WATCH_RETRY_AFTER),
        })?;
        Ok(Response::new(Box::pin(stats_stream::answers(pool, interval, self.drain.clone(), permit))))
    }

    async fn list_quarantined(
        &self,
        request: Request<pb::ListQuarantinedRequest>,
    ) -> Result<Response<pb::ListQuarantinedResponse>, Status> {
        let request = request.into_inner();
        let pool = self.pool(&request.name, request.pool_uid)?;
        let size = page_size(request.page_size, QUARANTINED_PAGE_SIZE, QUARANTINED_PAGE_SIZE_MAX)?;
        let after = quarantine::decode_token(&request.page_token)?;
        let page = pool.list_quarantined(after, size).await?;
        Ok(Response::new(quarantine::encode_page(&page, self.message_bytes_max / 2)))
    }

    async fn release_quarantined(
        &self,
        request: Request<pb::ReleaseQuarantinedRequest>,
    ) -> Result<Response<pb::ReleaseQuarantinedResponse>, Status> {
        let request = request.into_inner();
        let pool = self.pool(&request.name, request.pool_uid)?;
        let ids = request.ids.map(|ids| self.ids(Some(ids))).transpose()?;
        let counts = pool.release_quarantined(ids, request.trust).await?;
        Ok(Response::new(pb::ReleaseQuarantinedResponse {
            released_count: counts.released,
            refused_count: counts.refused,
        }))
    }

    async fn quarantine_samples(
        &self,
        request: Request<pb::QuarantineSamplesRequest>,
    ) -> Result<Response<pb::QuarantineSamplesResponse>, Status> {
        let request = request.into_inner();
        let pool = self.pool(&request.name, request.pool_uid)?;
        let counts = pool.set_aside(self.ids(request.ids)?).await?;
        Ok(Response::new(pb::QuarantineSamplesResponse {
            quarantined_count: counts.set_aside,
            absent_count: counts.absent,
            refused_count: counts.refused,
        }))
    }

    async fn block_samples(
        &self,
        request: Request<pb::BlockSamplesRequest>,
    ) -> Result<Response<pb::BlockSamplesResponse>, Status> {
        let request = request.into_inner();
        let pool = self.pool(&request.name, request.pool_uid)?;
        let counts = pool.set_blocked(self.ids(request.ids)?, Blocking::Block).await?;
        Ok(Response::new(pb::BlockSamplesResponse {
            blocked_count: counts.blocked,
            removed_count: counts.removed,
            refused_count: counts.refused,
        }))
    }

    async fn unblock_samples(
        &self,
        request: Request<pb::UnblockSamplesRequest>,
    ) -> Result<Response<pb::UnblockSamplesResponse>, Status> {
        let request = request.into_inner();
        let pool = self.pool(&request.name, request.pool_uid)?;
        let counts = pool.set_blocked(self.ids(request.ids)?, Blocking::Unblock).await?;
        Ok(Response::new(pb::UnblockSamplesResponse { unblocked_count: counts.blocked }))
    }

    async fn list_blocked(
        &self,
        request: Request<pb::ListBlockedRequest>,
    ) -> Result<Response<pb::ListBlockedResponse>, Status> {
        let request = request.into_inner();
        let pool = self.pool(&request.name, request.pool_uid)?;
        let size = page_size(request.page_size, QUARANTINED_PAGE_SIZE, QUARANTINED_PAGE_SIZE_MAX)?;
        let page = pool.list_blocked(quarantine::decode_token(&request.page_token)?, size).await?;
        Ok(Response::new(quarantine::encode_blocked(page, self.message_bytes_max / 2)))
    }

    async fn clear_pool(
        &self,
        request: Request<pb::ClearPoolRequest>,
    ) -> Result<Response<pb::ClearPoolResponse>, Status> {
        let request = request.into_inner();
        let removed_count = self.pool(&request.name, request.pool_uid)?.clear().await?;
        Ok(Response::new(pb::ClearPoolResponse { removed_count }))
    }
}

impl Pools {
    /// The pool of this name; with a `uid` other than 0 it must be that one.
    fn pool(&self, name: &str, uid: u64) -> Result<Arc<Pool>, PoolError> {
        self.registry.get(pool_id("name", name)?, uid)
    }

    /// Decodes the ids of a request.
    fn ids(&self, ids: Option<pb::IdColumn>) -> Result<Ids, PoolError> {
        report::decode_ids(ids, "ids", self.rows_max)
    }
}

/// The number of entries on a page: `default` where the request asks for none, at most `max`.
fn page_size(asked: i32, default: i32, max: i32) -> Result<usize, PoolError> {
    match asked {
        0 => Ok(default as usize),
        size if size < 0 => Err(PoolError::invalid("page_size", format!("{size} is negative"))),
        size => Ok(size.min(max) as usize),
    }
}

fn describe(pool: &Pool) -> pb::Pool {
    pb::Pool {
        name: format!("pools/{}", pool.id()),
        uid: pool.uid(),
        spec: Some(spec::encode(&pool.spec())),
        create_time: Some(pool.create_time().into()),
        etag: pool.etag(),
        run: pool.run().as_ref().map(stats::encode_run),
    }
}
