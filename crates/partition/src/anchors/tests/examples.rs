//! Examples of what a partition of anchors must store.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;

fn report_op(position: u64, columns: AnchorColumns, terms: Terms) -> AnchorOp {
    let range = 0..columns.ids.len();
    AnchorOp {
        position,
        change: AnchorChange::Report { rows: Arc::new(columns), range, terms, sender: None },
    }
}

/// Applies rows of (anchor, id, score).
fn apply(partition: &mut AnchorPartition, rows: &[(u64, u64, f32)]) -> Reported {
    apply_with(partition, rows, Terms::default(), |_| ())
}

fn apply_with(
    partition: &mut AnchorPartition,
    rows: &[(u64, u64, f32)],
    terms: Terms,
    change: impl FnOnce(&mut AnchorColumns),
) -> Reported {
    let columns = |of: fn(&(u64, u64, f32)) -> u64| rows.iter().map(of).collect();
    let scores = rows.iter().map(|row| row.2).collect();
    let hardness = partition.spec.hardness;
    let mut plain =
        AnchorColumns::plain(columns(|r| r.0), columns(|r| r.1), scores, &hardness, terms.decay_units);
    change(&mut plain);
    match partition.apply(report_op(partition.position() + 1, plain, terms)) {
        AnchorReply::Reported(reported) => reported,
        other => panic!("{other:?}"),
    }
}

fn mark(partition: &mut AnchorPartition, pairs: &[(u64, u64, f32)], why: NotNegative, stamp: u32) -> Marked {
    let pairs = PairColumns {
        anchors: pairs.iter().map(|pair| pair.0).collect(),
        ids: pairs.iter().map(|pair| pair.1).collect(),
        scores: pairs.iter().map(|pair| pair.2).collect(),
    };
    let range = 0..pairs.ids.len();
    let change = AnchorChange::Mark { pairs: Arc::new(pairs), range, why, stamp, model_version: 1 };
    match partition.apply(AnchorOp { position: partition.position() + 1, change }) {
        AnchorReply::Marked(marked) => marked,
        other => panic!("{other:?}"),
    }
}

fn read(partition: &AnchorPartition, anchor: u64) -> (AnchorRow, AnchorRows) {
    let mut rows = AnchorRows::unread(1);
    partition.fetch(&[anchor], &[0], &mut rows);
    rows.complete();
    (rows.anchors[0].clone(), rows)
}

/// Ids and scores of an anchor's negatives, the hardest first.
fn stored(partition: &AnchorPartition, anchor: u64) -> Vec<(u64, f32)> {
    read(partition, anchor).1.negatives.iter().map(|n| (n.id, n.score)).collect()
}

#[test]
fn within_a_tie_of_keys_the_raw_score_decides() {
    let clamps = HardnessFunction::Exponential { temperature: 1e-5 };
    for (lower_is_harder, function, scores) in [
        (false, HardnessFunction::Power { offset: 1e-3 }, [0.9, 0.900_000_4, 0.900_000_2]),
        (false, clamps, [0.5, 0.9, 0.7]),
        (true, HardnessFunction::Power { offset: 1e-3 }, [0.9, 0.899_999_6, 0.899_999_8]),
    ] {
        let hardness = Hardness { function, lower_is_harder };
        let keys = scores.map(|score| hardness.key(score, 0).0);
        assert!(keys[0] == keys[1] && keys[1] == keys[2], "a tie");
        let mut partition = AnchorPartition::new(AnchorPartitionSpec { hardness, ..spec(2) });
        apply(&mut partition, &[(1, 10, scores[0]), (1, 12, scores[2])]);
        assert_eq!(stored(&partition, 1), [(12, scores[2]), (10, scores[0])]);
        // The hardest comes late and replaces the easiest; the easiest does not come back.
        assert_eq!(apply(&mut partition, &[(1, 13, scores[1])]).counts.evicted, 1);
        assert_eq!(apply(&mut partition, &[(1, 9, scores[0])]).counts.too_easy, 1);
        assert_eq!(stored(&partition, 1), [(13, scores[1]), (12, scores[2])]);
    }
}

#[test]
fn of_too_many_those_too_near_the_positive_go_first() {
    let margins = Margins { absolute: Some(0.0), relative: None };
    let mut partition = AnchorPartition::new(AnchorPartitionSpec { margins, ..spec(2) });
    apply_with(&mut partition, &[(1, 10, 0.9), (1, 11, 0.3)], Terms::default(), |columns| {
        columns.positive_scores = vec![0.8, f32::NAN];
    });
    // 0.9 is over the positive's 0.8: a false negative, likely, and goes for one that is easier.
    apply(&mut partition, &[(1, 12, 0.1)]);
    assert_eq!(stored(&partition, 1), [(11, 0.3), (12, 0.1)]);
    let counts = apply(&mut partition, &[(1, 13, 0.95)]).counts;
    assert_eq!(counts.too_easy, 1, "where all pass, one that fails does not come in");
}

/// The margin is measured from the least alike of what was told last of each positive, and of the anchor.
#[test]
fn a_positive_is_scored_as_it_was_told_last() {
    let mut partition = AnchorPartition::new(spec(4));
    let told = |partition: &mut AnchorPartition, scores: &[f32], stamp: u32| {
        let terms = Terms { stamp, refuse_stale: true, model_version: 1, ..Terms::default() };
        let rows: Vec<_> = scores.iter().map(|_| (1, 10, 0.5)).collect();
        apply_with(partition, &rows, terms, |columns| columns.positive_scores = scores.to_vec());
        read(partition, 1).0.positive
    };
    assert!(told(&mut partition, &[f32::NAN, f32::INFINITY], 4).is_nan(), "nothing was told");
    assert_eq!(told(&mut partition, &[0.9, 0.7, f32::NAN], 5), 0.7, "the last of the rows that tell one");
    assert_eq!(told(&mut partition, &[0.8], 6), 0.8, "it can rise, under one model as well");
    assert_eq!(told(&mut partition, &[0.1], 5), 0.8, "an older step is ignored");
    let positive = |partition: &mut AnchorPartition, id, score| {
        mark(partition, &[(1, id, score)], NotNegative::Positive, 9);
        read(partition, 1).0.positive
    };
    assert_eq!(positive(&mut partition, 77, 0.6), 0.6);
    assert_eq!(positive(&mut partition, 78, 0.7), 0.6, "the least alike of the two");
    assert_eq!(positive(&mut partition, 77, f32::NAN), 0.6, "what is not told stays");
    assert_eq!(positive(&mut partition, 77, 0.75), 0.7, "the last report of each counts");
    assert_eq!(told(&mut partition, &[0.65], 10), 0.65);
    assert_eq!(told(&mut partition, &[0.95], 11), 0.7);
    let again = AnchorPartition::load(&partition.save()).unwrap();
    assert_eq!(read(&again, 1).0.positive, 0.7);
}

#[test]
fn what_is_no_negative_is_never_forgotten_and_never_half_remembered() {
    let limits = AnchorPartitionSpec { max_anchors: 3, max_pairs: 7, ..spec(4) };
    let mut partition = AnchorPartition::new(limits);
    apply(&mut partition, &[(1, 10, 1.0), (1, 11, 2.0), (2, 10, 1.0)]);
    let pair = |anchor, id| (anchor, id, f32::NAN);
    let vetoed = NotNegative::Vetoed;
    let marked = mark(&mut partition, &[pair(1, 10), pair(3, 10), pair(1, 10)], vetoed, 0);
    assert_eq!((marked.added, marked.removed, marked.refused.len()), (2, 1, 0));
    let reported = apply(&mut partition, &[(1, 10, 9.0), (3, 10, 9.0), (2, 10, 3.0)]);
    assert_eq!((reported.counts.not_negative, reported.counts.updated), (2, 1));
    assert_eq!(reported.negatives, [2]);
    let before = partition.save();
    let refused = |partition: &mut AnchorPartition, pairs: &[(u64, u64)], why| {
        let pairs: Vec<_> = pairs.iter().map(|(anchor, id)| pair(*anchor, *id)).collect();
        let marked = mark(partition, &pairs, why, 0);
        assert_eq!((marked.added, marked.removed), (0, 0));
        marked.refused.iter().map(|r| (r.row, r.limit, r.wanted)).collect::<Vec<_>>()
    };
    // Anchor 1 has one veto and room for four: nothing is remembered, anchor 2's pair neither.
    let many = [(2, 1), (1, 1), (1, 2), (1, 3), (1, 4)];
    assert_eq!(refused(&mut partition, &many, vetoed), [(1, PairLimit::VetoesPerAnchor, 5)]);
    let many = [(2, 1), (2, 2), (2, 3), (2, 4), (2, 5)];
    let positive = NotNegative::Positive;
    assert_eq!(refused(&mut partition, &many, positive), [(0, PairLimit::PositivesPerAnchor, 5)]);
    assert_eq!(refused(&mut partition, &[(1, 5), (4, 1)], vetoed), [(1, PairLimit::Anchors, 4)]);
    let many = [(1, 10), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)];
    assert_eq!(refused(&mut partition, &many, vetoed), [(1, PairLimit::Pairs, 8)]);
    let mut after = AnchorPartition::load(&before).unwrap();
    after.position = partition.position();
    assert!(partition.save() == after.save(), "only the position is another");
    // A pair that is known already needs no room.
    assert!(mark(&mut partition, &[pair(1, 10)], vetoed, 0).refused.is_empty());
    let counts = apply(&mut partition, &[(4, 10, 1.0), (3, 11, 1.0)]).counts;
    assert_eq!((counts.anchor_limit, counts.inserted), (1, 1));
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
    let rows: Vec<(u64, u64, f32)> =
        (0..ROWS).map(|_| (next(300), next(60), next(4_000) as f32 / 100.0)).collect();
    let pairs: BTreeSet<(u64, u64)> = rows.iter().map(|row| (row.0, row.1)).collect();
    let distinct = pairs.len() as u64;
    let divisions: [Vec<usize>; 3] =
        [vec![ROWS], vec![1; ROWS], (0..ROWS).map(|_| 1 + next(700) as usize).collect()];
    for update in [ScoreUpdate::Last, ScoreUpdate::Max, ScoreUpdate::Ema { weight: 0.3 }] {
        let images = divisions.each_ref().map(|division| {
            let mut partition = AnchorPartition::new(spec(8));
            let (mut from, mut coalesced) = (0, 0);
            let terms = Terms { decay_units: DAY, update, ..Terms::default() };
            for rows_of in division {
                let to = (from + rows_of).min(ROWS);
                coalesced += apply_with(&mut partition, &rows[from..to], terms, |_| ()).counts.coalesced;
                from = to;
                if to == ROWS {
                    break;
                }
            }
            partition.check();
            partition.position = 0;
            (coalesced, partition.save())
        });
        assert_eq!((images[0].0, images[1].0), (ROWS as u64 - distinct, 0), "{update:?}");
        assert!(images[0].1 == images[1].1 && images[0].1 == images[2].1, "{update:?}");
    }
}

#[test]
fn a_resend_does_nothing_and_a_report_is_remembered_with_its_last_step() {
    let mut partition = AnchorPartition::new(spec(4));
    let sender = Sender { worker: 7, epoch: 1, sequence: 5 };
    let op = |position| {
        let rows: Vec<u64> = (0..40).collect();
        let scores = rows.iter().map(|row| *row as f32).collect();
        let columns = AnchorColumns::plain(vec![1; 40], rows, scores, &Hardness::default(), DAY);
        let (rows, terms) = (Arc::new(columns), Terms { decay_units: DAY, ..Terms::default() });
        AnchorOp {
            position,
            change: AnchorChange::Report { rows, range: 0..40, terms, sender: Some(sender) },
        }
    };
    let mut job = partition.begin(op(1));
    for _ in 0..3 {
        assert_eq!(partition.step(&mut job, 10), None);
        assert!(!partition.dedupe.has(&sender));
    }
    assert!(partition.step(&mut job, 10).is_some());
    assert!(partition.dedupe.has(&sender));
    let image = partition.save();
    let mut job = partition.begin(op(1));
    let Some(AnchorReply::Reported(reported)) = partition.step(&mut job, 1) else {
        panic!("of a resend the first step is the last");
    };
    assert_eq!((reported.counts.duplicate, reported.counts.rows()), (40, 40));
    assert!(reported.negatives.is_empty());
    assert!(partition.save() == image);
}

/// A clear removes what reports brought. Positives, vetoes and deduplication stay.
#[test]
fn a_clear_leaves_what_is_no_negative() {
    let mut partition = AnchorPartition::new(AnchorPartitionSpec { named: true, ..spec(4) });
    let rows: Vec<_> = (0..20).flat_map(|anchor| [(anchor, 10, 1.0), (anchor, 11 + anchor, 2.0)]).collect();
    apply_with(&mut partition, &rows, Terms::default(), |columns| {
        columns.names = columns.ids.iter().map(|id| format!("n{id}").into()).collect();
        columns.groups = vec![3; rows.len()];
        columns.labels = vec![4; rows.len()];
        columns.anchor_labels = vec![5; rows.len()];
        columns.positive_scores = vec![9.0; rows.len()];
    });
    mark(&mut partition, &[(3, 77, 0.5), (30, 77, f32::NAN)], NotNegative::Positive, 0);
    mark(&mut partition, &[(17, 10, f32::NAN)], NotNegative::Vetoed, 0);
    let (before, totals) = (partition.stats(), *partition.totals());
    assert_eq!((before.anchors, before.negatives, before.positives, before.vetoes), (21, 39, 2, 1));
    let clear = AnchorOp { position: partition.position() + 1, change: AnchorChange::Clear };
    assert_eq!(partition.apply(clear.clone()), AnchorReply::Cleared(39));
    partition.check();
    let stats = partition.stats();
    assert_eq!((stats.anchors, stats.negatives, stats.positives, stats.vetoes), (3, 0, 2, 1));
    assert!(stats.memory_bytes < before.memory_bytes);
    assert_eq!((*partition.totals(), partition.names.len()), (totals, 0));
    let (row, rows) = read(&partition, 3);
    assert_eq!((row.positive, row.label, &rows.not_negative[row.positives]), (0.5, 0, &[77][..]));
    assert!(!read(&partition, 4).0.known);
    let counts = apply(&mut partition, &[(17, 10, 1.0), (17, 12, 1.0), (4, 10, 1.0)]).counts;
    assert_eq!((counts.not_negative, counts.inserted), (1, 2));
    assert!(read(&partition, 17).1.groups.is_empty(), "the columns of what went are gone");
    assert_eq!(partition.apply(AnchorOp { position: clear.position + 2, ..clear }), AnchorReply::Cleared(2));
    let mut empty = AnchorPartition::new(spec(4));
    assert_eq!(empty.apply(AnchorOp { position: 1, change: AnchorChange::Clear }), AnchorReply::Cleared(0));
}

#[test]
fn half_lives_of_a_millisecond_go_around_the_circle_of_keys() {
    let mut partition = AnchorPartition::new(spec(2));
    let mut decay_units = DAY;
    apply_with(&mut partition, &[(1, 10, 4.0)], Terms { decay_units, ..Terms::default() }, |_| ());
    for id in 1..=100 {
        decay_units += ADVANCE_MAX_UNITS;
        let change = AnchorChange::Fold { floor_units: decay_units - FOLD_BELOW_UNITS };
        partition.apply(AnchorOp { position: partition.position() + 1, change });
        apply_with(&mut partition, &[(2, id, 1.0)], Terms { decay_units, ..Terms::default() }, |_| ());
        partition.check();
        partition = AnchorPartition::load(&partition.save()).expect("its own image");
    }
    let terms = Terms { decay_units, ..Terms::default() };
    apply_with(&mut partition, &[(1, 11, 1e-3)], terms, |_| ());
    assert_eq!(stored(&partition, 1)[0].0, 11, "what is fresh comes before what is ancient");
    apply_with(&mut partition, &[(1, 12, 1e-3)], terms, |_| ());
    let ids: Vec<u64> = stored(&partition, 1).iter().map(|n| n.0).collect();
    assert!(ids.len() == 2 && !ids.contains(&10), "and the ancient one goes first");
}

#[test]
fn groups_labels_and_names_stay_with_their_negatives() {
    let mut partition = AnchorPartition::new(AnchorPartitionSpec { named: true, ..spec(2) });
    let named = |partition: &mut AnchorPartition, rows: &[(u64, u64, f32)], attributes: bool| {
        let names = rows.iter().map(|r| Arc::from(format!("n{}", r.1))).collect();
        apply_with(partition, rows, Terms::default(), |columns| {
            columns.names = names;
            if attributes {
                columns.groups = rows.iter().map(|r| r.1 * 100).collect();
                columns.labels = rows.iter().map(|r| r.1 as u32 + 1).collect();
                columns.anchor_labels = rows.iter().map(|r| r.0 as u32 + 50).collect();
            }
        })
    };
    named(&mut partition, &[(1, 10, 1.0), (1, 11, 2.0), (2, 11, 1.0)], true);
    named(&mut partition, &[(1, 12, 3.0)], true);
    // A report without attributes keeps what there is; the order changes and they move along.
    named(&mut partition, &[(1, 11, 4.0)], false);
    let (row, rows) = read(&partition, 1);
    assert_eq!(stored(&partition, 1), [(11, 4.0), (12, 3.0)]);
    assert_eq!((&rows.groups[..], &rows.labels[..], row.label), (&[1100, 1200][..], &[12, 13][..], 51));
    assert_eq!(rows.names.iter().map(|n| &**n).collect::<Vec<_>>(), ["n11", "n12"]);
    assert_eq!(partition.names.get(10), None, "nobody has it any more");
    let ids = [99, 11, 11].into();
    let removed = partition.apply(AnchorOp { position: 9, change: AnchorChange::Remove { ids } });
    assert_eq!(removed, AnchorReply::Removed(vec![11]));
    assert_eq!(partition.names.get(11), None);
    assert_eq!(stored(&partition, 1), [(12, 3.0)]);
    assert_eq!((read(&partition, 1).1.labels, read(&partition, 2).0.label), (vec![13], 52));
}

#[test]
fn an_anchor_takes_56_bytes_and_a_negative_24() {
    assert_eq!((size_of::<Anchor>(), size_of::<Negative>()), (56, 24));
    let mut partition = AnchorPartition::new(AnchorPartitionSpec { max_anchors: 1 << 20, ..spec(10) });
    const ANCHORS: u64 = 100_000;
    for from in (0..ANCHORS).step_by(1000) {
        let rows: Vec<_> = (from..from + 1000).flat_map(|a| (0..10).map(move |id| (a, id, 1.0))).collect();
        apply(&mut partition, &rows);
    }
    let bytes = partition.stats().memory_bytes as f64 / ANCHORS as f64;
    // An array of ten is 240 bytes and 16 of the allocator; anchors have at most an eighth more room than they need.
    assert!(bytes <= 256.0 + 56.0 * 1.125 + 12.0, "{bytes} bytes an anchor");
}
