//! How often in a row each suspect was above the quantile. Bounded: of two generations of entries the older is forgotten when
//! the newer is full, so what goes first was not reported for longest.

use hashbrown::HashSet;
use std::hash::BuildHasherDefault;

use crate::store::id_map::IdHasher;
pub(super) use crate::store::id_map::IdMap;

/// A set of ids.
pub(super) type IdSet = HashSet<u64, BuildHasherDefault<IdHasher>>;

/// Reports in a row above the quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Streak {
    pub(super) reports: u32,
    /// Of the last of them.
    pub(super) stamp: u32,
    /// It was to be set aside, and the quarantine was full.
    pub(super) refused: bool,
}

/// The streaks of a shard, at most two times `half_max`.
#[derive(Debug, Default)]
pub(super) struct Streaks {
    newer: IdMap<Streak>,
    older: IdMap<Streak>,
}

impl Streaks {
    pub(super) fn is_empty(&self) -> bool {
        self.newer.is_empty() && self.older.is_empty()
    }

    #[inline]
    pub(super) fn get(&self, id: u64) -> Option<Streak> {
        self.newer.get(&id).or_else(|| self.older.get(&id)).copied()
    }

    pub(super) fn put(&mut self, id: u64, streak: Streak, half_max: usize) {
        self.older.remove(&id);
        if self.newer.len() >= half_max && !self.newer.contains_key(&id) {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(id, streak);
    }

    pub(super) fn end(&mut self, id: u64) {
        if self.newer.remove(&id).is_none() {
            self.older.remove(&id);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.newer.allocation_size() + self.older.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_reported_for_longest_is_forgotten_first() {
        let mut streaks = Streaks::default();
        let streak = |reports| Streak { reports, stamp: 0, refused: false };
        for id in 0..1_000 {
            streaks.put(id, streak(1), 10);
            // One that is reported all the time stays.
            streaks.put(7_777, streak(id as u32), 10);
        }
        assert_eq!(streaks.get(7_777), Some(streak(999)));
        assert!(streaks.newer.len() + streaks.older.len() <= 20);
        assert!(streaks.get(999).is_some() && streaks.get(992).is_some() && streaks.get(900).is_none());
        streaks.end(7_777);
        assert_eq!(streaks.get(7_777), None);
    }
}
