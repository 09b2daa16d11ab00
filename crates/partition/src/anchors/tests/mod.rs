//! Random operations on a partition of anchors and on the reference model, in whole operations, in steps, and through images.

mod examples;

use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::naive::{Entry, Naive};
use super::*;
use crate::key::{ADVANCE_MAX_UNITS, FOLD_BELOW_UNITS, Hardness, HardnessFunction};
use crate::op::{RowFaults, ScoreUpdate, Sender, Terms};
use crate::partition::tests::{DAY, DecayClock, hardness, in_pieces, octaves, score, score_update, sender};

impl AnchorPartition {
    /// Checks the invariants.
    fn check(&self) {
        self.dedupe.check();
        assert_eq!(self.index.len(), self.anchors.len());
        assert!(self.anchors.len() as u64 <= self.spec.max_anchors);
        let mut sizes = Sizes::default();
        for (at, anchor) in self.anchors.iter().enumerate() {
            assert_eq!(self.find(placement_hash(anchor.id), anchor.id), Some(at));
            sizes.change(&Sizes::default(), &Sizes::of(anchor));
            let lower = self.spec.hardness.lower_is_harder;
            assert!(anchor.negatives().is_sorted_by(|a, b| a.hardest_first(b, lower).is_lt()));
            assert!(anchor.negatives().len() <= self.spec.negatives_per_anchor);
            assert!(anchor.negatives().iter().all(|negative| anchor.is_negative(negative.id)));
            for why in [NotNegative::Positive, NotNegative::Vetoed] {
                assert!(anchor.not_negative(why).is_sorted_by(|a, b| a < b));
            }
        }
        assert_eq!(sizes, self.sizes);
        assert!(sizes.positives + sizes.vetoes <= self.spec.max_pairs);
    }
}

fn spec(negatives_per_anchor: usize) -> AnchorPartitionSpec {
    AnchorPartitionSpec {
        negatives_per_anchor,
        max_anchors: 1_000,
        max_positives_per_anchor: 4,
        max_vetoes_per_anchor: 4,
        max_pairs: 1_000,
        margins: Margins::default(),
        hardness: Hardness { function: HardnessFunction::Power { offset: 1e-30 }, lower_is_harder: false },
        named: false,
        workers: 3,
    }
}

/// A small operation, as a pool may send it.
#[derive(Clone, Debug)]
enum Step {
    Report {
        /// Anchor, id, score, and the anchor's positive score.
        rows: Vec<(u64, u64, f32, f32)>,
        stamp: u32,
        octaves: u64,
        update: ScoreUpdate,
        columns: u8,
        sender: Option<Sender>,
    },
    Mark {
        /// Anchor, id, score.
        pairs: Vec<(u64, u64, f32)>,
        why: NotNegative,
        stamp: u32,
    },
    Remove(Vec<u64>),
    Clear,
}

fn maybe_score() -> impl Strategy<Value = f32> {
    prop_oneof![2 => score(), 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)]
}

fn step() -> impl Strategy<Value = Step> {
    // Runs of rows of one anchor, and anchors that occur in several runs.
    let run = (0_u64..12, proptest::collection::vec((0_u64..24, score(), maybe_score()), 1..12));
    let rows = proptest::collection::vec(run, 0..8).prop_map(|runs| {
        let rows = |(anchor, rows): (u64, Vec<(u64, f32, f32)>)| {
            rows.into_iter().map(move |(id, score, positive)| (anchor, id, score, positive))
        };
        runs.into_iter().flat_map(rows).collect()
    });
    let report = (rows, 0_u32..40, octaves(), score_update(), 0_u8..64, sender()).prop_map(
        |(rows, stamp, octaves, update, columns, sender)| Step::Report {
            rows,
            stamp,
            octaves,
            update,
            columns,
            sender,
        },
    );
    let pair = || (0_u64..14, 0_u64..24, maybe_score());
    let pairs = prop_oneof![
        3 => proptest::collection::vec(pair(), 0..4),
        1 => proptest::collection::vec(pair(), 0..30),
    ];
    let why = prop_oneof![Just(NotNegative::Positive), Just(NotNegative::Vetoed)];
    prop_oneof![
        6 => report,
        3 => (pairs, why, 0_u32..40).prop_map(|(pairs, why, stamp)| Step::Mark { pairs, why, stamp }),
        1 => proptest::collection::vec(0_u64..26, 0..6).prop_map(Step::Remove),
        1 => Just(Step::Clear),
    ]
}

/// The operations of some steps, with the folds that a host would send.
fn operations(steps: Vec<Step>, spec: &AnchorPartitionSpec) -> Vec<AnchorOp> {
    let (mut ops, mut position, mut clock) = (Vec::new(), 0, DecayClock::default());
    for step in steps {
        position += 1;
        let change = match step {
            Step::Report { rows, stamp, octaves, update, columns, sender } => {
                if let Some(floor_units) = clock.advance(octaves) {
                    ops.push(AnchorOp { position, change: AnchorChange::Fold { floor_units } });
                    position += 1;
                }
                let decay_units = clock.decay_units;
                let terms = Terms {
                    decay_units,
                    stamp,
                    refuse_stale: columns & 1 > 0,
                    model_version: stamp % 3,
                    update,
                    faults: RowFaults {
                        non_finite: u64::from(columns % 3),
                        out_of_range: u64::from(columns % 2),
                        clamped: u64::from(columns % 5),
                        floored: u64::from(columns % 7),
                    },
                    ..Terms::default()
                };
                let rows = Arc::new(with_columns(&rows, columns, spec, decay_units));
                AnchorChange::Report { range: 0..rows.ids.len(), rows, terms, sender }
            }
            Step::Mark { pairs, why, stamp } => {
                let columns = PairColumns {
                    anchors: pairs.iter().map(|pair| pair.0).collect(),
                    ids: pairs.iter().map(|pair| pair.1).collect(),
                    scores: match why {
                        NotNegative::Positive => pairs.iter().map(|pair| pair.2).collect(),
                        NotNegative::Vetoed => Vec::new(),
                    },
                };
                let (range, model_version) = (0..pairs.len(), stamp % 5);
                AnchorChange::Mark { pairs: Arc::new(columns), range, why, stamp, model_version }
            }
            Step::Remove(ids) => {
                let distinct: BTreeSet<u64> = ids.into_iter().collect();
                AnchorChange::Remove { ids: distinct.into_iter().collect() }
            }
            Step::Clear => AnchorChange::Clear,
        };
        ops.push(AnchorOp { position, change });
    }
    ops
}

/// Rows with those of the optional columns that `columns` has a bit for.
fn with_columns(
    rows: &[(u64, u64, f32, f32)],
    columns: u8,
    spec: &AnchorPartitionSpec,
    decay_units: u64,
) -> AnchorColumns {
    fn column<T>(rows: &[(u64, u64, f32, f32)], given: bool, value: impl Fn(u64, u64) -> T) -> Vec<T> {
        rows.iter().filter(|_| given).map(|row| value(row.0, row.1)).collect()
    }
    let mut plain = AnchorColumns::plain(
        rows.iter().map(|row| row.0).collect(),
        rows.iter().map(|row| row.1).collect(),
        rows.iter().map(|row| row.2).collect(),
        &spec.hardness,
        decay_units,
    );
    if columns & 2 > 0 {
        plain.positive_scores = rows.iter().map(|row| row.3).collect();
    }
    plain.groups = column(rows, columns & 4 > 0, |_, id| id / 3 + u64::from(columns >> 5));
    plain.labels = column(rows, columns & 8 > 0, |_, id| (id % 5) as u32 * u32::from(columns & 1));
    plain.anchor_labels = column(rows, columns & 16 > 0, |anchor, _| (anchor % 4) as u32);
    plain.names = column(rows, spec.named && columns & 32 == 0, |_, id| format!("sample {id}").into());
    plain
}

/// Encodes and decodes an operation, as a log does, and applies it in steps of `rows` rows.
fn apply_in_pieces(partition: &mut AnchorPartition, op: &AnchorOp, rows: usize) -> AnchorReply {
    let mut job = partition.begin(AnchorOp::load(&op.save()).expect("its own bytes"));
    in_pieces(op.position, rows, |more| partition.step(&mut job, more))
}

fn specs() -> impl Strategy<Value = AnchorPartitionSpec> {
    let margin = || proptest::option::of((0_u32..40).prop_map(|margin| margin as f32 / 20.0));
    let limits = (1_u64..16, 0_usize..8, 0_usize..8, 0_u64..60);
    (1_usize..8, limits, margin(), margin(), hardness(), any::<bool>(), 0_usize..7).prop_map(
        |(negatives, (anchors, positives, vetoes, pairs), absolute, relative, hardness, named, workers)| {
            AnchorPartitionSpec {
                negatives_per_anchor: negatives,
                max_anchors: anchors,
                max_positives_per_anchor: positives,
                max_vetoes_per_anchor: vetoes,
                max_pairs: pairs,
                margins: Margins { absolute, relative },
                hardness,
                named,
                workers,
            }
        },
    )
}

/// Checks that both store the same of every anchor, in the same order.
fn agree(real: &AnchorPartition, naive: &Naive) {
    let asked: Vec<u64> = (0..16).rev().collect();
    let mut rows = AnchorRows::unread(asked.len());
    // In two reads, as a host may do it.
    real.fetch(&asked, &[0, 3, 5, 7, 9, 11, 13, 15], &mut rows);
    real.fetch(&asked, &[1, 2, 4, 6, 8, 10, 12, 14], &mut rows);
    rows.complete();
    for (number, row) in asked.iter().zip(&rows.anchors) {
        let Some(anchor) = naive.anchors.get(number) else {
            assert!(!row.known, "anchor {number}");
            continue;
        };
        assert!(row.known, "anchor {number}");
        assert_eq!(row.label, anchor.label);
        let positive = Some(row.positive).filter(|positive| !positive.is_nan());
        assert_eq!(positive, naive.positive(anchor), "the positive score of anchor {number}");
        let got: Vec<(u64, Entry)> = row
            .negatives
            .clone()
            .map(|at| {
                let Negative { id, score, key, stamp, model_version } = rows.negatives[at];
                let group = rows.groups.get(at).copied().unwrap_or(0);
                let label = rows.labels.get(at).copied().unwrap_or(0);
                (id, Entry { key, score, stamp, version: model_version, group, label })
            })
            .collect();
        let expected: Vec<(u64, Entry)> =
            naive.order(anchor).into_iter().map(|id| (id, anchor.negatives[&id].clone())).collect();
        assert_eq!(got, expected, "anchor {number}");
        if real.spec.named {
            let names = rows.names[row.negatives.clone()].iter().map(|name| &**name);
            assert!(names.eq(expected.iter().map(|(id, _)| naive.name(*id))));
        }
        assert!(rows.not_negative[row.positives.clone()].iter().eq(anchor.positives.keys()));
        assert!(rows.not_negative[row.vetoes.clone()].iter().eq(&anchor.vetoes));
    }
    naive.senders.agree(&real.dedupe);
    assert_eq!(*real.totals(), naive.totals);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The state equals that of the reference model, and the image is the same bytes in whole operations or in steps, through images or
    /// not.
    #[test]
    fn a_partition_of_anchors_is_a_function_of_its_operations(
        spec in specs(),
        steps in proptest::collection::vec(step(), 1..60),
        saved_at in any::<u64>(),
    ) {
        let ops = operations(steps, &spec);
        let mut whole = AnchorPartition::new(spec);
        let mut pieces: Vec<(usize, AnchorPartition)> =
            [1, 7, 1024].into_iter().map(|rows| (rows, AnchorPartition::new(spec))).collect();
        let mut naive = Naive::new(spec);
        for (i, op) in ops.iter().enumerate() {
            let reply = whole.apply(op.clone());
            prop_assert_eq!(&reply, &naive.apply(op), "operation {}", i);
            if let (AnchorReply::Reported(reported), AnchorChange::Report { range, terms, .. }) = (&reply, &op.change) {
                prop_assert_eq!(reported.counts.rows(), range.len() as u64 + terms.faults.rows());
            }
            whole.check();
            for (rows, partition) in &mut pieces {
                prop_assert_eq!(&apply_in_pieces(partition, op, *rows), &reply);
                if saved_at >> (i % 64) & 1 == 1 {
                    *partition = AnchorPartition::load(&partition.save()).expect("its own image");
                }
            }
            if i % 5 == 0 {
                agree(&whole, &naive);
            }
        }
        agree(&whole, &naive);
        let image = whole.save();
        for (rows, partition) in &pieces {
            partition.check();
            prop_assert!(partition.save() == image, "in pieces of {rows}");
            for number in 0..partition.len() {
                prop_assert_eq!(partition.negatives_of(number), whole.negatives_of(number));
            }
        }
    }
}
