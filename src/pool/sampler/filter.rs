//! Which samples may be served. The order is METHODS 4's: exclusions, leases and serves, version and age, score, then the
//! window of keys that a rank or quantile window became.

use std::collections::HashSet;

use super::tiers::Tiers;
use crate::pool::clock::Clock;
use crate::pool::error::PoolError;
use crate::pool::filtered::Reason;
use crate::pool::policy::Window;
use crate::store::{Address, Census, Row, Store};

/// Rows fetched at a time while looking for the sample at a rank.
const CHUNK: usize = 4096;

/// A place in the order of the hard store: descending key, then ascending id.
type Place = (i64, u64);

fn before(a: Place, b: Place) -> bool {
    a.0 > b.0 || (a.0 == b.0 && a.1 < b.1)
}

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
    /// Some samples rest.
    any_leased: bool,
    /// The first sample of the rank window.
    first: Option<Place>,
    /// The first sample after it.
    end: Option<Place>,
    /// Ranks that the rank windows leave, first and one past the last.
    pub(super) ranks: (u64, u64),
    /// More samples than may be read are as hard as the one at which the rank window begins or ends.
    pub(super) approximate: bool,
}

impl<'a> Filter<'a> {
    pub(super) fn new(
        excluded: &'a HashSet<u64>,
        max_serves: u16,
        windows: &'a [Window],
        stamp_now: u32,
        by_steps: bool,
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
            any_leased,
            first: None,
            end: None,
            ranks,
            approximate: false,
        }
    }

    /// Turns the rank window into a window of keys, by reading the buckets in which it begins and ends. A rank window is
    /// over the hard store as it stands, before all other filters (DECISIONS 8).
    pub(super) async fn locate_ranks(
        &mut self,
        store: &dyn Store,
        census: &Census,
        tiers: &Tiers,
        scan_limit: usize,
    ) -> Result<(), PoolError> {
        if self.ranks.0 >= self.ranks.1 {
            return Ok(());
        }
        let mut at = async |rank| {
            let (place, is_exact) = place_at(store, census, tiers, rank, scan_limit).await?;
            self.approximate |= !is_exact;
            Ok::<_, PoolError>(place)
        };
        let first = if self.ranks.0 > 0 { at(self.ranks.0).await? } else { None };
        let end = if self.ranks.1 < census.hard { at(self.ranks.1).await? } else { None };
        (self.first, self.end) = (first, end);
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

    /// What keeps a sample from being served as a hard one; `offset` is its key's.
    pub(super) fn refuses_hard(&self, row: &Row, offset: i64) -> Option<Reason> {
        let place = (offset, row.id);
        let outside = self.ranks.0 >= self.ranks.1
            || self.first.is_some_and(|first| before(place, first))
            || self.end.is_some_and(|end| !before(place, end));
        self.refuses(row)
            .or_else(|| self.windows.iter().filter_map(|window| self.fails(window, row)).min())
            .or(outside.then_some(Reason::Rank))
    }

    /// Whether a sample may be served as a hard one; `offset` is its key's.
    pub(super) fn admits_hard(&self, row: &Row, offset: i64) -> bool {
        self.refuses_hard(row, offset).is_none()
    }

    fn fails(&self, window: &Window, row: &Row) -> Option<Reason> {
        let (passes, reason) = match *window {
            Window::Score { min, max } => ((min..=max).contains(&row.score), Reason::Score),
            Window::Age { min, max } => {
                let age = row.stamp.map(|stamp| Clock::age(self.stamp_now, stamp, self.by_steps));
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

/// Adds the places of the samples at `addresses`, which it empties.
async fn read_places(
    store: &dyn Store,
    tiers: &Tiers,
    addresses: &mut Vec<Address>,
    places: &mut Vec<Place>,
) -> Result<(), PoolError> {
    let rows = store.fetch(addresses).await?;
    places.extend(rows.into_iter().flatten().filter_map(|row| Some((tiers.offset(row.hard_key?), row.id))));
    addresses.clear();
    // A store in memory is always ready: others have their turn between two chunks.
    tokio::task::yield_now().await;
    Ok(())
}

/// The sample at `rank` (0 the hardest), or `None` past the end; whether that is exact. Of a tier of more samples than may be
/// read only an even part is.
async fn place_at(
    store: &dyn Store,
    census: &Census,
    tiers: &Tiers,
    rank: u64,
    scan_limit: usize,
) -> Result<(Option<Place>, bool), PoolError> {
    let tier = tiers.list.partition_point(|t| t.rank + t.count <= rank);
    let Some(found) = tiers.list.get(tier) else {
        return Ok((None, true));
    };
    let step = found.count.div_ceil(scan_limit.max(1) as u64);
    let mut places: Vec<Place> = Vec::with_capacity((found.count / step) as usize);
    let mut chunk = Vec::with_capacity(CHUNK);
    for (bucket, of) in census.buckets.iter().zip(&tiers.of_bucket) {
        if *of as usize != tier {
            continue;
        }
        for ordinal in (0..bucket.members()).step_by(step as usize) {
            chunk.push(Address::Hard { partition: bucket.partition, bucket: bucket.bucket, ordinal });
            if chunk.len() == CHUNK {
                read_places(store, tiers, &mut chunk, &mut places).await?;
            }
        }
    }
    read_places(store, tiers, &mut chunk, &mut places).await?;
    let index = ((rank - found.rank) / step) as usize;
    if index >= places.len() {
        return Ok((None, step == 1));
    }
    let (_, place, _) = places.select_nth_unstable_by_key(index, |p| (std::cmp::Reverse(p.0), p.1));
    Ok((Some(*place), step == 1))
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
