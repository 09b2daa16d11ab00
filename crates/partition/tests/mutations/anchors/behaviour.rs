//! Uses a partition of anchors that was loaded from any image.

use hardneg_partition::anchors::{
    AnchorChange, AnchorColumns, AnchorOp, AnchorPartition, AnchorReply, AnchorRows, NotNegative, PairColumns,
};
use hardneg_partition::key::{ADVANCE_MAX_UNITS, FOLD_BELOW_UNITS};
use hardneg_partition::{ImageError, ScoreUpdate, Sender, Terms};
use std::sync::Arc;

use super::corpus::DAY;
use crate::machine::Machine;
use crate::random::SplitMix;

impl Machine for AnchorPartition {
    fn load(image: &[u8]) -> Result<Self, ImageError> {
        Self::load(image)
    }

    fn save(&self) -> Vec<u8> {
        self.save()
    }

    fn exercise(&mut self, random: &mut SplitMix) {
        let partition = self;
        let spec = *partition.spec();
        let keys = (0..partition.len()).filter_map(|number| partition.negatives_of(number).first());
        let highest = keys.map(|negative| negative.key).reduce(|a, b| if b.since(a) > 0 { b } else { a });
        // A plausible value of the decay clock D: not far from the highest key.
        let mut decay_units = match (highest, partition.folded_units()) {
            (Some(key), _) => u64::from(key.0),
            (None, Some(floor)) => floor.wrapping_add(FOLD_BELOW_UNITS),
            (None, None) => DAY,
        };
        let known = (0..3).filter_map(|number| partition.anchor_at(number));
        let anchors: Vec<u64> = known.chain((0..3).map(|_| random.below(20))).collect();
        let of_known: Vec<u64> =
            (0..3).flat_map(|number| partition.negatives_of(number).iter().map(|n| n.id)).take(6).collect();
        let mut position = partition.position();
        let mut apply = |partition: &mut AnchorPartition, change: AnchorChange| {
            position = position.wrapping_add(1);
            partition.apply(AnchorOp { position, change })
        };
        for _ in 0..2 {
            // D may have risen far, so a fold comes before reports, as a host sends it.
            let floor_units = decay_units.wrapping_sub(FOLD_BELOW_UNITS);
            apply(partition, AnchorChange::Fold { floor_units });
            let rows: Vec<(u64, u64)> = (0..24)
                .map(|_| {
                    let id = if of_known.is_empty() || random.below(2) == 0 {
                        random.below(60)
                    } else {
                        random.choose(&of_known)
                    };
                    (random.choose(&anchors), id)
                })
                .collect();
            let update =
                random.choose(&[ScoreUpdate::Last, ScoreUpdate::Max, ScoreUpdate::Ema { weight: 0.5 }]);
            let stamp = random.next() as u32;
            let refuse_stale = random.below(2) == 0;
            let terms =
                Terms { decay_units, stamp, refuse_stale, model_version: 3, update, ..Terms::default() };
            let sequence = random.below(2) * random.next();
            let sender = Some(Sender { worker: random.choose(&[1, 2]), epoch: 1, sequence });
            let columns = Arc::new(columns(&rows, decay_units, &spec, random));
            let report = AnchorChange::Report { rows: columns, range: 0..rows.len(), terms, sender };
            let AnchorReply::Reported(reported) = apply(partition, report) else { panic!("a report") };
            assert_eq!(reported.counts.rows(), rows.len() as u64, "{reported:?}");
            let why = random.choose(&[NotNegative::Positive, NotNegative::Vetoed]);
            let pairs = PairColumns {
                anchors: rows[..8].iter().map(|row| row.0).collect(),
                ids: rows[..8].iter().map(|row| row.1).collect(),
                scores: rows[..8].iter().map(|row| row.1 as f32).collect(),
            };
            let mark =
                AnchorChange::Mark { pairs: Arc::new(pairs), range: 0..8, why, stamp, model_version: 1 };
            let AnchorReply::Marked(marked) = apply(partition, mark) else { panic!("a mark") };
            assert!(marked.refused.is_empty() || marked.added == 0);
            read(partition, &anchors, &rows[..8], why, marked.refused.is_empty());
            apply(partition, AnchorChange::Remove { ids: of_known.iter().copied().take(2).collect() });
            decay_units = decay_units.wrapping_add(random.choose(&[0, 1 << 16, ADVANCE_MAX_UNITS]));
        }
    }
}

fn columns(
    rows: &[(u64, u64)],
    decay_units: u64,
    spec: &hardneg_partition::anchors::AnchorPartitionSpec,
    random: &mut SplitMix,
) -> AnchorColumns {
    let scores = rows.iter().map(|_| random.below(1 << 16) as f32 / 1024.0).collect();
    let (anchors, ids) = rows.iter().copied().unzip();
    let mut columns = AnchorColumns::plain(anchors, ids, scores, &spec.hardness, decay_units);
    if spec.named {
        columns.names = rows.iter().map(|(_, id)| format!("{id}").into()).collect();
    }
    if random.below(2) == 0 {
        columns.positive_scores = rows.iter().map(|(_, id)| *id as f32 / 8.0).collect();
        columns.labels = rows.iter().map(|(_, id)| (*id % 5) as u32).collect();
        columns.groups = rows.iter().map(|(_, id)| *id % 7).collect();
        columns.anchor_labels = rows.iter().map(|(anchor, _)| *anchor as u32).collect();
    }
    columns
}

/// Checks that marked samples are not negatives of their anchors.
fn read(partition: &AnchorPartition, anchors: &[u64], marked: &[(u64, u64)], why: NotNegative, all: bool) {
    let stats = partition.stats();
    assert!(stats.anchors <= partition.spec().max_anchors);
    assert!(stats.positives + stats.vetoes <= partition.spec().max_pairs);
    let mut rows = AnchorRows::unread(anchors.len());
    let places: Vec<usize> = (0..anchors.len()).collect();
    partition.fetch(anchors, &places, &mut rows);
    rows.complete();
    for (anchor, row) in anchors.iter().zip(&rows.anchors) {
        assert!(row.negatives.len() <= partition.spec().negatives_per_anchor);
        let list = match why {
            NotNegative::Positive => &rows.not_negative[row.positives.clone()],
            NotNegative::Vetoed => &rows.not_negative[row.vetoes.clone()],
        };
        for (_, id) in marked.iter().filter(|pair| all && pair.0 == *anchor) {
            assert!(list.contains(id) && rows.negatives[row.negatives.clone()].iter().all(|n| n.id != *id));
        }
    }
}
