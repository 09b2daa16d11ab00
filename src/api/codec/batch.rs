//! Mining requests and mined batches.

use std::sync::Arc;
use std::time::Duration;

use super::{duration, negative_ratio, policy, report, round, stats, variant};
use crate::api::Context;
use crate::model::batch::{Approximation, Estimand, MineRequest, MinedBatch, Source, Wait};
use crate::model::error::PoolError;
use crate::pool::Pool;
use crate::pool::admission::Patience;
use crate::proto::columns;
use crate::proto::v1::{self as pb, ColumnEncoding};

/// How long to wait for a pool to fill where the request does not say.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to mine, and what the answer should look like.
pub(crate) struct Reply {
    pool: Arc<Pool>,
    encoding: ColumnEncoding,
    fields: pb::BatchFields,
}

impl Reply {
    /// The name of the pool that is mined.
    pub(crate) fn pool(&self) -> &str {
        self.pool.id()
    }
}

/// Reads a request. Ranges of the policy, sizes and times are checked by the pool layer, which names fields without `prefix`.
///
/// # Errors
/// `Invalid` or `Unimplemented`, naming the field below `prefix`.
pub(crate) fn decode(
    context: &Context,
    message: pb::MineBatchRequest,
    prefix: &str,
) -> Result<(MineRequest, Reply), PoolError> {
    let field = |name: &str| format!("{prefix}{name}");
    let pool = context.pool(&field("pool"), &message.pool, message.pool_uid)?;
    let batch_size =
        negative_ratio::batch_size(message.batch_size, message.negative_ratio, context.rows_max, prefix)?;
    let exclude = match message.exclude_ids {
        // A message without ids excludes nothing.
        Some(pb::IdColumn { encoding: None }) | None => Default::default(),
        some => report::decode_ids(some, &field("exclude_ids"), context.rows_max)?,
    };
    let wait = match message.wait {
        None => None,
        Some(wait) => Some(Wait {
            min_size: wait.min_size,
            timeout: match wait.timeout {
                None => WAIT_TIMEOUT,
                Some(timeout) => duration(&field("wait.timeout"), timeout)?,
            },
        }),
    };
    let request = MineRequest {
        batch_size,
        policy: policy::decode(&field("policy"), message.policy)?,
        exclude,
        seed: message.seed,
        wait,
        request_id: message.request_id,
        dry_run: message.dry_run,
        lease: message.lease.map(|lease| duration(&field("lease"), lease)).transpose()?,
        round: message.round.map(round::decode),
        step: message.step,
    };
    let reply = Reply {
        pool,
        encoding: variant(&field("encoding"), message.encoding)?,
        fields: message.fields.unwrap_or(pb::BatchFields {
            scores: true,
            importance_weights: true,
            sources: true,
            payloads: true,
            ..Default::default()
        }),
    };
    Ok((request, reply))
}

/// Mines one batch.
///
/// # Errors
/// As of [`Pool::mine`]; `Exhausted` when the answer would be longer than a message may be.
pub(crate) async fn mine(
    context: &Context,
    reply: &Reply,
    request: MineRequest,
    patience: Patience,
) -> Result<pb::MinedBatch, PoolError> {
    let mined = reply.pool.mine(request, patience).await?;
    let message = encode(Arc::unwrap_or_clone(mined), reply);
    check_length(context, &message, "fewer samples or without payloads")?;
    Ok(message)
}

/// Checks that an answer fits a message.
///
/// # Errors
/// `Exhausted`, advising to ask for `less`.
pub(super) fn check_length(
    context: &Context,
    message: &impl prost::Message,
    less: &str,
) -> Result<(), PoolError> {
    let bytes = message.encoded_len();
    // The response may wrap it once more.
    if bytes + 16 <= context.message_bytes_max {
        return Ok(());
    }
    Err(PoolError::Exhausted {
        what: format!(
            "the answer has {bytes} bytes, over this server's max_message_bytes {}: ask for {less}",
            context.message_bytes_max
        ),
        limit: "max_message_bytes",
        retry_after: None,
    })
}

fn encode(batch: MinedBatch, reply: &Reply) -> pb::MinedBatch {
    let Reply { pool, encoding, fields } = reply;
    let encoding = *encoding;
    let background_count = batch.count_from(Source::Background) as u32;
    let hard_count = batch.ids.len() as u32 - background_count;
    let floats = |wanted: bool, values: Vec<f32>| wanted.then(|| columns::encode_floats(values, encoding));
    let ids = match batch.names {
        None => columns::encode_ids(batch.ids, encoding),
        Some(names) => columns::encode_keys(names.iter().map(|name| name.as_ref().to_owned()).collect()),
    };
    pb::MinedBatch {
        ids: Some(ids),
        scores: fields.scores.then(|| columns::encode_sparse_floats(batch.scores, encoding)),
        importance_weights: batch.importance_weights.and_then(|w| floats(fields.importance_weights, w)),
        inclusion_probabilities: batch
            .inclusion_probabilities
            .and_then(|p| floats(fields.inclusion_probabilities, p)),
        sources: if fields.sources {
            batch.sources.iter().map(|source| source_number(*source)).collect::<Vec<u8>>().into()
        } else {
            Default::default()
        },
        ages: fields.ages.then(|| columns::encode_sparse_floats(batch.ages, encoding)),
        model_versions: if fields.model_versions { batch.model_versions } else { Vec::new() },
        serves: if fields.serves { batch.serves } else { Vec::new() },
        payloads: if fields.payloads { batch.payloads } else { Vec::new() },
        strata: if fields.strata { batch.strata } else { Vec::new() },
        groups: fields.groups.then(|| columns::encode_ids(batch.groups, encoding)),
        estimand: match batch.estimand {
            Estimand::All => pb::Estimand::All,
            Estimand::HardStore => pb::Estimand::HardStore,
            Estimand::Eligible => pb::Estimand::Eligible,
            Estimand::None => pb::Estimand::None,
            Estimand::Approximate => pb::Estimand::Approximate,
        }
        .into(),
        policy: Some(policy::encode(batch.policy)),
        seed: batch.seed,
        hard_count,
        background_count,
        realized_random_fraction: batch.realized_random_fraction,
        shortfall_count: batch.shortfall_count,
        timed_out: batch.timed_out,
        sizes: Some(stats::encode_sizes(&batch.sizes)),
        pool_uid: pool.uid(),
        // Nothing is journalled yet.
        position: None,
        round: batch.round.as_ref().map(round::encode),
        control: batch.control,
        warmup: batch.warmup,
        approximations: batch
            .approximations
            .iter()
            .map(|approximation| match approximation {
                Approximation::ScanLimit => pb::Approximation::ScanLimit.into(),
                Approximation::MinPerStratum => pb::Approximation::MinPerStratum.into(),
                Approximation::ServedBefore => pb::Approximation::ServedBefore.into(),
                Approximation::ClosedLoop => pb::Approximation::ClosedLoop.into(),
            })
            .collect(),
        filtered: Some(stats::encode_filtered(&batch.filtered)),
    }
}

pub(super) fn source_number(source: Source) -> u8 {
    match source {
        Source::Hard => pb::Source::Hard as u8,
        Source::Background => pb::Source::Background as u8,
    }
}
