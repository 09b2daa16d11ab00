//! Anchors of one pool: their negatives, the pairs that are not negative, and the limits of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{MAX_POOLS, engines, flat, samples};
use crate::store::Sender;
use crate::store::anchored::{
    AnchorBatch, AnchorRows, AnchorStore, AnchorStoreSpec, Margins, NotNegative, PairLimit, Pairs,
};
use crate::store::hash::placement_hash;
use crate::store::key::Hardness;
use crate::store::layout::partition_of;
use crate::store::record::{NewPool, StoreSpecs};

pub(super) type Stores = Vec<(&'static str, Arc<dyn AnchorStore>)>;

fn spec(negatives_per_anchor: usize, partitions: usize) -> AnchorStoreSpec {
    AnchorStoreSpec {
        negatives_per_anchor,
        max_anchors: 1_000,
        max_positives_per_anchor: 8,
        max_vetoes_per_anchor: 2,
        max_pairs: 1_000,
        margins: Margins { absolute: None, relative: None },
        partitions,
        hardness: Hardness::default(),
        named: false,
        workers: 8,
    }
}

/// An empty store of each engine.
pub(super) async fn stores(anchors: AnchorStoreSpec) -> Stores {
    let mut stores = Vec::new();
    for (name, engine) in engines() {
        let pool = flat("p", 1, samples(64, anchors.partitions));
        let specs = StoreSpecs { anchors: Some(anchors.clone()), ..pool.specs.clone() };
        let pool = engine.create(NewPool { specs, ..pool }, MAX_POOLS).await.unwrap();
        stores.push((name, pool.anchors.unwrap()));
    }
    stores
}

/// A batch of rows of anchor, id and score.
pub(super) fn report(rows: &[(u64, u64, f32)]) -> AnchorBatch {
    AnchorBatch {
        anchors: rows.iter().map(|row| row.0).collect(),
        ids: rows.iter().map(|row| row.1).collect(),
        scores: rows.iter().map(|row| row.2).collect(),
        decay_units: 1 << 40,
        stamp: 100,
        ..AnchorBatch::default()
    }
}

pub(super) fn pairs(pairs: &[(u64, u64)]) -> Pairs {
    let (anchors, ids) = pairs.iter().copied().unzip();
    Pairs { anchors, ids, ..Pairs::default() }
}

/// The ids of the negatives of the `i`-th anchor that was read.
fn negatives(rows: &AnchorRows, i: usize) -> Vec<u64> {
    rows.negatives[rows.anchors[i].negatives.clone()].iter().map(|negative| negative.id).collect()
}

/// The negatives of one anchor.
async fn of(store: &dyn AnchorStore, anchor: u64) -> Vec<u64> {
    negatives(&store.fetch(&[anchor]).await.unwrap(), 0)
}

/// The first `n` anchors of a partition.
fn anchors_of(partition: usize, partitions: usize, n: usize) -> Vec<u64> {
    (0..).filter(|id| partition_of(placement_hash(*id), partitions) == partition).take(n).collect()
}

#[tokio::test]
async fn each_anchor_keeps_its_hardest_negatives_in_order() {
    for partitions in [1, 3] {
        for (name, store) in stores(spec(4, partitions)).await {
            let mut hardest: BTreeMap<u64, Vec<(u64, f32)>> = BTreeMap::new();
            let (mut kept, mut last) = (0, 0);
            for round in 0..10_u64 {
                // All scores differ, so the order does not depend on hashes.
                let row = |i: u64| (i % 7, round * 70 + i, 1.0 + ((i * 131 + round * 977) % 1_009) as f32);
                let rows: Vec<_> = (0..70).map(row).collect();
                let applied = store.apply(report(&rows)).await.unwrap();
                assert_eq!(applied.counts.rows(), 70, "{name}");
                assert!(applied.position > last, "{name}");
                last = applied.position;
                kept += applied.counts.inserted - applied.counts.evicted;
                let told: BTreeSet<u32> = applied.negatives.iter().copied().collect();
                assert_eq!(told, (0..70).collect(), "{name}");
                assert_eq!(applied.too_easy.len() as u64, applied.counts.too_easy, "{name}");
                for (anchor, id, score) in rows {
                    let of_anchor = hardest.entry(anchor).or_default();
                    of_anchor.push((id, score));
                    of_anchor.sort_by(|a, b| b.1.total_cmp(&a.1));
                    of_anchor.truncate(4);
                }
                let easy = |row: &u32| {
                    let (anchor, id) = (u64::from(*row) % 7, round * 70 + u64::from(*row));
                    hardest[&anchor].iter().all(|kept| kept.0 != id)
                };
                assert!(applied.too_easy.iter().all(easy), "{name}");
            }
            // The answers are in the order of the arguments, of which one is unknown and one is repeated.
            let asked = [5, 999, 0, 5, 3];
            let rows = store.fetch(&asked).await.unwrap();
            assert_eq!(rows.anchors.len(), asked.len(), "{name}");
            for (i, anchor) in asked.iter().enumerate() {
                let expected = hardest.get(anchor).cloned().unwrap_or_default();
                let of_anchor = &rows.negatives[rows.anchors[i].negatives.clone()];
                let told: Vec<_> = of_anchor.iter().map(|negative| (negative.id, negative.score)).collect();
                assert_eq!(told, expected, "{name}");
                assert_eq!(rows.anchors[i].known, *anchor != 999, "{name}");
            }
            let stats = store.stats().await.unwrap();
            let sizes = (stats.anchors, stats.negatives, stats.positives, stats.vetoes);
            assert_eq!(sizes, (7, kept, 0, 0), "{name}");
            assert_eq!(kept, 28, "{name}");
        }
    }
}

#[tokio::test]
async fn repeats_late_rows_and_resends_are_counted_separately() {
    for (name, store) in stores(spec(4, 3)).await {
        let applied = store.apply(report(&[(1, 7, 1.0), (1, 7, 3.0), (1, 8, 2.0)])).await.unwrap();
        let counts = applied.counts;
        assert_eq!((counts.inserted, counts.coalesced, counts.rows()), (2, 1, 3), "{name}");
        assert_eq!(of(&*store, 1).await, [7, 8], "{name}: the last row of a sample counts");
        let late = AnchorBatch { stamp: 99, refuse_stale: true, ..report(&[(1, 8, 9.0), (1, 9, 9.0)]) };
        let counts = store.apply(late).await.unwrap().counts;
        assert_eq!((counts.stale, counts.inserted, counts.rows()), (1, 1, 2), "{name}");
        assert_eq!(of(&*store, 1).await, [9, 7, 8], "{name}");

        // Each partition recognises only the batches that it has applied itself.
        let (known, new) = (anchors_of(0, 3, 2), anchors_of(2, 3, 1));
        let sender = Some(Sender { worker: 4, epoch: 1, sequence: 1 });
        let first = report(&[(known[0], 50, 1.0), (known[1], 51, 1.0)]);
        store.apply(AnchorBatch { sender, ..first }).await.unwrap();
        let again = report(&[(known[0], 52, 1.0), (new[0], 53, 1.0), (known[1], 54, 1.0)]);
        let applied = store.apply(AnchorBatch { sender, ..again }).await.unwrap();
        assert_eq!((applied.counts.duplicate, applied.counts.inserted), (2, 1), "{name}");
        let told: BTreeSet<u32> = applied.negatives.into_iter().collect();
        assert_eq!(told, BTreeSet::from([0, 1, 2]), "{name}");
        assert!(!of(&*store, known[0]).await.contains(&52), "{name}");
        assert!(of(&*store, new[0]).await.contains(&53), "{name}");
    }
}

#[tokio::test]
async fn positives_and_vetoed_samples_are_removed_and_not_stored_again() {
    for partitions in [1, 3] {
        for (name, store) in stores(spec(4, partitions)).await {
            let before = store.apply(report(&[(1, 7, 1.0), (1, 8, 2.0), (2, 7, 3.0)])).await.unwrap();
            let positives = pairs(&[(1, 9), (1, 7), (1, 7), (30, 5)]);
            let marked = store.mark(positives, NotNegative::Positive).await.unwrap();
            assert_eq!((marked.added, marked.removed), (3, 1), "{name}");
            assert!(marked.refused.is_empty() && marked.refusals.is_empty(), "{name}");
            assert!(marked.position > before.position, "{name}");
            let marked = store.mark(pairs(&[(2, 7), (2, 6)]), NotNegative::Vetoed).await.unwrap();
            assert_eq!((marked.added, marked.removed), (2, 1), "{name}");
            let rows = [(1, 7, 9.0), (1, 9, 9.0), (2, 6, 9.0), (2, 9, 9.0)];
            let applied = store.apply(report(&rows)).await.unwrap();
            let counts = applied.counts;
            assert_eq!((counts.not_negative, counts.inserted, counts.rows()), (3, 1, 4), "{name}");
            assert_eq!(applied.negatives, [3], "{name}");

            let rows = store.fetch(&[1, 2, 30]).await.unwrap();
            let told = |i: usize| {
                let anchor = &rows.anchors[i];
                let ids = |range: &std::ops::Range<usize>| rows.not_negative[range.clone()].to_vec();
                (anchor.known, negatives(&rows, i), ids(&anchor.positives), ids(&anchor.vetoes))
            };
            assert_eq!(told(0), (true, vec![8], vec![7, 9], vec![]), "{name}");
            assert_eq!(told(1), (true, vec![9], vec![], vec![6, 7]), "{name}");
            assert_eq!(told(2), (true, vec![], vec![5], vec![]), "{name}: an anchor without reports");
            let stats = store.stats().await.unwrap();
            let sizes = (stats.anchors, stats.negatives, stats.positives, stats.vetoes);
            assert_eq!(sizes, (3, 2, 3, 2), "{name}");
        }
    }
}

#[tokio::test]
async fn a_partition_takes_all_of_its_pairs_or_none_and_names_the_limit() {
    for (name, store) in stores(spec(4, 3)).await {
        // The limit is two vetoes per anchor: one partition gets an anchor with three, the other does not.
        let (full, other) = (anchors_of(0, 3, 2), anchors_of(1, 3, 1)[0]);
        store.apply(report(&[(full[0], 1, 1.0), (other, 1, 1.0)])).await.unwrap();
        let wanted = [(full[1], 1), (other, 1), (full[0], 1), (full[0], 2), (full[0], 3)];
        let marked = store.mark(pairs(&wanted), NotNegative::Vetoed).await.unwrap();
        assert_eq!((marked.added, marked.removed), (1, 1), "{name}");
        assert_eq!(marked.refused, [0, 2, 3, 4], "{name}");
        let refusals: Vec<_> =
            marked.refusals.iter().map(|told| (told.row, told.limit, told.wanted)).collect();
        assert_eq!(refusals, [(2, PairLimit::VetoesPerAnchor, 3)], "{name}");
        assert_eq!((of(&*store, full[0]).await, of(&*store, other).await), (vec![1], vec![]), "{name}");
        assert_eq!(store.stats().await.unwrap().vetoes, 1, "{name}");
        // The limit is eight positives per anchor.
        let nine: Vec<_> = (10..19).map(|id| (other, id)).collect();
        let marked = store.mark(pairs(&nine), NotNegative::Positive).await.unwrap();
        assert_eq!((marked.added, marked.refusals[0].limit), (0, PairLimit::PositivesPerAnchor), "{name}");
        let marked = store.mark(pairs(&nine[1..]), NotNegative::Positive).await.unwrap();
        assert_eq!((marked.added, marked.refused.len()), (8, 0), "{name}");
    }
}

#[tokio::test]
async fn there_are_never_more_anchors_and_pairs_than_the_pool_has_room_for() {
    for (name, store) in stores(AnchorStoreSpec { max_anchors: 3, max_pairs: 4, ..spec(4, 1) }).await {
        let counts = store.apply(report(&[(1, 1, 1.0), (2, 1, 1.0)])).await.unwrap().counts;
        assert_eq!(counts.inserted, 2, "{name}");
        let limits = async |wanted: &[(u64, u64)]| {
            let marked = store.mark(pairs(wanted), NotNegative::Positive).await.unwrap();
            marked.refusals.iter().map(|told| (told.limit, told.wanted)).collect::<Vec<_>>()
        };
        assert_eq!(limits(&[(3, 1), (4, 1)]).await, [(PairLimit::Anchors, 4)], "{name}");
        assert!(!store.fetch(&[3]).await.unwrap().anchors[0].known, "{name}");
        let five: Vec<_> = (10..15).map(|id| (1, id)).collect();
        assert_eq!(limits(&five).await, [(PairLimit::Pairs, 5)], "{name}");
        assert_eq!(limits(&five[1..]).await, [], "{name}");
        let counts = store.apply(report(&[(3, 1, 1.0), (4, 1, 1.0), (1, 2, 1.0)])).await.unwrap().counts;
        assert_eq!((counts.inserted, counts.anchor_limit, counts.rows()), (2, 1, 3), "{name}");
        let stats = store.stats().await.unwrap();
        assert_eq!((stats.anchors, stats.positives), (3, 4), "{name}");
    }
}

#[tokio::test]
async fn negatives_that_fail_the_margin_are_evicted_before_easy_ones() {
    let margins = Margins { absolute: Some(0.5), relative: None };
    for (name, store) in stores(AnchorStoreSpec { margins, ..spec(2, 2) }).await {
        let positive = |rows: &[(u64, u64, f32)], score: f32| AnchorBatch {
            positive_scores: vec![score; rows.len()],
            ..report(rows)
        };
        // The margin admits scores of at most 0.5: id 1 fails, ids 2 and 3 do not.
        store.apply(positive(&[(1, 1, 0.875), (1, 2, 0.375)], 1.0)).await.unwrap();
        assert_eq!(of(&*store, 1).await, [1, 2], "{name}: a negative that fails stays while there is room");
        store.apply(positive(&[(1, 3, 0.25)], 1.0)).await.unwrap();
        assert_eq!(of(&*store, 1).await, [2, 3], "{name}");
        let counts = store.apply(positive(&[(1, 4, 0.75)], 1.0)).await.unwrap().counts;
        assert_eq!((counts.too_easy, of(&*store, 1).await), (1, vec![2, 3]), "{name}");
        assert_eq!(store.fetch(&[1]).await.unwrap().anchors[0].positive, 1.0, "{name}");
        // Without a positive score no negative fails.
        store.apply(report(&[(2, 1, 0.875), (2, 2, 0.375), (2, 3, 0.25)])).await.unwrap();
        assert_eq!(of(&*store, 2).await, [1, 2], "{name}");
        assert!(store.fetch(&[2]).await.unwrap().anchors[0].positive.is_nan(), "{name}");
        // The score of a positive counts too. Margins are measured from the lowest of the positive scores.
        let told = Pairs { scores: vec![0.75], ..pairs(&[(1, 9)]) };
        store.mark(told, NotNegative::Positive).await.unwrap();
        assert_eq!(store.fetch(&[1]).await.unwrap().anchors[0].positive, 0.75, "{name}");
    }
}

#[tokio::test]
async fn a_removed_id_leaves_every_anchor_and_sample_returns_stored_negatives() {
    for partitions in [1, 3] {
        for (name, store) in stores(spec(4, partitions)).await {
            assert!(store.sample(10).await.unwrap().is_empty(), "{name}");
            let rows: Vec<_> =
                (0..20).flat_map(|anchor| [(anchor, 7, 1.0), (anchor, 100 + anchor, 2.0)]).collect();
            let before = store.apply(report(&rows)).await.unwrap();
            let stored: BTreeSet<u64> = rows.iter().map(|row| row.1).collect();
            let look = store.sample(30).await.unwrap();
            assert!(look.len() >= 30 && look.iter().all(|negative| stored.contains(&negative.id)), "{name}");
            let (removed, position) = store.remove(&[103, 7, 7, 999]).await.unwrap();
            assert_eq!(removed.into_iter().collect::<BTreeSet<_>>(), BTreeSet::from([7, 103]), "{name}");
            assert!(position > before.position, "{name}");
            assert_eq!(store.stats().await.unwrap().negatives, 19, "{name}");
            let look = store.sample(200).await.unwrap();
            assert!(look.iter().all(|negative| ![7, 103].contains(&negative.id)), "{name}");
            // A removal is no veto, so a report stores the id again.
            assert_eq!(store.apply(report(&[(3, 7, 1.0)])).await.unwrap().counts.inserted, 1, "{name}");
        }
    }
}

#[tokio::test]
async fn names_groups_and_labels_stay_with_their_negatives() {
    for (name, store) in stores(AnchorStoreSpec { named: true, ..spec(2, 3) }).await {
        let rows = [(1, 7, 1.0), (2, 8, 1.0), (1, 9, 3.0), (1, 8, 2.0)];
        let batch = AnchorBatch {
            names: rows.iter().map(|row| format!("n{}", row.1).into()).collect(),
            groups: rows.iter().map(|row| row.1 * 10).collect(),
            labels: rows.iter().map(|row| row.1 as u32).collect(),
            anchor_labels: rows.iter().map(|row| 50 + row.0 as u32).collect(),
            ..report(&rows)
        };
        store.apply(batch).await.unwrap();
        let read = store.fetch(&[2, 1]).await.unwrap();
        assert_eq!((negatives(&read, 0), negatives(&read, 1)), (vec![8], vec![9, 8]), "{name}");
        assert_eq!((read.anchors[0].label, read.anchors[1].label), (52, 51), "{name}");
        for (i, negative) in read.negatives.iter().enumerate() {
            assert_eq!(&*read.names[i], format!("n{}", negative.id), "{name}");
            assert_eq!((read.groups[i], read.labels[i]), (negative.id * 10, negative.id as u32), "{name}");
        }
    }
}

#[tokio::test]
async fn a_clear_removes_negatives_and_keeps_positives_vetoes_and_counters() {
    for partitions in [1, 3] {
        for (name, store) in stores(spec(4, partitions)).await {
            let sender = Sender { worker: 4, epoch: 1, sequence: 1 };
            let rows: Vec<_> = (0..12).flat_map(|anchor| [(anchor, 7, 1.0), (anchor, 8, 2.0)]).collect();
            let sent = AnchorBatch {
                positive_scores: vec![5.0; 24],
                anchor_labels: vec![6; 24],
                labels: vec![7; 24],
                sender: Some(sender),
                ..report(&rows)
            };
            store.apply(sent.clone()).await.unwrap();
            let told = Pairs { scores: vec![0.5], ..pairs(&[(3, 77)]) };
            store.mark(told, NotNegative::Positive).await.unwrap();
            let marked = store.mark(pairs(&[(40, 7)]), NotNegative::Vetoed).await.unwrap();
            let totals = store.totals().await.unwrap();
            let (cleared, position) = store.clear().await.unwrap();
            assert_eq!(cleared, 24, "{name}");
            assert!(position > marked.position, "{name}");
            let stats = store.stats().await.unwrap();
            let sizes = (stats.anchors, stats.negatives, stats.positives, stats.vetoes);
            assert_eq!(sizes, (2, 0, 1, 1), "{name}");
            assert_eq!((stats.totals, totals.reported), (totals, 24), "{name}: counters stay");
            let read = store.fetch(&[3, 4, 40]).await.unwrap();
            let known: Vec<bool> = read.anchors.iter().map(|row| row.known).collect();
            assert_eq!(known, [true, false, true], "{name}");
            assert_eq!((read.anchors[0].positive, read.anchors[0].label), (0.5, 0), "{name}");
            assert!(store.sample(9).await.unwrap().is_empty(), "{name}");
            assert!(store.has_applied(&sender).await.unwrap(), "{name}");
            assert_eq!(
                store.apply(sent).await.unwrap().counts.duplicate,
                24,
                "{name}: a resend stores nothing after a clear"
            );
            let counts = store.apply(report(&[(40, 7, 1.0), (40, 8, 1.0)])).await.unwrap().counts;
            assert_eq!((counts.not_negative, counts.inserted), (1, 1), "{name}");
        }
    }
}

/// Rows that were left out of the columns count once, however often their batch is sent.
#[tokio::test]
async fn rows_that_cannot_be_stored_count_once() {
    for (name, store) in stores(spec(4, 3)).await {
        let sender = Sender { worker: 9, epoch: 2, sequence: 5 };
        let sent = AnchorBatch { non_finite: 3, out_of_range: 2, sender: Some(sender), ..report(&[]) };
        let counts = store.apply(sent.clone()).await.unwrap().counts;
        assert_eq!((counts.non_finite, counts.out_of_range, counts.rows()), (3, 2, 5), "{name}");
        assert!(store.has_applied(&sender).await.unwrap(), "{name}");
        let counts = store.apply(sent).await.unwrap().counts;
        assert_eq!((counts.duplicate, counts.rows()), (5, 5), "{name}");
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.reported, totals.non_finite, totals.out_of_range), (5, 3, 2), "{name}");
    }
}
