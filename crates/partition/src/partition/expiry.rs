//! Removes samples that no row reported within the time to live.

use super::Partition;
use crate::background::{Background, Sample, Witness};
use crate::expiry::Expiry;
use crate::hard::slots::VACANT;
use crate::hash::placement_hash;

/// The progress of an operation in removing expired samples.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sweep {
    /// No entry of the queue is due any more.
    pub(super) is_done: bool,
    /// Some sample was removed.
    removed: bool,
}

impl Partition {
    /// Starts the queue with the first horizon, and drops it when a report comes without one.
    ///
    /// A dense id space has no queue, because its ids are in the background whether they were ever reported or not.
    fn keep_expiry(&mut self, oldest_stamp: Option<u32>) {
        match (oldest_stamp, &mut self.background) {
            (Some(oldest_stamp), Some(background)) if self.expiry.is_none() => {
                background.expires = true;
                self.expiry = Some(Expiry::new(oldest_stamp));
                self.rebuild_expiry();
            }
            (None, Some(background)) => {
                background.expires = false;
                self.expiry = None;
            }
            _ => {}
        }
    }

    /// Before the rows of a report: looks at up to `most` entries that are due under its horizon. Without a horizon the queue is dropped.
    /// Returns how many entries it looked at.
    pub(super) fn sweep_before_rows(
        &mut self,
        oldest_stamp: Option<u32>,
        most: usize,
        sweep: &mut Sweep,
    ) -> usize {
        if self.expiry.is_none() && oldest_stamp.is_none() {
            sweep.is_done = true;
            return 0;
        }
        self.keep_expiry(oldest_stamp);
        self.sweep(oldest_stamp, most, sweep)
    }

    /// As [`Self::sweep_before_rows`], for [`crate::Change::Expire`]: without a horizon it does nothing, and keeps the queue.
    pub(super) fn sweep_alone(&mut self, oldest_stamp: Option<u32>, most: usize, sweep: &mut Sweep) -> usize {
        if oldest_stamp.is_some() {
            self.keep_expiry(oldest_stamp);
        }
        self.sweep(oldest_stamp, most, sweep)
    }

    fn sweep(&mut self, oldest_stamp: Option<u32>, most: usize, sweep: &mut Sweep) -> usize {
        let horizon = match (oldest_stamp, &mut self.expiry) {
            (Some(oldest_stamp), Some(expiry)) => expiry.advance(oldest_stamp),
            _ => {
                sweep.is_done = true;
                return 0;
            }
        };
        let mut looked = 0;
        while looked < most {
            let Some(id) = self.expiry.as_mut().and_then(|expiry| expiry.pop_due(horizon)) else {
                sweep.is_done = true;
                if std::mem::take(&mut sweep.removed) {
                    self.end_removal();
                }
                self.trim_expiry();
                self.expiry.iter_mut().for_each(Expiry::shrink);
                break;
            };
            looked += 1;
            match self.latest_time(id) {
                Some(latest) if latest < horizon => {
                    self.quarantine.streaks.remove(id);
                    // An id that only a witness held could not be drawn, and is not counted.
                    let was_stored = self.take_out(id);
                    self.totals.expired = self.totals.expired.saturating_add(was_stored.into());
                    sweep.removed = true;
                }
                Some(latest) => self.enter_expiry(latest, id),
                None => {}
            }
        }
        looked
    }

    /// Whether a stamp is before the horizon of its operation.
    pub(super) fn is_before_horizon(&self, stamp: u32, oldest_stamp: Option<u32>) -> bool {
        match (oldest_stamp, &self.expiry) {
            (Some(oldest_stamp), Some(expiry)) => expiry.time(stamp) < expiry.time(oldest_stamp),
            _ => false,
        }
    }

    /// The time of the last report of a sample, if any of hard store, background and witnesses holds it. All copies have the same stamp.
    /// `None` where there is no queue.
    pub(super) fn latest_time(&self, id: u64) -> Option<i64> {
        let (expiry, background) = (self.expiry.as_ref()?, self.background.as_ref()?);
        let stamp = match self.hard.find(placement_hash(id), id) {
            Some(slot) => self.hard.slots.get(slot).stamp,
            None => background.stamp(id)?,
        };
        Some(expiry.time(stamp))
    }

    /// After a change to a sample whose latest time was `before`: enters it into the queue if its entry would be too late.
    pub(super) fn follow_expiry(&mut self, id: u64, before: Option<i64>) {
        if let Some(latest) =
            self.latest_time(id).filter(|latest| before.is_none_or(|before| *latest < before))
        {
            self.enter_expiry(latest, id);
        }
        self.trim_expiry();
    }

    fn enter_expiry(&mut self, time: i64, id: u64) {
        if let Some(expiry) = &mut self.expiry {
            expiry.push(time, id);
        }
    }

    /// The number of copies of samples in hard store, generations and witnesses. A sample has up to five copies.
    fn stored_copies(&self) -> usize {
        self.hard.len() + self.background.as_ref().map_or(0, Background::copies)
    }

    /// Rebuilds the queue if it has too many entries of samples that are not stored any more.
    #[inline]
    pub(super) fn trim_expiry(&mut self) {
        let Some(expiry) = &self.expiry else {
            return;
        };
        if expiry.is_overgrown(self.stored_copies()) {
            self.rebuild_expiry();
        }
    }

    pub(super) fn rebuild_expiry(&mut self) {
        let (Some(expiry), Some(background)) = (&self.expiry, &self.background) else {
            return;
        };
        let mut stored = Vec::with_capacity(self.stored_copies());
        for slot in 0..self.hard.slots.touched() {
            let s = self.hard.slots.get(slot);
            if s.position != VACANT {
                stored.push((expiry.time(s.stamp), s.id));
            }
        }
        let members = background.samples().flat_map(Sample::members).map(|member| (member.stamp, member.id));
        let witnesses = background.witnesses().flat_map(Witness::members);
        let witnesses = witnesses.map(|member| (member.stamp, member.id));
        stored.extend(members.chain(witnesses).map(|(stamp, id)| (expiry.time(stamp), id)));
        if let Some(expiry) = &mut self.expiry {
            expiry.rebuild(stored);
        }
    }

    /// Restores the queue of an image. Returns whether it could have been saved: each stored sample has an entry that is not too late, and
    /// the queue is not overgrown.
    pub(crate) fn restore_expiry(&mut self, base: i64, entries: Vec<(i64, u64)>) -> bool {
        let mut earliest = crate::id_map::IdMap::default();
        earliest.reserve(entries.len());
        // Entries are in order, so the first entry of an id is its earliest.
        entries.iter().for_each(|(time, id)| _ = earliest.entry(*id).or_insert(*time));
        self.expiry = Some(Expiry::restored(base, entries));
        let Some(background) = &mut self.background else {
            return false;
        };
        background.expires = true;
        let is_entered = |id: u64| {
            earliest.get(&id).is_some_and(|time| self.latest_time(id).is_some_and(|latest| *time <= latest))
        };
        let hard = (0..self.hard.slots.touched()).map(|slot| self.hard.slots.get(slot)).map(|slot| slot.id);
        let stored = self.stored_copies();
        let is_bounded = self.expiry.as_ref().is_some_and(|expiry| !expiry.is_overgrown(stored));
        let mut outside = self.background.iter().flat_map(|background| {
            let members = background.samples().flat_map(Sample::members).map(|member| member.id);
            members.chain(background.witnesses().flat_map(Witness::members).map(|member| member.id))
        });
        // A partition that was just loaded has no vacant slots.
        is_bounded && hard.into_iter().all(is_entered) && outside.all(is_entered)
    }

    /// Whether the partition keeps a queue of expiry times: it got a horizon, and no report without one since.
    #[must_use]
    pub fn keeps_expiry(&self) -> bool {
        self.expiry.is_some()
    }

    /// The stamp of the first entry of the expiry queue: nothing is due until the horizon is later. `None`: there is no queue, or it is
    /// empty.
    #[must_use]
    pub fn first_expiry(&self) -> Option<u32> {
        self.expiry.as_ref().and_then(Expiry::first)
    }

    /// Whether an operation with a horizon would have anything to do.
    #[must_use]
    pub fn is_expiry_due(&self, oldest_stamp: u32) -> bool {
        match &self.expiry {
            Some(expiry) => {
                self.first_expiry().is_some_and(|first| expiry.time(first) < expiry.time(oldest_stamp))
            }
            None => self.background.is_some(),
        }
    }
}

#[cfg(test)]
impl Partition {
    /// Checks that each stored sample has an entry that is not too late, and that the queue is bounded.
    pub(super) fn check_expiry(&self) {
        let Some(expiry) = &self.expiry else {
            return;
        };
        let (base, entries) = expiry.saved();
        let mut copy = Self::load(&self.save()).expect("its own image");
        assert!(copy.restore_expiry(base, entries), "the queue fits the samples");
    }
}
