//! Offers reported rows to the background and its witnesses.

use super::Partition;
use crate::background::{Offer, Taken};

impl Partition {
    /// Offers a row to the background.
    #[inline]
    pub(super) fn offer(&mut self, id: u64, offer: Offer<'_>) -> Taken {
        match &mut self.background {
            None => {
                self.renew_dense(id);
                // Every id of a dense space is in the background, which stores nothing.
                Taken::Outside
            }
            Some(_) => {
                let stamp = offer.terms.stamp;
                let taken = self.offer_to_samples(offer);
                // A stale row does not count as a report for the witnesses: all copies of a sample have the same stamp.
                if taken != Taken::Stale
                    && let Some(background) = &mut self.background
                {
                    background.witness(id, stamp);
                }
                taken
            }
        }
    }

    /// After a report of a dense id: it is not removed any more, and its remembered serves are forgotten.
    fn renew_dense(&mut self, id: u64) {
        if !self.removed.is_empty() {
            self.removed.remove(id);
        }
        self.forget_unstored(id);
    }

    #[inline]
    fn offer_to_samples(&mut self, mut offer: Offer<'_>) -> Taken {
        let Some(background) = &mut self.background else {
            return Taken::Outside;
        };
        let mut taken = background.serving.offer(&self.spec.hardness, &offer);
        if taken == Taken::Stale {
            return taken;
        }
        if let Some(filling) = &mut background.filling {
            // The hint is a position in the serving generation.
            offer.hint = u32::MAX;
            match filling.offer(&self.spec.hardness, &offer) {
                Taken::Outside => {}
                other => taken = other,
            }
        }
        self.leases.follow(background.serving.number, background.serving.limit());
        taken
    }

    /// The number of rows that can be reported before renewal has anything to do.
    pub(super) fn quiet_rows(&self, renew_after_rows: u64) -> u64 {
        self.background.as_ref().map_or(u64::MAX, |background| background.quiet_rows(renew_after_rows))
    }

    /// Counts reported rows after which renewal had nothing to do.
    pub(super) fn end_quiet_rows(&mut self, rows: u64) {
        if let Some(background) = &mut self.background {
            background.count_rows(rows);
        }
    }

    /// After a row that may have changed what renewal depends on. Renewal is checked after each such row, so that it does not depend on how
    /// rows are divided into reports. Returns whether a generation or a witness began, which any id may enter.
    pub(super) fn end_row(&mut self, renew_after_rows: u64) -> bool {
        self.background.as_mut().is_some_and(|background| background.renew(1, renew_after_rows))
    }

    /// After the last id of a removal. A generation that must begin because of it begins here, before any further row.
    pub(super) fn end_removal(&mut self) {
        if let Some(background) = &mut self.background {
            background.renew(0, u64::MAX);
        }
    }

    /// Two bit masks of up to 32 rows: which may be members of a witness, and which of a generation of the background. Prefetches what
    /// offering the latter will touch, and writes their likely positions in the serving generation to `members`.
    #[inline]
    pub(super) fn look_at_background(&self, ids: &[u64], members: &mut [u32]) -> (u32, u32) {
        let Some(background) = &self.background else {
            // In a dense space every id is in the background.
            return (u32::MAX, u32::MAX);
        };
        let (mut of_witness, mut of_background) = (0, 0);
        for (at, id) in ids.iter().enumerate() {
            of_witness |= u32::from(background.may_witness(*id)) << at;
            of_background |= u32::from(background.may_take(*id)) << at;
        }
        let mut left = of_background;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            members[at] = background.serving.prefetch(ids[at]);
            if let Some(filling) = &background.filling {
                filling.prefetch(ids[at]);
            }
            left &= left - 1;
        }
        (of_witness, of_background)
    }
}
