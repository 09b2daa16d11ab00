//! The filter of a draw, which decides whether a sample may be served. Its conditions are in the order of docs/methods.md 5.3: exclusions,
//! leases and serves; model version and age; score; rank and quantile windows, which are turned into a range of places.

use std::collections::HashSet;

use super::context::{DrawClock, MineContext};
use crate::model::error::PoolError;
use crate::model::filter_counts::Reason;
use crate::model::policy::Window;
use crate::store::place::Place;
use crate::store::{Census, Row, Store};

/// The conditions of one request.
pub(super) struct Filter<'a> {
    /// Ids that are refused from both sources.
    pub(super) excluded: &'a HashSet<u64>,
    /// Of samples that rest, those that were served this often count as worn, the others as leased.
    pub(super) max_serves: u16,
    /// The windows, which apply to hard samples only.
    windows: &'a [Window],
    clock: DrawClock,
    lower_is_harder: bool,
    /// Whether any sample rests.
    any_resting: bool,
    /// The place of the first sample in the rank window; `None`: the window begins at the hardest.
    first: Option<Place>,
    /// The place of the first sample after the rank window; `None`: the window has no end.
    end: Option<Place>,
    /// The ranks that the rank and quantile windows admit: the first, and one past the last.
    pub(super) ranks: (u64, u64),
}

impl<'a> Filter<'a> {
    pub(super) fn of(context: &'a MineContext<'_>, census: &Census) -> Self {
        let hard = census.hard;
        let mut ranks = (0, hard);
        for window in &context.policy.windows {
            let (min, max) = match *window {
                Window::Rank { min, max } => (min, max),
                Window::Quantile { min, max } => quantile_ranks(min, max, hard),
                _ => continue,
            };
            ranks = (ranks.0.max(min), ranks.1.min(max));
        }
        ranks.0 = ranks.0.min(ranks.1);
        let any_resting = census.leased > 0;
        Self {
            excluded: &context.excluded,
            max_serves: context.serving.mark.max_serves,
            windows: &context.policy.windows,
            clock: context.clock,
            lower_is_harder: context.pool.lower_is_harder,
            any_resting,
            first: None,
            end: None,
            ranks,
        }
    }

    /// Turns the rank window into a range of places. Ranks count all samples of the hard store, before any other filter
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
                // The store has shrunk since the census, and no sample has this rank or a higher one.
                self.ranks = (first, first);
                return Ok(());
            }
        }
        self.end = if end < hard { places.next().flatten() } else { None };
        Ok(())
    }

    /// Whether anything but the rank window may refuse a hard sample.
    pub(super) fn looks_at_items(&self) -> bool {
        self.any_resting || self.looks_at_rows()
    }

    /// As [`Self::looks_at_items`], without the samples that rest, which the census counts.
    pub(super) fn looks_at_rows(&self) -> bool {
        !self.excluded.is_empty() || self.has_row_windows()
    }

    /// Whether a window looks at the values of hard samples, so that the census does not tell how many it admits.
    pub(super) fn has_row_windows(&self) -> bool {
        self.windows.iter().any(|w| !matches!(w, Window::Rank { .. } | Window::Quantile { .. }))
    }

    /// Whether samples of both sources may be refused, so that the weights estimate over the eligible samples only.
    pub(super) fn removes_items(&self) -> bool {
        !self.excluded.is_empty() || self.any_resting
    }

    /// The reason why a sample may not be served from either source, if there is one.
    pub(super) fn refuses(&self, row: &Row) -> Option<Reason> {
        if !self.excluded.is_empty() && self.excluded.contains(&row.id) {
            return Some(Reason::Excluded);
        }
        let is_worn = row.serves >= self.max_serves;
        row.leased.then_some(if is_worn { Reason::MaxServes } else { Reason::Leased })
    }

    /// The reason why a sample may not be served as a hard sample, if there is one.
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

    /// Whether a sample may be served as a hard sample.
    pub(super) fn admits_hard(&self, row: &Row) -> bool {
        self.refuses_hard(row).is_none()
    }

    fn fails(&self, window: &Window, row: &Row) -> Option<Reason> {
        let (passes, reason) = match *window {
            Window::Score { min, max } => ((min..=max).contains(&row.score), Reason::Score),
            Window::Age { min, max } => {
                let age = row.stamp.map(|stamp| self.clock.age(stamp));
                (age.is_some_and(|age| (min..=max).contains(&age)), Reason::Age)
            }
            Window::ModelVersion { min, max } => {
                ((min..=max).contains(&row.model_version), Reason::ModelVersion)
            }
            // These became a range of places, which `is_outside` checks.
            Window::Rank { .. } | Window::Quantile { .. } => return None,
        };
        (!passes).then_some(reason)
    }
}

/// The ranks of a quantile window, first and one past the last. Quantile 1 is the hardest sample.
fn quantile_ranks(min: f64, max: f64, hard: u64) -> (u64, u64) {
    // The small constants absorb rounding, such as that of 1 - 0.9.
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
