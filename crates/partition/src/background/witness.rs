//! The witness: a small uniform sample of the ids, never served, whose reports tell when everything has been reported again.

use std::collections::BTreeMap;

use crate::hash::background_hash;

/// w: members, at most. When all of them have been reported, 1/(w+1) of the ids is expected to be missing.
pub(crate) const WITNESS: usize = 256;

/// The w smallest hashes under a salt that never changes.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) salt: u64,
    /// Smallest hash ever refused; `None` while every id is a member.
    pub(crate) threshold: Option<u64>,
    /// By hash, from which two ids never tie: the id, and whether it was reported since the filling generation began.
    members: BTreeMap<u64, (u64, bool)>,
    pending: usize,
}

impl Witness {
    pub(crate) fn new(salt: u64) -> Self {
        Self { salt, threshold: None, members: BTreeMap::new(), pending: 0 }
    }

    /// Members.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Members that were not reported since the filling generation began.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// It is a sample of the ids, not all of them.
    pub(crate) fn is_thin(&self) -> bool {
        self.threshold.is_some()
    }

    /// Whether an id may be (or become) a member: a hash and a comparison, which is all that most rows cost.
    #[inline]
    pub(crate) fn may_take(&self, id: u64) -> bool {
        self.is_below(background_hash(id, self.salt))
    }

    #[inline]
    fn is_below(&self, hash: u64) -> bool {
        self.threshold.is_none_or(|threshold| hash < threshold)
    }

    /// An id was reported.
    pub(crate) fn saw(&mut self, id: u64) {
        let hash = background_hash(id, self.salt);
        if self.is_below(hash) {
            self.note(hash, id);
        }
    }

    fn note(&mut self, hash: u64, id: u64) {
        if let Some((_, reported)) = self.members.get_mut(&hash) {
            self.pending -= usize::from(!*reported);
            *reported = true;
            return;
        }
        self.members.insert(hash, (id, true));
        if self.members.len() > WITNESS
            && let Some((largest, (_, reported))) = self.members.pop_last()
        {
            self.pending -= usize::from(!reported);
            self.threshold = Some(largest);
        }
    }

    /// Whether an id is a member.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.members.contains_key(&background_hash(id, self.salt))
    }

    /// An id lives no more.
    pub(crate) fn remove(&mut self, id: u64) {
        if let Some((_, reported)) = self.members.remove(&background_hash(id, self.salt)) {
            self.pending -= usize::from(!reported);
        }
    }

    /// Forgets all members but some; the threshold stays.
    pub(crate) fn retain(&mut self, stays: &impl Fn(u64) -> bool) {
        self.members.retain(|_, (id, _)| stays(*id));
        self.pending = self.members.values().filter(|(_, reported)| !reported).count();
    }

    /// A generation begins: what was reported before does not count for it.
    pub(crate) fn forget_reports(&mut self) {
        self.members.values_mut().for_each(|member| member.1 = false);
        self.pending = self.members.len();
    }

    /// Members in order of their hashes, with whether they were reported.
    pub(crate) fn members(&self) -> impl Iterator<Item = (u64, bool)> + '_ {
        self.members.values().copied()
    }

    /// Enters a member as [`Self::members`] told it; false where it cannot have been told.
    pub(crate) fn restore(&mut self, id: u64, reported: bool) -> bool {
        let hash = background_hash(id, self.salt);
        let fits = self.members.len() < WITNESS && self.is_below(hash);
        self.pending += usize::from(!reported);
        fits && self.members.insert(hash, (id, reported)).is_none()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // The nodes of a map are at least half full.
        self.members.len() * 48
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_each_of_its_members() {
        let mut witness = Witness::new(3);
        (0..10_000).for_each(|id| witness.saw(id));
        assert_eq!((witness.len(), witness.pending()), (WITNESS, 0));
        witness.forget_reports();
        let ids: Vec<u64> = witness.members().map(|member| member.0).collect();
        for (i, id) in ids.iter().enumerate() {
            assert_eq!(witness.pending(), WITNESS - i);
            witness.saw(*id);
            witness.saw(*id);
        }
        assert_eq!(witness.pending(), 0);
        witness.forget_reports();
        witness.remove(ids[0]);
        witness.remove(ids[0]);
        assert_eq!((witness.len(), witness.pending()), (WITNESS - 1, WITNESS - 1));
        // A newcomer counts as reported, and pushes out who may have been waited for.
        let before = witness.pending();
        (10_000..100_000).for_each(|id| witness.saw(id));
        assert!(witness.pending() < before && witness.len() == WITNESS);
    }
}
