//! The reference model of a partition: maps, which are sorted when something is read. Property tests compare the real partition with it.

mod background;
mod quarantine;
mod totals;

use std::collections::BTreeMap;
use std::ops::Range;

use crate::dedupe::naive::Senders;
use crate::hash::background_hash;
use crate::key::Key;
use crate::op::{
    ApplyCounts, Change, Columns, Drawn, Op, Reply, Sender, ServeMark, Source, Terms, WORN_UNTIL,
};
use crate::place::Place;
use crate::row::Served;
use crate::spec::{BackgroundSpec, PartitionSpec};
use crate::totals::Totals;
use background::Generation;
use quarantine::Suspects;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) score: f32,
    pub(crate) stamp: u32,
    pub(crate) version: u32,
    pub(crate) serves: u16,
    pub(crate) stratum: u32,
    pub(crate) group: u64,
    pub(crate) name: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
}

#[derive(Clone)]
pub(crate) struct Naive {
    pub(super) spec: PartitionSpec,
    pub(crate) hard: BTreeMap<u64, (Key, Entry)>,
    pub(crate) serving: Generation,
    pub(crate) filling: Option<Generation>,
    pub(crate) generations: u64,
    /// Ids of the witness with whether they were reported since the filling generation began, and the latest stamp.
    witness: BTreeMap<u64, (u64, bool, u32)>,
    pub(crate) witness_salt: u64,
    rows: u64,
    pub(crate) leases: BTreeMap<u64, u64>,
    unstored: Vec<(u64, u16)>,
    pub(crate) removed: Vec<u64>,
    floor: Option<Key>,
    pub(super) floor_units: Option<u64>,
    pub(crate) senders: Senders,
    pub(crate) suspects: Suspects,
    pub(crate) totals: Totals,
    /// The pool has a time to live.
    expires: bool,
}

impl Naive {
    /// `witness_salt`: the salt of the real partition's witness, which the model does not derive itself.
    pub(crate) fn new(spec: PartitionSpec, witness_salt: u64) -> Self {
        let salt = background_hash(0, spec.salt_seed);
        Self {
            spec,
            hard: BTreeMap::new(),
            serving: Generation { salt, members: BTreeMap::new(), own: BTreeMap::new(), threshold: None },
            filling: None,
            generations: 1,
            witness: BTreeMap::new(),
            witness_salt,
            rows: 0,
            leases: BTreeMap::new(),
            unstored: Vec::new(),
            removed: Vec::new(),
            floor: None,
            floor_units: None,
            senders: Senders::new(spec.workers),
            suspects: Suspects::default(),
            totals: Totals::default(),
            expires: false,
        }
    }

    pub(crate) fn place(&self, id: u64) -> Place {
        let (key, entry) = &self.hard[&id];
        Place::of(*key, entry.score, id, self.spec.hardness.lower_is_harder)
    }

    /// Ids of the hard store, the hardest first.
    pub(crate) fn order(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.hard.keys().copied().collect();
        ids.sort_by(|a, b| self.place(*b).compare(&self.place(*a)));
        ids
    }

    fn size(&self) -> usize {
        match self.spec.background {
            BackgroundSpec::Sampled { size } => size,
            BackgroundSpec::Dense { .. } => 0,
        }
    }

    fn dense(&self) -> bool {
        matches!(self.spec.background, BackgroundSpec::Dense { .. })
    }

    pub(crate) fn entry(&self, id: u64) -> Option<&Entry> {
        let filling = || self.filling.as_ref().and_then(|filling| filling.members.get(&id));
        let hard = self.hard.get(&id).map(|(_, entry)| entry);
        hard.or_else(|| self.serving.members.get(&id)).or_else(filling)
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Reply {
        let reply = self.change(op);
        self.count(op, &reply);
        reply
    }

    fn change(&mut self, op: &Op) -> Reply {
        match &op.change {
            Change::Report { rows, range, terms, sender } => {
                Reply::Reported(self.apply_report(rows, range, terms, *sender))
            }
            Change::Serve { drawn, mark } => {
                Reply::Served(drawn.iter().map(|drawn| self.serve(*drawn, *mark)).collect())
            }
            Change::Release { ids } => {
                let mut release = |id: &&u64| {
                    self.leases.remove_entry(id).is_some_and(|(id, end)| {
                        // A worn sample goes on to rest.
                        end != WORN_UNTIL || self.leases.insert(id, end).is_some()
                    })
                };
                Reply::Released(ids.iter().filter(|id| release(id)).count() as u64)
            }
            Change::Expire { now_millis, oldest_stamp } => {
                self.leases.retain(|_, end| *end > *now_millis);
                self.expires |= oldest_stamp.is_some();
                self.expire(*oldest_stamp);
                Reply::Done
            }
            Change::Remove { ids } => {
                let removed = ids.iter().filter(|id| self.remove(**id)).count() as u64;
                self.end_removal();
                Reply::Removed(removed)
            }
            Change::SetAside { .. } | Change::ReleaseQuarantined { .. } | Change::Block { .. } => {
                self.change_quarantine(&op.change)
            }
            Change::Unblock { ids } => {
                let blocked = |id: &&u64| self.suspects.blocked.remove(*id).is_some();
                Reply::Unblocked(ids.iter().filter(blocked).count() as u64)
            }
            Change::Clear => Reply::Cleared(self.clear()),
            Change::Fold { floor_units } => {
                self.fold(*floor_units);
                Reply::Done
            }
        }
    }

    fn apply_report(
        &mut self,
        rows: &Columns,
        range: &Range<usize>,
        terms: &Terms,
        sender: Option<Sender>,
    ) -> ApplyCounts {
        let mut counts = ApplyCounts::default();
        if sender.is_some_and(|sender| self.senders.hear(sender)) {
            counts.duplicate = range.len() as u64 + terms.faults.non_finite + terms.faults.out_of_range;
            return counts;
        }
        self.expires = terms.oldest_stamp.is_some();
        if self.expire(terms.oldest_stamp) && terms.oldest_stamp.is_some_and(|oldest| terms.stamp < oldest) {
            counts.stale = range.len() as u64;
            counts.add(&terms.faults.counts());
            return counts;
        }
        if terms.quarantine.is_none() {
            self.suspects.streaks.clear();
        }
        for row in range.clone() {
            let mut of_row = ApplyCounts::default();
            if let Some(streak) = self.judge(rows, row, terms, &mut of_row) {
                self.report(rows, row, terms, &mut of_row);
                if let Some(streak) = streak.filter(|_| of_row.stale == 0) {
                    self.count_streak(rows.ids[row], terms.stamp, streak);
                }
            }
            let is_kept_out = of_row.stale + of_row.quarantined + of_row.blocked > 0;
            if rows.ids[range.start..row].contains(&rows.ids[row]) && !is_kept_out {
                of_row = ApplyCounts { coalesced: 1, evicted: of_row.evicted, ..ApplyCounts::default() };
            }
            counts.add(&of_row);
            if !self.dense() {
                self.renew(1, terms.renew_after_rows);
            }
        }
        counts.non_finite = terms.faults.non_finite;
        counts.out_of_range = terms.faults.out_of_range;
        counts.clamped = terms.faults.clamped;
        counts.floored = terms.faults.floored;
        counts
    }

    fn fold(&mut self, floor_units: u64) {
        self.floor_units = Some(floor_units);
        let floor = Key::of_clock(floor_units);
        self.floor = Some(floor);
        let hard = self.hard.values_mut().map(|(key, _)| key);
        let serving = self.serving.own.values_mut().map(|(key, _)| key);
        let filling = self.filling.iter_mut().flat_map(|filling| filling.own.values_mut());
        let keys = hard.chain(serving).chain(filling.map(|(key, _)| key));
        keys.filter(|key| key.since(floor) < 0).for_each(|key| *key = floor);
    }

    fn report(&mut self, rows: &Columns, row: usize, terms: &Terms, counts: &mut ApplyCounts) {
        let id = rows.ids[row];
        let is_stale = |stamp: u32| terms.refuse_stale && (stamp.wrapping_sub(terms.stamp) as i32) > 0;
        if self.hard.get(&id).is_some_and(|(_, entry)| is_stale(entry.stamp)) {
            counts.stale += 1;
            return;
        }
        let known = self.entry(id).cloned();
        let fresh = |old: Option<&Entry>| self.entry_of(rows, row, terms, old, known.as_ref());
        let old_hard = self.hard.get(&id).map(|(_, entry)| entry.clone());
        let of_hard = fresh(old_hard.as_ref());
        let of_members: Vec<Entry> = std::iter::once(&self.serving)
            .chain(&self.filling)
            .map(|generation| fresh(generation.members.get(&id)))
            .collect();
        let key_of = |score| {
            let key = self.spec.hardness.key(score, terms.decay_units).0;
            self.floor.filter(|floor| key.since(*floor) < 0).unwrap_or(key)
        };
        let key = key_of(of_hard.score);
        let of_members: Vec<(Entry, Key)> =
            of_members.into_iter().map(|entry| (entry.clone(), key_of(entry.score))).collect();
        let mut member = false;
        if self.dense() {
            self.removed.retain(|removed| *removed != id);
            self.forget_unstored(id);
        } else {
            let size = self.size();
            for (generation, (entry, key)) in
                std::iter::once(&mut self.serving).chain(&mut self.filling).zip(of_members)
            {
                let stored = generation.members.get(&id).map(|entry| entry.stamp);
                if stored.is_some_and(is_stale) {
                    counts.stale += 1;
                    return;
                }
                member |= generation.meet(id, entry, key, size);
            }
            self.witness
                .entry(background_hash(id, self.witness_salt))
                .and_modify(|w| (w.1, w.2) = (true, terms.stamp))
                .or_insert((id, true, terms.stamp));
        }
        self.leases.remove(&id);
        let was_known = self.hard.insert(id, (key, of_hard)).is_some();
        let mut stays = true;
        if self.hard.len() > self.spec.capacity {
            let last = *self.order().last().expect("not empty");
            self.hard.remove(&last);
            stays = last != id;
            counts.evicted += u64::from(stays);
        }
        match (was_known, stays, member) {
            (true, _, _) => counts.updated += 1,
            (_, true, _) => counts.inserted += 1,
            (_, _, true) => counts.background_only += 1,
            _ => counts.dropped += 1,
        }
    }

    fn serve(&mut self, Drawn { id, source }: Drawn, mark: ServeMark) -> Option<Served> {
        let known = self.entry(id).cloned();
        if known.is_none() && (!self.is_in_space(id) || self.removed.contains(&id)) {
            return None;
        }
        let unstored = self.unstored_serves(id);
        let mut serves = known.as_ref().map_or(unstored, |entry| entry.serves);
        if mark.count && self.leases.contains_key(&id) {
            return None;
        }
        if mark.count {
            serves += 1;
            let owes = source == Source::Background || self.own_key(id).is_none();
            if let Some((_, owed)) =
                self.serving.own.get_mut(&id).filter(|_| self.serving.threshold.is_some())
            {
                *owed = owes;
            }
            let filling = self.filling.iter_mut().filter_map(|filling| filling.members.get_mut(&id));
            let members = self.serving.members.get_mut(&id).into_iter().chain(filling);
            let mut of_member = None;
            for member in members {
                member.serves += 1;
                of_member = Some(member.serves);
            }
            if let Some((_, entry)) = self.hard.get_mut(&id) {
                entry.serves = serves;
            } else if let Some(of_member) = of_member {
                serves = of_member;
            } else {
                self.remember_unstored(id, serves);
            }
            if let Some(until) = mark.rests_until(serves) {
                self.leases.insert(id, until.div_ceil(16).saturating_mul(16));
            }
        }
        let known = known.as_ref();
        Some(Served {
            serves,
            name: known.and_then(|k| k.name.as_deref()).map(Into::into),
            payload: known.and_then(|k| k.payload.clone()).map(Into::into),
        })
    }

    /// Whether an id is one of a dense space.
    pub(super) fn is_in_space(&self, id: u64) -> bool {
        matches!(self.spec.background, BackgroundSpec::Dense { ids } if id < ids)
    }

    pub(super) fn unstored_serves(&self, id: u64) -> u16 {
        self.unstored.iter().find(|(unstored, _)| *unstored == id).map_or(0, |u| u.1)
    }

    pub(super) fn forget_unstored(&mut self, id: u64) {
        self.unstored.retain(|(unstored, _)| *unstored != id);
    }

    /// Tests never reach the limit on such ids.
    pub(super) fn remember_unstored(&mut self, id: u64, serves: u16) {
        self.forget_unstored(id);
        if serves > 0 {
            self.unstored.push((id, serves));
        }
    }

    /// Removes samples that no row reported since a stamp. Returns whether the partition can have a horizon.
    fn expire(&mut self, oldest_stamp: Option<u32>) -> bool {
        let Some(oldest) = oldest_stamp.filter(|_| !self.dense()) else {
            return false;
        };
        let members = |generation: &Generation| -> Vec<(u64, u32)> {
            generation.members.iter().map(|(id, entry)| (*id, entry.stamp)).collect()
        };
        let mut latest: BTreeMap<u64, u32> = BTreeMap::new();
        let hard = self.hard.iter().map(|(id, (_, entry))| (*id, entry.stamp));
        let witness = self.witness.values().map(|(id, _, stamp)| (*id, *stamp));
        let filling = self.filling.iter().flat_map(members);
        for (id, stamp) in hard.chain(witness).chain(members(&self.serving)).chain(filling) {
            let known = latest.entry(id).or_insert(stamp);
            *known = stamp.max(*known);
        }
        let dead: Vec<u64> =
            latest.into_iter().filter(|(_, stamp)| *stamp < oldest).map(|(id, _)| id).collect();
        for id in &dead {
            self.suspects.end(*id);
            self.totals.expired += u64::from(self.take_out(*id));
        }
        if !dead.is_empty() {
            self.end_removal();
        }
        true
    }

    pub(super) fn remove(&mut self, id: u64) -> bool {
        self.suspects.end(id);
        self.suspects.trusted.remove(&id);
        let was_held = self.suspects.held.remove(&id).is_some();
        self.take_out(id) | was_held
    }

    pub(super) fn take_out(&mut self, id: u64) -> bool {
        self.leases.remove(&id);
        self.witness.remove(&background_hash(id, self.witness_salt));
        let mut was = self.hard.remove(&id).is_some();
        for generation in std::iter::once(&mut self.serving).chain(&mut self.filling) {
            was |= generation.members.remove(&id).is_some();
            generation.own.remove(&id);
        }
        if let BackgroundSpec::Dense { ids } = self.spec.background
            && id < ids
        {
            was = !self.removed.contains(&id);
            if was {
                self.removed.push(id);
            }
        }
        was
    }
}
