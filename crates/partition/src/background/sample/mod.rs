//! A generation of the background: the m smallest hashes under its salt, of all ids reported since it began (docs/methods.md 4.1).

mod member;
mod saved;
mod serves;

use hashbrown::HashTable;
use std::collections::BinaryHeap;

use super::own_keys::OwnKeys;
use crate::hard::prefetch::prefetch;
use crate::hard::slots::{Attachment, Attributes};
use crate::hash::background_hash;
use crate::key::{Hardness, Key};
use crate::row::Row;
use crate::strata::Strata;
use member::Member;
pub(crate) use member::{Offer, Taken};
pub(crate) use saved::SavedMember;

/// The position of a member (24 bits) and eight bits of its hash, so that most other members are ruled out without reading them.
#[derive(Clone, Copy, Debug)]
struct Entry(u32);

impl Entry {
    const POSITION: u32 = (1 << 24) - 1;

    fn new(hash: u64, at: u32) -> Self {
        Self(tag(hash) | at)
    }

    #[inline]
    fn at(self) -> u32 {
        self.0 & Self::POSITION
    }

    #[inline]
    fn may_be(self, hash: u64) -> bool {
        self.0 & !Self::POSITION == tag(hash)
    }
}

/// Eight bits of a hash, other than those by which the hash table chooses a bucket.
#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 24) as u32 & !Entry::POSITION
}

/// One generation of the background.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    /// 2^64 p, which is the (m+1)-th smallest hash; `u64::MAX` while p is 1. Never rises.
    limit: u64,
    members: Vec<Member>,
    /// The own keys of the members, in the same order.
    pub(crate) own_keys: OwnKeys,
    /// Positions in `members` by hash under the salt. Two ids never have the same hash.
    by_hash: HashTable<Entry>,
    /// The hashes of the members, the largest first. Hashes of removed ids stay until they are popped, and are skipped.
    largest: BinaryHeap<u64>,
    size_max: usize,
    pub(crate) strata: Strata,
}

impl Sample {
    pub(crate) fn new(number: u64, salt: u64, size_max: usize) -> Self {
        Self {
            number,
            salt,
            limit: u64::MAX,
            members: Vec::new(),
            own_keys: OwnKeys::default(),
            by_hash: HashTable::new(),
            largest: BinaryHeap::new(),
            size_max,
            strata: Strata::default(),
        }
    }

    /// 2^64 p, or `None` while p is 1.
    pub(crate) fn threshold(&self) -> Option<u64> {
        Some(self.limit).filter(|limit| *limit != u64::MAX)
    }

    /// 2^64 p; `u64::MAX` while p is 1.
    #[inline]
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    #[inline]
    pub(crate) fn hash(&self, id: u64) -> u64 {
        background_hash(id, self.salt)
    }

    /// Whether an id is or may become a member.
    #[inline]
    pub(crate) fn may_take(&self, id: u64) -> bool {
        self.hash(id) < self.limit
    }

    #[inline]
    fn position_of(&self, hash: u64) -> Option<usize> {
        let found = self.by_hash.find(hash, |entry| {
            entry.may_be(hash) && self.hash(self.members[entry.at() as usize].id) == hash
        });
        found.map(|entry| entry.at() as usize)
    }

    /// Enters or updates an id, if its hash is small enough.
    #[inline]
    pub(crate) fn offer(&mut self, hardness: &Hardness, offer: &Offer<'_>) -> Taken {
        match self.members.get(offer.hint as usize) {
            Some(member) if member.id == offer.id() => self.update(offer.hint as usize, hardness, offer),
            _ => self.offer_by_hash(hardness, offer),
        }
    }

    #[inline]
    fn update(&mut self, at: usize, hardness: &Hardness, offer: &Offer<'_>) -> Taken {
        let member = &mut self.members[at];
        let before = member.attributes.stratum;
        let taken = member.update(hardness, offer);
        let after = member.attributes.stratum;
        if taken == Taken::Member && !std::mem::take(&mut member.owes_serve) {
            self.own_keys.set(at, offer.key(hardness, member.score));
        }
        if before != after {
            self.strata.take(before);
            self.strata.add(after);
        }
        taken
    }

    fn offer_by_hash(&mut self, hardness: &Hardness, offer: &Offer<'_>) -> Taken {
        let hash = self.hash(offer.id());
        if hash >= self.limit {
            return Taken::Outside;
        }
        if let Some(at) = self.position_of(hash) {
            return self.update(at, hardness, offer);
        }
        if self.members.len() == self.size_max {
            // The threshold becomes the (m+1)-th smallest hash: this one, or the largest member's, which leaves.
            match self.largest_member() {
                Some(largest) if largest > hash => {
                    self.limit = largest;
                    self.largest.pop();
                    self.take_out(largest);
                }
                _ => {
                    self.limit = hash;
                    return Taken::Outside;
                }
            }
        }
        let score = offer.rows.scores[offer.row];
        let mut member = Member {
            id: offer.id(),
            score,
            stamp: offer.terms.stamp,
            model_version: offer.terms.model_version,
            serves: 0,
            owes_serve: false,
            attributes: offer.attributes.unwrap_or_default(),
            attachment: None,
        };
        member.attach(offer);
        // A new member has no old score, so the rule for re-reports does not apply.
        self.enter(hash, member, offer.key(hardness, score), offer.in_hard);
        Taken::Member
    }

    fn enter(&mut self, hash: u64, member: Member, own_key: Key, in_hard: bool) {
        self.own_keys.push(own_key, in_hard);
        self.strata.add(member.attributes.stratum);
        let at = self.members.len() as u32;
        self.members.push(member);
        let (members, salt) = (&self.members, self.salt);
        let entry = Entry::new(hash, at);
        self.by_hash
            .insert_unique(hash, entry, |entry| background_hash(members[entry.at() as usize].id, salt));
        self.largest.push(hash);
        // Hashes of removed ids are only dropped when they are the largest, so now and then the heap is rebuilt.
        if self.largest.len() > 2 * self.members.len() + 64 {
            self.largest = members.iter().map(|m| background_hash(m.id, salt)).collect();
        }
    }

    /// The largest hash of a member.
    fn largest_member(&mut self) -> Option<u64> {
        while let Some(&hash) = self.largest.peek() {
            if self.position_of(hash).is_some() {
                return Some(hash);
            }
            self.largest.pop();
        }
        None
    }

    /// Removes an id. No other id takes its place. Returns whether it was a member.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let hash = self.hash(id);
        hash < self.limit && self.take_out(hash)
    }

    /// Removes all members for which `stays` is false. The threshold stays.
    pub(crate) fn retain(&mut self, stays: &impl Fn(u64) -> bool) {
        let gone: Vec<u64> = self.members.iter().map(|member| member.id).filter(|id| !stays(*id)).collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// Limits the generation to `size_max` members. Those with the smallest hashes stay, and the smallest hash that leaves is the
    /// threshold.
    pub(crate) fn limit_to(&mut self, size_max: usize) {
        self.size_max = size_max;
        while self.members.len() > size_max
            && let Some(largest) = self.largest_member()
        {
            self.limit = largest;
            self.largest.pop();
            self.take_out(largest);
        }
    }

    fn take_out(&mut self, hash: u64) -> bool {
        let (members, salt) = (&self.members, self.salt);
        let of = |at: u32| background_hash(members[at as usize].id, salt);
        let is_it = |entry: &Entry| entry.may_be(hash) && of(entry.at()) == hash;
        let Ok(found) = self.by_hash.find_entry(hash, is_it) else {
            return false;
        };
        let at = found.remove().0.at();
        // The last member moves to the free position.
        let last = self.members.len() as u32 - 1;
        if at != last
            && let Some(moved) = self.by_hash.find_mut(of(last), |entry| entry.at() == last)
        {
            *moved = Entry::new(of(last), at);
        }
        self.own_keys.swap_remove(at as usize);
        let gone = self.members.swap_remove(at as usize);
        self.strata.take(gone.attributes.stratum);
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Removes the last member. Returns its id.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        let id = self.members.last()?.id;
        self.remove(id);
        Some(id)
    }

    /// The id of the member at a position.
    pub(crate) fn id_at(&self, ordinal: u64) -> Option<u64> {
        self.members.get(usize::try_from(ordinal).ok()?).map(|m| m.id)
    }

    /// A member as the row of a sample that is not in the hard store.
    pub(crate) fn row(&self, id: u64) -> Option<Row> {
        self.position(id).map(|at| self.row_at(at))
    }

    /// The member at `at` as the row of a sample that is not in the hard store.
    pub(crate) fn row_at(&self, at: usize) -> Row {
        let m = &self.members[at];
        Row {
            id: m.id,
            hard_key: None,
            own_key: None,
            score: m.score,
            stamp: Some(m.stamp),
            model_version: m.model_version,
            serves: m.serves,
            leased: false,
            stratum: m.attributes.stratum,
            group: m.attributes.group,
        }
    }

    /// The stamp of a member.
    pub(crate) fn stamp(&self, id: u64) -> Option<u32> {
        self.member(id).map(|m| m.stamp)
    }

    pub(crate) fn attributes(&self, id: u64) -> Option<Attributes> {
        self.member(id).map(|m| m.attributes)
    }

    pub(crate) fn attachment(&self, id: u64) -> Option<&Attachment> {
        self.member(id)?.attachment.as_deref()
    }

    /// Whether an id is a member.
    pub(crate) fn contains(&self, id: u64) -> bool {
        self.position(id).is_some()
    }

    fn member(&self, id: u64) -> Option<&Member> {
        self.position(id).map(|at| &self.members[at])
    }

    /// The position of a member. Most ids are not members, which their hash tells without a lookup.
    #[inline]
    pub(crate) fn position(&self, id: u64) -> Option<usize> {
        let hash = self.hash(id);
        if hash < self.limit { self.position_of(hash) } else { None }
    }

    /// Prefetches what an offer of `id` will touch. Returns the likely position of its member, or `u32::MAX` if it is not a member.
    #[inline]
    pub(crate) fn prefetch(&self, id: u64) -> u32 {
        let hash = self.hash(id);
        if hash < self.limit
            && let Some(entry) = self.by_hash.find(hash, |entry| entry.may_be(hash))
        {
            prefetch(&self.members, entry.at() as usize);
            return entry.at();
        }
        u32::MAX
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let attached: usize =
            self.members.iter().filter_map(|m| m.attachment.as_ref()).map(|a| a.memory_bytes()).sum();
        self.members.capacity() * size_of::<Member>()
            + self.own_keys.memory_bytes()
            + self.by_hash.allocation_size()
            + self.largest.capacity() * 8
            + self.strata.memory_bytes()
            + attached
    }
}
