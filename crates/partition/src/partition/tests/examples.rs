//! What a partition does with reports, by example.

use super::{DAY, report, spec};
use crate::key::Hardness;
use crate::op::{Change, Columns, Drawn, Op, Reply, ScoreUpdate, ServeMark, Source, Terms};
use crate::partition::{Partition, ServePenalty};
use crate::place::Place;
use crate::spec::BackgroundSpec;

#[test]
fn a_full_store_holds_the_hardest_whatever_the_scores() {
    type Law = fn(u64) -> f32;
    let laws: [(&str, Law); 5] = [
        ("spread", |i| (i % 1009) as f32),
        ("saturated", |i| 1.0 - (i % 977) as f32 * 6e-8),
        ("equal", |_| 0.5),
        ("zeros, then harder", |i| if i < 30_000 { 0.0 } else { i as f32 }),
        ("ever a little harder", |i| 16.0 + i as f32 * 1e-5),
    ];
    for (name, law) in laws {
        let mut partition = Partition::new(spec(20_000, BackgroundSpec::Sampled { size: 100 }));
        let hardness = Hardness::default();
        for (position, start) in (0..60_000_u64).step_by(3000).enumerate() {
            let ids: Vec<u64> = (start..start + 3000).collect();
            let scores = ids.iter().map(|id| law(*id)).collect();
            let terms = Terms { decay_units: DAY, ..Terms::default() };
            partition.apply(report(position as u64, Columns::plain(ids, scores, &hardness, DAY), terms));
        }
        partition.check();
        let mut places: Vec<Place> =
            (0..60_000).map(|id| Place::of(hardness.key(law(id), DAY).0, law(id), id, false)).collect();
        places.sort_by(|a, b| b.compare(a));
        let top = partition.top(20_000, ServePenalty::default(), usize::MAX, None);
        assert!(top.iter().map(|(place, _)| *place).eq(places[..20_000].iter().copied()), "{name}");
        assert_eq!(partition.census().floor, Some(places[19_999]), "{name}");
    }
}

/// Rows apply one by one, so it makes no difference to the state into which reports they are divided.
#[test]
fn any_division_into_reports_gives_the_same_state() {
    const ROWS: usize = 100_000;
    let mut x = 3;
    let mut next = |end: u64| {
        x = crate::hash::background_hash(x, 8);
        x % end
    };
    let ids: Vec<u64> = (0..ROWS).map(|row| if row % 3 == 0 { next(40) } else { next(3_000) }).collect();
    let scores: Vec<f32> = ids.iter().map(|_| next(4_000) as f32 / 100.0).collect();
    let divisions: [Vec<usize>; 3] =
        [vec![ROWS], vec![1; ROWS], (0..ROWS).map(|_| 1 + next(700) as usize).collect()];
    for update in [ScoreUpdate::Last, ScoreUpdate::Max, ScoreUpdate::Ema { weight: 0.3 }] {
        let images = divisions.each_ref().map(|division| {
            let mut partition = Partition::new(spec(1_000, BackgroundSpec::Sampled { size: 300 }));
            let (mut from, mut coalesced) = (0, 0);
            for rows in division {
                let to = (from + rows).min(ROWS);
                let (ids, scores) = (ids[from..to].to_vec(), scores[from..to].to_vec());
                let columns = Columns::plain(ids, scores, &partition.spec().hardness, DAY);
                let terms = Terms { decay_units: DAY, update, renew_after_rows: 5_000, ..Terms::default() };
                let Reply::Reported(counts) = partition.apply(report(to as u64, columns, terms)) else {
                    panic!("a report");
                };
                coalesced += counts.coalesced;
                from = to;
                if to == ROWS {
                    break;
                }
            }
            partition.check();
            assert!(partition.background.as_ref().is_some_and(|background| background.generations > 2));
            (coalesced, partition.save())
        });
        assert_eq!((images[0].0, images[1].0), (ROWS as u64 - 3_000, 0), "{update:?}");
        assert!(images[0].1 == images[1].1 && images[0].1 == images[2].1, "{update:?}");
    }
}

/// A pool whose half-life is a millisecond and that is told something every 16 seconds: D rises as far as it may with each operation,
/// 33 million half-lives in all and many times around the circle of keys, and nothing wraps.
#[test]
fn half_lives_of_a_millisecond_go_around_the_circle_of_keys() {
    let mut partition = Partition::new(spec(2000, BackgroundSpec::Sampled { size: 100 }));
    let hardness = Hardness::default();
    let (mut decay_units, mut position) = (DAY, 0);
    for round in 0..2_000_u64 {
        decay_units += crate::key::ADVANCE_MAX_UNITS;
        let floor_units = decay_units - crate::key::FOLD_BELOW_UNITS;
        partition.apply(Op { position, change: Change::Fold { floor_units } });
        let ids: Vec<u64> = (0..7).map(|i| (round * 7 + i) % 3000).collect();
        let scores = (0..7).map(|i| 1.0 + i as f32).collect();
        let terms = Terms { decay_units, ..Terms::default() };
        partition.apply(report(position + 1, Columns::plain(ids, scores, &hardness, decay_units), terms));
        position += 2;
        if round % 200 == 0 {
            partition.check();
        }
    }
    partition.check();
    assert_eq!(partition.hard_len(), 2000);
    let top = partition.top(7, ServePenalty::default(), usize::MAX, None);
    let newest: Vec<u64> = (0..7).rev().map(|i| (1_999 * 7 + i) % 3000).collect();
    assert_eq!(top.iter().map(|(_, row)| row.id).collect::<Vec<_>>(), newest);
    assert_eq!(top[6].0.key, hardness.key(1.0, decay_units).0, "fresh ones are where a fresh pool has them");
    // What was folded is there still, in order of its scores.
    let all = partition.top(2000, ServePenalty::default(), usize::MAX, None);
    let folded: Vec<f32> = all[14..].iter().map(|(_, row)| row.score).collect();
    assert!(folded.windows(2).all(|pair| pair[0] >= pair[1]));
    assert!(all[14..].iter().all(|(place, _)| place.key == all[14].0.key), "of one key");
}

#[test]
fn an_empty_partition_of_a_default_pool_is_small() {
    let partition = Partition::new(spec(1 << 18, BackgroundSpec::Sampled { size: 1 << 14 }));
    let bytes: usize = partition.stats().memory_bytes.iter().sum();
    assert!(bytes < 10_000, "{bytes}");
}

/// What a limit cuts off does not depend on a floor, which depends on who was asked first.
#[test]
fn a_floor_does_not_widen_the_limit_of_a_scan() {
    let mut partition = Partition::new(spec(30_000, BackgroundSpec::Sampled { size: 16 }));
    let scores = (0..20_000).map(|id| 100.0 + id as f32 / 200.0).chain([60.0]).collect();
    let columns = Columns::plain((0..=20_000).collect(), scores, &partition.spec().hardness, DAY);
    partition.apply(report(1, columns, Terms { decay_units: DAY, ..Terms::default() }));
    let mark = ServeMark { count: true, max_serves: u16::MAX, lease_until: None };
    let drawn = (0..20_000).map(|id| Drawn { id, source: Source::Hard }).collect();
    partition.apply(Op { position: 2, change: Change::Serve { drawn, mark } });
    let penalty = ServePenalty { units_per_serve: 4 << 16, units_max: 8 << 16 };
    let place_of = |score| Place::of(Hardness::default().key(score, DAY).0, score, 0, false);
    let floor = place_of(50.0);
    let ids = |limit, floor| -> Vec<u64> {
        partition.top(10, penalty, limit, floor).iter().map(|(_, row)| row.id).collect()
    };
    assert_eq!(ids(usize::MAX, None)[0], 20_000, "the one that was not served is the hardest");
    assert_eq!(ids(usize::MAX, Some(floor)), [20_000]);
    assert!(!ids(100, None).contains(&20_000), "it stands behind the limit");
    assert!(ids(100, Some(floor)).is_empty());
}
