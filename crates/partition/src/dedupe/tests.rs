use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::seen::WINDOW;
use super::*;
use crate::op::{ApplyCounts, Change, Columns, Op, Reply, Terms};
use crate::partition::Partition;
use crate::partition::tests::{DAY, spec};
use crate::spec::{BackgroundSpec, PartitionSpec};

impl Dedupe {
    /// Checks the invariants.
    pub(crate) fn check(&self) {
        self.workers.check();
        self.workers.iter().for_each(|(_, seen)| check_canonical(seen));
        let windows = self.workers.iter().filter(|(_, seen)| seen.has_window()).count();
        assert_eq!(self.windows, windows);
    }
}

/// Checks that there is a window if and only if there is a gap, and that the saved form can be restored.
fn check_canonical(seen: &Seen) {
    let highest = seen.highest();
    let window = (highest.saturating_sub(WINDOW) + 1)..=highest;
    let applied: Vec<bool> = window.rev().map(|sequence| seen.has(sequence)).collect();
    let run = applied.iter().take_while(|applied| **applied).count();
    let gap = applied[run..].iter().any(|applied| *applied);
    assert_eq!(seen.has_window(), gap);
    let again = match seen.recent() {
        Recent::Run(told) => {
            assert_eq!(usize::from(*told), run);
            Seen::of_run(highest, *told)
        }
        Recent::Window(window) => Seen::of_window(highest, *window.words()),
    };
    assert_eq!(again.as_ref(), Some(seen));
}

/// Every sequence that was applied.
#[derive(Default)]
struct Plain(BTreeSet<u64>);

impl Plain {
    fn has(&self, sequence: u64) -> bool {
        let highest = self.0.last().copied().unwrap_or(0);
        self.0.contains(&sequence) || highest.checked_sub(sequence).is_some_and(|behind| behind >= WINDOW)
    }
}

/// The next sequence of a worker, by those it sent before.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// This much above the highest.
    Above(u64),
    /// This much below the highest.
    Below(u64),
    /// The highest one of the window that has not come yet.
    Missing,
    At(u64),
}

fn next() -> impl Strategy<Value = Next> {
    prop_oneof![
        8 => Just(Next::Above(1)),
        2 => (2_u64..5).prop_map(Next::Above),
        1 => (1_u64..2100).prop_map(Next::Above),
        2 => (0_u64..6).prop_map(Next::Below),
        1 => (0_u64..1100).prop_map(Next::Below),
        4 => Just(Next::Missing),
        1 => (1_u64..5000).prop_map(Next::At),
    ]
}

impl Next {
    fn sequence(self, applied: &Plain) -> u64 {
        let highest = applied.0.last().copied().unwrap_or(0);
        match self {
            Self::Above(more) => highest.saturating_add(more),
            Self::Below(less) => highest.saturating_sub(less).max(1),
            Self::Missing => (1..=highest).rev().find(|s| !applied.has(*s)).unwrap_or(highest + 1),
            Self::At(sequence) => sequence,
        }
    }
}

proptest! {
    #[test]
    fn sequences_agree_with_a_set(first in prop_oneof![1_u64..4, 1000_u64..1030, Just(1 << 40)], steps in proptest::collection::vec(next(), 1..300)) {
        let mut seen = Seen::first(first);
        let mut plain = Plain(BTreeSet::from([first]));
        for step in steps {
            let sequence = step.sequence(&plain);
            prop_assert_eq!(seen.has(sequence), plain.has(sequence), "{}", sequence);
            let before = seen.clone();
            seen.enter(sequence);
            if plain.has(sequence) {
                prop_assert_eq!(&seen, &before, "a resend changes nothing");
            } else {
                plain.0.insert(sequence);
            }
            check_canonical(&seen);
        }
        let highest = *plain.0.last().expect("the first");
        for sequence in highest.saturating_sub(WINDOW + 10).max(1)..highest + 10 {
            prop_assert_eq!(seen.has(sequence), plain.has(sequence), "{}", sequence);
        }
    }

    /// Compares with a set of all sequences within the window, up to the largest possible numbers.
    #[test]
    fn any_sequences_agree_with_a_set(sequences in proptest::collection::vec(prop_oneof![1_u64..5000, u64::MAX - 2000..=u64::MAX], 1..200)) {
        let mut seen = Seen::first(sequences[0]);
        let mut plain = Plain(BTreeSet::from([sequences[0]]));
        for sequence in sequences {
            prop_assert_eq!(seen.has(sequence), plain.has(sequence));
            if !plain.has(sequence) {
                plain.0.insert(sequence);
            }
            seen.enter(sequence);
            check_canonical(&seen);
        }
    }

    #[test]
    fn the_one_not_heard_for_the_longest_is_forgotten(
        most in 0_usize..6,
        ops in proptest::collection::vec((0_u64..5, 0_u64..2, 0_u64..2000), 1..200),
    ) {
        let mut dedupe = Dedupe::new(most);
        let mut plain: Vec<((u128, u64), Plain)> = Vec::new();
        for (worker, epoch, sequence) in ops {
            // Hashes of names that differ in one half only.
            let worker = u128::from(worker % 3) | u128::from(worker / 3) << 64;
            let sender = Sender { worker, epoch, sequence };
            let known = plain.iter().position(|(name, _)| *name == (worker, epoch));
            let expected = sequence != 0 && known.is_some_and(|at| plain[at].1.has(sequence));
            prop_assert_eq!(dedupe.has(&sender), expected);
            dedupe.enter(&sender);
            if sequence != 0 {
                let mut applied = known.map(|at| plain.remove(at).1).unwrap_or_default();
                if !expected {
                    applied.0.insert(sequence);
                }
                plain.push(((worker, epoch), applied));
                if plain.len() > most {
                    plain.remove(0);
                }
            }
            dedupe.check();
            let heard: Vec<(u128, u64)> = dedupe.all().map(|(worker, epoch, _)| (worker, epoch)).collect();
            prop_assert_eq!(heard, plain.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        }
    }
}

#[test]
fn what_is_below_the_first_sequence_was_not_applied() {
    let mut seen = Seen::first(5000);
    for sequence in [4999, 4000, 3977] {
        assert!(!seen.has(sequence), "{sequence}");
    }
    assert!(seen.has(3976), "further back than the window");
    // From the first one down is no gap.
    seen.enter(4999);
    assert!(!seen.has_window());
    seen.enter(3977);
    assert!(seen.has_window() && seen.has(3977) && !seen.has(3978));
}

#[test]
fn a_window_is_there_while_there_is_a_gap() {
    let mut dedupe = Dedupe::new(1);
    let window = |dedupe: &Dedupe| dedupe.windows == 1;
    let mut enter = |sequence| {
        dedupe.enter(&Sender { worker: 1, epoch: 1, sequence });
        dedupe.check();
        window(&dedupe)
    };
    assert!(!enter(7) && !enter(8));
    assert!(enter(10), "9 is missing");
    assert!(enter(12), "and 11");
    assert!(enter(9), "11 is still");
    assert!(!enter(11), "none is");
    assert!(enter(14), "13 is missing");
    for sequence in 15..12 + WINDOW {
        assert!(enter(sequence), "12 is of the window, 13 is missing");
    }
    assert!(!enter(12 + WINDOW), "all after 13 came, and what is before it is too old");
    assert!(!enter(13), "13 may still come: the last of a full window");
    assert!(!enter(13 + 3 * WINDOW), "nothing is remembered but this one");
    assert!(enter(13 + 4 * WINDOW - 1), "the one before is still remembered");
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let word = |word: u64| {
        let mut words = [0; WORDS];
        words[0] = word;
        words
    };
    assert!(Seen::of_run(0, 1).is_none() && Seen::of_run(5, 0).is_none(), "nothing was applied");
    assert!(Seen::of_run(5, 6).is_none(), "longer than there are sequences");
    assert!(Seen::of_run(5000, WINDOW as u16).is_some() && Seen::of_run(5000, WINDOW as u16 + 1).is_none());
    assert!(Seen::of_window(5, word(0b10_1000)).is_some(), "3 and 5");
    assert!(Seen::of_window(5, word(0b11_1000)).is_none(), "a run is no window");
    assert!(Seen::of_window(5, word(0b00_1010)).is_none(), "the highest was applied");
    assert!(Seen::of_window(5, word(0b110_1000)).is_none(), "6 is above the highest");
    assert!(Seen::of_window(5, word(0b10_1001)).is_none(), "0 is no sequence");
    assert!(Seen::of_window(WINDOW, word(0b10_1001)).is_some(), "but 1,024 is one, and has its bit");
    assert!(Seen::of_window(5000, [u64::MAX; WORDS]).is_none(), "a full window is a run");
    assert!(Seen::of_window(5000, [0; WORDS]).is_none());
}

fn report(position: u64, ids: std::ops::Range<u64>, sender: Option<Sender>) -> Op {
    let scores = ids.clone().map(|id| id as f32).collect();
    let rows =
        Columns::plain(ids.collect(), scores, &spec(1, BackgroundSpec::Dense { ids: 1 }).hardness, DAY);
    let terms = Terms { decay_units: DAY, renew_after_rows: 50, ..Terms::default() };
    Op { position, change: Change::Report { range: 0..rows.ids.len(), rows: Arc::new(rows), terms, sender } }
}

fn counts(reply: Reply) -> ApplyCounts {
    match reply {
        Reply::Reported(counts) => counts,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_resend_does_nothing_where_it_was_applied() {
    let spec = PartitionSpec { workers: 2, ..spec(30, BackgroundSpec::Sampled { size: 16 }) };
    let sender = |worker, sequence| Some(Sender { worker, epoch: 9, sequence });
    let (mut applied, mut other) = (Partition::new(spec), Partition::new(spec));
    assert_eq!(counts(applied.apply(report(1, 0..40, sender(1, 5)))).inserted, 40);
    let image = applied.save();
    // At the same position, so that all else can be compared.
    let all = ApplyCounts { duplicate: 40, ..ApplyCounts::default() };
    assert_eq!(counts(applied.apply(report(1, 0..40, sender(1, 5)))), all);
    assert_eq!(applied.save(), image);
    assert_eq!(counts(other.apply(report(1, 0..40, sender(1, 5)))).duplicate, 0, "it was not applied here");
    // A report without a number, or of another process, is no resend.
    assert_eq!(counts(applied.apply(report(2, 0..40, None))).duplicate, 0);
    assert_eq!(counts(applied.apply(report(3, 0..40, sender(1, 0)))).duplicate, 0);
    assert_eq!(counts(applied.apply(report(4, 0..40, sender(2, 5)))).duplicate, 0);
    assert_eq!(applied.position(), 4);
    // A resend makes its worker the most recently heard, so a third worker replaces the other one.
    assert_eq!(counts(applied.apply(report(5, 0..40, sender(1, 5)))), all);
    assert_eq!(applied.position(), 5);
    assert_eq!(counts(applied.apply(report(6, 0..0, sender(3, 1)))), ApplyCounts::default());
    assert_eq!(counts(applied.apply(report(7, 0..40, sender(1, 5)))).duplicate, 40);
    assert_eq!(counts(applied.apply(report(8, 0..40, sender(2, 5)))).duplicate, 0);
    assert_eq!(applied.stats().workers, 2);
}

#[test]
fn a_report_is_entered_with_its_last_step() {
    let mut partition =
        Partition::new(PartitionSpec { workers: 2, ..spec(30, BackgroundSpec::Sampled { size: 16 }) });
    let sender = Sender { worker: 1, epoch: 1, sequence: 1 };
    let mut job = partition.begin(report(1, 0..40, Some(sender)));
    for _ in 0..3 {
        assert_eq!(partition.step(&mut job, 10), None);
        assert!(!partition.dedupe.has(&sender));
    }
    assert!(partition.step(&mut job, 10).is_some());
    assert!(partition.dedupe.has(&sender));
    // A resend is done with its first step, however small the step is.
    let mut job = partition.begin(report(2, 0..40, Some(sender)));
    assert!(partition.step(&mut job, 1).is_some());
    assert_eq!(job.done(), 40);
}

/// The workers of a large fleet in all partitions of a pool.
#[test]
fn workers_without_gaps_take_little_memory() {
    const WORKERS: u64 = 4096;
    let spec = PartitionSpec { workers: WORKERS as usize, ..spec(1, BackgroundSpec::Sampled { size: 1 }) };
    let mut partitions: Vec<Partition> = (0..8).map(|_| Partition::new(spec)).collect();
    let bytes = |partitions: &[Partition]| -> usize {
        partitions.iter().flat_map(|partition| partition.stats().memory_bytes).sum()
    };
    let before = bytes(&partitions);
    let mut fill = |epoch, step: u64| {
        for worker in 0..WORKERS {
            for i in 0..3 {
                let sequence = 1 + worker * 100 + i * step;
                let sender = Some(Sender { worker: u128::from(worker) << 60, epoch, sequence });
                partitions.iter_mut().for_each(|p| _ = p.apply(report(1, 0..0, sender)));
            }
        }
        assert!(partitions.iter().all(|partition| partition.stats().workers == WORKERS));
        bytes(&partitions) - before
    };
    let (first, next, gaps) = (fill(1, 1), fill(2, 1), fill(3, 2));
    println!(
        "{WORKERS} workers x 8 partitions: {first} bytes, {next} after all changed, {gaps} with windows"
    );
    assert!(first.max(next) <= 8 << 20, "{first}, {next}");
    assert!(gaps <= 12 << 20, "{gaps}");
}
