//! The decay clock (DECISIONS 13): D, half-lives elapsed, and the stamps that report ages are read from. It goes by wall time, or by
//! the ticks that the pool's runs count.
//!
//! Changing the half-life changes D's slope from now on and nothing else, so the order of keys never changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::error::PoolError;
use super::runs::{Entry, Rules, RunError, RunState, Runs, Ticket};
use super::spec::Decay;
use crate::store::key::{self, Key, UNITS_PER_OCTAVE};

/// Stamps a second in pools that keep report times in wall time. 2^31 of them are 4.2 years.
pub const STAMPS_PER_SECOND: f64 = 16.0;
/// Where D starts, so that what is reported for steps before a run's first stays above 0.
const ORIGIN_UNITS: f64 = (1u64 << 42) as f64;

/// Unix milliseconds that never go back.
#[derive(Clone, Debug)]
pub enum TimeSource {
    /// The monotonic clock of the machine, set by its wall clock when the source was made.
    Monotonic {
        /// When the source was made.
        start: Instant,
        /// What the wall clock showed then.
        unix_millis: u64,
    },
    /// Set by hand, in milliseconds: for tests of long times.
    Manual(Arc<AtomicU64>),
}

impl TimeSource {
    /// The machine's clock, from now.
    #[must_use]
    pub fn monotonic() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::Monotonic { start: Instant::now(), unix_millis: unix.as_millis() as u64 }
    }

    /// Unix milliseconds now.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        match self {
            Self::Monotonic { start, unix_millis } => unix_millis + start.elapsed().as_millis() as u64,
            Self::Manual(millis) => millis.load(Ordering::Relaxed),
        }
    }

    /// The first reading of [`Self::now_millis`] by which all of `duration` has gone by from now on. Readings are rounded down: one
    /// reading and the duration added up would be over too soon.
    #[must_use]
    pub fn end_millis(&self, duration: Duration) -> u64 {
        let whole = |duration: Duration| duration.as_nanos().div_ceil(1_000_000) as u64;
        match self {
            Self::Monotonic { start, unix_millis } => unix_millis + whole(start.elapsed() + duration),
            Self::Manual(millis) => millis.load(Ordering::Relaxed) + whole(duration),
        }
    }
}

/// D advances by at most this between two reports: 2^14 half-lives. What is that old has no weight left, and the keys of a pool
/// that lay idle must not come near the wrap of their serial order (DECISIONS 12).
pub(super) const ADVANCE_MAX_UNITS: f64 = key::ADVANCE_MAX_UNITS as f64;

/// A moment in a pool's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// D in key units.
    pub decay_units: u64,
    /// Report time, mod 2^32: sixteenths of a second, or ticks.
    pub stamp: u32,
}

impl Moment {
    /// log2 of the weight of `key` at this moment.
    #[must_use]
    pub fn log2_weight(self, key: Key) -> f32 {
        key.since(Key(self.decay_units as u32)) as f32 / UNITS_PER_OCTAVE as f32
    }
}

/// The clock of one pool.
#[derive(Debug)]
pub struct Clock {
    time: TimeSource,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    decay: Decay,
    /// D at `anchor`, in key units.
    units_at_anchor: f64,
    /// Seconds or ticks.
    anchor: f64,
    /// The highest D of a report.
    units_reported: f64,
    /// Those of a pool that ages by steps.
    runs: Runs,
}

impl State {
    fn units(&self, now: f64) -> f64 {
        let half_life = match self.decay {
            Decay::Time { half_life } => half_life.as_secs_f64(),
            Decay::Steps { half_life, .. } => half_life,
            Decay::Disabled => return self.units_at_anchor,
        };
        let units = self.units_at_anchor + (now - self.anchor) / half_life * UNITS_PER_OCTAVE as f64;
        // Keys compare rightly only while they are near each other, so neither may an old step be too far behind.
        units.clamp(self.units_reported - ADVANCE_MAX_UNITS, self.units_reported + ADVANCE_MAX_UNITS)
    }

    /// D of a report at `now`.
    fn advance(&mut self, now: f64) -> f64 {
        let units = self.units(now);
        if units >= self.units_reported + ADVANCE_MAX_UNITS {
            // The clock goes on from here.
            self.units_at_anchor = units;
            self.anchor = now;
        }
        self.units_reported = self.units_reported.max(units);
        units
    }

    /// Of a pool that ages by steps.
    fn rules(&self) -> Option<Rules> {
        match self.decay {
            Decay::Steps { half_life, max_step_jump } => Some(Rules { half_life, max_step_jump }),
            Decay::Time { .. } | Decay::Disabled => None,
        }
    }

    fn moment_of_tick(&self, tick: i64) -> Moment {
        Moment { decay_units: self.units(tick as f64) as u64, stamp: tick as u32 }
    }
}

/// A report that the clock admitted. Dropped without having been applied, it leaves no trace.
#[derive(Debug)]
pub struct Admission<'a> {
    /// When the report is.
    pub moment: Moment,
    clock: &'a Clock,
    /// Of a pool that ages by steps.
    ticket: Option<Ticket>,
}

impl Admission<'_> {
    /// The report was applied: its step counts, and its run has begun.
    pub fn applied(mut self) {
        if let Some(ticket) = self.ticket.take() {
            let mut state = self.clock.state.lock();
            state.runs.settle(&ticket, true);
            state.advance(ticket.tick as f64);
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket {
            self.clock.state.lock().runs.settle(ticket, false);
        }
    }
}

impl Clock {
    /// A clock that starts now, at tick 0. Of a run it remembers at most `processes_max` processes.
    #[must_use]
    pub fn new(decay: Decay, time: TimeSource, processes_max: usize) -> Self {
        let anchor = if decay.by_steps() { 0.0 } else { seconds(&time) };
        Self {
            time,
            state: Mutex::new(State {
                decay,
                units_at_anchor: ORIGIN_UNITS,
                anchor,
                units_reported: ORIGIN_UNITS,
                runs: Runs::new(processes_max),
            }),
        }
    }

    /// Milliseconds of the underlying time source.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        self.time.now_millis()
    }

    /// The first reading of it by which all of `duration` has gone by from now on.
    #[must_use]
    pub fn end_millis(&self, duration: Duration) -> u64 {
        self.time.end_millis(duration)
    }

    /// Now: wall time, or the highest tick.
    #[must_use]
    pub fn now(&self) -> Moment {
        let state = self.state.lock();
        if state.decay.by_steps() {
            state.moment_of_tick(state.runs.tick().unwrap_or(0))
        } else {
            let now = seconds(&self.time);
            Moment { decay_units: state.units(now) as u64, stamp: (now * STAMPS_PER_SECOND) as u64 as u32 }
        }
    }

    /// Admits a report; in a pool that ages by steps its run begins if that is an unseen one.
    ///
    /// # Errors
    /// `Run`, and `Invalid` naming `batch.step`, in a pool that ages by steps: see [`RunError`]; where the step is over
    /// `max_step_jump` ahead, 0 though training has begun, or too far behind.
    pub fn admit(&self, entry: Entry<'_>) -> Result<Admission<'_>, PoolError> {
        let mut state = self.state.lock();
        let Some(rules) = state.rules() else {
            let now = seconds(&self.time);
            let decay_units = state.advance(now) as u64;
            let moment = Moment { decay_units, stamp: (now * STAMPS_PER_SECOND) as u64 as u32 };
            return Ok(Admission { moment, clock: self, ticket: None });
        };
        let ticket = state.runs.admit(entry, rules)?;
        Ok(Admission { moment: state.moment_of_tick(ticket.tick), clock: self, ticket: Some(ticket) })
    }

    /// Whether a report would be admitted now.
    ///
    /// # Errors
    /// As of [`Self::admit`].
    pub fn check(&self, entry: Entry<'_>) -> Result<(), PoolError> {
        let state = self.state.lock();
        match state.rules() {
            Some(rules) => state.runs.check(entry, rules).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Checks that a run has not ended, in a pool that ages by steps.
    ///
    /// # Errors
    /// [`RunError::Ended`].
    pub fn check_not_ended(&self, run_id: &str) -> Result<(), RunError> {
        self.state.lock().runs.check_not_ended(run_id)
    }

    /// The current run of a pool that ages by steps; `None` before its first report.
    #[must_use]
    pub fn run(&self) -> Option<RunState> {
        self.state.lock().runs.current()
    }

    /// Changes the slope of D from now on.
    pub fn set_decay(&self, decay: Decay) {
        let mut state = self.state.lock();
        let by_steps = state.decay.by_steps();
        let now = if by_steps { state.runs.tick().unwrap_or(0) as f64 } else { seconds(&self.time) };
        state.units_at_anchor = state.units(now);
        state.anchor = now;
        state.decay = decay;
    }

    /// How long ago `stamp` was at `now`: seconds or ticks.
    #[must_use]
    pub fn age(now: u32, stamp: u32, by_steps: bool) -> f64 {
        let elapsed = f64::from((now.wrapping_sub(stamp) as i32).max(0));
        if by_steps { elapsed } else { elapsed / STAMPS_PER_SECOND }
    }
}

fn seconds(time: &TimeSource) -> f64 {
    Duration::from_millis(time.now_millis()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::report::Sender;

    /// An applied report.
    fn report(clock: &Clock, run_id: &str, step: u64) -> Result<Moment, PoolError> {
        let admission = clock.admit(Entry { run_id, step, sender: &Sender::default() })?;
        let moment = admission.moment;
        admission.applied();
        Ok(moment)
    }

    fn manual() -> (Arc<AtomicU64>, TimeSource) {
        let millis = Arc::new(AtomicU64::new(0));
        (millis.clone(), TimeSource::Manual(millis))
    }

    #[test]
    fn one_half_life_is_one_octave_and_a_new_slope_keeps_the_past() {
        let (millis, time) = manual();
        let minute = Duration::from_secs(60);
        let clock = Clock::new(Decay::Time { half_life: minute }, time, 1);
        let start = clock.now().decay_units;
        millis.store(60_000, Ordering::Relaxed);
        assert_eq!(clock.now().decay_units - start, 65_536);
        clock.set_decay(Decay::Time { half_life: 2 * minute });
        assert_eq!(clock.now().decay_units - start, 65_536);
        millis.store(180_000, Ordering::Relaxed);
        assert_eq!(clock.now().decay_units - start, 131_072);
    }

    #[test]
    fn a_duration_is_never_over_too_soon() {
        let time = TimeSource::monotonic();
        for round in 0..40 {
            // So that it begins anywhere within a millisecond.
            std::thread::sleep(Duration::from_micros(37 * round));
            let (begun, duration) = (Instant::now(), Duration::from_micros(2000 + 10 * round));
            let end = time.end_millis(duration);
            while time.now_millis() < end {
                std::hint::spin_loop();
            }
            assert!(begun.elapsed() >= duration, "{:?} of {duration:?}", begun.elapsed());
        }
        let (millis, time) = manual();
        millis.store(5, Ordering::Relaxed);
        assert_eq!(time.end_millis(Duration::from_micros(1001)), 7);
    }

    #[test]
    fn an_idle_pool_ages_no_further_than_its_keys_can_tell() {
        let (millis, time) = manual();
        let clock = Clock::new(Decay::Time { half_life: Duration::from_millis(1) }, time, 1);
        let start = report(&clock, "", 0).unwrap().decay_units;
        millis.store(1 << 40, Ordering::Relaxed);
        assert_eq!(clock.now().decay_units - start, 1 << 30);
        assert_eq!(report(&clock, "", 0).unwrap().decay_units - start, 1 << 30);
        millis.fetch_add(1, Ordering::Relaxed);
        let octave = report(&clock, "", 0).unwrap().decay_units - start - (1 << 30);
        assert!((65_472..=65_536).contains(&octave), "{octave}");
    }

    #[test]
    fn steps_never_go_back_and_never_jump() {
        let (_, time) = manual();
        let clock = Clock::new(Decay::Steps { half_life: 10.0, max_step_jump: 100 }, time, 1);
        let first = report(&clock, "", 5_000_000).expect("the first step may be any");
        assert!(report(&clock, "", 5_000_101).is_err());
        assert_eq!(report(&clock, "", 5_000_010).unwrap().decay_units - first.decay_units, 65_536);
        assert_eq!(first.decay_units - report(&clock, "", 4_999_990).unwrap().decay_units, 65_536);
        assert_eq!(clock.run().map(|run| (run.step, run.tick)), Some((5_000_010, 10)));
        assert!(report(&clock, "", 0).is_err(), "a forgotten step");
    }

    #[test]
    fn an_old_step_is_old_however_short_the_half_life() {
        let (_, time) = manual();
        let clock = Clock::new(Decay::Steps { half_life: 1e-3, max_step_jump: u64::MAX }, time, 1);
        let new = report(&clock, "", 1 << 40).unwrap().decay_units;
        let old = report(&clock, "", (1 << 40) - 1_000_000).unwrap().decay_units;
        assert_eq!(new - old, 1 << 30, "2^14 half-lives and no more, or keys would wrap");
        assert!(report(&clock, "", 1 << 30).is_err());
    }

    #[test]
    fn nothing_ages_over_a_resume() {
        let (_, time) = manual();
        let clock = Clock::new(Decay::Steps { half_life: 10.0, max_step_jump: 1_000 }, time, 1);
        report(&clock, "a", 1_000).unwrap();
        let last = report(&clock, "a", 1_500).unwrap();
        assert_eq!(report(&clock, "b", 7).unwrap(), last, "an older step, or any");
        assert_eq!(clock.now(), last);
        assert_eq!(report(&clock, "b", 17).unwrap().decay_units - last.decay_units, 65_536);
        assert_eq!(report(&clock, "c", 1 << 50).unwrap().decay_units - last.decay_units, 65_536);
    }

    #[test]
    fn what_is_not_applied_does_not_move_the_clock() {
        let (_, time) = manual();
        let clock = Clock::new(Decay::Steps { half_life: 1e-6, max_step_jump: u64::MAX }, time, 1);
        let first = report(&clock, "", 1).unwrap();
        let sender = Sender::default();
        let far = clock.admit(Entry { run_id: "", step: 1 << 30, sender: &sender }).unwrap();
        assert_eq!(far.moment.decay_units - first.decay_units, 1 << 30);
        drop(far);
        assert_eq!((clock.now(), clock.run().unwrap().step), (first, 1));
        assert_eq!(report(&clock, "", 1).unwrap(), first);
    }
}
