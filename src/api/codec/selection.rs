//! Decodes requests to select from a set, and encodes selections.

use super::{policy, report, spec, variant};
use crate::model::error::PoolError;
use crate::model::policy::{Normalization, Strategy};
use crate::model::report::Ids;
use crate::model::selection::{SelectRequest, Selection};
use crate::proto::columns;
use crate::proto::v1::{self as pb, ColumnEncoding};

/// How the answer is encoded, and the ids that it repeats.
pub(crate) struct Reply {
    encoding: ColumnEncoding,
    ids: Ids,
}

/// Decodes a request. The pool layer checks ranges and lengths.
///
/// # Errors
/// `Invalid` naming the field.
pub(crate) fn decode(
    message: pb::SelectFromRequest,
    rows_max: usize,
) -> Result<(SelectRequest, Reply), PoolError> {
    let floats = |field: &'static str, column: Option<pb::FloatColumn>| {
        report::decode_optional_floats(column, field, rows_max)
    };
    let ids = report::decode_optional_ids(message.ids, "ids", rows_max)?;
    let request = SelectRequest {
        scores: floats("scores", message.scores)?,
        reference_scores: floats("reference_scores", message.reference_scores)?,
        ids: ids.clone(),
        batch_size: message.batch_size,
        strategy: policy::decode_strategy("strategy", message.strategy)?.unwrap_or(Strategy::Proportional),
        alpha: message.alpha.unwrap_or(1.0),
        hardness: spec::decode_hardness("hardness", message.hardness)?,
        replacement: message.replacement,
        beta: message.beta.unwrap_or(1.0),
        normalization: policy::decode_normalization("normalization", message.normalization)?
            .unwrap_or(Normalization::None),
        seed: message.seed,
    };
    Ok((request, Reply { encoding: variant("encoding", message.encoding)?, ids }))
}

/// Encodes a selection.
pub(crate) fn encode(selection: Selection, reply: &Reply) -> pb::SelectFromResponse {
    let rows = || selection.rows.iter().map(|row| *row as usize);
    let ids = match &reply.ids {
        Ids::U64(ids) if ids.is_empty() => None,
        Ids::U64(ids) => {
            Some(columns::encode_ids(rows().map(|row| ids[row]).collect::<Vec<_>>(), reply.encoding))
        }
        Ids::Names(names) => Some(columns::encode_keys(rows().map(|row| names[row].to_string()).collect())),
    };
    let floats =
        |values: Option<Vec<f32>>| values.map(|values| columns::encode_floats(values, reply.encoding));
    pb::SelectFromResponse {
        ids,
        rows: selection.rows,
        inclusion_probabilities: floats(selection.inclusion_probabilities),
        importance_weights: floats(selection.importance_weights),
        estimand: super::batch::estimand(selection.estimand).into(),
        seed: selection.seed,
        non_finite_count: selection.non_finite,
    }
}
