//! Tests of [`super`].

use super::*;
use crate::model::report::Sender;

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
fn a_duration_never_ends_too_early() {
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
fn an_old_step_stays_old_at_any_half_life() {
    let (_, time) = manual();
    let clock = Clock::new(Decay::Steps { half_life: 1e-3, max_step_jump: u64::MAX }, time, 1);
    let new = report(&clock, "", 1 << 40).unwrap().decay_units;
    let old = report(&clock, "", (1 << 40) - 1_000_000).unwrap().decay_units;
    assert_eq!(new - old, 1 << 30, "2^14 half-lives and no more, or keys would wrap");
    assert!(report(&clock, "", 1 << 30).is_err());
}

#[test]
fn samples_do_not_age_while_a_run_resumes() {
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
fn a_report_that_is_not_applied_does_not_move_the_clock() {
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

fn saved(clock: &Clock) -> Landmarks {
    let text = serde_json::to_string(&clock.landmarks()).unwrap();
    let landmarks = serde_json::from_str(&text).unwrap();
    assert_eq!(landmarks, clock.landmarks(), "{text}");
    landmarks
}

#[test]
fn a_clock_continues_from_its_landmarks() {
    let decay = Decay::Steps { half_life: 10.0, max_step_jump: 100 };
    let clock = Clock::new(decay, manual().1, 1);
    let restored = |clock: &Clock| Clock::restore(decay, manual().1, 1, &saved(clock)).unwrap();
    assert_eq!(restored(&clock).now(), clock.now(), "before the first report");
    for (run, step) in [("a", 50), ("a", 77), ("b", 3), ("b", 11)] {
        report(&clock, run, step).unwrap();
    }
    let sender = Sender::default();
    let under_way = clock.admit(Entry { run_id: "c", step: 1, sender: &sender }).unwrap();
    let again = restored(&clock);
    drop(under_way);
    assert_eq!((again.run(), again.now()), (clock.run(), clock.now()));
    for (run, step) in [("b", 12), ("a", 78), ("", 1), ("b", 200), ("c", 9), ("c", 30)] {
        let (one, other) = (report(&clock, run, step), report(&again, run, step));
        assert_eq!(one.is_ok(), other.is_ok(), "{run} {step}");
        assert_eq!(one.ok(), other.ok());
    }
    assert_eq!(saved(&again), saved(&clock));
}

#[test]
fn time_that_has_gone_by_counts_and_a_wall_clock_set_back_does_not() {
    let decay = Decay::Time { half_life: Duration::from_secs(60) };
    let (millis, time) = manual();
    millis.store(1_000_000, Ordering::Relaxed);
    let clock = Clock::new(decay, time, 1);
    millis.store(1_060_000, Ordering::Relaxed);
    let (then, landmarks) = (report(&clock, "", 0).unwrap(), saved(&clock));
    let at = |now: u64| {
        let source = TimeSource::Manual(Arc::new(AtomicU64::new(now)));
        Clock::restore(decay, source, 1, &landmarks).unwrap().now()
    };
    assert_eq!(at(1_060_000), then);
    assert_eq!(at(1_180_000).decay_units - then.decay_units, 2 * 65_536);
    assert_eq!(at(1_060_000 - 3_600_000 / 4), then, "a quarter of an hour back");
    let machine = TimeSource::monotonic();
    let ahead = machine.now_millis() + 3_600_000;
    assert!(machine.not_before(ahead).now_millis() >= ahead);
}

#[test]
fn landmarks_that_cannot_have_been_saved_are_refused() {
    let decay = Decay::Steps { half_life: 10.0, max_step_jump: 100 };
    let clock = Clock::new(decay, manual().1, 1);
    report(&clock, "a", 5).unwrap();
    report(&clock, "b", 5).unwrap();
    let good = saved(&clock);
    let restores = |decay, landmarks: &Landmarks| Clock::restore(decay, manual().1, 1, landmarks).is_some();
    assert!(restores(decay, &good));
    assert!(!restores(Decay::Steps { half_life: 20.0, max_step_jump: 100 }, &good), "another slope");
    assert!(
        !restores(Decay::Disabled, &Landmarks { units_per_age: 0.0, ..good.clone() }),
        "runs of no steps"
    );
    let spoil: [fn(&mut Landmarks); 8] = [
        |bad| bad.decay_units = f64::NAN,
        |bad| bad.units_reported = -1.0,
        |bad| bad.decay_units = 1e300,
        |bad| bad.runs.ended.push("a".into()),
        |bad| bad.runs.ended.push(String::new()),
        |bad| bad.runs.ended.push("b".into()),
        |bad| bad.runs.current = None,
        |bad| bad.runs.ended = (0..1_025).map(|i| i.to_string()).collect(),
    ];
    for (i, spoil) in spoil.iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(!restores(decay, &bad), "{i}: {bad:?}");
    }
}
