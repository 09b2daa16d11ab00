//! Decodes requests for negatives of anchors and encodes the negatives.

use super::batch::source_number;
use super::report::{column, decode_ids, decode_optional_ids};
use super::stats::{encode_filtered, encode_sizes};
use super::{policy, variant};
use crate::model::batch::Source;
use crate::model::error::PoolError;
use crate::model::negative_policy::{DistanceWeighting, NegativePolicy, NegativeStrategy};
use crate::model::negatives::{ANCHORS_MAX, MinedNegatives, NegativesRequest};
use crate::model::policy::Shortfall;
use crate::proto::columns;
use crate::proto::v1::{self as pb, ColumnEncoding};
use crate::store::anchored::Margins;

/// Which columns the answer has, and how they are encoded.
pub(crate) struct Reply {
    encoding: ColumnEncoding,
    fields: pb::NegativeFields,
}

/// Decodes a request. The pool layer checks the ranges of the policy.
///
/// # Errors
/// `Invalid` naming the field.
pub(crate) fn decode(
    message: pb::MineNegativesRequest,
    rows_max: usize,
) -> Result<(NegativesRequest, Reply), PoolError> {
    let rows = columns::id_rows(message.anchors.as_ref()).map_err(column("anchors"))?;
    if rows > ANCHORS_MAX {
        // Checked before the ids are copied.
        return Err(PoolError::invalid("anchors", format!("{rows} anchors, not 1 to {ANCHORS_MAX}")));
    }
    let request = NegativesRequest {
        exclude: decode_optional_ids(message.exclude_ids, "exclude_ids", rows_max)?,
        anchors: decode_ids(message.anchors, "anchors", rows_max)?,
        num_negatives: message.num_negatives,
        num_negatives_per_anchor: message.num_negatives_per_anchor,
        policy: decode_policy(message.policy)?,
        seed: message.seed,
        labels: message.fields.is_some_and(|fields| fields.labels),
    };
    let reply = Reply {
        encoding: variant("encoding", message.encoding)?,
        fields: message.fields.unwrap_or(pb::NegativeFields {
            scores: true,
            inclusion_probabilities: true,
            sources: true,
            ..Default::default()
        }),
    };
    Ok((request, reply))
}

fn decode_policy(message: Option<pb::NegativePolicy>) -> Result<NegativePolicy, PoolError> {
    let message = message.unwrap_or_default();
    let defaults = NegativePolicy::default();
    let strategy = match variant("policy.strategy", message.strategy)? {
        pb::NegativeStrategy::Unspecified | pb::NegativeStrategy::Top => NegativeStrategy::Top,
        pb::NegativeStrategy::Random => NegativeStrategy::Random,
        pb::NegativeStrategy::Proportional => NegativeStrategy::Proportional,
        pb::NegativeStrategy::SemiHard => NegativeStrategy::SemiHard,
        pb::NegativeStrategy::DistanceWeighted => NegativeStrategy::DistanceWeighted,
    };
    let unscored = message.shortfall == i32::from(pb::Shortfall::FillUnscored);
    let shortfall =
        if unscored { Some(Shortfall::Fill) } else { policy::decode_shortfall("policy", message.shortfall)? };
    let or = |value: f64, default: f64| if value == 0.0 { default } else { value };
    Ok(NegativePolicy {
        strategy,
        alpha: message.alpha.unwrap_or(defaults.alpha),
        random_fraction: message.random_fraction.unwrap_or(defaults.random_fraction),
        range_min: message.range_min,
        range_max: message.range_max,
        min_score: message.min_score,
        max_score: message.max_score,
        margins: Margins { absolute: message.absolute_margin, relative: message.relative_margin },
        hard_margin: message.hard_margin,
        semi_hard_margin: message.semi_hard_margin,
        distance_weighting: message.distance_weighting.map(|given| {
            let defaults = DistanceWeighting::of_dimension(given.dimension);
            DistanceWeighting {
                cutoff: or(given.cutoff, defaults.cutoff),
                max_distance: or(given.max_distance, defaults.max_distance),
                ..defaults
            }
        }),
        max_per_group: message.max_per_group,
        age: message.age.map(|w| (w.min, w.max.unwrap_or(f64::INFINITY))),
        model_version: message.model_version.map(|w| (w.min, w.max.unwrap_or(u32::MAX))),
        shortfall: shortfall.unwrap_or(defaults.shortfall),
        unscored,
    })
}

/// Encodes the policy that was applied.
fn encode_policy(policy: &NegativePolicy) -> pb::NegativePolicy {
    let strategy = match policy.strategy {
        NegativeStrategy::Top => pb::NegativeStrategy::Top,
        NegativeStrategy::Random => pb::NegativeStrategy::Random,
        NegativeStrategy::Proportional => pb::NegativeStrategy::Proportional,
        NegativeStrategy::SemiHard => pb::NegativeStrategy::SemiHard,
        NegativeStrategy::DistanceWeighted => pb::NegativeStrategy::DistanceWeighted,
    };
    pb::NegativePolicy {
        strategy: strategy.into(),
        alpha: Some(policy.alpha),
        random_fraction: Some(policy.random_fraction),
        range_min: policy.range_min,
        range_max: policy.range_max,
        min_score: policy.min_score,
        max_score: policy.max_score,
        absolute_margin: policy.margins.absolute,
        relative_margin: policy.margins.relative,
        hard_margin: policy.hard_margin,
        semi_hard_margin: policy.semi_hard_margin,
        distance_weighting: policy.distance_weighting.map(|w| pb::DistanceWeighting {
            dimension: w.dimension,
            cutoff: w.cutoff,
            max_distance: w.max_distance,
        }),
        max_per_group: policy.max_per_group,
        age: policy.age.map(|(min, max)| pb::AgeWindow { min, max: Some(max).filter(|max| max.is_finite()) }),
        model_version: policy
            .model_version
            .map(|(min, max)| pb::VersionWindow { min, max: Some(max).filter(|max| *max != u32::MAX) }),
        shortfall: match policy.unscored {
            true => pb::Shortfall::FillUnscored,
            false => policy::encode_shortfall(policy.shortfall),
        }
        .into(),
    }
}

/// Encodes negatives with the columns that the request asked for.
pub(crate) fn encode(mined: MinedNegatives, pool_uid: u64, reply: &Reply) -> pb::MineNegativesResponse {
    let Reply { encoding, fields } = reply;
    let encoding = *encoding;
    let background_count = mined.count_from(Source::Background) as u32;
    let filled_count = mined.filled_count();
    let sparse =
        |wanted: bool, values: Vec<f32>| wanted.then(|| columns::encode_sparse_floats(values, encoding));
    let ids = match mined.names {
        None => columns::encode_ids(mined.ids, encoding),
        Some(names) => columns::encode_keys(names.iter().map(|name| name.as_ref().to_owned()).collect()),
    };
    let labels = mined.labels.unwrap_or_default();
    pb::MineNegativesResponse {
        labels: labels.negatives,
        anchor_labels: labels.anchors,
        offsets: mined.offsets,
        ids: Some(ids),
        scores: sparse(fields.scores, mined.scores),
        inclusion_probabilities: mined
            .inclusion_probabilities
            .filter(|_| fields.inclusion_probabilities)
            .map(|values| columns::encode_floats(values, encoding)),
        sources: if fields.sources {
            mined.sources.iter().map(|source| source_number(*source)).collect::<Vec<u8>>().into()
        } else {
            Default::default()
        },
        ages: sparse(fields.ages, mined.ages),
        positive_scores: sparse(fields.positive_scores, mined.positive_scores),
        policy: Some(encode_policy(&mined.policy)),
        seed: mined.seed,
        shortfall_count: mined.shortfall_count,
        unknown_anchor_count: mined.unknown_anchor_count,
        no_positive_count: mined.no_positive_count,
        background_count,
        filled_count,
        sizes: Some(encode_sizes(&mined.sizes)),
        filtered: Some(encode_filtered(&mined.filtered)),
        pool_uid,
    }
}
