//! Several servers over one engine: each has a registry of its own.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::model::report::{Ids, Report};
use crate::model::spec::Decay;
use crate::store::naive_engine::NaiveEngine;

const HOUR: u64 = 3_600_000;

struct Servers {
    engine: Arc<NaiveEngine>,
    millis: Arc<AtomicU64>,
    limits: Limits,
}

impl Servers {
    fn new() -> Self {
        let millis = Arc::new(AtomicU64::new(1_000 * HOUR));
        Self { engine: Arc::default(), millis, limits: Limits::default() }
    }

    fn start(&self) -> Arc<Registry> {
        let time = TimeSource::Manual(self.millis.clone());
        Registry::new(self.engine.clone(), self.limits.clone(), time)
    }

    fn spec(&self) -> PoolSpec {
        let decay = Decay::Time { half_life: Duration::from_millis(HOUR) };
        PoolSpec { capacity: 100, decay, ..PoolSpec::defaults(&self.limits) }
    }
}

async fn report(pool: &Arc<Pool>, id: u64) {
    pool.report(Report { ids: Ids::U64(vec![id]), scores: vec![1.0], ..Report::default() }).await.unwrap();
}

async fn ids(pool: &Arc<Pool>) -> Vec<u64> {
    let mut ids: Vec<u64> =
        pool.store.scan(Default::default(), 100).await.unwrap().rows.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn a_server_that_starts_finds_the_existing_pools() {
    let servers = Servers::new();
    let first = servers.start();
    for i in 0..RECORDS_PER_PAGE + 3 {
        first.create(&format!("p{i:03}"), servers.spec()).await.unwrap();
    }
    let created = first.get("p000", 0).unwrap();
    report(&created, 7).await;
    let half = Decay::Time { half_life: Duration::from_millis(HOUR / 2) };
    let change = SpecChange { decay: Some(half), ..SpecChange::default() };
    servers.millis.fetch_add(10 * HOUR, Ordering::Relaxed);
    first.update("p000", 0, "", change).await.unwrap();

    let second = servers.start();
    assert_eq!(second.attach_all().await.unwrap(), RECORDS_PER_PAGE + 3);
    let names =
        |registry: &Registry| registry.sorted().iter().map(|pool| pool.id().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&second), names(&first));
    let attached = second.get("p000", created.uid()).unwrap();
    assert_eq!(attached.etag(), created.etag());
    assert_eq!(attached.create_time(), created.create_time());
    assert_eq!(attached.spec(), created.spec());
    assert_eq!(attached.spec().decay, half);
    report(&attached, 8).await;
    assert_eq!((ids(&created).await, ids(&attached).await), (vec![7, 8], vec![7, 8]));
    // 10 half-lives before the change, and 2 an hour since.
    servers.millis.fetch_add(5 * HOUR, Ordering::Relaxed);
    assert_eq!(attached.clock.now(), created.clock.now());
    let untouched = |registry: &Registry| registry.get("p001", 0).unwrap().clock.now().decay_units;
    assert_eq!(created.clock.now().decay_units - untouched(&first), 5 << 16);
    assert_eq!(untouched(&second), untouched(&first));
}

#[tokio::test]
async fn a_pool_that_another_server_created_is_attached_if_its_spec_is_the_same() {
    let servers = Servers::new();
    let (first, second) = (servers.start(), servers.start());
    let (created, is_new) = first.create("p", servers.spec()).await.unwrap();
    assert!(is_new);
    report(&created, 7).await;
    let other = PoolSpec { capacity: 99, ..servers.spec() };
    let refused = second.create("p", other).await.err().unwrap();
    assert!(
        matches!(&refused, PoolError::AlreadyExists { differs, .. } if differs == "spec.capacity"),
        "{refused}"
    );
    let (attached, is_new) = second.create("p", servers.spec()).await.unwrap();
    assert_eq!((is_new, attached.uid()), (false, created.uid()));
    assert_eq!(ids(&attached).await, [7]);
}

#[tokio::test]
async fn of_servers_that_create_a_pool_at_once_one_wins_and_all_attach_it() {
    let servers = Servers::new();
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (registry, spec) = (servers.start(), servers.spec());
            tokio::spawn(async move { registry.create("p", spec).await.unwrap() })
        })
        .collect();
    let mut created = Vec::new();
    for task in tasks {
        let (pool, is_new) = task.await.unwrap();
        created.push((pool.uid(), is_new));
    }
    assert!(created.iter().all(|(uid, _)| *uid == created[0].0));
    assert_eq!(created.iter().filter(|(_, is_new)| *is_new).count(), 1);
}

#[tokio::test]
async fn an_update_applies_to_the_spec_that_another_server_has_set() {
    let servers = Servers::new();
    let (first, second) = (servers.start(), servers.start());
    let (of_first, _) = first.create("p", servers.spec()).await.unwrap();
    let (of_second, _) = second.create("p", servers.spec()).await.unwrap();
    let etag = of_second.etag();
    let control = |fraction| SpecChange { control_fraction: Some(fraction), ..SpecChange::default() };
    let no_policy = SpecChange { quarantine: Some(Some(Default::default())), ..SpecChange::default() };
    first.update("p", 0, &of_first.etag(), control(0.5)).await.unwrap();
    let late = second.update("p", 0, &etag, control(0.1)).await.err().unwrap();
    assert!(matches!(late, PoolError::Aborted(_)), "{late}");
    // The second server knows of it now, and a change without an etag keeps the other's.
    assert_eq!((of_second.etag(), of_second.spec().control_fraction), (of_first.etag(), 0.5));
    first.update("p", 0, "", control(0.25)).await.unwrap();
    second.update("p", 0, "", no_policy).await.unwrap();
    let spec = of_second.spec();
    assert_eq!((spec.control_fraction, spec.quarantine.is_some()), (0.25, true));
    // Who creates it again learns what it is like.
    let (again, is_new) = first.create("p", (*spec).clone()).await.unwrap();
    assert_eq!((is_new, again.etag()), (false, of_second.etag()));
}

#[tokio::test]
async fn the_engine_refuses_a_deletion_by_an_old_uid() {
    let servers = Servers::new();
    let (first, second) = (servers.start(), servers.start());
    let (old, _) = first.create("p", servers.spec()).await.unwrap();
    second.delete("p", old.uid(), "", false).await.unwrap();
    let (new, is_new) = second.create("p", servers.spec()).await.unwrap();
    assert!(is_new && new.uid() != old.uid());
    // The first server still believes in the old one.
    assert_eq!(first.get("p", 0).unwrap().uid(), old.uid());
    for uid in [old.uid(), 0] {
        let refused = first.delete("p", uid, "", true).await.err();
        if uid == 0 {
            // It has learnt better meanwhile, and no uid means whatever there is.
            assert!(refused.is_none());
        } else {
            let refused = refused.unwrap();
            assert!(
                matches!(refused, PoolError::FailedPrecondition { reason: "POOL_RECREATED", .. }),
                "{refused}"
            );
            assert!(first.get("p", 0).is_err(), "the old one is forgotten");
            assert!(servers.engine.attach("p", Some(new.uid())).await.unwrap().is_some());
        }
    }
    assert!(servers.engine.attach("p", None).await.unwrap().is_none());
    let gone = second.update("p", new.uid(), "", SpecChange::default()).await.err().unwrap();
    assert!(matches!(gone, PoolError::NotFound(_)), "{gone}");
    assert!(second.get("p", 0).is_err());
}

#[tokio::test]
async fn a_deletion_by_an_etag_that_another_server_has_changed_is_refused() {
    let servers = Servers::new();
    let (first, second) = (servers.start(), servers.start());
    let (pool, _) = first.create("p", servers.spec()).await.unwrap();
    let etag = pool.etag();
    second.update("p", 0, "", SpecChange::default()).await.unwrap();
    let refused = first.delete("p", 0, &etag, false).await.err().unwrap();
    assert!(matches!(refused, PoolError::Aborted(_)), "{refused}");
    first.delete("p", 0, "", false).await.unwrap();
    assert!(matches!(second.delete("p", 0, "", false).await, Err(PoolError::NotFound(_))));
    second.delete("p", 0, "", true).await.unwrap();
}
