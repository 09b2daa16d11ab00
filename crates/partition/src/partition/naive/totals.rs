//! The counters of the reference model.

use super::Naive;
use crate::op::{Change, Op, Reply, Source};

impl Naive {
    pub(super) fn count(&mut self, op: &Op, reply: &Reply) {
        let totals = &mut self.totals;
        match (&op.change, reply) {
            (Change::Report { terms, .. }, Reply::Reported(counts)) if counts.duplicate == 0 => {
                totals.reported += counts.rows();
                totals.non_finite += counts.non_finite;
                totals.out_of_range += counts.out_of_range;
                totals.stale += counts.stale;
                totals.quarantined += counts.quarantined;
                totals.blocked += counts.blocked;
                totals.set_aside += counts.set_aside;
                totals.evicted += counts.evicted;
                totals.clamped += counts.clamped;
                totals.floored += counts.floored;
                let is_later = |latest: u32| (terms.stamp.wrapping_sub(latest) as i32) > 0;
                if totals.latest_stamp.is_none_or(is_later) {
                    totals.latest_stamp = Some(terms.stamp);
                }
            }
            (Change::Serve { drawn, mark }, Reply::Served(served)) => {
                let of = |source| {
                    let is_served = |i: &usize| served[*i].is_some() && drawn[*i].source == source;
                    (0..served.len()).filter(is_served).count() as u64
                };
                if mark.count {
                    totals.served_hard += of(Source::Hard);
                    totals.served_background += of(Source::Background);
                }
            }
            (_, Reply::Removed(removed) | Reply::Cleared(removed)) => totals.removed += removed,
            (_, Reply::Blocked(counts)) => totals.removed += counts.removed,
            (_, Reply::SetAside(counts)) => totals.set_aside += counts.set_aside,
            (_, Reply::ReleasedQuarantined(counts)) => {
                totals.released += counts.released;
                totals.evicted += counts.evicted;
            }
            _ => {}
        }
    }
}
