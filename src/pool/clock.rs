//! The decay clock (docs/methods.md 2.2): D, the number of half-lives elapsed, and the stamps from which the ages of reports follow. It
//! runs by wall time, or by the ticks that the runs of the pool count.
//!
//! A change of the half-life only changes the slope of D from now on, so the order of keys never changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::runs::{Rules, Runs, Ticket};
use crate::model::error::PoolError;
use crate::model::moment::{Moment, STAMPS_PER_SECOND};
use crate::model::run::{Entry, RunError, RunLandmarks, RunState};
use crate::model::spec::{Decay, SampleTtl};
use crate::store::key::{self, UNITS_PER_OCTAVE};

/// The first value of D, so that D stays above 0 for reports of steps before the first step of a run.
const ORIGIN_UNITS: f64 = (1u64 << 42) as f64;

/// A source of Unix milliseconds that never decrease.
#[derive(Clone, Debug)]
pub enum TimeSource {
    /// The monotonic clock of the machine, set to its wall clock when the source was made.
    Monotonic {
        /// When the source was made.
        start: Instant,
        /// The wall clock at that moment.
        unix_millis: u64,
    },
    /// Milliseconds set by a test.
    Manual(Arc<AtomicU64>),
}

impl TimeSource {
    /// The clock of the machine, from now on.
    #[must_use]
    pub fn monotonic() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::Monotonic { start: Instant::now(), unix_millis: unix.as_millis() as u64 }
    }

    /// The same source, which is at `unix_millis` at least.
    #[must_use]
    pub fn not_before(self, unix_millis: u64) -> Self {
        match self {
            Self::Monotonic { start, unix_millis: begun } if self.now_millis() < unix_millis => {
                let elapsed = start.elapsed().as_millis() as u64;
                Self::Monotonic { start, unix_millis: unix_millis.saturating_sub(elapsed).max(begun) }
            }
            Self::Manual(millis) => {
                millis.fetch_max(unix_millis, Ordering::Relaxed);
                Self::Manual(millis)
            }
            source @ Self::Monotonic { .. } => source,
        }
    }

    /// Unix milliseconds now.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        match self {
            Self::Monotonic { start, unix_millis } => unix_millis + start.elapsed().as_millis() as u64,
            Self::Manual(millis) => millis.load(Ordering::Relaxed),
        }
    }

    /// The first reading of [`Self::now_millis`] at which `duration` has elapsed from now on. Readings are rounded down, so adding the
    /// duration to a reading would end too early.
    #[must_use]
    pub fn end_millis(&self, duration: Duration) -> u64 {
        let whole = |duration: Duration| duration.as_nanos().div_ceil(1_000_000) as u64;
        match self {
            Self::Monotonic { start, unix_millis } => unix_millis + whole(start.elapsed() + duration),
            Self::Manual(millis) => millis.load(Ordering::Relaxed) + whole(duration),
        }
    }
}

/// The maximum by which D advances between two reports: 2^14 half-lives. Samples that old have no weight left, and the keys of a pool that
/// was idle for long must not come near the wrap of their serial order (docs/methods.md 2.2).
pub(super) const ADVANCE_MAX_UNITS: f64 = key::ADVANCE_MAX_UNITS as f64;

/// An upper bound of D that no clock reaches.
const UNITS_MAX: f64 = (1u64 << 63) as f64;

/// The clock of one pool.
#[derive(Debug)]
pub struct Clock {
    time: TimeSource,
    state: Mutex<ClockState>,
}

#[derive(Debug)]
struct ClockState {
    decay: Decay,
    /// D at `anchor`, in key units.
    units_at_anchor: f64,
    /// Seconds or ticks.
    anchor: f64,
    /// The highest D of a report.
    units_reported: f64,
    /// The runs of a pool that ages by steps; `None` otherwise.
    runs: Runs,
}

impl ClockState {
    fn units(&self, now: f64) -> f64 {
        let half_life = match self.decay {
            Decay::Time { half_life } => half_life.as_secs_f64(),
            Decay::Steps { half_life, .. } => half_life,
            Decay::Disabled => return self.units_at_anchor,
        };
        let units = self.units_at_anchor + (now - self.anchor) / half_life * UNITS_PER_OCTAVE as f64;
        // Keys compare correctly only while they are near each other, so an old step must not be too far behind either.
        units.clamp(self.units_reported - ADVANCE_MAX_UNITS, self.units_reported + ADVANCE_MAX_UNITS)
    }

    /// D of a report at `now`.
    fn advance(&mut self, now: f64) -> f64 {
        let units = self.units(now);
        if units >= self.units_reported + ADVANCE_MAX_UNITS {
            // The clock continues from here.
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

/// The saved state of the clock of a pool. A clock that is restored from it continues where this one was.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Landmarks {
    /// When the clock was saved, Unix milliseconds.
    pub unix_millis: u64,
    /// D at that moment, in key units.
    #[serde(with = "bits")]
    pub decay_units: f64,
    /// The slope of D: key units per second, or per tick; 0 without decay.
    #[serde(with = "bits")]
    pub units_per_age: f64,
    /// The highest D of a report, in key units.
    #[serde(with = "bits")]
    pub units_reported: f64,
    /// The runs of a pool that ages by steps, which count the ticks; `None` otherwise.
    pub runs: RunLandmarks,
}

/// Serde: floats as their bits, so that they are exact even in formats that round decimals.
mod bits {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// A report that the clock has admitted. If it is dropped without being applied, it leaves no trace.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The moment of the report.
    pub moment: Moment,
    clock: &'a Clock,
    /// Of a pool that ages by steps.
    ticket: Option<Ticket>,
}

impl Admission<'_> {
    /// The report was applied: from now on its step counts, and its run has begun.
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
    /// A clock that starts now, at tick 0. It remembers at most `processes_max` processes of a run.
    #[must_use]
    pub fn new(decay: Decay, time: TimeSource, processes_max: usize) -> Self {
        let anchor = if decay.by_steps() { 0.0 } else { seconds(&time) };
        Self {
            time,
            state: Mutex::new(ClockState {
                decay,
                units_at_anchor: ORIGIN_UNITS,
                anchor,
                units_reported: ORIGIN_UNITS,
                runs: Runs::new(processes_max),
            }),
        }
    }

    /// The state of the clock to be saved, without reports in progress.
    #[must_use]
    pub fn landmarks(&self) -> Landmarks {
        let state = self.state.lock();
        let unix_millis = self.time.now_millis();
        let runs = state.runs.landmarks();
        let now = match &runs.current {
            Some(run) => run.tick() as f64,
            None if state.decay.by_steps() => 0.0,
            None => Duration::from_millis(unix_millis).as_secs_f64(),
        };
        Landmarks {
            unix_millis,
            decay_units: state.units(now),
            units_per_age: state.decay.units_per_age(),
            units_reported: state.units_reported,
            runs,
        }
    }

    /// As [`Self::landmarks`], for a clock with the slope of `decay` from now on.
    #[must_use]
    pub fn landmarks_under(&self, decay: Decay) -> Landmarks {
        Landmarks { units_per_age: decay.units_per_age(), ..self.landmarks() }
    }

    /// A clock that continues from saved landmarks. The time since they were saved counts. If the wall clock was set back meanwhile, the
    /// clock stays where it was, so that no sample becomes younger. `None`: the landmarks are not those of a pool with this decay.
    #[must_use]
    pub fn restore(
        decay: Decay,
        time: TimeSource,
        processes_max: usize,
        landmarks: &Landmarks,
    ) -> Option<Self> {
        let Landmarks { unix_millis, decay_units, units_per_age, units_reported, ref runs } = *landmarks;
        let in_range = |units: f64| (0.0..UNITS_MAX).contains(&units);
        let is_sound = in_range(decay_units)
            && in_range(units_reported)
            && units_per_age == decay.units_per_age()
            && (decay.by_steps() || *runs == RunLandmarks::default());
        if !is_sound {
            return None;
        }
        let runs = Runs::restore(runs, processes_max)?;
        let anchor = if decay.by_steps() {
            runs.tick().unwrap_or(0) as f64
        } else {
            Duration::from_millis(unix_millis).as_secs_f64()
        };
        let state = ClockState { decay, units_at_anchor: decay_units, anchor, units_reported, runs };
        Some(Self { time: time.not_before(unix_millis), state: Mutex::new(state) })
    }

    /// The present time of the underlying source, in milliseconds.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        self.time.now_millis()
    }

    /// The first reading of that source at which `duration` has elapsed from now on.
    #[must_use]
    pub fn end_millis(&self, duration: Duration) -> u64 {
        self.time.end_millis(duration)
    }

    /// The present moment: by wall time, or the highest tick.
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

    /// The oldest stamp that has not expired now, or at the moment of the admitted report `reported`.
    #[must_use]
    pub fn oldest_stamp(&self, ttl: SampleTtl, reported: Option<Moment>) -> u32 {
        let now = self.now().stamp;
        let reported = reported.map_or(now, |moment| moment.stamp);
        let latest = if (reported.wrapping_sub(now) as i32) > 0 { reported } else { now };
        latest.wrapping_sub(ttl.stamps())
    }

    /// Admits a report. In a pool that ages by steps, an unseen run begins with it.
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

    /// Checks that a report would be admitted now.
    ///
    /// # Errors
    /// As [`Self::admit`].
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

    /// Changes the slope of D to that of `decay` from now on.
    pub fn set_decay(&self, decay: Decay) {
        let mut state = self.state.lock();
        let by_steps = state.decay.by_steps();
        let now = if by_steps { state.runs.tick().unwrap_or(0) as f64 } else { seconds(&self.time) };
        state.units_at_anchor = state.units(now);
        state.anchor = now;
        state.decay = decay;
    }

    /// Takes over the slope from the server that changed it, by the clock that it saved then. From now on D by wall time is the same on
    /// both servers.
    pub fn follow(&self, decay: Decay, landmarks: &Landmarks) {
        if decay.by_steps() {
            return self.set_decay(decay);
        }
        let mut state = self.state.lock();
        state.units_at_anchor = landmarks.decay_units;
        state.anchor = Duration::from_millis(landmarks.unix_millis).as_secs_f64();
        state.decay = decay;
    }
}

fn seconds(time: &TimeSource) -> f64 {
    Duration::from_millis(time.now_millis()).as_secs_f64()
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
