//! The quarantine of the naive store: plain maps, with no bounds but those that calls state.

use async_trait::async_trait;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::key::Key;
use super::naive::{Entry, NaiveState, NaiveStore};
use super::quarantine::{
    BlockCounts, BlockedId, Found, Quarantine, QuarantineSizes, QuarantineTerms, Quarantined, ReleaseCounts,
    SetAside, SetAsideCounts,
};
use super::{ApplyCounts, BackgroundSpec, ReportBatch, Row, StoreError, Totals};

/// Consecutive rows of a sample above the threshold.
#[derive(Clone, Copy)]
pub(super) struct Streak {
    reports: u32,
    stamp: u32,
    was_refused: bool,
}

#[derive(Default)]
pub(super) struct Suspects {
    held: BTreeMap<u64, Quarantined>,
    streaks: HashMap<u64, Streak>,
    trusted: HashSet<u64>,
    blocked: BTreeMap<u64, Option<Arc<str>>>,
    overflows: u64,
}

/// What the quarantine decided about a row.
pub(super) enum Verdict {
    /// It is applied as if there were no quarantine.
    Apply,
    /// It is applied, and this is the streak of its sample afterwards.
    Count(Option<Streak>),
    /// It does not reach the sample: it was counted.
    Done,
}

/// A row of a batch.
#[derive(Clone, Copy)]
struct ReportedRow<'a> {
    batch: &'a ReportBatch,
    i: usize,
}

impl ReportedRow<'_> {
    fn id(&self) -> u64 {
        self.batch.ids[self.i]
    }

    fn raw_score(&self) -> f32 {
        self.batch.raw_scores.get(self.i).copied().unwrap_or(self.batch.scores[self.i])
    }

    /// Whether the row is late: older than a stamp, in a pool that refuses such rows.
    fn is_older_than(&self, stamp: u32) -> bool {
        self.batch.refuse_stale && is_later(stamp, self.batch.stamp)
    }
}

fn is_later(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Suspects {
    /// Sets the streak of a sample after a row of it was applied.
    pub(super) fn count(&mut self, id: u64, stamp: u32, streak: Option<Streak>) {
        match streak {
            None => _ = self.streaks.remove(&id),
            Some(streak) => {
                let was_refused = self.streaks.get(&id).is_some_and(|known| known.was_refused);
                self.overflows += u64::from(streak.was_refused && !was_refused);
                self.streaks.insert(id, Streak { stamp, ..streak });
            }
        }
    }

    /// Ends the streak of a sample that has expired. If it was trusted, it stays so.
    pub(super) fn end_streak(&mut self, id: u64) {
        self.streaks.remove(&id);
    }

    /// Forgets a sample that was removed; returns whether it was set aside.
    pub(super) fn forget(&mut self, id: u64) -> bool {
        self.streaks.remove(&id);
        self.trusted.remove(&id);
        self.held.remove(&id).is_some()
    }

    pub(super) fn sizes(&self) -> QuarantineSizes {
        QuarantineSizes {
            set_aside: self.held.len() as u64,
            overflows: self.overflows,
            streaks: self.streaks.len() as u64,
            trusted: self.trusted.len() as u64,
            blocked: self.blocked.len() as u64,
        }
    }
}

impl NaiveStore {
    /// Forgets the streaks of a partition, as a partition does when a batch comes without quarantine terms.
    pub(super) fn forget_streaks(&self, state: &mut NaiveState, partition: u16) {
        state.suspects.streaks.retain(|id, _| self.partition(*id) != partition);
    }

    fn has_room(&self, state: &NaiveState, id: u64, capacity: u64) -> bool {
        let of_partition = |held: &&u64| self.partition(**held) == self.partition(id);
        let held = state.suspects.held.keys().filter(of_partition).count() as u64;
        held < self.spec.quarantine_share(capacity)
    }

    /// Decides what the quarantine does with a row of a batch.
    pub(super) fn judge(
        &self,
        state: &mut NaiveState,
        batch: &ReportBatch,
        i: usize,
        counts: &mut ApplyCounts,
    ) -> Verdict {
        let row = ReportedRow { batch, i };
        if batch.quarantine.is_none() {
            self.forget_streaks(state, self.partition(row.id()));
        }
        if state.suspects.blocked.contains_key(&row.id()) {
            counts.blocked += 1;
            return Verdict::Done;
        }
        if let Some(held) = state.suspects.held.get(&row.id()).cloned() {
            self.refresh(state, row, &held, counts);
            return Verdict::Done;
        }
        match batch.quarantine {
            Some(QuarantineTerms { threshold: None, .. }) | None => Verdict::Apply,
            Some(terms) => self.judge_by_rule(state, row, terms, counts),
        }
    }

    /// Writes a row into the record of its sample, which is set aside, unless the row is late.
    fn refresh(
        &self,
        state: &mut NaiveState,
        row: ReportedRow<'_>,
        held: &Quarantined,
        counts: &mut ApplyCounts,
    ) {
        if row.is_older_than(held.stamp) {
            counts.stale += 1;
            return;
        }
        counts.quarantined += 1;
        let known = Known { serves: 0, ..Known::of(held) };
        let record = self.record(row, known, held);
        state.suspects.held.insert(row.id(), record);
    }

    /// Counts a row towards the streak of its sample, and sets the sample aside if that completes the streak.
    fn judge_by_rule(
        &self,
        state: &mut NaiveState,
        row: ReportedRow<'_>,
        terms: QuarantineTerms,
        counts: &mut ApplyCounts,
    ) -> Verdict {
        let known = state.suspects.streaks.get(&row.id()).copied();
        if known.is_some_and(|known| row.is_older_than(known.stamp)) {
            return Verdict::Apply;
        }
        let is_above = terms.threshold.is_some_and(|threshold| {
            let lower = self.spec.hardness.lower_is_harder;
            if lower { row.raw_score() < threshold } else { row.raw_score() > threshold }
        });
        if !is_above || state.suspects.trusted.contains(&row.id()) {
            return Verdict::Count(None);
        }
        let streak = Streak {
            reports: known.map_or(1, |known| known.reports + 1),
            stamp: row.batch.stamp,
            was_refused: known.is_some_and(|known| known.was_refused),
        };
        if streak.reports < terms.reports {
            return Verdict::Count(Some(streak));
        }
        if !self.has_room(state, row.id(), terms.capacity) {
            return Verdict::Count(Some(Streak { was_refused: true, ..streak }));
        }
        self.set_aside_by_rule(state, row, terms, streak, counts);
        Verdict::Done
    }

    /// Sets aside the sample of a row that completed its streak, unless the row is late.
    fn set_aside_by_rule(
        &self,
        state: &mut NaiveState,
        row: ReportedRow<'_>,
        terms: QuarantineTerms,
        streak: Streak,
        counts: &mut ApplyCounts,
    ) {
        let entry = state.entry(row.id()).cloned();
        let stored_stamp = entry.as_ref().and_then(|entry| entry.row.stamp);
        if stored_stamp.is_some_and(|stamp| row.is_older_than(stamp)) {
            counts.stale += 1;
            return;
        }
        counts.quarantined += 1;
        counts.set_aside += 1;
        let how = Quarantined {
            threshold: terms.threshold,
            reports: streak.reports,
            set_aside_millis: terms.now_millis,
            ..blank(row.id())
        };
        let known = entry.as_ref().map_or_else(Known::default, Known::of_entry);
        let record = self.record(row, Known { serves: 0, ..known }, &how);
        self.hold(state, record);
    }

    /// The record that a row leaves. `known`: of the sample before the row; `how`: a record that says how it was set aside.
    fn record(&self, row: ReportedRow<'_>, known: Known, how: &Quarantined) -> Quarantined {
        let ReportedRow { batch, i } = row;
        let score = self.updated(batch.update, known.score, batch.scores[i]);
        let key = self.spec.hardness.key(score, batch.decay_units).0;
        Quarantined {
            id: row.id(),
            name: batch.names.get(i).cloned().or(known.name),
            raw_score: row.raw_score(),
            score,
            key_units: Some(units_of(key, batch.decay_units)),
            stamp: batch.stamp,
            model_version: batch.model_version,
            serves: known.serves,
            stratum: batch.strata.get(i).copied().unwrap_or(known.stratum),
            group: batch.groups.get(i).copied().unwrap_or(known.group),
            payload: batch.payloads.get(i).filter(|p| !p.is_empty()).cloned().or(known.payload),
            threshold: how.threshold,
            reports: how.reports,
            set_aside_millis: how.set_aside_millis,
        }
    }

    fn hold(&self, state: &mut NaiveState, record: Quarantined) {
        self.take_out(state, record.id);
        state.suspects.streaks.remove(&record.id);
        state.suspects.held.insert(record.id, record);
    }

    fn is_dense(&self, id: u64) -> bool {
        matches!(self.spec.background, BackgroundSpec::Dense { ids } if id < ids)
    }
}

/// The state of a sample before a row.
#[derive(Default)]
struct Known {
    score: Option<f32>,
    serves: u16,
    stratum: u32,
    group: u64,
    name: Option<Arc<str>>,
    payload: Option<bytes::Bytes>,
}

impl Known {
    fn of(held: &Quarantined) -> Self {
        Self {
            score: Some(held.score).filter(|score| !score.is_nan()),
            serves: held.serves,
            stratum: held.stratum,
            group: held.group,
            name: held.name.clone(),
            payload: held.payload.clone(),
        }
    }

    fn of_entry(entry: &Entry) -> Self {
        Self {
            score: Some(entry.row.score),
            serves: entry.row.serves,
            stratum: entry.row.stratum,
            group: entry.row.group,
            name: entry.name.clone(),
            payload: entry.payload.clone(),
        }
    }
}

/// The position of a key on the decay clock.
fn units_of(key: Key, decay_units: u64) -> u64 {
    decay_units.wrapping_add_signed(key.since(Key::of_clock(decay_units)))
}

/// A record with the id only.
fn blank(id: u64) -> Quarantined {
    Quarantined {
        id,
        name: None,
        raw_score: f32::NAN,
        score: f32::NAN,
        key_units: None,
        stamp: 0,
        model_version: 0,
        serves: 0,
        stratum: 0,
        group: 0,
        payload: None,
        threshold: None,
        reports: 0,
        set_aside_millis: 0,
    }
}

#[async_trait]
impl Quarantine for NaiveStore {
    async fn set_aside(&self, ids: &[u64], how: SetAside) -> Result<SetAsideCounts, StoreError> {
        let state = &mut *self.state.lock();
        let mut counts = SetAsideCounts::default();
        for id in ids.iter().copied() {
            if state.suspects.held.contains_key(&id) {
                continue;
            }
            let row = state.row(id);
            let is_there = row.is_some() || self.is_dense(id) && !state.removed.contains(&id);
            if !is_there {
                counts.absent += 1;
                continue;
            }
            if !self.has_room(state, id, how.capacity) {
                counts.refused += 1;
                continue;
            }
            let known = state.entry(id).cloned().map_or_else(Known::default, |entry| Known::of_entry(&entry));
            let own = state.own.get(&id).map(|(key, _)| *key);
            let key = row.and_then(|row| row.hard_key).or(own);
            let record = Quarantined {
                name: known.name,
                raw_score: row.map_or(f32::NAN, |row| row.score),
                score: row.map_or(f32::NAN, |row| row.score),
                key_units: key.map(|key| units_of(key, how.decay_units)),
                stamp: row.and_then(|row| row.stamp).unwrap_or(0),
                model_version: row.map_or(0, |row| row.model_version),
                serves: known.serves,
                stratum: known.stratum,
                group: known.group,
                payload: known.payload,
                reports: state.suspects.streaks.get(&id).map_or(0, |streak| streak.reports),
                set_aside_millis: how.now_millis,
                ..blank(id)
            };
            self.hold(state, record);
            counts.set_aside += 1;
        }
        state.totals.set_aside += counts.set_aside;
        state.position += 1;
        Ok(counts)
    }

    async fn release_quarantined(&self, ids: &[u64], trust: bool) -> Result<ReleaseCounts, StoreError> {
        let state = &mut *self.state.lock();
        let mut counts = ReleaseCounts::default();
        for id in ids {
            let Some(record) = state.suspects.held.remove(id) else { continue };
            counts.released += 1;
            if trust {
                state.suspects.trusted.insert(*id);
            }
            let Some(key) = record.key_units.map(Key::of_clock) else {
                state.removed.remove(id);
                continue;
            };
            let row = Row {
                hard_key: Some(key),
                score: record.score,
                stamp: Some(record.stamp),
                model_version: record.model_version,
                serves: record.serves,
                stratum: record.stratum,
                group: record.group,
                ..Row::unreported(*id)
            };
            let entry = Entry { row, name: record.name, payload: record.payload };
            counts.evicted += u64::from(self.store(state, entry, key).evicted);
        }
        state.totals.released += counts.released;
        state.totals.evicted += counts.evicted;
        state.position += 1;
        Ok(counts)
    }

    async fn block(&self, ids: &[u64], names: &[Arc<str>]) -> Result<BlockCounts, StoreError> {
        let state = &mut *self.state.lock();
        let mut counts = BlockCounts::default();
        for (i, id) in ids.iter().enumerate() {
            if state.suspects.blocked.insert(*id, names.get(i).cloned()).is_none() {
                counts.blocked += 1;
                let was_stored = self.take_out(state, *id);
                counts.removed += u64::from(state.suspects.forget(*id) || was_stored);
            }
        }
        state.totals.removed += counts.removed;
        state.position += 1;
        Ok(counts)
    }

    async fn unblock(&self, ids: &[u64]) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        state.position += 1;
        Ok(ids.iter().filter(|id| state.suspects.blocked.remove(*id).is_some()).count() as u64)
    }

    async fn clear(&self) -> Result<(u64, u64), StoreError> {
        let state = &mut *self.state.lock();
        let mut ids: HashSet<u64> = state.hard.keys().chain(state.background.keys()).copied().collect();
        ids.extend(state.suspects.held.keys());
        let Suspects { trusted, blocked, overflows, .. } = std::mem::take(&mut state.suspects);
        *state = NaiveState {
            removed: blocked.keys().copied().filter(|id| self.is_dense(*id)).collect(),
            suspects: Suspects { trusted, blocked, overflows, ..Suspects::default() },
            applied: std::mem::take(&mut state.applied),
            position: state.position,
            totals: Totals { removed: state.totals.removed + ids.len() as u64, ..state.totals },
            ..NaiveState::default()
        };
        state.position += 1;
        Ok((ids.len() as u64, state.position))
    }

    async fn find(&self, ids: &[u64]) -> Result<Vec<Found>, StoreError> {
        let state = self.state.lock();
        let find = |id: &u64| match (state.row(*id), state.suspects.held.get(id)) {
            (Some(row), _) => Found::Stored(row),
            (None, Some(record)) => Found::SetAside(Box::new(record.clone())),
            (None, None) if state.suspects.blocked.contains_key(id) => Found::Blocked,
            (None, None) if self.is_dense(*id) && !state.removed.contains(id) => {
                Found::Stored(Row::unreported(*id))
            }
            (None, None) => Found::Absent,
        };
        Ok(ids.iter().map(find).collect())
    }

    async fn quarantined(&self, after: Option<u64>, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        let state = self.state.lock();
        let is_after = |record: &&Quarantined| after.is_none_or(|after| record.id > after);
        Ok(state.suspects.held.values().filter(is_after).take(limit).cloned().collect())
    }

    async fn blocked(&self, after: Option<u64>, limit: usize) -> Result<Vec<BlockedId>, StoreError> {
        let state = self.state.lock();
        let is_after = |blocked: &(&u64, &Option<Arc<str>>)| after.is_none_or(|after| *blocked.0 > after);
        let blocked = state.suspects.blocked.iter().filter(is_after).take(limit);
        Ok(blocked.map(|(id, name)| (*id, name.clone())).collect())
    }
}
