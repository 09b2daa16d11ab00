//! The arrivals of the members of the background: each member arrives once, after an exponential time, all at the same rate.
//!
//! It runs as a Poisson process over the members that are left, with a sparse Fisher-Yates shuffle. So time and memory grow with the number
//! of arrivals, not with the size of the background.

use hashbrown::HashMap;
use std::collections::VecDeque;

use crate::sampler::rng::Draws;

/// The arrivals of the members 0..total in the draw of one anchor.
#[derive(Debug)]
pub(crate) struct Arrivals {
    /// The rate of each member.
    pub(crate) rate: f64,
    total: u64,
    drawn: u64,
    clock: f64,
    /// The time of the last arrival that was taken.
    taken: f64,
    /// The time after which nothing arrives; infinite until [`Self::cut_off`].
    pub(crate) cut: f64,
    /// The swapped indices of the shuffle.
    swapped: HashMap<u64, u64>,
    /// Arrivals that were drawn and not yet taken.
    ahead: VecDeque<Arrival>,
}

/// An arrival of a member of the background.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    time: f64,
    pub(crate) ln_time: f64,
    /// Number of the member.
    pub(crate) number: u64,
}

impl Arrivals {
    pub(crate) fn new(rate: f64, total: u64) -> Self {
        Self {
            rate,
            total,
            drawn: 0,
            clock: 0.0,
            taken: 0.0,
            cut: f64::INFINITY,
            swapped: HashMap::new(),
            ahead: VecDeque::new(),
        }
    }

    /// The next arrival, which stays in place; `None`: all members have arrived.
    pub(crate) fn peek(&mut self, draws: &mut Draws) -> Option<Arrival> {
        if self.ahead.is_empty() {
            self.draw(draws);
        }
        self.ahead.front().copied()
    }

    /// Takes the next arrival.
    pub(crate) fn pop(&mut self) {
        if let Some(arrival) = self.ahead.pop_front() {
            self.taken = arrival.time;
        }
    }

    /// Ends the arrivals after the last one that was taken.
    pub(crate) fn cut_off(&mut self) {
        *self = Self { cut: self.taken, ..Self::new(self.rate, 0) };
    }

    /// The member numbers of the next arrivals: as many as the race may need to get `n` more arrivals, and at least one. `own` are the
    /// times of the anchor's own candidates, in order; those before the last returned arrival count towards `n`.
    pub(crate) fn look_ahead(
        &mut self,
        n: usize,
        own: impl Iterator<Item = f64>,
        draws: &mut Draws,
    ) -> impl Iterator<Item = u64> + '_ {
        let (mut own, mut before) = (own.peekable(), 0);
        loop {
            while own.next_if(|time| *time < self.clock).is_some() {
                before += 1;
            }
            let enough = !self.ahead.is_empty() && self.ahead.len() + before >= n;
            if enough || !self.draw(draws) {
                break;
            }
        }
        self.ahead.iter().map(|arrival| arrival.number)
    }

    fn draw(&mut self, draws: &mut Draws) -> bool {
        let left = self.total - self.drawn;
        if left == 0 {
            return false;
        }
        self.clock += draws.exponential() / (self.rate * left as f64);
        let place = self.drawn + draws.below(left);
        let number = self.swapped.get(&place).copied().unwrap_or(place);
        let first = self.swapped.remove(&self.drawn).unwrap_or(self.drawn);
        if place != self.drawn {
            self.swapped.insert(place, first);
        }
        self.drawn += 1;
        self.ahead.push_back(Arrival { time: self.clock, ln_time: self.clock.ln(), number });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_arrives_once() {
        let mut draws = Draws::new(1);
        let mut arrivals = Arrivals::new(0.5, 100);
        let mut seen = Vec::new();
        let mut before = 0.0;
        while let Some(Arrival { time, number, .. }) = arrivals.peek(&mut draws) {
            assert!(time > before);
            before = time;
            seen.push(number);
            arrivals.pop();
        }
        assert_ne!(seen, (0..100).collect::<Vec<_>>());
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn look_ahead_returns_as_many_arrivals_as_the_race_can_need() {
        let mut draws = Draws::new(1);
        let mut arrivals = Arrivals::new(1.0, 100);
        assert_eq!(
            arrivals.look_ahead(9, std::iter::repeat_n(0.0, 9), &mut draws).count(),
            1,
            "at least the next arrival"
        );
        let next = arrivals.ahead[0].time;
        // Three candidates come before the first arrival, one after all arrivals.
        let own = [0.0, 0.0, 0.0, f64::MAX].into_iter();
        assert_eq!(arrivals.look_ahead(9, own, &mut draws).count(), 6);
        assert_eq!(arrivals.ahead[0].time, next);
        assert_eq!(arrivals.look_ahead(500, std::iter::empty(), &mut draws).count(), 100, "all members");
    }

    /// The limits are at z of 5: a right formula fails under one seed in a million.
    #[test]
    fn members_arrive_uniformly_at_their_rate() {
        let (n, runs) = (10u64, 20_000);
        let mut firsts = vec![0.0; n as usize];
        let (mut sum, mut squares) = (0.0, 0.0);
        for seed in 0..runs {
            let mut draws = Draws::new(seed);
            let mut arrivals = Arrivals::new(2.0, n);
            let mut third = 0.0;
            for i in 0..3 {
                let Arrival { time, number, .. } = arrivals.peek(&mut draws).unwrap();
                firsts[number as usize] += f64::from(u8::from(i == 2));
                third = time;
                arrivals.pop();
            }
            sum += third;
            squares += third * third;
        }
        let runs = runs as f64;
        let expected = 1.0 / 20.0 + 1.0 / 18.0 + 1.0 / 16.0;
        let error = ((squares / runs - (sum / runs).powi(2)) / runs).sqrt();
        assert!((sum / runs - expected).abs() < 5.0 * error, "{} not {expected}", sum / runs);
        let chi2: f64 = firsts.iter().map(|c| (c - runs / 10.0).powi(2) / (runs / 10.0)).sum();
        assert!(chi2 < 45.1, "{chi2} is over the upper 1e-6 quantile at 9 degrees of freedom");
    }
}
