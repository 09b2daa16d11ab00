//! Looking up single samples.

use super::retry::Retry;
use super::{Client, Error, Ids, PoolRef, pb};

impl Client {
    /// Gets what is stored of samples, at most 65,536: one sample for each id, in the order of `ids`.
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
