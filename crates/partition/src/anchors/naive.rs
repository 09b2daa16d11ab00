//! The reference model of a partition of anchors: maps, which are sorted when something is read. Property tests compare the real one with
//! it.

use std::collections::{BTreeMap, BTreeSet};

use super::op::{
    AnchorChange, AnchorColumns, AnchorCounts, AnchorOp, AnchorReply, Marked, NotNegative, PairColumns,
    PairLimit, Refusal, Reported,
};
use super::spec::AnchorPartitionSpec;
use super::totals::AnchorTotals;
use crate::dedupe::naive::Senders;
use crate::key::Key;
use crate::op::{RowFaults, Terms};
use crate::partition::updated_score;
use crate::place::Place;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) score: f32,
    pub(super) stamp: u32,
    pub(super) version: u32,
    pub(super) group: u64,
    pub(super) label: u32,
}

/// Score, stamp and version.
type Told = (f32, u32, u32);

#[derive(Clone, Debug, Default)]
pub(super) struct NaiveAnchor {
    pub(super) label: u32,
    told: Option<Told>,
    pub(super) positives: BTreeMap<u64, Option<Told>>,
    pub(super) vetoes: BTreeSet<u64>,
    pub(super) negatives: BTreeMap<u64, Entry>,
}

pub(super) struct Naive {
    spec: AnchorPartitionSpec,
    pub(super) anchors: BTreeMap<u64, NaiveAnchor>,
    /// Names as reported, while any anchor has the sample.
    names: BTreeMap<u64, String>,
    floor: Option<Key>,
    pub(super) senders: Senders,
    pub(super) totals: AnchorTotals,
}

impl Naive {
    pub(super) fn new(spec: AnchorPartitionSpec) -> Self {
        let senders = Senders::new(spec.workers);
        Self {
            spec,
            anchors: BTreeMap::new(),
            names: BTreeMap::new(),
            floor: None,
            senders,
            totals: AnchorTotals::default(),
        }
    }

    fn place(&self, id: u64, entry: &Entry) -> Place {
        Place::of(entry.key, entry.score, id, self.spec.hardness.lower_is_harder)
    }

    /// The negatives of an anchor, the hardest first.
    pub(super) fn order(&self, anchor: &NaiveAnchor) -> Vec<u64> {
        let mut ids: Vec<u64> = anchor.negatives.keys().copied().collect();
        let place = |id: &u64| self.place(*id, &anchor.negatives[id]);
        ids.sort_by(|a, b| place(b).compare(&place(a)));
        ids
    }

    pub(super) fn positive(&self, anchor: &NaiveAnchor) -> Option<f32> {
        let mut scores: Vec<f32> =
            anchor.positives.values().chain([&anchor.told]).flatten().map(|told| told.0).collect();
        scores.sort_by(f32::total_cmp);
        if self.spec.hardness.lower_is_harder { scores.last().copied() } else { scores.first().copied() }
    }

    pub(super) fn name(&self, id: u64) -> &str {
        self.names.get(&id).map_or("", |name| name)
    }

    fn forget_names(&mut self) {
        let held = |id: &u64| self.anchors.values().any(|anchor| anchor.negatives.contains_key(id));
        let gone: Vec<u64> = self.names.keys().copied().filter(|id| !held(id)).collect();
        gone.iter().for_each(|id| _ = self.names.remove(id));
    }

    pub(super) fn apply(&mut self, op: &AnchorOp) -> AnchorReply {
        match &op.change {
            AnchorChange::Report { rows, range, terms, sender } => {
                let mut reported = Reported::default();
                if sender.is_some_and(|sender| self.senders.hear(sender)) {
                    let RowFaults { non_finite, out_of_range, .. } = terms.faults;
                    reported.counts.duplicate = range.len() as u64 + non_finite + out_of_range;
                    return AnchorReply::Reported(reported);
                }
                for row in range.clone() {
                    let pair = |row: usize| (rows.anchors[row], rows.ids[row]);
                    let is_repeat = (range.start..row).any(|earlier| pair(earlier) == pair(row));
                    let mut counts = self.report(rows, row, terms);
                    let is_negative = counts.inserted + counts.updated + counts.too_easy > 0;
                    if is_negative {
                        reported.negatives.push(row as u32);
                    }
                    if is_negative && is_repeat {
                        let evicted = counts.evicted;
                        counts = AnchorCounts { coalesced: 1, evicted, ..AnchorCounts::default() };
                    }
                    if counts.too_easy > 0 {
                        reported.too_easy.push(row as u32);
                    }
                    reported.counts.add(&counts);
                    self.forget_names();
                }
                self.count(&mut reported.counts, &terms.faults);
                AnchorReply::Reported(reported)
            }
            AnchorChange::Mark { pairs, range, why, stamp, model_version } => {
                let marked = self.mark(pairs, range.clone(), *why, (*stamp, *model_version));
                self.forget_names();
                AnchorReply::Marked(marked)
            }
            AnchorChange::Remove { ids } => {
                let mut removed = Vec::new();
                for id in ids.iter() {
                    let had = self.anchors.values_mut().filter_map(|anchor| anchor.negatives.remove(id));
                    if had.count() > 0 {
                        removed.push(*id);
                    }
                }
                self.forget_names();
                AnchorReply::Removed(removed)
            }
            AnchorChange::Clear => {
                let cleared = self.anchors.values().map(|anchor| anchor.negatives.len() as u64).sum();
                self.anchors.retain(|_, anchor| !anchor.positives.is_empty() || !anchor.vetoes.is_empty());
                for anchor in self.anchors.values_mut() {
                    anchor.negatives.clear();
                    (anchor.told, anchor.label) = (None, 0);
                }
                self.forget_names();
                AnchorReply::Cleared(cleared)
            }
            AnchorChange::Fold { floor_units } => {
                let floor = Key::of_clock(*floor_units);
                self.floor = Some(floor);
                let entries = self.anchors.values_mut().flat_map(|anchor| anchor.negatives.values_mut());
                entries.filter(|entry| entry.key.since(floor) < 0).for_each(|entry| entry.key = floor);
                AnchorReply::Done
            }
        }
    }

    /// Counts a report and the faults of its rows.
    fn count(&mut self, counts: &mut AnchorCounts, faults: &RowFaults) {
        counts.non_finite = faults.non_finite;
        counts.out_of_range = faults.out_of_range;
        counts.clamped = faults.clamped;
        counts.floored = faults.floored;
        let totals = &mut self.totals;
        totals.reported += counts.rows();
        totals.non_finite += faults.non_finite;
        totals.out_of_range += faults.out_of_range;
        totals.clamped += faults.clamped;
        totals.floored += faults.floored;
        totals.stale += counts.stale;
        totals.anchor_limit += counts.anchor_limit;
        totals.not_negative += counts.not_negative;
        totals.evicted += counts.evicted;
    }

    fn report(&mut self, rows: &AnchorColumns, row: usize, terms: &Terms) -> AnchorCounts {
        let spec = self.spec;
        let one = AnchorCounts::default();
        let is_stale = |stamp: u32| terms.refuse_stale && (stamp.wrapping_sub(terms.stamp) as i32) > 0;
        let (number, id) = (rows.anchors[row], rows.ids[row]);
        if !self.anchors.contains_key(&number) && self.anchors.len() as u64 >= spec.max_anchors {
            return AnchorCounts { anchor_limit: 1, ..one };
        }
        let mut anchor = self.anchors.entry(number).or_default().clone();
        let score = rows.positive_scores.get(row).copied().filter(|score| score.is_finite());
        if let Some(score) = score
            && !anchor.told.is_some_and(|told| is_stale(told.1))
        {
            anchor.told = Some((score, terms.stamp, terms.model_version));
        }
        if let Some(label) = rows.anchor_labels.get(row) {
            anchor.label = *label;
        }
        self.anchors.insert(number, anchor.clone());
        if anchor.positives.contains_key(&id) || anchor.vetoes.contains(&id) {
            return AnchorCounts { not_negative: 1, ..one };
        }
        let old = anchor.negatives.get(&id).cloned();
        if old.as_ref().is_some_and(|old| is_stale(old.stamp)) {
            return AnchorCounts { stale: 1, ..one };
        }
        let score = rows.scores[row];
        let updated = |old: &Entry| updated_score(&spec.hardness, terms.update, old.score, score);
        let score = old.as_ref().map_or(score, updated);
        let key = spec.hardness.key(score, terms.decay_units).0;
        let entry = Entry {
            key: self.floor.filter(|floor| key.since(*floor) < 0).unwrap_or(key),
            score,
            stamp: terms.stamp,
            version: terms.model_version,
            group: rows.groups.get(row).copied().unwrap_or(old.as_ref().map_or(0, |old| old.group)),
            label: rows.labels.get(row).copied().unwrap_or(old.as_ref().map_or(0, |old| old.label)),
        };
        anchor.negatives.insert(id, entry);
        let mut counts = match old {
            Some(_) => AnchorCounts { updated: 1, ..one },
            None => AnchorCounts { inserted: 1, ..one },
        };
        if anchor.negatives.len() > spec.negatives_per_anchor {
            // The easiest of those that fail the margins, else the easiest.
            let positive = self.positive(&anchor).unwrap_or(f32::NAN);
            let lower = spec.hardness.lower_is_harder;
            let fails = |id: &u64| !spec.margins.admit(lower, positive, anchor.negatives[id].score);
            let order = self.order(&anchor);
            let easiest = order.last().copied();
            let victim = order.iter().rev().copied().find(fails).or(easiest).expect("too many");
            anchor.negatives.remove(&victim);
            counts = match victim == id {
                true => AnchorCounts { too_easy: 1, ..one },
                false => AnchorCounts { evicted: 1, ..counts },
            };
        }
        if spec.named && counts.inserted > 0 {
            let held = self.anchors.values().any(|anchor| anchor.negatives.contains_key(&id));
            let name = rows.names.get(row).map_or("", |name| name);
            if !held || self.name(id).is_empty() {
                self.names.insert(id, name.to_owned());
            }
        }
        self.anchors.insert(number, anchor);
        counts
    }

    fn mark(
        &mut self,
        pairs: &PairColumns,
        range: std::ops::Range<usize>,
        why: NotNegative,
        (stamp, version): (u32, u32),
    ) -> Marked {
        let spec = self.spec;
        let known = |anchor: u64, id: u64| {
            self.anchors.get(&anchor).is_some_and(|anchor| match why {
                NotNegative::Positive => anchor.positives.contains_key(&id),
                NotNegative::Vetoed => anchor.vetoes.contains(&id),
            })
        };
        let (mut added, mut entered) = (BTreeMap::new(), BTreeMap::new());
        for row in range.clone() {
            let (anchor, id) = (pairs.anchors[row], pairs.ids[row]);
            if !known(anchor, id) {
                added.entry((anchor, id)).or_insert(row as u32);
            }
            if !self.anchors.contains_key(&anchor) {
                entered.entry(anchor).or_insert(row as u32);
            }
        }
        let mut refused = Vec::new();
        let named: BTreeSet<u64> = pairs.anchors[range.clone()].iter().copied().collect();
        for number in named {
            let had = self.anchors.get(&number).map_or(0, |anchor| match why {
                NotNegative::Positive => anchor.positives.len(),
                NotNegative::Vetoed => anchor.vetoes.len(),
            });
            let wanted = had + added.keys().filter(|pair| pair.0 == number).count();
            let (max, limit) = match why {
                NotNegative::Positive => (spec.max_positives_per_anchor, PairLimit::PositivesPerAnchor),
                NotNegative::Vetoed => (spec.max_vetoes_per_anchor, PairLimit::VetoesPerAnchor),
            };
            if wanted > max {
                let row = range.clone().find(|row| pairs.anchors[*row] == number).expect("named") as u32;
                refused.push(Refusal { row, limit, wanted: wanted as u64 });
            }
        }
        let wanted = (self.anchors.len() + entered.len()) as u64;
        if let Some(row) = entered.values().min().filter(|_| wanted > spec.max_anchors) {
            refused.push(Refusal { row: *row, limit: PairLimit::Anchors, wanted });
        }
        let had: usize = self.anchors.values().map(|a| a.positives.len() + a.vetoes.len()).sum();
        let wanted = (had + added.len()) as u64;
        if let Some(row) = added.values().min().filter(|_| wanted > spec.max_pairs) {
            refused.push(Refusal { row: *row, limit: PairLimit::Pairs, wanted });
        }
        refused.sort_by_key(|refusal| refusal.row);
        if !refused.is_empty() {
            return Marked { refused, ..Marked::default() };
        }
        let mut marked = Marked { added: added.len() as u64, ..Marked::default() };
        for row in range {
            let anchor = self.anchors.entry(pairs.anchors[row]).or_default();
            let id = pairs.ids[row];
            let score = pairs.scores.get(row).copied().filter(|score| score.is_finite());
            match why {
                NotNegative::Positive => {
                    let positive = anchor.positives.entry(id).or_default();
                    *positive = score.map(|score| (score, stamp, version)).or(*positive);
                }
                NotNegative::Vetoed => _ = anchor.vetoes.insert(id),
            }
            marked.removed += u64::from(anchor.negatives.remove(&id).is_some());
        }
        marked
    }
}
