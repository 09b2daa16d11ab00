//! What is done to the samples of one pool.

use super::reads::check_reads_agree;
use super::{MAX_POOLS, engines, flat, samples};
use crate::store::hash::background_hash;
use crate::store::{Address, Drawn, ReportBatch, Sender, ServeMark, Source, Store};

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

/// Many calls of all kinds. Over the capacity and over the background's size hosts may keep different samples, but all reads of one agree.
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
        // Leases end at multiples of 1/64 s, as these times do.
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
