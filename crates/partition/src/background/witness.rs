//! The witness: a small uniform sample of the ids that no draw reads. Once all its members were reported again, nearly all ids were.

use std::collections::BTreeMap;

use crate::hash::background_hash;

/// w: the maximal number of members. When all of them have been reported, a share of 1/(w+1) of the ids is expected not to have been.
pub(crate) const WITNESS: usize = 256;

/// A member of a witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WitnessMember {
    pub(crate) id: u64,
    /// The stamp of its last report.
    pub(crate) stamp: u32,
    /// Whether it was reported since the filling generation began.
    pub(crate) reported: bool,
}

/// The ids with the w smallest hashes under a salt that never changes.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) salt: u64,
    /// The smallest hash that was ever refused; `None` while every id is a member.
    pub(crate) threshold: Option<u64>,
    /// Members by hash. Two ids never have the same hash.
    members: BTreeMap<u64, WitnessMember>,
    pending: usize,
}

impl Witness {
    pub(crate) fn new(salt: u64) -> Self {
        Self { salt, threshold: None, members: BTreeMap::new(), pending: 0 }
    }

    /// The number of members.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The number of members that were not reported since the filling generation began.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// Whether the witness has refused ids: it is a sample of the ids, not all of them.
    pub(crate) fn is_thin(&self) -> bool {
        self.threshold.is_some()
    }

    /// Whether an id is or may become a member. For most rows this hash and comparison is all that a witness costs.
    #[inline]
    pub(crate) fn may_take(&self, id: u64) -> bool {
        self.is_below(background_hash(id, self.salt))
    }

    #[inline]
    fn is_below(&self, hash: u64) -> bool {
        self.threshold.is_none_or(|threshold| hash < threshold)
    }

    /// Records that an id was reported.
    pub(crate) fn saw(&mut self, id: u64, stamp: u32) {
        let hash = background_hash(id, self.salt);
        if self.is_below(hash) {
            self.note(hash, id, stamp);
        }
    }

    fn note(&mut self, hash: u64, id: u64, stamp: u32) {
        if let Some(member) = self.members.get_mut(&hash) {
            self.pending -= usize::from(!member.reported);
            member.reported = true;
            member.stamp = stamp;
            return;
        }
        self.members.insert(hash, WitnessMember { id, stamp, reported: true });
        if self.members.len() > WITNESS
            && let Some((largest, member)) = self.members.pop_last()
        {
            self.pending -= usize::from(!member.reported);
            self.threshold = Some(largest);
        }
    }

    /// Whether an id is a member.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.stamp(id).is_some()
    }

    /// The stamp of a member.
    pub(crate) fn stamp(&self, id: u64) -> Option<u32> {
        let hash = background_hash(id, self.salt);
        if self.is_below(hash) { self.members.get(&hash).map(|member| member.stamp) } else { None }
    }

    /// Removes an id.
    pub(crate) fn remove(&mut self, id: u64) {
        if let Some(member) = self.members.remove(&background_hash(id, self.salt)) {
            self.pending -= usize::from(!member.reported);
        }
    }

    /// Removes all members for which `stays` is false. The threshold stays.
    pub(crate) fn retain(&mut self, stays: &impl Fn(u64) -> bool) {
        self.members.retain(|_, member| stays(member.id));
        self.pending = self.members.values().filter(|member| !member.reported).count();
    }

    /// A generation begins: marks all members as not reported since.
    pub(crate) fn forget_reports(&mut self) {
        self.members.values_mut().for_each(|member| member.reported = false);
        self.pending = self.members.len();
    }

    /// Members in order of their hashes.
    pub(crate) fn members(&self) -> impl Iterator<Item = WitnessMember> + '_ {
        self.members.values().copied()
    }

    /// Restores a member that [`Self::members`] returned. False: no sequence of operations gives this member.
    pub(crate) fn restore(&mut self, member: WitnessMember) -> bool {
        let hash = background_hash(member.id, self.salt);
        let fits = self.members.len() < WITNESS && self.is_below(hash);
        self.pending += usize::from(!member.reported);
        fits && self.members.insert(hash, member).is_none()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        // The nodes of a B-tree are at least half full.
        self.members.len() * 48
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_each_of_its_members() {
        let mut witness = Witness::new(3);
        (0..10_000).for_each(|id| witness.saw(id, 0));
        assert_eq!((witness.len(), witness.pending()), (WITNESS, 0));
        witness.forget_reports();
        let ids: Vec<u64> = witness.members().map(|member| member.id).collect();
        for (i, id) in ids.iter().enumerate() {
            assert_eq!(witness.pending(), WITNESS - i);
            witness.saw(*id, 0);
            witness.saw(*id, 0);
        }
        assert_eq!(witness.pending(), 0);
        witness.forget_reports();
        witness.remove(ids[0]);
        witness.remove(ids[0]);
        assert_eq!((witness.len(), witness.pending()), (WITNESS - 1, WITNESS - 1));
        // A newcomer counts as reported, and pushes out who may have been waited for.
        let before = witness.pending();
        (10_000..100_000).for_each(|id| witness.saw(id, 0));
        assert!(witness.pending() < before && witness.len() == WITNESS);
    }
}
