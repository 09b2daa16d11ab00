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
use crate::store::wrapped::{Wrapped, WrappingEngine};
use crate::store::{Applied, ReportBatch, Store, StoreError};

/// Batches with this id wait in front of the store.
const HELD_UP: u64 = 777;
const NOISY: u64 = 1;
const SHORT: Duration = Duration::from_millis(50);

struct SlowStore {
    inner: Arc<dyn Store>,
    go_on: Arc<Semaphore>,
}

#[async_trait]
impl Wrapped for SlowStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError> {
        if batch.ids.contains(&HELD_UP) {
            let _go_on = self.go_on.acquire().await;
        }
        self.inner.apply(batch).await
    }
}

#[tokio::test]
async fn the_ack_waits_for_a_report_that_would_bring_the_sample_back() {
    let go_on = Arc::new(Semaphore::new(0));
    let held_up = go_on.clone();
    let engine = Arc::new(WrappingEngine(move |inner| -> Arc<dyn Store> {
        Arc::new(SlowStore { inner, go_on: held_up.clone() })
    }));
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
