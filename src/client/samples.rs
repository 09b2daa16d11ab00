//! Single samples: looked up, listed in quarantine, released from it.

use super::retry::Retry;
use super::{Client, Error, Ids, PoolRef, pb};

impl Client {
    /// Every sample in quarantine, in order of id, over as many pages as it takes.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn list_quarantined(
        &self,
        pool: impl Into<PoolRef>,
    ) -> Result<Vec<pb::QuarantinedSample>, Error> {
        let pool = pool.into();
        let mut samples = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListQuarantinedRequest {
                name: pool.name.clone(),
                pool_uid: pool.uid,
                page_size: 65_536,
                page_token: std::mem::take(&mut page_token),
            };
            let page = self
                .unary(Retry::Safe, request, async |client, request| {
                    client.pool_service().list_quarantined(request).await
                })
                .await?;
            samples.extend(page.samples);
            if page.next_page_token.is_empty() {
                return Ok(samples);
            }
            page_token = page.next_page_token;
        }
    }

    /// Puts samples back from quarantine (`None`: all of them), and with `trust` never sets them aside again; how many.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT`, `RESOURCE_EXHAUSTED` when too many would be trusted.
    pub async fn release_quarantined(
        &self,
        pool: impl Into<PoolRef>,
        ids: Option<Ids>,
        trust: bool,
    ) -> Result<u64, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::ReleaseQuarantinedRequest {
            name,
            pool_uid: uid,
            ids: ids.map(|ids| ids.into_column(pb::ColumnEncoding::LittleEndian)),
            trust,
        };
        // Not retried: the second answer would count nothing.
        let answer = self
            .unary(Retry::Never, request, async |client, request| {
                client.pool_service().release_quarantined(request).await
            })
            .await?;
        Ok(answer.released_count)
    }

    /// Looks samples up: what is stored of each, in the order of `ids`.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT`.
    pub async fn get_samples(&self, pool: impl Into<PoolRef>, ids: Ids) -> Result<Vec<pb::Sample>, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::GetSamplesRequest {
            pool: name,
            pool_uid: uid,
            ids: Some(ids.into_column(pb::ColumnEncoding::LittleEndian)),
        };
        let answer = self
            .unary(Retry::Safe, request, async |client, request| {
                client.mining_service().get_samples(request).await
            })
            .await?;
        Ok(answer.samples)
    }
}
