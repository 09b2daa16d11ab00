//! The memory store against the naive one, and what only it must hold.

use super::*;
use crate::store::hash::background_hash;
use crate::store::key::{Hardness, HardnessFunction, UNITS_PER_OCTAVE};
use crate::store::naive::NaiveStore;
use crate::store::{BackgroundCount, ScoreUpdate};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};

fn spec(capacity: usize, shards: usize, background: usize) -> StoreSpec {
    StoreSpec {
        capacity,
        shards,
        background: BackgroundSpec::Sampled { size: background },
        hardness: Hardness { function: HardnessFunction::Power { offset: 1e-3 }, lower_is_harder: false },
        named: false,
        salt_seed: 77,
    }
}

fn check(store: &MemoryStore) {
    for cell in &store.cells {
        cell.shard.lock().check();
    }
    assert!(store.shared.len.load(Ordering::Relaxed) <= store.shared.capacity);
}

fn batch(ids: Vec<u64>, scores: Vec<f32>) -> ReportBatch {
    ReportBatch { ids, scores, decay_units: 1 << 40, stamp: 100, ..ReportBatch::default() }
}

async fn contents(store: &dyn Store) -> BTreeMap<u64, Row> {
    let (mut all, mut cursor) = (BTreeMap::new(), Some(0));
    while let Some(at) = cursor {
        let page = store.scan(at, 7).await.unwrap();
        all.extend(page.rows.into_iter().map(|r| (r.id, r)));
        cursor = page.next;
    }
    all
}

#[derive(Clone, Debug)]
enum Op {
    Apply { rows: Vec<(u64, f32)>, update: u8, stamp: u32, octaves: u16, attributes: Option<u32> },
    Remove(Vec<u64>),
    Serve(Vec<u64>, Option<u64>),
    Expire(u64),
    Release(Vec<u64>),
}

/// Scores over 0, up to `most`. Of integers: proptest's own ranges of floats fail an assertion of theirs now and then.
fn score(most: u32) -> impl Strategy<Value = f32> {
    (1..most * 1000).prop_map(|thousandths| thousandths as f32 / 1000.0)
}

fn ids() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(0u64..130, 0..20)
}

fn op() -> impl Strategy<Value = Op> {
    let rows = proptest::collection::vec((0u64..120, score(100)), 0..60);
    prop_oneof![
        4 => (rows, 0u8..3, 0u32..50, 0u16..400, proptest::option::of(0u32..5)).prop_map(
            |(rows, update, stamp, octaves, attributes)| Op::Apply { rows, update, stamp, octaves, attributes }
        ),
        1 => ids().prop_map(Op::Remove),
        // Leases end at whole ticks, as those of the naive store do.
        3 => (ids(), proptest::option::of(1u64..40)).prop_map(|(ids, until)| Op::Serve(ids, until.map(|u| u * 16))),
        1 => (0u64..640).prop_map(Op::Expire),
        1 => ids().prop_map(Op::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Within capacity both stores hold the same; rows, top, census and counts agree.
    #[test]
    fn agrees_with_the_naive_store(ops in proptest::collection::vec(op(), 1..20), shards in 1usize..6) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let memory = MemoryStore::new(spec(1000, shards, 1000)).unwrap();
            let naive = NaiveStore::new(spec(1000, shards, 1000));
            let mut octaves_now = 1u64 << 20;
            for op in ops {
                match op {
                    Op::Apply { rows, update, stamp, octaves, attributes } => {
                        octaves_now += u64::from(octaves);
                        let batch = ReportBatch {
                            ids: rows.iter().map(|r| r.0).collect(),
                            scores: rows.iter().map(|r| r.1).collect(),
                            strata: attributes.map_or_else(Vec::new, |a| rows.iter().map(|r| (r.0 as u32 + a) % 7).collect()),
                            groups: attributes.map_or_else(Vec::new, |a| rows.iter().map(|r| r.0 / 9 + u64::from(a)).collect()),
                            update: [ScoreUpdate::Last, ScoreUpdate::Max, ScoreUpdate::Ema { weight: 0.25 }][update as usize],
                            stamp,
                            refuse_stale: true,
                            decay_units: octaves_now * UNITS_PER_OCTAVE as u64,
                            ..ReportBatch::default()
                        };
                        let a = memory.apply(batch.clone()).await.unwrap();
                        let b = naive.apply(batch).await.unwrap();
                        assert_eq!(a.counts, b.counts);
                    }
                    Op::Remove(ids) => {
                        let distinct: HashSet<u64> = ids.into_iter().collect();
                        let ids: Vec<u64> = distinct.into_iter().collect();
                        assert_eq!(memory.remove(&ids).await.unwrap().0, naive.remove(&ids).await.unwrap().0);
                    }
                    Op::Serve(ids, lease_until) => {
                        let mark = ServeMark { count: true, max_serves: 3, lease_until };
                        let ids: Vec<u64> = ids.into_iter().filter(|id| *id < 120).collect();
                        assert_eq!(memory.serve(&ids, mark).await.unwrap(), naive.serve(&ids, mark).await.unwrap());
                        assert_eq!(memory.leases(&ids).await.unwrap(), naive.leases(&ids).await.unwrap());
                    }
                    Op::Expire(now) => {
                        memory.expire(now).await.unwrap();
                        naive.expire(now).await.unwrap();
                    }
                    Op::Release(ids) => {
                        assert_eq!(memory.release(&ids).await.unwrap(), naive.release(&ids).await.unwrap());
                    }
                }
                check(&memory);
            }
            assert_eq!(contents(&memory).await, contents(&naive).await);
            for penalty in [ServePenalty::default(), ServePenalty { units_per_serve: 1024, units_max: 8192 }] {
                for n in [1, 10, 1000] {
                    assert_eq!(memory.top(n, penalty, 1 << 20).await.unwrap(), naive.top(n, penalty, 1 << 20).await.unwrap());
                }
            }
            assert_eq!(memory.strata().await.unwrap(), naive.strata().await.unwrap());
            let census = memory.census().await.unwrap();
            assert_eq!(census.leased, naive.census().await.unwrap().leased);
            let mut seen = HashSet::new();
            for bucket in &census.buckets {
                for ordinal in 0..bucket.members() {
                    let address = Address::Hard { partition: bucket.partition, bucket: bucket.bucket, ordinal };
                    let row = memory.fetch(&[address]).await.unwrap()[0].unwrap();
                    assert_eq!(row.leased, ordinal >= bucket.count);
                    let key = row.hard_key.unwrap();
                    assert!(key.since(bucket.low) >= 0 && key.since(bucket.high) <= 0);
                    assert!(seen.insert(row.id));
                }
            }
            assert_eq!(seen.len() as u64, census.hard);
        });
    }

    /// Over capacity the hardest stay, to 1/8 octave, and never more than capacity.
    #[test]
    fn keeps_the_hardest(
        batches in proptest::collection::vec(proptest::collection::vec((0u64..100_000, score(10_000)), 1..300), 1..8),
        capacity in 1usize..200,
        shards in 1usize..17,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = MemoryStore::new(spec(capacity, shards, 16)).unwrap();
            let mut all: BTreeMap<u64, f32> = BTreeMap::new();
            for rows in batches {
                // A known id that becomes easier may stay: only new ones are compared here.
                let rows: Vec<_> = rows.into_iter().filter(|r| !all.contains_key(&r.0)).collect();
                store.apply(batch(rows.iter().map(|r| r.0).collect(), rows.iter().map(|r| r.1).collect())).await.unwrap();
                all.extend(rows);
                check(&store);
            }
            let kept = contents(&store).await;
            assert_eq!(kept.len(), all.len().min(capacity));
            let key = |score: f32| store.spec.hardness.key(score, 1 << 40).0;
            let mut keys: Vec<Key> = all.values().map(|s| key(*s)).collect();
            keys.sort_by(|a, b| b.serial_cmp(*a));
            if let Some(threshold) = keys.get(capacity) {
                for (id, score) in &all {
                    if key(*score).since(*threshold) > 128 {
                        assert!(kept.contains_key(id), "{shards} shards lost a sample {} units above", key(*score).since(*threshold));
                    }
                }
            }
        });
    }
}

#[tokio::test]
async fn a_year_of_one_minute_half_lives() {
    // 525,600 octaves; a thousand samples a "day", then the draw must look as in a fresh pool.
    let store = MemoryStore::new(spec(2000, 3, 100)).unwrap();
    for day in 0..=365u64 {
        let octaves = day * 1440;
        let ids = (0..100).map(|i| (day * 37 + i) % 3000).collect();
        let scores = (0..100).map(|i| 1.0 + i as f32).collect();
        let report =
            ReportBatch { decay_units: octaves * 1024, stamp: (day * 86_400) as u32, ..batch(ids, scores) };
        store.apply(report).await.unwrap();
        check(&store);
    }
    let top = store.top(100, ServePenalty::default(), 1 << 20).await.unwrap();
    let newest: Vec<u64> = (0..100).rev().map(|i| (365 * 37 + i) % 3000).collect();
    assert_eq!(top.iter().map(|r| r.id).collect::<Vec<_>>(), newest);
    // The freshest are where a fresh pool has them: log2 of the score above the clock.
    let clock = Key((365u64 * 1440 * 1024) as u32);
    assert!(((top[0].hard_key.unwrap().since(clock) as f64 / 1024.0) - 100f64.log2()).abs() < 0.01);
    // Ten more years pass without a report of the old ones: they are lifted before serial order wraps.
    for step in 33..400u64 {
        let report =
            ReportBatch { decay_units: (step << 14) * 1024, ..batch((0..1100).collect(), vec![1.0; 1100]) };
        store.apply(report).await.unwrap();
    }
    check(&store);
    let fresh = store.top(1100, ServePenalty::default(), 1 << 20).await.unwrap();
    assert!(fresh.iter().all(|r| r.id < 1100), "an ancient sample wrapped to the top");
}

#[tokio::test]
async fn hot_buckets_split_and_merge() {
    type ScoreOf = fn(u64) -> f32;
    let distributions: [(&str, ScoreOf); 3] = [
        ("saturated probabilities", |i| 1.0 - (i % 1000) as f32 * 1e-5),
        ("all equal", |_| 0.5),
        ("cosines", |i| (0.9 + (i % 777) as f32 * 1e-4).exp()),
    ];
    for (name, score) in distributions {
        let store = MemoryStore::new(spec(60_000, 2, 100)).unwrap();
        let fill = |from: u64, to: u64, scale: f32| {
            let ids: Vec<u64> = (from..to).collect();
            let scores = ids.iter().map(|i| score(*i) * scale).collect();
            batch(ids, scores)
        };
        for start in (0..60_000).step_by(4096) {
            store.apply(fill(start, (start + 4096).min(60_000), 1.0)).await.unwrap();
        }
        // Upkeep divides a little with each batch.
        for _ in 0..40 {
            store.apply(fill(0, 4096, 1.0)).await.unwrap();
        }
        check(&store);
        let census = store.census().await.unwrap();
        let widest =
            census.buckets.iter().filter(|b| b.high.since(b.low) > 0).map(|b| b.count).max().unwrap_or(0);
        assert!(widest <= 2 * 4096, "{name}: a bucket of {widest} that could be split");
        let mut scores: Vec<f32> = (0..60_000).map(score).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        let top = store.top(500, ServePenalty::default(), 1 << 20).await.unwrap();
        let key = |s: f32| store.spec.hardness.key(s, 1 << 40).0;
        let expected: Vec<Key> = scores[..500].iter().map(|s| key(*s)).collect();
        assert_eq!(top.iter().map(|r| r.hard_key.unwrap()).collect::<Vec<_>>(), expected, "{name}");
        // All move an octave up, then most are removed: split nodes merge and vanish.
        for start in (0..60_000).step_by(4096) {
            store.apply(fill(start, (start + 4096).min(60_000), 2.0)).await.unwrap();
        }
        check(&store);
        store.remove(&(100..60_000).collect::<Vec<_>>()).await.unwrap();
        check(&store);
        assert_eq!(store.census().await.unwrap().hard, 100);
    }
}

#[test]
fn concurrent_batches_take_effect_in_the_order_of_positions() {
    let store = Arc::new(MemoryStore::new(spec(10_000, 4, 100)).unwrap());
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
    assert!(all.values().all(|r| r.score == last), "some shard applied another batch last");
    check(&store);
}

#[tokio::test]
async fn a_batch_whose_caller_went_away_is_applied_whole() {
    let store = MemoryStore::new(spec(100_000, 4, 100)).unwrap();
    {
        let apply = store.apply(batch((0..50_000).collect(), vec![1.0; 50_000]));
        let mut apply = std::pin::pin!(apply);
        // One step only, then it is dropped.
        std::future::poll_fn(|context| {
            assert!(apply.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert_eq!(store.stats().await.unwrap().hard, 50_000);
    check(&store);
}

#[tokio::test]
async fn the_background_is_renewed_and_estimates_distinct_ids() {
    let store = MemoryStore::new(spec(500, 4, 2000)).unwrap();
    let rotation = Some(Rotation { after_rows: 100_000 });
    let mut salts = HashSet::new();
    for pass in 0..12u64 {
        for start in (0..40_000u64).step_by(4000) {
            let ids: Vec<u64> = (start..start + 4000).collect();
            let report = ReportBatch { rotation, ..batch(ids, vec![1.0; 4000]) };
            store.apply(report).await.unwrap();
        }
        let census = store.census().await.unwrap();
        let BackgroundCount::Sampled { salt, threshold, counts } = census.background else {
            panic!("sampled");
        };
        salts.insert(salt);
        let members = f64::from(counts.iter().sum::<u32>());
        let distinct = members / (threshold.unwrap() as f64 / 2f64.powi(64));
        // sd about 1/sqrt(1500) = 2.6 %: five of them.
        assert!((distinct / 40_000.0 - 1.0).abs() < 0.13, "pass {pass}: {distinct}");
        assert_eq!(f64::from(store.stats().await.unwrap().background as u32), members);
    }
    assert!(salts.len() >= 3, "{} generations in twelve passes", salts.len());
}

/// 64 members estimate N with a standard error of an eighth: a generation that by chance tells of a tenth fewer ids than the serving
/// one must not wait for ever to be told of more.
#[tokio::test]
async fn a_small_background_is_renewed_again_and_again() {
    let store = MemoryStore::new(spec(500, 4, 64)).unwrap();
    let rotation = Some(Rotation { after_rows: 2000 });
    for _ in 0..200 {
        let report = ReportBatch { rotation, ..batch((0..2000).collect(), vec![1.0; 2000]) };
        store.apply(report).await.unwrap();
    }
    let stats = store.stats().await.unwrap();
    // Two passes each, if none has to wait; one of a thousand must.
    assert!(stats.generations >= 60, "{}", stats.generations);
}

/// However long it takes: one that took over early would leave out every id that is no longer reported.
#[tokio::test]
async fn a_generation_that_has_not_seen_the_ids_never_takes_over() {
    let store = MemoryStore::new(spec(500, 4, 2000)).unwrap();
    let rotation = Some(Rotation { after_rows: 40_000 });
    let salt_after = async |ids: std::ops::Range<u64>| {
        let scores = vec![1.0; ids.clone().count()];
        store.apply(ReportBatch { rotation, ..batch(ids.collect(), scores) }).await.unwrap();
        match store.census().await.unwrap().background {
            BackgroundCount::Sampled { salt, .. } => salt,
            BackgroundCount::Dense { .. } => panic!("sampled"),
        }
    };
    let first = salt_after(0..40_000).await;
    for pass in 0..200 {
        assert_eq!(salt_after(0..4000).await, first, "pass {pass} of a tenth of the ids");
    }
    assert_eq!(store.stats().await.unwrap().generations, 2, "one serves, one fills");
    // With the rest it has seen them all.
    assert_ne!(salt_after(4000..40_000).await, first);
}

#[tokio::test]
async fn names_and_payloads_go_with_their_sample() {
    let store = MemoryStore::new(StoreSpec { named: true, ..spec(2, 1, 16) }).unwrap();
    let mut report = batch(vec![1, 2], vec![1.0, 2.0]);
    report.names = vec!["one".into(), "two".into()];
    report.payloads = vec![bytes::Bytes::from_static(b"x"), bytes::Bytes::new()];
    store.apply(report).await.unwrap();
    let mark = ServeMark { count: false, max_serves: u16::MAX, lease_until: None };
    let served = store.serve(&[1], mark).await.unwrap()[0].clone().unwrap();
    assert_eq!((served.name.as_deref(), served.payload.as_deref()), (Some("one"), Some(b"x".as_slice())));
    // A report without a payload keeps it; a harder newcomer frees it with its sample, but the background has it still.
    let mut again = batch(vec![1], vec![0.5]);
    again.names = vec!["one".into()];
    store.apply(again).await.unwrap();
    let mut third = batch(vec![3], vec![9.0]);
    third.names = vec!["three".into()];
    store.apply(third).await.unwrap();
    assert!(contents(&store).await.keys().eq([2u64, 3].iter()));
    let served = store.serve(&[1], mark).await.unwrap()[0].clone().unwrap();
    assert_eq!(served.payload.as_deref(), Some(b"x".as_slice()));
    store.remove(&[1]).await.unwrap();
    assert_eq!(store.serve(&[1], mark).await.unwrap(), [None]);
}

#[tokio::test]
async fn a_dense_space_is_all_background() {
    let dense = StoreSpec { background: BackgroundSpec::Dense { ids: 100 }, ..spec(10, 3, 16) };
    let store = MemoryStore::new(dense).unwrap();
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
    let serves = store.serve(&[7, 7, 7], mark).await.unwrap();
    assert_eq!(
        serves.iter().map(|s| s.as_ref().map(|s| s.serves)).collect::<Vec<_>>(),
        [Some(1), Some(2), None]
    );
    store.apply(batch(vec![7, 99], vec![0.0, 0.0])).await.unwrap();
    assert!(store.serve(&[7, 99], mark).await.unwrap().iter().all(Option::is_some), "a report starts anew");
}

/// As ids come the threshold falls, and members that rest leave the background with the others.
#[test]
fn resting_samples_leave_the_background_as_its_threshold_falls() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let memory = MemoryStore::new(spec(10, 3, 64)).unwrap();
        let report = |ids: std::ops::Range<u64>| ReportBatch {
            scores: vec![1.0; (ids.end - ids.start) as usize],
            ids: ids.collect(),
            ..ReportBatch::default()
        };
        memory.apply(report(0..400)).await.unwrap();
        let members = |census: &Census| {
            let BackgroundCount::Sampled { salt, threshold: Some(threshold), .. } = census.background else {
                panic!()
            };
            move |id: &u64| background_hash(*id, salt) < threshold
        };
        let first = memory.census().await.unwrap();
        let rested: Vec<u64> = (0..400).filter(members(&first)).collect();
        let mark = ServeMark { count: true, max_serves: 9, lease_until: Some(1 << 40) };
        let served = memory.serve(&rested, mark).await.unwrap();
        assert!(served.iter().all(Option::is_some) && rested.len() > 40, "{}", rested.len());
        let rest = memory.census().await.unwrap();
        assert_eq!(rest.leased_background, rested.len() as u64);
        assert_eq!(rest.leased_outside, rest.leased_outside_background);
        let outside = rest.leased_outside;
        assert!(outside > 20 && outside <= rest.leased_background, "{outside}");
        // None of these is hard enough: those in the hard store stay there.
        let more = ReportBatch { scores: vec![0.5; 3600], ..report(400..4000) };
        memory.apply(more).await.unwrap();
        let grown = memory.census().await.unwrap();
        let left = rested.iter().filter(|id| members(&grown)(id)).count() as u64;
        assert!(left > 0 && left < rested.len() as u64 / 2, "{left} of {}", rested.len());
        assert_eq!((grown.leased, grown.leased_background), (rested.len() as u64, left));
        assert_eq!(grown.leased_outside, outside);
        assert!(grown.leased_outside_background <= left);
        assert_eq!(memory.release(&rested).await.unwrap(), rested.len() as u64);
        let released = memory.census().await.unwrap();
        let counts =
            (released.leased_background, released.leased_outside, released.leased_outside_background);
        assert_eq!(counts, (0, 0, 0));
    });
}
