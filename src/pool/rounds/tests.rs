#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::model::report::{Ids, Report};
use crate::model::spec::PoolSpec;
use crate::pool::admission::Patience;
use crate::pool::clock::TimeSource;
use crate::pool::registry::Registry;
use crate::store::naive_engine::NaiveEngine;

fn registry(limits: Limits) -> (Arc<AtomicU64>, Arc<Registry>) {
    let millis = Arc::new(AtomicU64::new(0));
    (millis.clone(), Registry::new(Arc::new(NaiveEngine::default()), limits, TimeSource::Manual(millis)))
}

async fn pool(registry: &Arc<Registry>, id: &str, rows: u64) -> Arc<Pool> {
    let spec = PoolSpec { capacity: 10_000, ..PoolSpec::defaults(&Limits::default()) };
    let pool = registry.create(id, spec).await.unwrap().0;
    let report = Report {
        scores: (0..rows).map(|id| id as f32).collect(),
        ids: Ids::U64((0..rows).collect()),
        ..Report::default()
    };
    pool.report(report).await.unwrap();
    pool
}

fn request(run_id: &str, number: u64, rank: u32) -> MineRequest {
    let round = Round { number, rank, world_size: 2, run_id: run_id.into() };
    MineRequest { batch_size: 8, round: Some(round), ..MineRequest::default() }
}

async fn mine(pool: &Arc<Pool>, run_id: &str, number: u64, rank: u32) -> Result<Vec<u64>, &'static str> {
    match pool.mine(request(run_id, number, rank), Patience::Refuse).await {
        Ok(batch) => Ok(batch.columns.ids.clone()),
        Err(PoolError::FailedPrecondition { reason, .. }) => Err(reason),
        Err(PoolError::NotFound(_)) => Err("NOT_FOUND"),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_round_is_kept_for_its_ttl_and_then_stays_over() {
    let limits = Limits { round_ttl: Duration::from_secs(10), ..Limits::default() };
    let (millis, registry) = registry(limits);
    let pool = pool(&registry, "p", 500).await;
    let first = mine(&pool, "a", 5, 0).await.unwrap();
    millis.store(9_999, Ordering::Relaxed);
    assert_eq!(mine(&pool, "a", 5, 0).await, Ok(first));
    millis.store(10_000, Ordering::Relaxed);
    assert_eq!(mine(&pool, "a", 5, 1).await, Err("ROUND_EXPIRED"));
    assert_eq!(
        mine(&pool, "a", 4, 0).await,
        Err("ROUND_EXPIRED"),
        "never drawn, but behind a round that is over"
    );
    assert!(mine(&pool, "a", 6, 0).await.is_ok() && mine(&pool, "b", 5, 0).await.is_ok());
    millis.store(30_000, Ordering::Relaxed);
    pool.tick().await.unwrap();
    let state = pool.server.rounds.state.lock();
    assert_eq!((state.bytes, state.kept.len()), (0, 0), "an idle pool holds nothing");
}

#[tokio::test]
async fn rounds_are_bounded_per_pool_and_in_bytes() {
    let (_, registry) = registry(Limits { max_rounds_per_pool: 3, ..Limits::default() });
    let (p, q) = (pool(&registry, "p", 500).await, pool(&registry, "q", 500).await);
    assert!(mine(&q, "a", 0, 0).await.is_ok());
    for number in 0..5 {
        assert!(mine(&p, "a", number, 0).await.is_ok());
    }
    let mut kept = Vec::new();
    for number in 0..5 {
        kept.push(mine(&p, "a", number, 1).await.is_ok());
    }
    assert_eq!(kept, [false, false, true, true, true]);
    assert!(mine(&q, "a", 0, 1).await.is_ok(), "pools do not push each other out by count");
    assert_eq!(p.counters().await.unwrap().rounds, 5);
    assert_eq!(p.counters().await.unwrap().round_replays, 3);

    let (_, registry) = self::registry(Limits { round_cache_bytes: 1, ..Limits::default() });
    let pool = pool(&registry, "p", 500).await;
    let newest = mine(&pool, "a", 0, 0).await;
    assert_eq!(mine(&pool, "a", 0, 0).await, newest, "the newest is never forgotten");
    assert!(mine(&pool, "a", 1, 0).await.is_ok());
    assert_eq!(mine(&pool, "a", 0, 1).await, Err("ROUND_EXPIRED"));
}

#[tokio::test]
async fn many_runs_and_a_deleted_pool_leave_nothing_behind() {
    let (_, registry) = registry(Limits { max_rounds_per_pool: 2, ..Limits::default() });
    let pool = pool(&registry, "p", 500).await;
    for run in 0..RUNS_PER_POOL_MAX + 20 {
        assert!(mine(&pool, &run.to_string(), 0, 0).await.is_ok());
    }
    // A run that is in use is not the one to go.
    assert_eq!(pool.server.rounds.state.lock().pools[&pool.uid].runs.len(), RUNS_PER_POOL_MAX);
    registry.delete("p", 0, "", false).await.unwrap();
    assert_eq!(mine(&pool, "late", 0, 0).await, Err("NOT_FOUND"));
    let state = pool.server.rounds.state.lock();
    assert_eq!((state.bytes, state.kept.len(), state.pools.len()), (0, 0, 0));
}

#[tokio::test]
async fn dealing_is_fair_and_the_same_again() {
    let (_, registry) = registry(Limits::default());
    let pool = pool(&registry, "p", 500).await;
    let batch = pool.mine(MineRequest { batch_size: 100, ..MineRequest::default() }, Patience::Refuse).await;
    let batch = Arc::unwrap_or_clone(batch.unwrap());
    let (world, seed) = (5, 11);
    let known = || Remembered { request: MineRequest::default(), batch: batch.clone() };
    let dealt = Dealt::new(known(), world, seed);
    assert_eq!(Dealt::new(known(), world, seed).places, dealt.places);
    assert_ne!(Dealt::new(known(), world, seed + 1).places, dealt.places);
    let all: HashSet<u32> = dealt.places.iter().copied().collect();
    assert_eq!((all.len(), dealt.places.len()), (100, 100));
    for share in dealt.places.chunks(20) {
        let stripes: Vec<u32> = share.iter().map(|place| place / world).collect();
        assert_eq!(stripes, (0..20).collect::<Vec<_>>(), "one of each stripe, the hardest first");
    }
}
