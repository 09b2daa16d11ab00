#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::model::anchored_spec::AnchoredSpec;
use crate::model::flow::Flow;
use crate::model::limits::Limits;
use crate::model::policy::{PolicyOverrides, Window};
use crate::model::quarantine::QuarantineRule;
use crate::model::spec::{BackgroundRotation, Decay, IdKind, SampleTtl, ServeLimits};
use crate::pool::clock::{Clock, TimeSource};
use hardneg_partition::anchors::Margins;
use hardneg_partition::key::{Hardness, HardnessFunction};
use hardneg_partition::{BackgroundSpec, ScoreUpdate};

fn record(spec: PoolSpec) -> Record {
    let clock = Clock::new(spec.decay, TimeSource::monotonic(), 8).landmarks();
    Record { spec, create_time: SystemTime::now(), clock }
}

/// Specs which differ from the default one in every field.
fn specs() -> [PoolSpec; 4] {
    let limits = Limits::default();
    let default = PoolSpec::defaults(&limits);
    let other = PoolSpec {
        capacity: 77,
        background: BackgroundSpec::Dense { ids: 1 << 33 },
        rotation: BackgroundRotation { after_reports: None },
        shards: 3,
        id_kind: IdKind::Name,
        hardness: Hardness {
            function: HardnessFunction::Exponential { temperature: 0.07 },
            lower_is_harder: true,
        },
        decay: Decay::Steps { half_life: 0.1, max_step_jump: u64::MAX },
        score_update: ScoreUpdate::Ema { weight: 0.3 },
        default_policy: PolicyOverrides {
            alpha: Some(0.1),
            windows: vec![
                Window::Score { min: f32::NEG_INFINITY, max: 0.1 },
                Window::Rank { min: 1, max: 9 },
            ],
            ..PolicyOverrides::default()
        },
        serve_limits: ServeLimits {
            serve_penalty: 0.7,
            max_serves: 3,
            lease: Duration::from_nanos(1_000_000_001),
        },
        max_payload_bytes: 9,
        control_fraction: 0.1,
        flow: Some(Flow {
            mined_per_reported: 0.1,
            error_buffer: 1e12,
            min_reported: 5,
            max_wait: Duration::from_millis(7),
        }),
        sample_ttl: Some(SampleTtl::Steps(70)),
        quarantine: Some(QuarantineRule::default()),
        anchored: None,
    };
    let anchored = AnchoredSpec {
        margins: Margins { absolute: Some(0.1), relative: None },
        anchor_id_kind: IdKind::Name,
        ..AnchoredSpec::defaults(&limits)
    };
    [
        PoolSpec { decay: Decay::Disabled, score_update: ScoreUpdate::Max, ..default.clone() },
        PoolSpec { anchored: Some(anchored), ..default.clone() },
        default,
        other,
    ]
}

#[test]
fn a_record_is_decoded_as_it_was_encoded() {
    for spec in specs() {
        let record = record(spec);
        let bytes = record.encode().unwrap();
        let read = Record::decode(&bytes).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.spec.difference(&record.spec), None);
        assert_eq!(read.encode().unwrap(), bytes);
    }
}

#[test]
fn bytes_that_are_no_record_are_refused() {
    for spec in specs() {
        let bytes = record(spec).encode().unwrap().to_vec();
        for end in 0..bytes.len() {
            assert!(Record::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Record::decode(&longer).is_err());
        let other_version = [&[VERSION + 1], &bytes[1..]].concat();
        assert!(Record::decode(&other_version).is_err());
    }
}
