//! The balance of reported and mined samples, with the calls in progress, and the decision which calls may pass.

use crate::model::flow::{Flow, ROUNDING, Side};

/// Numbers of rows reported to a pool and samples mined from it, since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::pool) struct Sums {
    pub(in crate::pool) reported: u64,
    pub(in crate::pool) mined: u64,
}

impl Sums {
    /// The later of two sums. Both numbers only grow, and calls that end concurrently may pass them out of order.
    pub(super) fn later(self, other: Self) -> Self {
        Self { reported: self.reported.max(other.reported), mined: self.mined.max(other.mined) }
    }
}

/// The account from which the balance follows.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// The balance when the flow was last changed.
    pub(super) carried: f64,
    /// The latest known sums.
    pub(super) sums: Sums,
    /// What is subtracted from the sums: the sums when the flow was last changed, and rows since then that do not count.
    pub(super) from: Sums,
    /// Samples that count as mined although the pool did not have them.
    pub(super) made_up: u64,
    /// Whether min_reported has been reached.
    pub(super) begun: bool,
    /// Number of the first min_reported rows, which do not count, that no report has accounted for yet.
    pub(super) uncounted: u64,
    pub(super) reports_under_way: u64,
    pub(super) mines_under_way: u64,
    /// Calls in progress for which nothing was reserved: those before min_reported, and while there is no flow. Their rows and samples may
    /// be in the sums before the calls end.
    pub(super) free_reports: u64,
    pub(super) free_mines: u64,
}

impl Book {
    /// Takes over the present sums of the partitions.
    pub(super) fn meet(&mut self, flow: Option<&Flow>, sums: Sums) {
        self.sums = self.sums.later(sums);
        self.hold(flow);
    }

    /// While calls are in progress for which nothing was reserved, the balance stays at its bound if their rows or samples would exceed it.
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
        // The difference may be negative, because rows that do not count may be ahead of the latest sums.
        let reported = self.sums.reported as f64 - self.from.reported as f64;
        let mined = self.sums.mined as f64 - self.from.mined as f64 + self.made_up as f64;
        self.carried + reported * flow.mined_per_reported - mined
    }

    /// Room for reports in mined samples, even if all reports in progress succeed.
    pub(super) fn room(&self, flow: &Flow) -> f64 {
        flow.error_buffer - self.balance(flow) - self.reports_under_way as f64 * flow.mined_per_reported
    }

    /// Samples that may still be mined, even if all mines in progress succeed.
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

    /// A mine ended with `missing` fewer samples than its permit allowed, because the pool has no more.
    pub(super) fn make_up(&mut self, flow: &Flow, missing: u64, first_report: u64) {
        let lacking = first_report as f64 * flow.mined_per_reported - self.room(flow);
        self.made_up += missing.min(lacking.max(0.0).ceil() as u64);
    }

    /// Clamps the balance, because calls that were in progress when the flow was changed must not bring it over the new bounds.
    pub(super) fn keep_within(&mut self, flow: &Flow) {
        let balance = self.balance(flow);
        self.carried += balance.clamp(-flow.error_buffer, flow.error_buffer) - balance;
    }

    /// Counts the rows of a report for which nothing was reserved, and which are in the sums, as far as there is room. So a large first
    /// report does not leave the bounds.
    pub(super) fn count_free(&mut self, flow: Option<&Flow>, rows: u64) {
        let Some(flow) = flow else { return };
        // The sums cannot tell this, because reports that passed together find the rows of all of them in the sums.
        let uncounted = self.uncounted.min(rows);
        self.uncounted -= uncounted;
        self.begun |= self.sums.reported >= flow.min_reported;
        self.from.reported += rows;
        let room = ((self.room(flow) + ROUNDING) / flow.mined_per_reported).max(0.0) as u64;
        self.from.reported -= (rows - uncounted).min(room);
    }
}
