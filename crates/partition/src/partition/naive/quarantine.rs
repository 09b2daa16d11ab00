//! The quarantine of the reference model: maps, and lists that are searched.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Naive};
use crate::key::Key;
use crate::op::{
    ApplyCounts, BlockCounts, Change, Columns, QuarantineTerms, ReleaseCounts, Reply, ScoreUpdate,
    SetAsideCounts, Terms,
};
use crate::partition::updated_score;

/// A sample that is set aside.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    /// `None`: a dense id that was stored nowhere, with the serves that were remembered of it.
    pub(crate) entry: Option<Entry>,
    pub(crate) serves: u16,
    pub(crate) raw_score: f32,
    /// Key and D at the report.
    pub(crate) key: Option<(Key, u64)>,
    pub(crate) threshold: Option<f32>,
    pub(crate) reports: u32,
    pub(crate) millis: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Suspects {
    pub(crate) held: BTreeMap<u64, Held>,
    /// Id, rows, stamp, whether it was refused; the one that was not continued for the longest first.
    pub(crate) streaks: Vec<(u64, u32, u32, bool)>,
    pub(crate) trusted: BTreeSet<u64>,
    pub(crate) blocked: BTreeMap<u64, Option<String>>,
    pub(crate) overflows: u64,
}

fn is_later(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

impl Suspects {
    fn streak(&self, id: u64) -> Option<(u64, u32, u32, bool)> {
        self.streaks.iter().copied().find(|streak| streak.0 == id)
    }

    pub(crate) fn retain(&mut self, stays: impl Fn(u64) -> bool) {
        self.held.retain(|id, _| stays(*id));
        self.streaks.retain(|streak| stays(streak.0));
        self.trusted.retain(|id| stays(*id));
        self.blocked.retain(|id, _| stays(*id));
    }

    pub(crate) fn end(&mut self, id: u64) {
        self.streaks.retain(|streak| streak.0 != id);
    }
}

impl Naive {
    /// Sets samples aside, releases or blocks them by hand.
    pub(super) fn change_quarantine(&mut self, change: &Change) -> Reply {
        match change {
            Change::SetAside { ids, capacity, decay_units, now_millis } => {
                let mut counts = SetAsideCounts::default();
                for id in ids {
                    let of_id = self.set_aside(*id, *capacity, *decay_units, *now_millis);
                    counts.set_aside += of_id.set_aside;
                    counts.absent += of_id.absent;
                    counts.refused += of_id.refused;
                }
                self.end_removal();
                Reply::SetAside(counts)
            }
            Change::ReleaseQuarantined { ids, trust } => {
                let mut counts = ReleaseCounts::default();
                for id in ids {
                    let of_id = self.release(*id, *trust);
                    counts.released += of_id.released;
                    counts.refused += of_id.refused;
                    counts.evicted += of_id.evicted;
                }
                Reply::ReleasedQuarantined(counts)
            }
            Change::Block { ids, names } => {
                let mut counts = BlockCounts::default();
                for (at, id) in ids.iter().enumerate() {
                    let of_id = self.block(*id, names.get(at).map(ToString::to_string));
                    counts.blocked += of_id.blocked;
                    counts.removed += of_id.removed;
                    counts.refused += of_id.refused;
                }
                self.end_removal();
                Reply::Blocked(counts)
            }
            _ => Reply::Done,
        }
    }

    /// Handles a row of a sample that is set aside or blocked, or that sets its sample aside: `None`. `Some`: the row is applied as usual,
    /// and its streak is then left alone, ended or set.
    pub(super) fn judge(
        &mut self,
        rows: &Columns,
        row: usize,
        terms: &Terms,
        counts: &mut ApplyCounts,
    ) -> Option<Option<Option<(u32, bool)>>> {
        let id = rows.ids[row];
        let raw = rows.raw_scores.get(row).copied().unwrap_or(rows.scores[row]);
        if self.suspects.blocked.contains_key(&id) {
            counts.blocked += 1;
            return None;
        }
        if let Some(held) = self.suspects.held.get(&id).cloned() {
            self.refresh(rows, row, terms, &held, counts);
            return None;
        }
        let Some(QuarantineTerms { threshold: Some(threshold), reports, capacity, now_millis }) =
            terms.quarantine
        else {
            return Some(None);
        };
        let lower = self.spec.hardness.lower_is_harder;
        let is_above = if lower { raw < threshold } else { raw > threshold };
        let known = self.suspects.streak(id);
        if known.is_some_and(|known| terms.refuse_stale && is_later(known.2, terms.stamp)) {
            return Some(None);
        }
        if !is_above || self.suspects.trusted.contains(&id) {
            return Some(Some(None));
        }
        let rows_above = known.map_or(1, |known| known.1 + 1);
        let was_refused = known.is_some_and(|known| known.3);
        if rows_above < reports {
            return Some(Some(Some((rows_above, was_refused))));
        }
        if self.suspects.held.len() as u64 >= capacity {
            return Some(Some(Some((rows_above, true))));
        }
        let stored = self.entry(id).cloned();
        let stored = stored.as_ref();
        if stored.is_some_and(|stored| terms.refuse_stale && is_later(stored.stamp, terms.stamp)) {
            counts.stale += 1;
            return None;
        }
        let entry = self.entry_of(rows, row, terms, stored, stored);
        let key = self.spec.hardness.key(entry.score, terms.decay_units).0;
        let held = Held {
            entry: Some(entry),
            serves: 0,
            raw_score: raw,
            key: Some((key, terms.decay_units)),
            threshold: Some(threshold),
            reports: rows_above,
            millis: now_millis,
        };
        self.hold(id, held);
        counts.quarantined += 1;
        counts.set_aside += 1;
        None
    }

    fn refresh(&mut self, rows: &Columns, row: usize, terms: &Terms, held: &Held, counts: &mut ApplyCounts) {
        let old = held.entry.as_ref();
        if old.is_some_and(|old| terms.refuse_stale && is_later(old.stamp, terms.stamp)) {
            counts.stale += 1;
            return;
        }
        let raw_score = rows.raw_scores.get(row).copied().unwrap_or(rows.scores[row]);
        let entry = self.entry_of(rows, row, terms, old, old);
        let key = self.spec.hardness.key(entry.score, terms.decay_units).0;
        let key = Some((key, terms.decay_units));
        self.suspects
            .held
            .insert(rows.ids[row], Held { entry: Some(entry), serves: 0, raw_score, key, ..held.clone() });
        counts.quarantined += 1;
    }

    /// After a row that was applied and was not stale.
    pub(super) fn count_streak(&mut self, id: u64, stamp: u32, streak: Option<(u32, bool)>) {
        let was_refused = self.suspects.streak(id).is_some_and(|known| known.3);
        self.suspects.end(id);
        if let Some((reports, is_refused)) = streak {
            self.suspects.overflows += u64::from(is_refused && !was_refused);
            self.suspects.streaks.push((id, reports, stamp, is_refused));
            if self.suspects.streaks.len() > self.spec.quarantine.streaks {
                self.suspects.streaks.remove(0);
            }
        }
    }

    fn hold(&mut self, id: u64, held: Held) {
        self.take_out(id);
        self.forget_unstored(id);
        self.suspects.end(id);
        self.suspects.held.insert(id, held);
    }

    pub(super) fn set_aside(
        &mut self,
        id: u64,
        capacity: u64,
        decay_units: u64,
        millis: u64,
    ) -> SetAsideCounts {
        let counts = SetAsideCounts::default();
        if self.suspects.held.contains_key(&id) {
            return counts;
        }
        let entry = self.entry(id).cloned();
        let serves = match &entry {
            Some(entry) => entry.serves,
            None if self.is_in_space(id) && !self.removed.contains(&id) => self.unstored_serves(id),
            None => return SetAsideCounts { absent: 1, ..counts },
        };
        if self.suspects.held.len() as u64 >= capacity {
            return SetAsideCounts { refused: 1, ..counts };
        }
        let held = Held {
            raw_score: entry.as_ref().map_or(f32::NAN, |entry| entry.score),
            entry,
            serves,
            key: self.any_key(id).map(|key| (key, decay_units)),
            threshold: None,
            reports: self.suspects.streak(id).map_or(0, |streak| streak.1),
            millis,
        };
        self.hold(id, held);
        SetAsideCounts { set_aside: 1, ..counts }
    }

    /// The key of a sample in the hard store, or else its own key in the background.
    fn any_key(&self, id: u64) -> Option<Key> {
        let filling = self.filling.as_ref();
        let own = self.serving.own.get(&id).or_else(|| filling.and_then(|filling| filling.own.get(&id)));
        self.hard.get(&id).map(|(key, _)| *key).or_else(|| own.map(|(key, _)| *key))
    }

    pub(super) fn release(&mut self, id: u64, trust: bool) -> ReleaseCounts {
        let mut counts = ReleaseCounts::default();
        if !self.suspects.held.contains_key(&id) {
            return counts;
        }
        let is_known = self.suspects.trusted.contains(&id);
        if trust && !is_known && self.suspects.trusted.len() >= self.spec.quarantine.trusted {
            counts.refused = 1;
            return counts;
        }
        counts.released = 1;
        let held = self.suspects.held.remove(&id).expect("it is held");
        if trust {
            self.suspects.trusted.insert(id);
        }
        let Some(entry) = held.entry else {
            self.removed.retain(|removed| *removed != id);
            self.remember_unstored(id, held.serves);
            return counts;
        };
        let entry = Entry { serves: held.serves, ..entry };
        let (key, decay_units) = held.key.expect("it was reported");
        // As many key units as the key stood above the clock: in 128 bits nothing wraps.
        let at = i128::from(decay_units) + i128::from(key.since(Key::of_clock(decay_units)));
        let key = match self.floor_units {
            Some(floor) if at < i128::from(floor) => Key::of_clock(floor),
            _ => key,
        };
        self.meet(id, &entry, key);
        self.hard.insert(id, (key, entry));
        if self.hard.len() > self.spec.capacity {
            let last = *self.order().last().expect("not empty");
            self.hard.remove(&last);
            counts.evicted = u64::from(last != id);
        }
        if self.entry(id).is_none() && self.is_in_space(id) {
            self.remember_unstored(id, held.serves);
        }
        counts
    }

    pub(super) fn block(&mut self, id: u64, name: Option<String>) -> BlockCounts {
        let counts = BlockCounts::default();
        let is_known = self.suspects.blocked.contains_key(&id);
        if is_known {
            self.suspects.blocked.insert(id, name);
            counts
        } else if self.suspects.blocked.len() >= self.spec.quarantine.blocked {
            BlockCounts { refused: 1, ..counts }
        } else {
            self.suspects.blocked.insert(id, name);
            BlockCounts { blocked: 1, removed: u64::from(self.remove(id)), ..counts }
        }
    }

    /// Removes all samples. Returns their number.
    pub(super) fn clear(&mut self) -> u64 {
        let mut ids: BTreeSet<u64> = self.hard.keys().copied().collect();
        ids.extend(self.serving.members.keys());
        ids.extend(self.filling.iter().flat_map(|filling| filling.members.keys()));
        ids.extend(self.suspects.held.keys());
        self.suspects.held.clear();
        self.suspects.streaks.clear();
        self.begin_anew();
        let blocked: Vec<u64> = self.suspects.blocked.keys().copied().collect();
        self.removed = blocked.into_iter().filter(|id| self.is_in_space(*id)).collect();
        ids.len() as u64
    }

    /// The entry that a row leaves; `old` is what its score goes on from, `known` what else is kept of.
    pub(super) fn entry_of(
        &self,
        rows: &Columns,
        row: usize,
        terms: &Terms,
        old: Option<&Entry>,
        known: Option<&Entry>,
    ) -> Entry {
        let score = rows.scores[row];
        let hardness = &self.spec.hardness;
        let score = match old {
            Some(old) if terms.update != ScoreUpdate::Last => {
                updated_score(hardness, terms.update, old.score, score)
            }
            _ => score,
        };
        let payload = rows.payloads.get(row).filter(|p| !p.is_empty()).map(|p| p.to_vec());
        Entry {
            score,
            stamp: terms.stamp,
            version: terms.model_version,
            serves: 0,
            stratum: rows.strata.get(row).copied().unwrap_or(known.map_or(0, |e| e.stratum)),
            group: rows.groups.get(row).copied().unwrap_or(known.map_or(0, |e| e.group)),
            name: rows.names.get(row).map(ToString::to_string).or(old.and_then(|o| o.name.clone())),
            payload: payload.or(old.and_then(|o| o.payload.clone())),
        }
    }
}
