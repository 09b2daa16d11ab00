//! Streaks: how many consecutive rows of a sample were above the threshold. Their number is bounded: the least recently extended is
//! forgotten first.

use hashbrown::HashTable;

use crate::hash::placement_hash;

/// Index of no streak.
const NONE: u32 = u32::MAX;

/// Consecutive rows of a sample above the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streak {
    /// The number of rows, at least one.
    pub(crate) reports: u32,
    /// The stamp of the last row.
    pub(crate) stamp: u32,
    /// The sample would have been set aside, but the quarantine was full.
    pub(crate) was_refused: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u64,
    streak: Streak,
    /// The neighbours in the list: the next less and the next more recently extended streak.
    older: u32,
    newer: u32,
}

/// Streaks by id, in a list from the least to the most recently extended. Each change costs O(1) amortised.
#[derive(Debug)]
pub(crate) struct Streaks {
    /// Indices in `entries` by id.
    table: HashTable<u32>,
    /// The nodes of the linked list, without holes and in no order.
    entries: Vec<Entry>,
    oldest: u32,
    newest: u32,
    most: usize,
}

impl Streaks {
    /// Holds at most `most` streaks. Allocates nothing before the first.
    pub(crate) fn new(most: usize) -> Self {
        Self { table: HashTable::new(), entries: Vec::new(), oldest: NONE, newest: NONE, most }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(crate) fn get(&self, id: u64) -> Option<Streak> {
        if self.entries.is_empty() { None } else { self.find(id).map(|at| self.entries[at].streak) }
    }

    /// Enters or replaces the streak of an id, which becomes the most recently extended.
    pub(crate) fn put(&mut self, id: u64, streak: Streak) {
        if let Some(at) = self.find(id) {
            self.unlink(at);
            self.entries[at].streak = streak;
            self.link_newest(at);
            return;
        }
        if self.most == 0 {
            return;
        }
        if self.entries.len() >= self.most {
            let oldest = self.entries[self.oldest as usize].id;
            self.end(oldest);
        }
        self.push(id, streak);
    }

    /// Ends the streak of an id, if it has one.
    pub(crate) fn end(&mut self, id: u64) {
        if self.entries.is_empty() {
            return;
        }
        let entries = &self.entries;
        let is_it = |at: &u32| entries[*at as usize].id == id;
        let Ok(found) = self.table.find_entry(placement_hash(id), is_it) else {
            return;
        };
        let at = found.remove().0 as usize;
        self.unlink(at);
        // The last entry moves to the free index.
        let last = self.entries.len() - 1;
        if at != last {
            let moved = self.entries[last];
            if let Some(place) =
                self.table.find_mut(placement_hash(moved.id), |place| *place as usize == last)
            {
                *place = at as u32;
            }
            *self.newer_of(moved.older) = at as u32;
            *self.older_of(moved.newer) = at as u32;
        }
        self.entries.swap_remove(at);
    }

    /// Ends the streaks of all ids for which `stays` is false.
    pub(crate) fn retain(&mut self, stays: &impl Fn(u64) -> bool) {
        let gone: Vec<u64> = self.all().map(|(id, _)| id).filter(|id| !stays(*id)).collect();
        gone.into_iter().for_each(|id| self.end(id));
    }

    /// All streaks, the least recently extended first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, Streak)> + '_ {
        let entry = |at: u32| self.entries.get(at as usize);
        std::iter::successors(entry(self.oldest), move |e| entry(e.newer)).map(|e| (e.id, e.streak))
    }

    /// Reserves memory for streaks that are to be restored.
    pub(crate) fn reserve(&mut self, streaks: usize) {
        self.table.reserve(streaks, |_| 0);
        self.entries.reserve_exact(streaks);
    }

    /// Restores a streak that [`Self::all`] returned. False: no sequence of operations gives this streak.
    pub(crate) fn restore(&mut self, id: u64, streak: Streak) -> bool {
        let fits = self.entries.len() < self.most && streak.reports > 0 && self.find(id).is_none();
        if fits {
            self.push(id, streak);
        }
        fits
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.allocation_size() + self.entries.capacity() * size_of::<Entry>()
    }

    fn find(&self, id: u64) -> Option<usize> {
        let at = self.table.find(placement_hash(id), |at| self.entries[*at as usize].id == id)?;
        Some(*at as usize)
    }

    fn push(&mut self, id: u64, streak: Streak) {
        let at = self.entries.len();
        self.entries.push(Entry { id, streak, older: NONE, newer: NONE });
        let entries = &self.entries;
        self.table
            .insert_unique(placement_hash(id), at as u32, |at| placement_hash(entries[*at as usize].id));
        self.link_newest(at);
    }

    /// Takes a streak out of the list.
    fn unlink(&mut self, at: usize) {
        let Entry { older, newer, .. } = self.entries[at];
        *self.newer_of(older) = newer;
        *self.older_of(newer) = older;
    }

    /// Puts a streak at the most recent end of the list.
    fn link_newest(&mut self, at: usize) {
        let newest = std::mem::replace(&mut self.newest, at as u32);
        *self.newer_of(newest) = at as u32;
        (self.entries[at].older, self.entries[at].newer) = (newest, NONE);
    }

    /// The link to the streak after `at`. After `NONE`: the link to the least recent streak.
    fn newer_of(&mut self, at: u32) -> &mut u32 {
        match self.entries.get_mut(at as usize) {
            Some(entry) => &mut entry.newer,
            None => &mut self.oldest,
        }
    }

    /// The link to the streak before `at`. Before `NONE`: the link to the most recent streak.
    fn older_of(&mut self, at: u32) -> &mut u32 {
        match self.entries.get_mut(at as usize) {
            Some(entry) => &mut entry.older,
            None => &mut self.newest,
        }
    }

    #[cfg(test)]
    pub(crate) fn check(&self) {
        let ids: Vec<u64> = self.all().map(|(id, _)| id).collect();
        assert!(ids.len() == self.entries.len() && ids.len() == self.table.len() && ids.len() <= self.most);
        assert!(ids.iter().all(|id| self.find(*id).is_some_and(|at| self.entries[at].id == *id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Compares with a list from which the least recently extended streak is removed.
        #[test]
        fn agrees_with_a_list(
            changes in proptest::collection::vec((0u64..12, any::<bool>(), 1u32..9), 0..200),
            most in 0usize..9,
        ) {
            let (mut streaks, mut list) = (Streaks::new(most), Vec::<(u64, Streak)>::new());
            for (id, ends, reports) in changes {
                list.retain(|(other, _)| *other != id);
                if ends {
                    streaks.end(id);
                } else {
                    let streak = Streak { reports, stamp: reports, was_refused: false };
                    streaks.put(id, streak);
                    list.push((id, streak));
                    if list.len() > most {
                        list.remove(0);
                    }
                }
                streaks.check();
                prop_assert!(streaks.all().eq(list.iter().copied()));
                prop_assert_eq!(streaks.get(id), list.iter().find(|(other, _)| *other == id).map(|s| s.1));
            }
            let mut restored = Streaks::new(most);
            prop_assert!(streaks.all().all(|(id, streak)| restored.restore(id, streak)));
            prop_assert!(restored.all().eq(list.iter().copied()));
            prop_assert!(list.iter().all(|(id, streak)| !restored.restore(*id, *streak)));
        }
    }
}
