//! What only the local store must hold.

use super::*;
use crate::store::hash::background_hash;
use crate::store::key::{Hardness, HardnessFunction, UNITS_PER_OCTAVE};
use crate::store::{BackgroundCount, BucketCount, PartitionBackground, Source};
use parking_lot::Mutex;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

pub(super) fn spec(capacity: usize, partitions: usize, background: usize) -> StoreSpec {
    StoreSpec {
        capacity,
        partitions,
        background: BackgroundSpec::Sampled { size: background },
        hardness: Hardness { function: HardnessFunction::Power { offset: 1e-3 }, lower_is_harder: false },
        named: false,
        salt_seed: 77,
        workers: 64,
    }
}

fn batch(ids: Vec<u64>, scores: Vec<f32>) -> ReportBatch {
    ReportBatch { ids, scores, decay_units: 1 << 40, stamp: 100, ..ReportBatch::default() }
}

pub(super) async fn contents(store: &dyn Store) -> BTreeMap<u64, Row> {
    let (mut all, mut cursor) = (BTreeMap::new(), Some(Cursor::default()));
    while let Some(at) = cursor {
        let page = store.scan(at, 7).await.unwrap();
        all.extend(page.rows.into_iter().map(|r| (r.id, r)));
        cursor = page.next;
    }
    all
}

/// Scores above 0, below `most`. They are made from integers, because proptest's ranges of floats sometimes fail an assertion of their own.
pub(super) fn score(most: u32) -> impl Strategy<Value = f32> {
    (1..most * 1000).prop_map(|thousandths| thousandths as f32 / 1000.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// When there are more samples than `capacity`, the store keeps all of the hardest ones in the full order of keys, scores, hashes and
    /// ids, and not many more.
    #[test]
    fn keeps_every_one_of_the_hardest(
        batches in proptest::collection::vec(proptest::collection::vec((0u64..100_000, score(10_000)), 1..300), 1..8),
        capacity in 1usize..200,
        partitions in 1usize..17,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = LocalStore::new(spec(capacity, partitions, 16)).unwrap();
            let mut all: BTreeMap<u64, f32> = BTreeMap::new();
            for rows in batches {
                // A stored id that becomes easier may stay, so each id is reported once only.
                let rows: Vec<_> = rows.into_iter().filter(|r| !all.contains_key(&r.0)).collect();
                store.apply(batch(rows.iter().map(|r| r.0).collect(), rows.iter().map(|r| r.1).collect())).await.unwrap();
                all.extend(rows);
            }
            let kept = contents(&store).await;
            let most = partitions * store.spec.partition_capacity();
            assert!(kept.len() >= all.len().min(capacity) && kept.len() <= most);
            let place = |(id, score): (&u64, &f32)| Place::of(store.spec.hardness.key(*score, 1 << 40).0, *score, *id, false);
            let mut places: Vec<Place> = all.iter().map(place).collect();
            places.sort_by(|a, b| b.compare(a));
            for (rank, place) in places.iter().take(capacity).enumerate() {
                assert!(kept.contains_key(&place.rank.id), "{partitions} partitions lost the sample at rank {rank}");
            }
            // Ranks are those of the samples that the store holds.
            let mut held: Vec<Place> = kept.values().map(|row| row.place(false).unwrap()).collect();
            held.sort_by(|a, b| b.compare(a));
            let ranks: Vec<u64> = (0..held.len() as u64 + 2).step_by(1 + held.len() / 20).collect();
            let found = store.at_ranks(&ranks).await.unwrap();
            assert_eq!(found, ranks.iter().map(|rank| held.get(*rank as usize).copied()).collect::<Vec<_>>());
            let top: Vec<u64> = store.top(held.len(), ServePenalty::default(), 1 << 20).await.unwrap().iter().map(|row| row.id).collect();
            assert_eq!(top, held.iter().map(|place| place.rank.id).collect::<Vec<_>>());
        });
    }
}

/// Hashing assigns the ids unevenly to the eight partitions, but none is dropped.
#[tokio::test]
async fn a_pool_of_eight_partitions_holds_as_many_ids_as_its_capacity() {
    const IDS: u64 = 200_000;
    let store = LocalStore::new(spec(IDS as usize, 8, 1024)).unwrap();
    for start in (0..IDS).step_by(4000) {
        let ids: Vec<u64> = (start..start + 4000).collect();
        let scores = ids.iter().map(|id| 1.0 - (*id % 777) as f32 * 1e-7).collect();
        let applied = store.apply(batch(ids, scores)).await.unwrap();
        assert_eq!(applied.counts.inserted, 4000);
    }
    assert_eq!(store.stats().await.unwrap().hard, IDS);
}

/// The address of every sample of the hard store.
fn addresses_of(census: &Census) -> Vec<Address> {
    let of_bucket = |b: &BucketCount| {
        let (partition, bucket) = (b.partition, b.bucket);
        (0..b.members()).map(move |ordinal| Address::Hard { partition, bucket, ordinal })
    };
    census.buckets.iter().flat_map(of_bucket).collect()
}

/// The changes of all partitions, with their positions.
pub(crate) type Recorded = Vec<(u64, Vec<Option<Change>>)>;

/// An empty store, and its log, which grows with it.
pub(crate) fn with_log(spec: StoreSpec) -> (Arc<LocalStore>, Arc<Mutex<Recorded>>) {
    let log: Arc<Mutex<Recorded>> = Arc::default();
    let recorded = log.clone();
    let store = LocalStore::new(spec).unwrap().with_log(Box::new(move |position, changes| {
        recorded.lock().push((position, changes.to_vec()));
    }));
    (Arc::new(store), log)
}

/// The spec of the store that [`recorded`] makes.
pub(crate) fn spec_of_recorded() -> StoreSpec {
    spec(3_000, 4, 600)
}

/// A store to which 8 threads reported while 4 threads drew, served, released and removed; and its log.
pub(crate) fn recorded() -> (Arc<LocalStore>, Recorded) {
    let (store, log) = with_log(spec_of_recorded());
    let threads: Vec<_> = (0..12_u64)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for round in 0..60_u64 {
                    let mut x = background_hash(round, thread);
                    let mut next = || {
                        x = background_hash(x, 1);
                        x
                    };
                    if thread < 8 {
                        let ids: HashSet<u64> = (0..150).map(|_| next() % 9_000).collect();
                        let ids: Vec<u64> = ids.into_iter().collect();
                        let scores = ids.iter().map(|_| (next() % 5_000) as f32 / 100.0).collect();
                        let renew_after_rows = Some(20_000);
                        let decay_units = (1 << 40) + round * 200 * UNITS_PER_OCTAVE as u64;
                        let report = ReportBatch { decay_units, renew_after_rows, ..batch(ids, scores) };
                        runtime.block_on(store.apply(report)).unwrap();
                    } else {
                        let ids: Vec<u64> = (0..40).map(|_| next() % 9_000).collect();
                        let mark =
                            ServeMark { count: true, max_serves: 4, lease_until: Some(round * 10 + 30) };
                        let source = if round % 2 == 0 { Source::Hard } else { Source::Background };
                        runtime.block_on(store.serve(&Drawn::all(&ids, source), mark)).unwrap();
                        runtime.block_on(store.expire(round * 10, None)).unwrap();
                        runtime.block_on(store.census()).unwrap();
                        if round % 9 == 0 {
                            runtime.block_on(store.remove(&ids[..3])).unwrap();
                            runtime.block_on(store.release(&ids[5..])).unwrap();
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
pub(crate) fn replayed(spec: StoreSpec, log: &Recorded, threads: usize) -> LocalStore {
    let replayed = LocalStore::new(spec).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let cells = &replayed.cells;
            scope.spawn(move || {
                let own = cells.iter().enumerate().filter(|(number, _)| number % threads == thread);
                for (number, cell) in own {
                    for (position, changes) in log {
                        if let Some(change) = &changes[number] {
                            let op = hardneg_partition::Op { position: *position, change: change.clone() };
                            cell.state.lock().apply(op);
                        }
                    }
                }
            });
        }
    });
    for (number, cell) in replayed.cells.iter().enumerate() {
        replayed.views.publish(number, &cell.state.lock(), true);
    }
    replayed
}

/// A store whose partitions are loaded from the images of another.
pub(crate) fn loaded(store: &LocalStore) -> LocalStore {
    let loaded = LocalStore::new(spec_of_recorded()).unwrap();
    for (number, (cell, image)) in loaded.cells.iter().zip(store.images()).enumerate() {
        *cell.state.lock() = hardneg_partition::Partition::load(&image).expect("an image");
        loaded.views.publish(number, &cell.state.lock(), true);
    }
    loaded
}

#[test]
fn a_recorded_log_replays_to_the_same_bytes() {
    let (store, log) = recorded();
    let expected = store.images();
    for threads in [1, 3] {
        let replayed = replayed(spec_of_recorded(), &log, threads);
        assert!(replayed.images() == expected, "{threads} threads");
        let census = replayed.count();
        assert_eq!(census.background, store.count().background);
        let (all, same) = (addresses_of(&census), addresses_of(&store.count()));
        assert_eq!(replayed.rows_at(&all), store.rows_at(&same), "the same addresses hold the same samples");
    }
    assert!(loaded(&store).images() == expected, "a store that is loaded from images saves the same images");
}

#[test]
fn concurrent_batches_take_effect_in_the_order_of_positions() {
    let store = Arc::new(LocalStore::new(spec(10_000, 4, 100)).unwrap());
    let threads: Vec<_> = (0..4u32)
        .map(|thread| {
            let store = store.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(async {
                    let mut sent = Vec::new();
                    for round in 0..50 {
                        let value = (thread * 50 + round + 1) as f32;
                        let applied =
                            store.apply(batch((0..3000).collect(), vec![value; 3000])).await.unwrap();
                        sent.push((applied.position, value));
                    }
                    sent
                })
            })
        })
        .collect();
    let mut sent: Vec<(u64, f32)> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    sent.sort_by_key(|s| s.0);
    assert_eq!(sent.iter().map(|s| s.0).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
    let last = sent.last().unwrap().1;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let all = runtime.block_on(contents(&*store));
    assert!(all.values().all(|r| r.score == last), "a partition applied another batch last");
}

#[tokio::test]
async fn a_batch_whose_caller_is_dropped_is_applied_completely() {
    let store = LocalStore::new(spec(100_000, 4, 100)).unwrap();
    {
        let apply = store.apply(batch((0..50_000).collect(), vec![1.0; 50_000]));
        let mut apply = std::pin::pin!(apply);
        // The future is polled once, then dropped.
        std::future::poll_fn(|context| {
            assert!(apply.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert_eq!(store.stats().await.unwrap().hard, 50_000);
}

#[tokio::test]
async fn names_and_payloads_stay_until_the_sample_leaves_both_sources() {
    let store = LocalStore::new(StoreSpec { named: true, ..spec(2, 1, 16) }).unwrap();
    let mut report = batch(vec![1, 2], vec![1.0, 2.0]);
    report.names = vec!["one".into(), "two".into()];
    report.payloads = vec![bytes::Bytes::from_static(b"x"), bytes::Bytes::new()];
    store.apply(report).await.unwrap();
    let mark = ServeMark { count: false, max_serves: u16::MAX, lease_until: None };
    let served = store.serve(&Drawn::all(&[1], Source::Hard), mark).await.unwrap()[0].clone().unwrap();
    assert_eq!((served.name.as_deref(), served.payload.as_deref()), (Some("one"), Some(b"x".as_slice())));
    // A report without a payload keeps the stored one. A harder sample evicts id 1 from the hard store, but the background still has it and
    // its payload.
    let mut again = batch(vec![1], vec![0.5]);
    again.names = vec!["one".into()];
    store.apply(again).await.unwrap();
    let mut third = batch(vec![3], vec![9.0]);
    third.names = vec!["three".into()];
    store.apply(third).await.unwrap();
    assert!(contents(&store).await.keys().eq([2u64, 3].iter()));
    let served = store.serve(&Drawn::all(&[1], Source::Hard), mark).await.unwrap()[0].clone().unwrap();
    assert_eq!(served.payload.as_deref(), Some(b"x".as_slice()));
    store.remove(&[1]).await.unwrap();
    assert_eq!(store.serve(&Drawn::all(&[1], Source::Hard), mark).await.unwrap(), [None]);
}

#[tokio::test]
async fn every_id_of_a_dense_space_is_in_the_background() {
    let dense = StoreSpec { background: BackgroundSpec::Dense { ids: 100 }, ..spec(10, 3, 16) };
    let store = LocalStore::new(dense).unwrap();
    store.apply(batch((0..50).collect(), (0..50).map(|i| i as f32).collect())).await.unwrap();
    let at = |ordinal| Address::Background { partition: 0, ordinal };
    let rows = store.fetch(&[at(99), at(49), at(100)]).await.unwrap();
    assert!(rows[0].unwrap().score.is_nan() && rows[0].unwrap().stamp.is_none());
    assert!(rows[1].unwrap().hard_key.is_some());
    assert!(rows[2].is_none());
    assert_eq!(store.remove(&[99, 49, 100]).await.unwrap().0, 2);
    assert!(store.fetch(&[at(99)]).await.unwrap()[0].is_none());
    assert_eq!(store.stats().await.unwrap().background, 98);
    let mark = ServeMark { count: true, max_serves: 2, lease_until: None };
    let serves = store.serve(&Drawn::all(&[7, 7, 7], Source::Hard), mark).await.unwrap();
    assert_eq!(
        serves.iter().map(|s| s.as_ref().map(|s| s.serves)).collect::<Vec<_>>(),
        [Some(1), Some(2), None]
    );
    store.apply(batch(vec![7, 99], vec![0.0, 0.0])).await.unwrap();
    assert!(
        store.serve(&Drawn::all(&[7, 99], Source::Hard), mark).await.unwrap().iter().all(Option::is_some),
        "a report resets the serve count and the removal"
    );
}

/// The threshold falls as ids are reported, and resting members leave the background like all others.
#[test]
fn resting_samples_leave_the_background_as_its_threshold_falls() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let memory = LocalStore::new(spec(10, 3, 64)).unwrap();
        let report = |ids: std::ops::Range<u64>| ReportBatch {
            scores: vec![1.0; (ids.end - ids.start) as usize],
            ids: ids.collect(),
            ..ReportBatch::default()
        };
        memory.apply(report(0..400)).await.unwrap();
        let sum = |census: &Census, of: fn(&PartitionBackground) -> u64| match &census.background {
            BackgroundCount::Sampled(partitions) => partitions.iter().map(of).sum::<u64>(),
            BackgroundCount::Dense { .. } => panic!("sampled"),
        };
        let members = |census: &Census| {
            let background = census.background.clone();
            move |id: &u64| background.contains(*id)
        };
        let first = memory.census().await.unwrap();
        let rested: Vec<u64> = (0..400).filter(members(&first)).collect();
        let mark = ServeMark { count: true, max_serves: 9, lease_until: Some(1 << 40) };
        let served = memory.serve(&Drawn::all(&rested, Source::Hard), mark).await.unwrap();
        assert!(served.iter().all(Option::is_some) && rested.len() > 40, "{}", rested.len());
        let rest = memory.census().await.unwrap();
        assert_eq!(sum(&rest, |p| p.resting_members), rested.len() as u64);
        assert_eq!(sum(&rest, |p| p.resting_outside), sum(&rest, |p| p.resting_outside_members));
        let outside = sum(&rest, |p| p.resting_outside);
        assert!(outside > 20 && outside <= sum(&rest, |p| p.resting_members), "{outside}");
        // None of the new samples is hard enough for the hard store, so its samples stay.
        let more = ReportBatch { scores: vec![0.5; 3600], ..report(400..4000) };
        memory.apply(more).await.unwrap();
        let grown = memory.census().await.unwrap();
        let left = rested.iter().filter(|id| members(&grown)(id)).count() as u64;
        assert!(left > 0 && left < rested.len() as u64 / 2, "{left} of {}", rested.len());
        assert_eq!((grown.leased, sum(&grown, |p| p.resting_members)), (rested.len() as u64, left));
        assert_eq!(sum(&grown, |p| p.resting_outside), outside);
        assert!(sum(&grown, |p| p.resting_outside_members) <= left);
        assert_eq!(memory.release(&rested).await.unwrap(), rested.len() as u64);
        let released = memory.census().await.unwrap();
        let counts = (
            sum(&released, |p| p.resting_members),
            sum(&released, |p| p.resting_outside),
            sum(&released, |p| p.resting_outside_members),
        );
        assert_eq!(counts, (0, 0, 0));
    });
}

/// In the middle of this batch the lowest samples are the 4,000 that it has lowered, 20 octaves below; at its end it has evicted them.
#[tokio::test]
async fn the_floor_is_that_of_a_state_between_batches() {
    let store = Arc::new(LocalStore::new(spec(4_000, 1, 16)).unwrap());
    let (old, new) = (0..4_000, 4_000..8_000);
    store.apply(batch(old.clone().collect(), vec![1_000.0; 4_000])).await.unwrap();
    let floor_at = |score| Some(store.spec.hardness.key(score, 1 << 40).0);
    assert_eq!(store.level().await.unwrap().floor, floor_at(1_000.0));
    let scores = [vec![0.001; 4_000], vec![2_000.0; 4_000]].concat();
    let applying = tokio::spawn({
        let (store, ids) = (store.clone(), old.chain(new).collect());
        async move { store.apply(batch(ids, scores)).await.unwrap() }
    });
    let mut looks = 0;
    loop {
        tokio::task::yield_now().await;
        if applying.is_finished() {
            break;
        }
        looks += 1;
        let told = [
            store.level().await.unwrap().floor,
            store.census().await.unwrap().floor,
            store.stats().await.unwrap().floor,
        ];
        assert_eq!(told, [floor_at(1_000.0); 3], "after {looks} pieces");
    }
    assert!(looks >= 5, "{looks} pieces");
    assert_eq!(applying.await.unwrap().floor, floor_at(2_000.0));
    assert_eq!(store.level().await.unwrap().floor, floor_at(2_000.0));
}
