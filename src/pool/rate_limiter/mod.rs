//! The rate limiter of a pool with a flow, which couples mining to reporting (Cassirer et al. 2021, SampleToInsertRatio of Reverb). It
//! gives permits to report and to mine, and holds the balance of the two within an error buffer.
//!
//! The numbers of reported and mined samples are sums over the counters of the pool's partitions. So each row counts once, however often it
//! was sent, and whether or not its call succeeded. Every call that ends passes the current sums to the limiter.
//!
//! The limiter keeps balance = reported x mined_per_reported - mined within +-error_buffer. A call that would leave these bounds waits for
//! the other side. Each side waits in order of arrival, so that many small calls do not starve a large one. Calls in progress count against
//! their own side only, so the balance stays within its bounds whether they succeed or fail.
//!
//! A mine may get fewer samples than its permit allows, because the pool has no more (they are under a lease, at their serve limit, or
//! removed). The missing samples count as mined as far as the first report in the queue needs it. Otherwise both sides would wait for
//! samples that do not exist.

mod book;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::activity::stats::Counters;
use crate::model::error::PoolError;
use crate::model::flow::{Flow, ROUNDING, Side};
use crate::permits::Permit;
use book::Book;
pub(super) use book::Sums;

/// The retry delay of a refused report, in which miners may catch up.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Waiter {
    id: u64,
    samples: u64,
    /// True: the call may go on. False: it can never pass, because the flow was changed.
    answer: oneshot::Sender<bool>,
}

#[derive(Debug, Default)]
struct LimiterState {
    flow: Option<Flow>,
    book: Book,
    reports: VecDeque<Waiter>,
    mines: VecDeque<Waiter>,
    next_id: u64,
    /// Number of changes of the flow so far.
    changes: u64,
}

impl LimiterState {
    fn queue(&mut self, side: Side) -> &mut VecDeque<Waiter> {
        match side {
            Side::Report => &mut self.reports,
            Side::Mine => &mut self.mines,
        }
    }

    fn admits(&self, side: Side, samples: u64) -> bool {
        self.flow.is_none_or(|flow| self.book.admits(&flow, side, samples))
    }

    /// Grants permits to the waiters that may pass, in order.
    fn pump(&mut self) {
        for side in [Side::Report, Side::Mine] {
            while let Some(samples) = self.queue(side).front().map(|waiter| waiter.samples) {
                if self.flow.is_some_and(|flow| flow.misfit(side, samples).is_some()) {
                    // The flow was changed and this call can never pass, so it is refused at once and does not block those behind it.
                    let waiter = self.queue(side).pop_front();
                    waiter.into_iter().for_each(|waiter| _ = waiter.answer.send(false));
                    continue;
                }
                if !self.admits(side, samples) {
                    break;
                }
                let Some(waiter) = self.queue(side).pop_front() else { break };
                *self.book.under_way(side) += samples;
                // A cancelled waiter refunds its grant on drop.
                let _ = waiter.answer.send(true);
            }
        }
    }
}

/// A permit to report or to mine. What was not used of it is refunded on drop.
#[derive(Debug)]
pub(crate) struct FlowPermit {
    limiter: Arc<RateLimiter>,
    side: Side,
    /// Samples reserved for the call; `None`: nothing was reserved.
    reserved: Option<u64>,
    done: u64,
    /// Reserved samples that the pool did not have.
    missing: u64,
    /// The sums when the call ended.
    sums: Sums,
    /// `LimiterState::changes` when the permit was given.
    given_at: u64,
}

impl FlowPermit {
    /// The call has reported or mined `done` samples, which are in the sums. `None`: the store could not give the sums; the next call that
    /// ends passes them.
    pub(super) fn settle(mut self, done: u64, sums: Option<Sums>) {
        self.done = done;
        self.missing = self.reserved.unwrap_or(done).saturating_sub(done);
        self.sums = sums.unwrap_or_default();
    }

    /// The call failed. If it changed anything all the same, that is in the sums.
    pub(super) fn fail(mut self, sums: Option<Sums>) {
        self.sums = sums.unwrap_or_default();
    }

    /// Number of samples that the permit allows.
    pub(super) fn samples(&self) -> u64 {
        self.reserved.unwrap_or(u64::MAX)
    }
}

impl Drop for FlowPermit {
    fn drop(&mut self) {
        let mut state = self.limiter.state.lock();
        let flow = state.flow;
        state.book.sums = state.book.sums.later(self.sums);
        match (self.side, self.reserved) {
            (side, None) => {
                *state.book.free(side) -= 1;
                // A call that was in progress when the flow was changed counts by the sums, like all others, within the bounds.
                if side == Side::Report && state.changes == self.given_at {
                    state.book.count_free(flow.as_ref(), self.done);
                }
            }
            (side, Some(reserved)) => {
                *state.book.under_way(side) -= reserved;
                let first = state.reports.front().map(|waiter| waiter.samples);
                if let (Side::Mine, Some(flow), Some(first)) = (side, &flow, first) {
                    state.book.make_up(flow, self.missing, first);
                }
                if let Some(flow) = flow.filter(|_| state.changes != self.given_at) {
                    state.book.keep_within(&flow);
                }
            }
        }
        state.book.hold(flow.as_ref());
        state.pump();
    }
}

/// The place of a call in a queue. On drop it leaves the queue, and refunds a grant that was not taken.
struct Waiting<'a> {
    limiter: &'a RateLimiter,
    side: Side,
    id: u64,
    samples: u64,
    answer: oneshot::Receiver<bool>,
    left: bool,
}

impl Waiting<'_> {
    /// Leaves the queue; true if the call had been granted its permit before.
    fn leave(&mut self, state: &mut LimiterState) -> bool {
        self.left = true;
        state.queue(self.side).retain(|waiter| waiter.id != self.id);
        self.answer.try_recv().unwrap_or(false)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let mut state = self.limiter.state.lock();
        if self.leave(&mut state) {
            *state.book.under_way(self.side) -= self.samples;
        }
        state.pump();
    }
}

/// Counters of one side.
pub(super) struct Told<'a> {
    pub(super) waits: &'a AtomicU64,
    pub(super) timeouts: &'a AtomicU64,
}

/// The rate limiter of one pool: its balance, and the calls that wait.
#[derive(Debug, Default)]
pub(super) struct RateLimiter {
    state: Mutex<LimiterState>,
}

/// How a wait ended.
enum Ended<'a> {
    Permitted(FlowPermit),
    TimedOut(Waiting<'a>),
}

impl RateLimiter {
    pub(super) fn new(flow: Option<Flow>) -> Arc<Self> {
        let limiter = Self::default();
        limiter.set(flow, Sums::default());
        Arc::new(limiter)
    }

    /// Changes the flow of a live pool. The balance continues from its present value, clamped to the new bounds; a new flow starts at 0.
    pub(super) fn set(&self, flow: Option<Flow>, sums: Sums) {
        let mut state = self.state.lock();
        if state.flow == flow {
            return;
        }
        let old = state.flow;
        state.book.meet(old.as_ref(), sums);
        let balance = old.map_or(0.0, |old| state.book.balance(&old));
        state.book.begun &= state.flow.is_some();
        // The balance is rounded, because a fraction of a sample could never be mined.
        state.book.carried =
            flow.map_or(0.0, |new| balance.round().clamp(-new.error_buffer, new.error_buffer));
        (state.book.from, state.book.made_up) = (state.book.sums, 0);
        state.book.uncounted =
            flow.map_or(0, |new| new.min_reported.saturating_sub(state.book.sums.reported));
        state.book.begun |= flow.is_some() && state.book.uncounted == 0;
        state.flow = flow;
        state.changes += 1;
        state.pump();
    }

    /// The balance at these sums; `None` without a flow.
    pub(super) fn balance(&self, sums: Sums) -> Option<f64> {
        let mut state = self.state.lock();
        let flow = state.flow;
        state.book.meet(flow.as_ref(), sums);
        state.pump();
        flow.map(|flow| state.book.balance(&flow))
    }

    /// A permit in a pool without a flow. The limiter counts it, in case the pool gets a flow meanwhile. `None`: the pool has a flow.
    pub(super) fn free(self: &Arc<Self>, side: Side) -> Option<FlowPermit> {
        let mut state = self.state.lock();
        if state.flow.is_some() {
            return None;
        }
        *state.book.free(side) += 1;
        Some(self.permit(side, None, &state))
    }

    /// Waits for a permit to apply a report of `rows` rows.
    ///
    /// # Errors
    /// `Exhausted` with a retry delay if `deadline` passes, or if there is no permit to wait; `NotFound` if the pool is deleted meanwhile.
    pub(super) async fn report(
        self: &Arc<Self>,
        rows: u64,
        deadline: Instant,
        closed: (&CancellationToken, &str),
        wait_permit: impl FnOnce() -> Result<Permit, PoolError>,
        told: Told<'_>,
    ) -> Result<FlowPermit, PoolError> {
        match self.wait(Side::Report, rows, deadline, closed, wait_permit, &told).await? {
            Ended::Permitted(permit) => Ok(permit),
            Ended::TimedOut(mut waiting) => {
                let mut state = self.state.lock();
                if waiting.leave(&mut state) {
                    return Ok(self.permit(Side::Report, Some(rows), &state));
                }
                state.pump();
                Counters::add(told.timeouts, 1);
                let balance = state.flow.map_or(0.0, |flow| state.book.balance(&flow));
                Err(PoolError::Exhausted {
                    what: format!(
                        "{rows} rows would bring the flow's balance, {balance}, over its error_buffer: no samples were mined in time"
                    ),
                    limit: "flow.error_buffer",
                    retry_after: Some(RETRY_AFTER),
                })
            }
        }
    }

    /// Waits for a permit to mine `samples`, or fewer once `deadline` has passed; the flag is true if it has.
    ///
    /// # Errors
    /// `Exhausted` if there is no permit to wait; `NotFound` if the pool is deleted meanwhile.
    pub(super) async fn mine(
        self: &Arc<Self>,
        samples: u64,
        deadline: Instant,
        closed: (&CancellationToken, &str),
        wait_permit: impl FnOnce() -> Result<Permit, PoolError>,
        told: Told<'_>,
    ) -> Result<(FlowPermit, bool), PoolError> {
        match self.wait(Side::Mine, samples, deadline, closed, wait_permit, &told).await? {
            Ended::Permitted(permit) => Ok((permit, false)),
            Ended::TimedOut(mut waiting) => {
                let mut state = self.state.lock();
                let first = state.mines.front().is_some_and(|front| front.id == waiting.id);
                if waiting.leave(&mut state) {
                    return Ok((self.permit(Side::Mine, Some(samples), &state), false));
                }
                // Calls that are ahead in the queue have waited longer, so the remaining credit is theirs.
                let credit = state.flow.filter(|_| first).map_or(0.0, |flow| state.book.credit(&flow));
                let part = samples.min((credit + ROUNDING).max(0.0) as u64);
                state.book.mines_under_way += part;
                state.pump();
                Counters::add(told.timeouts, 1);
                Ok((self.permit(Side::Mine, Some(part), &state), true))
            }
        }
    }

    fn permit(self: &Arc<Self>, side: Side, reserved: Option<u64>, state: &LimiterState) -> FlowPermit {
        let (limiter, given_at) = (Arc::clone(self), state.changes);
        FlowPermit { limiter, side, reserved, done: 0, missing: 0, sums: Sums::default(), given_at }
    }

    async fn wait(
        self: &Arc<Self>,
        side: Side,
        samples: u64,
        deadline: Instant,
        (closed, pool): (&CancellationToken, &str),
        wait_permit: impl FnOnce() -> Result<Permit, PoolError>,
        told: &Told<'_>,
    ) -> Result<Ended<'_>, PoolError> {
        let mut wait_permit = Some(wait_permit);
        let mut _permit = None;
        let mut waiting = loop {
            let mut state = self.state.lock();
            let free = match side {
                Side::Report => state.flow.is_none() || !state.book.begun,
                Side::Mine => state.flow.is_none(),
            };
            if free {
                *state.book.free(side) += 1;
                return Ok(Ended::Permitted(self.permit(side, None, &state)));
            }
            if state.queue(side).is_empty() && state.admits(side, samples) {
                *state.book.under_way(side) += samples;
                return Ok(Ended::Permitted(self.permit(side, Some(samples), &state)));
            }
            if let Some(take) = wait_permit.take() {
                drop(state);
                // The state is checked again, because it may have changed.
                _permit = Some(take()?);
                continue;
            }
            let (sender, answer) = oneshot::channel();
            state.next_id += 1;
            let id = state.next_id;
            state.queue(side).push_back(Waiter { id, samples, answer: sender });
            break Waiting { limiter: self, side, id, samples, answer, left: false };
        };
        Counters::add(told.waits, 1);
        tokio::select! {
            biased;
            passes = &mut waiting.answer => {
                waiting.left = true;
                let state = self.state.lock();
                if passes == Ok(true) {
                    return Ok(Ended::Permitted(self.permit(side, Some(samples), &state)));
                }
                let why = state.flow.and_then(|flow| flow.misfit(side, samples)).unwrap_or_default();
                let message = format!("the pool's flow was changed during the wait: {why}");
                Err(PoolError::FailedPrecondition { reason: "FLOW", message })
            }
            () = closed.cancelled() => Err(PoolError::NotFound(pool.to_owned())),
            () = tokio::time::sleep_until(deadline) => Ok(Ended::TimedOut(waiting)),
        }
    }
}
