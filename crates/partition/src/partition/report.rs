//! Reported rows, applied in stages that ask for memory before they need it.

use std::ops::Range;

use super::{Partition, updated_score};
use crate::background::Taken;
use crate::hard::slots::{Attributes, Slot};
use crate::hard::{Hard, Probe};
use crate::key::Key;
use crate::op::{ApplyCounts, Columns, ScoreUpdate, Terms};
use crate::place::{Place, Rank, ordered_score};

/// Rows applied in one stage: enough that a prefetched line has arrived, few enough that none is evicted.
const STAGE: usize = 32;
/// No leaf.
const NONE: u32 = u32::MAX;

impl Partition {
    /// Applies some rows of a report.
    pub(super) fn report(
        &mut self,
        rows: &Columns,
        range: Range<usize>,
        terms: &Terms,
        counts: &mut ApplyCounts,
    ) {
        self.has_attributes |= !rows.strata.is_empty() || !rows.groups.is_empty();
        let (from, to) = (range.start, range.end);
        let stage = |i: usize| (from + i * STAGE).min(to)..(from + (i + 1) * STAGE).min(to);
        let stages = range.len().div_ceil(STAGE);
        let mut probes = [[Probe::Absent; STAGE]; 4];
        // The leaves that samples leave; `NONE` where none does.
        let mut leaves = [[NONE; STAGE]; 2];
        for i in 0..stages + 4 {
            for row in stage(i) {
                self.hard.prefetch_line(rows.hashes[row]);
            }
            if i >= 4 {
                for (row, probe) in stage(i - 4).zip(probes[(i - 4) & 3]) {
                    self.upsert(rows, row, probe, terms, counts);
                }
            }
            if i >= 3 {
                self.prefetch_last(&leaves[(i - 3) & 1]);
            }
            if i >= 2 {
                leaves[(i - 2) & 1] = self.prefetch_leaves(rows, stage(i - 2), &probes[(i - 2) & 3]);
            }
            if i >= 1 {
                self.probe(rows, stage(i - 1), &mut probes[(i - 1) & 3]);
            }
        }
    }

    /// Reads the index lines of a stage and asks for the slots they name, and for those that may be evicted.
    fn probe(&self, rows: &Columns, range: Range<usize>, probes: &mut [Probe; STAGE]) {
        let full = self.hard.is_full();
        let mut evictions = 3 * STAGE;
        self.prefetch_background(rows, range.clone());
        for (row, probe) in range.zip(probes) {
            *probe = self.hard.probe(rows.hashes[row]);
            match *probe {
                Probe::Perhaps(slot) => self.hard.slots.prefetch(slot),
                _ if full && !self.hard.is_surely_too_easy(rows.keys[row]) => {
                    self.hard.prefetch_victim(evictions);
                    evictions += 1;
                }
                _ => {}
            }
        }
    }

    /// Asks for the lines of leaves that a stage will touch, and for the index lines of what it will evict.
    /// The leaves that samples will leave.
    fn prefetch_leaves(&self, rows: &Columns, range: Range<usize>, probes: &[Probe; STAGE]) -> [u32; STAGE] {
        let mut leaves = [NONE; STAGE];
        let full = self.hard.is_full();
        let mut evictions = 2 * STAGE;
        for ((row, probe), leaf) in range.zip(probes).zip(&mut leaves) {
            match *probe {
                // It may be another sample with the same fingerprint: then this costs a line for nothing.
                Probe::Perhaps(slot) => *leaf = self.hard.prefetch_move(slot, rows.keys[row]).unwrap_or(NONE),
                _ if full && !self.hard.is_surely_too_easy(rows.keys[row]) => {
                    self.hard.prefetch_victim_line(evictions);
                    evictions += 1;
                }
                _ => {}
            }
        }
        leaves
    }

    /// Asks for the samples that take the places in leaves that a stage leaves empty.
    fn prefetch_last(&self, leaves: &[u32; STAGE]) {
        for leaf in leaves.iter().filter(|leaf| **leaf != NONE) {
            self.hard.prefetch_last(*leaf);
        }
    }

    /// Applies one row.
    fn upsert(&mut self, rows: &Columns, row: usize, probe: Probe, terms: &Terms, counts: &mut ApplyCounts) {
        let found = self.hard.resolve(probe, rows.hashes[row], rows.ids[row]);
        let stale = |stamp: u32| terms.refuse_stale && (stamp.wrapping_sub(terms.stamp) as i32) > 0;
        if found.is_some_and(|slot| stale(self.hard.slots.get(slot).stamp)) {
            counts.stale += 1;
            return;
        }
        let attributes = self.attributes_of(rows, row, found);
        match self.offer(rows, row, terms, attributes) {
            Taken::Stale => counts.stale += 1,
            taken => {
                if !self.leases.is_empty() {
                    self.end_lease(rows.ids[row], found);
                }
                match found {
                    Some(slot) => {
                        self.update(slot, rows, row, terms);
                        if let Some(attributes) = attributes {
                            self.hard.set_attributes(slot, attributes);
                        }
                        counts.updated += 1;
                    }
                    None if self.insert(rows, row, terms, attributes, counts) => counts.inserted += 1,
                    None if taken == Taken::Member => counts.background_only += 1,
                    None => counts.dropped += 1,
                }
            }
        }
    }

    /// The attributes that a row leaves its sample with; `None`: as they are, which for a new one is none.
    #[inline]
    fn attributes_of(&self, rows: &Columns, row: usize, found: Option<u32>) -> Option<Attributes> {
        let (stratum, group) = (rows.strata.get(row).copied(), rows.groups.get(row).copied());
        if let (Some(stratum), Some(group)) = (stratum, group) {
            return Some(Attributes { stratum, group });
        }
        if stratum.is_none() && group.is_none() && !self.has_attributes {
            return None;
        }
        // The sources tell each other what a report does not say.
        let kept = || {
            let background = self.background.as_ref()?;
            background.samples().find_map(|sample| sample.attributes(rows.ids[row]))
        };
        let known = match found {
            Some(slot) => self.hard.slots.attributes(slot),
            None => kept().unwrap_or_default(),
        };
        Some(Attributes { stratum: stratum.unwrap_or(known.stratum), group: group.unwrap_or(known.group) })
    }

    /// No key is below the last fold, however old a report is.
    #[inline]
    fn lifted(&self, key: Key) -> Key {
        match self.folded_units.map(Key::of_clock) {
            Some(floor) if key.since(floor) < 0 => floor,
            _ => key,
        }
    }

    fn update(&mut self, slot: u32, rows: &Columns, row: usize, terms: &Terms) {
        let (mut key, mut score) = (rows.keys[row], rows.scores[row]);
        if terms.update != ScoreUpdate::Last {
            let hardness = self.spec.hardness;
            score = updated_score(&hardness, terms.update, self.hard.slots.get(slot).score, score);
            key = hardness.key(score, terms.decay_units).0;
        }
        let key = self.lifted(key);
        self.hard.reprioritise(slot, key, score);
        self.hard.slots.get_mut(slot).stamp = terms.stamp;
        self.hard.slots.set_version(slot, terms.model_version);
        self.hard.slots.forget_serves(slot);
        self.hard.slots.attach(slot, rows.names.get(row), rows.payloads.get(row));
    }

    /// Enters an unknown id, if it is hard enough.
    fn insert(
        &mut self,
        rows: &Columns,
        row: usize,
        terms: &Terms,
        attributes: Option<Attributes>,
        counts: &mut ApplyCounts,
    ) -> bool {
        let (id, hash, score) = (rows.ids[row], rows.hashes[row], rows.scores[row]);
        let key = self.lifted(rows.keys[row]);
        if self.hard.is_full() {
            let rank = |hard: &Hard| Rank { score: ordered_score(score, hard.lower_is_harder), hash, id };
            match self.hard.lowest() {
                // Most of what is too easy is so by its key.
                Some((lowest, _)) if key.since(lowest.key) < 0 => return false,
                Some((lowest, _)) if Place { key, rank: rank(&self.hard) }.compare(&lowest).is_gt() => {
                    self.hard.evict_lowest();
                    counts.evicted += 1;
                }
                _ => return false,
            }
        }
        let slot = self.hard.insert(hash, Slot { id, key, position: 0, score, stamp: terms.stamp });
        self.hard.slots.set_version(slot, terms.model_version);
        self.hard.slots.attach(slot, rows.names.get(row), rows.payloads.get(row));
        if let Some(attributes) = attributes {
            self.hard.slots.set_attributes(slot, attributes);
            self.hard.strata.add(attributes.stratum, slot);
        }
        true
    }
}
