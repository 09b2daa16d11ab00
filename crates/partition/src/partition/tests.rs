//! Random operations on a partition and on the plainest one; the same operations in pieces, and through images.

use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::naive::{Entry, Naive};
use super::*;
use crate::key::{HardnessFunction, UNITS_PER_OCTAVE};
use crate::op::{Columns, Drawn, QuarantineTerms, RowFaults, Sender, ServeMark, Source, Terms};
use crate::place::Place;
use crate::quarantine::{Quarantined, key_at};
use crate::spec::QuarantineLimits;

impl Partition {
    /// Every invariant that can be looked up.
    pub(crate) fn check(&self) {
        self.hard.check();
        self.dedupe.check();
        self.quarantine.check();
        self.check_expiry();
        for record in self.quarantined_page(None, usize::MAX) {
            assert!(
                self.row(record.id).is_none() && !self.leases.contains(record.id),
                "set aside, and stored"
            );
        }
        for (id, _) in self.blocked_page(None, usize::MAX) {
            assert!(self.row(id).is_none() && !self.leases.contains(id), "blocked, and stored");
        }
        assert!(self.hard.len() <= self.spec.capacity);
        for sample in self.background.iter().flat_map(Background::samples) {
            let is_in_hard = |id| self.hard.find(placement_hash(id), id).is_some();
            for (at, member) in sample.members().enumerate() {
                assert_eq!(sample.own_keys.is_in_hard(at), is_in_hard(member.id), "member {}", member.id);
            }
            assert_eq!(sample.own_keys.hard(), sample.members().filter(|m| is_in_hard(m.id)).count());
        }
        for slot in 0..self.hard.slots.touched() {
            let s = self.hard.slots.get(slot);
            if s.position != crate::hard::slots::VACANT {
                assert_eq!(
                    self.hard.buckets.rests(&self.hard.slots, slot),
                    self.leases.contains(s.id),
                    "leased samples rest"
                );
            }
        }
    }
}

pub(crate) const DAY: u64 = 1 << 42;

pub(crate) fn spec(capacity: usize, background: BackgroundSpec) -> PartitionSpec {
    PartitionSpec {
        capacity,
        background,
        hardness: Hardness::default(),
        named: false,
        salt_seed: 7,
        unstored_serves: 1 << 16,
        workers: 3,
        quarantine: QuarantineLimits { streaks: 9, trusted: 5, blocked: 5 },
    }
}

pub(super) fn report(position: u64, columns: Columns, terms: Terms) -> Op {
    let range = 0..columns.ids.len();
    Op { position, change: Change::Report { rows: Arc::new(columns), range, terms, sender: None } }
}

/// What a pool may send, in small.
#[derive(Clone, Debug)]
pub(super) enum Step {
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

/// Whose report it is: of more processes than are remembered, each at the numbers that workers begin with, or somewhere else.
pub(crate) fn sender() -> impl Strategy<Value = Option<Sender>> {
    let sequence = prop_oneof![8 => 0_u64..12, 2 => 1000_u64..1040, 1 => 0_u64..3000];
    let sender = (0_u128..3, 0_u64..2, sequence).prop_map(|(worker, epoch, sequence)| {
        // Hashes of names that differ in one half only.
        Sender { worker: worker << 63, epoch, sequence }
    });
    proptest::option::weighted(0.8, sender)
}

/// Mostly a rule under which about half of the rows are suspect, and that soon has no room.
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

pub(super) fn step(end: u64) -> impl Strategy<Value = Step> {
    let update = prop_oneof![
        3 => Just(ScoreUpdate::Last),
        1 => Just(ScoreUpdate::Max),
        1 => Just(ScoreUpdate::Ema { weight: 0.25 }),
    ];
    let reports = (
        // Some have ids more than once.
        prop_oneof![ids(end, 60), proptest::collection::vec(0..end, 0..60)],
        any::<u64>(),
        proptest::collection::vec(score(), 60),
        0_u32..40,
        0_u64..9000,
        update,
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
pub(super) fn operations(steps: Vec<Step>, spec: &PartitionSpec) -> Vec<Op> {
    let octave = UNITS_PER_OCTAVE as u64;
    let expires = spec.capacity.is_multiple_of(2);
    let (mut ops, mut position, mut decay_units, mut folded) = (Vec::new(), 0, DAY, DAY);
    for step in steps {
        position += 1;
        let change = match step {
            Step::Report {
                ids,
                scores,
                stamp,
                octaves,
                update,
                columns,
                renew,
                sender,
                quarantine,
                oldest_stamp,
            } => {
                // Mostly a little later, sometimes by thousands of half-lives.
                decay_units += if octaves < 8000 { octaves * 16 } else { octaves * octave };
                if decay_units >= folded + crate::key::FOLD_EVERY_UNITS {
                    folded = decay_units;
                    let floor_units = decay_units - crate::key::FOLD_BELOW_UNITS;
                    ops.push(Op { position, change: Change::Fold { floor_units } });
                    position += 1;
                }
                let mut plain = Columns::plain(ids, scores, &spec.hardness, decay_units);
                let n = plain.ids.len();
                if spec.named {
                    plain.names = plain.ids.iter().map(|id| format!("sample {id}").into()).collect();
                }
                if columns & 1 > 0 {
                    plain.payloads =
                        plain.ids.iter().map(|id| Bytes::from(vec![*id as u8; (*id % 3) as usize])).collect();
                }
                if columns & 2 > 0 {
                    plain.strata = plain.ids.iter().map(|id| (id % 4) as u32).collect();
                }
                if columns & 4 > 0 {
                    plain.groups = plain.ids.iter().map(|id| id / 5).collect();
                }
                if columns & 16 > 0 {
                    plain.raw_scores = plain.scores.iter().map(|score| 12.0 - score).collect();
                }
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
                Change::Report { rows: Arc::new(plain), range: 0..n, terms, sender }
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
                let names = if spec.named {
                    ids.iter().map(|id| format!("name {id}").into()).collect()
                } else {
                    vec![]
                };
                Change::Block { ids, names }
            }
            Step::Unblock(ids) => Change::Unblock { ids },
            Step::Clear => Change::Clear,
        };
        ops.push(Op { position, change });
    }
    ops
}

/// In steps of `rows` rows; every second operation ends in larger ones, the last of any size.
fn apply_in_pieces(partition: &mut Partition, op: &Op, rows: usize) -> Reply {
    // By way of its bytes, as from a log.
    let mut job = partition.begin(Op::load(&op.save()).expect("its own bytes"));
    let mut sizes = [rows, rows, 2 * rows, 3 * rows].into_iter();
    loop {
        let more = if op.position.is_multiple_of(2) { rows } else { sizes.next().unwrap_or(usize::MAX) };
        if let Some(reply) = partition.step(&mut job, more) {
            return reply;
        }
    }
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

/// The two have the same samples set aside, with all that is known of them, and the same suspects.
fn agree_on_suspects(real: &Partition, naive: &Naive) {
    let suspects = &naive.suspects;
    let records = real.quarantined_page(None, usize::MAX);
    assert_eq!(records.len(), suspects.held.len());
    for (record, (id, held)) in records.into_iter().zip(&suspects.held) {
        let Quarantined { raw_score, score, stamp, model_version, stratum, group, threshold, .. } = *record;
        assert_eq!((record.id, threshold, record.reports), (*id, held.threshold, held.reports));
        let numbers = (record.set_aside_millis, raw_score.to_bits(), record.serves);
        assert_eq!(numbers, (held.millis, held.raw_score.to_bits(), held.serves));
        let key =
            held.key.filter(|(key, _)| real.folded_units.is_none_or(|f| key.since(Key::of_clock(f)) >= 0));
        if let Some((key, _)) =
            key.filter(|(_, at)| real.folded_units.is_none_or(|f| at.abs_diff(f) < 1 << 30))
        {
            assert_eq!(record.key_units.map(|units| key_at(units, real.folded_units)), Some(key));
        }
        assert_eq!(record.key_units.is_some(), held.key.is_some());
        let entry = Entry {
            score,
            stamp,
            version: model_version,
            serves: held.entry.as_ref().map_or(0, |entry| entry.serves),
            stratum,
            group,
            name: record.name.as_ref().map(ToString::to_string),
            payload: record.payload.as_ref().map(|p| p.to_vec()),
        };
        assert_eq!(held.entry.as_ref(), (!score.is_nan()).then_some(&entry), "record of {id}");
    }
    let streaks = real.quarantine.streaks.all().map(|(id, s)| (id, s.reports, s.stamp, s.was_refused));
    assert_eq!(streaks.collect::<Vec<_>>(), suspects.streaks);
    assert_eq!(real.quarantine.trusted_ids(), suspects.trusted.iter().copied().collect::<Vec<_>>());
    let blocked = real.blocked_page(None, usize::MAX).into_iter();
    let blocked = blocked.map(|(id, name)| (id, name.map(|name| name.to_string())));
    assert_eq!(blocked.collect::<std::collections::BTreeMap<_, _>>(), suspects.blocked);
    assert_eq!(real.quarantine.overflows, suspects.overflows);
}

/// The two hold the same of every id, in the same order.
pub(super) fn agree(real: &Partition, naive: &Naive) {
    let order: Vec<u64> = naive.order().into_iter().filter(|id| !naive.leases.contains_key(id)).collect();
    let top = real.top(order.len() + 1, ServePenalty::default(), usize::MAX, None);
    assert_eq!(top.iter().map(|(_, row)| row.id).collect::<Vec<_>>(), order);
    if let Some((floor, _)) = top.get(order.len() / 2) {
        let above = real.top(order.len() + 1, ServePenalty::default(), usize::MAX, Some(*floor));
        let with_its_key = top.iter().filter(|(place, _)| place.key.since(floor.key) >= 0);
        assert!(above.iter().eq(with_its_key), "what is below a floor is left out, and nothing else");
    }
    assert_eq!(real.hard_len(), naive.hard.len() as u64);
    let all = real.scan(None, usize::MAX).rows;
    assert_eq!(all.iter().map(|row| row.id).collect::<BTreeSet<_>>(), naive.hard.keys().copied().collect());
    for id in 0..200 {
        let row = real.row(id);
        let is_unreported = |row: &crate::row::Row| row.score.is_nan();
        let stored = row.filter(|row| !is_unreported(row)).map(|row| {
            let look = ServeMark { count: false, max_serves: u16::MAX, lease_until: None };
            let served = real.look(id, look).expect("stored");
            Entry {
                score: row.score,
                stamp: row.stamp.expect("stored"),
                version: row.model_version,
                serves: row.serves,
                stratum: row.stratum,
                group: row.group,
                name: served.name.map(|n| n.to_string()),
                payload: served.payload.map(|p| p.to_vec()),
            }
        });
        assert_eq!(stored.as_ref(), naive.entry(id), "id {id}");
        assert_eq!(real.lease_end(id), naive.leases.get(&id).copied(), "lease of {id}");
        if let Some(hard) = naive.hard.get(&id) {
            assert_eq!(row.and_then(|row| row.hard_key), Some(hard.0));
        }
        assert_eq!(row.and_then(|row| row.own_key), naive.own_key(id), "own key of {id}");
    }
    naive.senders.agree(&real.dedupe);
    assert_eq!(*real.totals(), naive.totals);
    agree_on_suspects(real, naive);
    let census = real.census();
    assert_eq!(census.leased, naive.leases.len() as u64);
    let background = &real.background;
    match background {
        None => assert_eq!(census.background.removed, naive.removed.len() as u64),
        Some(background) => {
            let members: BTreeSet<u64> =
                (0..census.background.members).map(|ordinal| real.background_id(ordinal).unwrap()).collect();
            assert_eq!(members, naive.serving.members.keys().copied().collect());
            assert_eq!(census.background.threshold, naive.serving.threshold);
            assert_eq!(background.generations, naive.generations);
            let in_hard = || members.iter().filter(|id| naive.hard.contains_key(id));
            assert_eq!(census.background.in_hard, in_hard().count() as u64);
            let own = in_hard().filter(|id| naive.own_key(**id).is_some()).count();
            assert_eq!(census.background.own, own as u64);
            let filling = background.filling.iter().zip(&naive.filling);
            for (real, naive) in std::iter::once((&background.serving, &naive.serving)).chain(filling) {
                let own = real.members().map(|member| (member.id, (member.own_key, member.owes_serve)));
                assert_eq!(own.collect::<BTreeMap<_, _>>(), naive.own);
            }
            let leased = members.iter().filter(|id| naive.leases.contains_key(id)).count();
            // Members that joined while they rested are not counted; there are none, for a report ends a lease.
            assert!(census.background.leased <= leased as u64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The same state as the plainest partition, whole or in pieces, through images or not: the images are equal to the byte.
    #[test]
    fn a_partition_is_a_function_of_its_operations(
        spec in specs(),
        steps in proptest::collection::vec(step(120), 1..60),
        saved_at in any::<u64>(),
    ) {
        let ops = operations(steps, &spec);
        let mut whole = Partition::new(spec);
        let mut pieces: Vec<(usize, Partition)> =
            [1, 7, 1024].into_iter().map(|rows| (rows, Partition::new(spec))).collect();
        let salt = whole.background.as_ref().map_or(0, |background| background.witness.salt);
        let mut naive = Naive::new(spec, salt);
        for (i, op) in ops.iter().enumerate() {
            let reply = whole.apply(op.clone());
            prop_assert_eq!(&reply, &naive.apply(op), "operation {}", i);
            whole.check();
            for (rows, partition) in &mut pieces {
                prop_assert_eq!(&apply_in_pieces(partition, op, *rows), &reply);
                if saved_at >> (i % 64) & 1 == 1 {
                    *partition = Partition::load(&partition.save()).expect("its own image");
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
            prop_assert_eq!(partition.census().background, whole.census().background);
            prop_assert_eq!(partition.strata(), whole.strata());
            let rows_of = |p: &Partition| p.scan(None, 10).rows;
            prop_assert_eq!(rows_of(partition), rows_of(&whole));
        }
    }
}

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
