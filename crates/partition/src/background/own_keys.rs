//! Own keys: what the keys of members of the background would be if they had never been served as members (docs/methods.md 4.3).
//!
//! A member that is served from the background is reported again, and its key rises with the clock. So it holds a place in the hard store
//! that ids of its kind outside the background do not, and who is in the hard store depends on who is in the background. An estimate
//! that counts all of the hard store as its own, and the background for all else, then counts too little. What a member's own key says
//! does not depend on that: it is written by each report but those that answer a serve which the sample owes to its membership.

use crate::key::Key;
use crate::place::Place;

/// Members counted at a time.
const PIECE: usize = 4_096;

/// Of each member, in their order: its own key, and whether the hard store holds it.
#[derive(Debug, Default)]
pub(crate) struct OwnKeys {
    keys: Vec<Key>,
    in_hard: Vec<bool>,
    /// Members that the hard store holds.
    hard: usize,
}

impl OwnKeys {
    pub(crate) fn reserve_exact(&mut self, members: usize) {
        self.keys.reserve_exact(members);
        self.in_hard.reserve_exact(members);
    }

    pub(crate) fn push(&mut self, key: Key, in_hard: bool) {
        self.keys.push(key);
        self.in_hard.push(in_hard);
        self.hard += usize::from(in_hard);
    }

    /// The last one takes the place.
    pub(crate) fn swap_remove(&mut self, at: usize) {
        self.keys.swap_remove(at);
        self.hard -= usize::from(self.in_hard.swap_remove(at));
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> Key {
        self.keys[at]
    }

    #[inline]
    pub(crate) fn set(&mut self, at: usize, key: Key) {
        self.keys[at] = key;
    }

    #[cfg(test)]
    pub(crate) fn is_in_hard(&self, at: usize) -> bool {
        self.in_hard[at]
    }

    pub(crate) fn set_in_hard(&mut self, at: usize, in_hard: bool) {
        let before = std::mem::replace(&mut self.in_hard[at], in_hard);
        self.hard = self.hard + usize::from(in_hard) - usize::from(before);
    }

    /// Members that the hard store holds.
    pub(crate) fn hard(&self) -> usize {
        self.hard
    }

    /// Those of them whose own place is at or above `floor`; `place_at` tells it.
    pub(crate) fn count_from(&self, floor: Place, place_at: impl Fn(usize) -> Place) -> usize {
        if self.hard == 0 {
            return 0;
        }
        // Every draw counts, so that this is a plain pass without a branch. Nearly all are decided by their keys.
        let (mut above, mut ties) = (0_usize, 0_usize);
        for (keys, in_hard) in self.keys.chunks(PIECE).zip(self.in_hard.chunks(PIECE)) {
            let (mut above_here, mut ties_here) = (0_u32, 0_u32);
            for (key, in_hard) in keys.iter().zip(in_hard) {
                let since = key.0.wrapping_sub(floor.key.0) as i32;
                above_here += u32::from(since > 0) & u32::from(*in_hard);
                ties_here += u32::from(since == 0) & u32::from(*in_hard);
            }
            above += above_here as usize;
            ties += ties_here as usize;
        }
        if ties == 0 {
            return above;
        }
        let is_tie = |(at, key): (usize, &Key)| (*key == floor.key && self.in_hard[at]).then_some(at);
        let ties = self.keys.iter().enumerate().filter_map(is_tie);
        above + ties.filter(|at| place_at(*at).compare(&floor).is_ge()).count()
    }

    /// Lifts the keys of the members `from..to` to at least `floor`.
    pub(crate) fn lift(&mut self, from: usize, to: usize, floor: Key) {
        self.keys[from..to].iter_mut().filter(|key| key.since(floor) < 0).for_each(|key| *key = floor);
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.keys.capacity() * size_of::<Key>() + self.in_hard.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// More members than a piece, keys around the floor and around the circle, many ties.
        #[test]
        fn members_are_counted_by_their_own_places(
            base in prop_oneof![Just(0_u32), Just(u32::MAX - 2), any::<u32>()],
            members in proptest::collection::vec((0_u32..6, 0_u8..4), 0..60),
            repeats in 1_usize..200,
        ) {
            let mut own = OwnKeys::default();
            for (above, draw) in members.iter().cycle().take(members.len() * repeats) {
                own.push(Key(base.wrapping_add(*above)), *draw > 0);
            }
            let place_at = |at: usize| Place::of(own.get(at), 1.0, at as u64, false);
            let floor = Place::of(Key(base.wrapping_add(3)), 1.0, 777, false);
            let all = 0..members.len() * repeats;
            let expected = all.filter(|at| own.is_in_hard(*at) && place_at(*at).compare(&floor).is_ge()).count();
            prop_assert_eq!(own.count_from(floor, place_at), expected);
        }
    }
}
