//! Own keys: what the keys of members of the background would be if they had never been served as members (docs/methods.md 4.3).
//!
//! A member that is served from the background is reported again, and its key rises with the decay clock. So it may be in the hard store
//! while an id outside the background with the same score is not: membership of the hard store depends on membership of the background, and
//! an estimate that treats them as independent is biased. Own keys remove this dependence. Every report writes the own key of a member,
//! except a report that follows a serve which the sample got because it was a member.

use crate::key::Key;
use crate::place::Place;

/// Members that are counted in one pass.
const PIECE: usize = 4_096;

/// The own key of each member, in the order of members, and whether the hard store holds it.
#[derive(Debug, Default)]
pub(crate) struct OwnKeys {
    keys: Vec<Key>,
    in_hard: Vec<bool>,
    /// The number of members that the hard store holds.
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

    /// Removes the key at `at`. The last key moves there.
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

    /// The number of members that the hard store holds.
    pub(crate) fn hard(&self) -> usize {
        self.hard
    }

    /// The number of members in the hard store whose own place, which `place_at` returns, is at or above `floor`.
    pub(crate) fn count_from(&self, floor: Place, place_at: impl Fn(usize) -> Place) -> usize {
        if self.hard == 0 {
            return 0;
        }
        // Every draw counts the members, so this is a plain pass without a branch. Comparing keys decides nearly all of them.
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
