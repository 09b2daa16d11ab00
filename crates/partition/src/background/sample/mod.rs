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

/// Where a member stands, below 2^24, with eight bits of its hash above, so that most others are told apart without a look at them.
#[derive(Clone, Copy, Debug)]
struct Entry(u32);

impl Entry {
    const PLACE: u32 = (1 << 24) - 1;

    fn new(hash: u64, at: u32) -> Self {
        Self(tag(hash) | at)
    }

    #[inline]
    fn at(self) -> u32 {
        self.0 & Self::PLACE
    }

    #[inline]
    fn may_be(self, hash: u64) -> bool {
        self.0 & !Self::PLACE == tag(hash)
    }
}

/// Eight bits of a hash that a table does not use to find a place.
#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 24) as u32 & !Entry::PLACE
}

/// One generation.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) number: u64,
    pub(crate) salt: u64,
    /// 2^64 p: the (m+1)-th smallest hash; `u64::MAX` while p is 1. Never rises.
    limit: u64,
    members: Vec<Member>,
    /// Of the members, in the same order.
    pub(crate) own_keys: OwnKeys,
    /// Places in `members` by hash under the salt, from which two ids never tie.
    by_hash: HashTable<Entry>,
    /// Hashes, the largest first; those of removed ids are skipped when met.
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

    /// Whether an id may be (or become) a member.
    #[inline]
    pub(crate) fn may_take(&self, id: u64) -> bool {
        self.hash(id) < self.limit
    }

    #[inline]
    fn place_of(&self, hash: u64) -> Option<usize> {
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
        if let Some(at) = self.place_of(hash) {
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
        // Its score is new here, whatever the rule says of two.
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
        // Removed ids leave their hashes behind, which only the largest ever meet.
        if self.largest.len() > 2 * self.members.len() + 64 {
            self.largest = members.iter().map(|m| background_hash(m.id, salt)).collect();
        }
    }

    /// The largest hash of a member.
    fn largest_member(&mut self) -> Option<u64> {
        while let Some(&hash) = self.largest.peek() {
            if self.place_of(hash).is_some() {
                return Some(hash);
            }
            self.largest.pop();
        }
        None
    }

    /// Takes an id out; it is not replaced.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let hash = self.hash(id);
        hash < self.limit && self.take_out(hash)
    }

    /// Forgets all members but some; the threshold stays.
    pub(crate) fn retain(&mut self, stays: &impl Fn(u64) -> bool) {
        let gone: Vec<u64> = self.members.iter().map(|member| member.id).filter(|id| !stays(*id)).collect();
        for id in gone {
            self.remove(id);
        }
    }

    /// Keeps at most so many members from now on: the smallest hashes, and the next is the threshold.
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
        // The last one takes the place.
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

    /// Takes out the last member: its id, unless there is none.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        let id = self.members.last()?.id;
        self.remove(id);
        Some(id)
    }

    /// The id of a member.
    pub(crate) fn id_at(&self, ordinal: u64) -> Option<u64> {
        self.members.get(usize::try_from(ordinal).ok()?).map(|m| m.id)
    }

    /// A member as a row that is not in the hard store.
    pub(crate) fn row(&self, id: u64) -> Option<Row> {
        self.place(id).map(|at| self.row_at(at))
    }

    /// The member at `at` as a row that is not in the hard store.
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
        self.place(id).is_some()
    }

    fn member(&self, id: u64) -> Option<&Member> {
        self.place(id).map(|at| &self.members[at])
    }

    /// Where a member stands. Most ids are none, which their hash tells without a look into the table.
    #[inline]
    pub(crate) fn place(&self, id: u64) -> Option<usize> {
        let hash = self.hash(id);
        if hash < self.limit { self.place_of(hash) } else { None }
    }

    /// Starts loading what an offer of `id` will touch: where its member most likely stands, `u32::MAX` where there is none.
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
