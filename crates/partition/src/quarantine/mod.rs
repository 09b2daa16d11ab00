//! Who is kept out of hard store and background: samples that were set aside, with what it takes to put them back, and ids that are
//! blocked.
//!
//! A sample whose raw score stays above a threshold in so many consecutive rows is set aside by the very row that completes them. The
//! threshold comes with the operation, because it is a quantile over the whole pool. Later rows of the sample refresh its record, by
//! the pool's rule for re-reports, until it is released. A blocked id has no record: its rows are counted, and nothing else.

mod record;
mod streaks;

use std::sync::Arc;

use crate::id_map::IdMap;
use crate::op::QuarantineTerms;
use crate::spec::QuarantineLimits;
pub use record::Quarantined;
pub(crate) use record::{key_at, units_of};
pub(crate) use streaks::{Streak, Streaks};

/// Samples that a partition has set aside, ids that it trusts, and ids that it blocks, each at most, whatever an operation allows.
pub(crate) const MOST: usize = 1 << 20;

/// Whether stamp `a` is later than `b`, in serial arithmetic.
pub(crate) fn is_later(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// What a partition knows of its suspects.
#[derive(Debug)]
pub(crate) struct Quarantine {
    limits: QuarantineLimits,
    /// Samples with rows above the threshold in a row.
    pub(crate) streaks: Streaks,
    /// Samples that were set aside; none of them is stored anywhere else.
    records: IdMap<Quarantined>,
    /// Samples that rows never set aside.
    trusted: IdMap<()>,
    /// Ids that nothing brings back, with their names in a pool of names; none of them is stored or set aside.
    blocked: IdMap<Option<Arc<str>>>,
    /// Bytes of names and payloads of all records.
    attached_bytes: usize,
    /// Samples that were to be set aside while there was no room.
    pub(crate) overflows: u64,
}

/// Whether a set has room for an id, or has it already.
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

    /// Whether rows of a report under these terms must be looked at one by one.
    pub(crate) fn concerns_rows(&self, terms: Option<QuarantineTerms>) -> bool {
        !self.records.is_empty()
            || !self.blocked.is_empty()
            || terms.is_some_and(|terms| terms.threshold.is_some())
    }

    /// Samples set aside.
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

    /// Sets a sample aside that is not; there is room, and it is stored nowhere.
    pub(crate) fn enter(&mut self, record: Quarantined) {
        self.streaks.end(record.id);
        self.attached_bytes += record.attached_bytes();
        self.records.insert(record.id, record);
    }

    /// Changes a record.
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

    /// Whether an id could be trusted.
    pub(crate) fn can_trust(&self, id: u64) -> bool {
        has_room(self.trusted.len(), self.limits.trusted, self.trusted.contains_key(&id))
    }

    /// Trusts an id that could be.
    pub(crate) fn trust(&mut self, id: u64) {
        self.streaks.end(id);
        self.trusted.insert(id, ());
    }

    /// Whether an id could be blocked.
    pub(crate) fn can_block(&self, id: u64) -> bool {
        has_room(self.blocked.len(), self.limits.blocked, self.blocked.contains_key(&id))
    }

    /// Blocks an id that could be; whether it was not blocked before.
    pub(crate) fn block(&mut self, id: u64, name: Option<Arc<str>>) -> bool {
        self.blocked.insert(id, name).is_none()
    }

    /// Blocks an id no more; whether it was.
    pub(crate) fn unblock(&mut self, id: u64) -> bool {
        self.blocked.remove(&id).is_some()
    }

    /// A sample was removed: its streak, its record and the trust in it go. Whether it was set aside.
    pub(crate) fn forget(&mut self, id: u64) -> bool {
        self.streaks.end(id);
        self.trusted.remove(&id);
        self.take(id).is_some()
    }

    /// Forgets up to `records` records; how many.
    pub(crate) fn forget_records(&mut self, records: usize) -> usize {
        let mut bytes = 0;
        let forgotten = self.records.extract_if(|_, _| true).take(records);
        let forgotten = forgotten.map(|(_, record)| bytes += record.attached_bytes()).count();
        self.attached_bytes -= bytes;
        forgotten
    }

    /// Forgets all ids but some.
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

    /// Up to `limit` records with ids over `after`, in order of id.
    pub(crate) fn page(&self, after: Option<u64>, limit: usize) -> Vec<&Quarantined> {
        let ids = first_after(self.records.keys(), after, limit);
        ids.iter().filter_map(|id| self.records.get(id)).collect()
    }

    /// Up to `limit` blocked ids over `after`, in order of id, with their names.
    pub(crate) fn blocked_page(&self, after: Option<u64>, limit: usize) -> Vec<(u64, Option<Arc<str>>)> {
        let ids = first_after(self.blocked.keys(), after, limit);
        ids.iter().filter_map(|id| Some((*id, self.blocked.get(id)?.clone()))).collect()
    }

    /// Up to `limit` trusted ids, in order of id.
    pub(crate) fn trusted_ids(&self) -> Vec<u64> {
        first_after(self.trusted.keys(), None, usize::MAX)
    }

    /// Enters a record as an image has it; false where it cannot have been saved.
    pub(crate) fn restore(&mut self, record: Quarantined) -> bool {
        let fits = self.has_room(u64::MAX) && !self.records.contains_key(&record.id);
        if fits {
            self.enter(record);
        }
        fits
    }

    /// Takes memory for so many records, trusted ids and blocked ids that are yet to be restored.
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

/// The `limit` smallest ids over `after`, in order.
fn first_after<'a>(ids: impl Iterator<Item = &'a u64>, after: Option<u64>, limit: usize) -> Vec<u64> {
    let mut ids: Vec<u64> = ids.copied().filter(|id| after.is_none_or(|after| *id > after)).collect();
    if ids.len() > limit {
        ids.select_nth_unstable(limit);
        ids.truncate(limit);
    }
    ids.sort_unstable();
    ids
}
