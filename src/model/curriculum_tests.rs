#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::model::policy::Strategy as Mining;

fn schedule(shape: Shape, from: f64, to: f64, begin_step: u64, end_step: u64) -> Schedule {
    Schedule { shape, from, to, begin_step, end_step }
}

#[test]
fn shapes_follow_their_formulas() {
    let linear = schedule(Shape::Linear, 0.2, 1.0, 100, 200);
    let root = schedule(Shape::Sqrt, 0.2, 1.0, 100, 200);
    for shape in [linear, root] {
        assert_eq!((shape.at(0), shape.at(100), shape.at(200), shape.at(u64::MAX)), (0.2, 0.2, 1.0, 1.0));
    }
    assert!((linear.at(150) - 0.6).abs() < 1e-12);
    assert!((root.at(150) - (0.04f64 + 0.96 * 0.5).sqrt()).abs() < 1e-12);
    let down = schedule(Shape::Sqrt, 4.0, 0.0, 0, u64::MAX);
    assert!(down.at(u64::MAX / 2) > 2.8 && down.at(u64::MAX / 2) < 2.9);
}

#[test]
fn a_crossing_between_begin_and_end_is_found() {
    // The linear maximum is above the root at both ends, and below it between them.
    let max = schedule(Shape::Linear, 0.1, 1.0, 0, 1000);
    let min = schedule(Shape::Sqrt, 0.0, 0.9, 0, 1000);
    let curriculum = Curriculum { quantile_min: Some(min), quantile_max: Some(max), ..Curriculum::default() };
    let bad = curriculum.violations(&PolicyOverrides::default(), "policy");
    assert_eq!(bad[0].field, "policy.curriculum.quantile_max", "{bad:?}");
    // With the shapes exchanged they never meet.
    let curriculum = Curriculum {
        quantile_min: Some(schedule(Shape::Linear, 0.0, 0.9, 0, 1000)),
        quantile_max: Some(schedule(Shape::Sqrt, 0.1, 1.0, 0, 1000)),
        ..Curriculum::default()
    };
    assert_eq!(curriculum.violations(&PolicyOverrides::default(), "policy"), []);
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    // The values are made from integers, so that they are exact multiples of 1/20.
    (0..2u8, 0..=20u32, 0..=20u32, 0..30u64, 1..30u64).prop_map(|(shape, from, to, begin_step, steps)| {
        Schedule {
            shape: if shape == 0 { Shape::Linear } else { Shape::Sqrt },
            from: f64::from(from) / 20.0,
            to: f64::from(to) / 20.0,
            begin_step,
            end_step: begin_step + steps,
        }
    })
}

proptest! {
    #[test]
    fn a_crossing_is_found_exactly_when_there_is_one(min in any_schedule(), max in any_schedule()) {
        let by_hand = (0..=70).any(|step| max.at(step) - min.at(step) < QUANTILE_GAP_MIN);
        prop_assert_eq!(crossing(&min, &max).is_some(), by_hand);
    }

    #[test]
    fn a_schedule_stays_between_its_ends_and_goes_one_way(schedule in any_schedule()) {
        let values: Vec<f64> = (0..=70).map(|step| schedule.at(step)).collect();
        let rising = schedule.to >= schedule.from;
        let one_way = values.windows(2).all(|pair| (pair[1] - pair[0]) * if rising { 1.0 } else { -1.0 } >= 0.0);
        prop_assert!(one_way);
        prop_assert_eq!((values[0], values[70]), (schedule.from, schedule.to));
    }
}

#[test]
fn constants_of_the_request_override_schedules_of_the_pool() {
    let scheduled = Curriculum {
        warmup_steps: 10,
        alpha: Some(schedule(Shape::Linear, 0.0, 4.0, 0, 100)),
        quantile_min: Some(schedule(Shape::Linear, 0.0, 0.5, 0, 100)),
        ..Curriculum::default()
    };
    let pool = PolicyOverrides { beta: Some(0.5), curriculum: Some(scheduled), ..PolicyOverrides::default() };
    let plain = PolicyOverrides::default();
    assert_eq!(apply(&plain, &pool, None), None, "a curriculum needs a step");
    let at = |request: &PolicyOverrides, step| apply(request, &pool, Some(step)).unwrap();
    let applied = at(&plain, 50);
    assert_eq!((applied.policy.alpha, applied.policy.beta, applied.warmup), (2.0, 0.5, false));
    assert_eq!(applied.policy.windows, [Window::Quantile { min: 0.25, max: 1.0 }]);
    let warm = at(&plain, 9);
    assert_eq!((warm.policy.strategy, warm.policy.random_fraction), (Mining::Uniform, 1.0));
    assert!(warm.warmup && warm.policy.windows.is_empty() && !at(&plain, 10).warmup);
    // A constant of the request overrides the pool's schedule. The windows of the request do not replace the scheduled one.
    let window = Window::Rank { min: 5, max: 9 };
    let constant = PolicyOverrides { alpha: Some(7.0), windows: vec![window], ..PolicyOverrides::default() };
    let applied = at(&constant, 50).policy;
    assert_eq!((applied.alpha, applied.windows.len()), (7.0, 2));
    // The curriculum of the request replaces that of the pool completely. An empty one disables it, and needs no step.
    let own = Curriculum { beta: Some(schedule(Shape::Linear, 0.0, 1.0, 0, 100)), ..Curriculum::default() };
    let own = PolicyOverrides { curriculum: Some(own), ..PolicyOverrides::default() };
    let applied = at(&own, 5);
    assert_eq!((applied.policy.alpha, applied.policy.beta, applied.warmup), (1.0, 0.05, false));
    let none = PolicyOverrides { curriculum: Some(Curriculum::default()), ..PolicyOverrides::default() };
    assert_eq!(apply(&none, &pool, None).unwrap().policy.alpha, 1.0);
}
