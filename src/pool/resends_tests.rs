//! A batch that is held up in front of the store while a copy of it arrives.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::clock::TimeSource;
use super::registry::Registry;
use crate::model::error::PoolError;
use crate::model::flow::Flow;
use crate::model::limits::Limits;
use crate::model::quarantine::QuarantineRule;
use crate::model::report::{Ack, AckStatus, Ids, Report, Sender};
use crate::model::spec::PoolSpec;
use crate::pool::Pool;
use crate::store::hash::{partition_of, placement_hash};
use crate::store::recorded;
use crate::store::wrapped::{Wrapped, WrappingEngine};
use crate::store::{Applied, ReportBatch, ScoreUpdate, Store, StoreError};

const SAMPLE: u64 = 5;

/// Each batch waits for a permit; the first ones fail, before or after they were applied.
struct Parked {
    inner: Arc<dyn Store>,
    go_on: Arc<Semaphore>,
    failures: Arc<AtomicU64>,
    is_applied: bool,
}

#[async_trait]
impl Wrapped for Parked {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError> {
        self.go_on.acquire().await.unwrap().forget();
        let left = |left: u64| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left) {
            Ok(_) => {
                if self.is_applied {
                    self.inner.apply(batch).await?;
                }
                Err(StoreError::Unavailable("the disk is full".into()))
            }
            Err(_) => self.inner.apply(batch).await,
        }
    }
}

/// A pool that averages (so that a batch applied twice shows), with its permits; `failures` batches fail, `is_applied` says when.
async fn parked(failures: u64, is_applied: bool) -> (Arc<Pool>, Arc<Semaphore>) {
    parked_with(failures, is_applied, None).await
}

async fn parked_with(failures: u64, is_applied: bool, flow: Option<Flow>) -> (Arc<Pool>, Arc<Semaphore>) {
    let go_on = Arc::new(Semaphore::new(0));
    let permits = go_on.clone();
    let engine = Arc::new(WrappingEngine::new(move |inner| -> Arc<dyn Store> {
        let failures = Arc::new(AtomicU64::new(failures));
        Arc::new(Parked { inner, go_on: permits.clone(), failures, is_applied })
    }));
    let registry = Registry::new(engine, Limits::default(), TimeSource::Manual(Arc::default()));
    let score_update = ScoreUpdate::Ema { weight: 0.5 };
    let spec = PoolSpec { score_update, flow, ..PoolSpec::defaults(&Limits::default()) };
    (registry.create("parked", spec).await.unwrap().0, go_on)
}

fn batch(sequence: u64, score: f32) -> Report {
    Report {
        ids: Ids::U64(vec![SAMPLE]),
        scores: vec![score],
        sender: Sender { worker_id: "w".into(), epoch: 7, sequence },
        ..Report::default()
    }
}

async fn score(pool: &Pool) -> Option<f32> {
    pool.store.get(&[SAMPLE]).await.unwrap().remove(0).map(|row| row.score)
}

/// Sends a batch, and says when it is on its way.
async fn send(pool: &Arc<Pool>, report: Report) -> tokio::task::JoinHandle<Result<Ack, PoolError>> {
    let pool = pool.clone();
    let sent = tokio::spawn(async move { pool.report(report).await });
    // It goes as far as it can without a permit.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    sent
}

#[tokio::test]
async fn a_resend_gets_the_error_of_the_copy_that_it_waited_for() {
    let (pool, go_on) = parked(1, false).await;
    let (first, resend) = (send(&pool, batch(1, 8.0)).await, send(&pool, batch(1, 8.0)).await);
    assert!(!first.is_finished() && !resend.is_finished(), "nothing is known yet");
    go_on.add_permits(1);
    for sent in [first, resend] {
        let error = timeout(Duration::from_secs(10), sent).await.unwrap().unwrap().unwrap_err();
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }
    assert_eq!(score(&pool).await, None);
    // The third copy is applied once, and the fourth gets its answer.
    go_on.add_permits(3);
    assert_eq!(pool.report(batch(1, 8.0)).await.unwrap().status, AckStatus::Applied);
    assert_eq!(pool.report(batch(1, 8.0)).await.unwrap().status, AckStatus::Duplicate);
    assert_eq!(pool.report(batch(2, 4.0)).await.unwrap().status, AckStatus::Applied);
    assert_eq!(score(&pool).await, Some(6.0));
}

#[tokio::test]
async fn a_resend_gets_the_answer_of_the_copy_that_it_waited_for() {
    let (pool, go_on) = parked(0, false).await;
    go_on.add_permits(1);
    pool.report(batch(1, 8.0)).await.unwrap();
    let (first, resend) = (send(&pool, batch(2, 4.0)).await, send(&pool, batch(2, 4.0)).await);
    // Another batch of the same worker is another matter.
    let other = send(&pool, batch(3, 6.0)).await;
    assert!(!first.is_finished() && !resend.is_finished());
    go_on.add_permits(2);
    for sent in [first, resend, other] {
        let ack = timeout(Duration::from_secs(10), sent).await.unwrap().unwrap().unwrap();
        assert_eq!((ack.status, ack.counts.updated), (AckStatus::Applied, 1));
    }
    // 8, then the mean with 4, then that with 6; once each.
    assert_eq!(score(&pool).await, Some(6.0));
    assert_eq!(pool.counters().await.unwrap().duplicate_batches, 1);
}

#[tokio::test]
async fn a_resend_takes_over_from_a_copy_that_was_dropped() {
    let (pool, go_on) = parked(0, false).await;
    let (first, resend) = (send(&pool, batch(1, 8.0)).await, send(&pool, batch(1, 8.0)).await);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go_on.add_permits(1);
    let ack = timeout(Duration::from_secs(10), resend).await.unwrap().unwrap().unwrap();
    assert_eq!(ack.status, AckStatus::Applied);
    assert_eq!(score(&pool).await, Some(8.0));
}

/// The partitions know what they have applied, even if the sender got an error.
#[tokio::test]
async fn a_batch_whose_answer_was_lost_is_not_applied_again() {
    let (pool, go_on) = parked(1, true).await;
    go_on.add_permits(3);
    pool.report(batch(1, 8.0)).await.unwrap_err();
    assert_eq!(score(&pool).await, Some(8.0), "it was applied");
    let ack = pool.report(batch(1, 4.0)).await.unwrap();
    assert_eq!((ack.status, ack.counts.duplicate), (AckStatus::Duplicate, 1));
    assert_eq!(score(&pool).await, Some(8.0));
    assert_eq!(pool.report(batch(2, 4.0)).await.unwrap().status, AckStatus::Applied);
    assert_eq!(score(&pool).await, Some(6.0));
}

/// A batch that only one partition had: the others apply their rows now, and each row counts once.
#[tokio::test]
async fn a_resend_is_applied_in_the_partitions_that_have_not_applied_it() {
    const ROWS: u64 = 100;
    let limits = Limits::default();
    let registry = Registry::new(recorded::engine(), limits.clone(), TimeSource::Manual(Arc::default()));
    let spec = PoolSpec {
        shards: 4,
        score_update: ScoreUpdate::Ema { weight: 0.5 },
        quarantine: Some(QuarantineRule::default()),
        ..PoolSpec::defaults(&limits)
    };
    let pool = registry.create("p", spec).await.unwrap().0;
    let sender = Sender { worker_id: "w".into(), epoch: 1, sequence: 1 };
    let report = || Report {
        ids: Ids::U64((0..ROWS).collect()),
        scores: vec![8.0; ROWS as usize],
        sender: sender.clone(),
        ..Report::default()
    };
    let known: Vec<u64> = (0..ROWS).filter(|id| partition_of(placement_hash(*id), 4) == 1).collect();
    let part = ReportBatch {
        scores: vec![4.0; known.len()],
        ids: known.clone(),
        sender: Some((&sender).into()),
        ..ReportBatch::default()
    };
    pool.store.apply(part).await.unwrap();
    let ack = pool.report(report()).await.unwrap();
    let (before, now) = (known.len() as u64, ROWS - known.len() as u64);
    assert_eq!((ack.status, ack.counts.duplicate, ack.counts.inserted), (AckStatus::Applied, before, now));
    for (id, sample) in pool.samples(Ids::U64((0..ROWS).collect())).await.unwrap().iter().enumerate() {
        let expected = if known.contains(&(id as u64)) { 4.0 } else { 8.0 };
        assert_eq!(sample.score, Some(expected), "sample {id}");
    }
    let again = pool.report(report()).await.unwrap();
    assert_eq!((again.status, again.counts.duplicate), (AckStatus::Duplicate, ROWS));
    let counters = pool.counters().await.unwrap();
    assert_eq!((counters.reported_rows, counters.rows.inserted, counters.rows.updated), (ROWS, now, 0));
    assert_eq!(
        (counters.rows.duplicate, counters.reported_batches, counters.duplicate_batches),
        (before + ROWS, 1, 1)
    );
}

#[tokio::test]
async fn a_resend_of_a_batch_in_progress_does_not_wait_for_mines() {
    let max_wait = Duration::from_millis(50);
    let flow = Flow { mined_per_reported: 1.0, error_buffer: 1.0, min_reported: 1, max_wait };
    let (pool, go_on) = parked_with(0, false, Some(flow)).await;
    go_on.add_permits(1);
    pool.report(batch(1, 8.0)).await.unwrap();
    let (first, resend) = (send(&pool, batch(2, 4.0)).await, send(&pool, batch(2, 4.0)).await);
    // The first copy has taken the last place in the buffer: another batch is refused, after its wait.
    let refused = pool.report(batch(3, 6.0)).await.unwrap_err();
    assert!(matches!(refused, PoolError::Exhausted { .. }), "{refused}");
    assert!(!first.is_finished() && !resend.is_finished());
    go_on.add_permits(1);
    for sent in [first, resend] {
        let ack = timeout(Duration::from_secs(10), sent).await.unwrap().unwrap().unwrap();
        assert_eq!(ack.status, AckStatus::Applied);
    }
}

/// A resend that went without a permit, because its first copy had one, takes one when that copy fails: its rows count.
#[tokio::test]
async fn a_resend_that_takes_over_counts_in_the_flow() {
    let flow = Flow { mined_per_reported: 1.0, error_buffer: 8.0, min_reported: 1, max_wait: Duration::ZERO };
    let (pool, go_on) = parked_with(0, false, Some(flow)).await;
    go_on.add_permits(1);
    pool.report(batch(1, 8.0)).await.unwrap();
    let (first, resend) = (send(&pool, batch(2, 4.0)).await, send(&pool, batch(2, 4.0)).await);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    go_on.add_permits(1);
    let ack = timeout(Duration::from_secs(10), resend).await.unwrap().unwrap().unwrap();
    assert_eq!(ack.status, AckStatus::Applied);
    assert_eq!(pool.stats().await.unwrap().flow_balance, Some(1.0));
}
