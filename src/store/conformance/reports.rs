//! Tests of reports: counts, resends, score updates, expiry, names and payloads.

use std::sync::Arc;

use bytes::Bytes;

use super::reads::{check_reads_agree, scanned};
use super::samples::{hard, report, serves, stores};
use super::{MAX_POOLS, engines, flat, samples};
use crate::store::hash::placement_hash;
use crate::store::layout::partition_of;
use crate::store::quarantine::Found;
use crate::store::{ReportBatch, ScoreUpdate, Sender, StoreSpec};

/// The first `n` ids of a partition.
fn ids_of(partition: usize, partitions: usize, n: usize) -> Vec<u64> {
    (0..).filter(|id| partition_of(placement_hash(*id), partitions) == partition).take(n).collect()
}

#[tokio::test]
async fn the_counts_of_a_batch_sum_to_its_rows_and_so_do_totals() {
    for partitions in [1, 3] {
        for (name, store) in stores(1_000, partitions).await {
            let sender = Sender { worker: 3, epoch: 8, sequence: 1 };
            // 40 ids, ten of them twice.
            let ids: Vec<u64> = (0..40).chain(0..10).collect();
            let first = ReportBatch {
                sender: Some(sender),
                non_finite: 3,
                out_of_range: 2,
                ..report(ids, vec![1.0; 50])
            };
            let counts = store.apply(first.clone()).await.unwrap().counts;
            let told = (counts.inserted, counts.coalesced, counts.non_finite, counts.out_of_range);
            assert_eq!((told, counts.rows()), ((40, 10, 3, 2), 55), "{name}");
            let counts = store.apply(first).await.unwrap().counts;
            assert_eq!((counts.duplicate, counts.rows()), (55, 55), "{name}: a resend");
            let late =
                ReportBatch { stamp: 99, refuse_stale: true, ..report((30..50).collect(), vec![2.0; 20]) };
            let counts = store.apply(late).await.unwrap().counts;
            assert_eq!((counts.stale, counts.inserted, counts.rows()), (10, 10, 20), "{name}");
            store.serve(&hard(&[1, 2, 99]), serves(9, None)).await.unwrap();
            store.remove(&[5, 6, 999]).await.unwrap();

            let (totals, stats) = (store.totals().await.unwrap(), store.stats().await.unwrap());
            let level = store.level().await.unwrap();
            assert_eq!((totals.reported, totals.non_finite, totals.out_of_range), (75, 3, 2), "{name}");
            assert_eq!((totals.stale, totals.removed, totals.latest_stamp), (10, 2, Some(100)), "{name}");
            assert_eq!((totals.served_hard, totals.served_background), (2, 0), "{name}");
            assert_eq!((level.reported, level.served, level.hard), (75, 2, 48), "{name}");
            assert_eq!(stats.totals, totals, "{name}");
        }
    }
}

#[tokio::test]
async fn each_partition_recognises_exactly_the_batches_that_it_has_applied() {
    for (name, store) in stores(1_000, 3).await {
        let (known, new) = (ids_of(0, 3, 4), ids_of(2, 3, 5));
        let sender = Some(Sender { worker: 3, epoch: 8, sequence: 1 });
        store.apply(ReportBatch { sender, ..report(known.clone(), vec![1.0; 4]) }).await.unwrap();
        let both = [known.clone(), new.clone()].concat();
        let counts = store.apply(ReportBatch { sender, ..report(both, vec![7.0; 9]) }).await.unwrap().counts;
        assert_eq!((counts.duplicate, counts.inserted), (4, 5), "{name}");
        let score = |row: Option<crate::store::Row>| row.unwrap().score;
        let (known, new) = (store.get(&known).await.unwrap(), store.get(&new).await.unwrap());
        assert!(known.into_iter().all(|row| score(row) == 1.0), "{name}");
        assert!(new.into_iter().all(|row| score(row) == 7.0), "{name}");
        // A batch without a sender is never taken for a resend.
        for inserted in [1, 0] {
            let counts = store.apply(report(vec![1_000], vec![1.0])).await.unwrap().counts;
            assert_eq!((counts.inserted, counts.duplicate), (inserted, 0), "{name}");
        }
    }
}

#[tokio::test]
async fn a_score_is_updated_by_the_rule_of_its_batch() {
    for (name, store) in stores(100, 2).await {
        for (update, score, expected) in [
            (ScoreUpdate::Last, 4.0, 4.0),
            (ScoreUpdate::Max, 2.0, 4.0),
            (ScoreUpdate::Max, 8.0, 8.0),
            (ScoreUpdate::Ema { weight: 0.25 }, 4.0, 7.0),
            (ScoreUpdate::Last, 1.0, 1.0),
        ] {
            store.apply(ReportBatch { update, ..report(vec![3], vec![score]) }).await.unwrap();
            assert_eq!(store.get(&[3]).await.unwrap()[0].unwrap().score, expected, "{name}: {update:?}");
        }
    }
}

#[tokio::test]
async fn samples_older_than_the_horizon_expire_even_where_stamps_wrap() {
    for partitions in [1, 3] {
        for (early, late, oldest) in [(100, 200, 150), (u32::MAX - 50, 50, 0)] {
            for (name, store) in stores(1_000, partitions).await {
                let (old, young): (Vec<u64>, Vec<u64>) = ((0..20).collect(), (20..50).collect());
                for (ids, stamp) in [(&old, early), (&young, late)] {
                    let scores = vec![1.0; ids.len()];
                    store.apply(ReportBatch { stamp, ..report(ids.clone(), scores) }).await.unwrap();
                }
                store.serve(&hard(&[3, 30]), serves(9, Some(640))).await.unwrap();
                store.expire(0, None).await.unwrap();
                assert_eq!(
                    scanned(&*store, 7).await.len(),
                    50,
                    "{name}: no sample expires without a horizon"
                );
                store.expire(0, Some(early)).await.unwrap();
                assert_eq!(
                    scanned(&*store, 7).await.len(),
                    50,
                    "{name}: a sample with the stamp of the horizon does not expire"
                );
                store.expire(0, Some(oldest)).await.unwrap();
                assert_eq!(store.get(&old).await.unwrap(), vec![None; 20], "{name}");
                assert!(
                    store.find(&old).await.unwrap().iter().all(|found| *found == Found::Absent),
                    "{name}"
                );
                assert!(store.get(&young).await.unwrap().iter().all(Option::is_some), "{name}");
                assert_eq!(store.leases(&[3, 30]).await.unwrap(), [None, Some(640)], "{name}");
                assert_eq!(store.totals().await.unwrap().expired, 20, "{name}");
                check_reads_agree(name, &*store, partitions, false).await;

                // One batch that is itself too old, and one that moves the horizon.
                let horizon = |stamp, oldest| ReportBatch {
                    stamp,
                    oldest_stamp: Some(oldest),
                    ..report((50..90).collect(), vec![1.0; 40])
                };
                let counts = store.apply(horizon(early, oldest)).await.unwrap().counts;
                assert_eq!((counts.stale, counts.rows()), (40, 40), "{name}");
                let counts = store.apply(horizon(late + 1, late + 1)).await.unwrap().counts;
                assert_eq!(counts.inserted, 40, "{name}");
                let left = scanned(&*store, 7).await.into_keys().collect::<Vec<_>>();
                assert_eq!(left, (50..90).collect::<Vec<_>>(), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn names_and_payloads_stay_with_their_samples_until_removal() {
    for (name, engine) in engines() {
        let spec = StoreSpec { named: true, ..samples(100, 3) };
        let store = engine.create(flat("p", 1, spec), MAX_POOLS).await.unwrap().samples;
        let names: Vec<Arc<str>> = (0..20).map(|id| format!("n{id}").into()).collect();
        let batch = |payload: fn(u64) -> Bytes| ReportBatch {
            names: names.clone(),
            payloads: (0..20).map(payload).collect(),
            ..report((0..20).collect(), vec![1.0; 20])
        };
        store.apply(batch(|id| vec![id as u8; 3].into())).await.unwrap();
        // An empty payload keeps the stored one.
        store.apply(batch(|id| if id == 4 { "new".into() } else { Bytes::new() })).await.unwrap();
        let ids: Vec<u64> = (0..20).collect();
        let looked = store.attachments(&ids).await.unwrap();
        let served = store.serve(&hard(&ids), serves(9, None)).await.unwrap();
        for id in 0..20 {
            let expected = if id == 4 { Bytes::from("new") } else { vec![id as u8; 3].into() };
            for (answers, serves) in [(&looked, 0), (&served, 1)] {
                let answer = answers[id].as_ref().unwrap();
                assert_eq!(answer.name.as_ref(), Some(&names[id]), "{name}");
                assert_eq!((answer.payload.as_ref(), answer.serves), (Some(&expected), serves), "{name}");
            }
        }
        // A sample that is removed and reported again does not have its old payload.
        store.remove(&[4]).await.unwrap();
        assert_eq!(store.attachments(&[4]).await.unwrap(), [None], "{name}");
        let again = ReportBatch { names: vec!["n4".into()], ..report(vec![4], vec![1.0]) };
        store.apply(again).await.unwrap();
        assert_eq!(store.attachments(&[4]).await.unwrap()[0].as_ref().unwrap().payload, None, "{name}");
    }
}
