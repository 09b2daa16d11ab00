//! Samples that rest under a lease. They are at the end of the list of their leaf, which no draw reads, and keep their place in the order.

use super::{Buckets, Parent};
use crate::hard::slots::Slots;

impl Buckets {
    /// Makes a slot rest. Does nothing if it rests already.
    pub(crate) fn rest(&mut self, slots: &mut Slots, slot: u32) {
        self.set_resting(slots, slot, true);
    }

    /// Ends the rest of a slot. Does nothing if it does not rest.
    pub(crate) fn wake(&mut self, slots: &mut Slots, slot: u32) {
        self.set_resting(slots, slot, false);
    }

    fn set_resting(&mut self, slots: &mut Slots, slot: u32, rests: bool) {
        let s = *slots.get(slot);
        let Some(path) = self.path(&s) else {
            return;
        };
        let l = self.leaves.get_mut(path.leaf);
        if (s.position >= l.active()) == rests {
            return;
        }
        let by = if rests { 1 } else { -1_i32 };
        // The member at the border: the last that does not rest, or the first that rests.
        let border = if rests { l.active() - 1 } else { l.active() };
        l.swap(&mut self.arena, slots, s.position, border);
        l.resting = l.resting.wrapping_add_signed(by);
        let offset = l.offset(s.key);
        if rests {
            l.offsets.take(offset);
        } else {
            l.offsets.add(offset);
        }
        for parent in path.parents() {
            match *parent {
                Parent::Root(_) => {}
                Parent::Child(table, child) => {
                    let table = self.tables.get_mut(table);
                    table.resting = table.resting.wrapping_add_signed(by);
                    table.active[child] = table.active[child].wrapping_add_signed(-by);
                }
                Parent::Part(cuts, part) => {
                    let cuts = self.cuts.get_mut(cuts);
                    cuts.resting = cuts.resting.wrapping_add_signed(by);
                    cuts.parts[part].active = cuts.parts[part].active.wrapping_add_signed(-by);
                }
            }
        }
    }

    /// Whether the member of a bucket rests.
    #[inline]
    pub(crate) fn rests_at(&self, handle: u32, ordinal: u32) -> bool {
        self.locate(handle, ordinal)
            .is_some_and(|(leaf, position)| position >= self.leaves.get(leaf).active())
    }

    /// The number of samples that rest.
    pub(crate) fn resting(&self) -> u64 {
        let mut resting = 0;
        self.roots_down(|_, node| {
            resting += u64::from(self.sizes(node).1);
            true
        });
        resting
    }

    /// Whether a linked slot rests.
    pub(crate) fn rests(&self, slots: &Slots, slot: u32) -> bool {
        let s = slots.get(slot);
        self.path(s).is_some_and(|path| s.position >= self.leaves.get(path.leaf).active())
    }
}
