//! Moves samples from hard store and background into the quarantine, and back.

use std::sync::Arc;

use super::apply::{Batch, Numbers};
use super::{Partition, updated_score};
use crate::background::Offer;
use crate::hard::slots::{Attachment, Attributes};
use crate::hash::placement_hash;
use crate::key::Key;
use crate::op::{BlockCounts, Columns, QuarantineTerms, ReleaseCounts, ScoreUpdate, SetAsideCounts, Terms};
use crate::quarantine::{Quarantined, Streak, is_later, key_at, units_of};

/// The verdict of the quarantine on a row.
pub(super) enum Verdict {
    /// The row is applied as usual.
    Apply,
    /// The row is applied. Unless it is stale, the streak of its sample becomes this (`None`: the streak ends).
    Count(Option<Streak>),
    /// The row completes this streak and sets its sample aside.
    SetAside(Streak),
    /// The row updates the record of its sample, which was set aside before.
    Refresh,
    /// The id of the row is blocked.
    Blocked,
}

/// The score of a row as reported.
fn raw_score(rows: &Columns, row: usize) -> f32 {
    rows.raw_scores.get(row).copied().unwrap_or(rows.scores[row])
}

impl Partition {
    /// Decides what to do with a row.
    pub(super) fn judge(&self, batch: &Batch<'_>, numbers: Numbers) -> Verdict {
        let Numbers { row, id, .. } = numbers;
        if self.quarantine.is_blocked(id) {
            return Verdict::Blocked;
        }
        if self.quarantine.get(id).is_some() {
            return Verdict::Refresh;
        }
        let Terms { quarantine, refuse_stale, stamp, .. } = *batch.terms;
        let Some((QuarantineTerms { reports, capacity, .. }, threshold)) =
            quarantine.and_then(|terms| Some((terms, terms.threshold?)))
        else {
            return Verdict::Apply;
        };
        let score = raw_score(batch.rows, row);
        let lower = self.spec.hardness.lower_is_harder;
        let is_above = if lower { score < threshold } else { score > threshold };
        let known = self.quarantine.streaks.get(id).copied();
        if !is_above && known.is_none() || refuse_stale && known.is_some_and(|s| is_later(s.stamp, stamp)) {
            return Verdict::Apply;
        }
        if !is_above || self.quarantine.is_trusted(id) {
            return Verdict::Count(None);
        }
        let streak = Streak {
            reports: known.map_or(1, |known| known.reports.saturating_add(1)),
            stamp,
            was_refused: known.is_some_and(|known| known.was_refused),
        };
        if streak.reports < reports {
            Verdict::Count(Some(streak))
        } else if self.quarantine.has_room(capacity) {
            Verdict::SetAside(streak)
        } else {
            Verdict::Count(Some(Streak { was_refused: true, ..streak }))
        }
    }

    /// After a row was applied: updates or ends the streak of its sample.
    pub(super) fn count_streak(&mut self, id: u64, streak: Option<Streak>) {
        let Some(streak) = streak else {
            self.quarantine.streaks.remove(id);
            return;
        };
        let was_refused = || self.quarantine.streaks.get(id).is_some_and(|known| known.was_refused);
        // A sample is counted once, however often it is reported while there is no room.
        if streak.was_refused && !was_refused() {
            self.quarantine.overflows = self.quarantine.overflows.saturating_add(1);
        }
        self.quarantine.streaks.put(id, streak);
    }

    /// Updates the record of a sample with a row. False: the row is stale.
    pub(super) fn refresh(&mut self, batch: &Batch<'_>, numbers: Numbers) -> bool {
        let Numbers { row, id, mut key, mut score, .. } = numbers;
        let (rows, terms, hardness) = (batch.rows, batch.terms, self.spec.hardness);
        let mut is_fresh = true;
        self.quarantine.change(id, |record| {
            let was_reported = !record.score.is_nan();
            if terms.refuse_stale && was_reported && is_later(record.stamp, terms.stamp) {
                is_fresh = false;
                return;
            }
            if was_reported && terms.update != ScoreUpdate::Last {
                score = updated_score(&hardness, terms.update, record.score, score);
                key = hardness.key(score, terms.decay_units).0;
            }
            record.raw_score = raw_score(rows, row);
            record.score = score;
            record.key_units = Some(units_of(key, terms.decay_units));
            (record.stamp, record.model_version, record.serves) = (terms.stamp, terms.model_version, 0);
            record.stratum = rows.strata.get(row).copied().unwrap_or(record.stratum);
            record.group = rows.groups.get(row).copied().unwrap_or(record.group);
            if let Some(name) = rows.names.get(row) {
                record.name = Some(name.clone());
            }
            if let Some(payload) = rows.payloads.get(row).filter(|payload| !payload.is_empty()) {
                record.payload = Some(payload.clone());
            }
        });
        is_fresh
    }

    /// Sets the sample of a row aside, with a record that the row updates. False: the row is stale.
    pub(super) fn set_aside_with(
        &mut self,
        batch: &Batch<'_>,
        numbers: Numbers,
        streak: Streak,
        attributes: Option<Attributes>,
    ) -> bool {
        let Numbers { row, id, mut key, mut score, .. } = numbers;
        let (rows, terms, hardness) = (batch.rows, batch.terms, self.spec.hardness);
        let Some(rule) = terms.quarantine else {
            return false;
        };
        let stored = self.row(id).filter(|stored| !stored.score.is_nan());
        if let Some(stored) = &stored {
            if terms.refuse_stale && stored.stamp.is_some_and(|stamp| is_later(stamp, terms.stamp)) {
                return false;
            }
            if terms.update != ScoreUpdate::Last {
                score = updated_score(&hardness, terms.update, stored.score, score);
                key = hardness.key(score, terms.decay_units).0;
            }
        }
        let mut attachment = self.attachment_of(id).cloned().unwrap_or_default();
        attachment.update(rows.names.get(row), rows.payloads.get(row));
        let attributes = attributes.unwrap_or_default();
        self.take_out(id);
        self.forget_unstored(id);
        self.quarantine.enter(Quarantined {
            id,
            name: attachment.name,
            raw_score: raw_score(rows, row),
            score,
            key_units: Some(units_of(key, terms.decay_units)),
            stamp: terms.stamp,
            model_version: terms.model_version,
            serves: 0,
            stratum: attributes.stratum,
            group: attributes.group,
            payload: attachment.payload,
            threshold: rule.threshold,
            reports: streak.reports,
            set_aside_millis: rule.now_millis,
        });
        true
    }

    /// Sets a sample aside by hand.
    pub(super) fn set_aside(
        &mut self,
        id: u64,
        capacity: u64,
        decay_units: u64,
        now_millis: u64,
        counts: &mut SetAsideCounts,
    ) {
        if self.quarantine.get(id).is_some() {
            return;
        }
        let Some(row) = self.row(id) else {
            counts.absent += 1;
            return;
        };
        if !self.quarantine.has_room(capacity) {
            // The reply tells the caller. Only rows count as overflows.
            counts.refused += 1;
            return;
        }
        let own_key = || self.background.as_ref()?.samples().find_map(|sample| sample.own_key(id));
        let key = row.hard_key.or_else(own_key);
        let attachment = self.attachment_of(id).cloned().unwrap_or_default();
        let reports = self.quarantine.streaks.get(id).map_or(0, |streak| streak.reports);
        self.take_out(id);
        self.forget_unstored(id);
        self.quarantine.enter(Quarantined {
            id,
            name: attachment.name,
            raw_score: row.score,
            score: row.score,
            key_units: key.map(|key| units_of(key, decay_units)),
            stamp: row.stamp.unwrap_or(0),
            model_version: row.model_version,
            serves: row.serves,
            stratum: row.stratum,
            group: row.group,
            payload: attachment.payload,
            threshold: None,
            reports,
            set_aside_millis: now_millis,
        });
        counts.set_aside += 1;
    }

    /// Puts a sample back that was set aside, with its score, key, stamp and serves. It is inserted into the hard store only if it is hard
    /// enough, and it is offered to background and witness as a reported row is.
    pub(super) fn release_quarantined(&mut self, id: u64, trust: bool, counts: &mut ReleaseCounts) {
        if self.quarantine.get(id).is_none() {
            return;
        }
        if trust && !self.quarantine.can_trust(id) {
            counts.refused += 1;
            return;
        }
        let Some(record) = self.quarantine.take(id) else {
            return;
        };
        if trust {
            self.quarantine.trust(id);
        }
        counts.released += 1;
        let before = self.latest_time(id);
        let serves = record.serves;
        let slot = if record.score.is_nan() {
            self.removed.remove(id);
            None
        } else {
            self.put_back(record, &mut counts.evicted)
        };
        self.follow_expiry(id, before);
        if serves == 0 {
            return;
        }
        let mut is_kept = slot.is_some();
        if let Some(slot) = slot {
            self.hard.slots.set_serves(slot, serves);
        }
        if let Some(background) = &mut self.background {
            for sample in background.samples_mut() {
                is_kept |= sample.set_serves(id, serves);
            }
        }
        if !is_kept && id < self.dense_ids() {
            self.remember_unstored(id, serves);
        }
    }

    /// Stores a released sample as a row with its stamp would. Returns its slot in the hard store.
    fn put_back(&mut self, record: Quarantined, evicted: &mut u64) -> Option<u32> {
        let Quarantined { id, score, stamp, model_version, stratum, group, .. } = record;
        let hash = placement_hash(id);
        let key = record.key_units.map(|units| key_at(units, self.folded_units));
        let rows = Columns {
            hashes: vec![hash],
            ids: vec![id],
            keys: vec![key.unwrap_or(Key(0))],
            scores: vec![score],
            names: record.name.into_iter().collect(),
            payloads: vec![record.payload.unwrap_or_default()],
            ..Columns::default()
        };
        let terms = Terms { stamp, model_version, ..Terms::default() };
        let attributes = self.has_attributes.then_some(Attributes { stratum, group });
        let fold = self.folded_units.map(Key::of_clock);
        let offer =
            Offer { rows: &rows, row: 0, terms: &terms, attributes, hint: u32::MAX, in_hard: false, fold };
        self.offer(id, offer);
        let numbers = Numbers { row: 0, id, hash, key: key?, score };
        let slot = self.insert(&rows, numbers, &terms, attributes, evicted);
        if slot.is_some() {
            self.set_in_hard(id, true);
        }
        slot
    }

    /// Blocks an id.
    pub(super) fn block(&mut self, id: u64, name: Option<&Arc<str>>, counts: &mut BlockCounts) {
        if !self.quarantine.can_block(id) {
            counts.refused += 1;
        } else if self.quarantine.block(id, name.cloned()) {
            counts.blocked += 1;
            counts.removed += u64::from(self.remove(id));
        }
    }

    /// The name and payload of a stored sample.
    pub(super) fn attachment_of(&self, id: u64) -> Option<&Attachment> {
        match self.hard.find(placement_hash(id), id) {
            Some(slot) => self.hard.slots.attachment(slot),
            None => self.background.as_ref()?.attachment(id),
        }
    }

    /// The record of a sample that is set aside.
    #[must_use]
    pub fn quarantined(&self, id: u64) -> Option<&Quarantined> {
        self.quarantine.get(id)
    }

    /// Up to `limit` samples that are set aside, with ids greater than `after`, in order of id.
    #[must_use]
    pub fn quarantined_page(&self, after: Option<u64>, limit: usize) -> Vec<&Quarantined> {
        self.quarantine.page(after, limit)
    }

    /// Whether an id is blocked.
    #[must_use]
    pub fn is_blocked(&self, id: u64) -> bool {
        self.quarantine.is_blocked(id)
    }

    /// Up to `limit` blocked ids greater than `after`, in order of id, with their names in a `named` pool.
    #[must_use]
    pub fn blocked_page(&self, after: Option<u64>, limit: usize) -> Vec<(u64, Option<Arc<str>>)> {
        self.quarantine.blocked_page(after, limit)
    }
}
