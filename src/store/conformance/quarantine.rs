//! Tests of the quarantine: the same random calls on every engine must have the same answers.

use std::sync::Arc;

use super::samples::{hard, report, serves, stores};
use crate::store::hash::background_hash;
use crate::store::quarantine::{Found, QuarantineTerms, SetAside};
use crate::store::{ReportBatch, ScoreUpdate, Sender, Store};

const IDS: u64 = 150;
const DECAY_UNITS: u64 = 1 << 40;

/// Pseudo-random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = background_hash(self.0, 3);
        self.0 % bound
    }

    fn ids(&mut self, most: u64) -> Vec<u64> {
        (0..self.below(most)).map(|_| self.below(IDS)).collect()
    }

    fn batch(&mut self, position: u64) -> ReportBatch {
        let ids = self.ids(40);
        let scores: Vec<f32> = ids.iter().map(|_| self.below(200) as f32 / 10.0).collect();
        let raw = self.below(3) == 0;
        let threshold = (self.below(5) > 0).then_some(8.0);
        let capacity = 5 + self.below(60);
        ReportBatch {
            raw_scores: if raw { scores.iter().map(|score| 20.0 - score).collect() } else { Vec::new() },
            strata: ids.iter().map(|id| (id % 4) as u32).collect(),
            stamp: 100 + (position + self.below(6)) as u32,
            refuse_stale: true,
            update: [ScoreUpdate::Last, ScoreUpdate::Max, ScoreUpdate::Ema { weight: 0.25 }]
                [self.below(3) as usize],
            sender: Some(Sender { worker: 3, epoch: 1, sequence: self.below(position + 2) }),
            quarantine: (self.below(6) > 0).then_some(QuarantineTerms {
                threshold,
                reports: 2 + self.below(2) as u32,
                capacity,
                now_millis: position,
            }),
            non_finite: self.below(3),
            decay_units: DECAY_UNITS + (position << 16),
            ..report(ids, scores)
        }
    }
}

/// The state of the quarantine of a store as text, after checks that its reads agree.
async fn state(store: &dyn Store) -> String {
    let all: Vec<u64> = (0..IDS).collect();
    let found = store.find(&all).await.unwrap();
    let is_stored = |found: &&Found| matches!(found, Found::Stored(_));
    let stored = found.iter().filter(is_stored).count() as u64;
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.hard, stats.totals), (stored, store.totals().await.unwrap()));
    let level = store.level().await.unwrap();
    assert_eq!((level.reported, level.served), (stats.totals.reported, stats.totals.served()));
    let held = store.quarantined(None, 1_000).await.unwrap();
    let blocked = store.blocked(None, 1_000).await.unwrap();
    let sizes = (stats.quarantine.set_aside, stats.quarantine.blocked);
    assert_eq!(sizes, (held.len() as u64, blocked.len() as u64));
    for (i, found) in found.iter().enumerate() {
        let record = held.iter().find(|record| record.id == i as u64);
        let is_blocked = blocked.iter().any(|(id, _)| *id == i as u64);
        let is_right = match found {
            Found::Stored(row) => row.id == i as u64 && record.is_none() && !is_blocked,
            Found::SetAside(one) => record == Some(one) && !is_blocked,
            Found::Blocked => record.is_none() && is_blocked,
            Found::Absent => record.is_none() && !is_blocked,
        };
        assert!(is_right, "id {i} is in two places: {found:?}");
    }
    // A page continues after the last id of the page before.
    if let [first, rest @ ..] = &held[..] {
        let page = store.quarantined(Some(first.id), 2).await.unwrap();
        assert_eq!(page[..], rest[..rest.len().min(2)]);
    }
    if let [first, rest @ ..] = &blocked[..] {
        let page = store.blocked(Some(first.0), 2).await.unwrap();
        assert_eq!(page[..], rest[..rest.len().min(2)]);
    }
    format!("{found:?} {:?} {:?} {held:?} {blocked:?}", stats.quarantine, stats.totals)
}

/// Makes one random call; returns its answer as text.
async fn call(store: &dyn Store, random: &mut Random, position: u64) -> String {
    let how = SetAside {
        capacity: 5 + random.below(60),
        decay_units: DECAY_UNITS + (position << 16),
        now_millis: position,
    };
    match random.below(16) {
        0..=7 => format!("{:?}", store.apply(random.batch(position)).await.unwrap().counts),
        8 => format!("{:?}", store.set_aside(&random.ids(8), how).await.unwrap()),
        9 => {
            let ids = random.ids(20);
            format!("{:?}", store.release_quarantined(&ids, random.below(3) == 0).await.unwrap())
        }
        10 => format!("{:?}", store.block(&random.ids(5), &[]).await.unwrap()),
        11 => format!("{:?}", store.unblock(&random.ids(30)).await.unwrap()),
        12 => format!("{:?}", store.remove(&random.ids(6)).await.unwrap().0),
        13 if random.below(8) == 0 => format!("{:?}", store.clear().await.unwrap().0),
        _ => {
            let lease = (random.below(2) == 0).then_some(position * 16 + 64);
            store.expire(position * 16, None).await.unwrap();
            format!("{:?}", store.serve(&hard(&random.ids(10)), serves(3, lease)).await.unwrap())
        }
    }
}

#[tokio::test]
async fn every_host_quarantines_the_same_samples_after_the_same_calls() {
    for partitions in [1, 3] {
        for seed in 0..40 {
            let stores: Vec<(&str, Arc<dyn Store>)> = stores(1_000, partitions).await;
            let mut randoms: Vec<Random> = stores.iter().map(|_| Random(seed)).collect();
            for position in 1..60 {
                let mut answers = Vec::new();
                for ((name, store), random) in stores.iter().zip(&mut randoms) {
                    let answer = call(&**store, random, position).await;
                    answers.push((name, answer, state(&**store).await));
                }
                for (name, answer, state) in &answers[1..] {
                    let plainest = &answers[0];
                    assert_eq!(answer, &plainest.1, "{name}, seed {seed}, call {position}");
                    assert_eq!(state, &plainest.2, "{name}, seed {seed}, call {position}: {answer}");
                }
            }
        }
    }
}

/// A sample in quarantine keeps its name and payload, and a blocked id keeps its name.
#[tokio::test]
async fn the_quarantine_keeps_names_and_payloads() {
    for (name, engine) in super::engines() {
        let specs = crate::store::StoreSpec { named: true, ..super::samples(100, 2) };
        let store = engine.create(super::flat("p", 1, specs), super::MAX_POOLS).await.unwrap().samples;
        let batch = ReportBatch {
            names: vec!["one".into(), "two".into()],
            payloads: vec![bytes::Bytes::from_static(b"x"), bytes::Bytes::new()],
            ..report(vec![1, 2], vec![1.0, 2.0])
        };
        store.apply(batch).await.unwrap();
        let how = SetAside { capacity: 9, decay_units: DECAY_UNITS, now_millis: 5 };
        assert_eq!(store.set_aside(&[1, 1, 7], how).await.unwrap().set_aside, 1, "{name}");
        let held = store.quarantined(None, 9).await.unwrap();
        let told = (held[0].name.as_deref(), held[0].payload.as_deref(), held[0].set_aside_millis);
        assert_eq!((held.len(), told), (1, (Some("one"), Some(b"x".as_slice()), 5)), "{name}");
        assert_eq!(store.attachments(&[1]).await.unwrap(), [None], "{name}");
        assert_eq!(store.release_quarantined(&[1], false).await.unwrap().released, 1, "{name}");
        let back = store.attachments(&[1]).await.unwrap()[0].clone().unwrap();
        assert_eq!((back.name.as_deref(), back.payload.as_deref()), (Some("one"), Some(b"x".as_slice())));
        assert_eq!(store.block(&[2, 3], &["two".into(), "three".into()]).await.unwrap().removed, 1, "{name}");
        let blocked = store.blocked(None, 9).await.unwrap();
        assert_eq!(blocked, [(2, Some("two".into())), (3, Some("three".into()))], "{name}");
    }
}
