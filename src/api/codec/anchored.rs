//! Decodes and encodes the spec of anchored pools, and pairs of an anchor and a known positive or vetoed negative.

use super::report::{column, decode_ids};
use super::stats::encode_filtered;
use super::variant;
use crate::activity::stats::AnchoredFigures;
use crate::activity::stats::CounterValues;
use crate::model::anchored_spec::{AnchoredSpec, NO_USE};
use crate::model::error::{PoolError, Violation};
use crate::model::limits::Limits;
use crate::model::spec::IdKind;
use crate::pool::calls::pairs::{MarkCounts, Positives, ReachedLimit};
use crate::proto::columns;
use crate::proto::v1 as pb;
use crate::store::anchored::Margins;

/// The anchored part of a spec; `None` for a flat pool.
///
/// # Errors
/// `Invalid` naming the field, also for fields that an anchored pool has no use for.
pub(super) fn decode_spec(
    message: &pb::PoolSpec,
    limits: &Limits,
) -> Result<Option<AnchoredSpec>, PoolError> {
    match variant("pool.spec.kind", message.kind)? {
        pb::PoolKind::Anchored => {}
        pb::PoolKind::Unspecified | pb::PoolKind::Flat if message.anchored.is_none() => return Ok(None),
        pb::PoolKind::Unspecified | pb::PoolKind::Flat => {
            return Err(PoolError::invalid("pool.spec.anchored", "is for pools of kind POOL_KIND_ANCHORED"));
        }
    }
    let useless = [
        (message.capacity != 0, "capacity", "does not apply to an anchored pool: set anchored.max_anchors"),
        (message.default_policy.is_some(), "default_policy", NO_USE),
        (message.serve_limits.is_some(), "serve_limits", NO_USE),
        (message.max_payload_bytes != 0, "max_payload_bytes", NO_USE),
        (message.quarantine.is_some(), "quarantine", NO_USE),
        (message.flow.is_some(), "flow", NO_USE),
        (message.control_fraction != 0.0, "control_fraction", NO_USE),
        (message.sample_ttl.is_some(), "sample_ttl", NO_USE),
    ];
    let bad: Vec<Violation> = useless
        .into_iter()
        .filter(|(set, _, _)| *set)
        .map(|(_, field, why)| Violation::new(format!("pool.spec.{field}"), why))
        .collect();
    if !bad.is_empty() {
        return Err(PoolError::Invalid(bad));
    }
    let given = message.anchored.unwrap_or_default();
    let defaults = AnchoredSpec::defaults(limits);
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    Ok(Some(AnchoredSpec {
        negatives_per_anchor: or(given.negatives_per_anchor, defaults.negatives_per_anchor),
        max_anchors: if given.max_anchors == 0 { defaults.max_anchors } else { given.max_anchors },
        max_positives_per_anchor: or(given.max_positives_per_anchor, defaults.max_positives_per_anchor),
        max_vetoes_per_anchor: or(given.max_vetoes_per_anchor, defaults.max_vetoes_per_anchor),
        max_pairs: match (given.max_pairs, given.max_anchors) {
            (0, 0) => defaults.max_pairs,
            (0, anchors) => AnchoredSpec::default_pairs(anchors),
            (pairs, _) => pairs,
        },
        margins: Margins { absolute: given.absolute_margin, relative: given.relative_margin },
        anchor_id_kind: match variant("pool.spec.anchored.anchor_id_kind", given.anchor_id_kind)? {
            pb::IdKind::Unspecified | pb::IdKind::U64 => IdKind::U64,
            pb::IdKind::String => IdKind::Name,
        },
        anchors_are_samples: given.anchors_are_samples,
    }))
}

/// Encodes the spec of an anchored pool. Every field is set but those that an anchored pool has no use for.
pub(super) fn encode_spec(spec: &AnchoredSpec, mut pool: pb::PoolSpec) -> pb::PoolSpec {
    (pool.capacity, pool.default_policy, pool.serve_limits) = (0, None, None);
    pb::PoolSpec {
        kind: pb::PoolKind::Anchored.into(),
        anchored: Some(pb::AnchoredSpec {
            negatives_per_anchor: spec.negatives_per_anchor,
            max_anchors: spec.max_anchors,
            max_positives_per_anchor: spec.max_positives_per_anchor,
            max_vetoes_per_anchor: spec.max_vetoes_per_anchor,
            absolute_margin: spec.margins.absolute,
            relative_margin: spec.margins.relative,
            max_pairs: spec.max_pairs,
            anchor_id_kind: match spec.anchor_id_kind {
                IdKind::U64 => pb::IdKind::U64,
                IdKind::Name => pb::IdKind::String,
            }
            .into(),
            anchors_are_samples: spec.anchors_are_samples,
        }),
        ..pool
    }
}

/// Adds what the anchors hold, and what filters turned away, to a pool's figures.
pub(super) fn encode_figures(
    figures: &AnchoredFigures,
    counters: &CounterValues,
    stats: pb::PoolStats,
) -> pb::PoolStats {
    pb::PoolStats {
        anchored: Some(pb::AnchoredStats {
            anchors: figures.store.anchors,
            negatives: figures.store.negatives,
            positives: figures.store.positives,
            vetoes: figures.store.vetoes,
            anchors_refused: counters.rows.anchor_limit,
            pairs_refused: counters.pairs_refused,
        }),
        filtered: Some(encode_filtered(&figures.filtered)),
        ..stats
    }
}

/// Decodes known positives.
///
/// # Errors
/// `Invalid` naming the field.
pub(crate) fn decode_positives(
    message: pb::AddPositivesRequest,
    rows_max: usize,
) -> Result<Positives, PoolError> {
    Ok(Positives {
        anchors: decode_ids(message.anchors, "anchors", rows_max)?,
        positives: decode_ids(message.positives, "positives", rows_max)?,
        scores: match message.scores {
            // A message without values counts as absent.
            Some(pb::FloatColumn { encoding: None, .. }) | None => Vec::new(),
            some => columns::decode_floats(some).map_err(column("scores"))?,
        },
        model_version: message.model_version,
    })
}

/// The pairs that reached a limit and were not remembered; `None` where there are none.
pub(crate) fn encode_refused(counts: MarkCounts) -> Option<pb::RefusedPairs> {
    let limit = |reached: ReachedLimit| pb::ReachedLimit {
        row: reached.row,
        limit: reached.limit.to_owned(),
        max: reached.max,
    };
    (!counts.refused.is_empty()).then(|| pb::RefusedPairs {
        rows: counts.refused,
        limits: counts.limits.into_iter().map(limit).collect(),
    })
}
