//! Tests that released samples come back as they were, and that blocked ids stay away.

use proptest::prelude::*;

use super::{DAY, report, spec};
use crate::key::{FOLD_BELOW_UNITS, UNITS_PER_OCTAVE};
use crate::op::{
    ApplyCounts, Change, Columns, Drawn, Op, QuarantineTerms, ReleaseCounts, Reply, ScoreUpdate, Sender,
    ServeMark, SetAsideCounts, Source, Terms,
};
use crate::partition::*;
use crate::row::Row;
use crate::spec::{BackgroundSpec, QuarantineLimits};

fn partition(capacity: usize) -> Partition {
    let quarantine = QuarantineLimits { streaks: 100, trusted: 10, blocked: 10 };
    Partition::new(PartitionSpec { quarantine, ..spec(capacity, BackgroundSpec::Sampled { size: 64 }) })
}

fn change(partition: &mut Partition, change: Change) -> Reply {
    let position = partition.position() + 1;
    partition.apply(Op { position, change })
}

/// A rule under which scores over 10 are suspect.
fn rule(reports: u32) -> Option<QuarantineTerms> {
    Some(QuarantineTerms { threshold: Some(10.0), reports, capacity: 5, now_millis: 77 })
}

fn tell(partition: &mut Partition, rows: &[(u64, f32)], terms: Terms) -> ApplyCounts {
    let (ids, scores) = rows.iter().copied().unzip();
    let columns = Columns::plain(ids, scores, &partition.spec().hardness, terms.decay_units);
    let Reply::Reported(counts) = partition.apply(report(partition.position() + 1, columns, terms)) else {
        panic!("a report");
    };
    counts
}

fn drawn(ids: &[u64]) -> Vec<Drawn> {
    ids.iter().map(|id| Drawn { id: *id, source: Source::Hard }).collect()
}

fn release(partition: &mut Partition, ids: &[u64]) -> ReleaseCounts {
    let Reply::ReleasedQuarantined(counts) =
        change(partition, Change::ReleaseQuarantined { ids: ids.to_vec(), trust: false })
    else {
        panic!("a release");
    };
    counts
}

/// The same sample in a partition that sets it aside and releases it, and in one that has no rule.
fn with_and_without(update: ScoreUpdate, scores: &[f32], folded_octaves: u64) -> [Row; 2] {
    [rule(2), None].map(|quarantine| {
        let mut partition = partition(100);
        for (report, score) in (0..).zip(scores) {
            let decay_units = DAY + report * 3 * UNITS_PER_OCTAVE as u64;
            let terms = Terms {
                decay_units,
                stamp: report as u32,
                model_version: 5,
                update,
                quarantine,
                ..Terms::default()
            };
            tell(&mut partition, &[(7, *score), (8, 1.0)], terms);
        }
        assert_eq!(partition.quarantined(7).is_some(), quarantine.is_some());
        if folded_octaves > 0 {
            let floor_units = DAY + folded_octaves * UNITS_PER_OCTAVE as u64 - FOLD_BELOW_UNITS;
            change(&mut partition, Change::Fold { floor_units });
        }
        if quarantine.is_some() {
            assert_eq!(
                release(&mut partition, &[7]),
                ReleaseCounts { released: 1, ..ReleaseCounts::default() }
            );
        }
        partition.check();
        partition.row(7).expect("it is back")
    })
}

#[test]
fn a_released_sample_is_what_it_would_be_had_it_never_been_set_aside() {
    let ema = ScoreUpdate::Ema { weight: 0.25 };
    for update in [ScoreUpdate::Last, ScoreUpdate::Max, ema] {
        // Set aside by the second report; the third and fourth refresh the record.
        for scores in [&[20.0, 40.0][..], &[20.0, 40.0, 3.0, 17.0]] {
            for folded_octaves in [0, 100, 9_000, 100_000] {
                let [with, without] = with_and_without(update, scores, folded_octaves);
                assert_eq!(with, without, "{update:?}, {scores:?}, {folded_octaves}");
            }
        }
    }
    let [with, _] = with_and_without(ema, &[20.0, 40.0, 3.0, 17.0], 0);
    assert_eq!(with.score, 0.25 * 17.0 + 0.75 * (0.25 * 3.0 + 0.75 * 25.0), "the history of all reports");
}

#[test]
fn the_row_that_completes_a_streak_sets_its_sample_aside_there_and_then() {
    let mut partition = partition(2);
    let terms = Terms { decay_units: DAY, quarantine: rule(2), ..Terms::default() };
    tell(&mut partition, &[(1, 20.0), (2, 9.0)], terms);
    let mark = ServeMark { count: true, max_serves: 9, lease_until: Some(1 << 40) };
    change(&mut partition, Change::Serve { drawn: drawn(&[1]), mark });
    assert_eq!(partition.census().leased, 1);
    // Of one report: the second row sets 1 aside, so that there is room for 3, and the last is of a sample in quarantine.
    let counts = tell(&mut partition, &[(1, 21.0), (3, 1.0), (1, 22.0)], terms);
    let expected = ApplyCounts { quarantined: 2, set_aside: 1, inserted: 1, ..ApplyCounts::default() };
    assert_eq!(counts, expected);
    let record = partition.quarantined(1).expect("set aside");
    assert_eq!((record.score, record.reports, record.threshold), (22.0, 2, Some(10.0)));
    assert_eq!((record.serves, record.set_aside_millis), (0, 77));
    assert!(partition.row(1).is_none());
    assert_eq!((partition.census().leased, partition.census().background.members), (0, 2));
    partition.check();
    // One row that is not above ends a streak; one that is older than what is stored does nothing.
    let older = Terms { refuse_stale: true, ..terms };
    let later = Terms { stamp: 5, ..older };
    tell(&mut partition, &[(2, 20.0)], later);
    assert_eq!(tell(&mut partition, &[(2, 20.0), (1, 5.0)], Terms { stamp: 4, ..older }).stale, 1);
    tell(&mut partition, &[(2, 1.0), (2, 20.0)], later);
    assert!(partition.quarantined(2).is_none());
    tell(&mut partition, &[(2, 20.0)], later);
    assert!(partition.quarantined(2).is_some());
    // Without a threshold streaks neither go on nor end; without a rule they are forgotten.
    let unknown = QuarantineTerms { threshold: None, ..rule(2).expect("a rule") };
    tell(&mut partition, &[(3, 20.0)], later);
    tell(&mut partition, &[(3, 1.0), (3, 30.0)], Terms { quarantine: Some(unknown), ..later });
    assert_eq!(partition.stats().streaks, 1);
    tell(&mut partition, &[], Terms { quarantine: None, ..later });
    assert_eq!(partition.stats().streaks, 0);
}

/// A witness does not wait for samples that are set aside or blocked, and meets them again when they are released.
#[test]
fn a_generation_does_not_wait_for_what_is_kept_out() {
    let mut partition = Partition::new(spec(10, BackgroundSpec::Sampled { size: 16 }));
    let terms = Terms { decay_units: DAY, renew_after_rows: 100, ..Terms::default() };
    let all: Vec<(u64, f32)> = (0..100).map(|id| (id, 1.0)).collect();
    tell(&mut partition, &all, terms);
    tell(&mut partition, &all[..1], terms);
    assert_eq!((partition.stats().generations, partition.stats().witness_pending), (2, 99));
    tell(&mut partition, &all[..94], terms);
    assert_eq!(partition.stats().witness_pending, 6);
    let (decay_units, now_millis) = (DAY, 0);
    let stored: Vec<u64> = (94..100).filter(|id| partition.row(*id).is_some()).collect();
    let absent = 6 - stored.len() as u64;
    let ids: Vec<u64> = (94..100).collect();
    let reply =
        change(&mut partition, Change::SetAside { ids: ids.clone(), capacity: 9, decay_units, now_millis });
    let expected = SetAsideCounts { set_aside: stored.len() as u64, absent, refused: 0 };
    assert_eq!(reply, Reply::SetAside(expected));
    let rest = ids.iter().copied().filter(|id| !stored.contains(id)).collect();
    change(&mut partition, Change::Block { ids: rest, names: vec![] });
    assert_eq!(partition.generations(), (1, 2), "it took over");
    assert_eq!(partition.stats().witness, 94);
    assert_eq!(release(&mut partition, &ids).released, stored.len() as u64);
    assert_eq!(partition.stats().witness, 94 + stored.len() as u64);
    partition.check();
}

#[test]
fn what_was_cleared_is_as_new_but_for_what_is_no_sample() {
    let fresh = |partition: &mut Partition| {
        let rows: Vec<(u64, f32)> = (0..300).map(|id| (id, (id * 7 % 100) as f32 / 20.0)).collect();
        tell(partition, &rows, Terms { decay_units: DAY, stamp: 3, ..Terms::default() })
    };
    let mut used = partition(100);
    let sender = Some(Sender { worker: 1, epoch: 1, sequence: 1 });
    let terms = Terms { decay_units: DAY, quarantine: rule(1), ..Terms::default() };
    let mut columns = Columns::plain(vec![5, 6, 7], vec![20.0, 30.0, 2.0], &used.spec().hardness, DAY);
    columns.strata = vec![1, 2, 3];
    let first = Change::Report { rows: columns.into(), range: 0..3, terms, sender };
    change(&mut used, first.clone());
    change(&mut used, Change::ReleaseQuarantined { ids: vec![5], trust: true });
    change(&mut used, Change::Block { ids: vec![400], names: vec![] });
    let mark = ServeMark { count: true, max_serves: 9, lease_until: Some(1 << 40) };
    change(&mut used, Change::Serve { drawn: drawn(&[5, 7]), mark });
    assert_eq!(change(&mut used, Change::Clear), Reply::Cleared(3));
    let stats = used.stats();
    assert_eq!(
        (stats.hard, stats.background, stats.leased, stats.quarantined, stats.witness),
        (0, 0, 0, 0, 0)
    );
    assert_eq!((stats.trusted, stats.blocked, stats.workers), (1, 1, 1));
    let Reply::Reported(resend) = change(&mut used, first) else { panic!("a report") };
    assert_eq!((resend.duplicate, used.hard_len()), (3, 0), "a resend brings nothing back");
    assert_eq!(tell(&mut used, &[(400, 1.0)], terms).blocked, 1);
    let mut new = partition(100);
    // The backgrounds are other samples, under other salts.
    let hard = |counts: ApplyCounts| (counts.inserted, counts.evicted, counts.rows());
    assert_eq!(hard(fresh(&mut used)), hard(fresh(&mut new)));
    let rows = |partition: &Partition| partition.scan(None, usize::MAX).rows;
    assert_eq!(rows(&used), rows(&new));
    let salts = [&used, &new].map(|partition| partition.census().background.salt);
    assert_ne!(salts[0], salts[1], "a draw would take the background for the old one");
    used.check();
}

#[test]
fn a_dense_id_that_is_kept_out_is_not_in_the_background() {
    let mut partition = Partition::new(spec(10, BackgroundSpec::Dense { ids: 50 }));
    let mark = ServeMark { count: true, max_serves: 9, lease_until: None };
    change(&mut partition, Change::Serve { drawn: drawn(&[3]), mark });
    let (decay_units, now_millis) = (DAY, 0);
    change(&mut partition, Change::SetAside { ids: vec![3, 4], capacity: 9, decay_units, now_millis });
    change(&mut partition, Change::Block { ids: vec![5], names: vec![] });
    assert_eq!((partition.row(3), partition.census().background.removed), (None, 3));
    tell(&mut partition, &[(4, 2.0), (5, 2.0)], Terms { decay_units: DAY, ..Terms::default() });
    assert_eq!(partition.hard_len(), 0);
    assert_eq!(release(&mut partition, &[3, 4]).released, 2);
    assert_eq!(partition.row(3).map(|row| row.serves), Some(1), "with the serves that were remembered");
    assert_eq!(partition.row(4).map(|row| row.score), Some(2.0));
    change(&mut partition, Change::Unblock { ids: vec![5] });
    assert!(partition.row(5).is_none(), "its next row brings it back");
    tell(&mut partition, &[(5, 2.0)], Terms { decay_units: DAY, ..Terms::default() });
    assert_eq!((partition.hard_len(), partition.census().background.removed), (2, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Rows count one by one, so it makes no difference to streaks and records into which reports they are divided.
    #[test]
    fn any_division_into_reports_sets_the_same_samples_aside(
        rows in proptest::collection::vec((0u64..12, 0u32..20), 1..200),
        cuts in proptest::collection::vec(1usize..30, 1..40),
    ) {
        let rows: Vec<(u64, f32)> = rows.into_iter().map(|(id, score)| (id, score as f32)).collect();
        let terms = Terms { decay_units: DAY, quarantine: rule(3), renew_after_rows: 50, ..Terms::default() };
        let images = [vec![usize::MAX], vec![1], cuts].map(|cuts| {
            let mut partition = partition(8);
            let (mut left, mut sizes) = (&rows[..], cuts.into_iter().cycle());
            while !left.is_empty() {
                let (now, later) = left.split_at(sizes.next().unwrap_or(1).min(left.len()));
                tell(&mut partition, now, terms);
                left = later;
            }
            partition.position = 1;
            partition.check();
            partition.save()
        });
        prop_assert!(images[0] == images[1] && images[0] == images[2]);
    }
}
