//! Counters of what a partition has done since it was created. They do not depend on how rows were divided into reports. The counters of a
//! pool are sums of these over its partitions. Because they are part of the state, a resend counts nothing, and a replayed log gives the
//! same counters.

use crate::counters::counters;
use crate::op::{Change, Reply, Source};

/// Counters of what a partition has done since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows reported, whatever their outcome; rows of resends are not counted.
    pub reported: u64,
    /// Reported rows without a finite score.
    pub non_finite: u64,
    /// Reported rows whose id is outside the dense id space.
    pub out_of_range: u64,
    /// Reported rows that were older than the stored sample.
    pub stale: u64,
    /// Reported rows of samples that were set aside, or that set their sample aside.
    pub quarantined: u64,
    /// Reported rows of blocked ids.
    pub blocked: u64,
    /// Samples set aside, by rows or by hand.
    pub set_aside: u64,
    /// Samples that were evicted from the hard store by harder ones.
    pub evicted: u64,
    /// Keys whose log2 weight was clamped.
    pub clamped: u64,
    /// Scores below [`crate::key::Hardness::floor_score`].
    pub floored: u64,
    /// Samples served that were drawn from the hard store ([`crate::Drawn::source`]).
    pub served_hard: u64,
    /// Samples served that were drawn from the background.
    pub served_background: u64,
    /// Samples removed by a removal, by blocking or by clearing.
    pub removed: u64,
    /// Samples released from quarantine.
    pub released: u64,
    /// Samples of hard store or background that were removed because no row reported them within the time to live.
    pub expired: u64,
    /// The latest stamp of a report, by serial arithmetic.
    pub latest_stamp: Option<u32>,
}

counters!(Totals {
    reported,
    non_finite,
    out_of_range,
    stale,
    quarantined,
    blocked,
    set_aside,
    evicted,
    clamped,
    floored,
    served_hard,
    served_background,
    removed,
    released,
    expired,
} besides latest_stamp);

impl Totals {
    /// Samples served from both sources.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served_hard.saturating_add(self.served_background)
    }

    /// Adds the counters of another partition.
    pub fn add(&mut self, more: &Self) {
        self.add_numbers(more);
        if let Some(stamp) = more.latest_stamp {
            self.meet(stamp);
        }
    }

    fn meet(&mut self, stamp: u32) {
        let is_later = |latest: u32| (stamp.wrapping_sub(latest) as i32) > 0;
        if self.latest_stamp.is_none_or(is_later) {
            self.latest_stamp = Some(stamp);
        }
    }

    /// Counts an operation that was completed.
    pub(crate) fn count(&mut self, change: &Change, reply: &Reply) {
        let mut more = Self::default();
        match (change, reply) {
            // A resend does nothing.
            (_, Reply::Reported(counts)) if counts.duplicate > 0 => return,
            (Change::Report { terms, .. }, Reply::Reported(counts)) => {
                more = Self {
                    reported: counts.rows(),
                    non_finite: counts.non_finite,
                    out_of_range: counts.out_of_range,
                    stale: counts.stale,
                    quarantined: counts.quarantined,
                    blocked: counts.blocked,
                    set_aside: counts.set_aside,
                    evicted: counts.evicted,
                    clamped: counts.clamped,
                    floored: counts.floored,
                    latest_stamp: Some(terms.stamp),
                    ..Self::default()
                };
            }
            (Change::Serve { drawn, mark }, Reply::Served(served)) if mark.count => {
                for (drawn, _) in drawn.iter().zip(served).filter(|(_, served)| served.is_some()) {
                    match drawn.source {
                        Source::Hard => more.served_hard += 1,
                        Source::Background => more.served_background += 1,
                    }
                }
            }
            (_, Reply::Removed(removed) | Reply::Cleared(removed)) => more.removed = *removed,
            (_, Reply::Blocked(counts)) => more.removed = counts.removed,
            (_, Reply::SetAside(counts)) => more.set_aside = counts.set_aside,
            (_, Reply::ReleasedQuarantined(counts)) => {
                (more.released, more.evicted) = (counts.released, counts.evicted);
            }
            _ => return,
        }
        self.add(&more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{ApplyCounts, Drawn, ServeMark, Terms};
    use crate::row::Served;
    use std::sync::Arc;

    #[test]
    fn an_operation_counts_by_its_reply() {
        let mut totals = Totals::default();
        let report = |stamp| {
            let terms = Terms { stamp, ..Terms::default() };
            Change::Report { rows: Arc::default(), range: 0..0, terms, sender: None }
        };
        let counts = ApplyCounts { inserted: 3, stale: 1, evicted: 2, ..ApplyCounts::default() };
        totals.count(&report(7), &Reply::Reported(counts));
        let resend = ApplyCounts { duplicate: 4, ..ApplyCounts::default() };
        totals.count(&report(9), &Reply::Reported(resend));
        assert_eq!((totals.reported, totals.stale, totals.evicted, totals.latest_stamp), (4, 1, 2, Some(7)));
        // Earlier, and around the circle.
        totals.count(&report(6), &Reply::Reported(ApplyCounts::default()));
        assert_eq!(totals.latest_stamp, Some(7));
        let mut other = Totals { latest_stamp: Some(u32::MAX), ..Totals::default() };
        other.add(&totals);
        assert_eq!(other.latest_stamp, Some(7));

        let served = || Some(Served { serves: 1, name: None, payload: None });
        let drawn = |source| Drawn { id: 1, source };
        let all = vec![drawn(Source::Hard), drawn(Source::Background), drawn(Source::Hard)];
        for count in [true, false] {
            let mark = ServeMark { count, max_serves: 9, lease_until: None };
            let change = Change::Serve { drawn: all.clone(), mark };
            totals.count(&change, &Reply::Served(vec![served(), served(), None]));
        }
        assert_eq!((totals.served_hard, totals.served_background, totals.served()), (1, 1, 2));
    }
}
