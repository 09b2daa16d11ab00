//! Tests of what the host of anchors does itself: rows of the batch, refusals, resends and the order of operations.

use hardneg_partition::Sender;
use parking_lot::Mutex;
use std::collections::BTreeSet;

use super::*;
use crate::store::ScoreUpdate;
use crate::store::anchored::{Margins, PairLimit};
use crate::store::hash::background_hash;
use crate::store::key::{Hardness, UNITS_PER_OCTAVE};

fn spec(negatives_per_anchor: usize, partitions: usize) -> AnchorStoreSpec {
    AnchorStoreSpec {
        negatives_per_anchor,
        max_anchors: 2_000,
        max_positives_per_anchor: 4,
        max_vetoes_per_anchor: 4,
        max_pairs: 4_000,
        margins: Margins { absolute: Some(0.0), relative: None },
        partitions,
        hardness: Hardness::default(),
        named: false,
        workers: 64,
    }
}

fn batch(rows: &[(u64, u64, f32)]) -> AnchorBatch {
    AnchorBatch {
        anchors: rows.iter().map(|r| r.0).collect(),
        ids: rows.iter().map(|r| r.1).collect(),
        scores: rows.iter().map(|r| r.2).collect(),
        decay_units: 1 << 42,
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

#[tokio::test]
async fn replies_number_rows_as_the_batch_does() {
    let store = Anchors::new(spec(2, 3));
    store.mark(pairs(&[(2, 11)]), NotNegative::Vetoed).await.unwrap();
    let rows =
        [(1, 10, 1.0), (1, 11, 3.0), (2, 11, 9.0), (2, 10, 5.0), (1, 12, 2.0), (1, 13, 0.5), (2, 10, 6.0)];
    let applied = store.apply(batch(&rows)).await.unwrap();
    let counts = applied.counts;
    assert_eq!((counts.inserted, counts.too_easy, counts.evicted, counts.not_negative), (4, 1, 1, 1));
    assert_eq!((counts.coalesced, counts.rows()), (1, 7));
    assert_eq!(applied.too_easy, [5]);
    assert_eq!(applied.negatives.into_iter().collect::<BTreeSet<_>>(), [0, 1, 3, 4, 5, 6].into());
    let rows = store.fetch(&[2, 1, 3]).await.unwrap();
    assert_eq!(stored(&rows, 0), [(10, 6.0)]);
    assert_eq!(stored(&rows, 1), [(11, 3.0), (12, 2.0)]);
    assert!(!rows.anchors[2].known);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.anchors, stats.negatives, stats.vetoes), (2, 3, 1));
    assert_eq!(store.remove(&[99, 12, 10, 11]).await.unwrap().0, [10, 11, 12]);
    assert_eq!(store.stats().await.unwrap().negatives, 0);
}

/// The answer names the refused rows by their index in the call.
#[tokio::test]
async fn a_partition_that_refuses_keeps_none_of_its_pairs_and_the_others_keep_theirs() {
    let store = Anchors::new(spec(2, 4));
    let partition = |anchor: u64| partition_of(placement_hash(anchor), 4);
    let full = 7_u64;
    let same = (0..).find(|anchor| *anchor != full && partition(*anchor) == partition(full)).unwrap();
    let other = (0..).find(|anchor| partition(*anchor) != partition(full)).unwrap();
    let rows = [(other, 1), (full, 1), (full, 2), (same, 1), (full, 3), (other, 2), (full, 4), (full, 5)];
    let marked = store.mark(pairs(&rows), NotNegative::Vetoed).await.unwrap();
    assert_eq!((marked.added, marked.refused), (2, vec![1, 2, 3, 4, 6, 7]));
    let refusal = marked.refusals[0];
    assert_eq!((refusal.row, refusal.limit, refusal.wanted), (1, PairLimit::VetoesPerAnchor, 5));
    assert_eq!(marked.refusals.len(), 1);
    let stored = store.fetch(&[full, same, other]).await.unwrap();
    assert_eq!(stored.anchors.iter().map(|row| row.vetoes.len()).collect::<Vec<_>>(), [0, 0, 2]);
}

/// The pool reports the returned rows to the background, which recognises resends itself.
#[tokio::test]
async fn a_resend_counts_as_duplicate_and_returns_all_its_rows() {
    let store = Anchors::new(spec(4, 3));
    let sender = Some(Sender { worker: 1, epoch: 1, sequence: 1 });
    let rows: Vec<_> = (0..30).map(|row| (row % 7, row, 1.0)).collect();
    let sent = AnchorBatch { sender, update: ScoreUpdate::Ema { weight: 0.5 }, ..batch(&rows) };
    assert_eq!(store.apply(sent.clone()).await.unwrap().counts.duplicate, 0);
    let again = store.apply(AnchorBatch { scores: vec![2.0; 30], ..sent }).await.unwrap();
    assert_eq!((again.counts.duplicate, again.counts.rows()), (30, 30));
    assert_eq!(again.negatives.len(), 30);
    let rows = store.fetch(&(0..7).collect::<Vec<_>>()).await.unwrap();
    assert!(rows.negatives.len() > 20 && rows.negatives.iter().all(|negative| negative.score == 1.0));
}

#[tokio::test]
async fn a_batch_of_anchors_whose_caller_is_dropped_is_applied_completely() {
    let store = Anchors::new(AnchorStoreSpec { max_anchors: 10_000, ..spec(10, 4) });
    let first: Vec<_> = (0..10).map(|row| (0, row, 1.0)).collect();
    store.apply(batch(&first)).await.unwrap();
    {
        let rows: Vec<_> = (0..50_000).map(|row| (row / 10, row, 1.0)).collect();
        // D is far above that of the first batch, so a fold comes before this one; it must be finished as well.
        let late = AnchorBatch { decay_units: (1 << 42) + (1 << 30), ..batch(&rows) };
        let mut apply = std::pin::pin!(store.apply(late));
        // The future is polled once, then dropped.
        std::future::poll_fn(|context| {
            assert!(apply.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert_eq!(store.stats().await.unwrap().negatives, 50_000);
    let folded = store.cells.iter().all(|cell| cell.state.lock().folded_units().is_some());
    assert!(folded);
}

type Recorded = Vec<(u64, Vec<Option<AnchorChange>>)>;

/// A store to which 8 threads reported, with resends, while 4 threads read, marked and removed; and its log.
fn recorded() -> (Arc<Anchors>, Recorded) {
    let log: Arc<Mutex<Recorded>> = Arc::default();
    let recorded = log.clone();
    let mut store = Anchors::new(spec(6, 4));
    store.cells.set_log(Box::new(move |position, changes| {
        recorded.lock().push((position, changes.to_vec()));
    }));
    let store = Arc::new(store);
    let threads: Vec<_> = (0..12_u64)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for round in 0..60_u64 {
                    let mut x = background_hash(round, thread);
                    let mut next = |end: u64| {
                        x = background_hash(x, 1);
                        x % end
                    };
                    if thread < 8 {
                        let rows: Vec<_> =
                            (0..150).map(|_| (next(2_500), next(900), next(5_000) as f32 / 100.0)).collect();
                        // Every fifth batch is a resend of the batch before it.
                        let sequence = round + 1 - u64::from(round % 5 == 4);
                        let report = AnchorBatch {
                            positive_scores: rows.iter().map(|_| next(6_000) as f32 / 100.0).collect(),
                            labels: rows.iter().map(|row| (row.1 % 7) as u32).collect(),
                            decay_units: (1 << 42) + round * 200 * UNITS_PER_OCTAVE as u64,
                            update: [ScoreUpdate::Last, ScoreUpdate::Ema { weight: 0.5 }]
                                [thread as usize % 2],
                            sender: Some(Sender { worker: thread.into(), epoch: 1, sequence }),
                            ..batch(&rows)
                        };
                        runtime.block_on(store.apply(report)).unwrap();
                    } else {
                        let marked: Vec<_> = (0..20).map(|_| (next(2_500), next(900))).collect();
                        let why = [NotNegative::Positive, NotNegative::Vetoed][thread as usize % 2];
                        runtime.block_on(store.mark(pairs(&marked), why)).unwrap();
                        let asked: Vec<u64> = (0..60).map(|_| next(2_500)).collect();
                        runtime.block_on(store.fetch(&asked)).unwrap();
                        if round % 9 == 0 {
                            runtime.block_on(store.remove(&[next(900), next(900)])).unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let log = std::mem::take(&mut *log.lock());
    assert!(log.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "positions have no gaps");
    (store, log)
}

/// A second store to which `threads` threads apply the changes of the log, each to its own partitions.
fn replayed(log: &Recorded, threads: usize) -> Anchors {
    let replayed = Anchors::new(spec(6, 4));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let cells = &replayed.cells;
            scope.spawn(move || {
                let own = cells.iter().enumerate().filter(|(number, _)| number % threads == thread);
                for (number, cell) in own {
                    for (position, changes) in log {
                        if let Some(change) = &changes[number] {
                            let (position, change) = (*position, change.clone());
                            cell.state
                                .lock()
                                .apply(hardneg_partition::anchors::AnchorOp { position, change });
                        }
                    }
                }
            });
        }
    });
    replayed
}

#[test]
fn a_recorded_log_replays_to_the_same_bytes() {
    let (store, log) = recorded();
    let expected = store.cells.images();
    for threads in [1, 3] {
        assert!(replayed(&log, threads).cells.images() == expected, "{threads} threads");
    }
    let loaded = Anchors::new(spec(6, 4));
    for (cell, image) in loaded.cells.iter().zip(&expected) {
        *cell.state.lock() = AnchorPartition::load(image).expect("an image");
    }
    assert!(loaded.cells.images() == expected, "a store that is loaded from images saves the same images");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stats = runtime.block_on(store.stats()).unwrap();
    assert!(stats.anchors > 1_500 && stats.negatives > 4_000, "{stats:?}");
    assert!(stats.positives > 500 && stats.vetoes > 500, "{stats:?}");
    assert!(
        log.iter().any(|(_, changes)| matches!(changes[0], Some(AnchorChange::Fold { .. }))),
        "the log has a fold"
    );
}
