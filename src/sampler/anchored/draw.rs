//! The draw of one anchor: the race between its eligible negatives and the background (docs/methods.md 10.4).
//!
//! Every eligible negative arrives at T_i = E_i / r_i with r_i = u_i + rho 1[i in R], and every other member of R at the rate rho = c/|R|.
//! The first k arrivals are the answer, and arrival k + 1 gives tau, from which [`Rate`] computes the inclusion probabilities.
//!
//! Once the draw has rejected too many members of the background, the background is cut off, and the race goes on with the negatives of the
//! anchor. The time of the cut does not depend on which candidates are chosen, so the probabilities stay exact.
//!
//! Masses and arrival times are kept as logarithms, because at a high dimension or exponent neighbouring masses may differ by more than the
//! range of f64.

use crate::model::batch::Source;
use crate::model::negative_policy::{NegativePolicy, NegativeStrategy};
use crate::model::policy::Shortfall;
use crate::sampler::anchored::arrivals::{Arrival, Arrivals};
use crate::sampler::anchored::draw_budget::{DrawBudget, rejections_of_draw};
use crate::sampler::anchored::filter::{Filter, View};
use crate::sampler::anchored::members::{Member, Members};
use crate::sampler::anchored::rate::Rate;
use crate::sampler::anchored::split_counts::{hard_wanted, random_of_top, wanted_of_short};
use crate::sampler::anchored::strategy::Scene;
use crate::sampler::mixture::{Point, background_rate};
use crate::sampler::rng::Draws;

/// ln of the smallest mass used when solving for the rate of the background.
const LN_MASS_MIN: f64 = -690.0;
/// After v rejected members, a read asks for at least v divided by this.
const REJECTIONS_PER_READ: usize = 4;

/// A chosen negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pick {
    pub(crate) id: u64,
    /// Its index in the negatives of the anchor, if it is one of them.
    pub(crate) own: Option<usize>,
    pub(crate) source: Source,
    /// Inclusion probability; it is set when the phase of the draw ends.
    pub(crate) inclusion: f64,
    rate: Rate,
    group: u64,
}

/// An eligible negative of the anchor.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    at: usize,
    ln_mass: f64,
    ln_time: f64,
    arrived: bool,
}

/// The state of a group in the draw.
#[derive(Clone, Copy, Debug)]
struct Group {
    group: u64,
    count: u32,
    /// ln of the time of the first arrival that was rejected because the group was full; infinite before there is one.
    ln_tau: f64,
}

/// The result of judging a member of the background that arrives.
enum Judged {
    /// It may be served; as this candidate, with its score, if it is one of the negatives of the anchor.
    Comes(Member, Option<usize>),
    /// It is a negative of the anchor that has arrived before.
    CameBefore,
    /// It may not be served, or it is gone.
    TurnedAway,
}

/// Whether a draw can continue.
#[derive(Debug, PartialEq)]
pub(crate) enum Progress {
    /// The draw has ended.
    Done,
    /// It needs these members of the background, by number.
    Needs(Vec<u64>),
}

/// The draw of one anchor.
pub(crate) struct Draw<'a> {
    pub(crate) view: View<'a>,
    draws: Draws,
    /// Candidates in order of time, or in order of hardness for TOP.
    candidates: Vec<Candidate>,
    next: usize,
    /// Number of negatives wanted, as SHORT may have reduced it.
    wanted: usize,
    /// Number of eligible negatives that group caps admit together.
    pub(crate) eligible: usize,
    pub(crate) picks: Vec<Pick>,
    /// Index of the first pick of the present phase.
    phase: usize,
    groups: Vec<Group>,
    background: Option<Arrivals>,
    /// Members of the background that the draw has rejected.
    rejections: u64,
    /// Members that it may still reject.
    rejections_left: u64,
    /// Whether the background was cut off, because too many of its members were rejected.
    pub(crate) is_cut: bool,
    is_filling: bool,
    is_done: bool,
}

impl<'a> Draw<'a> {
    /// A draw of `wanted` negatives. If the background is empty, the random fraction of the policy is taken as 0.
    pub(crate) fn new(
        view: View<'a>,
        scene: &Scene,
        filter: &Filter<'_>,
        members: &Members<'_>,
        wanted: usize,
        seed: u64,
        budget: &mut DrawBudget,
    ) -> Self {
        let eligible = filter.eligible(&view, scene, &mut budget.filtered);
        let mut draw = Self {
            view,
            draws: Draws::new(seed),
            candidates: Vec::new(),
            next: 0,
            wanted,
            eligible: 0,
            picks: Vec::with_capacity(wanted),
            phase: 0,
            groups: Vec::new(),
            background: None,
            rejections: 0,
            rejections_left: rejections_of_draw(wanted),
            is_cut: false,
            is_filling: false,
            is_done: false,
        };
        draw.eligible = draw.within_caps(&eligible, filter.policy.max_per_group);
        let share = if members.total > 0 { filter.policy.random_fraction } else { 0.0 };
        if filter.policy.shortfall == Shortfall::Short {
            draw.wanted = wanted_of_short(filter.policy, wanted, draw.eligible);
        }
        if filter.policy.strategy == NegativeStrategy::Top {
            draw.take_hardest(&eligible, share, filter, members, budget);
        } else {
            draw.start_race(&eligible, share, scene, filter, members);
        }
        draw
    }

    /// How many eligible negatives of its own the anchor lacks for the share that the policy takes from them.
    pub(crate) fn lacking(&self, policy: &NegativePolicy) -> usize {
        hard_wanted(policy, self.wanted).saturating_sub(self.eligible)
    }

    /// The number of these negatives that group caps admit together.
    fn within_caps(&self, eligible: &[usize], max_per_group: u32) -> usize {
        if max_per_group == 0 {
            return eligible.len();
        }
        let mut groups: Vec<u64> = eligible.iter().map(|at| self.view.group(*at)).collect();
        groups.sort_unstable();
        groups
            .chunk_by(|a, b| a == b)
            .map(|same| if same[0] == 0 { same.len() } else { same.len().min(max_per_group as usize) })
            .sum()
    }

    /// TOP: takes the hardest negatives at once. The share of the background, if any, is drawn afterwards (docs/methods.md 10.4).
    fn take_hardest(
        &mut self,
        eligible: &[usize],
        share: f64,
        filter: &Filter<'_>,
        members: &Members<'_>,
        budget: &mut DrawBudget,
    ) {
        let random = random_of_top(share, self.wanted);
        let hard = self.wanted - random;
        for &at in eligible {
            let group = self.group_of(Some(at), 0, filter);
            let is_wanted = self.picks.len() < hard;
            let is_full = self.is_full(group, filter.policy.max_per_group);
            budget.filtered.group += u64::from(is_wanted && is_full);
            let arrived = is_wanted && !is_full;
            if arrived {
                self.pick(self.view.negatives[at].id, Some(at), Source::Hard, Rate::NONE, group);
            }
            self.candidates.push(Candidate {
                at,
                ln_mass: f64::NEG_INFINITY,
                ln_time: f64::INFINITY,
                arrived,
            });
        }
        self.phase = self.picks.len();
        // A candidate that is not taken now may still arrive from the background.
        self.next = self.candidates.len();
        if random > 0 {
            self.background = Some(Arrivals::new(1.0 / members.background.size, members.total));
        }
    }

    fn start_race(
        &mut self,
        eligible: &[usize],
        share: f64,
        scene: &Scene,
        filter: &Filter<'_>,
        members: &Members<'_>,
    ) {
        let ln_mass = |at: usize| filter.strategy.ln_mass(&self.view.negatives[at], scene).unwrap_or(0.0);
        let ln_masses: Vec<f64> = eligible.iter().map(|at| ln_mass(*at)).collect();
        let highest = ln_masses.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (&at, ln_mass) in eligible.iter().zip(ln_masses) {
            // At random_fraction 1 no negative takes part as a hard one (docs/methods.md 6.1).
            let ln_mass = if share < 1.0 { ln_mass - highest } else { f64::NEG_INFINITY };
            let ln_time = if share < 1.0 { self.draws.exponential().ln() - ln_mass } else { f64::INFINITY };
            self.candidates.push(Candidate { at, ln_mass, ln_time, arrived: false });
        }
        self.candidates.sort_by(|a, b| a.ln_time.total_cmp(&b.ln_time));
        if share > 0.0 {
            let mass = |c: &Candidate| if share < 1.0 { c.ln_mass.max(LN_MASS_MIN).exp() } else { 0.0 };
            let points: Vec<Point> =
                self.candidates.iter().map(|c| Point { weight: 1.0, mass: mass(c) }).collect();
            let size = members.background.size;
            let c = background_rate(&points, self.wanted as f64, share, size);
            self.background = Some(Arrivals::new(c / size, members.total));
        }
    }

    /// Continues until the draw ends or needs members that have not been read.
    pub(crate) fn run(
        &mut self,
        filter: &Filter<'_>,
        members: &Members<'_>,
        budget: &mut DrawBudget,
    ) -> Progress {
        // A draw that has ended may be called again while the draws of other anchors continue.
        while !self.is_done && self.wanted > 0 {
            match self.race(filter, members, budget) {
                Ok(ln_tau) => self.end_phase(ln_tau),
                Err(needed) => return Progress::Needs(needed),
            }
            let fills = filter.policy.shortfall == Shortfall::Fill
                && filter.policy.admits_unscored()
                && self.picks.len() < self.wanted
                && self.background.is_none()
                && members.total > 0;
            if !fills {
                break;
            }
            self.next = self.candidates.len();
            self.is_filling = true;
            self.background = Some(Arrivals::new(1.0 / members.background.size, members.total));
        }
        self.is_done = true;
        // The memory of the arrivals is freed now, because the draws of many other anchors may still run.
        self.background = None;
        Progress::Done
    }

    /// Runs to the arrival after the last one wanted, and returns ln of its time; infinite if nothing is left to arrive.
    ///
    /// # Errors
    /// The numbers of members that must be read first.
    fn race(
        &mut self,
        filter: &Filter<'_>,
        members: &Members<'_>,
        budget: &mut DrawBudget,
    ) -> Result<f64, Vec<u64>> {
        loop {
            while self.candidates.get(self.next).is_some_and(|c| c.arrived || c.ln_time == f64::INFINITY) {
                self.next += 1;
            }
            let hard = self.candidates.get(self.next).map(|c| c.ln_time);
            let random = self.background.as_mut().and_then(|b| b.peek(&mut self.draws));
            let (ln_time, id, own, source, stranger_group) = match (hard, random) {
                (Some(ln_time), random) if random.is_none_or(|next| ln_time <= next.ln_time) => {
                    let own = self.next;
                    self.next += 1;
                    budget.steps += 1;
                    (ln_time, self.view.negatives[self.candidates[own].at].id, Some(own), Source::Hard, 0)
                }
                (_, Some(Arrival { ln_time, number, .. })) => {
                    let Some(member) = members.get(number) else {
                        return Err(self.members_ahead());
                    };
                    if let Some(background) = &mut self.background {
                        background.pop();
                    }
                    budget.steps += 1;
                    match self.judge(member, filter, budget) {
                        Judged::Comes(member, own) => {
                            (ln_time, member.id, own, Source::Background, member.group)
                        }
                        Judged::CameBefore => continue,
                        Judged::TurnedAway => {
                            self.reject(budget);
                            continue;
                        }
                    }
                }
                (_, None) => return Ok(f64::INFINITY),
            };
            if let Some(own) = own {
                self.candidates[own].arrived = true;
            }
            let at = own.map(|own| self.candidates[own].at);
            let group = self.group_of(at, stranger_group, filter);
            if self.is_full(group, filter.policy.max_per_group) {
                budget.filtered.group += 1;
                self.turn_away(group, ln_time);
                if source == Source::Background {
                    self.reject(budget);
                }
                continue;
            }
            if self.picks.len() >= self.wanted {
                return Ok(ln_time);
            }
            budget.filtered.unscored_passed += u64::from(own.is_none() && filter.policy.needs_report());
            let rate = self.rate(id, own, members);
            self.pick(id, at, source, rate, group);
        }
    }

    /// Judges a member of the background that arrives; `None`: it is gone.
    fn judge(&self, member: Option<Member>, filter: &Filter<'_>, budget: &mut DrawBudget) -> Judged {
        let Some(member) = member else {
            return Judged::TurnedAway;
        };
        let Some(at) = self.view.negatives.iter().position(|n| n.id == member.id) else {
            return match filter.admits(&self.view, member.id, member.label, &mut budget.filtered) {
                true => Judged::Comes(member, None),
                false => Judged::TurnedAway,
            };
        };
        // The refusals of ineligible negatives have been counted before.
        match self.candidates.iter().position(|c| c.at == at) {
            Some(own) if self.candidates[own].arrived => Judged::CameBefore,
            Some(own) => Judged::Comes(member, Some(own)),
            None => Judged::TurnedAway,
        }
    }

    /// Counts a rejected member of the background, and cuts the background off once there are too many.
    fn reject(&mut self, budget: &mut DrawBudget) {
        self.rejections += 1;
        self.rejections_left -= 1;
        budget.rejections_left = budget.rejections_left.saturating_sub(1);
        if let Some(background) = &mut self.background
            && (self.rejections_left == 0 || budget.rejections_left == 0)
        {
            background.cut_off();
            self.is_cut = true;
        }
    }

    /// About the members that the race will need next.
    fn members_ahead(&mut self) -> Vec<u64> {
        let missing = self.wanted + 1 - self.picks.len().min(self.wanted);
        // If most members are rejected, each read takes more of them.
        let ahead = missing.max(self.rejections as usize / REJECTIONS_PER_READ);
        let left = self.candidates.iter().skip(self.next).filter(|c| !c.arrived && c.ln_time < f64::INFINITY);
        let own = left.map(|c| c.ln_time.exp());
        let draws = &mut self.draws;
        self.background.as_mut().map_or_else(Vec::new, |b| b.look_ahead(ahead, own, draws).collect())
    }

    /// The parts of r_i (docs/methods.md 10.4).
    fn rate(&self, id: u64, own: Option<usize>, members: &Members<'_>) -> Rate {
        let background = self.background.as_ref().map_or(0.0, |b| b.rate);
        // When the background fills, the race of the hard negatives is over, so only the background counts.
        let ln_mass =
            own.filter(|_| !self.is_filling).map_or(f64::NEG_INFINITY, |own| self.candidates[own].ln_mass);
        Rate { ln_mass, background, membership: members.background.probability(id) }
    }

    fn pick(&mut self, id: u64, own: Option<usize>, source: Source, rate: Rate, group: u64) {
        if group != 0 {
            match self.groups.iter_mut().find(|g| g.group == group) {
                Some(known) => known.count += 1,
                None => self.groups.push(Group { group, count: 1, ln_tau: f64::INFINITY }),
            }
        }
        self.picks.push(Pick { id, own, source, inclusion: 1.0, rate, group });
    }

    /// The group that counts against the caps; 0 if there is none, or the policy has no caps.
    fn group_of(&self, own: Option<usize>, otherwise: u64, filter: &Filter<'_>) -> u64 {
        match own {
            _ if filter.policy.max_per_group == 0 => 0,
            Some(at) => self.view.group(at),
            None => otherwise,
        }
    }

    fn is_full(&self, group: u64, max_per_group: u32) -> bool {
        max_per_group > 0
            && group != 0
            && self.groups.iter().any(|g| g.group == group && g.count >= max_per_group)
    }

    fn turn_away(&mut self, group: u64, ln_time: f64) {
        if let Some(full) = self.groups.iter_mut().find(|g| g.group == group) {
            full.ln_tau = full.ln_tau.min(ln_time);
        }
    }

    /// Sets the inclusion probabilities of what this phase chose (docs/methods.md 10.4).
    fn end_phase(&mut self, ln_tau: f64) {
        let cut = self.background.as_ref().map_or(f64::INFINITY, |b| b.cut);
        for pick in &mut self.picks[self.phase..] {
            let of_group = self.groups.iter().find(|g| g.group == pick.group);
            pick.inclusion = pick.rate.inclusion(of_group.map_or(ln_tau, |g| ln_tau.min(g.ln_tau)), cut);
        }
        self.phase = self.picks.len();
        self.groups.iter_mut().for_each(|g| g.ln_tau = f64::INFINITY);
    }
}
