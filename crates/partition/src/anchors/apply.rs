//! Applies reported rows one by one, in order.

use std::ops::Range;

use super::anchor::{Anchor, Offered};
use super::names::Names;
use super::negative::{Attributes, Negative, PositiveScore};
use super::op::{AnchorColumns, Reported};
use super::spec::AnchorPartitionSpec;
use super::{AnchorPartition, Sizes};
use crate::hard::prefetch::prefetch;
use crate::hash::placement_hash;
use crate::key::Key;
use crate::op::{ScoreUpdate, Terms};
use crate::partition::{Repeats, updated_score};

/// The number of runs whose anchors are looked up together: enough that a prefetched line has arrived, few enough that none is evicted.
const RUNS: usize = 32;

/// A report under way.
pub(super) struct Batch<'a> {
    pub(super) rows: &'a AnchorColumns,
    /// The first row of the operation in the columns.
    pub(super) first: usize,
    pub(super) repeats: &'a Repeats,
    pub(super) terms: &'a Terms,
}

/// Consecutive rows of one anchor, with its index if it is stored.
#[derive(Clone, Copy, Default)]
struct Run {
    from: usize,
    to: usize,
    at: Option<u32>,
}

/// The rows that repeat the anchor and id of an earlier row.
pub(super) fn repeats(rows: &AnchorColumns, range: &Range<usize>) -> Repeats {
    let (anchors, ids) = (&rows.anchors[range.clone()], &rows.ids[range.clone()]);
    let hashes = rows.hashes[range.clone()].iter().zip(ids);
    let same = |a: usize, b: usize| ids[a] == ids[b] && anchors[a] == anchors[b];
    Repeats::by(hashes.map(|(anchor, id)| placement_hash(anchor ^ id)), same)
}

impl AnchorPartition {
    /// Applies some rows of a report.
    pub(super) fn report(&mut self, batch: &Batch<'_>, range: Range<usize>, out: &mut Reported) {
        let anchors = &batch.rows.anchors;
        let mut next = range.start;
        while next < range.end {
            let mut runs = [Run::default(); RUNS];
            let mut count = 0;
            while next < range.end && count < RUNS {
                let anchor = anchors[next];
                let same = anchors[next..range.end].iter().take_while(|other| **other == anchor).count();
                let at = self.find(batch.rows.hashes[next], anchor).map(|at| at as u32);
                runs[count] = Run { from: next, to: next + same, at };
                (next, count) = (next + same, count + 1);
            }
            for run in &runs[..count] {
                if let Some(at) = run.at {
                    let negatives = self.anchors[at as usize].negatives();
                    // A cache line holds about two and a half negatives. After a few lines in a row the hardware prefetches the others.
                    (0..negatives.len().min(16)).step_by(2).for_each(|i| prefetch(negatives, i));
                }
            }
            for run in &runs[..count] {
                self.report_run(batch, run, out);
            }
        }
    }

    fn report_run(&mut self, batch: &Batch<'_>, run: &Run, out: &mut Reported) {
        let (anchor, hash) = (batch.rows.anchors[run.from], batch.rows.hashes[run.from]);
        // An earlier run may have inserted the anchor meanwhile.
        let known = run.at.map(|at| at as usize).or_else(|| self.find(hash, anchor));
        let at = match known {
            Some(at) => at,
            None if self.has_room(1) => self.enter(hash, anchor),
            None => {
                out.counts.anchor_limit += (run.to - run.from) as u64;
                return;
            }
        };
        let floor = self.folded_units.map(Key::of_clock);
        let Self { spec, anchors, names, sizes, .. } = self;
        let anchor = &mut anchors[at];
        let before = Sizes::of(anchor);
        let mut anchor = Target { anchor, spec, names, floor };
        for row in run.from..run.to {
            anchor.report(batch, row, out);
        }
        sizes.change(&before, &Sizes::of(anchor.anchor));
    }
}

/// An anchor to which rows are applied.
struct Target<'a> {
    anchor: &'a mut Anchor,
    spec: &'a AnchorPartitionSpec,
    names: &'a mut Names,
    /// The floor of the last fold. No key is below it.
    floor: Option<Key>,
}

impl Target<'_> {
    fn report(&mut self, batch: &Batch<'_>, row: usize, out: &mut Reported) {
        let Batch { rows, first, repeats, terms } = *batch;
        let stale = |stamp: u32| terms.refuse_stale && (stamp.wrapping_sub(terms.stamp) as i32) > 0;
        self.tell(rows, row, terms, stale(self.anchor.told.stamp));
        let id = rows.ids[row];
        if !self.anchor.is_negative(id) {
            out.counts.not_negative += 1;
            return;
        }
        let known = self.anchor.position(id);
        let old = known.map(|at| (at, self.anchor.negatives()[at]));
        if old.is_some_and(|(_, old)| stale(old.stamp)) {
            out.counts.stale += 1;
            return;
        }
        let new = self.negative(rows, row, terms, old.map(|(_, old)| old.score));
        let attributes = |kept: Attributes| Attributes {
            group: rows.groups.get(row).copied().unwrap_or(kept.group),
            label: rows.labels.get(row).copied().unwrap_or(kept.label),
        };
        let is_repeat = repeats.has(row - first);
        let counts = &mut out.counts;
        let outcome = match known {
            Some(at) => {
                let attributes = attributes(self.anchor.attributes(at));
                self.anchor.replace(at, new, attributes, self.spec);
                &mut counts.updated
            }
            None => match self.anchor.offer(new, attributes(Attributes::default()), self.spec) {
                Offered::TooEasy => {
                    if !is_repeat {
                        out.too_easy.push(row as u32);
                    }
                    &mut counts.too_easy
                }
                taken => {
                    self.name(id, rows, row, taken);
                    counts.evicted += u64::from(taken != Offered::Taken);
                    &mut counts.inserted
                }
            },
        };
        *(if is_repeat { &mut counts.coalesced } else { outcome }) += 1;
        out.negatives.push(row as u32);
    }

    /// Updates the anchor itself from a row: its label, and its positive score unless the stored one is newer.
    fn tell(&mut self, rows: &AnchorColumns, row: usize, terms: &Terms, is_stale: bool) {
        let is_known = !self.anchor.told.score.is_nan();
        if let Some(score) = rows.positive_scores.get(row).copied().filter(|score| score.is_finite())
            && !(is_known && is_stale)
        {
            let (stamp, model_version) = (terms.stamp, terms.model_version);
            self.anchor.told = PositiveScore { score, stamp, model_version };
        }
        if let Some(label) = rows.anchor_labels.get(row) {
            self.anchor.label = *label;
        }
    }

    /// The negative after a row. `old`: the stored score, if there is one.
    fn negative(&self, rows: &AnchorColumns, row: usize, terms: &Terms, old: Option<f32>) -> Negative {
        let (mut score, mut key) = (rows.scores[row], rows.keys[row]);
        if let Some(old) = old.filter(|_| terms.update != ScoreUpdate::Last) {
            let hardness = self.spec.hardness;
            score = updated_score(&hardness, terms.update, old, score);
            key = hardness.key(score, terms.decay_units).0;
        }
        // A host may apply a report that is older than the last fold.
        let key = self.floor.filter(|floor| key.since(*floor) < 0).unwrap_or(key);
        Negative { id: rows.ids[row], score, key, stamp: terms.stamp, model_version: terms.model_version }
    }

    /// Updates names after a negative was inserted, perhaps instead of another.
    fn name(&mut self, id: u64, rows: &AnchorColumns, row: usize, taken: Offered) {
        if self.spec.named {
            self.names.retain(id, rows.names.get(row));
            if let Offered::Instead(evicted) = taken {
                self.names.release(evicted);
            }
        }
    }
}
