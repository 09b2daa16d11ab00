//! The draw of one anchor: the race between its eligible negatives and the background (docs/methods.md 10.4).
//!
//! Every eligible negative arrives at T_i = E_i / r_i, r_i = u_i + rho 1[i in R], every other member of R at rate rho = c/|R|;
//! the first k arrivals are the answer and arrival k + 1 gives tau: pi_i = 1 - exp(-r_i min(tau, tau of i's group)).
//!
//! Once too many members of the background came in vain it is cut off, and the race goes on with the anchor's own. Who is
//! chosen makes no difference to when that is, so that pi_i = 1 - exp(-u_i tau - rho min(tau, cut)).
//!
//! Masses, and the times they arrive at, are logarithms: at a high dimension or exponent one f64 reaches from no mass to the next.

use crate::model::batch::Source;
use crate::model::negative_policy::NegativeStrategy;
use crate::model::policy::Shortfall;
use crate::sampler::anchored::arrivals::{Arrival, Arrivals};
use crate::sampler::anchored::draw_budget::{Tally, vain_of_draw};
use crate::sampler::anchored::filter::{Filter, View};
use crate::sampler::anchored::members::{Member, Members};
use crate::sampler::anchored::split_counts::{random_of_top, wanted_of_short};
use crate::sampler::anchored::strategy::Scene;
use crate::sampler::mixture::{Point, background_rate};
use crate::sampler::rng::Draws;
use crate::sampler::weights::inclusion_probability;

/// ln of the smallest mass that the background's rate is found with.
const LN_MASS_MIN: f64 = -690.0;
/// Members asked for in one read: one for so many that came in vain, at least.
const VAIN_PER_LOOK: usize = 4;

/// A negative that was chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pick {
    pub(crate) id: u64,
    /// Its place among the anchor's own negatives, if it is one.
    pub(crate) own: Option<usize>,
    pub(crate) source: Source,
    /// Once its phase has ended.
    pub(crate) inclusion: f64,
    rate: Rate,
    group: u64,
}

/// r_i in its two parts.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    /// ln u_i; -inf: it could come from the background alone.
    ln_mass: f64,
    /// rho, or 0.
    background: f64,
}

impl Rate {
    const NONE: Self = Self { ln_mass: f64::NEG_INFINITY, background: 0.0 };

    /// 1 - exp(-u_i tau - rho min(tau, cut)); `ln_tau` is inf where nothing was left to arrive, `cut` where there was none.
    fn inclusion(self, ln_tau: f64, cut: f64) -> f64 {
        // No part of rate 0 may meet an infinite time.
        let own = if self.ln_mass == f64::NEG_INFINITY { 0.0 } else { (self.ln_mass + ln_tau).exp() };
        let background = if self.background == 0.0 { 0.0 } else { self.background * ln_tau.exp().min(cut) };
        inclusion_probability(own + background, Some(1.0))
    }
}

/// An eligible negative of the anchor.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    at: usize,
    ln_mass: f64,
    ln_time: f64,
    arrived: bool,
}

/// What of a group has come.
#[derive(Clone, Copy, Debug)]
struct Group {
    group: u64,
    count: u32,
    /// The first arrival that was turned away because the group was full: inf before there is any.
    ln_tau: f64,
}

/// What a member of the background turned out to be.
enum Judged {
    /// May be served; as which candidate, if it is one of the anchor's own negatives, whose score then tells.
    Comes(Member, Option<usize>),
    /// One of the anchor's own, which has come already.
    CameBefore,
    /// May not be served, or is gone.
    TurnedAway,
}

/// Whether a draw can go on.
#[derive(Debug, PartialEq)]
pub(crate) enum Progress {
    /// It has ended.
    Done,
    /// It needs these members of the background.
    Needs(Vec<u64>),
}

/// The draw of one anchor.
pub(crate) struct Draw<'a> {
    pub(crate) view: View<'a>,
    draws: Draws,
    /// In order of time; in order of hardness where the strategy does not draw.
    candidates: Vec<Candidate>,
    next: usize,
    /// Negatives wanted, after what SHORT made of it.
    wanted: usize,
    /// Eligible negatives, as far as group caps let them in together.
    pub(crate) eligible: usize,
    pub(crate) picks: Vec<Pick>,
    /// Where the phase at work begins.
    phase: usize,
    groups: Vec<Group>,
    background: Option<Arrivals>,
    /// Members of the background that came in vain and may still.
    vain: u64,
    vain_left: u64,
    /// Too many did: no more come.
    pub(crate) is_cut: bool,
    is_filling: bool,
    is_done: bool,
}

impl<'a> Draw<'a> {
    /// A draw of `wanted` negatives. `random_fraction` is the policy's, or 0 where there is no background.
    pub(crate) fn new(
        view: View<'a>,
        scene: &Scene,
        filter: &Filter<'_>,
        members: &Members<'_>,
        wanted: usize,
        seed: u64,
        tally: &mut Tally,
    ) -> Self {
        let eligible = filter.eligible(&view, scene, &mut tally.filtered);
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
            vain: 0,
            vain_left: vain_of_draw(wanted),
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
            draw.take_hardest(&eligible, share, filter, members, tally);
        } else {
            draw.start_race(&eligible, share, scene, filter, members);
        }
        draw
    }

    /// How many of these the caps let in together.
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

    /// TOP: the hardest at once; the background's share, if any, is drawn after it (docs/methods.md 10.4).
    fn take_hardest(
        &mut self,
        eligible: &[usize],
        share: f64,
        filter: &Filter<'_>,
        members: &Members<'_>,
        tally: &mut Tally,
    ) {
        let random = random_of_top(share, self.wanted);
        let hard = self.wanted - random;
        for &at in eligible {
            let group = self.group_of(Some(at), 0, filter);
            let is_wanted = self.picks.len() < hard;
            let is_full = self.is_full(group, filter.policy.max_per_group);
            tally.filtered.group += u64::from(is_wanted && is_full);
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
        // What is not taken now may still come from the background.
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
            // At random_fraction 1 nothing is hard (docs/methods.md 6.1).
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

    /// Goes on as far as the members that were read allow.
    pub(crate) fn run(&mut self, filter: &Filter<'_>, members: &Members<'_>, tally: &mut Tally) -> Progress {
        // Asked again while other anchors go on.
        while !self.is_done && self.wanted > 0 {
            match self.race(filter, members, tally) {
                Ok(ln_tau) => self.end_phase(ln_tau),
                Err(needed) => return Progress::Needs(needed),
            }
            let fills = filter.policy.shortfall == Shortfall::Fill
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
        // Others are not done yet, and there may be many.
        self.background = None;
        Progress::Done
    }

    /// Runs to the arrival after the last one wanted, the ln of whose time it returns: inf when nothing is left to arrive.
    ///
    /// # Errors
    /// Members that must be read first.
    fn race(
        &mut self,
        filter: &Filter<'_>,
        members: &Members<'_>,
        tally: &mut Tally,
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
                    tally.steps += 1;
                    (ln_time, self.view.negatives[self.candidates[own].at].id, Some(own), Source::Hard, 0)
                }
                (_, Some(Arrival { ln_time, number, .. })) => {
                    let Some(member) = members.get(number) else {
                        return Err(self.members_ahead());
                    };
                    if let Some(background) = &mut self.background {
                        background.pop();
                    }
                    tally.steps += 1;
                    match self.judge(member, filter, tally) {
                        Judged::Comes(member, own) => {
                            (ln_time, member.id, own, Source::Background, member.group)
                        }
                        Judged::CameBefore => continue,
                        Judged::TurnedAway => {
                            self.comes_in_vain(tally);
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
                tally.filtered.group += 1;
                self.turn_away(group, ln_time);
                if source == Source::Background {
                    self.comes_in_vain(tally);
                }
                continue;
            }
            if self.picks.len() >= self.wanted {
                return Ok(ln_time);
            }
            tally.filtered.unscored_passed += u64::from(own.is_none() && filter.policy.looks_at_scores());
            let rate = self.rate(id, own, members);
            self.pick(id, at, source, rate, group);
        }
    }

    /// Whether a member of the background may be served (`None`: it is gone).
    fn judge(&self, member: Option<Member>, filter: &Filter<'_>, tally: &mut Tally) -> Judged {
        let Some(member) = member else {
            return Judged::TurnedAway;
        };
        let Some(at) = self.view.negatives.iter().position(|n| n.id == member.id) else {
            return match filter.admits(&self.view, member.id, &mut tally.filtered) {
                true => Judged::Comes(member, None),
                false => Judged::TurnedAway,
            };
        };
        // Those that are not eligible have been counted.
        match self.candidates.iter().position(|c| c.at == at) {
            Some(own) if self.candidates[own].arrived => Judged::CameBefore,
            Some(own) => Judged::Comes(member, Some(own)),
            None => Judged::TurnedAway,
        }
    }

    /// A member of the background found no place: once too many have, no more may come.
    fn comes_in_vain(&mut self, tally: &mut Tally) {
        self.vain += 1;
        self.vain_left -= 1;
        tally.vain_left = tally.vain_left.saturating_sub(1);
        if let Some(background) = &mut self.background
            && (self.vain_left == 0 || tally.vain_left == 0)
        {
            background.cut_off();
            self.is_cut = true;
        }
    }

    /// The members that the race will ask for next, about.
    fn members_ahead(&mut self) -> Vec<u64> {
        let missing = self.wanted + 1 - self.picks.len().min(self.wanted);
        // Where most come in vain, each read takes more of them.
        let ahead = missing.max(self.vain as usize / VAIN_PER_LOOK);
        let left = self.candidates.iter().skip(self.next).filter(|c| !c.arrived && c.ln_time < f64::INFINITY);
        let own = left.map(|c| c.ln_time.exp());
        let draws = &mut self.draws;
        self.background.as_mut().map_or_else(Vec::new, |b| b.look_ahead(ahead, own, draws).collect())
    }

    /// r_i of docs/methods.md 10.4.
    fn rate(&self, id: u64, own: Option<usize>, members: &Members<'_>) -> Rate {
        let background = self.background.as_ref().map_or(0.0, |b| b.rate);
        // What the race began with is over when the background fills.
        let ln_mass =
            own.filter(|_| !self.is_filling).map_or(f64::NEG_INFINITY, |own| self.candidates[own].ln_mass);
        let is_member = own.is_none() || (background > 0.0 && members.background.contains(id));
        Rate { ln_mass, background: if is_member { background } else { 0.0 } }
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

    /// The group that counts against the caps: 0 where there are none.
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

    /// Weighs what this phase chose (docs/methods.md 10.4).
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
