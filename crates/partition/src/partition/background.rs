//! Reports as the background sees them.

use std::ops::Range;

use super::Partition;
use crate::background::{Offer, Taken};
use crate::hard::slots::Attributes;
use crate::op::{Columns, Terms};

impl Partition {
    /// Shows a row to the background.
    #[inline]
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
                if background.may_take(id) {
                    self.offer_to_samples(rows, row, terms, attributes)
                } else {
                    Taken::Outside
                }
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

    /// Starts loading what offering rows to the background will touch.
    #[inline]
    pub(super) fn prefetch_background(&self, rows: &Columns, range: Range<usize>) {
        if let Some(background) = &self.background {
            for id in &rows.ids[range] {
                background.samples().for_each(|sample| sample.prefetch(*id));
            }
        }
    }
}
