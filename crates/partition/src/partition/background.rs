//! Reports as the background sees them.

use super::Partition;
use crate::background::{Offer, Taken};

impl Partition {
    /// Shows a row to the background.
    #[inline]
    pub(super) fn offer(&mut self, id: u64, offer: Offer<'_>) -> Taken {
        match &mut self.background {
            None => {
                self.renew_dense(id);
                // Every id of the space is in the background, and nothing of it is kept there.
                Taken::Outside
            }
            Some(_) => {
                let stamp = offer.terms.stamp;
                let taken = self.offer_to_samples(offer);
                // A row that is older than what is stored is no report: a sample has the same stamp wherever it is stored.
                if taken != Taken::Stale
                    && let Some(background) = &mut self.background
                {
                    background.witness(id, stamp);
                }
                taken
            }
        }
    }

    /// A report brings a removed id back, and ends what was remembered of its serves.
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
            // It was not looked for there.
            offer.hint = u32::MAX;
            match filling.offer(&self.spec.hardness, &offer) {
                Taken::Outside => {}
                other => taken = other,
            }
        }
        self.leases.follow(background.serving.number, background.serving.limit());
        taken
    }

    /// Rows of a report after which there is surely nothing to renew.
    pub(super) fn quiet_rows(&self, renew_after_rows: u64) -> u64 {
        self.background.as_ref().map_or(u64::MAX, |background| background.quiet_rows(renew_after_rows))
    }

    /// Counts rows that were quiet.
    pub(super) fn end_quiet_rows(&mut self, rows: u64) {
        if let Some(background) = &mut self.background {
            background.count_rows(rows);
        }
    }

    /// After a row of a report that may not be quiet. Renewal looks at each, so that it makes no difference into which batches rows are
    /// divided. Whether a generation or a witness began, which any id may enter.
    pub(super) fn end_row(&mut self, renew_after_rows: u64) -> bool {
        self.background.as_mut().is_some_and(|background| background.renew(1, renew_after_rows))
    }

    /// After the last id of a removal. A generation that has to begin begins here, so that it sees all that is reported from now on.
    pub(super) fn end_removal(&mut self) {
        if let Some(background) = &mut self.background {
            background.renew(0, u64::MAX);
        }
    }

    /// Which of up to 32 rows may be of the witness, and which of a generation of the background, a bit each. Starts loading what
    /// offering the latter will touch, and says where a member of the serving generation most likely stands.
    #[inline]
    pub(super) fn look_at_background(&self, ids: &[u64], members: &mut [u32]) -> (u32, u32) {
        let Some(background) = &self.background else {
            // Every id is.
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
