//! Random operations on a partition and on the reference model, in whole operations, in steps, and through images.

mod agreement;
mod examples;
mod expiry;
mod operations;
mod quarantine;
mod renewal;
mod split;

use proptest::prelude::*;
use std::sync::Arc;

use super::naive::Naive;
use super::*;
use crate::op::{Change, Columns, Op, Reply, Terms};
use crate::spec::QuarantineLimits;
use agreement::agree;
pub(crate) use operations::{DecayClock, hardness, in_pieces, octaves, score, score_update, sender};
use operations::{operations, specs, step};

impl Partition {
    /// Checks the invariants.
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

/// Encodes and decodes an operation, as a log does, and applies it in steps of `rows` rows.
fn apply_in_pieces(partition: &mut Partition, op: &Op, rows: usize) -> Reply {
    let mut job = partition.begin(Op::load(&op.save()).expect("its own bytes"));
    in_pieces(op.position, rows, |more| partition.step(&mut job, more))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The state equals that of the reference model, and the image is the same bytes in whole operations or in steps, through images or
    /// not.
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
            prop_assert_eq!(partition.strata(usize::MAX), whole.strata(usize::MAX));
            let rows_of = |p: &Partition| p.scan(None, 10).rows;
            prop_assert_eq!(rows_of(partition), rows_of(&whole));
        }
    }
}
