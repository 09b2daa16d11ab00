//! The store of anchors against a plain model, and its limits.

use super::*;
use crate::store::ScoreUpdate;
use crate::store::anchored::Margins;
use crate::store::hash::placement_hash;
use crate::store::key::{ADVANCE_MAX_UNITS, Hardness, HardnessFunction};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn spec(n: usize) -> AnchorStoreSpec {
    AnchorStoreSpec {
        negatives_per_anchor: n,
        max_anchors: 1_000,
        max_positives_per_anchor: 4,
        max_vetoes_per_anchor: 4,
        margins: Margins::default(),
        shards: 3,
        hardness: Hardness { function: HardnessFunction::Power { offset: 1e-30 }, lower_is_harder: false },
        named: false,
    }
}

fn batch(rows: &[(u64, u64, f32)]) -> AnchorBatch {
    AnchorBatch {
        anchors: rows.iter().map(|r| r.0).collect(),
        ids: rows.iter().map(|r| r.1).collect(),
        scores: rows.iter().map(|r| r.2).collect(),
        ..AnchorBatch::default()
    }
}

fn pairs(rows: &[(u64, u64)]) -> Pairs {
    Pairs {
        anchors: rows.iter().map(|r| r.0).collect(),
        ids: rows.iter().map(|r| r.1).collect(),
        ..Pairs::default()
    }
}

/// Ids and scores of an anchor's negatives, the hardest first.
fn stored(rows: &AnchorRows, anchor: usize) -> Vec<(u64, f32)> {
    rows.negatives[rows.anchors[anchor].negatives.clone()].iter().map(|n| (n.id, n.score)).collect()
}

async fn limit_of<T: std::fmt::Debug>(result: Result<T, StoreError>) -> &'static str {
    match result {
        Err(StoreError::Limit { limit, .. }) => limit,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_hardest_of_each_anchor_stay() {
    let store = Anchors::new(spec(2));
    let rows = [(1, 10, 1.0), (1, 11, 3.0), (2, 10, 5.0), (1, 12, 2.0), (1, 13, 0.5)];
    let applied = store.apply(batch(&rows)).await.unwrap();
    assert_eq!((applied.counts.inserted, applied.counts.too_easy, applied.counts.evicted), (4, 1, 1));
    assert_eq!(applied.too_easy, [4]);
    let rows = store.fetch(&[2, 1, 3]).await.unwrap();
    assert_eq!(stored(&rows, 0), [(10, 5.0)]);
    assert_eq!(stored(&rows, 1), [(11, 3.0), (12, 2.0)]);
    assert!(!rows.anchors[2].known);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.anchors, stats.negatives), (2, 3));
}

#[tokio::test]
async fn within_a_tie_of_keys_the_raw_score_decides() {
    let clamps = HardnessFunction::Exponential { temperature: 1e-4 };
    for (lower_is_harder, function, scores) in [
        (false, HardnessFunction::Power { offset: 1e-3 }, [0.9, 0.900_000_4, 0.900_000_2]),
        (false, clamps, [0.5, 0.9, 0.7]),
        (true, HardnessFunction::Power { offset: 1e-3 }, [0.9, 0.899_999_6, 0.899_999_8]),
    ] {
        let hardness = Hardness { function, lower_is_harder };
        let keys = scores.map(|score| hardness.key(score, 0).0);
        assert!(keys[0] == keys[1] && keys[1] == keys[2], "a tie");
        let store = Anchors::new(AnchorStoreSpec { hardness, ..spec(2) });
        store.apply(batch(&[(1, 10, scores[0]), (1, 12, scores[2])])).await.unwrap();
        assert_eq!(stored(&store.fetch(&[1]).await.unwrap(), 0), [(12, scores[2]), (10, scores[0])]);
        // The hardest comes late and replaces the easiest; the easiest does not come back.
        assert_eq!(store.apply(batch(&[(1, 13, scores[1])])).await.unwrap().counts.evicted, 1);
        assert_eq!(store.apply(batch(&[(1, 9, scores[0])])).await.unwrap().counts.too_easy, 1);
        assert_eq!(stored(&store.fetch(&[1]).await.unwrap(), 0), [(13, scores[1]), (12, scores[2])]);
    }
}

#[tokio::test]
async fn of_too_many_those_too_near_the_positive_go_first() {
    let margins = Margins { absolute: Some(0.0), relative: None };
    let store = Anchors::new(AnchorStoreSpec { margins, ..spec(2) });
    let mut first = batch(&[(1, 10, 0.9), (1, 11, 0.3)]);
    first.positive_scores = vec![0.8, f32::NAN];
    store.apply(first).await.unwrap();
    // 0.9 is over the positive's 0.8: a false negative, likely, and goes for one that is easier.
    store.apply(batch(&[(1, 12, 0.1)])).await.unwrap();
    assert_eq!(stored(&store.fetch(&[1]).await.unwrap(), 0), [(11, 0.3), (12, 0.1)]);
    let applied = store.apply(batch(&[(1, 13, 0.95)])).await.unwrap();
    assert_eq!(applied.counts.too_easy, 1, "where all pass, one that fails does not come in");
}

#[tokio::test]
async fn a_positive_score_is_the_least_alike_of_one_model() {
    let store = Anchors::new(spec(4));
    let report = async |version: u32, scores: &[f32], stamp: u32| {
        let mut b = batch(&vec![(1, 10, 0.5); scores.len()]);
        b.positive_scores = scores.to_vec();
        (b.model_version, b.stamp, b.refuse_stale) = (version, stamp, true);
        store.apply(b).await.unwrap();
        store.fetch(&[1]).await.unwrap().anchors[0].positive
    };
    assert_eq!(report(1, &[0.9, 0.7, f32::NAN], 5).await, 0.7);
    assert_eq!(report(1, &[0.8], 6).await, 0.7, "the lowest across the batches of a model");
    assert_eq!(report(2, &[0.8], 7).await, 0.8, "another model's scores replace it");
    assert_eq!(report(2, &[0.1], 6).await, 0.8, "an older step is ignored");
    assert_eq!(report(0, &[0.9], 8).await, 0.9);
    assert_eq!(report(0, &[0.95], 9).await, 0.95, "version 0 is never the same model");
    let positives = Pairs { scores: vec![0.6], stamp: 9, ..pairs(&[(1, 77)]) };
    store.mark(positives, NotNegative::Positive).await.unwrap();
    assert_eq!(store.fetch(&[1]).await.unwrap().anchors[0].positive, 0.6);
}

#[tokio::test]
async fn what_is_no_negative_is_never_forgotten_and_never_half_remembered() {
    let store = Anchors::new(AnchorStoreSpec { max_anchors: 3, ..spec(4) });
    store.apply(batch(&[(1, 10, 1.0), (1, 11, 2.0), (2, 10, 1.0)])).await.unwrap();
    let marked = store.mark(pairs(&[(1, 10), (3, 10), (1, 10)]), NotNegative::Vetoed).await.unwrap();
    assert_eq!((marked.added, marked.removed), (2, 1));
    let applied = store.apply(batch(&[(1, 10, 9.0), (3, 10, 9.0), (2, 10, 3.0)])).await.unwrap();
    assert_eq!((applied.counts.not_negative, applied.counts.updated), (2, 1));
    assert_eq!(applied.kept, [2]);
    let before = store.stats().await.unwrap();
    // Anchor 1 has one veto and room for four; the call as a whole is refused, anchor 2's pair as well.
    let many = pairs(&[(2, 1), (1, 1), (1, 2), (1, 3), (1, 4)]);
    assert_eq!(limit_of(store.mark(many, NotNegative::Vetoed).await).await, "max_vetoes_per_anchor");
    let many = pairs(&[(2, 1), (2, 2), (2, 3), (2, 4), (2, 5)]);
    assert_eq!(limit_of(store.mark(many, NotNegative::Positive).await).await, "max_positives_per_anchor");
    assert_eq!(
        limit_of(store.mark(pairs(&[(1, 5), (4, 1)]), NotNegative::Vetoed).await).await,
        "max_anchors"
    );
    assert_eq!(store.stats().await.unwrap(), before);
    let applied = store.apply(batch(&[(4, 10, 1.0), (3, 11, 1.0)])).await.unwrap();
    assert_eq!((applied.counts.anchor_limit, applied.counts.inserted), (1, 1));
}

#[tokio::test]
async fn a_moving_average_is_of_one_negative_of_one_anchor() {
    let store = Anchors::new(spec(2));
    let update = ScoreUpdate::Ema { weight: 0.25 };
    for score in [4.0, 8.0] {
        store.apply(AnchorBatch { update, ..batch(&[(1, 10, score)]) }).await.unwrap();
    }
    store.apply(AnchorBatch { update, ..batch(&[(2, 10, 8.0)]) }).await.unwrap();
    let rows = store.fetch(&[1, 2]).await.unwrap();
    assert_eq!((stored(&rows, 0), stored(&rows, 1)), (vec![(10, 5.0)], vec![(10, 8.0)]));
    let old = AnchorBatch { stamp: u32::MAX, refuse_stale: true, ..batch(&[(1, 10, 1.0)]) };
    assert_eq!(store.apply(old).await.unwrap().counts.stale, 1);
}

#[tokio::test]
async fn groups_and_names_stay_with_their_negatives() {
    let store = Anchors::new(AnchorStoreSpec { named: true, ..spec(2) });
    let named = |rows: &[(u64, u64, f32)]| AnchorBatch {
        groups: rows.iter().map(|r| r.1 * 100).collect(),
        names: rows.iter().map(|r| Arc::from(format!("n{}", r.1))).collect(),
        ..batch(rows)
    };
    store.apply(named(&[(1, 10, 1.0), (1, 11, 2.0), (2, 11, 1.0)])).await.unwrap();
    store.apply(named(&[(1, 12, 3.0)])).await.unwrap();
    // A report without groups keeps what there is; the order changes and groups move along.
    store.apply(AnchorBatch { groups: Vec::new(), ..named(&[(1, 11, 4.0)]) }).await.unwrap();
    let rows = store.fetch(&[1, 2]).await.unwrap();
    let range = rows.anchors[0].negatives.clone();
    assert_eq!(stored(&rows, 0), [(11, 4.0), (12, 3.0)]);
    assert_eq!(rows.groups[range.clone()], [1100, 1200]);
    assert_eq!(rows.names[range].iter().map(|n| &**n).collect::<Vec<_>>(), ["n11", "n12"]);
    let names = store.shared.names.as_ref().unwrap();
    assert_eq!(names.get(10), None, "nobody has it any more");
    let (gone, _) = store.remove(&[11, 99]).await.unwrap();
    assert_eq!(gone, [11]);
    assert_eq!(names.get(11), None);
    assert_eq!(stored(&store.fetch(&[1]).await.unwrap(), 0), [(12, 3.0)]);
}

#[tokio::test]
async fn ancient_keys_are_lifted_before_their_order_could_wrap() {
    let store = Anchors::new(spec(2));
    let step = ADVANCE_MAX_UNITS;
    let at = |decay_units: u64, row: (u64, u64, f32)| AnchorBatch { decay_units, ..batch(&[row]) };
    store.apply(at(1 << 42, (1, 10, 4.0))).await.unwrap();
    // Three times around the circle of keys, by the largest steps there are.
    for i in 1..=3 * 4 {
        store.apply(at((1 << 42) + i * step, (2, i, 1.0))).await.unwrap();
    }
    let now = (1 << 42) + 3 * 4 * step;
    store.apply(at(now, (1, 11, 1e-3))).await.unwrap();
    let rows = store.fetch(&[1]).await.unwrap();
    assert_eq!(rows.negatives[0].id, 11, "what is fresh comes before what is ancient");
    store.apply(at(now, (1, 12, 1e-3))).await.unwrap();
    let ids: Vec<u64> = store.fetch(&[1]).await.unwrap().negatives.iter().map(|n| n.id).collect();
    assert_eq!(ids.len(), 2);
    assert!(!ids.contains(&10), "and the ancient one goes first");
}

#[derive(Debug, Default)]
struct Model {
    negatives: BTreeMap<u64, f32>,
    not_negative: BTreeSet<u64>,
}

/// What happens to the store: a batch of (anchor, id, octave), a veto, a removal.
#[derive(Clone, Debug)]
enum Happening {
    Report(Vec<(u64, u64, i32)>),
    Veto(u64, u64),
    Remove(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => prop::collection::vec((0u64..4, 0u64..12, -8i32..8), 0..20).prop_map(Happening::Report),
        1 => (0u64..4, 0u64..12).prop_map(|(a, i)| Happening::Veto(a, i)),
        1 => (0u64..12).prop_map(Happening::Remove),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_plain_model(
        happenings in prop::collection::vec(happening(), 0..30), n in 1usize..6, rule in 0usize..3,
    ) {
        let update = [ScoreUpdate::Last, ScoreUpdate::Max, ScoreUpdate::Last][rule];
        let lower_is_harder = rule == 2;
        let hardness = Hardness { lower_is_harder, ..spec(n).hardness };
        let limits = AnchorStoreSpec { max_vetoes_per_anchor: 100, hardness, ..spec(n) };
        // What is harder is less.
        let order = |a: &(u64, f32), b: &(u64, f32)| {
            let key = |score: f32| hardness.key(score, 0).0.since(Key(0));
            let raw = if lower_is_harder { a.1.total_cmp(&b.1) } else { b.1.total_cmp(&a.1) };
            key(b.1).cmp(&key(a.1)).then(raw).then(placement_hash(b.0).cmp(&placement_hash(a.0)))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = Anchors::new(limits);
        let mut model: BTreeMap<u64, Model> = BTreeMap::new();
        for happening in happenings {
            match happening {
                Happening::Report(rows) => {
                    // Half of the scores are so near that some have one key; some are equal.
                    let rows: Vec<(u64, u64, f32)> = rows.iter().map(|(a, i, octave)| {
                        let octave = *octave as f32 / if octave % 2 == 0 { 1.0 } else { 300_000.0 };
                        (*a, *i, octave.exp2())
                    }).collect();
                    let applied =
                        runtime.block_on(store.apply(AnchorBatch { update, ..batch(&rows) })).unwrap();
                    let last: BTreeMap<(u64, u64), f32> = rows.iter().map(|r| ((r.0, r.1), r.2)).collect();
                    prop_assert_eq!(applied.counts.coalesced as usize, rows.len() - last.len());
                    let (known, new): (Vec<_>, Vec<_>) = last.into_iter().partition(|((a, i), _)| {
                        model.get(a).is_some_and(|m| m.negatives.contains_key(i))
                    });
                    for ((a, i), score) in known {
                        let old = model.entry(a).or_default().negatives.entry(i).or_default();
                        *old = match update {
                            ScoreUpdate::Max => old.max(score),
                            _ => score,
                        };
                    }
                    for ((a, i), score) in new {
                        let anchor = model.entry(a).or_default();
                        if anchor.not_negative.contains(&i) {
                            continue;
                        }
                        anchor.negatives.insert(i, score);
                        if anchor.negatives.len() > n {
                            let easiest = anchor.negatives.iter().map(|(i, s)| (*i, *s)).max_by(order);
                            anchor.negatives.remove(&easiest.unwrap().0);
                        }
                    }
                }
                Happening::Veto(a, i) => {
                    let marked = runtime.block_on(store.mark(pairs(&[(a, i)]), NotNegative::Vetoed)).unwrap();
                    let anchor = model.entry(a).or_default();
                    prop_assert_eq!(marked.removed == 1, anchor.negatives.remove(&i).is_some());
                    prop_assert_eq!(marked.added == 1, anchor.not_negative.insert(i));
                }
                Happening::Remove(i) => {
                    let (gone, _) = runtime.block_on(store.remove(&[i])).unwrap();
                    let had = model.values_mut().filter_map(|m| m.negatives.remove(&i)).count();
                    prop_assert_eq!(gone.len(), usize::from(had > 0));
                }
            }
            let rows = runtime.block_on(store.fetch(&[0, 1, 2, 3])).unwrap();
            for a in 0..4 {
                let mut expected: Vec<(u64, f32)> =
                    model.get(&a).map(|m| m.negatives.clone().into_iter().collect()).unwrap_or_default();
                expected.sort_by(order);
                prop_assert_eq!(stored(&rows, a as usize), expected);
                prop_assert_eq!(rows.anchors[a as usize].known, model.contains_key(&a));
            }
            let stats = runtime.block_on(store.stats()).unwrap();
            prop_assert_eq!(stats.negatives as usize, model.values().map(|m| m.negatives.len()).sum::<usize>());
            prop_assert_eq!(stats.vetoes as usize, model.values().map(|m| m.not_negative.len()).sum::<usize>());
        }
    }
}
