//! Serves and own keys of members.

use super::Sample;
use crate::key::Key;
use crate::place::Place;

impl Sample {
    /// Counts a serve of the member at `at`; its serves then.
    pub(crate) fn count_serve(&mut self, at: usize) -> u16 {
        let serves = &mut self.members[at].serves;
        *serves = serves.saturating_add(1);
        *serves
    }

    /// Sets the serves of a member; whether it is one.
    pub(crate) fn set_serves(&mut self, id: u64, serves: u16) -> bool {
        let at = self.place(id);
        if let Some(at) = at {
            self.members[at].serves = serves;
        }
        at.is_some()
    }

    /// The member at `at` is served; `owes`: it owes that to its membership. While every id is a member none does.
    pub(crate) fn note_serve(&mut self, at: usize, owes: bool) {
        if self.threshold().is_some() {
            self.members[at].owes_serve = owes;
        }
    }

    /// The own key of a member, whatever p is.
    pub(crate) fn own_key(&self, id: u64) -> Option<Key> {
        self.place(id).map(|at| self.own_keys.get(at))
    }

    /// The own place of the member at `at`, if it is in the background by chance: while every id is a member nothing depends on who is one.
    #[inline]
    pub(crate) fn own_place(&self, at: usize, lower_is_harder: bool) -> Option<Place> {
        self.threshold().map(|_| self.own_place_at(at, lower_is_harder))
    }

    /// The place that a member would have by its own key.
    fn own_place_at(&self, at: usize, lower_is_harder: bool) -> Place {
        let member = &self.members[at];
        Place::of(self.own_keys.get(at), member.score, member.id, lower_is_harder)
    }

    /// Members that the hard store holds and that would be at or above `floor` by their own keys.
    pub(crate) fn count_own(&self, floor: Option<Place>, lower_is_harder: bool) -> usize {
        match floor.filter(|_| self.threshold().is_some()) {
            Some(floor) => self.own_keys.count_from(floor, |at| self.own_place_at(at, lower_is_harder)),
            None => self.own_keys.hard(),
        }
    }

    /// The hard store takes a sample in, or lets it go.
    #[inline]
    pub(crate) fn set_in_hard(&mut self, id: u64, in_hard: bool) {
        if let Some(at) = self.place(id) {
            self.own_keys.set_in_hard(at, in_hard);
        }
    }
}
