//! What has been reported and mined, as a balance: who may go on, and what is under way.

use crate::model::flow::{Flow, ROUNDING, Side};

/// Rows reported to a pool and samples mined from it in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::pool) struct Sums {
    pub(in crate::pool) reported: u64,
    pub(in crate::pool) mined: u64,
}

impl Sums {
    /// The later of two: both only grow, and calls that end at a time may tell them out of order.
    pub(super) fn later(self, other: Self) -> Self {
        Self { reported: self.reported.max(other.reported), mined: self.mined.max(other.mined) }
    }
}

/// What has been counted.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// The balance when the flow was changed last.
    pub(super) carried: f64,
    /// What was told last.
    pub(super) sums: Sums,
    /// What the balance counts from: the sums when the flow was changed last, and rows since that count for nothing.
    pub(super) from: Sums,
    /// Samples that count as mined though the pool did not have them.
    pub(super) made_up: u64,
    /// min_reported has been reached.
    pub(super) begun: bool,
    /// Of the first min_reported rows, those that no report has ended with yet. They count for nothing.
    pub(super) uncounted: u64,
    pub(super) reports_under_way: u64,
    pub(super) mines_under_way: u64,
    /// Calls under way that nothing was reserved for: before min_reported, and while there is no flow. What they bring may be in the sums
    /// before they end.
    pub(super) free_reports: u64,
    pub(super) free_mines: u64,
}

impl Book {
    /// Takes in what the partitions count now.
    pub(super) fn meet(&mut self, flow: Option<&Flow>, sums: Sums) {
        self.sums = self.sums.later(sums);
        self.hold(flow);
    }

    /// As long as there are calls for which nothing was reserved, the balance stays at its bound where their rows and samples would bring
    /// it over.
    pub(super) fn hold(&mut self, flow: Option<&Flow>) {
        let Some(flow) = flow else { return };
        let over = self.balance(flow) - flow.error_buffer;
        if self.free_reports > 0 && over > ROUNDING {
            self.from.reported += (over / flow.mined_per_reported).ceil() as u64;
        }
        let under = -flow.error_buffer - self.balance(flow);
        if self.free_mines > 0 && under > ROUNDING {
            self.from.mined += under.ceil() as u64;
        }
    }

    pub(super) fn balance(&self, flow: &Flow) -> f64 {
        // With a sign: rows that count for nothing may be ahead of what was told last.
        let reported = self.sums.reported as f64 - self.from.reported as f64;
        let mined = self.sums.mined as f64 - self.from.mined as f64 + self.made_up as f64;
        self.carried + reported * flow.mined_per_reported - mined
    }

    /// Mined samples that reports may still add, whatever becomes of those under way.
    pub(super) fn room(&self, flow: &Flow) -> f64 {
        flow.error_buffer - self.balance(flow) - self.reports_under_way as f64 * flow.mined_per_reported
    }

    /// Samples that may still be mined, whatever becomes of those under way.
    pub(super) fn credit(&self, flow: &Flow) -> f64 {
        if self.begun { self.balance(flow) + flow.error_buffer - self.mines_under_way as f64 } else { 0.0 }
    }

    pub(super) fn admits(&self, flow: &Flow, side: Side, samples: u64) -> bool {
        match side {
            Side::Report => {
                !self.begun || samples as f64 * flow.mined_per_reported <= self.room(flow) + ROUNDING
            }
            Side::Mine => self.begun && samples as f64 <= self.credit(flow) + ROUNDING,
        }
    }

    pub(super) fn free(&mut self, side: Side) -> &mut u64 {
        match side {
            Side::Report => &mut self.free_reports,
            Side::Mine => &mut self.free_mines,
        }
    }

    pub(super) fn under_way(&mut self, side: Side) -> &mut u64 {
        match side {
            Side::Report => &mut self.reports_under_way,
            Side::Mine => &mut self.mines_under_way,
        }
    }

    /// A mine ended with `missing` fewer samples than it was let through for, because the pool has no more to give.
    pub(super) fn make_up(&mut self, flow: &Flow, missing: u64, first_report: u64) {
        let lacking = first_report as f64 * flow.mined_per_reported - self.room(flow);
        self.made_up += missing.min(lacking.max(0.0).ceil() as u64);
    }

    /// What was under way when the flow was changed may not carry the balance over the new bounds.
    pub(super) fn keep_within(&mut self, flow: &Flow) {
        let balance = self.balance(flow);
        self.carried += balance.clamp(-flow.error_buffer, flow.error_buffer) - balance;
    }

    /// Rows of a report that nothing was reserved for, and that are in the sums: they count as far as there is room, so that a first
    /// large report does not leave the bounds.
    pub(super) fn count_free(&mut self, flow: Option<&Flow>, rows: u64) {
        let Some(flow) = flow else { return };
        // Not by the sums: reports that passed together find the rows of all of them in the sums.
        let uncounted = self.uncounted.min(rows);
        self.uncounted -= uncounted;
        self.begun |= self.sums.reported >= flow.min_reported;
        self.from.reported += rows;
        let room = ((self.room(flow) + ROUNDING) / flow.mined_per_reported).max(0.0) as u64;
        self.from.reported -= (rows - uncounted).min(room);
    }
}
