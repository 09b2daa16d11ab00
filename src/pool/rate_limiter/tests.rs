#![allow(clippy::unwrap_used, reason = "tests")]

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::permits::Permits;

const RATIO: f64 = 1.5;
const BUFFER: f64 = 20.0;

fn flow() -> Flow {
    Flow {
        mined_per_reported: RATIO,
        error_buffer: BUFFER,
        min_reported: 1,
        max_wait: Duration::from_secs(60),
    }
}

type Call<'a> = Pin<Box<dyn Future<Output = FlowPermit> + 'a>>;

/// A world of one thread, in which the test decides who is polled.
struct World<'a> {
    limiter: &'a Arc<RateLimiter>,
    closed: &'a CancellationToken,
    permits: Permits,
    counter: &'a AtomicU64,
    /// Those who wait, in order of arrival.
    waiting: Vec<(Side, u64, Call<'a>)>,
    /// Those who are at work, with what they reserved.
    working: Vec<(Side, u64, FlowPermit)>,
    reported: u64,
    mined: u64,
    /// Samples that count as mined, and were not.
    made_up: u64,
}

impl<'a> World<'a> {
    /// What the partitions of a pool would say: the first row, which is not in the balance, as well.
    fn sums(&self) -> Sums {
        Sums { reported: 1 + self.reported, mined: self.mined }
    }

    fn call(&self, side: Side, samples: u64) -> Call<'a> {
        let (limiter, closed, permits, counter) =
            (self.limiter, self.closed, self.permits.clone(), self.counter);
        let deadline = Instant::now() + Duration::from_secs(3600);
        Box::pin(async move {
            let permit = || Ok(permits.try_take().unwrap());
            let told = Told { waits: counter, timeouts: counter };
            match side {
                Side::Report => limiter.report(samples, deadline, (closed, "p"), permit, told).await.unwrap(),
                Side::Mine => limiter.mine(samples, deadline, (closed, "p"), permit, told).await.unwrap().0,
            }
        })
    }

    /// Polls everybody who waits; who passes must not pass by another of its side.
    fn poll(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut blocked: Vec<Side> = Vec::new();
        let mut still = Vec::new();
        for (side, samples, mut call) in std::mem::take(&mut self.waiting) {
            match call.as_mut().poll(&mut context) {
                Poll::Ready(permit) => {
                    assert!(!blocked.contains(&side), "{samples} passed by another {side:?}");
                    self.working.push((side, samples, permit));
                }
                Poll::Pending => {
                    blocked.push(side);
                    still.push((side, samples, call));
                }
            }
        }
        self.waiting = still;
    }

    /// What a mine that missed so many samples counts beyond those it got: as many as the first waiting report lacks.
    fn made_up(&self, missing: u64, done: u64) -> u64 {
        let Some((_, first, _)) = self.waiting.iter().find(|w| w.0 == Side::Report) else { return 0 };
        let under_way: u64 = self.working.iter().filter(|w| w.0 == Side::Report).map(|w| w.1).sum();
        let balance = self.reported as f64 * RATIO - (self.mined + self.made_up + done) as f64;
        let lacking = balance + (first + under_way) as f64 * RATIO - BUFFER;
        missing.min(lacking.max(0.0).ceil() as u64)
    }

    fn check(&self) {
        let under_way = |side| self.working.iter().filter(|w| w.0 == side).map(|w| w.1).sum::<u64>() as f64;
        let balance = self.reported as f64 * RATIO - (self.mined + self.made_up) as f64;
        assert_eq!(self.limiter.balance(self.sums()), Some(balance));
        assert!(balance.abs() <= BUFFER + ROUNDING, "{balance}");
        // Nobody waits who could pass.
        for side in [Side::Report, Side::Mine] {
            let Some((_, samples, _)) = self.waiting.iter().find(|w| w.0 == side) else { continue };
            let passes = match side {
                Side::Report => balance + (under_way(side) + *samples as f64) * RATIO <= BUFFER,
                Side::Mine => balance - under_way(side) - *samples as f64 >= -BUFFER,
            };
            assert!(!passes, "{side:?} of {samples} waits at {balance}");
        }
    }
}

proptest! {
    /// Any order of calls, ends, failures and callers that go away: the balance is what was counted and within its bounds,
    /// each side passes in order, and nobody waits who could pass.
    #[test]
    fn the_accounts_hold(steps in proptest::collection::vec((0..6u8, 0..30u64, 0..100usize), 1..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let (limiter, closed, counter) = (RateLimiter::new(Some(flow())), CancellationToken::new(), AtomicU64::new(0));
        let mut world = World {
            limiter: &limiter,
            closed: &closed,
            permits: Permits::new(1000),
            counter: &counter,
            waiting: Vec::new(),
            working: Vec::new(),
            reported: 0,
            mined: 0,
            made_up: 0,
        };
        // The first row begins the count and is not in it.
        let first = world.call(Side::Report, 1);
        world.waiting.push((Side::Report, 1, first));
        world.poll();
        world.working.pop().unwrap().2.settle(1, Some(Sums { reported: 1, mined: 0 }));
        for (kind, samples, which) in steps {
            match kind {
                0 | 1 => {
                    let (side, most) = if kind == 0 { (Side::Report, 26) } else { (Side::Mine, 40) };
                    let samples = samples.min(most);
                    let call = world.call(side, samples);
                    world.waiting.push((side, samples, call));
                }
                2 | 3 if !world.working.is_empty() => {
                    let (side, reserved, permit) = world.working.swap_remove(which % world.working.len());
                    // All of it, or a part: a smaller batch than was asked for.
                    let done = if kind == 2 { reserved } else { reserved.min(samples) };
                    match side {
                        Side::Report => world.reported += done,
                        Side::Mine => {
                            world.made_up += world.made_up(reserved - done, done);
                            world.mined += done;
                        }
                    }
                    permit.settle(done, Some(world.sums()));
                }
                4 if !world.working.is_empty() => {
                    // It failed: nothing is counted.
                    drop(world.working.swap_remove(which % world.working.len()));
                }
                5 if !world.waiting.is_empty() => {
                    // Its caller went away, perhaps just after it was let through.
                    drop(world.waiting.remove(which % world.waiting.len()));
                }
                _ => {}
            }
            world.poll();
            world.check();
        }
        world.waiting.clear();
        world.working.clear();
        let state = limiter.state.lock();
        prop_assert_eq!((state.book.reports_under_way, state.book.mines_under_way), (0, 0));
        prop_assert!(state.reports.is_empty() && state.mines.is_empty());
    }
}

#[test]
fn reports_before_min_reported_are_free_and_a_large_first_report_stays_in_bounds() {
    let flow = Flow { min_reported: 100, ..flow() };
    let mut book = Book { uncounted: flow.min_reported, ..Book::default() };
    assert!(book.admits(&flow, Side::Report, 1 << 40) && !book.admits(&flow, Side::Mine, 1));
    let mut report = |rows| {
        book.sums.reported += rows;
        book.count_free(Some(&flow), rows);
        (book.begun, book.balance(&flow))
    };
    assert_eq!(report(99), (false, 0.0));
    assert_eq!(report(11), (true, 15.0), "ten beyond the hundredth");
    // Another that had passed before the beginning: counted as far as there is room.
    assert_eq!(report(1000), (true, 19.5), "13 x 1.5");
}

/// What the partitions count may be ahead of the calls that brought it: the balance keeps its bounds all the same.
#[test]
fn calls_in_progress_keep_the_balance_within_its_bounds() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let (closed, counter, permits) = (CancellationToken::new(), AtomicU64::new(0), Permits::new(10));
    let told = || Told { waits: &counter, timeouts: &counter };
    let later = Instant::now() + Duration::from_secs(3600);
    let permit = || Ok(permits.try_take().unwrap());
    let flow = Flow { mined_per_reported: 1.0, error_buffer: 16.0, ..flow() };

    // Eight first reports pass before anything is counted, and all of them are counted before the first ends.
    let pass_to = |limiter: &Arc<RateLimiter>| {
        now(&mut Box::pin(limiter.report(20, later, (&closed, "p"), permit, told()))).unwrap().unwrap()
    };
    let limiter = RateLimiter::new(Some(flow));
    let permits: Vec<FlowPermit> = (0..8).map(|_| pass_to(&limiter)).collect();
    let sums = Sums { reported: 160, mined: 0 };
    for permit in permits {
        permit.settle(20, Some(sums));
        assert_eq!(limiter.balance(sums), Some(16.0));
    }
    let sums = Sums { reported: 160, mined: 10 };
    assert_eq!(limiter.balance(sums), Some(6.0), "from then on every sample counts");

    // The same with room for all: the first min_reported rows count for nothing once, not for each report or for none.
    let limiter = RateLimiter::new(Some(Flow { min_reported: 7, error_buffer: 1_000.0, ..flow }));
    let permits: Vec<FlowPermit> = (0..8).map(|_| pass_to(&limiter)).collect();
    let sums = Sums { reported: 160, mined: 0 };
    permits.into_iter().for_each(|permit| permit.settle(20, Some(sums)));
    assert_eq!(limiter.balance(sums), Some(153.0));

    // Calls are under way while the pool gets a flow.
    let limiter = RateLimiter::new(None);
    let (report, mine) = (limiter.free(Side::Report).unwrap(), limiter.free(Side::Mine).unwrap());
    limiter.set(Some(flow), Sums { reported: 500, mined: 100 });
    assert!(limiter.free(Side::Report).is_none());
    assert_eq!(limiter.balance(Sums { reported: 1_500, mined: 100 }), Some(16.0));
    let sums = Sums { reported: 1_500, mined: 9_000 };
    assert_eq!(limiter.balance(sums), Some(-16.0));
    report.settle(1_000, Some(sums));
    mine.settle(8_900, Some(sums));
    assert_eq!(limiter.balance(sums), Some(-16.0));
    let state = limiter.state.lock();
    assert_eq!((state.book.free_reports, state.book.free_mines), (0, 0));
}

/// A mine that failed after it had served samples is in the sums, although the call did not report it.
#[test]
fn the_effect_of_a_failed_call_counts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let (closed, counter, permits) = (CancellationToken::new(), AtomicU64::new(0), Permits::new(10));
    let told = || Told { waits: &counter, timeouts: &counter };
    let later = Instant::now() + Duration::from_secs(3600);
    let permit = || Ok(permits.try_take().unwrap());
    let limiter = begun(Flow { mined_per_reported: 1.0, error_buffer: 10.0, ..flow() }, 0);
    let mut mine = Box::pin(limiter.mine(10, later, (&closed, "p"), permit, told()));
    now(&mut mine).unwrap().unwrap().0.fail(Some(Sums { reported: 0, mined: 10 }));
    let mut next = Box::pin(limiter.mine(1, later, (&closed, "p"), permit, told()));
    assert!(now(&mut next).is_none(), "the credit is spent");
    // Reading the balance also lets waiting calls through that now fit.
    limiter.balance(Sums { reported: 1, mined: 10 });
    assert!(now(&mut next).is_some());
}

#[test]
fn a_new_flow_keeps_the_balance_within_its_own_bounds() {
    let limiter = RateLimiter::new(Some(flow()));
    {
        let mut state = limiter.state.lock();
        state.book.begun = true;
        state.book.sums.reported = 12;
    }
    let sums = Sums { reported: 12, mined: 0 };
    assert_eq!(limiter.balance(sums), Some(18.0));
    limiter.set(Some(Flow { mined_per_reported: 100.0, error_buffer: 100.0, ..flow() }), sums);
    assert_eq!(limiter.balance(sums), Some(18.0), "another ratio counts from now on");
    limiter.set(Some(Flow { mined_per_reported: 1.0, error_buffer: 10.0, ..flow() }), sums);
    assert_eq!(limiter.balance(sums), Some(10.0));
    limiter.set(None, sums);
    assert_eq!(limiter.balance(sums), None);
    limiter.set(Some(flow()), sums);
    assert_eq!(limiter.balance(sums), Some(0.0));
}

/// Polls once.
fn now<F: Future>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A limiter that has begun, at this balance (in rows of `flow`).
fn begun(flow: Flow, rows: u64) -> Arc<RateLimiter> {
    let limiter = RateLimiter::new(Some(flow));
    limiter.state.lock().book =
        Book { begun: true, sums: Sums { reported: rows, mined: 0 }, ..Book::default() };
    limiter
}

#[test]
fn samples_that_the_pool_lacks_make_room_for_the_waiting_report() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let (closed, counter, permits) = (CancellationToken::new(), AtomicU64::new(0), Permits::new(10));
    let told = || Told { waits: &counter, timeouts: &counter };
    let later = Instant::now() + Duration::from_secs(3600);
    let limiter = begun(Flow { mined_per_reported: 2.0, error_buffer: 100.0, ..flow() }, 50);
    let permit = || Ok(permits.try_take().unwrap());
    let mut mine = Box::pin(limiter.mine(10, later, (&closed, "p"), permit, told()));
    let mut sums = Sums { reported: 50, mined: 0 };
    now(&mut mine).unwrap().unwrap().0.settle(0, Some(sums));
    assert_eq!(limiter.balance(sums), Some(100.0), "nobody waits: nothing to make up for");
    let mut report = Box::pin(limiter.report(8, later, (&closed, "p"), permit, told()));
    assert!(now(&mut report).is_none());
    for (served, balance) in [(0, 90.0), (1, 84.0)] {
        let mut mine = Box::pin(limiter.mine(10, later, (&closed, "p"), permit, told()));
        let permit = now(&mut mine).unwrap().unwrap().0;
        assert!(now(&mut report).is_none());
        sums.mined += served;
        permit.settle(served, Some(sums));
        assert_eq!(limiter.balance(sums), Some(balance), "no more than the report needs");
    }
    let permit = now(&mut report).expect("there is room").unwrap();
    sums.reported += 8;
    permit.settle(8, Some(sums));
    assert_eq!(limiter.balance(sums), Some(100.0));
}

#[test]
fn whole_samples_cannot_fill_a_fractional_width() {
    let fractional = Flow { mined_per_reported: 0.7, error_buffer: 10.0, ..flow() };
    assert!(fractional.fault(Side::Report, 28, "batch.ids").is_some(), "19.6 of 20 - 1");
    assert!(fractional.fault(Side::Report, 27, "batch.ids").is_none());
    let whole = Flow { mined_per_reported: 2.0, ..fractional };
    assert!(whole.fault(Side::Report, 10, "batch.ids").is_none());
    assert!(whole.fault(Side::Report, 11, "batch.ids").is_some());
    assert!(whole.fault(Side::Mine, 20, "batch_size").is_none());
    assert!(whole.fault(Side::Mine, 21, "batch_size").is_some());
}

#[test]
fn a_narrower_flow_refuses_calls_that_can_never_pass_and_keeps_calls_in_progress_within_bounds() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let (closed, counter, permits) = (CancellationToken::new(), AtomicU64::new(0), Permits::new(10));
    let told = || Told { waits: &counter, timeouts: &counter };
    let later = Instant::now() + Duration::from_secs(3600);
    let permit = || Ok(permits.try_take().unwrap());
    let wide = Flow { mined_per_reported: 1.0, error_buffer: 100.0, ..flow() };
    let limiter = begun(wide, 50);
    let mut large = Box::pin(limiter.mine(150, later, (&closed, "p"), permit, told()));
    let under_way = now(&mut large).unwrap().unwrap().0;
    let mut waits = Box::pin(limiter.mine(60, later, (&closed, "p"), permit, told()));
    let mut small = Box::pin(limiter.mine(5, later, (&closed, "p"), permit, told()));
    assert!(now(&mut waits).is_none() && now(&mut small).is_none());
    let sums = Sums { reported: 50, mined: 0 };
    limiter.set(Some(Flow { error_buffer: 10.0, ..wide }), sums);
    let refused = now(&mut waits).expect("not at its deadline").unwrap_err();
    assert!(
        refused.to_string().contains("60 mined samples are over 2 x flow.error_buffer = 20"),
        "{refused}"
    );
    assert!(now(&mut small).is_none(), "150 are under way");
    let sums = Sums { mined: 150, ..sums };
    under_way.settle(150, Some(sums));
    assert_eq!(limiter.balance(sums), Some(-10.0), "not 10 - 150");
    drop(small);
    let state = limiter.state.lock();
    assert_eq!((state.book.mines_under_way, state.mines.len()), (0, 0));
}
