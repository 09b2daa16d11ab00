//! Calls for the quarantine, for blocked samples, and for clearing a pool.

use super::retry::Retry;
use super::{Client, Error, Ids, PoolRef, pb};

/// Size of a page in samples: the contract's maximum.
const PAGE_SIZE: i32 = 65_536;

impl Client {
    /// Lists all samples in quarantine, in order of id. Requests as many pages as there are.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn list_quarantined(
        &self,
        pool: impl Into<PoolRef>,
    ) -> Result<Vec<pb::QuarantinedSample>, Error> {
        let pool = pool.into();
        self.all_pages(
            |page_token| pb::ListQuarantinedRequest {
                name: pool.name.clone(),
                pool_uid: pool.uid,
                page_size: PAGE_SIZE,
                page_token,
            },
            async |client, request| client.pool_service().list_quarantined(request).await,
            |page| (page.samples, page.next_page_token),
        )
        .await
    }

    /// Releases samples from quarantine (`None`: all of them). With `trust` the quarantine rule does not set them aside again. Returns how
    /// many were released, and how many were refused because no more can be trusted.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT`, `RESOURCE_EXHAUSTED` when too many would be trusted.
    pub async fn release_quarantined(
        &self,
        pool: impl Into<PoolRef>,
        ids: Option<Ids>,
        trust: bool,
    ) -> Result<pb::ReleaseQuarantinedResponse, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::ReleaseQuarantinedRequest {
            name,
            pool_uid: uid,
            ids: ids.map(|ids| ids.into_column(pb::ColumnEncoding::LittleEndian)),
            trust,
        };
        // Not retried: the response to a resend would not count what the first attempt did.
        self.unary(Retry::Never, request, async |client, request| {
            client.pool_service().release_quarantined(request).await
        })
        .await
    }

    /// Sets samples aside by hand. The response counts them by outcome.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT`, `FAILED_PRECONDITION` in an anchored pool.
    pub async fn quarantine_samples(
        &self,
        pool: impl Into<PoolRef>,
        ids: Ids,
    ) -> Result<pb::QuarantineSamplesResponse, Error> {
        let PoolRef { name, uid } = pool.into();
        let ids = Some(ids.into_column(pb::ColumnEncoding::LittleEndian));
        let request = pb::QuarantineSamplesRequest { name, pool_uid: uid, ids };
        // Not retried: the response to a resend would not count what the first attempt did.
        self.unary(Retry::Never, request, async |client, request| {
            client.pool_service().quarantine_samples(request).await
        })
        .await
    }

    /// Blocks samples: removes them, and the pool ignores all further reports of them. The response counts them by outcome.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT`, `RESOURCE_EXHAUSTED` when too many would be blocked, `FAILED_PRECONDITION` in an anchored pool.
    pub async fn block_samples(
        &self,
        pool: impl Into<PoolRef>,
        ids: Ids,
    ) -> Result<pb::BlockSamplesResponse, Error> {
        let PoolRef { name, uid } = pool.into();
        let ids = Some(ids.into_column(pb::ColumnEncoding::LittleEndian));
        let request = pb::BlockSamplesRequest { name, pool_uid: uid, ids };
        // Not retried: the response to a resend would not count what the first attempt did.
        self.unary(Retry::Never, request, async |client, request| {
            client.pool_service().block_samples(request).await
        })
        .await
    }

    /// Unblocks samples: the pool accepts reports of them again. Returns how many were blocked.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT`, `FAILED_PRECONDITION` in an anchored pool.
    pub async fn unblock_samples(&self, pool: impl Into<PoolRef>, ids: Ids) -> Result<u64, Error> {
        let PoolRef { name, uid } = pool.into();
        let ids = Some(ids.into_column(pb::ColumnEncoding::LittleEndian));
        let request = pb::UnblockSamplesRequest { name, pool_uid: uid, ids };
        // Not retried: the response to a resend would not count what the first attempt did.
        let answer = self
            .unary(Retry::Never, request, async |client, request| {
                client.pool_service().unblock_samples(request).await
            })
            .await?;
        Ok(answer.unblocked_count)
    }

    /// Lists all blocked samples, in order of id. Requests as many pages as there are.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn list_blocked(&self, pool: impl Into<PoolRef>) -> Result<Vec<pb::BlockedSample>, Error> {
        let pool = pool.into();
        self.all_pages(
            |page_token| pb::ListBlockedRequest {
                name: pool.name.clone(),
                pool_uid: pool.uid,
                page_size: PAGE_SIZE,
                page_token,
            },
            async |client, request| client.pool_service().list_blocked(request).await,
            |page| (page.samples, page.next_page_token),
        )
        .await
    }

    /// Removes all samples of a pool, including those in quarantine, and keeps the pool. Returns how many were removed. In an anchored pool:
    /// removes everything that came from reports, and returns the number of negatives; known positives and vetoes stay.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn clear_pool(&self, pool: impl Into<PoolRef>) -> Result<u64, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::ClearPoolRequest { name, pool_uid: uid };
        // Not retried: the response to a resend would not count what the first attempt did.
        let answer = self
            .unary(Retry::Never, request, async |client, request| {
                client.pool_service().clear_pool(request).await
            })
            .await?;
        Ok(answer.removed_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_may_run_in_a_task_of_their_own() {
        fn is_send<T: Send>(_: &T) {}
        let client = |client: &Client| {
            is_send(&client.list_pools());
            is_send(&client.list_blocked("p"));
            is_send(&client.list_quarantined("p"));
        };
        let _: fn(&Client) = client;
    }
}
