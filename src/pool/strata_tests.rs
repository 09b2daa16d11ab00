//! Draws with limits on many strata: they let other calls through, are bounded, and end with their callers.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::model::balance::Balance;
use crate::model::batch::{MineRequest, MinedBatch, Round};
use crate::model::error::PoolError;
use crate::model::limits::Limits;
use crate::model::policy::PolicyOverrides;
use crate::model::report::{Ids, Report};
use crate::model::spec::PoolSpec;
use crate::pool::Pool;
use crate::pool::admission::Patience;
use crate::pool::clock::TimeSource;
use crate::pool::registry::Registry;
use crate::store::wrapped::{Wrapped, WrappingEngine};
use crate::store::{Address, Cursor, Row, ScanPage, Store, StoreError};

/// What a mine reads of its store, in rows and strata, and a gate before its first read of rows.
#[derive(Default)]
struct Reads {
    since_others: AtomicUsize,
    most: AtomicUsize,
    gate: Option<Semaphore>,
    is_at_gate: AtomicBool,
}

impl Reads {
    fn count(&self, rows: usize) {
        let sum = rows + self.since_others.fetch_add(rows, Ordering::Relaxed);
        self.most.fetch_max(sum, Ordering::Relaxed);
    }
}

struct Counted {
    inner: Arc<dyn Store>,
    reads: Arc<Reads>,
}

#[async_trait]
impl Wrapped for Counted {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError> {
        if let Some(gate) = &self.reads.gate {
            self.reads.is_at_gate.store(true, Ordering::Relaxed);
            gate.acquire().await.unwrap().forget();
        }
        self.reads.count(addresses.len());
        self.inner.fetch(addresses).await
    }

    async fn scan(&self, at: Cursor, limit: usize) -> Result<ScanPage, StoreError> {
        self.reads.count(limit);
        self.inner.scan(at, limit).await
    }

    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError> {
        let rows = self.inner.of_strata(strata).await?;
        self.reads.count(rows.len());
        Ok(rows)
    }
}

/// A pool with `rows` samples in `strata` strata, whose reads are counted.
async fn pool(rows: u64, strata: u64, limits: Limits, reads: &Arc<Reads>) -> Arc<Pool> {
    let reads = reads.clone();
    let engine = WrappingEngine::of_partitions(move |inner| -> Arc<dyn Store> {
        Arc::new(Counted { inner, reads: reads.clone() })
    });
    let registry = Registry::new(Arc::new(engine), limits.clone(), TimeSource::Manual(Arc::default()));
    let pool = registry.create("p", PoolSpec::defaults(&limits)).await.unwrap().0;
    for ids in (0..rows).collect::<Vec<_>>().chunks(1 << 16) {
        let report = Report {
            ids: Ids::U64(ids.to_vec()),
            scores: ids.iter().map(|id| 0.1 + (id * 7919 % 1000) as f32).collect(),
            strata: ids.iter().map(|id| 1 + (id % strata) as u32).collect(),
            ..Report::default()
        };
        pool.report(report).await.unwrap();
    }
    pool
}

async fn mine(pool: &Arc<Pool>, batch_size: u32, balance: Balance) -> Result<Arc<MinedBatch>, PoolError> {
    let policy = PolicyOverrides { balance: Some(balance), ..PolicyOverrides::default() };
    let request = MineRequest { batch_size, policy, ..MineRequest::default() };
    pool.mine(request, Patience::Refuse).await
}

fn equal_shares() -> Balance {
    Balance { equal_shares: true, ..Balance::default() }
}

/// On one thread a call gets its turn only when the mines yield: each of four reads at most two pages of rows before it does.
#[tokio::test]
async fn mines_over_many_strata_let_other_calls_through() {
    let reads = Arc::new(Reads::default());
    let pool = pool(60_000, 30_000, Limits::default(), &reads).await;
    let at_least_one = Balance { min_per_stratum: 1, ..Balance::default() };
    let one_each = Balance { max_stratum_fraction: 1e-5, ..Balance::default() };
    for balance in [equal_shares(), at_least_one, one_each] {
        reads.most.store(0, Ordering::Relaxed);
        let four = (0..4).map(|_| {
            let (pool, balance) = (pool.clone(), balance.clone());
            tokio::spawn(async move { mine(&pool, 40_000, balance).await.unwrap().columns.ids.len() })
        });
        let four: Vec<_> = four.collect();
        let mut others = 0;
        while !four.iter().all(tokio::task::JoinHandle::is_finished) {
            pool.counters().await.unwrap();
            others += 1;
            reads.since_others.store(0, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        for one in four {
            let mined = one.await.unwrap();
            assert!(mined >= 30_000, "{balance:?}: {mined}");
        }
        let most = reads.most.load(Ordering::Relaxed);
        assert!(most <= 4 * 2 * 4096, "{balance:?}: {most} rows between two of {others} calls");
        assert!(others > 4 * 10, "{balance:?}: {others} calls meanwhile");
    }
}

#[tokio::test]
async fn a_policy_has_limits_on_so_many_strata_only() {
    let limits = Limits { max_balance_strata: 100, ..Limits::default() };
    let reads = Arc::new(Reads::default());
    let pool = pool(1_000, 100, limits, &reads).await;
    assert_eq!(mine(&pool, 200, equal_shares()).await.unwrap().columns.ids.len(), 200);
    let one_more =
        Report { ids: Ids::U64(vec![5_000]), scores: vec![1.0], strata: vec![5_000], ..Report::default() };
    pool.report(one_more).await.unwrap();
    match mine(&pool, 200, equal_shares()).await {
        Err(PoolError::FailedPrecondition { reason: "TOO_MANY_STRATA", message }) => {
            assert!(
                message.contains("policy.balance") && message.contains("max_balance_strata"),
                "{message}"
            );
            assert!(message.contains("100"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let by_group = Balance { max_per_group: 1, ..Balance::default() };
    assert_eq!(mine(&pool, 200, by_group).await.unwrap().columns.ids.len(), 200, "groups are not counted");
}

/// Until it marks samples, a draw that nobody waits for ends: nothing is counted, and its permits are free again.
#[tokio::test]
async fn a_draw_whose_caller_goes_away_before_it_marks_samples_ends() {
    let reads = Arc::new(Reads { gate: Some(Semaphore::new(0)), ..Reads::default() });
    let limits = Limits { max_inflight_mines: 1, ..Limits::default() };
    let pool = pool(1_000, 10, limits, &reads).await;
    let round = |rank| Round { number: 1, rank, world_size: 2, run_id: "".into() };
    let requests = [
        MineRequest { batch_size: 8, ..MineRequest::default() },
        MineRequest { batch_size: 8, request_id: "a".into(), ..MineRequest::default() },
        MineRequest { batch_size: 8, round: Some(round(0)), ..MineRequest::default() },
    ];
    for request in &requests {
        reads.is_at_gate.store(false, Ordering::Relaxed);
        let mining = tokio::spawn({
            let (pool, request) = (pool.clone(), request.clone());
            async move { pool.mine(request, Patience::Refuse).await.map(|batch| batch.columns.ids.len()) }
        });
        until(|| reads.is_at_gate.load(Ordering::Relaxed)).await;
        assert_eq!(pool.server.admission.occupancy().mining, 1);
        mining.abort();
        until(|| pool.server.admission.occupancy().mining == 0).await;
        assert_eq!(pool.counters().await.unwrap().mined_batches, 0, "{request:?}");
    }
    reads.gate.as_ref().unwrap().add_permits(1 << 20);
    for request in requests {
        let mined = pool.mine(request, Patience::Refuse).await.unwrap();
        assert_eq!(mined.columns.ids.len(), 8);
    }
    assert_eq!(pool.counters().await.unwrap().mined_batches, 3);
}

/// A rank that goes away does not end the draw that another rank waits for.
#[tokio::test]
async fn a_round_goes_on_as_long_as_one_rank_waits_for_it() {
    let reads = Arc::new(Reads { gate: Some(Semaphore::new(0)), ..Reads::default() });
    let pool = pool(1_000, 10, Limits::default(), &reads).await;
    let rank = |rank| {
        let round = Some(Round { number: 1, rank, world_size: 2, run_id: "".into() });
        let (pool, request) = (pool.clone(), MineRequest { batch_size: 8, round, ..MineRequest::default() });
        tokio::spawn(async move { pool.mine(request, Patience::Refuse).await.map(|b| b.columns.ids.len()) })
    };
    let first = rank(0);
    until(|| reads.is_at_gate.load(Ordering::Relaxed)).await;
    let second = rank(1);
    until(|| pool.server.admission.occupancy().waiting == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    reads.gate.as_ref().unwrap().add_permits(1 << 20);
    assert_eq!(second.await.unwrap().unwrap(), 8);
    assert_eq!(pool.counters().await.unwrap().mined_batches, 1, "one draw for both ranks");
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it comes");
}
