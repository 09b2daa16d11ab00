//! Derives the specs of the stores of a pool from its spec.

use crate::model::anchored_spec::AnchoredSpec;
use crate::model::spec::{IdKind, PoolSpec};
use crate::store::StoreSpec;
use crate::store::anchored::AnchorStoreSpec;

/// Minimum number of anchors for each of several partitions: a pool with few anchors has one partition.
const PARTITION_ANCHORS_MIN: u64 = 1 << 16;
/// Capacity of the hard store in the flat store that holds the background of an anchored pool. The dashboard shows its hardest samples.
const HARDEST: usize = 1_024;

/// The spec of the anchor store. If there are too few anchors for several partitions, there is one, with exactly the limits of the pool.
/// Otherwise each has its share of `max_anchors` and `max_pairs`, and a little more.
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

/// The spec of the store of samples. In an anchored pool that store holds the background.
pub(super) fn flat_store(spec: &PoolSpec, salt_seed: u64, workers: usize) -> StoreSpec {
    StoreSpec {
        capacity: if spec.anchored.is_some() { HARDEST } else { spec.capacity as usize },
        // In the draws of anchors every member of the background has the same rate, so there must be one p, and therefore one partition.
        partitions: if spec.anchored.is_some() { 1 } else { spec.shards as usize },
        background: spec.background,
        hardness: spec.hardness,
        named: spec.id_kind == IdKind::Name,
        salt_seed,
        workers,
    }
}
