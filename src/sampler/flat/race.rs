//! The exponential race, run as a thinned Poisson process (docs/methods.md 6.1 and 6.2).
//!
//! Every sample i arrives at T_i = E_i/r_i with r_i = u_i + (c/p_s)/N if i is in R_s. The census bounds each bucket's rate; a
//! proposal picks a bucket by its bound and a member uniformly, and is accepted with u_i over the bound. What was
//! accepted or can never be leaves its lane, in an overlay of this request only: nothing moves in the store.
//!
//! Proposals are planned in rounds against one census, so that a round costs one call. Within a round lanes do not
//! shrink: a sample that comes twice is a repeat, which only moves the clock. A round ends early after a few repeats,
//! so that one sample with nearly all the mass costs a handful of proposals. Both are stopping times of the process,
//! so neither changes its law.

mod pass;
mod rates;

use std::collections::VecDeque;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use super::background::{Background, is_overtaken};
use super::filter::Filter;
use super::mass::Mass;
use super::quota::Quota;
use super::tiers::Tiers;
use crate::model::error::PoolError;
use crate::model::filter_counts::{FilterCounts, Reason};
use crate::sampler::rng::Draws;
use crate::store::{Address, Census, Row, ServePenalty, Source, Store, StratumCount};

/// Proposals in a round, at least and at most.
const ROUND_MIN: usize = 16;
const ROUND_MAX: usize = 4096;
/// A round ends after so many repeats.
const ROUND_REPEATS_MAX: usize = 8;
/// After this many proposals a sample wanted, the rest is decided by one pass over the store (docs/methods.md 6.2).
const PROPOSALS_PER_SAMPLE: u64 = 16;
/// Small batches may look around a little more before that.
const PROPOSALS_MIN: u64 = 1024;
/// A race with limits gives up after so many times its budget of proposals without an arrival that found a place, ..
const FRUITLESS_BUDGETS: u64 = 16;
/// .. or when limits have turned away so many members of the background, and so many more for each sample wanted: each is
/// remembered, and of a background that is all of one full stratum there is no end.
const TURNED_AWAY_MAX: u64 = 65_536;
const TURNED_AWAY_PER_SAMPLE: u64 = 4;

/// What one request draws from.
pub(super) struct Field<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) census: &'a Census,
    pub(super) tiers: &'a Tiers,
    pub(super) background: &'a Background<'a>,
    pub(super) filter: &'a Filter<'a>,
    pub(super) penalty: ServePenalty,
    pub(super) scan_limit: usize,
    /// Strata that are stored, where they matter.
    pub(super) strata: &'a [StratumCount],
}

/// A sample that has arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) row: Row,
    pub(super) time: f64,
    /// Which source brought it.
    pub(super) from_background: bool,
    /// u_i.
    pub(super) hard_mass: f64,
    /// u_i by its own key. > 0: it is in H (docs/methods.md 6.1).
    pub(super) own_mass: f64,
    /// What it owes the serve to: also a hard sample may owe it to answers to earlier serves from the background.
    pub(super) owed_to: Source,
}

/// Members that share a bound.
struct Lane {
    partition: u16,
    /// `None`: the background.
    bucket: Option<u32>,
    tier: usize,
    remaining: u64,
    /// Largest rate of a member.
    bound: f64,
    /// Virtual Fisher-Yates: which ordinal stands at an index, where not its own.
    moved: HashMap<u64, u64>,
}

impl Lane {
    fn ordinal(&self, index: u64) -> u64 {
        self.moved.get(&index).copied().unwrap_or(index)
    }

    fn address(&self, index: u64) -> Address {
        let ordinal = self.ordinal(index);
        match self.bucket {
            Some(bucket) => Address::Hard { partition: self.partition, bucket, ordinal: ordinal as u32 },
            None => Background::address(self.partition, ordinal),
        }
    }

    fn remove(&mut self, index: u64) {
        self.remaining -= 1;
        let last = self.ordinal(self.remaining);
        self.moved.remove(&self.remaining);
        if index != self.remaining {
            self.moved.insert(index, last);
        }
    }
}

struct Proposal {
    time: f64,
    lane: u32,
    /// Into the round's addresses.
    place: u32,
    coin: f64,
}

/// A race under way.
pub(super) struct Race<'a> {
    field: &'a Field<'a>,
    mass: Option<&'a Mass>,
    draws: &'a mut Draws,
    lanes: Vec<Lane>,
    /// c: a member of the background arrives at c times its share of the ids.
    background_rate: f64,
    /// Masses below this count as 0 (docs/methods.md 6.1).
    cut: f64,
    time: f64,
    /// In order of time.
    pub(super) arrivals: Vec<Arrival>,
    taken: HashSet<u64>,
    pub(super) proposals: u64,
    /// Proposals of the background that are not in the R that was counted, by partition.
    strangers: HashMap<u16, usize>,
    wanted: u64,
    /// Strata whose hard arrivals are all scheduled from the start.
    rare: HashSet<u32>,
    /// Proposals that limits on strata are worth before a pass.
    patience: u64,
    /// No hard sample needs to be proposed any more.
    passed: bool,
    /// Hard arrivals that a pass over the store, or over rare strata, has decided, in order of time.
    scheduled: Option<VecDeque<(f64, Row, f64)>>,
    /// There are more than `scheduled` holds.
    schedule_cut: bool,
    /// The pass stopped at the scan limit.
    pub(super) approximate: bool,
    /// Limits on who of the arrivals has a place.
    pub(super) quota: Option<Quota>,
    /// Proposals since an arrival found a place.
    fruitless: u64,
    /// Members of the background that found none.
    turned_away: u64,
    /// Members of the background have been served as often as they may be.
    pub(super) wears_out: bool,
    /// Nothing was left to arrive.
    exhausted: bool,
    pub(super) filtered: FilterCounts,
}

impl<'a> Race<'a> {
    /// A race for about `wanted` arrivals. `mass` `None`: the background alone. `c` 0: the hard store alone.
    pub(super) fn new(
        field: &'a Field<'a>,
        mass: Option<&'a Mass>,
        c: f64,
        cut: f64,
        wanted: usize,
        draws: &'a mut Draws,
    ) -> Self {
        let mut lanes = Vec::with_capacity(field.census.buckets.len() + 16);
        if let Some(mass) = mass {
            for (bucket, &tier) in field.census.buckets.iter().zip(&field.tiers.of_bucket) {
                let tier = tier as usize;
                let high = field.tiers.offset(bucket.high);
                let bound = mass.bound(high, tier);
                let first = field.tiers.list[tier].rank;
                let outside = first >= field.filter.ranks.1
                    || first + field.tiers.list[tier].count <= field.filter.ranks.0;
                if bound > 0.0 && bound >= cut && !outside {
                    lanes.push(Lane {
                        partition: bucket.partition,
                        bucket: Some(bucket.bucket),
                        tier,
                        remaining: u64::from(bucket.count),
                        bound,
                        moved: HashMap::new(),
                    });
                }
            }
        }
        let background_rate = if field.background.size > 0.0 { c } else { 0.0 };
        if background_rate > 0.0 {
            for lane in field.background.lanes() {
                lanes.push(Lane {
                    partition: lane.partition,
                    bucket: None,
                    tier: 0,
                    remaining: lane.members,
                    bound: background_rate * lane.share,
                    moved: HashMap::new(),
                });
            }
        }
        Self {
            field,
            mass,
            draws,
            lanes,
            background_rate,
            cut,
            time: 0.0,
            arrivals: Vec::with_capacity(wanted + 1),
            taken: HashSet::with_capacity(wanted + 1),
            proposals: 0,
            strangers: HashMap::new(),
            wanted: wanted as u64,
            rare: HashSet::new(),
            patience: 0,
            passed: false,
            scheduled: None,
            schedule_cut: false,
            approximate: false,
            quota: None,
            fruitless: 0,
            turned_away: 0,
            wears_out: false,
            exhausted: false,
            filtered: FilterCounts::default(),
        }
    }

    /// The same race, in which not every arrival has a place.
    pub(super) fn within(mut self, quota: Option<Quota>) -> Self {
        self.quota = quota;
        self
    }

    /// Samples that must not arrive: they have been chosen otherwise.
    pub(super) fn forbid(&mut self, ids: impl Iterator<Item = u64>) {
        self.taken.extend(ids);
    }

    /// Runs until `target` samples have arrived, or nothing is left to arrive.
    pub(super) async fn run_to(&mut self, target: usize) -> Result<(), PoolError> {
        while !self.is_done(target) {
            self.drop_settled();
            if !self.passed && self.proposals > self.budget() && self.mass.is_some() {
                self.schedule(target).await?;
            }
            let total = self.total_rate();
            if total > 0.0 {
                self.round(total, target).await?;
            } else if !self.arrive_scheduled(f64::INFINITY, target) && !self.schedule_cut && !self.relax() {
                self.exhausted = true;
                return Ok(());
            }
            // More hard samples were needed than the pass kept: the race is memoryless, so it can be run again from now.
            if self.schedule_is_spent() {
                self.schedule(target).await?;
            }
        }
        Ok(())
    }

    fn is_done(&mut self, target: usize) -> bool {
        if self.arrivals.len() >= target {
            return true;
        }
        let gives_up = self.fruitless > FRUITLESS_BUDGETS * self.plain_budget() + 4 * self.patience
            || self.turned_away > TURNED_AWAY_MAX + TURNED_AWAY_PER_SAMPLE * self.wanted;
        match &self.quota {
            None => false,
            Some(quota) if quota.is_settled() => true,
            Some(_) if gives_up => {
                self.approximate = true;
                true
            }
            Some(_) => false,
        }
    }

    /// Nothing is left to arrive: lets those have the places that were kept for others in vain. Whether that helped.
    fn relax(&mut self) -> bool {
        let before = self.arrivals.len();
        if !self.quota.as_mut().is_some_and(Quota::relax) {
            return false;
        }
        self.deal_again();
        self.arrivals.len() > before
    }

    /// Some arrivals were taken out: those that had found no place are asked again.
    pub(super) fn deal_again(&mut self) {
        if let Some(quota) = self.quota.as_mut() {
            self.arrivals = quota.deal_again(std::mem::take(&mut self.arrivals));
        }
    }

    /// Until when a sample would have had a place: min(tau, tau_A of its stratum and group). tau is the arrival after the
    /// first `size`.
    pub(super) fn deadline(&self, row: &Row, size: usize) -> Option<f64> {
        let tau = self.arrivals.get(size).map(|arrival| arrival.time);
        match &self.quota {
            None => tau,
            // The places that are kept leave no arrival after the last.
            Some(quota) if quota.reserves() => {
                quota.deadline(row, tau.or((!self.exhausted).then_some(self.time)))
            }
            Some(quota) => quota.deadline(row, tau),
        }
    }

    /// Most of what was counted of R in some partition has gone: another generation serves there, and this race would draw too
    /// little from it.
    pub(super) fn is_overtaken(&self) -> bool {
        let members = |partition: u16| {
            let random = self.arrivals.iter().filter(|arrival| arrival.from_background);
            random
                .filter(|arrival| self.field.background.partition_number(arrival.row.id) == partition)
                .count()
        };
        self.strangers.iter().any(|(partition, strangers)| is_overtaken(*strangers, members(*partition)))
    }

    fn schedule_is_spent(&self) -> bool {
        self.schedule_cut && self.scheduled.as_ref().is_some_and(VecDeque::is_empty)
    }

    fn budget(&self) -> u64 {
        self.plain_budget().max(self.patience)
    }

    fn plain_budget(&self) -> u64 {
        (PROPOSALS_PER_SAMPLE * self.wanted).max(PROPOSALS_MIN)
    }

    fn total_rate(&self) -> f64 {
        self.lanes.iter().map(|l| l.remaining as f64 * l.bound).sum()
    }

    /// Plans a round, reads its rows in one call and lets them arrive.
    async fn round(&mut self, total: f64, target: usize) -> Result<(), PoolError> {
        let missing = target - self.arrivals.len();
        // Where few arrive it is many proposals to the next: rounds grow, for each has its own cost.
        let proposals = (missing + missing / 8).max(self.fruitless as usize);
        let (plan, addresses, indices) = self.plan(total, proposals);
        let rows = self.field.store.fetch(&addresses).await?;
        if addresses.len() >= ROUND_MAX / 2 {
            // A store in memory is always ready: a long race lets others have their turn.
            tokio::task::yield_now().await;
        }
        let mut gone = vec![false; addresses.len()];
        for proposal in &plan {
            self.arrive_scheduled(proposal.time, target);
            // Past the end of a cut schedule the next hard arrivals are not known yet.
            if self.is_done(target) || self.schedule_is_spent() {
                break;
            }
            self.time = proposal.time;
            self.proposals += 1;
            self.fruitless += 1;
            let place = proposal.place as usize;
            gone[place] |= self.judge(proposal, rows[place].as_ref());
            if self.is_done(target) {
                break;
            }
        }
        // From the highest index down, so that no index named here is moved by an earlier removal.
        let mut removals: Vec<(u32, u64)> =
            indices.iter().zip(&gone).filter(|(_, gone)| **gone).map(|(index, _)| *index).collect();
        removals.sort_unstable_by(|a, b| b.cmp(a));
        for (lane, index) in removals {
            self.lanes[lane as usize].remove(index);
        }
        Ok(())
    }

    fn plan(&mut self, total: f64, proposals: usize) -> (Vec<Proposal>, Vec<Address>, Vec<(u32, u64)>) {
        let mut sums = Vec::with_capacity(self.lanes.len());
        let mut sum = 0.0;
        for lane in &self.lanes {
            sum += lane.remaining as f64 * lane.bound;
            sums.push(sum);
        }
        let proposals = proposals.clamp(ROUND_MIN, ROUND_MAX);
        let mut plan = Vec::with_capacity(proposals);
        let mut addresses = Vec::with_capacity(proposals);
        let mut indices = Vec::with_capacity(proposals);
        let mut places: HashMap<(u32, u64), u32> = HashMap::with_capacity(proposals);
        let mut repeats = 0;
        let mut time = self.time;
        while plan.len() < proposals && repeats < ROUND_REPEATS_MAX {
            time += self.draws.exponential() / total;
            let x = self.draws.unit() * sum;
            let mut lane = sums.partition_point(|s| *s <= x).min(self.lanes.len() - 1);
            while self.lanes[lane].remaining == 0 {
                // Rounding alone can point at an empty lane; some lane is not empty, or total would be 0.
                lane = (lane + 1) % self.lanes.len();
            }
            let index = self.draws.below(self.lanes[lane].remaining);
            let coin = self.draws.unit();
            let place = match places.entry((lane as u32, index)) {
                Entry::Occupied(known) => {
                    repeats += 1;
                    *known.get()
                }
                Entry::Vacant(new) => {
                    addresses.push(self.lanes[lane].address(index));
                    indices.push((lane as u32, index));
                    *new.insert(addresses.len() as u32 - 1)
                }
            };
            plan.push(Proposal { time, lane: lane as u32, place, coin });
        }
        (plan, addresses, indices)
    }

    /// Accepts or rejects a proposal; true when it can never be accepted again.
    fn judge(&mut self, proposal: &Proposal, row: Option<&Row>) -> bool {
        let Some(row) = row else {
            return true;
        };
        if self.taken.contains(&row.id) {
            return true;
        }
        let lane = &self.lanes[proposal.lane as usize];
        let (from_background, bound, tier) = (lane.bucket.is_none(), lane.bound, lane.tier);
        let judged = self.judge_mass(row);
        let hard_mass = judged.unwrap_or(0.0);
        if from_background {
            // R shrank since the census, or is another generation: who is not in the R of the weights has no weight.
            if !self.field.background.contains(row.id) {
                *self.strangers.entry(lane.partition).or_insert(0) += 1;
                return true;
            }
            if let Some(reason) = self.field.filter.refuses(row) {
                self.wears_out |= reason == Reason::MaxServes;
                self.filtered.count(reason);
                return true;
            }
        } else {
            let moved_away = row.hard_key.and_then(|key| self.field.tiers.find(self.field.tiers.offset(key)))
                != Some(tier);
            if let Err(reason) = judged {
                self.filtered.count(reason);
                return true;
            }
            if !self.rare.is_empty() && self.rare.contains(&row.stratum) {
                return true;
            }
            if hard_mass <= 0.0 || moved_away {
                return true;
            }
            if proposal.coin * bound >= hard_mass {
                return false;
            }
        }
        self.accept(row, proposal.time, from_background, hard_mass);
        true
    }

    fn accept(&mut self, row: &Row, time: f64, from_background: bool, hard_mass: f64) {
        self.taken.insert(row.id);
        let own_mass = self.own_mass(row, hard_mass);
        let owed_to = self.owed_to(from_background, hard_mass, own_mass);
        let arrival = Arrival { row: *row, time, from_background, hard_mass, own_mass, owed_to };
        if let Some(quota) = self.quota.as_mut()
            && let Err(full) = quota.admit(row, time)
        {
            self.filtered.count(full.into());
            self.turned_away += u64::from(from_background);
            quota.remember(arrival);
            return;
        }
        self.fruitless = 0;
        self.arrivals.push(arrival);
    }
}
