//! Small images of partitions of anchors that operations make.

use hardneg_partition::anchors::{
    AnchorChange, AnchorColumns, AnchorOp, AnchorPartition, AnchorPartitionSpec, Margins, NotNegative,
    PairColumns,
};
use hardneg_partition::key::{FOLD_BELOW_UNITS, Hardness, HardnessFunction};
use hardneg_partition::{Sender, Terms};
use std::sync::Arc;

pub(crate) const DAY: u64 = 1 << 42;

fn spec() -> AnchorPartitionSpec {
    AnchorPartitionSpec {
        negatives_per_anchor: 4,
        max_anchors: 1 << 20,
        max_positives_per_anchor: 64,
        max_vetoes_per_anchor: 64,
        max_pairs: 1 << 20,
        margins: Margins { absolute: Some(0.25), relative: None },
        hardness: Hardness::default(),
        named: false,
        workers: 8,
    }
}

/// A partition with shorthands for operations.
struct Told(AnchorPartition);

impl Told {
    fn apply(&mut self, change: AnchorChange) {
        let position = self.0.position() + 1;
        self.0.apply(AnchorOp { position, change });
    }

    /// Reports `negatives` negatives for each of the anchors 0..anchors. The bits of `columns` choose optional columns.
    fn reports(&mut self, anchors: u64, negatives: u64, columns: u8) {
        let rows: Vec<(u64, u64)> =
            (0..anchors).flat_map(|anchor| (0..negatives).map(move |n| (anchor, anchor * 3 + n))).collect();
        let scores = rows.iter().map(|(anchor, id)| ((anchor * 31 + id * 17) % 97) as f32 / 8.0).collect();
        let (of_anchors, ids) = rows.iter().copied().unzip();
        let hardness = self.0.spec().hardness;
        let mut plain = AnchorColumns::plain(of_anchors, ids, scores, &hardness, DAY);
        if columns & 1 > 0 {
            plain.positive_scores = rows.iter().map(|(anchor, _)| *anchor as f32 / 4.0).collect();
        }
        if columns & 2 > 0 {
            plain.groups = rows.iter().map(|(_, id)| id % 3).collect();
        }
        if columns & 4 > 0 {
            plain.labels = rows.iter().map(|(_, id)| (id % 5) as u32).collect();
            plain.anchor_labels = rows.iter().map(|(anchor, _)| (anchor % 2) as u32).collect();
        }
        if self.0.spec().named {
            plain.names = rows.iter().map(|(_, id)| format!("sample {id}").into()).collect();
        }
        let terms = Terms { decay_units: DAY, stamp: 5, model_version: 2, ..Terms::default() };
        let sequence = self.0.position() * 2 + 1;
        let sender = Some(Sender { worker: 1, epoch: 1, sequence });
        self.apply(AnchorChange::Report { range: 0..rows.len(), rows: Arc::new(plain), terms, sender });
    }

    fn marks(&mut self, why: NotNegative, anchors: u64, scores: bool) {
        let pairs = PairColumns {
            anchors: (0..anchors * 2).map(|row| row / 2).collect(),
            ids: (0..anchors * 2).map(|row| row / 2 * 3 + row % 2 * 40).collect(),
            scores: (0..anchors * 2).filter(|_| scores).map(|row| row as f32 / 8.0).collect(),
        };
        let range = 0..pairs.ids.len();
        self.apply(AnchorChange::Mark { pairs: Arc::new(pairs), range, why, stamp: 9, model_version: 3 });
    }
}

/// Images with their names.
pub(crate) fn images() -> Vec<(&'static str, Vec<u8>)> {
    let of = |spec, make: fn(&mut Told)| {
        let mut told = Told(AnchorPartition::new(spec));
        make(&mut told);
        told.0.save()
    };
    let distances =
        Hardness { function: HardnessFunction::Exponential { temperature: 0.25 }, lower_is_harder: true };
    vec![
        ("empty", of(spec(), |_| ())),
        ("plain", of(spec(), |told| told.reports(9, 3, 0))),
        ("positive scores", of(spec(), |told| told.reports(9, 6, 1))),
        ("attributes", of(spec(), |told| told.reports(7, 4, 7))),
        (
            "pairs",
            of(spec(), |told| {
                told.reports(5, 4, 1);
                told.marks(NotNegative::Positive, 4, true);
                told.marks(NotNegative::Vetoed, 6, false);
            }),
        ),
        (
            "named",
            of(AnchorPartitionSpec { named: true, hardness: distances, ..spec() }, |told| {
                told.reports(6, 4, 6);
                told.marks(NotNegative::Positive, 3, false);
            }),
        ),
        (
            "folded",
            of(AnchorPartitionSpec { workers: 1, ..spec() }, |told| {
                told.reports(6, 3, 2);
                told.apply(AnchorChange::Fold { floor_units: DAY + FOLD_BELOW_UNITS });
            }),
        ),
    ]
}
