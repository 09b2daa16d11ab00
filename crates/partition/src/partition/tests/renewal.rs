//! Renewal of the background after removals.

use std::collections::BTreeSet;

use super::{DAY, report, spec};
use crate::op::{Change, Columns, Op, Terms};
use crate::partition::*;

/// All witnesses are removed at once: the next one, which has met nobody yet, cannot tell when a generation has seen everything.
#[test]
fn a_generation_waits_for_a_witness_that_was_there_before_it() {
    const KEPT: u64 = 2_000;
    for seed in 0..20 {
        let background = BackgroundSpec::Sampled { size: 300 };
        let mut partition = Partition::new(PartitionSpec { salt_seed: seed, ..spec(30_000, background) });
        let mut position = 0;
        let mut send = |partition: &mut Partition, ids: Vec<u64>| {
            position += 1;
            let scores = vec![1.0; ids.len()];
            let columns = Columns::plain(ids, scores, &partition.spec().hardness, DAY);
            let terms = Terms { decay_units: DAY, ..Terms::default() };
            partition.apply(report(position, columns, terms));
        };
        send(&mut partition, (0..20_000).collect());
        let witness: BTreeSet<u64> = partition
            .background
            .as_ref()
            .map(|b| b.witness.members().map(|member| member.id).collect())
            .expect("one");
        let kept: Vec<u64> = (0..20_000).filter(|id| !witness.contains(id)).take(KEPT as usize).collect();
        let gone = (0..20_000).filter(|id| witness.contains(id) || *id > kept[KEPT as usize - 1]).collect();
        partition.apply(Op { position: 1, change: Change::Remove { ids: gone } });
        assert!(partition.background.as_ref().is_some_and(|b| b.witness.len() == 0 && b.filling.is_some()));
        let (mut reported, mut began, mut generations) = (BTreeSet::new(), 0, partition.generations());
        let mut x = seed;
        for row in 0.. {
            x = crate::hash::background_hash(x, 12);
            let id = kept[(x % KEPT) as usize];
            send(&mut partition, vec![id]);
            reported.insert(id);
            let now = partition.generations();
            if now.0 != generations.0 {
                break;
            }
            if now.1 != generations.1 {
                (began, generations) = (row, now);
                reported.clear();
            }
        }
        // About half of the 256 witnesses stay, and leave 1 in 129 out: more than a tenth with a chance of one in a million.
        assert!(began > 500, "a generation began when there was a witness: row {began}");
        assert!(reported.len() as u64 > KEPT * 9 / 10, "{} of {KEPT}", reported.len());
        let image = partition.save();
        assert!(Partition::load(&image).is_ok_and(|loaded| loaded.save() == image));
    }
}
