//! Frozen bytes: the image of a partition, a log of operations, and the image after them. Each version must read what an earlier one
//! stored, and a replayed log must give the same state.
//!
//! The files of the first version of the formats are frozen since 2026-11-28: no test writes over one. A new version of a format gets
//! files under new names, and the old ones stay, for they must still be read.
//! `HARDNEG_WRITE_FIXTURES=1 cargo test -p hardneg-partition --test fixtures` writes those that do not exist.

#![allow(clippy::unwrap_used, reason = "tests")]

use hardneg_partition::anchors::{
    AnchorChange, AnchorColumns, AnchorOp, AnchorPartition, AnchorPartitionSpec, Margins, NotNegative,
    PairColumns,
};
use hardneg_partition::hash::background_hash;
use hardneg_partition::key::{FOLD_BELOW_UNITS, Hardness, HardnessFunction, UNITS_PER_OCTAVE};
use hardneg_partition::{
    BackgroundSpec, Change, Columns, Drawn, Op, Partition, PartitionSpec, QuarantineLimits, QuarantineTerms,
    RowFaults, ScoreUpdate, Sender, ServeMark, Source, Terms,
};
use std::path::PathBuf;
use std::sync::Arc;

const DAY: u64 = 1 << 42;
const OCTAVE: u64 = UNITS_PER_OCTAVE as u64;
/// Bytes of magic, length and checksum.
const HEADER: usize = 24;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{}: {error}", path(name).display()))
}

/// Divides a log into operations, each of which has its length in its header.
fn divide(mut log: &[u8]) -> Vec<&[u8]> {
    let mut operations = Vec::new();
    while !log.is_empty() {
        let length = u64::from_le_bytes(log[8..16].try_into().unwrap()) as usize;
        let (operation, rest) = log.split_at(HEADER + length);
        operations.push(operation);
        log = rest;
    }
    operations
}

/// The functions of a kind of partition that its fixture needs.
struct Machine<P, O> {
    load: fn(&[u8]) -> P,
    save: fn(&P) -> Vec<u8>,
    load_op: fn(&[u8]) -> O,
    save_op: fn(&O) -> Vec<u8>,
    apply: fn(&mut P, O),
}

const SAMPLES: Machine<Partition, Op> = Machine {
    load: |image| Partition::load(image).unwrap(),
    save: Partition::save,
    load_op: |bytes| Op::load(bytes).unwrap(),
    save_op: Op::save,
    apply: |partition, op| {
        partition.apply(op);
    },
};

const ANCHORS: Machine<AnchorPartition, AnchorOp> = Machine {
    load: |image| AnchorPartition::load(image).unwrap(),
    save: AnchorPartition::save,
    load_op: |bytes| AnchorOp::load(bytes).unwrap(),
    save_op: AnchorOp::save,
    apply: |partition, op| {
        partition.apply(op);
    },
};

impl<P, O> Machine<P, O> {
    /// Writes the fixture if asked to and there is none, then compares the frozen bytes with what this version makes of them.
    fn check(&self, name: &str, begin: &P, log: Vec<O>) {
        let [begin_file, log_file, end_file] = ["begin", "log", "end"].map(|part| format!("{name}.{part}"));
        if std::env::var_os("HARDNEG_WRITE_FIXTURES").is_some() && !path(&end_file).exists() {
            let begin = (self.save)(begin);
            let mut partition = (self.load)(&begin);
            let bytes: Vec<u8> = log.iter().flat_map(|op| (self.save_op)(op)).collect();
            log.into_iter().for_each(|op| (self.apply)(&mut partition, op));
            std::fs::write(path(&begin_file), begin).unwrap();
            std::fs::write(path(&log_file), bytes).unwrap();
            std::fs::write(path(&end_file), (self.save)(&partition)).unwrap();
        }
        let (begin, log, end) = (read(&begin_file), read(&log_file), read(&end_file));
        let mut partition = (self.load)(&begin);
        assert!((self.save)(&partition) == begin, "{name}: the first image comes back as it was");
        for (number, bytes) in divide(&log).into_iter().enumerate() {
            let op = (self.load_op)(bytes);
            assert!((self.save_op)(&op) == bytes, "{name}: operation {number} comes back as it was");
            (self.apply)(&mut partition, op);
        }
        assert!((self.save)(&partition) == end, "{name}: the log comes to the frozen state");
        assert!((self.save)(&(self.load)(&end)) == end, "{name}: the last image comes back as it was");
    }
}

/// The `n`-th of a sequence of numbers, fixed for ever.
fn number(n: u64) -> u64 {
    background_hash(n, 3)
}

/// Whether the quarantine has a rule at this report: in the middle of a log only, so that streaks begin, grow and are forgotten.
fn is_watched(number_of: u64) -> bool {
    (8..55).contains(&number_of)
}

/// A report of `rows` samples out of `ids` after `half_lives` half-lives. Each optional column is in some reports.
fn report(number_of: u64, rows: u64, ids: u64, spec: &PartitionSpec, half_lives: u64) -> Op {
    let decay_units = DAY + half_lives * OCTAVE;
    let told: Vec<u64> = (0..rows).map(|row| number(number_of * 1000 + row)).collect();
    let scores = told.iter().map(|n| (n >> 40) as f32 / (1 << 20) as f32).collect();
    let mut columns =
        Columns::plain(told.iter().map(|n| n % ids).collect(), scores, &spec.hardness, decay_units);
    if spec.named {
        columns.names = columns.ids.iter().map(|id| format!("sample {id}").into()).collect();
    }
    if number_of.is_multiple_of(3) {
        columns.payloads = told.iter().map(|n| n.to_le_bytes()[..(n % 6) as usize].to_vec().into()).collect();
    }
    if number_of % 4 == 1 {
        columns.strata = told.iter().map(|n| (n >> 8) as u32 % 5).collect();
        columns.groups = told.iter().map(|n| (n >> 16) % 7).collect();
    }
    let update = match number_of % 5 {
        0 => ScoreUpdate::Max,
        1 => ScoreUpdate::Ema { weight: 0.3 },
        _ => ScoreUpdate::Last,
    };
    let terms = Terms {
        decay_units,
        stamp: half_lives as u32,
        refuse_stale: number_of.is_multiple_of(2),
        model_version: number_of as u32 / 8,
        update,
        renew_after_rows: 400,
        // Three quarters of the scores are below it.
        quarantine: is_watched(number_of).then_some(QuarantineTerms {
            threshold: Some(12.0),
            reports: 2,
            capacity: 20,
            now_millis: number_of * 1000,
        }),
        faults: RowFaults { non_finite: number_of % 3, floored: number_of % 2, ..RowFaults::default() },
        // Twelve half-lives.
        oldest_stamp: (number_of >= 10).then_some((half_lives as u32).wrapping_sub(12)),
    };
    // Gaps, and now and then a resend.
    let sequence = 1 + number_of * 3 - number_of % 7;
    let sender = (number_of % 6 != 5).then_some(Sender {
        worker: u128::from(number_of % 4) << 70,
        epoch: number_of / 20,
        sequence,
    });
    let range = 0..rows as usize;
    Op { position: number_of * 10, change: Change::Report { rows: Arc::new(columns), range, terms, sender } }
}

/// A log of all kinds of changes.
fn log_of_samples(spec: &PartitionSpec, ids: u64) -> Vec<Op> {
    let mut log = Vec::new();
    for n in 1..=60 {
        // 9,000 half-lives pass in the middle, so that a fold is needed.
        let half_lives = if n < 30 { n } else { n + 9000 };
        if n == 30 {
            let floor_units = DAY + half_lives * OCTAVE - FOLD_BELOW_UNITS;
            log.push(Op { position: n * 10 - 1, change: Change::Fold { floor_units } });
        }
        log.push(report(n, 40 + n % 9, ids, spec, half_lives));
        let some = |salt: u64, most: u64| -> Vec<u64> {
            (0..most).map(|i| number(n * 7919 + salt * 131 + i) % ids).collect()
        };
        let change = match n % 6 {
            0 if n % 4 == 0 => Change::SetAside {
                ids: some(4, 6),
                capacity: 20,
                decay_units: DAY + half_lives * OCTAVE,
                now_millis: n * 1000,
            },
            1 if n % 4 == 1 => Change::ReleaseQuarantined { ids: some(4, 300), trust: n % 8 == 1 },
            2 if n % 4 == 0 => {
                let ids = some(5, 4);
                let name = |id: &u64| format!("sample {id}").into();
                Change::Block { names: ids.iter().filter(|_| spec.named).map(name).collect(), ids }
            }
            3 if n % 4 == 1 => Change::Unblock { ids: some(5, 2) },
            0 => Change::Release { ids: some(1, 8) },
            1 => Change::Expire { now_millis: n * 900, oldest_stamp: (half_lives as u32).checked_sub(11) },
            2 => Change::Remove { ids: some(2, 5) },
            _ => {
                let source = |i: usize| if i.is_multiple_of(3) { Source::Background } else { Source::Hard };
                let drawn = some(3, 20).into_iter().enumerate();
                let mark = ServeMark {
                    count: n % 5 != 0,
                    max_serves: 3,
                    lease_until: (n % 2 == 0).then_some(n * 1000 + 5000),
                };
                Change::Serve { drawn: drawn.map(|(i, id)| Drawn { id, source: source(i) }).collect(), mark }
            }
        };
        log.push(Op { position: n * 10 + 1, change });
    }
    log
}

#[test]
fn samples_with_names() {
    let spec = PartitionSpec {
        capacity: 150,
        background: BackgroundSpec::Sampled { size: 48 },
        hardness: Hardness::default(),
        named: true,
        salt_seed: 11,
        unstored_serves: 32,
        workers: 6,
        quarantine: QuarantineLimits { streaks: 16, trusted: 40, blocked: 40 },
    };
    SAMPLES.check("samples", &Partition::new(spec), log_of_samples(&spec, 900));
    let partition = Partition::load(&read("samples.end")).unwrap();
    let stats = partition.stats();
    let has_all = stats.hard > 100
        && stats.generations > 1
        && stats.leased > 0
        && stats.workers == 6
        && stats.quarantined > 0
        && stats.blocked > 0
        && partition.totals().expired > 0;
    assert!(has_all, "the log comes by all that an image may hold: {stats:?}");
}

#[test]
fn a_dense_space_where_lower_is_harder() {
    let hardness =
        Hardness { function: HardnessFunction::Exponential { temperature: 0.5 }, lower_is_harder: true };
    let spec = PartitionSpec {
        capacity: 100,
        background: BackgroundSpec::Dense { ids: 600 },
        hardness,
        named: false,
        salt_seed: 12,
        unstored_serves: 32,
        workers: 6,
        quarantine: QuarantineLimits { streaks: 16, trusted: 40, blocked: 40 },
    };
    SAMPLES.check("dense", &Partition::new(spec), log_of_samples(&spec, 600));
}

/// A log of all kinds of changes of anchors.
fn log_of_anchors(spec: &AnchorPartitionSpec) -> Vec<AnchorOp> {
    let mut log = Vec::new();
    for n in 1..=40_u64 {
        let decay_units = DAY + if n < 20 { n } else { n + 9000 } * OCTAVE;
        if n == 20 {
            let floor_units = decay_units - FOLD_BELOW_UNITS;
            log.push(AnchorOp { position: n * 10 - 1, change: AnchorChange::Fold { floor_units } });
        }
        let told: Vec<u64> = (0..50).map(|row| number(n * 1000 + row)).collect();
        let scores = told.iter().map(|n| (n >> 40) as f32 / (1 << 20) as f32).collect();
        let (anchors, ids) = told.iter().map(|n| (n % 70, (n >> 20) % 300)).unzip();
        let mut rows = AnchorColumns::plain(anchors, ids, scores, &spec.hardness, decay_units);
        rows.names = rows.ids.iter().map(|id| format!("sample {id}").into()).collect();
        if n % 3 == 0 {
            rows.positive_scores = told
                .iter()
                .map(|n| if n.is_multiple_of(4) { f32::NAN } else { (n >> 50) as f32 / 512.0 })
                .collect();
            rows.groups = told.iter().map(|n| n % 6).collect();
        }
        if n % 4 == 0 {
            rows.labels = told.iter().map(|n| (n >> 9) as u32 % 4).collect();
            rows.anchor_labels = rows.anchors.iter().map(|anchor| *anchor as u32 % 4).collect();
        }
        let update = if n % 5 == 0 { ScoreUpdate::Max } else { ScoreUpdate::Last };
        let faults = RowFaults { non_finite: n % 3, floored: n % 2, ..RowFaults::default() };
        let terms = Terms { decay_units, stamp: n as u32, update, faults, ..Terms::default() };
        let sender = Some(Sender { worker: 5 << 90, epoch: n / 15, sequence: 1 + n * 2 - n % 5 });
        let change = AnchorChange::Report { rows: Arc::new(rows), range: 0..50, terms, sender };
        log.push(AnchorOp { position: n * 10, change });
        let pairs = |salt: u64, scores: bool| {
            let told: Vec<u64> = (0..12).map(|row| number(n * 1000 + salt + row)).collect();
            Arc::new(PairColumns {
                anchors: told.iter().map(|n| n % 70).collect(),
                ids: told.iter().map(|n| (n >> 20) % 300).collect(),
                scores: told.iter().filter(|_| scores).map(|n| (n >> 50) as f32 / 512.0).collect(),
            })
        };
        let change = match n % 3 {
            0 if n == 27 => AnchorChange::Clear,
            0 => AnchorChange::Remove { ids: (0..4).map(|i| number(n * 31 + i) % 300).collect() },
            why => AnchorChange::Mark {
                pairs: pairs(why * 100, why == 1),
                range: 0..12,
                why: if why == 1 { NotNegative::Positive } else { NotNegative::Vetoed },
                stamp: n as u32,
                model_version: n as u32 / 10,
            },
        };
        log.push(AnchorOp { position: n * 10 + 1, change });
    }
    log
}

#[test]
fn anchors() {
    let spec = AnchorPartitionSpec {
        negatives_per_anchor: 5,
        max_anchors: 60,
        max_positives_per_anchor: 8,
        max_vetoes_per_anchor: 8,
        max_pairs: 400,
        margins: Margins { absolute: Some(0.25), relative: None },
        hardness: Hardness::default(),
        named: true,
        workers: 6,
    };
    ANCHORS.check("anchors", &AnchorPartition::new(spec), log_of_anchors(&spec));
    let partition = AnchorPartition::load(&read("anchors.end")).unwrap();
    let (stats, totals) = (partition.stats(), partition.totals());
    let has_all = stats.anchors > 50
        && stats.negatives > 100
        && stats.positives > 0
        && stats.vetoes > 0
        && totals.evicted > 0
        && totals.not_negative > 0
        && totals.non_finite > 0;
    assert!(has_all, "the log comes by all that an image may hold: {stats:?}, {totals:?}");
}
