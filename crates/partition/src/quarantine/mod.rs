//! The quarantine: samples that were set aside, with records to put them back from, and ids that are blocked. Both are kept out of hard
//! store and background.
//!
//! A sample whose raw score is above a threshold in a number of consecutive rows, its streak, is set aside by the row that completes the
//! streak. The operation carries the threshold, because it is a quantile over the whole pool. Later rows of the sample update its record,
//! by the pool's rule for re-reports, until it is released. A blocked id has no record: its rows are only counted.

mod record;
mod streaks;

use std::sync::Arc;

use crate::id_map::IdMap;
use crate::op::QuarantineTerms;
use crate::spec::QuarantineLimits;
pub use record::Quarantined;
pub(crate) use record::{key_at, units_of};
pub(crate) use streaks::{Streak, Streaks};

/// The maximal number of records, of trusted ids, and of blocked ids, whatever an operation allows.
pub(crate) const MOST: usize = 1 << 20;

/// Whether stamp `a` is later than `b`, in serial arithmetic.
pub(crate) fn is_later(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// The quarantine of a partition.
#[derive(Debug)]
pub(crate) struct Quarantine {
    limits: QuarantineLimits,
    /// Samples whose latest rows were above the threshold.
    pub(crate) streaks: Streaks,
    /// Samples that were set aside. None of them is stored anywhere else.
    records: IdMap<Quarantined>,
    /// Ids that no row sets aside.
    trusted: IdMap<()>,
    /// Ids whose rows are ignored, with their names in a `named` pool. None of them is stored or set aside.
    blocked: IdMap<Option<Arc<str>>>,
    /// Bytes of names and payloads of all records.
    attached_bytes: usize,
    /// Samples that a row would have set aside while the quarantine was full.
    pub(crate) overflows: u64,
}

/// Whether a set of `len` ids has room for an id, or contains it.
fn has_room(len: usize, most: usize, is_known: bool) -> bool {
    is_known || len < most.min(MOST)
}

impl Quarantine {
    pub(crate) fn new(limits: QuarantineLimits) -> Self {
        Self {
            limits,
            streaks: Streaks::new(limits.streaks),
            records: IdMap::default(),
            trusted: IdMap::default(),
            blocked: IdMap::default(),
            attached_bytes: 0,
            overflows: 0,
        }
    }

    /// Whether the rows of a report under these terms must be checked one by one.
    pub(crate) fn concerns_rows(&self, terms: Option<QuarantineTerms>) -> bool {
        !self.records.is_empty()
            || !self.blocked.is_empty()
            || terms.is_some_and(|terms| terms.threshold.is_some())
    }

    /// The number of samples that are set aside.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn trusted_len(&self) -> usize {
        self.trusted.len()
    }

    pub(crate) fn blocked_len(&self) -> usize {
        self.blocked.len()
    }

    #[inline]
    pub(crate) fn get(&self, id: u64) -> Option<&Quarantined> {
        if self.records.is_empty() { None } else { self.records.get(&id) }
    }

    #[inline]
    pub(crate) fn is_blocked(&self, id: u64) -> bool {
        !self.blocked.is_empty() && self.blocked.contains_key(&id)
    }

    #[inline]
    pub(crate) fn is_trusted(&self, id: u64) -> bool {
        !self.trusted.is_empty() && self.trusted.contains_key(&id)
    }

    /// Whether another sample may be set aside.
    pub(crate) fn has_room(&self, capacity: u64) -> bool {
        has_room(self.records.len(), usize::try_from(capacity).unwrap_or(usize::MAX), false)
    }

    /// Enters a record. There is room, and the sample is neither set aside nor stored.
    pub(crate) fn enter(&mut self, record: Quarantined) {
        self.streaks.remove(record.id);
        self.attached_bytes += record.attached_bytes();
        self.records.insert(record.id, record);
    }

    /// Changes a record, if there is one.
    pub(crate) fn change(&mut self, id: u64, change: impl FnOnce(&mut Quarantined)) {
        if let Some(record) = self.records.get_mut(&id) {
            let before = record.attached_bytes();
            change(record);
            self.attached_bytes = self.attached_bytes - before + record.attached_bytes();
        }
    }

    /// Takes a record out.
    pub(crate) fn take(&mut self, id: u64) -> Option<Quarantined> {
        let record = self.records.remove(&id)?;
        self.attached_bytes -= record.attached_bytes();
        Some(record)
    }

    /// Whether there is room to trust an id.
    pub(crate) fn can_trust(&self, id: u64) -> bool {
        has_room(self.trusted.len(), self.limits.trusted, self.trusted.contains_key(&id))
    }

    /// Trusts an id. There is room.
    pub(crate) fn trust(&mut self, id: u64) {
        self.streaks.remove(id);
        self.trusted.insert(id, ());
    }

    /// Whether there is room to block an id.
    pub(crate) fn can_block(&self, id: u64) -> bool {
        has_room(self.blocked.len(), self.limits.blocked, self.blocked.contains_key(&id))
    }

    /// Blocks an id. There is room. Returns whether it was not blocked before.
    pub(crate) fn block(&mut self, id: u64, name: Option<Arc<str>>) -> bool {
        self.blocked.insert(id, name).is_none()
    }

    /// Unblocks an id. Returns whether it was blocked.
    pub(crate) fn unblock(&mut self, id: u64) -> bool {
        self.blocked.remove(&id).is_some()
    }

    /// Forgets the streak, the record and the trust of a sample that was removed. Returns whether it was set aside.
    pub(crate) fn forget(&mut self, id: u64) -> bool {
        self.streaks.remove(id);
        self.trusted.remove(&id);
        self.take(id).is_some()
    }

    /// Drops up to `records` records. Returns how many.
    pub(crate) fn forget_records(&mut self, records: usize) -> usize {
        let mut bytes = 0;
        let forgotten = self.records.extract_if(|_, _| true).take(records);
        let forgotten = forgotten.map(|(_, record)| bytes += record.attached_bytes()).count();
        self.attached_bytes -= bytes;
        forgotten
    }

    /// Forgets all ids for which `stays` is false.
    pub(crate) fn retain(&mut self, stays: &impl Fn(u64) -> bool) {
        self.streaks.retain(stays);
        self.records.retain(|id, _| stays(*id));
        self.attached_bytes = self.records.values().map(Quarantined::attached_bytes).sum();
        self.trusted.retain(|id, ()| stays(*id));
        self.blocked.retain(|id, _| stays(*id));
    }

    /// Forgets all streaks.
    pub(crate) fn forget_streaks(&mut self) {
        self.streaks = Streaks::new(self.limits.streaks);
    }

    /// Up to `limit` records with ids greater than `after`, in order of id.
    pub(crate) fn page(&self, after: Option<u64>, limit: usize) -> Vec<&Quarantined> {
        let ids = first_after(self.records.keys(), after, limit);
        ids.iter().filter_map(|id| self.records.get(id)).collect()
    }

    /// Up to `limit` blocked ids greater than `after`, in order of id, with their names.
    pub(crate) fn blocked_page(&self, after: Option<u64>, limit: usize) -> Vec<(u64, Option<Arc<str>>)> {
        let ids = first_after(self.blocked.keys(), after, limit);
        ids.iter().filter_map(|id| Some((*id, self.blocked.get(id)?.clone()))).collect()
    }

    /// All trusted ids, in order of id.
    pub(crate) fn trusted_ids(&self) -> Vec<u64> {
        first_after(self.trusted.keys(), None, usize::MAX)
    }

    /// Restores a record of an image. False: it cannot have been saved.
    pub(crate) fn restore(&mut self, record: Quarantined) -> bool {
        let fits = self.has_room(u64::MAX) && !self.records.contains_key(&record.id);
        if fits {
            self.enter(record);
        }
        fits
    }

    /// Reserves memory for records, trusted ids and blocked ids that are to be restored.
    pub(crate) fn reserve(&mut self, [records, trusted, blocked]: [usize; 3]) {
        self.records.reserve(records);
        self.trusted.reserve(trusted);
        self.blocked.reserve(blocked);
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.streaks.memory_bytes()
            + self.records.allocation_size()
            + self.attached_bytes
            + self.trusted.allocation_size()
            + self.blocked.allocation_size()
            + self.blocked.values().flatten().map(|name| name.len() + 16).sum::<usize>()
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        self.streaks.check();
        assert_eq!(
            self.attached_bytes,
            self.records.values().map(Quarantined::attached_bytes).sum::<usize>()
        );
        for (id, record) in &self.records {
            assert!(record.id == *id && !self.blocked.contains_key(id) && self.streaks.get(*id).is_none());
        }
        assert!(self.trusted.keys().all(|id| self.streaks.get(*id).is_none()));
        assert!(
            self.blocked.keys().all(|id| self.streaks.get(*id).is_none() && !self.trusted.contains_key(id))
        );
    }
}

/// The `limit` smallest ids greater than `after`, in order.
fn first_after<'a>(ids: impl Iterator<Item = &'a u64>, after: Option<u64>, limit: usize) -> Vec<u64> {
    let mut ids: Vec<u64> = ids.copied().filter(|id| after.is_none_or(|after| *id > after)).collect();
    if ids.len() > limit {
        ids.select_nth_unstable(limit);
        ids.truncate(limit);
    }
    ids.sort_unstable();
    ids
}
