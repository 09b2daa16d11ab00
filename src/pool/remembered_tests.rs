#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::model::balance::{Balance, StratumLimit};
use crate::model::batch::{Approximation, BatchColumns, DrawInfo, Estimand, PoolSizes, Round, Source, Wait};
use crate::model::curriculum::{Curriculum, Schedule, Shape};
use crate::model::filter_counts::FilterCounts;
use crate::model::policy::{Normalization, Policy, PolicyOverrides, Shortfall, Strategy, Window};
use crate::model::report::Ids;

/// Every field has a value of its own.
fn request() -> MineRequest {
    let schedule = Schedule { shape: Shape::Sqrt, from: 0.25, to: 0.75, begin_step: 3, end_step: 1 << 40 };
    MineRequest {
        batch_size: 300,
        may_be_empty: true,
        policy: PolicyOverrides {
            strategy: Some(Strategy::Rank),
            alpha: Some(0.7),
            random_fraction: None,
            beta: Some(0.1),
            normalization: Some(Normalization::Max),
            windows: windows(),
            shortfall: Some(Shortfall::Error),
            balance: Some(balance()),
            curriculum: Some(Curriculum { warmup_steps: 9, beta: Some(schedule), ..Curriculum::default() }),
        },
        exclude: Ids::Names(vec!["ä".into(), "".into()]),
        seed: Some(u64::MAX),
        wait: Some(Wait { min_size: 77, timeout: Duration::from_nanos(1_234_567_890) }),
        request_id: "id".into(),
        dry_run: true,
        lease: Some(Duration::from_millis(3)),
        round: Some(Round { number: 5, rank: 2, world_size: 300, run_id: "run".into() }),
        step: Some(6),
    }
}

fn windows() -> Vec<Window> {
    vec![
        Window::Score { min: f32::NEG_INFINITY, max: -0.0 },
        Window::Rank { min: 1, max: u64::MAX },
        Window::Quantile { min: 0.1, max: 0.9 },
        Window::Age { min: 0.0, max: f64::INFINITY },
        Window::ModelVersion { min: 4, max: u32::MAX },
    ]
}

fn balance() -> Balance {
    Balance {
        max_stratum_fraction: 0.3,
        stratum_caps: vec![(3, StratumLimit::Fraction(0.2)), (u32::MAX, StratumLimit::Count(8))],
        equal_shares: true,
        min_per_stratum: 2,
        max_per_group: 1,
    }
}

fn batch() -> MinedBatch {
    MinedBatch {
        columns: BatchColumns {
            ids: vec![0, 1 << 63, 7],
            names: Some(vec!["a".into(), Arc::from("b"), "ü".into()]),
            scores: vec![f32::from_bits(0x7fc0_1234), -0.0, 1e-38],
            importance_weights: Some(vec![0.5, 1.5, 2.5]),
            inclusion_probabilities: None,
            sources: vec![Source::Hard, Source::Background, Source::Hard],
            ages: vec![1.0, f32::NAN, 3.0],
            model_versions: vec![1, 2, u32::MAX],
            serves: vec![1, 65_535, 3],
            strata: vec![0, 1, 2],
            groups: vec![u64::MAX, 0, 1],
            payloads: vec![Bytes::from_static(b"x"), Bytes::new(), Bytes::from(vec![0; 4_096])],
        },
        draw: DrawInfo {
            estimand: Estimand::Approximate,
            approximations: vec![Approximation::ScanLimit, Approximation::ClosedLoop],
            policy: Policy { windows: windows(), balance: balance(), ..Policy::default() },
            seed: 11,
            realized_random_fraction: 0.1 + 0.2,
            eligible_fraction: Some(0.1 + 0.7),
            shortfall_count: 4,
            timed_out: true,
            sizes: PoolSizes {
                hard: 1,
                background: 2,
                distinct: 3.5,
                background_probability: 0.25,
                floor_log2: Some(-1.5),
                closed_loop_ratio: 0.875,
            },
            proposals: 99,
            filtered: FilterCounts { excluded: 1, unscored_passed: 2, ..FilterCounts::default() },
            round: request().round,
            control: true,
            warmup: false,
        },
    }
}

#[test]
fn every_field_is_decoded_exactly() {
    let (request, batch) = (request(), batch());
    let bytes = Remembered::encode(&request, &batch).unwrap();
    let read = Remembered::decode(&bytes).unwrap();
    assert_eq!(read.request, request);
    assert_eq!(format!("{:?}", read.batch), format!("{batch:?}"));
    let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&read.batch.columns.scores), bits(&batch.columns.scores), "a NaN's bits too");
    assert_eq!(Remembered::encode(&read.request, &read.batch).unwrap(), bytes);
}

#[test]
fn columns_are_as_large_as_their_numbers() {
    let plain = |rows: u64| {
        let columns = BatchColumns {
            ids: (0..rows).map(|id| id << 40).collect(),
            names: None,
            payloads: Vec::new(),
            inclusion_probabilities: Some(vec![0.5; rows as usize]),
            importance_weights: Some(vec![1.0; rows as usize]),
            scores: vec![1.0; rows as usize],
            ages: vec![1.0; rows as usize],
            model_versions: vec![u32::MAX; rows as usize],
            serves: vec![1; rows as usize],
            strata: vec![1; rows as usize],
            groups: vec![1; rows as usize],
            sources: vec![Source::Hard; rows as usize],
        };
        Remembered::encode(&request(), &MinedBatch { columns, ..batch() }).unwrap().len()
    };
    // 8 + 8 bytes of ids and groups, 7 x 4 of other numbers, 1 of the source.
    assert!(plain(2_000) - plain(1_000) <= 45 * 1_000 + 32);
}

#[test]
fn bytes_that_encode_did_not_write_are_an_error() {
    let bytes = Remembered::encode(&request(), &batch()).unwrap();
    assert!(Remembered::decode(&[]).is_err());
    for end in 0..bytes.len() {
        assert!(Remembered::decode(&bytes[..end]).is_err(), "cut at {end}");
    }
    let mut other = bytes.to_vec();
    other[0] += 1;
    assert!(Remembered::decode(&other).is_err(), "of another version");
    for at in 0..bytes.len() {
        // No panic, and nothing larger than the bytes tell is taken.
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x80;
        let _ = Remembered::decode(&damaged);
    }
}
