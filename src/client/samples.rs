//! Single samples looked up.

use super::retry::Retry;
use super::{Client, Error, Ids, PoolRef, pb};

impl Client {
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
