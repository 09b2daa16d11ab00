//! What the stores of a pool must know of its spec.

use crate::model::anchored_spec::AnchoredSpec;
use crate::model::spec::{IdKind, PoolSpec};
use crate::store::StoreSpec;
use crate::store::anchored::AnchorStoreSpec;

/// Anchors that a partition should have room for at least: a pool of few has one partition.
const PARTITION_ANCHORS_MIN: u64 = 1 << 16;
/// Samples in the hard store of the flat store that an anchored pool has for its background: what the dashboard shows as
/// the hardest.
const HARDEST: usize = 1_024;

/// What the store of the anchors must know. Fewer anchors than several partitions are worth are in one, which has exactly the limits
/// of the pool; else each has its share of `max_anchors` and `max_pairs`, and a little more.
pub(super) fn anchor_store(anchored: &AnchoredSpec, spec: &PoolSpec, workers: usize) -> AnchorStoreSpec {
    let partitions = (anchored.max_anchors / PARTITION_ANCHORS_MIN).clamp(1, spec.shards.max(1).into());
    AnchorStoreSpec {
        negatives_per_anchor: anchored.negatives_per_anchor as usize,
        max_anchors: anchored.max_anchors,
        max_positives_per_anchor: anchored.max_positives_per_anchor as usize,
        max_vetoes_per_anchor: anchored.max_vetoes_per_anchor as usize,
        max_pairs: anchored.max_pairs,
        margins: anchored.margins,
        partitions: partitions as usize,
        hardness: spec.hardness,
        named: spec.id_kind == IdKind::Name,
        workers,
    }
}

/// What the flat store behind a pool must know: of an anchored pool it holds the background.
pub(super) fn flat_store(spec: &PoolSpec, salt_seed: u64, workers: usize) -> StoreSpec {
    StoreSpec {
        capacity: if spec.anchored.is_some() { HARDEST } else { spec.capacity as usize },
        // Of the draws of anchors every member of the background has the same rate, so it must have one p.
        partitions: if spec.anchored.is_some() { 1 } else { spec.shards as usize },
        background: spec.background,
        hardness: spec.hardness,
        named: spec.id_kind == IdKind::Name,
        salt_seed,
        workers,
    }
}
