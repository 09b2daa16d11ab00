//! Mines one batch, for MineBatch and StreamBatches.

use std::sync::Arc;

use crate::api::Context;
use crate::api::codec::batch::{self, Reply};
use crate::model::batch::MineRequest;
use crate::model::error::PoolError;
use crate::pool::Pool;
use crate::pool::admission::Patience;
use crate::proto::v1 as pb;

/// The pool to mine, and what the answer should look like.
pub(super) struct Target {
    pool: Arc<Pool>,
    reply: Reply,
}

impl Target {
    /// The id of the pool.
    pub(super) fn pool_id(&self) -> &str {
        self.pool.id()
    }
}

/// Finds the pool and decodes the request. The pool layer checks the ranges of the policy, sizes and times; it names fields without `prefix`.
///
/// # Errors
/// `NotFound`; `Invalid` or `Unimplemented`, naming the field below `prefix`.
pub(super) fn decode(
    context: &Context,
    message: pb::MineBatchRequest,
    prefix: &str,
) -> Result<(MineRequest, Target), PoolError> {
    let pool = context.pool(&format!("{prefix}pool"), &message.pool, message.pool_uid)?;
    let (request, reply) = batch::decode(message, context.rows_max, prefix)?;
    Ok((request, Target { pool, reply }))
}

/// Mines one batch.
///
/// # Errors
/// Those of [`Pool::mine`]; `Exhausted` when the answer is longer than a message may be.
pub(super) async fn mine(
    context: &Context,
    target: &Target,
    request: MineRequest,
    patience: Patience,
) -> Result<pb::MinedBatch, PoolError> {
    let mined = target.pool.mine(request, patience).await?;
    let message = batch::encode(&mined, target.pool.uid(), &target.reply);
    context.check_length(&message, "fewer samples or without payloads")?;
    Ok(message)
}
