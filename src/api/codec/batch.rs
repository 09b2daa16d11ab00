//! Decodes mining requests and encodes mined batches.

use std::time::Duration;

use super::{duration, negative_ratio, policy, report, round, stats, variant};
use crate::model::batch::{Approximation, Estimand, MineRequest, MinedBatch, Source, Wait};
use crate::model::error::PoolError;
use crate::proto::columns;
use crate::proto::v1::{self as pb, ColumnEncoding};

/// How long a request waits for a pool to fill where it does not set `wait.timeout`.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which columns the answer has, and how they are encoded.
pub(crate) struct Reply {
    encoding: ColumnEncoding,
    fields: pb::BatchFields,
}

/// Decodes a request. The pool layer checks the ranges of the policy, sizes and times; it names fields without `prefix`.
///
/// # Errors
/// `Invalid` or `Unimplemented`, naming the field below `prefix`.
pub(crate) fn decode(
    message: pb::MineBatchRequest,
    rows_max: usize,
    prefix: &str,
) -> Result<(MineRequest, Reply), PoolError> {
    let field = |name: &str| format!("{prefix}{name}");
    let may_be_empty = message.negative_ratio.is_some();
    let batch_size =
        negative_ratio::batch_size(message.batch_size, message.negative_ratio, rows_max, prefix)?;
    let exclude = report::decode_optional_ids(message.exclude_ids, &field("exclude_ids"), rows_max)?;
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
        may_be_empty,
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

/// Encodes a batch with the columns that the request asked for.
pub(crate) fn encode(batch: &MinedBatch, pool_uid: u64, reply: &Reply) -> pb::MinedBatch {
    let Reply { encoding, fields } = reply;
    let encoding = *encoding;
    let background_count = batch.columns.count_from(Source::Background) as u32;
    let hard_count = batch.columns.ids.len() as u32 - background_count;
    let floats = |wanted: bool, values: &Option<Vec<f32>>| {
        values.as_ref().filter(|_| wanted).map(|values| columns::encode_floats(values, encoding))
    };
    let sparse =
        |wanted: bool, values: &Vec<f32>| wanted.then(|| columns::encode_sparse_floats(values, encoding));
    let ids = match &batch.columns.names {
        None => columns::encode_ids(&batch.columns.ids, encoding),
        Some(names) => columns::encode_keys(names.iter().map(|name| name.as_ref().to_owned()).collect()),
    };
    pb::MinedBatch {
        ids: Some(ids),
        scores: sparse(fields.scores, &batch.columns.scores),
        importance_weights: floats(fields.importance_weights, &batch.columns.importance_weights),
        inclusion_probabilities: floats(
            fields.inclusion_probabilities,
            &batch.columns.inclusion_probabilities,
        ),
        sources: if fields.sources {
            batch.columns.sources.iter().map(|source| source_number(*source)).collect::<Vec<u8>>().into()
        } else {
            Default::default()
        },
        ages: sparse(fields.ages, &batch.columns.ages),
        model_versions: if fields.model_versions { batch.columns.model_versions.clone() } else { Vec::new() },
        serves: if fields.serves { batch.columns.serves.clone() } else { Vec::new() },
        payloads: if fields.payloads { batch.columns.payloads.clone() } else { Vec::new() },
        strata: if fields.strata { batch.columns.strata.clone() } else { Vec::new() },
        groups: fields.groups.then(|| columns::encode_ids(&batch.columns.groups, encoding)),
        estimand: estimand(batch.draw.estimand).into(),
        policy: Some(policy::encode(&batch.draw.policy)),
        seed: batch.draw.seed,
        hard_count,
        background_count,
        realized_random_fraction: batch.draw.realized_random_fraction,
        eligible_fraction: batch.draw.eligible_fraction,
        shortfall_count: batch.draw.shortfall_count,
        timed_out: batch.draw.timed_out,
        sizes: Some(stats::encode_sizes(&batch.draw.sizes)),
        pool_uid,
        // There is no journal yet.
        position: None,
        round: batch.draw.round.as_ref().map(round::encode),
        control: batch.draw.control,
        warmup: batch.draw.warmup,
        approximations: batch
            .draw
            .approximations
            .iter()
            .map(|approximation| match approximation {
                Approximation::ScanLimit => pb::Approximation::ScanLimit.into(),
                Approximation::ClosedLoop => pb::Approximation::ClosedLoop.into(),
            })
            .collect(),
        filtered: Some(stats::encode_filtered(&batch.draw.filtered)),
    }
}

pub(super) fn estimand(estimand: Estimand) -> pb::Estimand {
    match estimand {
        Estimand::All => pb::Estimand::All,
        Estimand::HardStore => pb::Estimand::HardStore,
        Estimand::Eligible => pb::Estimand::Eligible,
        Estimand::None => pb::Estimand::None,
        Estimand::Approximate => pb::Estimand::Approximate,
    }
}

pub(super) fn source_number(source: Source) -> u8 {
    match source {
        Source::Hard => pb::Source::Hard as u8,
        Source::Background => pb::Source::Background as u8,
    }
}
