//! Which samples may be served. The order is that of docs/methods.md 5.3: exclusions, leases and serves, version and age, score, then the
//! window of places that a rank or quantile window became.

use std::collections::HashSet;

use crate::model::error::PoolError;
use crate::model::filter_counts::Reason;
use crate::model::moment;
use crate::model::policy::Window;
use crate::store::place::Place;
use crate::store::{Census, Row, Store};

/// The conditions of one request.
pub(super) struct Filter<'a> {
    /// Never these, from either source.
    pub(super) excluded: &'a HashSet<u64>,
    /// Samples served this often are out, from either source.
    pub(super) max_serves: u16,
    /// Hard samples only.
    windows: &'a [Window],
    stamp_now: u32,
    by_steps: bool,
    lower_is_harder: bool,
    /// Some samples rest.
    any_leased: bool,
    /// The first sample of the rank window.
    first: Option<Place>,
    /// The first sample after it.
    end: Option<Place>,
    /// Ranks that the rank windows leave, first and one past the last.
    pub(super) ranks: (u64, u64),
}

impl<'a> Filter<'a> {
    pub(super) fn new(
        excluded: &'a HashSet<u64>,
        max_serves: u16,
        windows: &'a [Window],
        stamp_now: u32,
        (by_steps, lower_is_harder): (bool, bool),
        census: &Census,
    ) -> Self {
        let hard = census.hard;
        let mut ranks = (0, hard);
        for window in windows {
            let (min, max) = match *window {
                Window::Rank { min, max } => (min, max),
                Window::Quantile { min, max } => quantile_ranks(min, max, hard),
                _ => continue,
            };
            ranks = (ranks.0.max(min), ranks.1.min(max));
        }
        ranks.0 = ranks.0.min(ranks.1);
        let any_leased = census.leased > 0;
        Self {
            excluded,
            max_serves,
            windows,
            stamp_now,
            by_steps,
            lower_is_harder,
            any_leased,
            first: None,
            end: None,
            ranks,
        }
    }

    /// Turns the rank window into a window of places. A rank window is over the hard store as it stands, before all other filters
    /// (docs/methods.md 5.3).
    pub(super) async fn locate_ranks(&mut self, store: &dyn Store, hard: u64) -> Result<(), PoolError> {
        let (first, end) = self.ranks;
        if first >= end {
            return Ok(());
        }
        let ranks: Vec<u64> =
            [(first > 0).then_some(first), (end < hard).then_some(end)].into_iter().flatten().collect();
        if ranks.is_empty() {
            return Ok(());
        }
        let mut places = store.at_ranks(&ranks).await?.into_iter();
        if first > 0 {
            self.first = places.next().flatten();
            if self.first.is_none() {
                // The store has shrunk since it was counted: there is nothing left from that rank on.
                self.ranks = (first, first);
                return Ok(());
            }
        }
        self.end = if end < hard { places.next().flatten() } else { None };
        Ok(())
    }

    /// Whether anything but the rank window may turn a hard sample away.
    pub(super) fn looks_at_items(&self) -> bool {
        self.any_leased || self.looks_at_rows()
    }

    /// The same, leases left out: the census counts what rests.
    pub(super) fn looks_at_rows(&self) -> bool {
        !self.excluded.is_empty()
            || self.max_serves != u16::MAX
            || self.windows.iter().any(|w| !matches!(w, Window::Rank { .. } | Window::Quantile { .. }))
    }

    /// Whether samples of either source may be turned away, so that the batch is over the eligible ones only.
    pub(super) fn removes_items(&self) -> bool {
        !self.excluded.is_empty() || self.max_serves != u16::MAX || self.any_leased
    }

    /// What keeps a sample from being served from either source.
    pub(super) fn refuses(&self, row: &Row) -> Option<Reason> {
        if !self.excluded.is_empty() && self.excluded.contains(&row.id) {
            return Some(Reason::Excluded);
        }
        if row.leased {
            return Some(Reason::Leased);
        }
        (row.serves >= self.max_serves).then_some(Reason::MaxServes)
    }

    /// What keeps a sample from being served as a hard one.
    pub(super) fn refuses_hard(&self, row: &Row) -> Option<Reason> {
        self.refuses(row)
            .or_else(|| self.windows.iter().filter_map(|window| self.fails(window, row)).min())
            .or(self.is_outside(row).then_some(Reason::Rank))
    }

    /// Whether a sample is outside the rank window.
    fn is_outside(&self, row: &Row) -> bool {
        if self.ranks.0 >= self.ranks.1 {
            return true;
        }
        if self.first.is_none() && self.end.is_none() {
            return false;
        }
        row.place(self.lower_is_harder).is_none_or(|place| {
            self.first.is_some_and(|first| place.compare(&first).is_gt())
                || self.end.is_some_and(|end| place.compare(&end).is_le())
        })
    }

    /// Whether a sample may be served as a hard one.
    pub(super) fn admits_hard(&self, row: &Row) -> bool {
        self.refuses_hard(row).is_none()
    }

    fn fails(&self, window: &Window, row: &Row) -> Option<Reason> {
        let (passes, reason) = match *window {
            Window::Score { min, max } => ((min..=max).contains(&row.score), Reason::Score),
            Window::Age { min, max } => {
                let age = row.stamp.map(|stamp| moment::age(self.stamp_now, stamp, self.by_steps));
                (age.is_some_and(|age| (min..=max).contains(&age)), Reason::Age)
            }
            Window::ModelVersion { min, max } => {
                ((min..=max).contains(&row.model_version), Reason::ModelVersion)
            }
            // Become places in the order.
            Window::Rank { .. } | Window::Quantile { .. } => return None,
        };
        (!passes).then_some(reason)
    }
}

/// The ranks of a quantile window, 1 the hardest.
fn quantile_ranks(min: f64, max: f64, hard: u64) -> (u64, u64) {
    // Tolerates the rounding of 1 - 0.9.
    let n = hard as f64;
    let first = ((1.0 - max) * n + 1e-6).floor() as u64;
    let last = ((1.0 - min) * n - 1e-6).ceil().max(0.0) as u64;
    (first, last.min(hard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_become_ranks() {
        assert_eq!(quantile_ranks(0.0, 1.0, 100), (0, 100));
        assert_eq!(quantile_ranks(0.9, 1.0, 100), (0, 10));
        assert_eq!(quantile_ranks(0.5, 0.9, 100), (10, 50));
        assert_eq!(quantile_ranks(1.0, 1.0, 100), (0, 0));
        assert_eq!(quantile_ranks(0.0, 1.0, 0), (0, 0));
    }
}
