//! A report that is on its way while another sets its sample aside: held up on purpose, between its look at the quarantine and
//! the store.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::tests::{crowd, report, spec};
use crate::pool::clock::TimeSource;
use crate::pool::registry::Registry;
use crate::pool::report::Ids;
use crate::pool::samples::Place;
use crate::pool::spec::Limits;
use crate::store::anchored::{AnchorStore, AnchorStoreSpec};
use crate::store::naive::NaiveEngine;
use crate::store::{
    Address, Applied, Census, Engine, Level, ReportBatch, Row, ScanPage, ServeMark, ServePenalty, Served,
    Store, StoreError, StoreSpec, StoreStats, StratumCount,
};

/// Batches with this id wait in front of the store.
const HELD_UP: u64 = 777;
const NOISY: u64 = 1;
const SHORT: Duration = Duration::from_millis(50);

struct SlowEngine(Arc<Semaphore>);

struct SlowStore {
    inner: Arc<dyn Store>,
    go_on: Arc<Semaphore>,
}

#[async_trait]
impl Engine for SlowEngine {
    async fn open(&self, spec: &StoreSpec) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SlowStore { inner: NaiveEngine.open(spec).await?, go_on: self.0.clone() }))
    }

    async fn open_anchors(&self, spec: &AnchorStoreSpec) -> Result<Arc<dyn AnchorStore>, StoreError> {
        NaiveEngine.open_anchors(spec).await
    }
}

#[async_trait]
impl Store for SlowStore {
    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError> {
        if batch.ids.contains(&HELD_UP) {
            let _go_on = self.go_on.acquire().await;
        }
        self.inner.apply(batch).await
    }
    async fn census(&self) -> Result<Census, StoreError> {
        self.inner.census().await
    }
    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError> {
        self.inner.fetch(addresses).await
    }
    async fn get(&self, ids: &[u64]) -> Result<Vec<Option<Row>>, StoreError> {
        self.inner.get(ids).await
    }
    async fn top(&self, n: usize, penalty: ServePenalty, scan_limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.top(n, penalty, scan_limit).await
    }
    async fn scan(&self, cursor: u64, limit: usize) -> Result<ScanPage, StoreError> {
        self.inner.scan(cursor, limit).await
    }
    async fn serve(&self, ids: &[u64], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError> {
        self.inner.serve(ids, mark).await
    }
    async fn expire(&self, now_millis: u64) -> Result<(), StoreError> {
        self.inner.expire(now_millis).await
    }
    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError> {
        self.inner.of_strata(strata).await
    }
    async fn release(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.inner.release(ids).await
    }
    async fn leases(&self, ids: &[u64]) -> Result<Vec<Option<u64>>, StoreError> {
        self.inner.leases(ids).await
    }
    async fn strata(&self) -> Result<Vec<StratumCount>, StoreError> {
        self.inner.strata().await
    }
    async fn remove(&self, ids: &[u64]) -> Result<(u64, u64), StoreError> {
        self.inner.remove(ids).await
    }
    async fn level(&self) -> Result<Level, StoreError> {
        self.inner.level().await
    }
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.inner.stats().await
    }
}

#[tokio::test]
async fn the_ack_waits_for_a_report_that_would_bring_the_sample_back() {
    let go_on = Arc::new(Semaphore::new(0));
    let engine = Arc::new(SlowEngine(go_on.clone()));
    let registry = Registry::new(engine, Limits::default(), TimeSource::Manual(Arc::default()));
    let pool = registry.create("noisy", spec(false)).await.unwrap().0;
    pool.report(crowd(100)).await.unwrap();
    for step in [101, 102] {
        pool.report(report(step, &[(NOISY, 95.0)])).await.unwrap();
    }
    let send = |rows| send_at(&pool, 103, rows);
    let before = send(vec![(NOISY, 95.0), (HELD_UP, 1.0)]);
    sleep(SHORT).await;
    let mut setting_aside = send(vec![(NOISY, 95.0)]);
    assert!(timeout(SHORT, &mut setting_aside).await.is_err(), "no ack while a report may bring it back");
    // Later reports see it set aside, and need not wait.
    let later = timeout(SHORT, send(vec![(NOISY, 96.0)])).await.unwrap().unwrap();
    assert_eq!(later.counts.quarantined, 1);
    // A release waits for both.
    let releasing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.release_quarantined(None, false).await.unwrap() }
    });
    sleep(SHORT).await;
    assert!(!releasing.is_finished());
    assert_eq!(pool.list_quarantined(None, 10).total, 1);
    go_on.add_permits(1);
    before.await.unwrap();
    setting_aside.await.unwrap();
    assert_eq!(releasing.await.unwrap(), 1);
    let sample = pool.samples(Ids::U64(vec![NOISY])).await.unwrap()[0];
    assert_eq!((sample.place, sample.score), (Place::Hard, Some(96.0)), "released with the last score");

    // The same without a release: it is in neither source afterwards.
    for step in [104, 105] {
        pool.report(report(step, &[(NOISY, 95.0)])).await.unwrap();
    }
    go_on.forget_permits(1);
    let before = send_at(&pool, 106, vec![(NOISY, 95.0), (HELD_UP, 1.0)]);
    sleep(SHORT).await;
    let setting_aside = send_at(&pool, 106, vec![(NOISY, 95.0)]);
    sleep(SHORT).await;
    go_on.add_permits(1);
    before.await.unwrap();
    setting_aside.await.unwrap();
    assert_eq!(pool.store.get(&[NOISY]).await.unwrap(), [None]);
    assert_eq!(pool.list_quarantined(None, 10).total, 1);
}

fn send_at(
    pool: &Arc<crate::pool::core::Pool>,
    step: u64,
    rows: Vec<(u64, f32)>,
) -> tokio::task::JoinHandle<crate::pool::report::Ack> {
    let pool = pool.clone();
    tokio::spawn(async move { pool.report(report(step, &rows)).await.unwrap() })
}
