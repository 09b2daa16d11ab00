//! Tests of the samples of one pool: every operation on them, and every kind of read compared with the others.

use std::collections::{BTreeMap, HashSet};

use super::{MAX_POOLS, engines, flat, samples};
use crate::store::hash::{background_hash, placement_hash};
use crate::store::layout::partition_of;
use crate::store::{
    Address, BackgroundCount, Cursor, Drawn, ReportBatch, Row, Sender, ServeMark, ServePenalty, Source,
    Store, StratumCount,
};

/// An empty store of each engine.
pub(super) async fn stores(
    capacity: usize,
    partitions: usize,
) -> Vec<(&'static str, std::sync::Arc<dyn Store>)> {
    let mut stores = Vec::new();
    for (name, engine) in engines() {
        let pool = flat("p", 1, samples(capacity, partitions));
        stores.push((name, engine.create(pool, MAX_POOLS).await.unwrap().samples));
    }
    stores
}

pub(super) fn report(ids: Vec<u64>, scores: Vec<f32>) -> ReportBatch {
    ReportBatch { ids, scores, decay_units: 1 << 40, stamp: 100, ..ReportBatch::default() }
}

pub(super) fn serves(max_serves: u16, lease_until: Option<u64>) -> ServeMark {
    ServeMark { count: true, max_serves, lease_until }
}

pub(super) fn hard(ids: &[u64]) -> Vec<Drawn> {
    Drawn::all(ids, Source::Hard)
}

/// The rows of all pages of a scan, by id.
pub(super) async fn scanned(store: &dyn Store, limit: usize) -> BTreeMap<u64, Row> {
    let (mut rows, mut cursor) = (BTreeMap::new(), Some(Cursor::default()));
    while let Some(at) = cursor {
        let page = store.scan(at, limit).await.unwrap();
        for row in page.rows {
            assert!(rows.insert(row.id, row).is_none(), "{} is on two pages", row.id);
        }
        cursor = page.next;
    }
    rows
}

/// Checks that all kinds of reads agree on the samples of a store while no operation runs.
pub(super) async fn check_reads_agree(name: &str, store: &dyn Store, partitions: usize, may_evict: bool) {
    let rows = scanned(store, 7).await;
    let mut order: Vec<Row> = rows.values().copied().collect();
    order.sort_by(|a, b| b.place(false).unwrap().compare(&a.place(false).unwrap()));
    let number = |id: u64| partition_of(placement_hash(id), partitions);

    // The census, and the rows at its addresses.
    let census = store.census().await.unwrap();
    let (level, stats) = (store.level().await.unwrap(), store.stats().await.unwrap());
    assert_eq!(
        (census.hard, level.hard, stats.hard),
        (rows.len() as u64, census.hard, census.hard),
        "{name}"
    );
    assert_eq!(
        (level.floor, stats.floor, stats.leased),
        (census.floor, census.floor, census.leased),
        "{name}"
    );
    let mut seen = HashSet::new();
    for bucket in &census.buckets {
        let address = |ordinal| Address::Hard { partition: bucket.partition, bucket: bucket.bucket, ordinal };
        let addresses: Vec<Address> = (0..=bucket.members()).map(address).collect();
        let fetched = store.fetch(&addresses).await.unwrap();
        assert_eq!(fetched.last(), Some(&None), "{name}: there is a row past the last member");
        for (ordinal, row) in fetched.iter().take(addresses.len() - 1).enumerate() {
            let row = row.expect("a member");
            assert_eq!(Some(&row), rows.get(&row.id), "{name}");
            assert!(seen.insert(row.id), "{name}: {} is in two buckets", row.id);
            assert_eq!(row.leased, ordinal as u32 >= bucket.count, "{name}: resting members come last");
            assert_eq!(usize::from(bucket.partition), number(row.id), "{name}");
            let key = row.hard_key.unwrap();
            assert!(key.since(bucket.low) >= 0 && key.since(bucket.high) <= 0, "{name}");
        }
    }
    assert_eq!(seen.len(), rows.len(), "{name}");

    // The background.
    let BackgroundCount::Sampled(backgrounds) = &census.background else { panic!("{name}: sampled") };
    assert_eq!(backgrounds.len(), partitions, "{name}");
    let mut members = Vec::new();
    for (partition, count) in backgrounds.iter().enumerate() {
        let address = |ordinal| Address::Background { partition: partition as u16, ordinal };
        let addresses: Vec<Address> = (0..=count.members).map(address).collect();
        let mut of_partition = store.fetch(&addresses).await.unwrap();
        assert_eq!(of_partition.pop(), Some(None), "{name}: there is a row past the last member");
        let of_partition: Vec<Row> = of_partition.into_iter().map(Option::unwrap).collect();
        let in_census = |row: &Row| census.background.contains(row.id) && number(row.id) == partition;
        assert!(of_partition.iter().all(in_census), "{name}");
        let counted = |is: fn(&Row) -> bool| of_partition.iter().filter(|row| is(row)).count() as u64;
        assert_eq!(count.leased_members, counted(|row| row.leased), "{name}");
        assert_eq!(count.in_hard, counted(|row| row.hard_key.is_some()), "{name}");
        assert_eq!(count.hard, rows.keys().filter(|id| number(**id) == partition).count() as u64, "{name}");
        members.extend(of_partition);
    }
    let distinct: HashSet<u64> = members.iter().map(|row| row.id).collect();
    assert_eq!(distinct.len(), members.len(), "{name}: a member has two ordinals");
    assert_eq!(
        (stats.background, stats.distinct),
        (members.len() as u64, census.background.distinct()),
        "{name}"
    );
    assert_eq!(stats.loop_ratio, census.background.loop_ratio(), "{name}");

    // Reads by id: rows, leases and attachments. Reading attachments changes nothing.
    let all: BTreeMap<u64, Row> = members.iter().map(|row| (row.id, *row)).chain(rows.clone()).collect();
    let ids: Vec<u64> = all.keys().copied().chain([u64::MAX]).collect();
    let leases = store.leases(&ids).await.unwrap();
    let attachments = store.attachments(&ids).await.unwrap();
    let got = store.get(&ids).await.unwrap();
    for (i, row) in all.values().enumerate() {
        assert_eq!(got[i].as_ref(), Some(row), "{name}");
        assert_eq!(leases[i].is_some(), row.leased, "{name}");
        assert_eq!(attachments[i].as_ref().unwrap().serves, row.serves, "{name}");
    }
    let unknown = all.len();
    assert!(got[unknown].is_none() && leases[unknown].is_none() && attachments[unknown].is_none(), "{name}");
    // A store may keep the lease of an evicted sample until it ends, in case the sample comes back.
    let resting = leases.iter().flatten().count() as u64;
    assert!(census.leased == resting || may_evict && census.leased > resting, "{name}: {resting}");

    // Reads by rank and by stratum.
    let ranks: Vec<u64> = (0..=order.len() as u64).collect();
    let places: Vec<_> = order.iter().map(|row| row.place(false)).chain([None]).collect();
    assert_eq!(store.at_ranks(&ranks).await.unwrap(), places, "{name}");
    let awake: Vec<Row> = order.iter().filter(|row| !row.leased).copied().collect();
    let top = store.top(order.len(), ServePenalty::default(), 1 << 20).await.unwrap();
    assert_eq!(top, awake, "{name}");
    let penalty = ServePenalty { units_per_serve: 3 << 15, units_max: 4 << 16 };
    let place = |row: &Row| row.place(false).unwrap().moved(-penalty.units(row.serves));
    let mut moved = awake;
    moved.sort_by(|a, b| place(b).compare(&place(a)));
    moved.truncate(9);
    assert_eq!(store.top(9, penalty, 1 << 20).await.unwrap(), moved, "{name}: with the penalty");
    let mut strata: BTreeMap<u32, StratumCount> = BTreeMap::new();
    let none = |stratum| StratumCount { stratum, hard: 0, background: 0 };
    rows.values().for_each(|row| strata.entry(row.stratum).or_insert(none(row.stratum)).hard += 1);
    members.iter().for_each(|row| strata.entry(row.stratum).or_insert(none(row.stratum)).background += 1);
    assert_eq!(store.strata().await.unwrap(), strata.into_values().collect::<Vec<_>>(), "{name}");
    let of_strata = store.of_strata(&[2, 3]).await.unwrap();
    let of_strata: BTreeMap<u64, Row> = of_strata.into_iter().map(|row| (row.id, row)).collect();
    let expected = rows.into_iter().filter(|(_, row)| [2, 3].contains(&row.stratum)).collect();
    assert_eq!(of_strata, expected, "{name}");
}

/// Beyond the capacity and the size of the background, hosts may keep different samples, so each is compared with itself only.
#[tokio::test]
async fn all_reads_agree_after_calls_of_all_kinds() {
    for (capacity, partitions) in [(1_000, 1), (300, 3), (100, 1)] {
        for (name, store) in stores(capacity, partitions).await {
            for round in 0..40_u64 {
                let mut x = background_hash(round, 5);
                let mut next = || {
                    x = background_hash(x, 1);
                    x
                };
                let mut ids = |n: usize| -> Vec<u64> { (0..n).map(|_| next() % 900).collect() };
                let reported = ids(30);
                let scores = reported.iter().map(|id| ((id * 37 + round) % 500) as f32 / 10.0).collect();
                let strata = reported.iter().map(|id| (id % 5) as u32).collect();
                store.apply(ReportBatch { strata, ..report(reported, scores) }).await.unwrap();
                let lease = (round % 3 == 0).then_some(1_000 + round * 10);
                store.serve(&hard(&ids(20)), serves(3, lease)).await.unwrap();
                store.release(&ids(5)).await.unwrap();
                store.remove(&ids(4)).await.unwrap();
                if round % 8 == 7 {
                    store.expire(1_000 + round * 6, None).await.unwrap();
                    check_reads_agree(name, &*store, partitions, capacity < 900).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn positions_grow_and_a_resend_changes_nothing() {
    for (name, store) in stores(100, 2).await {
        let sender = Sender { worker: 7, epoch: 1, sequence: 4 };
        assert!(!store.has_applied(&sender).await.unwrap(), "{name}");
        let batch = ReportBatch { sender: Some(sender), ..report((0..10).collect(), vec![1.0; 10]) };
        let first = store.apply(batch.clone()).await.unwrap();
        assert_eq!((first.counts.inserted, first.counts.rows()), (10, 10), "{name}");
        assert!(store.has_applied(&sender).await.unwrap(), "{name}");
        let again = store.apply(ReportBatch { scores: vec![9.0; 10], ..batch }).await.unwrap();
        assert_eq!((again.counts.duplicate, again.counts.rows()), (10, 10), "{name}");
        assert!(store.get(&[3]).await.unwrap()[0].unwrap().score == 1.0, "{name}");
        let (removed, last) = store.remove(&[3, 3, 99]).await.unwrap();
        assert_eq!(removed, 1, "{name}");
        assert!(first.position < again.position && again.position < last, "{name}");
        let unheard = Sender { sequence: 5, ..sender };
        assert!(!store.has_applied(&unheard).await.unwrap(), "{name}");
    }
}

#[tokio::test]
async fn serves_are_counted_up_to_their_limit_and_leases_end() {
    for (name, store) in stores(100, 2).await {
        // Leases end at whole 64ths of a second; these times are such.
        store.apply(report(vec![1, 2], vec![1.0, 2.0])).await.unwrap();
        let served = async |mark| {
            let served = store.serve(&hard(&[1, 1, 1, 9]), mark).await.unwrap();
            served.iter().map(|served| served.as_ref().map(|served| served.serves)).collect::<Vec<_>>()
        };
        assert_eq!(served(serves(2, None)).await, [Some(1), Some(2), None, None], "{name}");
        store.apply(report(vec![1], vec![1.0])).await.unwrap();
        assert_eq!(
            served(serves(9, Some(512))).await,
            [Some(1), None, None, None],
            "{name}: a leased sample is not served"
        );
        assert_eq!(store.leases(&[1, 2]).await.unwrap(), [Some(512), None], "{name}");
        store.expire(511, None).await.unwrap();
        assert_eq!(served(serves(9, None)).await, [None; 4], "{name}: the lease has not ended");
        store.expire(512, None).await.unwrap();
        assert_eq!(served(serves(9, Some(912))).await[0], Some(2), "{name}");
        assert_eq!(store.release(&[1, 2]).await.unwrap(), 1, "{name}");
        assert_eq!(served(serves(9, Some(912))).await[0], Some(3), "{name}");
        store.apply(report(vec![1], vec![1.0])).await.unwrap();
        assert_eq!(store.leases(&[1]).await.unwrap(), [None], "{name}: a report ends a lease");
    }
}

#[tokio::test]
async fn an_address_whose_sample_has_gone_yields_none() {
    for (name, store) in stores(100, 2).await {
        store.apply(report((0..50).collect(), vec![1.0; 50])).await.unwrap();
        let census = store.census().await.unwrap();
        let bucket = census.buckets[0];
        let gone = [
            Address::Hard { partition: bucket.partition, bucket: bucket.bucket, ordinal: 0 },
            Address::Background { partition: 1, ordinal: 0 },
        ];
        assert!(store.fetch(&gone).await.unwrap().iter().all(Option::is_some), "{name}");
        assert_eq!(store.remove(&(0..50).collect::<Vec<_>>()).await.unwrap().0, 50, "{name}");
        assert_eq!(store.fetch(&gone).await.unwrap(), [None, None], "{name}");
        assert_eq!(store.serve(&hard(&[0]), serves(9, None)).await.unwrap(), [None], "{name}");
        check_reads_agree(name, &*store, 2, false).await;
    }
}
