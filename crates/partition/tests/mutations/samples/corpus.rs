//! Small images that operations make, of partitions in many states.

use hardneg_partition::key::{FOLD_BELOW_UNITS, Hardness, HardnessFunction, UNITS_PER_OCTAVE};
use hardneg_partition::{
    BackgroundSpec, Change, Columns, Drawn, Op, Partition, PartitionSpec, QuarantineLimits, QuarantineTerms,
    ScoreUpdate, Sender, ServeMark, Source, Terms,
};
use std::ops::Range;
use std::sync::Arc;

use super::crafted;

const DAY: u64 = 1 << 42;

pub(crate) fn spec(capacity: usize, background: BackgroundSpec) -> PartitionSpec {
    PartitionSpec {
        capacity,
        background,
        hardness: Hardness::default(),
        named: false,
        salt_seed: 7,
        unstored_serves: 100,
        workers: 8,
        quarantine: QuarantineLimits { streaks: 16, trusted: 6, blocked: 6 },
    }
}

const fn sampled(size: usize) -> BackgroundSpec {
    BackgroundSpec::Sampled { size }
}

/// A partition with shorthands for operations.
struct Told(Partition);

impl Told {
    fn new(spec: PartitionSpec) -> Self {
        Self(Partition::new(spec))
    }

    fn apply(&mut self, change: Change) {
        let position = self.0.position() + 1;
        self.0.apply(Op { position, change });
    }

    fn report(&mut self, rows: Columns, terms: Terms) {
        let range = 0..rows.ids.len();
        self.apply(Change::Report { rows: Arc::new(rows), range, terms, sender: None });
    }

    /// Applies a report of one sample under each of some sequences of a worker.
    fn hears(&mut self, worker: u128, epoch: u64, sequences: impl IntoIterator<Item = u64>) {
        for sequence in sequences {
            let rows = Arc::new(self.columns(0..1, score));
            let terms = Terms { decay_units: DAY, ..Terms::default() };
            let sender = Some(Sender { worker, epoch, sequence });
            self.apply(Change::Report { rows, range: 0..1, terms, sender });
        }
    }

    /// Reports ids while D is `DAY`.
    fn scores(&mut self, ids: Range<u64>, score: impl Fn(u64) -> f32) {
        let rows = self.columns(ids, score);
        self.report(rows, Terms { decay_units: DAY, ..Terms::default() });
    }

    fn columns(&self, ids: Range<u64>, score: impl Fn(u64) -> f32) -> Columns {
        Columns::plain(ids.clone().collect(), ids.map(score).collect(), &self.0.spec().hardness, DAY)
    }

    fn serve(&mut self, ids: impl IntoIterator<Item = u64>, lease_until: Option<u64>) {
        let mark = ServeMark { count: true, max_serves: 100, lease_until };
        // Samples with even ids are drawn from the background.
        let source = |id: u64| if id.is_multiple_of(2) { Source::Background } else { Source::Hard };
        let drawn = ids.into_iter().map(|id| Drawn { id, source: source(id) }).collect();
        self.apply(Change::Serve { drawn, mark });
    }

    fn remove(&mut self, ids: impl IntoIterator<Item = u64>) {
        self.apply(Change::Remove { ids: ids.into_iter().collect() });
    }

    fn image(&self) -> Vec<u8> {
        self.0.save()
    }
}

fn score(id: u64) -> f32 {
    (id * 37 % 101) as f32 / 8.0
}

/// Images with their names.
pub(crate) fn images() -> Vec<(&'static str, Vec<u8>)> {
    let mut images = vec![
        ("plain", plain()),
        ("empty", Told::new(spec(1 << 18, sampled(1 << 14))).image()),
        ("named, with payloads", named()),
        ("strata, groups, versions, serves", attributes()),
        ("leases", leases()),
        ("dense", dense()),
        ("a generation that fills", filling()),
        ("the next witness", next_witness()),
        ("sparse roots", sparse()),
        ("folded", folded()),
        ("deep tables", tables()),
        ("cuts", cuts()),
        ("workers without gaps", workers()),
        ("workers with windows", windows()),
        ("suspects", suspects()),
        ("dense, with suspects", dense_suspects()),
        ("cleared", cleared()),
        ("samples that live for a time", expiring()),
    ];
    images.extend(crafted::small());
    images
}

fn plain() -> Vec<u8> {
    let mut told = Told::new(spec(50, sampled(16)));
    told.scores(0..90, score);
    told.image()
}

fn named() -> Vec<u8> {
    let mut told = Told::new(PartitionSpec { named: true, ..spec(25, sampled(8)) });
    let mut rows = told.columns(0..40, score);
    rows.names = rows.ids.iter().map(|id| "émile"[..[0, 2, 6][*id as usize % 3]].into()).collect();
    rows.payloads = rows.ids.iter().map(|id| vec![*id as u8; *id as usize % 4].into()).collect();
    told.report(rows, Terms { decay_units: DAY, ..Terms::default() });
    told.image()
}

fn attributes() -> Vec<u8> {
    let hardness = Hardness { lower_is_harder: true, ..Hardness::default() };
    let mut told = Told::new(PartitionSpec { hardness, ..spec(30, sampled(12)) });
    let mut rows = told.columns(0..60, score);
    rows.strata = rows.ids.iter().map(|id| (*id % 4) as u32).collect();
    rows.groups = rows.ids.iter().map(|id| *id % 3).collect();
    let update = ScoreUpdate::Ema { weight: 0.3 };
    told.report(rows, Terms { decay_units: DAY, model_version: 3, update, stamp: 5, ..Terms::default() });
    told.serve((0..60).step_by(5), None);
    told.image()
}

fn leases() -> Vec<u8> {
    let mut told = Told::new(spec(20, sampled(12)));
    told.scores(0..60, score);
    told.serve((0..60).step_by(2), Some(1000));
    told.serve((1..60).step_by(6), Some(500));
    // Some leave the background while they rest.
    told.scores(60..90, score);
    told.apply(Change::Release { ids: vec![0, 6, 12] });
    told.apply(Change::Expire { now_millis: 10, oldest_stamp: None });
    told.image()
}

fn dense() -> Vec<u8> {
    let mut told = Told::new(spec(20, BackgroundSpec::Dense { ids: 1 << 20 }));
    told.scores(0..40, score);
    told.serve((30..50).chain(1000..1010), None);
    told.serve(1005..1015, Some(700));
    told.serve(2..5, Some(800));
    told.remove((3..9).chain([70_000, 200_000, (1 << 20) - 1]));
    told.image()
}

fn filling() -> Vec<u8> {
    let mut told = Told::new(spec(20, sampled(16)));
    for start in (0..400).step_by(100) {
        let rows = told.columns(start..start + 100, score);
        told.report(rows, Terms { decay_units: DAY, renew_after_rows: 150, ..Terms::default() });
    }
    let stats = told.0.stats();
    assert!(stats.generations == 2 && stats.witness_pending > 0, "a generation fills");
    told.image()
}

fn next_witness() -> Vec<u8> {
    let mut told = Told::new(spec(10, sampled(16)));
    told.scores(0..300, score);
    told.remove(0..220);
    told.scores(250..300, score);
    told.image()
}

fn sparse() -> Vec<u8> {
    let function = HardnessFunction::Exponential { temperature: 1.0 };
    let hardness = Hardness { function, lower_is_harder: false };
    let mut told = Told::new(PartitionSpec { hardness, ..spec(80, sampled(4)) });
    // Roots of every zone: a unit of score is 1.44 octaves.
    told.scores(0..40, |id| id as f32 * 2.0);
    told.scores(40..100, |id| id as f32 * -20.0);
    told.image()
}

fn folded() -> Vec<u8> {
    let mut told = Told::new(spec(30, sampled(8)));
    told.scores(0..40, score);
    let decay_units = DAY + 9000 * UNITS_PER_OCTAVE as u64;
    told.apply(Change::Fold { floor_units: decay_units - FOLD_BELOW_UNITS });
    let rows = Columns::plain(
        (100..110).collect(),
        (100..110).map(score).collect(),
        &told.0.spec().hardness,
        decay_units,
    );
    told.report(rows, Terms { decay_units, stamp: 9, ..Terms::default() });
    told.image()
}

/// Similar scores: three levels of tables, with hardly more members than make them one leaf again.
fn tables() -> Vec<u8> {
    let mut told = Told::new(spec(1 << 14, sampled(4)));
    told.scores(0..9000, |id| 1.0 + (id % 600) as f32 * 6e-7 + (id % 10 / 9) as f32 * 1e-3);
    told.remove(2100..9000);
    told.image()
}

fn cuts() -> Vec<u8> {
    let mut told = Told::new(spec(1 << 14, sampled(4)));
    told.scores(0..9000, |_| 0.5);
    told.remove(2100..9000);
    told.image()
}

/// As many workers as are remembered. Some begin at sequence 1, some at another, and one has a run longer than a window.
fn workers() -> Vec<u8> {
    let mut told = Told::new(spec(4, sampled(2)));
    for worker in 0..9 {
        told.hears(worker << 63, worker as u64 % 2, 1 + worker as u64 * 300..4 + worker as u64 * 300);
    }
    told.hears(2 << 63, 0, 604..1700);
    assert_eq!(told.0.stats().workers, 8);
    told.image()
}

/// Workers with gaps: near the first sequence, in the middle, and across the end of the bits; and one without a gap.
fn windows() -> Vec<u8> {
    let mut told = Told::new(spec(4, BackgroundSpec::Dense { ids: 100 }));
    told.hears(1, 0, [1, 2, 5, 6]);
    told.hears(2, 0, [1, 2, 3]);
    told.hears(1 << 64, 1, [1000, 1020, 1022, 1025, 1030, 2100]);
    told.hears(3, 7, [u64::MAX - 2, u64::MAX]);
    told.image()
}

fn rule(threshold: f32) -> Terms {
    let rule = QuarantineTerms { threshold: Some(threshold), reports: 2, capacity: 9, now_millis: 1 << 40 };
    Terms { decay_units: DAY, stamp: 7, model_version: 2, quarantine: Some(rule), ..Terms::default() }
}

/// Streaks, samples set aside by rows and by hand, trusted and blocked ids, with names and payloads.
fn suspects() -> Vec<u8> {
    let mut told = Told::new(PartitionSpec { named: true, ..spec(25, sampled(8)) });
    for _ in 0..2 {
        let mut rows = told.columns(0..40, score);
        rows.names = rows.ids.iter().map(|id| "émile"[..[0, 2, 6][*id as usize % 3]].into()).collect();
        rows.payloads = rows.ids.iter().map(|id| vec![*id as u8; *id as usize % 4].into()).collect();
        rows.strata = rows.ids.iter().map(|id| (*id % 3) as u32).collect();
        rows.groups = rows.ids.iter().map(|id| *id % 2).collect();
        told.report(rows, rule(9.0));
    }
    let held: Vec<u64> = told.0.quarantined_page(None, 99).iter().map(|record| record.id).collect();
    assert_eq!(held.len(), 9);
    told.apply(Change::ReleaseQuarantined { ids: held[..3].to_vec(), trust: true });
    let by_hand = (0..40).filter(|id| !held.contains(id)).take(3).collect();
    told.apply(Change::SetAside { ids: by_hand, capacity: 20, decay_units: DAY, now_millis: 1 << 41 });
    let names = vec!["a".into(), "".into()];
    told.apply(Change::Block { ids: vec![39, held[4]], names });
    let stats = told.0.stats();
    assert_eq!((stats.trusted, stats.blocked), (3, 2));
    assert!(stats.quarantined > 5 && stats.streaks > 0 && stats.quarantine_overflows > 0, "{stats:?}");
    told.image()
}

fn dense_suspects() -> Vec<u8> {
    let mut told = Told::new(spec(20, BackgroundSpec::Dense { ids: 1 << 20 }));
    for _ in 0..2 {
        let rows = told.columns(0..40, score);
        told.report(rows, rule(11.0));
    }
    told.serve([1000, 1001], None);
    let ids = vec![1, 1000, 70_000];
    told.apply(Change::SetAside { ids, capacity: 20, decay_units: DAY, now_millis: 1 << 41 });
    told.apply(Change::Block { ids: vec![3, 80_000], names: vec![] });
    assert!(told.0.quarantined(70_000).is_some_and(|record| record.score.is_nan()));
    told.image()
}

/// An expiry queue with entries of samples that were reported since, that were removed, and that expired. Stamps wrap.
fn expiring() -> Vec<u8> {
    let mut told = Told::new(spec(20, sampled(8)));
    for at in 0..8_u32 {
        let stamp = 4_u32.wrapping_sub(8 - at);
        let rows = told.columns(u64::from(at) * 20..u64::from(at) * 20 + 40, score);
        let oldest_stamp = Some(stamp.wrapping_sub(3));
        told.report(rows, Terms { decay_units: DAY, stamp, oldest_stamp, ..Terms::default() });
    }
    told.remove(120..130);
    told.apply(Change::Expire { now_millis: 1, oldest_stamp: Some(1) });
    let stats = told.0.stats();
    assert!(told.0.totals().expired > 0 && stats.witness > 20, "{stats:?}");
    told.image()
}

fn cleared() -> Vec<u8> {
    let mut told = Told::new(spec(20, sampled(16)));
    told.hears(1, 0, [1, 2, 5]);
    for _ in 0..2 {
        let rows = told.columns(0..100, score);
        told.report(rows, rule(11.0));
    }
    told.apply(Change::Block { ids: vec![3], names: vec![] });
    told.apply(Change::Clear);
    assert_eq!((told.0.hard_len(), told.0.stats().workers), (0, 1));
    told.scores(0..10, score);
    told.image()
}
