//! Serves and leases.

use super::Partition;
use crate::hard::slots::Attachment;
use crate::hash::placement_hash;
use crate::leases::Membership;
use crate::op::{Drawn, ServeMark, Source, WORN_UNTIL};
use crate::row::Served;

impl Partition {
    /// Reads what a serve of a sample would return, without counting it. `None`: the serve would be refused.
    #[must_use]
    pub fn look(&self, id: u64, mark: ServeMark) -> Option<Served> {
        self.look_at(id, self.hard.find(placement_hash(id), id), mark)
    }

    /// As [`Self::look`], for a sample whose slot is known.
    fn look_at(&self, id: u64, slot: Option<u32>, mark: ServeMark) -> Option<Served> {
        let (serves, leased) = match slot {
            Some(slot) => (self.hard.slots.serves(slot), self.leases.contains(id)),
            None => self.row_outside(id).map(|row| (row.serves, row.leased))?,
        };
        if leased && mark.count {
            return None;
        }
        let attachment: Option<&Attachment> = match slot {
            Some(slot) => self.hard.slots.attachment(slot),
            None => self.background.as_ref().and_then(|background| background.attachment(id)),
        };
        let (name, payload) = attachment.map_or((None, None), |a| (a.name.clone(), a.payload.clone()));
        Some(Served { serves, name, payload })
    }

    /// Marks a sample as served.
    pub(super) fn serve(&mut self, drawn: Drawn, mark: ServeMark) -> Option<Served> {
        let id = drawn.id;
        let slot = self.hard.find(placement_hash(id), id);
        let mut served = self.look_at(id, slot, mark)?;
        if !mark.count {
            return Some(served);
        }
        let member = self.serving().and_then(|serving| serving.position(id));
        // Whether the sample would be in the hard store by its own key, however often it was served as a member of the background.
        let stands_for_itself =
            |slot: u32| self.own_key(member, Some(self.hard.slots.get(slot).key)).is_some();
        let is_own = slot.is_some_and(stands_for_itself);
        let mut kept = None;
        if let Some(background) = &mut self.background {
            if let Some(at) = member {
                // No draw reads a generation that fills, so no serve is due to membership in it.
                background.serving.note_serve(at, drawn.source == Source::Background || !is_own);
                kept = Some(background.serving.count_serve(at));
            }
            let filling = background.filling.as_mut();
            kept = filling.and_then(|sample| sample.position(id).map(|at| sample.count_serve(at))).or(kept);
        }
        served.serves = match slot {
            Some(slot) => self.hard.slots.count_serve(slot),
            None => kept.unwrap_or_else(|| self.count_unstored(id)),
        };
        if let Some(until) = mark.rests_until(served.serves) {
            self.start_lease(id, slot, is_own, until);
        }
        Some(served)
    }

    fn count_unstored(&mut self, id: u64) -> u16 {
        let serves = self.unstored_serves.get(&id).map_or(1, |serves| serves.saturating_add(1));
        self.remember_unstored(id, serves);
        serves
    }

    /// Remembers the serves (at least one) of a dense id that is not stored. The id that was entered first is forgotten first.
    pub(super) fn remember_unstored(&mut self, id: u64, serves: u16) {
        if self.unstored_serves.insert(id, serves).is_none() {
            self.unstored_order.push_back(id);
        }
        while self.unstored_order.len() > self.spec.unstored_serves {
            if let Some(oldest) = self.unstored_order.pop_front() {
                self.unstored_serves.remove(&oldest);
            }
        }
    }

    /// Forgets the serves of a dense id that is not stored.
    #[inline]
    pub(super) fn forget_unstored(&mut self, id: u64) {
        if !self.unstored_serves.is_empty() && self.unstored_serves.remove(&id).is_some() {
            self.unstored_order.retain(|other| *other != id);
        }
    }

    fn start_lease(&mut self, id: u64, slot: Option<u32>, is_own: bool, until_millis: u64) {
        if let Some(slot) = slot {
            self.hard.rest(slot);
        }
        let membership = self.serving().filter(|serving| serving.contains(id)).map(|serving| Membership {
            generation: serving.number,
            hash: serving.hash(id),
            outside: !is_own,
        });
        if let Some(ended) = self.leases.start(id, until_millis, membership) {
            self.wake(ended);
        }
    }

    /// Ends the lease of a sample that was reported.
    pub(super) fn end_lease(&mut self, id: u64, slot: Option<u32>) {
        if self.leases.end(id)
            && let Some(slot) = slot
        {
            self.hard.wake(slot);
        }
    }

    fn wake(&mut self, id: u64) {
        if let Some(slot) = self.hard.find(placement_hash(id), id) {
            self.hard.wake(slot);
        }
    }

    /// Ends a lease before its time. Returns whether there was one. A worn sample goes on to rest.
    pub(super) fn release(&mut self, id: u64) -> bool {
        let was = self.lease_end(id).is_some() && self.leases.end(id);
        if was {
            self.wake(id);
        }
        was
    }

    /// Ends one lease that has run out. Returns whether there was one.
    pub(super) fn expire_one(&mut self, now_millis: u64) -> bool {
        let over = self.leases.pop_over(now_millis);
        if let Some(id) = over {
            self.wake(id);
        }
        over.is_some()
    }

    /// When the first lease ends, Unix milliseconds.
    #[must_use]
    pub fn first_lease_end(&self) -> Option<u64> {
        self.leases.first_end().filter(|end| *end != WORN_UNTIL)
    }

    /// When the lease of an id ends, Unix milliseconds.
    #[must_use]
    pub fn lease_end(&self, id: u64) -> Option<u64> {
        self.leases.end_of(id).filter(|end| *end != WORN_UNTIL)
    }
}
