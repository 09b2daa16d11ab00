//! Strategies for random operations, as a pool may send them.

use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::{DAY, spec};
use crate::key::{FOLD_BELOW_UNITS, FOLD_EVERY_UNITS, Hardness, HardnessFunction, UNITS_PER_OCTAVE};
use crate::op::{
    Change, Columns, Drawn, Op, QuarantineTerms, RowFaults, ScoreUpdate, Sender, ServeMark, Source, Terms,
};
use crate::spec::{BackgroundSpec, PartitionSpec};

/// A small operation, as a pool may send it.
#[derive(Clone, Debug)]
pub(in crate::partition) enum Step {
    Report {
        ids: Vec<u64>,
        scores: Vec<f32>,
        stamp: u32,
        octaves: u64,
        update: ScoreUpdate,
        columns: u8,
        renew: u64,
        sender: Option<Sender>,
        quarantine: Option<QuarantineTerms>,
        oldest_stamp: Option<u32>,
    },
    Serve {
        ids: Vec<u64>,
        /// Of each id in turn.
        from_background: Vec<bool>,
        count: bool,
        max_serves: u16,
        lease: Option<u64>,
    },
    Release(Vec<u64>),
    Expire(u64, Option<u32>),
    Remove(Vec<u64>),
    SetAside(Vec<u64>, u64),
    ReleaseQuarantined(Vec<u64>, bool),
    Block(Vec<u64>),
    Unblock(Vec<u64>),
    Clear,
}

/// From integers: proptest's ranges of floats fail an assertion of their own now and then.
pub(crate) fn score() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => (0_u32..2000).prop_map(|s| s as f32 / 100.0),
        2 => (0_u32..3).prop_map(|s| s as f32),
        1 => (0_u32..1000).prop_map(|s| 1.0 - s as f32 * 1e-6),
        1 => (0_u32..1000).prop_map(|s| -(s as f32)),
    ]
}

fn ids(end: u64, most: usize) -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::btree_set(0..end, 0..most).prop_map(|ids: BTreeSet<u64>| {
        // Distinct, and in an order of their own.
        let mut ids: Vec<u64> = ids.into_iter().collect();
        ids.sort_by_key(|id| crate::hash::background_hash(*id, 99));
        ids
    })
}

/// Senders of more processes than are remembered, with small or larger sequence numbers.
pub(crate) fn sender() -> impl Strategy<Value = Option<Sender>> {
    let sequence = prop_oneof![8 => 0_u64..12, 2 => 1000_u64..1040, 1 => 0_u64..3000];
    let sender = (0_u128..3, 0_u64..2, sequence).prop_map(|(worker, epoch, sequence)| {
        // Hashes of names that differ in one half only.
        Sender { worker: worker << 63, epoch, sequence }
    });
    proptest::option::weighted(0.8, sender)
}

pub(crate) fn score_update() -> impl Strategy<Value = ScoreUpdate> {
    prop_oneof![
        3 => Just(ScoreUpdate::Last),
        1 => Just(ScoreUpdate::Max),
        1 => Just(ScoreUpdate::Ema { weight: 0.25 }),
    ]
}

/// How far a report moves a [`DecayClock`].
pub(crate) fn octaves() -> impl Strategy<Value = u64> {
    0_u64..9000
}

/// D as reports move it, and when a host would fold.
pub(crate) struct DecayClock {
    pub(crate) decay_units: u64,
    folded_units: u64,
}

impl Default for DecayClock {
    fn default() -> Self {
        Self { decay_units: DAY, folded_units: DAY }
    }
}

impl DecayClock {
    /// Moves mostly a little, sometimes by thousands of half-lives. Returns the floor of the fold that is due before the report.
    pub(crate) fn advance(&mut self, octaves: u64) -> Option<u64> {
        self.decay_units += if octaves < 8000 { octaves * 16 } else { octaves * UNITS_PER_OCTAVE as u64 };
        let is_due = self.decay_units >= self.folded_units + FOLD_EVERY_UNITS;
        is_due.then(|| {
            self.folded_units = self.decay_units;
            self.decay_units - FOLD_BELOW_UNITS
        })
    }
}

/// Ends an operation in steps of `rows` rows. Every second operation ends in larger steps, the last without a limit.
pub(crate) fn in_pieces<R>(position: u64, rows: usize, mut step: impl FnMut(usize) -> Option<R>) -> R {
    let mut sizes = [rows, rows, 2 * rows, 3 * rows].into_iter();
    loop {
        let more = if position.is_multiple_of(2) { rows } else { sizes.next().unwrap_or(usize::MAX) };
        if let Some(reply) = step(more) {
            return reply;
        }
    }
}

/// Mostly a rule under which about half of the rows are above the threshold, with a capacity that is soon reached.
fn quarantine() -> impl Strategy<Value = Option<QuarantineTerms>> {
    let threshold = proptest::option::weighted(0.9, (0_u32..12).prop_map(|threshold| threshold as f32));
    let terms = (threshold, 1_u32..4, 0_u64..9, 0_u64..5000);
    let terms = terms.prop_map(|(threshold, reports, capacity, now_millis)| QuarantineTerms {
        threshold,
        reports,
        capacity,
        now_millis,
    });
    proptest::option::weighted(0.8, terms)
}

/// Mostly a horizon that some of the stamps are before.
fn oldest_stamp() -> impl Strategy<Value = Option<u32>> {
    proptest::option::weighted(0.9, prop_oneof![4 => 0_u32..8, 1 => 0_u32..30])
}

pub(in crate::partition) fn step(end: u64) -> impl Strategy<Value = Step> {
    let reports = (
        // Some have ids more than once.
        prop_oneof![ids(end, 60), proptest::collection::vec(0..end, 0..60)],
        any::<u64>(),
        proptest::collection::vec(score(), 60),
        0_u32..40,
        octaves(),
        score_update(),
        0_u8..32,
        (1_u64..400, sender(), quarantine(), oldest_stamp()),
    )
        .prop_map(|(ids, _, scores, stamp, octaves, update, columns, of_terms)| Step::Report {
            scores: scores[..ids.len()].to_vec(),
            ids,
            stamp,
            octaves,
            update,
            columns,
            renew: of_terms.0,
            sender: of_terms.1,
            quarantine: of_terms.2,
            oldest_stamp: of_terms.3,
        });
    prop_oneof![
        8 => reports,
        3 => (
            ids(end, 30),
            proptest::collection::vec(any::<bool>(), 30),
            proptest::bool::weighted(0.8),
            1_u16..5,
            proptest::option::of(0_u64..5000),
        )
            .prop_map(|(ids, from_background, count, max_serves, lease)| {
                Step::Serve { ids, from_background, count, max_serves, lease }
            }),
        1 => ids(end, 20).prop_map(Step::Release),
        1 => (0_u64..5000, oldest_stamp()).prop_map(|(now, oldest)| Step::Expire(now, oldest)),
        1 => ids(end, 20).prop_map(Step::Remove),
        1 => (ids(end, 20), 0_u64..30).prop_map(|(ids, capacity)| Step::SetAside(ids, capacity)),
        1 => (ids(end, 60), any::<bool>()).prop_map(|(ids, trust)| Step::ReleaseQuarantined(ids, trust)),
        1 => ids(end, 9).prop_map(Step::Block),
        1 => ids(end, 30).prop_map(Step::Unblock),
        1 => (0_u8..4).prop_map(|draw| if draw == 0 { Step::Clear } else { Step::Expire(2000, None) }),
    ]
}

/// The operations of some steps, with the folds that a host would send. Samples live for a time where the capacity is even.
pub(in crate::partition) fn operations(steps: Vec<Step>, spec: &PartitionSpec) -> Vec<Op> {
    let (mut ops, mut position, mut clock) = (Vec::new(), 0, DecayClock::default());
    for step in steps {
        position += 1;
        if let Step::Report { octaves, .. } = step
            && let Some(floor_units) = clock.advance(octaves)
        {
            ops.push(Op { position, change: Change::Fold { floor_units } });
            position += 1;
        }
        ops.push(Op { position, change: change(step, spec, position, clock.decay_units) });
    }
    ops
}

/// The change of a step, at a position and at D.
fn change(step: Step, spec: &PartitionSpec, position: u64, decay_units: u64) -> Change {
    let expires = spec.capacity.is_multiple_of(2);
    match step {
        Step::Report {
            ids, scores, stamp, update, columns, renew, sender, quarantine, oldest_stamp, ..
        } => {
            let rows = columns_of(ids, scores, spec, decay_units, columns);
            let terms = Terms {
                decay_units,
                stamp,
                refuse_stale: columns & 8 > 0,
                model_version: stamp % 3,
                update,
                renew_after_rows: renew,
                quarantine,
                faults: RowFaults {
                    non_finite: u64::from(columns & 3),
                    out_of_range: u64::from(stamp % 2),
                    clamped: 1,
                    floored: u64::from(stamp % 5),
                },
                oldest_stamp: oldest_stamp.filter(|_| expires),
            };
            Change::Report { range: 0..rows.ids.len(), rows: Arc::new(rows), terms, sender }
        }
        Step::Serve { ids, from_background, count, max_serves, lease } => {
            let source = |from: bool| if from { Source::Background } else { Source::Hard };
            let sources = from_background.into_iter().map(source);
            let drawn = ids.into_iter().zip(sources).map(|(id, source)| Drawn { id, source }).collect();
            Change::Serve { drawn, mark: ServeMark { count, max_serves, lease_until: lease } }
        }
        Step::Release(ids) => Change::Release { ids },
        Step::Expire(now_millis, oldest_stamp) => {
            Change::Expire { now_millis, oldest_stamp: oldest_stamp.filter(|_| expires) }
        }
        Step::Remove(ids) => Change::Remove { ids },
        Step::SetAside(ids, capacity) => {
            Change::SetAside { ids, capacity, decay_units, now_millis: position }
        }
        Step::ReleaseQuarantined(ids, trust) => Change::ReleaseQuarantined { ids, trust },
        Step::Block(ids) => {
            let names =
                if spec.named { ids.iter().map(|id| format!("name {id}").into()).collect() } else { vec![] };
            Change::Block { ids, names }
        }
        Step::Unblock(ids) => Change::Unblock { ids },
        Step::Clear => Change::Clear,
    }
}

/// The columns of a report: bits of `optional` say which of the optional ones there are.
fn columns_of(
    ids: Vec<u64>,
    scores: Vec<f32>,
    spec: &PartitionSpec,
    decay_units: u64,
    optional: u8,
) -> Columns {
    let mut plain = Columns::plain(ids, scores, &spec.hardness, decay_units);
    if spec.named {
        plain.names = plain.ids.iter().map(|id| format!("sample {id}").into()).collect();
    }
    if optional & 1 > 0 {
        plain.payloads =
            plain.ids.iter().map(|id| Bytes::from(vec![*id as u8; (*id % 3) as usize])).collect();
    }
    if optional & 2 > 0 {
        plain.strata = plain.ids.iter().map(|id| (id % 4) as u32).collect();
    }
    if optional & 4 > 0 {
        plain.groups = plain.ids.iter().map(|id| id / 5).collect();
    }
    if optional & 16 > 0 {
        plain.raw_scores = plain.scores.iter().map(|score| 12.0 - score).collect();
    }
    plain
}

pub(crate) fn hardness() -> impl Strategy<Value = Hardness> {
    let function = prop_oneof![
        Just(HardnessFunction::Power { offset: 1e-3 }),
        Just(HardnessFunction::Exponential { temperature: 0.01 }),
        Just(HardnessFunction::Exponential { temperature: 1.0 }),
    ];
    (function, any::<bool>()).prop_map(|(function, lower_is_harder)| Hardness { function, lower_is_harder })
}

pub(super) fn specs() -> impl Strategy<Value = PartitionSpec> {
    let background = prop_oneof![
        (1_usize..60).prop_map(|size| BackgroundSpec::Sampled { size }),
        Just(BackgroundSpec::Dense { ids: 120 }),
    ];
    (1_usize..120, background, hardness(), any::<bool>(), 0_usize..7).prop_map(
        |(capacity, background, hardness, named, workers)| PartitionSpec {
            hardness,
            named,
            workers,
            ..spec(capacity, background)
        },
    )
}
