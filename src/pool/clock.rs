//! The decay clock (DECISIONS 13): D, half-lives elapsed, and the stamps that report ages are read from.
//!
//! Changing the half-life changes D's slope from now on and nothing else, so the order of keys never changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::error::PoolError;
use super::spec::Decay;
use crate::store::key::{self, Key, UNITS_PER_OCTAVE};

/// Stamps a second in pools that keep report times in wall time. 2^31 of them are 4.2 years.
pub const STAMPS_PER_SECOND: f64 = 16.0;
/// Where D starts, so that steps before the first one seen stay above 0.
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

/// A step further than this behind the highest is refused: stamps, which are steps mod 2^32, would take it for a later one.
const STEP_LAG_MAX: u64 = 1 << 31;

/// A moment in a pool's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// D in key units.
    pub decay_units: u64,
    /// Report time, mod 2^32: sixteenths of a second, or steps.
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
    /// Seconds or steps.
    anchor: f64,
    /// The highest D of a report.
    units_reported: f64,
    /// Highest step accepted.
    step: Option<u64>,
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
}

impl Clock {
    /// A clock that starts now, at step 0.
    #[must_use]
    pub fn new(decay: Decay, time: TimeSource) -> Self {
        let anchor = if decay.by_steps() { 0.0 } else { seconds(&time) };
        Self {
            time,
            state: Mutex::new(State {
                decay,
                units_at_anchor: ORIGIN_UNITS,
                anchor,
                units_reported: ORIGIN_UNITS,
                step: None,
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

    /// Now: wall time, or the highest step reported.
    #[must_use]
    pub fn now(&self) -> Moment {
        let state = self.state.lock();
        let (now, stamp) = if state.decay.by_steps() {
            let step = state.step.unwrap_or(0);
            (step as f64, step as u32)
        } else {
            let now = seconds(&self.time);
            (now, (now * STAMPS_PER_SECOND) as u64 as u32)
        };
        Moment { decay_units: state.units(now) as u64, stamp }
    }

    /// The moment of a report at `step`, which a step clock advances to.
    ///
    /// # Errors
    /// `Invalid` naming `batch.step` when a step clock would jump further than `max_step_jump`, when the step is 0 though
    /// training has begun, and when it is too far behind.
    pub fn report(&self, step: u64) -> Result<Moment, PoolError> {
        let mut state = self.state.lock();
        let Decay::Steps { max_step_jump, .. } = state.decay else {
            let now = seconds(&self.time);
            return Ok(Moment {
                decay_units: state.advance(now) as u64,
                stamp: (now * STAMPS_PER_SECOND) as u64 as u32,
            });
        };
        if let Some(highest) = state.step
            && step > highest.saturating_add(max_step_jump)
        {
            return Err(PoolError::invalid(
                "batch.step",
                format!(
                    "step {step} is more than max_step_jump {max_step_jump} ahead of the highest seen, {highest}"
                ),
            ));
        }
        if let Some(highest) = state.step.filter(|highest| *highest > 0) {
            let problem = match step {
                0 => Some("is 0: this pool ages by steps, and training has begun".to_owned()),
                _ if highest.saturating_sub(step) >= STEP_LAG_MAX => {
                    Some(format!("step {step} is 2^31 or more behind the highest seen, {highest}"))
                }
                _ => None,
            };
            if let Some(problem) = problem {
                return Err(PoolError::invalid("batch.step", problem));
            }
        }
        if state.step.is_none() {
            // A training that goes on at step 5,000,000 is not five million steps old.
            state.anchor = step as f64;
        }
        state.step = Some(state.step.map_or(step, |highest| highest.max(step)));
        Ok(Moment { decay_units: state.advance(step as f64) as u64, stamp: step as u32 })
    }

    /// The highest step reported, of a step clock.
    #[must_use]
    pub fn step(&self) -> Option<u64> {
        self.state.lock().step
    }

    /// Changes the slope of D from now on.
    pub fn set_decay(&self, decay: Decay) {
        let mut state = self.state.lock();
        let now = if state.decay.by_steps() { state.step.unwrap_or(0) as f64 } else { seconds(&self.time) };
        state.units_at_anchor = state.units(now);
        state.anchor = now;
        state.decay = decay;
    }

    /// How long ago `stamp` was at `now`: seconds or steps.
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

    fn manual() -> (Arc<AtomicU64>, TimeSource) {
        let millis = Arc::new(AtomicU64::new(0));
        (millis.clone(), TimeSource::Manual(millis))
    }

    #[test]
    fn one_half_life_is_one_octave_and_a_new_slope_keeps_the_past() {
        let (millis, time) = manual();
        let minute = Duration::from_secs(60);
        let clock = Clock::new(Decay::Time { half_life: minute }, time);
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
        let clock = Clock::new(Decay::Time { half_life: Duration::from_millis(1) }, time);
        let start = clock.report(0).unwrap().decay_units;
        millis.store(1 << 40, Ordering::Relaxed);
        assert_eq!(clock.now().decay_units - start, 1 << 30);
        assert_eq!(clock.report(0).unwrap().decay_units - start, 1 << 30);
        millis.fetch_add(1, Ordering::Relaxed);
        let octave = clock.report(0).unwrap().decay_units - start - (1 << 30);
        assert!((65_472..=65_536).contains(&octave), "{octave}");
    }

    #[test]
    fn steps_never_go_back_and_never_jump() {
        let (_, time) = manual();
        let clock = Clock::new(Decay::Steps { half_life: 10.0, max_step_jump: 100 }, time);
        let first = clock.report(5_000_000).expect("the first step may be any");
        assert!(clock.report(5_000_101).is_err());
        assert_eq!(clock.report(5_000_010).unwrap().decay_units - first.decay_units, 65_536);
        assert_eq!(first.decay_units - clock.report(4_999_990).unwrap().decay_units, 65_536);
        assert_eq!(clock.step(), Some(5_000_010));
        assert!(clock.report(0).is_err(), "a forgotten step");
    }

    #[test]
    fn an_old_step_is_old_however_short_the_half_life() {
        let (_, time) = manual();
        let clock = Clock::new(Decay::Steps { half_life: 1e-3, max_step_jump: u64::MAX }, time);
        let new = clock.report(1 << 40).unwrap().decay_units;
        let old = clock.report((1 << 40) - 1_000_000).unwrap().decay_units;
        assert_eq!(new - old, 1 << 30, "2^14 half-lives and no more, or keys would wrap");
        assert!(clock.report(1 << 30).is_err());
    }
}
