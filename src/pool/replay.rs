//! Batches remembered by request_id, so that a retried mine returns the same one (DECISIONS 17).

use moka::policy::EvictionPolicy;
use std::future::Future;
use std::sync::Arc;

use super::batch::{MineRequest, MinedBatch};
use super::error::PoolError;
use super::spec::Limits;

type Remembered = (Arc<MineRequest>, Arc<MinedBatch>);

/// Of all pools of a server; bounded in bytes and in time. Concurrent requests of one id mine once.
#[derive(Debug)]
pub(super) struct Replay {
    /// By pool uid and request_id.
    batches: moka::future::Cache<(u64, String), Remembered>,
}

impl Replay {
    /// Empty.
    #[must_use]
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            batches: moka::future::Cache::builder()
                .time_to_live(limits.request_id_ttl)
                .max_capacity(limits.mine_cache_bytes)
                .weigher(|_, (request, batch): &Remembered| {
                    u32::try_from(request.size_bytes() + batch.size_bytes()).unwrap_or(u32::MAX)
                })
                // Not the default, which would rather forget the newest.
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// The batch remembered under the request's id, else the one that `mine` makes.
    ///
    /// # Errors
    /// `Invalid` when the id was used for another request; what `mine` returns, which is not remembered.
    pub(super) async fn get_or_mine(
        &self,
        pool_uid: u64,
        request: &MineRequest,
        mine: impl Future<Output = Result<MinedBatch, PoolError>>,
    ) -> Result<Arc<MinedBatch>, PoolError> {
        let remembered = self
            .batches
            .try_get_with((pool_uid, request.request_id.clone()), async {
                mine.await.map(|batch| (Arc::new(request.clone()), Arc::new(batch)))
            })
            .await;
        match remembered {
            Ok((first, batch)) if *first == *request => Ok(batch),
            Ok(_) => Err(PoolError::invalid("request_id", "was used for another request within its time")),
            // Several callers may share one failure.
            Err(error) => Err(Arc::unwrap_or_clone(error)),
        }
    }
}
