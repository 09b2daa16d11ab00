//! Who of the arrivals a batch has room for: caps of strata and groups, shares, minima (docs/methods.md 8).
//!
//! A cap A rejects an arrival when it is full; tau_A is the first arrival that A alone rejected, and pi_i =
//! 1 - exp(-r_i min(tau, tau_stratum(i), tau_group(i))). Equal shares are separate races with one rate of the background: caps
//! that sum to the batch, so that tau is never reached and each stratum has its own. A minimum reserves places; its weights are
//! approximate.

use std::cmp::Ordering;

use hashbrown::{HashMap, HashSet};

use super::race::Arrival;
use crate::model::balance::Balance;
use crate::model::error::PoolError;
use crate::model::filter_counts::Reason;
use crate::store::{Row, StratumCount};

/// Why an arrival was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Stratum,
    Group,
}

impl From<Full> for Reason {
    fn from(full: Full) -> Self {
        match full {
            Full::Stratum => Self::Stratum,
            Full::Group => Self::Group,
        }
    }
}

/// A stratum or group in the batch under way.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    taken: u32,
    /// The first arrival that it alone rejected.
    closed: Option<f64>,
}

/// Sizes of one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Of the request.
    pub(super) requested: usize,
    /// What a flow let pass of it; caps are shares of it.
    pub(super) asked: usize,
    /// What SHORT left of that.
    pub(super) drawn: usize,
}

/// The places of one batch.
pub(super) struct Quota {
    size: usize,
    equal_shares: bool,
    /// Of single strata.
    caps: HashMap<u32, u32>,
    /// Of all others.
    cap_else: u32,
    /// Places kept for strata.
    reserved: HashMap<u32, u32>,
    per_group: u32,
    /// Samples that each known stratum could bring, at most; empty where strata do not matter.
    known: HashMap<u32, u64>,
    strata: HashMap<u32, Part>,
    groups: HashMap<u64, Part>,
    /// Places left that are kept for nobody.
    free: usize,
    taken: usize,
    /// Strata and groups that have rejected an arrival.
    closings: usize,
    /// In order of time: what found no place, to be asked again when a place opens.
    rejected: Vec<Arrival>,
}

impl Quota {
    /// The places of a batch, with what is known of the pool's strata; `None`: there are no limits.
    ///
    /// # Errors
    /// `FailedPrecondition` where more strata were asked for than there are places.
    pub(super) fn new(
        balance: &Balance,
        sizes: Sizes,
        strata: &[StratumCount],
        with_background: bool,
    ) -> Result<Option<Self>, PoolError> {
        if !balance.is_active() {
            return Ok(None);
        }
        let Sizes { asked, drawn: size, .. } = sizes;
        // A lower bound of hard store and background together, so that shares can be filled.
        let available = |s: &StratumCount| if with_background { s.hard.max(s.background) } else { s.hard };
        let known: HashMap<u32, u64> = strata
            .iter()
            .map(|s| (s.stratum, available(s)))
            .filter(|(_, available)| *available > 0)
            .collect();
        let mut caps: HashMap<u32, u32> =
            balance.stratum_caps.iter().map(|(stratum, limit)| (*stratum, limit.samples(asked))).collect();
        let mut cap_else = balance.default_cap(asked);
        let mut minimum = balance.min_per_stratum as usize;
        if balance.equal_shares || minimum > 0 {
            let wanted = minimum.max(1) * known.len();
            if wanted > sizes.requested {
                return Err(PoolError::FailedPrecondition {
                    reason: "TOO_MANY_STRATA",
                    message: format!(
                        "{} strata want {} samples each, more than the {} of the batch: ask for a larger one",
                        known.len(),
                        minimum.max(1),
                        sizes.requested
                    ),
                });
            }
            // A smaller batch than was asked for keeps what it has places for.
            minimum = minimum.min(size.checked_div(known.len()).unwrap_or(0));
        }
        if balance.equal_shares && !known.is_empty() {
            caps = shares(&known, size);
            // A stratum that appears meanwhile has no share.
            cap_else = 0;
        }
        let reserved: HashMap<u32, u32> = if minimum > 0 {
            let cap = |stratum| caps.get(&stratum).copied().unwrap_or(cap_else);
            known
                .iter()
                .map(|(stratum, available)| (*stratum, (minimum as u64).min(*available) as u32))
                .map(|(stratum, reserved)| (stratum, reserved.min(cap(stratum))))
                .collect()
        } else {
            HashMap::new()
        };
        let kept: u64 = reserved.values().map(|r| u64::from(*r)).sum();
        Ok(Some(Self {
            size,
            caps,
            cap_else,
            reserved,
            per_group: if balance.max_per_group == 0 { u32::MAX } else { balance.max_per_group },
            known: if balance.is_by_stratum() { known } else { HashMap::new() },
            strata: HashMap::new(),
            groups: HashMap::new(),
            free: size - kept as usize,
            taken: 0,
            closings: 0,
            equal_shares: balance.equal_shares,
            rejected: Vec::new(),
        }))
    }

    /// The most of a stratum.
    pub(super) fn cap(&self, stratum: u32) -> u32 {
        self.caps.get(&stratum).copied().unwrap_or(self.cap_else)
    }

    /// Whether some stratum is kept out altogether. `dense`: there may be unreported ids, which are of stratum 0.
    pub(super) fn shuts_out(&self, dense: bool) -> bool {
        self.caps.values().any(|cap| *cap == 0) || (dense && self.cap(0) == 0)
    }

    /// Whether places are kept for strata: the weights are then approximate.
    pub(super) fn reserves(&self) -> bool {
        !self.reserved.is_empty()
    }

    fn finds_stratum_full(&self, row: &Row) -> bool {
        let taken = self.strata.get(&row.stratum).map_or(0, |part| part.taken);
        let reserved = self.reserved.get(&row.stratum).copied().unwrap_or(0);
        // Beyond the size, one more is wanted for tau, from wherever a cap allows it.
        taken >= self.cap(row.stratum) || (self.reserves() && taken >= reserved && self.free == 0)
    }

    fn finds_group_full(&self, row: &Row) -> bool {
        row.group != 0 && self.groups.get(&row.group).is_some_and(|part| part.taken >= self.per_group)
    }

    /// Whether there is a place for an arrival, which it then takes.
    pub(super) fn admit(&mut self, row: &Row, time: f64) -> Result<(), Full> {
        let (stratum, group) = (self.finds_stratum_full(row), self.finds_group_full(row));
        let mut close = |part: &mut Part| {
            self.closings += usize::from(part.closed.is_none());
            part.closed = part.closed.or(Some(time));
        };
        match (stratum, group) {
            (false, false) => {
                let part = self.strata.entry(row.stratum).or_default();
                let reserved = self.reserved.get(&row.stratum).copied().unwrap_or(0);
                self.free -= usize::from(part.taken >= reserved && self.free > 0);
                part.taken += 1;
                self.taken += 1;
                if row.group != 0 {
                    self.groups.entry(row.group).or_default().taken += 1;
                }
                Ok(())
            }
            (true, false) => {
                close(self.strata.entry(row.stratum).or_default());
                Err(Full::Stratum)
            }
            (false, true) => {
                close(self.groups.entry(row.group).or_default());
                Err(Full::Group)
            }
            (true, true) => Err(Full::Stratum),
        }
    }

    /// Remembers an arrival that found no place.
    pub(super) fn remember(&mut self, arrival: Arrival) {
        // Beyond this many a place that opens is filled by later arrivals instead.
        if self.rejected.len() < 16 * self.size {
            self.rejected.push(arrival);
        }
    }

    /// The places as they are, to try arrivals on.
    pub(super) fn rehearse(&self) -> Self {
        Self {
            caps: self.caps.clone(),
            reserved: self.reserved.clone(),
            known: HashMap::new(),
            strata: self.strata.clone(),
            groups: self.groups.clone(),
            rejected: Vec::new(),
            ..*self
        }
    }

    /// Whether an arrival would find a place, or be the first that a stratum or group rejects.
    pub(super) fn matters(&mut self, row: &Row, time: f64) -> bool {
        let closings = self.closings;
        self.admit(row, time).is_ok() || self.closings > closings
    }

    /// Strata that may still have to reject an arrival.
    pub(super) fn parts_to_close(&self) -> usize {
        self.known.len()
    }

    /// min(tau, tau_stratum, tau_group) of a sample.
    pub(super) fn deadline(&self, row: &Row, tau: Option<f64>) -> Option<f64> {
        let stratum = self.strata.get(&row.stratum).and_then(|part| part.closed);
        let group = (row.group != 0).then(|| self.groups.get(&row.group)).flatten();
        let earliest = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        earliest(tau, earliest(stratum, group.and_then(|part| part.closed)))
    }

    /// Whether no further arrival could find a place or close a stratum: every stratum is closed, or has nothing left.
    pub(super) fn is_settled(&self) -> bool {
        if self.taken < self.size {
            return false;
        }
        // With places that are kept, the weights are approximate anyway.
        if self.reserves() {
            return true;
        }
        !self.known.is_empty()
            && self.known.iter().all(|(stratum, available)| self.has_settled(*stratum, *available))
    }

    /// Strata so rare among the hard samples that reading all of theirs costs less than proposals until they have come: the rarest
    /// k, with the k for which both together cost the least. None where no stratum has to have its share. Beside them the proposals
    /// that the others will take, about.
    pub(super) fn rare(&self, strata: &[StratumCount], hard: u64) -> (Vec<u32>, f64) {
        if !self.equal_shares && self.reserved.is_empty() {
            return (Vec::new(), 0.0);
        }
        let mut order: Vec<&StratumCount> = strata.iter().filter(|s| s.hard > 0 && s.stratum != 0).collect();
        order.sort_unstable_by_key(|s| (s.hard, s.stratum));
        // Proposals until a stratum has its share and one more, if its members are like the others.
        let proposals = |s: &StratumCount| {
            let wanted = self.reserved.get(&s.stratum).copied().unwrap_or_else(|| self.cap(s.stratum));
            (f64::from(wanted) + 1.0) * hard as f64 / s.hard as f64
        };
        let mut most_left = vec![0.0f64; order.len() + 1];
        for (i, s) in order.iter().enumerate().rev() {
            most_left[i] = most_left[i + 1].max(proposals(s));
        }
        let (mut best, mut cheapest, mut rows) = (0, most_left[0], 0.0);
        for (i, s) in order.iter().enumerate() {
            rows += s.hard as f64;
            if rows + most_left[i + 1] < cheapest {
                (best, cheapest) = (i + 1, rows + most_left[i + 1]);
            }
        }
        (order[..best].iter().map(|s| s.stratum).collect(), most_left[best])
    }

    /// Whether no further arrival of these strata's could find a place or close one of them.
    pub(super) fn is_settled_but(&self, others: &HashSet<u32>) -> bool {
        let full = |stratum: &u32| {
            let taken = self.strata.get(stratum).map_or(0, |part| part.taken);
            let reserved = self.reserved.get(stratum).copied().unwrap_or(0);
            self.reserves() && self.free == 0 && taken >= reserved
        };
        self.known
            .iter()
            .filter(|(stratum, _)| !others.contains(*stratum))
            .all(|(stratum, available)| full(stratum) || self.has_settled(*stratum, *available))
    }

    /// A stratum is closed, or has nothing left.
    fn has_settled(&self, stratum: u32, available: u64) -> bool {
        self.cap(stratum) == 0
            || self
                .strata
                .get(&stratum)
                .is_some_and(|part| part.closed.is_some() || u64::from(part.taken) >= available)
    }

    /// Deals the places anew among `arrivals` and those that were rejected: some of the arrivals turned out not to be had.
    pub(super) fn deal_again(&mut self, arrivals: Vec<Arrival>) -> Vec<Arrival> {
        let mut all = std::mem::take(&mut self.rejected);
        all.extend(arrivals);
        all.sort_by(|a, b| a.time.partial_cmp(&b.time).unwrap_or(Ordering::Equal));
        self.clear();
        let mut admitted = Vec::with_capacity(all.len());
        for arrival in all {
            match self.admit(&arrival.row, arrival.time) {
                Ok(()) => admitted.push(arrival),
                Err(_) => self.remember(arrival),
            }
        }
        admitted
    }

    /// Nothing is left to arrive: places that are still kept or shared out, and cannot be filled, go to others. Whether there
    /// are any.
    pub(super) fn relax(&mut self) -> bool {
        if self.taken >= self.size || self.rejected.is_empty() {
            return false;
        }
        let taken: HashMap<u32, u32> = self.strata.iter().map(|(s, part)| (*s, part.taken)).collect();
        let of = |stratum: &u32| taken.get(stratum).copied().unwrap_or(0);
        let mut relaxed = false;
        for (stratum, reserved) in &mut self.reserved {
            if of(stratum) < *reserved {
                *reserved = of(stratum);
                relaxed = true;
            }
        }
        if self.equal_shares {
            let mut known = std::mem::take(&mut self.known);
            for (stratum, available) in &mut known {
                if u64::from(of(stratum)) < u64::from(self.cap(*stratum)) {
                    *available = u64::from(of(stratum));
                } else {
                    let more = self.rejected.iter().filter(|a| a.row.stratum == *stratum).count() as u64;
                    *available = u64::from(of(stratum)) + more;
                }
            }
            let caps = shares(&known, self.size);
            relaxed |= caps != self.caps;
            self.caps = caps;
            self.known = known;
        }
        relaxed
    }

    /// Empties the places.
    pub(super) fn clear(&mut self) {
        self.strata.clear();
        self.groups.clear();
        self.rejected.clear();
        self.taken = 0;
        self.closings = 0;
        let kept: u64 = self.reserved.values().map(|r| u64::from(*r)).sum();
        self.free = self.size - kept as usize;
    }
}

/// Equal shares of `size`; what a stratum has too few samples for goes to the others (water-filling).
fn shares(available: &HashMap<u32, u64>, size: usize) -> HashMap<u32, u32> {
    let mut order: Vec<(u32, u64)> = available.iter().map(|(s, n)| (*s, *n)).collect();
    order.sort_unstable_by_key(|(stratum, available)| (*available, *stratum));
    let mut left = size as u64;
    let mut shares = HashMap::with_capacity(order.len());
    for (i, (stratum, available)) in order.iter().enumerate() {
        // The last ones, which have the most samples, take what division leaves over.
        let share = (left / (order.len() - i) as u64).min(*available);
        left -= share;
        shares.insert(*stratum, share as u32);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stratum_has_not_goes_to_the_others() {
        let of = |counts: &[(u32, u64)], size| {
            let mut shares: Vec<_> = shares(&counts.iter().copied().collect(), size).into_iter().collect();
            shares.sort_unstable();
            shares.into_iter().map(|s| s.1).collect::<Vec<_>>()
        };
        assert_eq!(of(&[(1, 100), (2, 100)], 10), [5, 5]);
        assert_eq!(of(&[(1, 2), (2, 100), (3, 100)], 12), [2, 5, 5]);
        assert_eq!(of(&[(1, 1), (2, 1)], 12), [1, 1]);
        assert_eq!(of(&[(1, 100), (2, 100), (3, 101)], 11), [3, 4, 4]);
    }
}
