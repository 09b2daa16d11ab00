//! Bytes that are not an operation. That operations are decoded as they were is tested with the partitions, whose operations all pass
//! through bytes.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use std::sync::Arc;

use crate::anchors::{AnchorChange, AnchorColumns, AnchorOp};
use crate::image::ImageError;
use crate::key::Hardness;
use crate::op::{Change, Columns, Op, ScoreUpdate, Sender, Terms};
use crate::partition::Partition;

fn report() -> Op {
    let ids: Vec<u64> = (0..40).collect();
    let scores = ids.iter().map(|id| *id as f32).collect();
    let mut rows = Columns::plain(ids, scores, &Hardness::default(), 1 << 42);
    rows.names = rows.ids.iter().map(|id| format!("sample {id}").into()).collect();
    rows.payloads = rows.ids.iter().map(|id| vec![7; *id as usize % 5].into()).collect();
    rows.groups = rows.ids.iter().map(|id| id % 3).collect();
    let update = ScoreUpdate::Ema { weight: 0.25 };
    let terms = Terms { decay_units: 1 << 42, stamp: 3, update, ..Terms::default() };
    let sender = Some(Sender { worker: u128::MAX - 5, epoch: 2, sequence: 9 });
    Op { position: 8, change: Change::Report { rows: Arc::new(rows), range: 10..30, terms, sender } }
}

#[test]
fn only_the_rows_of_the_partition_are_in_the_bytes() {
    let op = report();
    let Change::Report { rows, range, terms, sender } = Op::load(&op.save()).unwrap().change else {
        panic!("a report");
    };
    let Change::Report { rows: told, .. } = &op.change else { panic!("a report") };
    assert_eq!((range, rows.ids.as_slice()), (0..20, &told.ids[10..30]));
    assert_eq!((&rows.hashes[..], &rows.keys[..]), (&told.hashes[10..30], &told.keys[10..30]));
    assert_eq!((&rows.names[..], &rows.payloads[..]), (&told.names[10..30], &told.payloads[10..30]));
    assert_eq!((&rows.groups[..], rows.strata.len()), (&told.groups[10..30], 0));
    assert_eq!(terms, Terms { decay_units: 1 << 42, stamp: 3, update: terms.update, ..Terms::default() });
    assert_eq!(sender, Some(Sender { worker: u128::MAX - 5, epoch: 2, sequence: 9 }));
}

#[test]
fn a_contradiction_is_named() {
    let told = |change: fn(&mut Columns, &mut Terms)| {
        let mut rows = Columns::plain(vec![1], vec![1.0], &Hardness::default(), 0);
        let mut terms = Terms::default();
        change(&mut rows, &mut terms);
        let op = Op {
            position: 1,
            change: Change::Report { rows: Arc::new(rows), range: 0..1, terms, sender: None },
        };
        Op::load(&op.save()).map(|_| ()).unwrap_err().to_string()
    };
    assert!(told(|rows, _| rows.scores[0] = f32::NAN).contains("not finite"));
    assert!(told(|_, terms| terms.update = ScoreUpdate::Ema { weight: 1.5 }).contains("weight"));
    let samples = report().save();
    assert_eq!(AnchorOp::load(&samples).unwrap_err(), ImageError::Magic, "it is of the other kind");
}

proptest! {
    /// Bytes that were cut off, changed, or changed under a right checksum.
    #[test]
    fn bytes_that_were_damaged_are_errors_and_never_panics(
        at in 0usize..10_000, value in any::<u8>(), cut in any::<bool>(), anchors in any::<bool>(), sealed in any::<bool>(),
    ) {
        let mut bytes = if anchors {
            let hardness = Hardness::default();
            let rows = Arc::new(AnchorColumns::plain(vec![1, 2, 3], vec![4, 5, 6], vec![1.0; 3], &hardness, 0));
            let terms = Terms::default();
            AnchorOp { position: 1, change: AnchorChange::Report { rows, range: 0..3, terms, sender: None } }.save()
        } else {
            report().save()
        };
        let at = at % bytes.len();
        let before = bytes[at];
        if cut { bytes.truncate(at) } else { bytes[at] = value }
        if sealed { Partition::reseal(&mut bytes) }
        let is_read = if anchors { AnchorOp::load(&bytes).is_ok() } else { Op::load(&bytes).is_ok() };
        if !sealed && (cut || before != value) {
            prop_assert!(!is_read);
        }
    }
}
