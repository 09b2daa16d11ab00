//! Reports as the background sees them.

use super::Partition;
use crate::background::{Offer, Taken};
use crate::hard::slots::Attributes;
use crate::op::{Columns, Terms};

impl Partition {
    /// Shows a row to the background.
    pub(super) fn offer(
        &mut self,
        rows: &Columns,
        row: usize,
        terms: &Terms,
        attributes: Option<Attributes>,
    ) -> Taken {
        let id = rows.ids[row];
        match &mut self.background {
            None => {
                self.renew_dense(id);
                // Every id of the space is in the background, and nothing of it is kept there.
                Taken::Outside
            }
            Some(background) => {
                background.witness(id);
                self.offer_to_samples(rows, row, terms, attributes)
            }
        }
    }

    /// A report brings a removed id back, and ends what was remembered of its serves.
    fn renew_dense(&mut self, id: u64) {
        if !self.removed.is_empty() {
            self.removed.remove(id);
        }
        if !self.unstored_serves.is_empty() && self.unstored_serves.remove(&id).is_some() {
            self.unstored_order.retain(|other| *other != id);
        }
    }

    fn offer_to_samples(
        &mut self,
        rows: &Columns,
        row: usize,
        terms: &Terms,
        attributes: Option<Attributes>,
    ) -> Taken {
        let Some(background) = &mut self.background else {
            return Taken::Outside;
        };
        let offer = Offer {
            id: rows.ids[row],
            score: rows.scores[row],
            stamp: terms.stamp,
            refuse_stale: terms.refuse_stale,
            model_version: terms.model_version,
            update: terms.update,
            attributes,
            name: rows.names.get(row),
            payload: rows.payloads.get(row),
        };
        let mut taken = Taken::Outside;
        for sample in background.samples_mut() {
            match sample.offer(&self.spec.hardness, &offer) {
                Taken::Outside => {}
                Taken::Stale => return Taken::Stale,
                Taken::Member => taken = Taken::Member,
            }
        }
        self.leases.follow(background.serving.number, background.serving.limit());
        taken
    }

    /// After the last row of a report.
    pub(super) fn end_report(&mut self, rows: u64, terms: &Terms) {
        if let Some(background) = &mut self.background {
            background.renew(rows, terms.renew_after_rows);
        }
    }

    /// After the last id of a removal. A generation that has to begin begins here, so that it sees all that is reported from now on.
    pub(super) fn end_removal(&mut self) {
        if let Some(background) = &mut self.background {
            background.renew(0, u64::MAX);
        }
    }

    /// Which of up to 32 rows may be of the witness, and which of a generation of the background, a bit each. Starts loading what
    /// offering the latter will touch.
    #[inline]
    pub(super) fn look_at_background(&self, ids: &[u64]) -> (u32, u32) {
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
            let id = ids[left.trailing_zeros() as usize];
            background.samples().for_each(|sample| sample.prefetch(id));
            left &= left - 1;
        }
        (of_witness, of_background)
    }
}
