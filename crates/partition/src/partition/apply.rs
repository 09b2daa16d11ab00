//! Applies reported rows in stages, so that memory is prefetched before it is needed.

use std::ops::Range;

use super::quarantine::Verdict;
use super::repeats::Repeats;
use super::{Partition, updated_score};
use crate::background::{Offer, Taken};
use crate::hard::Probe;
use crate::hard::slots::{Attributes, Slot};
use crate::key::Key;
use crate::op::{ApplyCounts, Columns, ScoreUpdate, Terms};
use crate::place::{Place, Rank, ordered_score};

/// Rows applied in one stage: enough that a prefetched line has arrived, few enough that none is evicted.
const STAGE: usize = 32;
/// Stages between the first prefetch for a row and its application: for its index line, its slot, and its leaf.
const STAGES_AHEAD: usize = 3;
/// Position of an id that is no member.
const NONE: u32 = u32::MAX;

/// What is known about the rows of a stage before they are applied.
#[derive(Clone, Copy)]
struct Ahead {
    /// What the home line of the index says of each row.
    probes: [Probe; STAGE],
    /// The likely position of each row in the serving generation of the background.
    members: [u32; STAGE],
    /// Bit i: row i may be a member of a witness, or of a generation of the background. Thresholds never rise, so a bit that is not set
    /// stays right, unless a generation or a witness began in between.
    of_witness: u32,
    of_background: u32,
}

/// A report under way.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) rows: &'a Columns,
    /// The first row of the operation in the columns.
    pub(super) first: usize,
    pub(super) repeats: &'a Repeats,
    pub(super) terms: &'a Terms,
}

/// The numbers of a row.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub(super) row: usize,
    pub(super) id: u64,
    pub(super) hash: u64,
    pub(super) key: Key,
    pub(super) score: f32,
}

fn numbers(rows: &Columns, range: Range<usize>) -> impl Iterator<Item = Numbers> {
    let ids = range.clone().zip(&rows.ids[range.clone()]).zip(&rows.hashes[range.clone()]);
    let columns = ids.zip(&rows.keys[range.clone()]).zip(&rows.scores[range]);
    columns.map(|((((row, id), hash), key), score)| Numbers {
        row,
        id: *id,
        hash: *hash,
        key: *key,
        score: *score,
    })
}

impl Partition {
    /// Applies some rows of a report, one by one and in order.
    pub(super) fn report(&mut self, batch: &Batch<'_>, range: Range<usize>, counts: &mut ApplyCounts) {
        if self.is_before_horizon(batch.terms.stamp, batch.terms.oldest_stamp) {
            counts.stale += range.len() as u64;
            return;
        }
        if batch.terms.quarantine.is_none() && !self.quarantine.streaks.is_empty() {
            self.quarantine.forget_streaks();
        }
        if self.expiry.is_some() || self.quarantine.concerns_rows(batch.terms.quarantine) {
            self.report_rows::<true>(batch, range, counts);
        } else {
            self.report_rows::<false>(batch, range, counts);
        }
    }

    /// `WATCHED`: quarantine and expiry check each row.
    fn report_rows<const WATCHED: bool>(
        &mut self,
        batch: &Batch<'_>,
        range: Range<usize>,
        counts: &mut ApplyCounts,
    ) {
        let rows = batch.rows;
        self.has_attributes |= !rows.strata.is_empty() || !rows.groups.is_empty();
        let (from, to) = (range.start, range.end);
        let stage = |i: usize| (from + i * STAGE).min(to)..(from + (i + 1) * STAGE).min(to);
        let stages = range.len().div_ceil(STAGE);
        let nothing =
            Ahead { probes: [Probe::Absent; STAGE], members: [NONE; STAGE], of_witness: 0, of_background: 0 };
        let mut ahead = [nothing; STAGES_AHEAD];
        let renew_after_rows = batch.terms.renew_after_rows;
        let (mut quiet_rows, mut done_quietly) = (self.quiet_rows(renew_after_rows), 0);
        for i in 0..stages + STAGES_AHEAD {
            rows.hashes[stage(i)].iter().for_each(|hash| self.hard.prefetch_line(*hash));
            if i >= STAGES_AHEAD {
                let of_stage = &mut ahead[(i - STAGES_AHEAD) % STAGES_AHEAD];
                let mut has_begun = false;
                for (at, numbers) in numbers(rows, stage(i - STAGES_AHEAD)).enumerate() {
                    let has_left = if WATCHED {
                        let before = self.latest_time(numbers.id);
                        let has_left = self.watch(batch, numbers, of_stage, at, counts);
                        self.follow_expiry(numbers.id, before);
                        has_left
                    } else {
                        self.upsert(batch, numbers, of_stage, at, counts);
                        false
                    };
                    if done_quietly < quiet_rows && !has_left {
                        done_quietly += 1;
                        continue;
                    }
                    self.end_quiet_rows(done_quietly);
                    if self.end_row(renew_after_rows) {
                        of_stage.of_background = u32::MAX;
                        has_begun = true;
                    }
                    (quiet_rows, done_quietly) = (self.quiet_rows(renew_after_rows), 0);
                }
                if has_begun {
                    // Any id may enter a generation that just began, and the bits of these rows were set before.
                    ahead.iter_mut().for_each(|stage| stage.of_background = u32::MAX);
                }
            }
            if i >= 2 {
                self.prefetch_leaves(&rows.keys[stage(i - 2)], &ahead[(i - 2) % STAGES_AHEAD]);
            }
            if i >= 1 {
                self.probe(rows, stage(i - 1), &mut ahead[(i - 1) % STAGES_AHEAD]);
            }
        }
        self.end_quiet_rows(done_quietly);
    }

    /// Reads the index lines of a stage, and prefetches the slots that they name, the slots of the next victims, and members of the
    /// background.
    fn probe(&self, rows: &Columns, range: Range<usize>, ahead: &mut Ahead) {
        (ahead.of_witness, ahead.of_background) =
            self.look_at_background(&rows.ids[range.clone()], &mut ahead.members);
        let full = self.hard.is_full();
        let mut evictions = 2 * STAGE;
        for ((hash, key), probe) in
            rows.hashes[range.clone()].iter().zip(&rows.keys[range]).zip(&mut ahead.probes)
        {
            *probe = self.hard.probe(*hash);
            match *probe {
                Probe::Perhaps(slot) => self.hard.slots.prefetch(slot),
                _ if full && !self.hard.is_surely_too_easy(*key) => {
                    self.hard.prefetch_victim(evictions);
                    evictions += 1;
                }
                _ => {}
            }
        }
    }

    /// Prefetches the leaves that a stage will touch, and the index lines of the next victims.
    fn prefetch_leaves(&self, keys: &[Key], ahead: &Ahead) {
        let full = self.hard.is_full();
        let mut evictions = STAGE;
        for (key, probe) in keys.iter().zip(&ahead.probes) {
            match *probe {
                // This may be another sample with the same fingerprint; then the prefetch is wasted.
                Probe::Perhaps(slot) => self.hard.prefetch_move(slot, *key),
                _ if full && !self.hard.is_surely_too_easy(*key) => {
                    self.hard.prefetch_victim_line(evictions);
                    evictions += 1;
                }
                _ => {}
            }
        }
    }

    /// Applies one row, the `at`-th of its stage, by the verdict of the quarantine. Returns whether its sample left hard store and
    /// background.
    #[inline(never)]
    fn watch(
        &mut self,
        batch: &Batch<'_>,
        numbers: Numbers,
        ahead: &Ahead,
        at: usize,
        counts: &mut ApplyCounts,
    ) -> bool {
        let Numbers { row, id, hash, .. } = numbers;
        match self.judge(batch, numbers) {
            Verdict::Apply => {
                self.upsert(batch, numbers, ahead, at, counts);
            }
            Verdict::Count(streak) => {
                if self.upsert(batch, numbers, ahead, at, counts) {
                    self.count_streak(id, streak);
                }
            }
            Verdict::SetAside(streak) => {
                let found = self.hard.find(hash, id);
                let attributes =
                    if self.has_attributes { self.attributes_of(batch.rows, row, found) } else { None };
                if self.set_aside_with(batch, numbers, streak, attributes) {
                    counts.quarantined += 1;
                    counts.set_aside += 1;
                    return true;
                }
                counts.stale += 1;
            }
            Verdict::Refresh => {
                let is_fresh = self.refresh(batch, numbers);
                *(if is_fresh { &mut counts.quarantined } else { &mut counts.stale }) += 1;
            }
            Verdict::Blocked => counts.blocked += 1,
        }
        false
    }

    /// Applies one row, the `at`-th of its stage. False: the row is stale.
    #[inline(always)]
    fn upsert(
        &mut self,
        batch: &Batch<'_>,
        numbers: Numbers,
        ahead: &Ahead,
        at: usize,
        counts: &mut ApplyCounts,
    ) -> bool {
        let Numbers { row, id, hash, .. } = numbers;
        let (rows, terms) = (batch.rows, batch.terms);
        let is_repeat = batch.repeats.has(row - batch.first);
        let found = if is_repeat {
            // Its probe was made before the row that it repeats was applied.
            self.hard.find(hash, id)
        } else {
            self.hard.resolve(ahead.probes[at], hash, id)
        };
        let stale = |stamp: u32| (stamp.wrapping_sub(terms.stamp) as i32) > 0;
        if terms.refuse_stale && found.is_some_and(|slot| stale(self.hard.slots.get(slot).stamp)) {
            counts.stale += 1;
            return false;
        }
        let attributes = if self.has_attributes { self.attributes_of(rows, row, found) } else { None };
        let mut taken = Taken::Outside;
        if (ahead.of_witness | ahead.of_background) >> at & 1 != 0 {
            let fold = self.folded_units.map(Key::of_clock);
            let hint = ahead.members[at];
            let offer = Offer { rows, row, terms, attributes, hint, in_hard: found.is_some(), fold };
            taken = self.offer(id, offer);
            if taken == Taken::Stale {
                counts.stale += 1;
                return false;
            }
        }
        if !self.leases.is_empty() {
            self.end_lease(id, found);
        }
        let outcome = match found {
            Some(slot) => {
                self.update(slot, rows, numbers, terms);
                if let Some(attributes) = attributes {
                    self.hard.set_attributes(slot, attributes);
                }
                &mut counts.updated
            }
            None if self.insert(rows, numbers, terms, attributes, &mut counts.evicted).is_some() => {
                if taken == Taken::Member {
                    self.set_in_hard(id, true);
                }
                &mut counts.inserted
            }
            None if taken == Taken::Member => &mut counts.background_only,
            None => &mut counts.dropped,
        };
        *(if is_repeat { &mut counts.coalesced } else { outcome }) += 1;
        true
    }

    /// Tells the background whether the hard store holds a sample.
    #[inline]
    pub(super) fn set_in_hard(&mut self, id: u64, in_hard: bool) {
        if let Some(background) = &mut self.background {
            background.set_in_hard(id, in_hard);
        }
    }

    /// The attributes of a sample after a row. `None`: they stay as they are; a new sample has none.
    pub(super) fn attributes_of(&self, rows: &Columns, row: usize, found: Option<u32>) -> Option<Attributes> {
        let (stratum, group) = (rows.strata.get(row).copied(), rows.groups.get(row).copied());
        if let (Some(stratum), Some(group)) = (stratum, group) {
            return Some(Attributes { stratum, group });
        }
        // What the report does not say is taken from hard store or background, whichever has the sample.
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

    /// A key, lifted to the floor of the last fold: a host may apply a report that is older than the fold.
    #[inline]
    fn lifted(&self, key: Key) -> Key {
        match self.folded_units.map(Key::of_clock) {
            Some(floor) if key.since(floor) < 0 => floor,
            _ => key,
        }
    }

    #[inline(always)]
    fn update(&mut self, slot: u32, rows: &Columns, numbers: Numbers, terms: &Terms) {
        let Numbers { row, hash, mut key, mut score, .. } = numbers;
        if terms.update != ScoreUpdate::Last {
            let hardness = self.spec.hardness;
            score = updated_score(&hardness, terms.update, self.hard.slots.get(slot).score, score);
            key = hardness.key(score, terms.decay_units).0;
        }
        let key = self.lifted(key);
        self.hard.reprioritise(slot, hash, key, score, terms.stamp);
        self.hard.slots.set_version(slot, terms.model_version);
        self.hard.slots.forget_serves(slot);
        self.hard.slots.attach(slot, rows.names.get(row), rows.payloads.get(row));
    }

    /// Inserts a new id into the hard store, if it is hard enough. Returns its slot.
    #[inline(always)]
    pub(super) fn insert(
        &mut self,
        rows: &Columns,
        numbers: Numbers,
        terms: &Terms,
        attributes: Option<Attributes>,
        evicted: &mut u64,
    ) -> Option<u32> {
        let Numbers { row, id, hash, key, score } = numbers;
        let key = self.lifted(key);
        if self.hard.is_full() {
            let lower = self.hard.lower_is_harder;
            let rank = || Rank { score: ordered_score(score, lower), hash, id };
            match self.hard.lowest() {
                // Comparing keys decides most cases.
                Some((lowest, _)) if key.since(lowest.key) < 0 => return None,
                Some((lowest, _)) if Place { key, rank: rank() }.compare(&lowest).is_gt() => {
                    self.hard.evict_lowest();
                    self.set_in_hard(lowest.rank.id, false);
                    *evicted += 1;
                }
                _ => return None,
            }
        }
        let slot = self.hard.insert(hash, Slot { id, key, position: 0, score, stamp: terms.stamp });
        self.hard.slots.set_version(slot, terms.model_version);
        self.hard.slots.attach(slot, rows.names.get(row), rows.payloads.get(row));
        if let Some(attributes) = attributes {
            self.hard.slots.set_attributes(slot, attributes);
            self.hard.strata.add(attributes.stratum, slot);
        }
        Some(slot)
    }
}
