//! Clears a partition, a bounded number of samples at a time.

use std::collections::VecDeque;

use super::Partition;
use crate::background::Background;
use crate::hard::Hard;
use crate::hash::placement_hash;
use crate::id_map::IdMap;
use crate::leases::Leases;

impl Partition {
    /// Takes up to `most` samples out, those of the background first. Returns how many copies of samples it took out: fewer than `most`
    /// once everything is empty. `cleared` counts each sample once.
    pub(super) fn clear_some(&mut self, most: usize, cleared: &mut u64) -> usize {
        let mut done = 0;
        while done < most {
            let Some(id) = self.background.as_mut().and_then(Background::pop) else { break };
            let is_elsewhere = self.hard.find(placement_hash(id), id).is_some()
                || self.background.as_ref().is_some_and(|background| background.has_member(id));
            *cleared += u64::from(!is_elsewhere);
            done += 1;
        }
        while done < most {
            let Some((lowest, _)) = self.hard.lowest() else { break };
            self.hard.evict_lowest();
            self.leases.end(lowest.rank.id);
            *cleared += 1;
            done += 1;
        }
        let forgotten = self.quarantine.forget_records(most - done);
        *cleared += forgotten as u64;
        done + forgotten
    }

    /// After the last sample: resets everything that was kept with samples, and starts a new background under another salt, so that no draw
    /// mistakes it for the old one.
    pub(super) fn end_clear(&mut self) {
        self.hard = Hard::new(self.spec.capacity, self.hard.lower_is_harder);
        if let Some(background) = &mut self.background {
            background.restart();
        }
        // In a dense space every id is in the background again, except those that are blocked.
        let is_dense = self.background.is_none();
        let blocked = if is_dense { self.quarantine.blocked_page(None, usize::MAX) } else { Vec::new() };
        let ids = self.dense_ids();
        self.removed = blocked.into_iter().map(|(id, _)| id).filter(|id| *id < ids).collect();
        (self.unstored_serves, self.unstored_order) = (IdMap::default(), VecDeque::new());
        self.leases = Leases::new(self.leases.most());
        self.quarantine.forget_streaks();
        self.rebuild_expiry();
        self.has_attributes = false;
    }
}
