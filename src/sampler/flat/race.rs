//! The exponential race, run as a thinned Poisson process (docs/methods.md 6.1 and 6.2).
//!
//! Every sample i arrives at T_i = E_i/r_i, with r_i = u_i, plus (c/p_s)/N if i is in R_s. The census bounds the rate of each bucket. A
//! proposal picks a bucket in proportion to its bound and a member uniformly, and accepts it with probability u_i over the bound. A member
//! that was accepted, or never can be, leaves its lane. Lanes are state of this request only: nothing changes in the store.
//!
//! Proposals are planned in rounds, each of which reads its rows in one call. Within a round lanes do not shrink: a sample that is proposed
//! twice is a repeat, which only advances the clock. A round ends early after a few repeats, so that one sample with nearly all the mass
//! costs only a few proposals. The ends of rounds are stopping times of the process, so they do not change its law.

mod lanes;
mod pass;
mod rates;
mod reserve;

use std::collections::VecDeque;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use super::background::{Background, is_overtaken};
use super::filter::Filter;
use super::mass::{Band, Mass};
use super::quota::Quota;
use super::tiers::Tiers;
use crate::model::error::PoolError;
use crate::model::filter_counts::FilterCounts;
use crate::sampler::rng::Draws;
use crate::store::{Address, Census, Row, ServePenalty, Source, Store, StratumCount};
use lanes::{Lane, Members, hard_lanes};

/// Minimum and maximum number of proposals in a round.
const ROUND_MIN: usize = 16;
const ROUND_MAX: usize = 4096;
/// A round ends after this number of repeats.
const ROUND_REPEATS_MAX: usize = 8;
/// Proposals and rows after which a race lets other tasks run: a store in memory never waits. It takes about half a millisecond.
const WORK_PER_YIELD: usize = 4096;
/// After this number of proposals per wanted sample, one pass over the store decides the remaining hard arrivals (docs/methods.md 6.2).
const PROPOSALS_PER_SAMPLE: u64 = 16;
/// Minimum number of proposals before that pass, for small batches.
const PROPOSALS_MIN: u64 = 1024;
/// A race with a quota gives up after this number of budgets of proposals without an admitted arrival, ..
const FRUITLESS_BUDGETS: u64 = 16;
/// .. or after the quota has rejected this number of members of the background, plus this number per wanted sample. Each rejected member
/// takes memory, and a background that is all of one full stratum would go on without end.
const TURNED_AWAY_MAX: u64 = 65_536;
const TURNED_AWAY_PER_SAMPLE: u64 = 4;

/// What one request draws from, and by which conditions.
pub(super) struct Field<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) census: &'a Census,
    pub(super) tiers: &'a Tiers,
    pub(super) background: &'a Background<'a>,
    pub(super) filter: &'a Filter<'a>,
    pub(super) penalty: ServePenalty,
    pub(super) scan_limit: usize,
    /// The stored strata, if the policy has limits on strata; otherwise empty.
    pub(super) strata: &'a [StratumCount],
}

/// A sample that has arrived, with its time.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) row: Row,
    pub(super) time: f64,
    /// Whether it was proposed as a member of the background.
    pub(super) from_background: bool,
    /// u_i.
    pub(super) hard_mass: f64,
    /// u_i by its own key. It is in H if this is above 0 (docs/methods.md 6.1).
    pub(super) own_mass: f64,
    /// The source that it owes its serve to. A hard sample may owe it to the background, if its key is high only because of earlier serves
    /// from there.
    pub(super) owed_to: Source,
}

struct Proposal {
    time: f64,
    lane: u32,
    /// Index into the addresses of the round.
    place: u32,
    coin: f64,
}

/// A race in progress.
pub(super) struct Race<'a> {
    field: &'a Field<'a>,
    mass: Option<&'a Mass>,
    draws: &'a mut Draws,
    lanes: Vec<Lane<'a>>,
    /// c. The rate of a member of the background is c times the share of the ids that it stands for.
    background_rate: f64,
    /// Masses below this count as 0 (docs/methods.md 6.1).
    cut: f64,
    time: f64,
    /// Proposals and rows since other tasks could run.
    work: usize,
    /// The admitted arrivals, in order of time.
    pub(super) arrivals: Vec<Arrival>,
    taken: HashSet<u64>,
    pub(super) proposals: u64,
    /// Number of background rows, by partition, that are not members of the R of the census.
    non_members: HashMap<u16, usize>,
    wanted: u64,
    /// Strata whose hard arrivals were all decided before the race began.
    rare: HashSet<u32>,
    /// Number of proposals that limits on strata justify before a pass over the store.
    patience: u64,
    /// The hard store is not proposed from any more: a pass decides its arrivals, or none are needed.
    passed: bool,
    /// Future hard arrivals that a pass over the store, or over rare strata, has decided, in order of time.
    scheduled: Option<VecDeque<(f64, Row, f64)>>,
    /// The pass found more arrivals than `scheduled` holds.
    schedule_cut: bool,
    /// The pass stopped at the scan limit.
    pub(super) approximate: bool,
    /// Limits on the arrivals that the batch admits.
    pub(super) quota: Option<Quota>,
    /// Proposals since the last admitted arrival.
    fruitless: u64,
    /// Members of the background that the quota rejected.
    turned_away: u64,
    /// Whether nothing was left to arrive.
    exhausted: bool,
    /// Whether hard samples below the cut may fill the batch.
    has_reserve: bool,
    /// When they began to: all that was in the race had arrived.
    reserve_from: Option<f64>,
    pub(super) filtered: FilterCounts,
}

impl<'a> Race<'a> {
    /// A race for about `wanted` arrivals. If `mass` is `None`, only the background takes part; if `c` is 0, only the hard store.
    pub(super) fn new(
        field: &'a Field<'a>,
        mass: Option<&'a Mass>,
        c: f64,
        cut: f64,
        wanted: usize,
        draws: &'a mut Draws,
    ) -> Self {
        let mut lanes = mass.map_or_else(Vec::new, |mass| hard_lanes(field, mass, cut));
        let background_rate = if field.background.size > 0.0 { c } else { 0.0 };
        if background_rate > 0.0 {
            for lane in field.background.lanes() {
                let members = Members::Background;
                let band = Band::Census(0);
                let bound = background_rate * lane.share;
                lanes.push(Lane::new(lane.partition, members, band, lane.members, bound));
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
            work: 0,
            arrivals: Vec::with_capacity(wanted + 1),
            taken: HashSet::with_capacity(wanted + 1),
            proposals: 0,
            non_members: HashMap::new(),
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
            exhausted: false,
            has_reserve: false,
            reserve_from: None,
            filtered: FilterCounts::default(),
        }
    }

    /// The same race, which admits only the arrivals that the quota allows.
    pub(super) fn within(mut self, quota: Option<Quota>) -> Self {
        self.quota = quota;
        self
    }

    /// Excludes samples that were chosen in another way.
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
            } else if !self.arrive_scheduled(f64::INFINITY, target).await
                && !self.schedule_cut
                && !self.open_reserve()
                && !self.relax()
            {
                self.exhausted = true;
                return Ok(());
            }
            // More hard samples were needed than the pass kept. The race is memoryless, so another pass may decide the arrivals from now
            // on.
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
            Some(quota) if quota.is_settled() || quota.is_spent() => true,
            Some(_) if gives_up => {
                self.approximate = true;
                true
            }
            Some(_) => false,
        }
    }

    /// Called when nothing is left to arrive: frees the reserved slots that cannot be filled, for arrivals that were rejected. Returns
    /// whether that admitted any.
    fn relax(&mut self) -> bool {
        let before = self.arrivals.len();
        if !self.quota.as_mut().is_some_and(Quota::relax) {
            return false;
        }
        self.deal_again();
        self.arrivals.len() > before
    }

    /// Admits arrivals anew after some were taken out, including those that the quota had rejected.
    pub(super) fn deal_again(&mut self) {
        if let Some(quota) = self.quota.as_mut() {
            self.arrivals = quota.deal_again(std::mem::take(&mut self.arrivals));
        }
    }

    /// The time until which the sample would have been admitted: min(tau, tau_A of its stratum and group). tau is the time of the arrival
    /// after the first `size`.
    pub(super) fn deadline(&self, row: &Row, size: usize) -> Option<f64> {
        let tau = self.arrivals.get(size).map(|arrival| arrival.time);
        match &self.quota {
            None => tau,
            // With reserved slots there is no arrival after the last admitted one, so tau is the present time.
            Some(quota) if quota.reserves() => {
                quota.deadline(row, tau.or((!self.exhausted).then_some(self.time)))
            }
            Some(quota) => quota.deadline(row, tau),
        }
    }

    /// Whether the background of some partition was replaced since the census: most rows at its addresses are not members of the counted R,
    /// so this race would draw too little from it.
    pub(super) fn is_overtaken(&self) -> bool {
        let members = |partition: u16| {
            let random = self.arrivals.iter().filter(|arrival| arrival.from_background);
            random
                .filter(|arrival| self.field.background.partition_number(arrival.row.id) == partition)
                .count()
        };
        self.non_members
            .iter()
            .any(|(partition, non_members)| is_overtaken(*non_members, members(*partition)))
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

    /// Lets other tasks run once enough was done since the last time.
    async fn worked(&mut self, rows: usize) {
        self.work += rows;
        if self.work >= WORK_PER_YIELD {
            self.work = 0;
            tokio::task::yield_now().await;
        }
    }

    /// Plans a round, reads its rows in one call and lets them arrive.
    async fn round(&mut self, total: f64, target: usize) -> Result<(), PoolError> {
        let missing = target - self.arrivals.len();
        // If few proposals are admitted, rounds grow, because each round costs a call.
        let proposals = (missing + missing / 8).max(self.fruitless as usize);
        let (plan, addresses, indices) = self.plan(total, proposals);
        let rows = self.field.store.fetch(&addresses).await?;
        self.worked(plan.len()).await;
        let mut gone = vec![false; addresses.len()];
        for proposal in &plan {
            self.arrive_scheduled(proposal.time, target).await;
            // After the end of an incomplete schedule the next hard arrivals are not known yet.
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
        // Indices are removed from the highest down, so that no removal moves an index that is still to be removed.
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
                // Rounding may point at an empty lane. Some lane is not empty, or `total` would be 0.
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

    /// Accepts or rejects a proposal. Returns whether its member leaves the lane, because it was accepted or never can be.
    fn judge(&mut self, proposal: &Proposal, row: Option<&Row>) -> bool {
        let Some(row) = row else {
            return true;
        };
        if self.taken.contains(&row.id) {
            return true;
        }
        let lane = &self.lanes[proposal.lane as usize];
        let (from_background, bound, band) = (lane.is_background(), lane.bound, lane.band);
        let judged = self.judge_mass(row);
        let hard_mass = judged.unwrap_or(0.0);
        if from_background {
            // R has shrunk since the census, or another generation serves. A row that is not in the R of the census has no weight.
            if !self.field.background.contains(row.id) {
                *self.non_members.entry(lane.partition).or_insert(0) += 1;
                return true;
            }
            if let Some(reason) = self.field.filter.refuses(row) {
                self.filtered.count(reason);
                return true;
            }
        } else {
            let now = self.mass.and_then(|mass| mass.band(row, self.field.tiers));
            let moved_away = now.is_none_or(|(now, _)| now != band);
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
