//! The administration of pools.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::convert::{spec, stats};
use super::{Answers, pool_id, stats_stream};
use crate::places::Places;
use crate::pool::core::Pool;
use crate::pool::error::PoolError;
use crate::pool::registry::{Registry, check_pool_id};
use crate::proto::v1::{self as pb, pool_service_server::PoolService};

/// Pools on a page of a list: by default, and at most.
const PAGE_SIZE: i32 = 100;
const PAGE_SIZE_MAX: i32 = 1_000;

/// When a refused watch may try again: somebody has to stop watching.
const WATCH_RETRY_AFTER: Duration = Duration::from_secs(5);

/// PoolService.
pub struct Pools {
    pub(super) registry: Arc<Registry>,
    /// The server is stopping.
    pub(super) drain: CancellationToken,
    /// Places for watches.
    pub(super) watches: Places,
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
        let pool = self.named(&request.into_inner().name)?;
        Ok(Response::new(pb::GetPoolResponse { pool: Some(describe(&pool)) }))
    }

    async fn list_pools(
        &self,
        request: Request<pb::ListPoolsRequest>,
    ) -> Result<Response<pb::ListPoolsResponse>, Status> {
        let request = request.into_inner();
        let size = match request.page_size {
            0 => PAGE_SIZE,
            size if size < 0 => {
                return Err(PoolError::invalid("page_size", format!("{size} is negative")).into());
            }
            size => size.min(PAGE_SIZE_MAX),
        };
        let after = Some(request.page_token.as_str()).filter(|token| !token.is_empty());
        if let Some(token) = after {
            check_pool_id("page_token", token)?;
        }
        let (pools, more) = self.registry.list(size as usize, after);
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
        // A pool that does not exist is the first thing to say.
        let current = self.registry.get(id, pool.uid)?;
        let paths = request.update_mask.unwrap_or_default().paths;
        let change = spec::decode_change(&pool.spec.unwrap_or_default(), &paths, &current.spec())?;
        let updated = self.registry.update(id, &pool.etag, change)?;
        Ok(Response::new(pb::UpdatePoolResponse { pool: Some(describe(&updated)) }))
    }

    async fn delete_pool(
        &self,
        request: Request<pb::DeletePoolRequest>,
    ) -> Result<Response<pb::DeletePoolResponse>, Status> {
        let request = request.into_inner();
        self.registry.delete(pool_id("name", &request.name)?, &request.etag, request.allow_missing)?;
        Ok(Response::new(pb::DeletePoolResponse {}))
    }

    async fn get_pool_stats(
        &self,
        request: Request<pb::GetPoolStatsRequest>,
    ) -> Result<Response<pb::GetPoolStatsResponse>, Status> {
        let pool = self.named(&request.into_inner().name)?;
        let figures = stats::encode(&pool, &pool.stats().await?);
        Ok(Response::new(pb::GetPoolStatsResponse { stats: Some(figures) }))
    }

    async fn watch_pool_stats(
        &self,
        request: Request<pb::WatchPoolStatsRequest>,
    ) -> Result<Response<Self::WatchPoolStatsStream>, Status> {
        let request = request.into_inner();
        let interval = stats_stream::interval_of(request.interval)?;
        let pool = self.named(&request.name)?;
        let place = self.watches.try_take().ok_or_else(|| PoolError::Exhausted {
            what: format!("all {} places of max_watches are taken", self.watches.max()),
            limit: "max_watches",
            retry_after: Some(WATCH_RETRY_AFTER),
        })?;
        Ok(Response::new(Box::pin(stats_stream::answers(pool, interval, self.drain.clone(), place))))
    }

    async fn list_quarantined(
        &self,
        _: Request<pb::ListQuarantinedRequest>,
    ) -> Result<Response<pb::ListQuarantinedResponse>, Status> {
        Err(PoolError::Unimplemented("ListQuarantined".into()).into())
    }

    async fn release_quarantined(
        &self,
        _: Request<pb::ReleaseQuarantinedRequest>,
    ) -> Result<Response<pb::ReleaseQuarantinedResponse>, Status> {
        Err(PoolError::Unimplemented("ReleaseQuarantined".into()).into())
    }
}

impl Pools {
    fn named(&self, name: &str) -> Result<Arc<Pool>, PoolError> {
        self.registry.get(pool_id("name", name)?, 0)
    }
}

fn describe(pool: &Pool) -> pb::Pool {
    pb::Pool {
        name: format!("pools/{}", pool.id()),
        uid: pool.uid(),
        spec: Some(spec::encode(&pool.spec())),
        create_time: Some(pool.create_time().into()),
        etag: pool.etag(),
    }
}
