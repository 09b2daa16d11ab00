//! Calls at random of an anchored pool: every engine answers as the plainest one does.

use super::anchors::{pairs, report, stores};
use crate::store::anchored::{AnchorBatch, AnchorStore, AnchorStoreSpec, Margins, NotNegative, Pairs};
use crate::store::hash::background_hash;
use crate::store::key::Hardness;
use crate::store::{ScoreUpdate, Sender};

/// Numbers below an end that a seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = background_hash(self.0, 17);
        self.0 % end
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// A small pool, so that calls run into each of its limits.
fn small_spec(random: &mut Random) -> AnchorStoreSpec {
    let hardness = Hardness { lower_is_harder: random.flip(), ..Hardness::default() };
    let margin = |of: u64| (of < 2).then_some(of as f32 / 4.0);
    AnchorStoreSpec {
        negatives_per_anchor: 1 + random.below(5) as usize,
        max_anchors: 4 + random.below(12),
        max_positives_per_anchor: 2,
        max_vetoes_per_anchor: 3,
        max_pairs: 20,
        margins: Margins { absolute: margin(random.below(4)), relative: margin(random.below(4)) },
        partitions: 1 + random.below(4) as usize,
        hardness,
        named: true,
        workers: 64,
    }
}

/// A call that changes an anchored pool.
enum Call {
    Apply(Box<AnchorBatch>),
    Mark(Pairs, NotNegative),
    Remove(Vec<u64>),
    Clear,
}

impl Call {
    fn at_random(random: &mut Random) -> Self {
        let kind = random.below(64);
        let rows: Vec<(u64, u64, f32)> = (0..random.below(24))
            .map(|_| (random.below(18), random.below(15), 0.25 + random.below(64) as f32 / 16.0))
            .collect();
        let of_pairs = || {
            let scores = rows.iter().map(|row| row.2 + 1.0).take(4).collect();
            let of_rows: Vec<(u64, u64)> = rows.iter().map(|row| (row.0, row.1)).take(4).collect();
            (pairs(&of_rows), scores)
        };
        match kind {
            0..42 => Self::Apply(Box::new(batch(&rows, random))),
            42..49 => {
                let (pairs, scores) = of_pairs();
                Self::Mark(Pairs { scores, stamp: 3, ..pairs }, NotNegative::Positive)
            }
            49..56 => Self::Mark(of_pairs().0, NotNegative::Vetoed),
            56..63 => Self::Remove(rows.iter().map(|row| row.1).take(4).collect()),
            _ => Self::Clear,
        }
    }

    /// What a store answers, in an order that hosts share.
    async fn answer(&self, store: &dyn AnchorStore) -> String {
        match self {
            Self::Apply(batch) => {
                let mut applied = store.apply(AnchorBatch::clone(batch)).await.unwrap();
                applied.negatives.sort_unstable();
                applied.too_easy.sort_unstable();
                format!("{applied:?}")
            }
            Self::Mark(pairs, how) => format!("{:?}", store.mark(pairs.clone(), *how).await.unwrap()),
            Self::Remove(ids) => format!("{:?}", store.remove(ids).await.unwrap()),
            Self::Clear => format!("{:?}", store.clear().await.unwrap()),
        }
    }
}

/// A report of rows (anchor, id, score), with some of the columns that a report may have; some batches are resends.
fn batch(rows: &[(u64, u64, f32)], random: &mut Random) -> AnchorBatch {
    let (has_positives, has_groups, has_labels) = (random.flip(), random.flip(), random.flip());
    let positive = |row: &(u64, u64, f32)| if row.1.is_multiple_of(3) { f32::NAN } else { row.2 + 0.5 };
    let updates = [ScoreUpdate::Last, ScoreUpdate::Max, ScoreUpdate::Ema { weight: 0.5 }];
    AnchorBatch {
        names: rows.iter().map(|row| format!("n{}", row.1).into()).collect(),
        positive_scores: rows.iter().filter(|_| has_positives).map(positive).collect(),
        groups: rows.iter().filter(|_| has_groups).map(|row| row.1 / 4).collect(),
        labels: rows.iter().filter(|_| has_labels).map(|row| (row.1 % 3) as u32).collect(),
        anchor_labels: rows.iter().filter(|_| has_labels).map(|row| row.0 as u32 % 4).collect(),
        stamp: 100 + random.below(5) as u32,
        refuse_stale: true,
        update: updates[random.below(3) as usize],
        sender: Some(Sender { worker: random.below(3).into(), epoch: 1, sequence: 1 + random.below(30) }),
        non_finite: random.below(3),
        out_of_range: random.below(2),
        ..report(rows)
    }
}

/// All that a store holds of some anchors, and its sizes.
async fn contents(store: &dyn AnchorStore, anchors: &[u64]) -> String {
    let rows = store.fetch(anchors).await.unwrap();
    let mut lines = Vec::new();
    for (anchor, row) in anchors.iter().zip(&rows.anchors) {
        let negatives: Vec<String> = row
            .negatives
            .clone()
            .map(|at| {
                let (group, label) = (rows.groups.get(at).unwrap_or(&0), rows.labels.get(at).unwrap_or(&0));
                format!("{:?} {group} {label} {}", rows.negatives[at], rows.names[at])
            })
            .collect();
        let (known, positive, label) = (row.known, row.positive, row.label);
        let pairs = (&rows.not_negative[row.positives.clone()], &rows.not_negative[row.vetoes.clone()]);
        lines.push(format!("{anchor}: {known} {positive} {label} {negatives:#?} {pairs:?}"));
    }
    let stats = store.stats().await.unwrap();
    let sizes = (stats.anchors, stats.negatives, stats.positives, stats.vetoes, stats.totals);
    format!("{}\n{sizes:?}", lines.join("\n"))
}

/// Every engine answers each call as the plainest one does, and holds the same after it.
#[tokio::test]
async fn calls_at_random_are_answered_alike() {
    let anchors: Vec<u64> = (0..20).collect();
    for seed in 0..60 {
        let mut random = Random(seed);
        let stores = stores(small_spec(&mut random)).await;
        for step in 0..60 {
            let call = Call::at_random(&mut random);
            let (mut expected, mut held) = (None, None);
            for (name, store) in &stores {
                let answer = call.answer(&**store).await;
                assert_eq!(
                    *expected.get_or_insert(answer.clone()),
                    answer,
                    "{name}, seed {seed}, step {step}"
                );
                let contents = contents(&**store, &anchors).await;
                assert_eq!(
                    *held.get_or_insert(contents.clone()),
                    contents,
                    "{name}, seed {seed}, step {step}"
                );
            }
        }
    }
}
