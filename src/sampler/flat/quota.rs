//! The quota of a batch: which arrivals it admits under caps, equal shares and minima of strata and groups (docs/methods.md 8).
//!
//! A cap A rejects arrivals when it is full; tau_A is the time of the first arrival that A alone rejected, and pi_i = 1 - exp(-r_i min(tau,
//! tau_stratum(i), tau_group(i))). Equal shares are caps that sum to the size of the batch: tau is never reached, and each stratum runs a
//! race of its own, all with the same rate of the background. A minimum reserves slots of the batch, which then has no weights.
//!
//! An arrival costs the same however many strata there are: whether the batch is settled follows from counts, which every arrival updates.

mod shares;

use std::cmp::Ordering;

use hashbrown::{HashMap, HashSet};

use super::race::Arrival;
use crate::model::balance::Balance;
use crate::model::error::PoolError;
use crate::model::filter_counts::Reason;
use crate::store::{Row, StratumCount};
use shares::shares;

/// Which limit rejected an arrival.
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

/// The state of a stratum or group in a draw.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    taken: u32,
    /// Time of the first arrival that this stratum or group alone rejected.
    closed: Option<f64>,
}

/// A stratum that the pool stores.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// A lower bound of the number of its samples.
    available: u64,
    /// An upper bound of it.
    most: u64,
    /// Whether its hard arrivals are decided before the race begins.
    is_rare: bool,
}

impl Known {
    /// The strata that have samples.
    fn of(strata: &[StratumCount], with_background: bool) -> HashMap<u32, Self> {
        let bounds = |s: &StratumCount| {
            if with_background { (s.hard.max(s.background), s.hard + s.background) } else { (s.hard, s.hard) }
        };
        strata
            .iter()
            .map(|s| (s.stratum, bounds(s)))
            .filter(|(_, (available, _))| *available > 0)
            .map(|(stratum, (available, most))| (stratum, Self { available, most, is_rare: false }))
            .collect()
    }
}

/// How many of the stored strata an arrival may still change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Open {
    /// Strata that are neither closed nor without samples left.
    all: usize,
    /// Those of them that are not rare.
    common: usize,
    /// Those of `common` that have reserved slots left.
    lacking: usize,
    /// Strata that are neither closed nor surely without samples left.
    unfinished: usize,
}

/// The sizes of one batch at the stages of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The size of the request.
    pub(super) requested: usize,
    /// What the flow let pass of it. Caps that are fractions are fractions of this.
    pub(super) asked: usize,
    /// What SHORT left of that: the size of the batch.
    pub(super) drawn: usize,
}

/// The slots of one batch, and the limits on who takes them.
pub(super) struct Quota {
    size: usize,
    equal_shares: bool,
    /// Caps of single strata.
    caps: HashMap<u32, u32>,
    /// The cap of every other stratum.
    cap_else: u32,
    /// Slots reserved for strata, by stratum.
    reserved: HashMap<u32, u32>,
    per_group: u32,
    /// The stored strata; empty if there are no limits on strata.
    known: HashMap<u32, Known>,
    /// Whether these are all strata of both sources.
    knows_all: bool,
    open: Open,
    strata: HashMap<u32, Part>,
    groups: HashMap<u64, Part>,
    /// Free slots that are not reserved.
    free: usize,
    taken: usize,
    /// Strata and groups that have rejected an arrival.
    closings: usize,
    /// Rejected arrivals, in order of time, to be tried again if a slot becomes free.
    rejected: Vec<Arrival>,
}

impl Quota {
    /// The quota of a batch, for the strata that the pool stores; `None`: the policy has no limits.
    ///
    /// # Errors
    /// `FailedPrecondition` if the strata need more samples than the batch has slots.
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
        let stored = Known::of(strata, with_background);
        let known: HashMap<u32, u64> =
            stored.iter().map(|(stratum, known)| (*stratum, known.available)).collect();
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
                        "{} strata need {} samples each, more than the batch has ({}): ask for a larger batch",
                        known.len(),
                        minimum.max(1),
                        sizes.requested
                    ),
                });
            }
            // A batch that is smaller than the request reserves what it has slots for.
            minimum = minimum.min(size.checked_div(known.len()).unwrap_or(0));
        }
        if balance.equal_shares && !known.is_empty() {
            caps = shares(&known, size);
            // A stratum that appears during the draw has no share.
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
        let mut quota = Self {
            size,
            caps,
            cap_else,
            reserved,
            per_group: if balance.max_per_group == 0 { u32::MAX } else { balance.max_per_group },
            // In a dense id space the strata of the background are not counted.
            knows_all: !with_background || strata.iter().any(|s| s.background > 0),
            known: if balance.is_by_stratum() { stored } else { HashMap::new() },
            open: Open::default(),
            strata: HashMap::new(),
            groups: HashMap::new(),
            free: size - kept as usize,
            taken: 0,
            closings: 0,
            equal_shares: balance.equal_shares,
            rejected: Vec::new(),
        };
        quota.count_open();
        Ok(Some(quota))
    }

    /// Maximum number of samples of a stratum.
    pub(super) fn cap(&self, stratum: u32) -> u32 {
        self.caps.get(&stratum).copied().unwrap_or(self.cap_else)
    }

    /// Whether a cap of 0 excludes a stratum. `dense`: there may be unreported ids, which are of stratum 0.
    pub(super) fn shuts_out(&self, dense: bool) -> bool {
        self.caps.values().any(|cap| *cap == 0) || (dense && self.cap(0) == 0)
    }

    /// Whether slots are reserved for strata: then the weights are approximate.
    pub(super) fn reserves(&self) -> bool {
        !self.reserved.is_empty()
    }

    fn finds_stratum_full(&self, row: &Row) -> bool {
        let taken = self.strata.get(&row.stratum).map_or(0, |part| part.taken);
        let reserved = self.reserved.get(&row.stratum).copied().unwrap_or(0);
        // Beyond the size, one more arrival is needed for tau, from any stratum whose cap allows it.
        taken >= self.cap(row.stratum) || (self.reserves() && taken >= reserved && self.free == 0)
    }

    fn finds_group_full(&self, row: &Row) -> bool {
        row.group != 0 && self.groups.get(&row.group).is_some_and(|part| part.taken >= self.per_group)
    }

    /// Gives an arrival a slot, or returns the limit that rejects it.
    pub(super) fn admit(&mut self, row: &Row, time: f64) -> Result<(), Full> {
        let before = self.open_of(row.stratum);
        let outcome = self.take_slot(row, time);
        let after = self.open_of(row.stratum);
        self.open.replace(before, after);
        outcome
    }

    fn take_slot(&mut self, row: &Row, time: f64) -> Result<(), Full> {
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

    /// Remembers an arrival that was rejected.
    pub(super) fn remember(&mut self, arrival: Arrival) {
        // Memory is bounded: arrivals beyond this number are forgotten, and a slot that becomes free is filled by later arrivals instead.
        if self.rejected.len() < 16 * self.size {
            self.rejected.push(arrival);
        }
    }

    /// A copy of the present state, to try arrivals on.
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

    /// Whether an arrival is admitted, or is the first that a stratum or group rejects.
    pub(super) fn matters(&mut self, row: &Row, time: f64) -> bool {
        let closings = self.closings;
        self.admit(row, time).is_ok() || self.closings > closings
    }

    /// Number of strata that may still reject their first arrival.
    pub(super) fn parts_to_close(&self) -> usize {
        self.known.len()
    }

    /// min(tau, tau_stratum, tau_group) of a sample; `None` if there is none of these.
    pub(super) fn deadline(&self, row: &Row, tau: Option<f64>) -> Option<f64> {
        let stratum = self.strata.get(&row.stratum).and_then(|part| part.closed);
        let group = (row.group != 0).then(|| self.groups.get(&row.group)).flatten();
        let earliest = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        earliest(tau, earliest(stratum, group.and_then(|part| part.closed)))
    }

    /// Whether no further arrival could be admitted or close a stratum: the batch is full, and every stratum is closed or has no samples
    /// left.
    pub(super) fn is_settled(&self) -> bool {
        if self.taken < self.size {
            return false;
        }
        // With reserved slots the weights are approximate anyway, so the strata need not close.
        if self.reserves() {
            return true;
        }
        !self.known.is_empty() && self.open.all == 0
    }

    /// The strata so rare among the hard samples that reading all their rows costs less than proposals until they have arrived: the k
    /// rarest, with the k of the least total cost; none if the policy has neither equal shares nor minima. Also returns about how many
    /// proposals the other strata will take.
    pub(super) fn rare(&self, strata: &[StratumCount], hard: u64) -> (Vec<u32>, f64) {
        if !self.equal_shares && self.reserved.is_empty() {
            return (Vec::new(), 0.0);
        }
        let mut order: Vec<&StratumCount> = strata.iter().filter(|s| s.hard > 0 && s.stratum != 0).collect();
        order.sort_unstable_by_key(|s| (s.hard, s.stratum));
        // Expected proposals until a stratum has its share and one more arrival, if its members have average rates.
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

    /// Whether the limits leave no more samples for the batch, although it is not full: every stratum is closed, or all its samples are in.
    pub(super) fn is_spent(&self) -> bool {
        let is_fixed = !self.equal_shares && !self.reserves();
        is_fixed && self.knows_all && !self.known.is_empty() && self.open.unfinished == 0
    }

    /// Says which strata are rare: their hard arrivals are decided before the race begins.
    pub(super) fn mark_rare(&mut self, rare: &HashSet<u32>) {
        for (stratum, known) in &mut self.known {
            known.is_rare = rare.contains(stratum);
        }
        self.count_open();
    }

    /// Whether no further arrival of a stratum that is not rare could be admitted or close it.
    pub(super) fn is_settled_but_for_rare(&self) -> bool {
        if self.reserves() && self.free == 0 { self.open.lacking == 0 } else { self.open.common == 0 }
    }

    /// Counts the strata that are open, after a change to more than one of them.
    fn count_open(&mut self) {
        self.open = Open::default();
        for stratum in self.known.keys() {
            let of_stratum = self.open_of(*stratum);
            self.open.replace(Open::default(), of_stratum);
        }
    }

    /// What one stratum is counted as.
    fn open_of(&self, stratum: u32) -> Open {
        let Some(known) = self.known.get(&stratum) else { return Open::default() };
        let unfinished = usize::from(!self.has_settled(stratum, known.most));
        if self.has_settled(stratum, known.available) {
            return Open { unfinished, ..Open::default() };
        }
        let taken = self.strata.get(&stratum).map_or(0, |part| part.taken);
        let lacks = taken < self.reserved.get(&stratum).copied().unwrap_or(0);
        let common = usize::from(!known.is_rare);
        Open { all: 1, common, lacking: if lacks { common } else { 0 }, unfinished }
    }

    /// Whether a stratum is closed, or has no samples left.
    fn has_settled(&self, stratum: u32, available: u64) -> bool {
        self.cap(stratum) == 0
            || self
                .strata
                .get(&stratum)
                .is_some_and(|part| part.closed.is_some() || u64::from(part.taken) >= available)
    }

    /// Assigns all slots anew to `arrivals` and the rejected arrivals, because some arrivals were taken out of the batch.
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

    /// Called when nothing is left to arrive: frees the slots of reservations and shares that cannot be filled. Returns whether there are
    /// any.
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
            let mut more: HashMap<u32, u64> = HashMap::new();
            for arrival in &self.rejected {
                *more.entry(arrival.row.stratum).or_default() += 1;
            }
            let mut known = std::mem::take(&mut self.known);
            for (stratum, known) in &mut known {
                let is_full = of(stratum) >= self.cap(*stratum);
                let more = if is_full { more.get(stratum).copied().unwrap_or(0) } else { 0 };
                known.available = u64::from(of(stratum)) + more;
            }
            let available = known.iter().map(|(stratum, known)| (*stratum, known.available)).collect();
            let caps = shares(&available, self.size);
            relaxed |= caps != self.caps;
            self.caps = caps;
            self.known = known;
        }
        self.count_open();
        relaxed
    }

    /// Empties all slots.
    pub(super) fn clear(&mut self) {
        self.strata.clear();
        self.groups.clear();
        self.rejected.clear();
        self.taken = 0;
        self.closings = 0;
        let kept: u64 = self.reserved.values().map(|r| u64::from(*r)).sum();
        self.free = self.size - kept as usize;
        self.count_open();
    }
}

impl Open {
    /// Replaces what one stratum was counted as.
    fn replace(&mut self, before: Self, after: Self) {
        self.all = self.all + after.all - before.all;
        self.common = self.common + after.common - before.common;
        self.lacking = self.lacking + after.lacking - before.lacking;
        self.unfinished = self.unfinished + after.unfinished - before.unfinished;
    }
}
