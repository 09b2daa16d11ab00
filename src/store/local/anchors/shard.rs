//! One shard: anchors by id, under one lock.

use hardneg_partition::hint::prefetch;
use hardneg_partition::updated_score;
use hashbrown::HashTable;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::anchor::{Anchor, Offered};
use super::layout::{Layout, Row};
use super::names::Names;
use super::work::Outcome;
use crate::store::anchored::{
    AnchorBatch, AnchorRow, AnchorRows, AnchorStoreSpec, Negative, NotNegative, Pairs,
};
use crate::store::hash::placement_hash;
use crate::store::key::Key;
use crate::store::{ScoreUpdate, StoreError};

/// What the shards of a pool share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spec: AnchorStoreSpec,
    /// Anchors there are or that have been promised a place.
    pub(super) places: AtomicU64,
    /// Of a `named` pool.
    pub(super) names: Option<Names>,
}

impl Shared {
    /// Places for `n` more anchors, all or none.
    pub(super) fn take_places(&self, n: u64) -> bool {
        let within = |taken: u64| taken.checked_add(n).filter(|sum| *sum <= self.spec.max_anchors);
        self.places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
    }
}

/// Sizes of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    pub(super) negatives: u64,
    pub(super) positives: u64,
    pub(super) vetoes: u64,
    /// Beside the anchors themselves.
    heap_bytes: usize,
}

/// One shard.
#[derive(Debug)]
pub(super) struct Shard {
    shared: Arc<Shared>,
    /// Numbers in `anchors`, by the hash of the anchor's id.
    index: HashTable<u32>,
    anchors: Vec<Anchor>,
    pub(super) sizes: Sizes,
    /// New negatives of the anchor at hand, with their rows.
    fresh: Vec<(Negative, u32)>,
    /// No key is below.
    floor: Option<Key>,
}

impl Shard {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            index: HashTable::new(),
            anchors: Vec::new(),
            sizes: Sizes::default(),
            fresh: Vec::new(),
            floor: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.anchors.len()
    }

    fn find(&self, anchor: u64) -> Option<usize> {
        let same = |at: &u32| self.anchors[*at as usize].id == anchor;
        self.index.find(placement_hash(anchor), same).map(|at| *at as usize)
    }

    /// Enters an anchor that is not there; it has a place.
    fn enter(&mut self, anchor: u64) -> usize {
        let at = self.anchors.len();
        self.anchors.push(Anchor::new(anchor));
        let anchors = &self.anchors;
        self.index
            .insert_unique(placement_hash(anchor), at as u32, |at| placement_hash(anchors[*at as usize].id));
        at
    }

    /// Changes an anchor and keeps account of what it holds.
    fn change<T>(
        &mut self,
        at: usize,
        with: impl FnOnce(&mut Anchor, &Shared, &mut Vec<(Negative, u32)>) -> T,
    ) -> T {
        let anchor = &mut self.anchors[at];
        let measure = |anchor: &Anchor| {
            (
                anchor.heap_bytes(),
                anchor.negatives().len() as u64,
                anchor.not_negative(NotNegative::Positive).len() as u64,
                anchor.not_negative(NotNegative::Vetoed).len() as u64,
            )
        };
        let before = measure(anchor);
        let result = with(anchor, &self.shared, &mut self.fresh);
        let after = measure(anchor);
        let sizes = &mut self.sizes;
        sizes.heap_bytes = sizes.heap_bytes + after.0 - before.0;
        sizes.negatives = sizes.negatives + after.1 - before.1;
        sizes.positives = sizes.positives + after.2 - before.2;
        sizes.vetoes = sizes.vetoes + after.3 - before.3;
        result
    }

    /// Applies rows `part` of a batch.
    pub(super) fn report(
        &mut self,
        batch: &AnchorBatch,
        layout: &Layout,
        part: Range<usize>,
        out: &mut Outcome,
    ) {
        for row in &layout.rows[part.clone()] {
            // Costs nothing where the line is there already, as with many rows of one anchor.
            if let Some(at) = self.find(row.anchor) {
                prefetch(&self.anchors, at);
            }
        }
        let mut from = part.start;
        for rows in layout.rows[part].chunk_by(|a, b| a.anchor == b.anchor) {
            let positive = layout.positives.get(from).copied().unwrap_or(f32::NAN);
            from += rows.len();
            let at = match self.find(rows[0].anchor) {
                Some(at) => at,
                None if self.shared.take_places(1) => self.enter(rows[0].anchor),
                None => {
                    out.counts.anchor_limit += rows.len() as u64;
                    continue;
                }
            };
            let floor = self.floor;
            self.change(at, |anchor, shared, fresh| {
                meet_positive(anchor, positive, batch, &shared.spec);
                update_known(anchor, (rows, floor), batch, shared, fresh, out);
                offer_new(anchor, batch, shared, fresh, out);
            });
        }
    }

    /// Marks rows `part` of pairs as no negatives; anchors that are new have places.
    pub(super) fn mark(
        &mut self,
        pairs: &Pairs,
        why: NotNegative,
        layout: &Layout,
        part: Range<usize>,
        out: &mut Outcome,
    ) {
        let mut from = part.start;
        for rows in layout.rows[part].chunk_by(|a, b| a.anchor == b.anchor) {
            let positive = layout.positives.get(from).copied().unwrap_or(f32::NAN);
            from += rows.len();
            let at = self.find(rows[0].anchor).unwrap_or_else(|| {
                out.entered += 1;
                self.enter(rows[0].anchor)
            });
            self.change(at, |anchor, shared, _| {
                if !positive.is_nan() {
                    anchor.meet_positive(positive, pairs.stamp, &shared.spec);
                }
                for row in rows {
                    let (added, removed) = anchor.mark(row.id, why);
                    out.added += u64::from(added);
                    out.removed += u64::from(removed);
                    if removed {
                        shared.release(row.id);
                    }
                }
            });
        }
    }

    /// Whether all of `rows` of one shard could be marked; how many of their anchors are new.
    ///
    /// # Errors
    /// `Limit` naming a row of the first anchor that would have too many: the anchor itself may be the hash of a name.
    pub(super) fn check_mark(&self, rows: &[Row], why: NotNegative) -> Result<u64, StoreError> {
        let spec = &self.shared.spec;
        let (max, limit, noun) = match why {
            NotNegative::Positive => {
                (spec.max_positives_per_anchor, "max_positives_per_anchor", "known positives")
            }
            NotNegative::Vetoed => (spec.max_vetoes_per_anchor, "max_vetoes_per_anchor", "vetoes"),
        };
        let mut unknown = 0;
        for rows in rows.chunk_by(|a, b| a.anchor == b.anchor) {
            let known = match self.find(rows[0].anchor) {
                Some(at) => self.anchors[at].not_negative(why),
                None => {
                    unknown += 1;
                    &[]
                }
            };
            let added = rows.iter().filter(|row| known.binary_search(&row.id).is_err()).count();
            if known.len() + added > max {
                let row = rows.iter().map(|row| row.row).min().unwrap_or(0);
                return Err(StoreError::Limit {
                    what: format!(
                        "anchors[{row}] would have {} {noun}, over the pool's {limit} {max}",
                        known.len() + added
                    ),
                    limit,
                });
            }
        }
        Ok(unknown)
    }

    /// Removes ids from anchors number `part`.
    pub(super) fn remove(&mut self, ids: &HashSet<u64>, part: Range<usize>, out: &mut Outcome) {
        for at in part {
            if !self.anchors[at].negatives().iter().any(|n| ids.contains(&n.id)) {
                continue;
            }
            self.change(at, |anchor, shared, _| {
                let gone: Vec<u64> =
                    anchor.negatives().iter().map(|n| n.id).filter(|id| ids.contains(id)).collect();
                for id in gone {
                    anchor.remove(id);
                    shared.release(id);
                    out.removed_ids.insert(id);
                }
            });
        }
    }

    /// Lifts ancient keys of anchors number `part` to `floor`.
    pub(super) fn lift(&mut self, floor: Key, part: Range<usize>) {
        self.floor = Some(floor);
        let spec = &self.shared.spec;
        self.anchors[part].iter_mut().for_each(|anchor| anchor.lift(floor, spec));
    }

    /// Reads anchors into their places in `out`, asking for memory before it is needed.
    pub(super) fn fetch(&self, anchors: &[u64], group: &[usize], out: &mut AnchorRows) {
        let found: Vec<Option<usize>> = group.iter().map(|&i| self.find(anchors[i])).collect();
        found.iter().flatten().for_each(|at| prefetch(&self.anchors, *at));
        for at in found.iter().flatten() {
            let negatives = self.anchors[*at].negatives();
            // 64 bytes hold two and a half; the processor goes on by itself from a few lines in a row.
            (0..negatives.len().min(16)).step_by(2).for_each(|i| prefetch(negatives, i));
        }
        for (&i, at) in group.iter().zip(found) {
            if let Some(at) = at {
                out.anchors[i] = self.read(&self.anchors[at], out);
            }
        }
    }

    fn read(&self, anchor: &Anchor, out: &mut AnchorRows) -> AnchorRow {
        let start = out.negatives.len();
        let groups = anchor.groups();
        if !groups.is_empty() {
            out.groups.resize(start, 0);
            out.groups.extend_from_slice(groups);
        }
        out.negatives.extend_from_slice(anchor.negatives());
        if !out.groups.is_empty() {
            out.groups.resize(out.negatives.len(), 0);
        }
        if let Some(names) = &self.shared.names {
            // Every negative has one while its anchor has it.
            out.names.extend(anchor.negatives().iter().map(|n| names.get(n.id).unwrap_or_default()));
        }
        let mut listed = |why| {
            let from = out.not_negative.len();
            out.not_negative.extend_from_slice(anchor.not_negative(why));
            from..out.not_negative.len()
        };
        let (positives, vetoes) = (listed(NotNegative::Positive), listed(NotNegative::Vetoed));
        AnchorRow {
            known: true,
            positive: anchor.positive.score,
            negatives: start..out.negatives.len(),
            positives,
            vetoes,
        }
    }

    /// The negatives of the anchor number `at`.
    pub(super) fn negatives_at(&self, at: usize) -> &[Negative] {
        self.anchors.get(at).map_or(&[], Anchor::negatives)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.anchors.capacity() * size_of::<Anchor>() + self.index.allocation_size() + self.sizes.heap_bytes
    }
}

impl Shared {
    fn release(&self, id: u64) {
        if let Some(names) = &self.names {
            names.release(id);
        }
    }
}

/// Takes in the positive score that a batch has for an anchor, unless it is older than what is known.
fn meet_positive(anchor: &mut Anchor, positive: f32, batch: &AnchorBatch, spec: &AnchorStoreSpec) {
    let stale = batch.refuse_stale
        && !anchor.positive.score.is_nan()
        && (anchor.positive.stamp.wrapping_sub(batch.stamp) as i32) > 0;
    if !positive.is_nan() && !stale {
        anchor.meet(positive, batch.stamp, batch.model_version, spec);
    }
}

/// Updates the negatives that an anchor has; what it has not goes to `fresh`. No key is below `floor`.
fn update_known(
    anchor: &mut Anchor,
    (rows, floor): (&[Row], Option<Key>),
    batch: &AnchorBatch,
    shared: &Shared,
    fresh: &mut Vec<(Negative, u32)>,
    out: &mut Outcome,
) {
    let hardness = shared.spec.hardness;
    for row in rows {
        if !anchor.is_negative(row.id) {
            out.counts.not_negative += 1;
            continue;
        }
        let known = anchor.position(row.id);
        let old = known.map(|at| anchor.negatives()[at]);
        if old.is_some_and(|old| batch.refuse_stale && (old.stamp.wrapping_sub(batch.stamp) as i32) > 0) {
            out.counts.stale += 1;
            continue;
        }
        let mut score = batch.scores[row.row as usize];
        if let Some(old) = old.filter(|_| batch.update != ScoreUpdate::Last) {
            score = updated_score(&hardness, batch.update, old.score, score);
        }
        let (key, clamped) = hardness.key(score, batch.decay_units);
        out.counts.clamped += u64::from(clamped);
        let key = floor.filter(|floor| key.since(*floor) < 0).unwrap_or(key);
        let new = Negative { id: row.id, score, key, stamp: batch.stamp, model_version: batch.model_version };
        match known {
            Some(at) => {
                anchor.replace(at, new, batch.groups.get(row.row as usize).copied(), &shared.spec);
                out.counts.updated += 1;
                out.kept.push(row.row);
            }
            None => fresh.push((new, row.row)),
        }
    }
}

/// Offers an anchor its new negatives.
fn offer_new(
    anchor: &mut Anchor,
    batch: &AnchorBatch,
    shared: &Shared,
    fresh: &mut Vec<(Negative, u32)>,
    out: &mut Outcome,
) {
    for (new, row) in fresh.drain(..) {
        let group = batch.groups.get(row as usize).copied().unwrap_or(0);
        let offered = anchor.offer(new, group, &shared.spec);
        if offered == Offered::TooEasy {
            out.counts.too_easy += 1;
            out.too_easy.push(row);
            continue;
        }
        if let (Some(names), Some(name)) = (&shared.names, batch.names.get(row as usize)) {
            names.retain(new.id, name);
        }
        if let Offered::Instead(evicted) = offered {
            shared.release(evicted);
            out.counts.evicted += 1;
        }
        out.counts.inserted += 1;
        out.kept.push(row);
    }
}
