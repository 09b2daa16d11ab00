//! Serves and own keys of members.

use super::Sample;
use crate::key::Key;
use crate::place::Place;

impl Sample {
    /// Counts a serve of the member at `at`. Returns its serves, this one included.
    pub(crate) fn count_serve(&mut self, at: usize) -> u16 {
        let serves = &mut self.members[at].serves;
        *serves = serves.saturating_add(1);
        *serves
    }

    /// Sets the serves of a member. Returns whether the id is a member.
    pub(crate) fn set_serves(&mut self, id: u64, serves: u16) -> bool {
        let at = self.position(id);
        if let Some(at) = at {
            self.members[at].serves = serves;
        }
        at.is_some()
    }

    /// Records that the member at `at` was served. `owes`: the serve was due to its membership. While every id is a member, no serve is.
    pub(crate) fn note_serve(&mut self, at: usize, owes: bool) {
        if self.threshold().is_some() {
            self.members[at].owes_serve = owes;
        }
    }

    /// The own key of a member, even while every id is a member.
    pub(crate) fn own_key(&self, id: u64) -> Option<Key> {
        self.position(id).map(|at| self.own_keys.get(at))
    }

    /// The own place of the member at `at`. `None` while every id is a member, when membership makes no difference.
    #[inline]
    pub(crate) fn own_place(&self, at: usize, lower_is_harder: bool) -> Option<Place> {
        self.threshold().map(|_| self.own_place_at(at, lower_is_harder))
    }

    /// The place that the member at `at` would have by its own key.
    fn own_place_at(&self, at: usize, lower_is_harder: bool) -> Place {
        let member = &self.members[at];
        Place::of(self.own_keys.get(at), member.score, member.id, lower_is_harder)
    }

    /// The number of members that the hard store holds and that would be at or above `floor` by their own keys.
    pub(crate) fn count_own(&self, floor: Option<Place>, lower_is_harder: bool) -> usize {
        match floor.filter(|_| self.threshold().is_some()) {
            Some(floor) => self.own_keys.count_from(floor, |at| self.own_place_at(at, lower_is_harder)),
            None => self.own_keys.hard(),
        }
    }

    /// Records whether the hard store holds a sample.
    #[inline]
    pub(crate) fn set_in_hard(&mut self, id: u64, in_hard: bool) {
        if let Some(at) = self.position(id) {
            self.own_keys.set_in_hard(at, in_hard);
        }
    }
}
