//! A generation of the background as an image has it.

use super::{Member, Sample};
use crate::hard::slots::{Attachment, Attributes};
use crate::key::Key;

/// A member as an image has it.
pub(crate) struct SavedMember<'a> {
    pub(crate) id: u64,
    pub(crate) score: f32,
    pub(crate) stamp: u32,
    pub(crate) model_version: u32,
    pub(crate) serves: u16,
    pub(crate) own_key: Key,
    pub(crate) owes_serve: bool,
    pub(crate) attributes: Attributes,
    pub(crate) attachment: Option<&'a Attachment>,
}

impl Sample {
    /// The members in their order.
    pub(crate) fn members(&self) -> impl Iterator<Item = SavedMember<'_>> {
        self.members.iter().enumerate().map(|(at, m)| SavedMember {
            id: m.id,
            score: m.score,
            stamp: m.stamp,
            model_version: m.model_version,
            serves: m.serves,
            own_key: self.own_keys.get(at),
            owes_serve: m.owes_serve,
            attributes: m.attributes,
            attachment: m.attachment.as_deref(),
        })
    }

    /// A generation with a threshold and memory for `members`, to be filled by [`Self::restore`].
    pub(crate) fn restored(number: u64, salt: u64, limit: u64, members: usize, size_max: usize) -> Self {
        let mut sample = Self { limit, ..Self::new(number, salt, size_max) };
        sample.members.reserve_exact(members);
        sample.own_keys.reserve_exact(members);
        sample.largest.reserve_exact(members);
        // The table is empty, so nothing is hashed again.
        sample.by_hash.reserve(members, |_| 0);
        sample
    }

    /// Restores a member that [`Self::members`] returned. False: no sequence of operations gives this member. `in_hard`: the hard store
    /// holds it.
    pub(crate) fn restore(&mut self, saved: &SavedMember<'_>, in_hard: bool) -> bool {
        let hash = self.hash(saved.id);
        let owes_nothing = self.threshold().is_none() || saved.serves == 0;
        if (saved.owes_serve && owes_nothing)
            || hash >= self.limit
            || self.members.len() == self.size_max
            || self.position_of(hash).is_some()
        {
            return false;
        }
        let member = Member {
            id: saved.id,
            score: saved.score,
            stamp: saved.stamp,
            model_version: saved.model_version,
            serves: saved.serves,
            owes_serve: saved.owes_serve,
            attributes: saved.attributes,
            attachment: saved.attachment.map(|attachment| Box::new(attachment.clone())),
        };
        self.enter(hash, member, saved.own_key, in_hard);
        true
    }
}
