//! The simplest store of anchors that keeps the promises of the trait: maps behind one lock, sorted at each read. Other stores are compared
//! with it.

use async_trait::async_trait;
use hardneg_partition::place::Place;
use hardneg_partition::updated_score;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::anchored::{
    AnchorApplied, AnchorBatch, AnchorCounts, AnchorRow, AnchorRows, AnchorStore, AnchorStoreSpec,
    AnchorStoreStats, AnchorTotals, Marked, Negative, NotNegative, PairLimit, Pairs, Refusal,
};
use super::hash::placement_hash;
use super::layout::{partition_of, partition_of_sender};
use super::{Sender, StoreError};

/// The anchors of a pool as maps. Keys must not wrap.
pub(super) struct NaiveAnchors {
    spec: AnchorStoreSpec,
    state: Mutex<NaiveAnchorState>,
}

#[derive(Default)]
struct NaiveAnchorState {
    anchors: BTreeMap<u64, Anchor>,
    /// All batches that each partition has applied; none is forgotten.
    applied: HashSet<(usize, Sender)>,
    totals: AnchorTotals,
    position: u64,
}

/// A positive score with its stamp.
type Told = (f32, u32);

#[derive(Clone, Default)]
struct Anchor {
    label: u32,
    told: Option<Told>,
    positives: BTreeMap<u64, Option<Told>>,
    vetoes: BTreeSet<u64>,
    negatives: BTreeMap<u64, Entry>,
}

#[derive(Clone)]
struct Entry {
    negative: Negative,
    group: u64,
    label: u32,
    name: Arc<str>,
}

impl Anchor {
    /// The number of its pairs of this kind.
    fn pairs(&self, why: NotNegative) -> usize {
        match why {
            NotNegative::Positive => self.positives.len(),
            NotNegative::Vetoed => self.vetoes.len(),
        }
    }

    fn has_pair(&self, id: u64, why: NotNegative) -> bool {
        match why {
            NotNegative::Positive => self.positives.contains_key(&id),
            NotNegative::Vetoed => self.vetoes.contains(&id),
        }
    }

    /// The positive score that margins are measured from.
    fn positive(&self, lower_is_harder: bool) -> f32 {
        let told = self.positives.values().chain([&self.told]).flatten().map(|told| told.0);
        let worst = if lower_is_harder { f32::max } else { f32::min };
        told.fold(f32::NAN, worst)
    }

    /// The negatives, the hardest first.
    fn order(&self, lower_is_harder: bool) -> Vec<&Entry> {
        let place = |entry: &Entry| {
            Place::of(entry.negative.key, entry.negative.score, entry.negative.id, lower_is_harder)
        };
        let mut entries: Vec<&Entry> = self.negatives.values().collect();
        entries.sort_by(|a, b| place(b).compare(&place(a)));
        entries
    }
}

/// The outcome of a row.
enum Outcome {
    Inserted { evicts: bool },
    Updated,
    TooEasy,
    Stale,
    AnchorLimit,
    NotNegative,
}

impl NaiveAnchors {
    pub(super) fn new(spec: AnchorStoreSpec) -> Self {
        Self { spec, state: Mutex::default() }
    }

    fn partition(&self, anchor: u64) -> usize {
        partition_of(placement_hash(anchor), self.spec.partitions)
    }

    fn lower_is_harder(&self) -> bool {
        self.spec.hardness.lower_is_harder
    }

    /// The number of anchors of a partition.
    fn anchors_of(&self, state: &NaiveAnchorState, partition: usize) -> u64 {
        state.anchors.keys().filter(|anchor| self.partition(**anchor) == partition).count() as u64
    }

    /// Applies a row.
    fn report(&self, state: &mut NaiveAnchorState, batch: &AnchorBatch, row: usize) -> Outcome {
        let (number, id) = (batch.anchors[row], batch.ids[row]);
        let has_room = self.anchors_of(state, self.partition(number)) < self.spec.partition_anchors();
        if !state.anchors.contains_key(&number) && !has_room {
            return Outcome::AnchorLimit;
        }
        let is_stale = |stamp: u32| batch.refuse_stale && (stamp.wrapping_sub(batch.stamp) as i32) > 0;
        let anchor = state.anchors.entry(number).or_default();
        let told = batch.positive_scores.get(row).copied().filter(|score| score.is_finite());
        if let Some(score) = told
            && !anchor.told.is_some_and(|told| is_stale(told.1))
        {
            anchor.told = Some((score, batch.stamp));
        }
        anchor.label = batch.anchor_labels.get(row).copied().unwrap_or(anchor.label);
        if anchor.positives.contains_key(&id) || anchor.vetoes.contains(&id) {
            return Outcome::NotNegative;
        }
        let old = anchor.negatives.get(&id).cloned();
        if old.as_ref().is_some_and(|old| is_stale(old.negative.stamp)) {
            return Outcome::Stale;
        }
        let hardness = &self.spec.hardness;
        let score = old.as_ref().map_or(batch.scores[row], |old| {
            updated_score(hardness, batch.update, old.negative.score, batch.scores[row])
        });
        let key = hardness.key(score, batch.decay_units).0;
        let (stamp, model_version) = (batch.stamp, batch.model_version);
        let entry = Entry {
            negative: Negative { id, score, key, stamp, model_version },
            group: batch.groups.get(row).copied().unwrap_or(old.as_ref().map_or(0, |old| old.group)),
            label: batch.labels.get(row).copied().unwrap_or(old.as_ref().map_or(0, |old| old.label)),
            name: batch.names.get(row).cloned().unwrap_or_default(),
        };
        anchor.negatives.insert(id, entry);
        if old.is_some() {
            return Outcome::Updated;
        }
        if anchor.negatives.len() <= self.spec.negatives_per_anchor {
            return Outcome::Inserted { evicts: false };
        }
        // Evict the easiest negative that fails the margins, or else the easiest of all.
        let (lower, positive) = (self.lower_is_harder(), anchor.positive(self.lower_is_harder()));
        let order: Vec<Negative> = anchor.order(lower).into_iter().map(|entry| entry.negative).collect();
        let fails = |negative: &&Negative| !self.spec.margins.admit(lower, positive, negative.score);
        let victim = order.iter().rev().find(fails).or(order.last()).map_or(id, |negative| negative.id);
        anchor.negatives.remove(&victim);
        if victim == id { Outcome::TooEasy } else { Outcome::Inserted { evicts: true } }
    }

    /// Applies the rows of one partition. `counts` already has the rows that were left out of the columns.
    fn apply_to(
        &self,
        state: &mut NaiveAnchorState,
        batch: &AnchorBatch,
        rows: &[usize],
        counts: &mut AnchorCounts,
        applied: &mut AnchorApplied,
    ) {
        let mut seen = HashSet::new();
        for row in rows.iter().copied() {
            let outcome = self.report(state, batch, row);
            let is_repeat = !seen.insert((batch.anchors[row], batch.ids[row]));
            let (key_clamped, score) =
                (self.spec.hardness.key(batch.scores[row], batch.decay_units).1, batch.scores[row]);
            counts.clamped += u64::from(key_clamped);
            counts.floored += u64::from(score < self.spec.hardness.floor_score());
            let count = match outcome {
                Outcome::Inserted { evicts } => {
                    counts.evicted += u64::from(evicts);
                    &mut counts.inserted
                }
                Outcome::Updated => &mut counts.updated,
                Outcome::TooEasy => {
                    if !is_repeat {
                        applied.too_easy.push(row as u32);
                    }
                    &mut counts.too_easy
                }
                Outcome::Stale => {
                    counts.stale += 1;
                    continue;
                }
                Outcome::AnchorLimit => {
                    counts.anchor_limit += 1;
                    continue;
                }
                Outcome::NotNegative => {
                    counts.not_negative += 1;
                    continue;
                }
            };
            *(if is_repeat { &mut counts.coalesced } else { count }) += 1;
            applied.negatives.push(row as u32);
        }
    }

    /// The limits that a partition would exceed if it stored these rows, in order of the rows.
    fn refusals(
        &self,
        state: &NaiveAnchorState,
        pairs: &Pairs,
        rows: &[usize],
        why: NotNegative,
    ) -> Vec<Refusal> {
        let partition = self.partition(pairs.anchors[rows[0]]);
        let is_known = |row: &&usize| {
            let anchor = state.anchors.get(&pairs.anchors[**row]);
            anchor.is_some_and(|anchor| anchor.has_pair(pairs.ids[**row], why))
        };
        let mut seen = HashSet::new();
        let mut is_first = |row: &&usize| seen.insert((pairs.anchors[**row], pairs.ids[**row]));
        let added: Vec<usize> = rows.iter().filter(|row| !is_known(row) && is_first(row)).copied().collect();
        let mut refusals = Vec::new();
        let mut refuse = |row: Option<&usize>, limit, wanted: u64, most: u64| {
            if let Some(row) = row.filter(|_| wanted > most) {
                refusals.push(Refusal { row: *row as u32, limit, wanted });
            }
        };
        let (limit, most) = match why {
            NotNegative::Positive => (PairLimit::PositivesPerAnchor, self.spec.max_positives_per_anchor),
            NotNegative::Vetoed => (PairLimit::VetoesPerAnchor, self.spec.max_vetoes_per_anchor),
        };
        let named: BTreeSet<u64> = rows.iter().map(|row| pairs.anchors[*row]).collect();
        for anchor in &named {
            let of_anchor = |row: &&usize| pairs.anchors[**row] == *anchor;
            let had = state.anchors.get(anchor).map_or(0, |anchor| anchor.pairs(why));
            let wanted = had + added.iter().filter(of_anchor).count();
            refuse(rows.iter().find(of_anchor), limit, wanted as u64, most as u64);
        }
        let is_new = |anchor: &u64| !state.anchors.contains_key(anchor);
        let wanted = self.anchors_of(state, partition) + named.iter().filter(|a| is_new(a)).count() as u64;
        let first_new = rows.iter().find(|row| is_new(&pairs.anchors[**row]));
        refuse(first_new, PairLimit::Anchors, wanted, self.spec.partition_anchors());
        let of_partition = state.anchors.iter().filter(|(anchor, _)| self.partition(**anchor) == partition);
        let had: usize = of_partition.map(|(_, anchor)| anchor.positives.len() + anchor.vetoes.len()).sum();
        let wanted = (had + added.len()) as u64;
        refuse(added.first(), PairLimit::Pairs, wanted, self.spec.partition_pairs());
        refusals.sort_by_key(|refusal| refusal.row);
        refusals
    }

    /// The rows of each partition, in order.
    fn deal(&self, anchors: &[u64]) -> Vec<Vec<usize>> {
        let mut dealt = vec![Vec::new(); self.spec.partitions];
        for (row, anchor) in anchors.iter().enumerate() {
            dealt[self.partition(*anchor)].push(row);
        }
        dealt
    }
}

#[async_trait]
impl AnchorStore for NaiveAnchors {
    async fn apply(&self, batch: AnchorBatch) -> Result<AnchorApplied, StoreError> {
        let mut state = self.state.lock();
        state.position += 1;
        let mut applied = AnchorApplied { position: state.position, ..AnchorApplied::default() };
        let sender = batch.sender.filter(|sender| sender.sequence != 0);
        let of_sender = partition_of_sender(batch.sender.as_ref(), self.spec.partitions);
        for (partition, rows) in self.deal(&batch.anchors).into_iter().enumerate() {
            let (non_finite, out_of_range) =
                if partition == of_sender { (batch.non_finite, batch.out_of_range) } else { (0, 0) };
            let mut counts = AnchorCounts { non_finite, out_of_range, ..AnchorCounts::default() };
            if rows.is_empty() && counts.rows() == 0 {
                continue;
            }
            if sender.is_some_and(|sender| !state.applied.insert((partition, sender))) {
                applied.counts.duplicate += rows.len() as u64 + counts.rows();
                applied.negatives.extend(rows.iter().map(|row| *row as u32));
                continue;
            }
            self.apply_to(&mut state, &batch, &rows, &mut counts, &mut applied);
            state.totals.add(&AnchorTotals {
                reported: counts.rows(),
                non_finite: counts.non_finite,
                out_of_range: counts.out_of_range,
                stale: counts.stale,
                anchor_limit: counts.anchor_limit,
                not_negative: counts.not_negative,
                evicted: counts.evicted,
                clamped: counts.clamped,
                floored: counts.floored,
            });
            applied.counts.add(&counts);
        }
        Ok(applied)
    }

    async fn has_applied(&self, sender: &Sender) -> Result<bool, StoreError> {
        let state = self.state.lock();
        Ok((0..self.spec.partitions).any(|partition| state.applied.contains(&(partition, *sender))))
    }

    async fn mark(&self, pairs: Pairs, why: NotNegative) -> Result<Marked, StoreError> {
        let mut state = self.state.lock();
        state.position += 1;
        let mut marked = Marked { position: state.position, ..Marked::default() };
        for rows in self.deal(&pairs.anchors).into_iter().filter(|rows| !rows.is_empty()) {
            let refusals = self.refusals(&state, &pairs, &rows, why);
            if !refusals.is_empty() {
                marked.refused.extend(rows.iter().map(|row| *row as u32));
                marked.refusals.extend(refusals);
                continue;
            }
            for row in rows {
                let id = pairs.ids[row];
                let anchor = state.anchors.entry(pairs.anchors[row]).or_default();
                marked.added += u64::from(!anchor.has_pair(id, why));
                marked.removed += u64::from(anchor.negatives.remove(&id).is_some());
                match why {
                    NotNegative::Positive => {
                        let told = pairs.scores.get(row).copied().filter(|score| score.is_finite());
                        let positive = anchor.positives.entry(id).or_default();
                        *positive = told.map(|score| (score, pairs.stamp)).or(*positive);
                    }
                    NotNegative::Vetoed => _ = anchor.vetoes.insert(id),
                }
            }
        }
        marked.refused.sort_unstable();
        marked.refusals.sort_by_key(|refusal| refusal.row);
        Ok(marked)
    }

    async fn fetch(&self, anchors: &[u64]) -> Result<AnchorRows, StoreError> {
        let state = self.state.lock();
        let mut rows = AnchorRows::unread(anchors.len());
        for (row, number) in rows.anchors.iter_mut().zip(anchors) {
            let Some(anchor) = state.anchors.get(number) else { continue };
            let (lower, start) = (self.lower_is_harder(), rows.negatives.len());
            for entry in anchor.order(lower) {
                rows.negatives.push(entry.negative);
                rows.groups.push(entry.group);
                rows.labels.push(entry.label);
                if self.spec.named {
                    rows.names.push(entry.name.clone());
                }
            }
            let mut listed = |ids: Vec<u64>| {
                let from = rows.not_negative.len();
                rows.not_negative.extend(ids);
                from..rows.not_negative.len()
            };
            *row = AnchorRow {
                known: true,
                positive: anchor.positive(lower),
                label: anchor.label,
                negatives: start..rows.negatives.len(),
                positives: listed(anchor.positives.keys().copied().collect()),
                vetoes: listed(anchor.vetoes.iter().copied().collect()),
            };
        }
        // A column whose values are all 0 is left out.
        if rows.groups.iter().all(|group| *group == 0) {
            rows.groups.clear();
        }
        if rows.labels.iter().all(|label| *label == 0) {
            rows.labels.clear();
        }
        Ok(rows)
    }

    async fn remove(&self, ids: &[u64]) -> Result<(Vec<u64>, u64), StoreError> {
        let mut state = self.state.lock();
        state.position += 1;
        let mut removed = BTreeSet::new();
        for anchor in state.anchors.values_mut() {
            removed.extend(ids.iter().filter(|id| anchor.negatives.remove(id).is_some()));
        }
        Ok((removed.into_iter().collect(), state.position))
    }

    async fn clear(&self) -> Result<(u64, u64), StoreError> {
        let mut state = self.state.lock();
        state.position += 1;
        let cleared = state.anchors.values().map(|anchor| anchor.negatives.len() as u64).sum();
        state.anchors.retain(|_, anchor| !anchor.positives.is_empty() || !anchor.vetoes.is_empty());
        for anchor in state.anchors.values_mut() {
            anchor.negatives.clear();
            (anchor.told, anchor.label) = (None, 0);
        }
        Ok((cleared, state.position))
    }

    async fn totals(&self) -> Result<AnchorTotals, StoreError> {
        Ok(self.state.lock().totals)
    }

    async fn sample(&self, n: usize) -> Result<Vec<Negative>, StoreError> {
        let state = self.state.lock();
        let all = state.anchors.values().flat_map(|anchor| anchor.negatives.values());
        let all: Vec<Negative> = all.map(|entry| entry.negative).collect();
        // Every negative comes once before any comes twice.
        Ok(all.iter().cycle().take(if all.is_empty() { 0 } else { n }).copied().collect())
    }

    async fn stats(&self) -> Result<AnchorStoreStats, StoreError> {
        let state = self.state.lock();
        let sum = |of: fn(&Anchor) -> usize| state.anchors.values().map(|anchor| of(anchor) as u64).sum();
        Ok(AnchorStoreStats {
            anchors: state.anchors.len() as u64,
            negatives: sum(|anchor| anchor.negatives.len()),
            positives: sum(|anchor| anchor.positives.len()),
            vetoes: sum(|anchor| anchor.vetoes.len()),
            memory_bytes: 0,
            totals: state.totals,
        })
    }
}
