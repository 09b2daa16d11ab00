//! A pool that many use at once, recorded, and its log replayed: all that a pool's partitions know is a function of the log.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use super::admission::Patience;
use super::clock::TimeSource;
use super::registry::Registry;
use crate::model::batch::{MineRequest, Round};
use crate::model::error::PoolError;
use crate::model::limits::Limits;
use crate::model::quarantine::QuarantineRule;
use crate::model::report::{Ids, Report, Sender};
use crate::model::spec::{BackgroundRotation, Decay, PoolSpec, ServeLimits};
use crate::pool::Pool;
use crate::pool::calls::quarantine::Blocking;
use crate::pool::store_specs::flat_store;
use crate::store::hash::background_hash;
use crate::store::recorded::logged;
use crate::store::wrapped::WrappingEngine;
use crate::store::{BackgroundSpec, ScoreUpdate};

const IDS: u64 = 9_000;

fn spec() -> PoolSpec {
    PoolSpec {
        capacity: 3_000,
        shards: 4,
        background: BackgroundSpec::Sampled { size: 600 },
        // The half-life is longer than the distance between workers, so that no report is refused because its step is behind.
        decay: Decay::Steps { half_life: 200.0, max_step_jump: 1_000 },
        rotation: BackgroundRotation { after_reports: Some(20_000) },
        score_update: ScoreUpdate::Ema { weight: 0.5 },
        serve_limits: ServeLimits { lease: Duration::from_millis(5), ..ServeLimits::default() },
        quarantine: Some(QuarantineRule { quantile: 0.9, reports: 3, capacity: 300 }),
        ..PoolSpec::defaults(&Limits::default())
    }
}

/// Numbers that look random and are the same in every run.
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.state = background_hash(self.state, self.seed);
        self.state % bound
    }

    fn ids(&mut self, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.below(IDS)).collect()
    }
}

/// Reports of one worker, in two epochs at times, some of them twice or out of turn.
async fn write(pool: Arc<Pool>, worker: u64) {
    let mut random = Random { seed: worker, state: 1 };
    let mut last: Option<Report> = None;
    for step in 1..=60 {
        let ids = random.ids(150);
        let report = Report {
            scores: ids
                .iter()
                .map(|id| if id % 50 == 0 { 90.0 } else { random.below(5_000) as f32 / 100.0 })
                .collect(),
            ids: Ids::U64(ids),
            step,
            model_version: step as u32,
            sender: Sender { worker_id: format!("worker {worker}"), epoch: step / 40, sequence: step },
            ..Report::default()
        };
        let resend = last.replace(report.clone()).filter(|_| random.below(4) == 0);
        pool.report(report.clone()).await.unwrap();
        if let Some(resend) = resend {
            pool.report(resend).await.unwrap();
        }
        if random.below(5) == 0 {
            let (again, other) = tokio::join!(pool.report(report.clone()), pool.report(report));
            assert_eq!((again.unwrap().counts.duplicate, other.unwrap().counts.duplicate), (150, 150));
        }
    }
}

/// Batches and rounds of one miner, and what an operator does by hand.
async fn mine(pool: Arc<Pool>, miner: u64) {
    let mut random = Random { seed: 100 + miner, state: 1 };
    for turn in 0..60 {
        let round = (miner < 2).then(|| Round {
            number: turn,
            rank: miner as u32,
            world_size: 2,
            run_id: "r".into(),
        });
        let request = MineRequest { batch_size: 30, round, ..MineRequest::default() };
        match pool.mine(request, Patience::Queue).await {
            Ok(_) | Err(PoolError::FailedPrecondition { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let ids = Ids::U64(random.ids(20));
        if miner == 3 && turn == 30 {
            assert!(pool.clear().await.unwrap() > 0);
        }
        match random.below(7) {
            0 => _ = pool.remove(ids).await.unwrap(),
            1 => _ = pool.release_lease(ids).await.unwrap(),
            2 => _ = pool.set_aside(ids).await.unwrap(),
            3 => _ = pool.release_quarantined(Some(ids), turn % 2 == 0).await.unwrap(),
            4 => _ = pool.release_quarantined(None, false).await.unwrap(),
            5 => _ = pool.set_blocked(ids, Blocking::Block).await.unwrap(),
            _ => _ = pool.set_blocked(ids, Blocking::Unblock).await.unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_recorded_pool_replays_to_the_same_bytes_on_any_number_of_threads() {
    let limits = Limits::default();
    let (store, recording) = logged(flat_store(&spec(), 7, limits.max_workers_per_pool));
    let engine = Arc::new(WrappingEngine::new(move |_| store.clone()));
    let registry = Registry::new(engine, limits, TimeSource::monotonic());
    let pool = registry.create("p", spec()).await.unwrap().0;
    let mut users = tokio::task::JoinSet::new();
    for worker in 0..8 {
        users.spawn(write(pool.clone(), worker));
    }
    for miner in 0..4 {
        users.spawn(mine(pool.clone(), miner));
    }
    while let Some(user) = users.join_next().await {
        user.unwrap();
    }
    let stats = pool.stats().await.unwrap();
    let counters = stats.counters;
    assert!(counters.quarantine_set_aside > 0 && counters.quarantine_released > 0, "{counters:?}");
    assert!(
        counters.rows.quarantined > 0 && counters.rows.blocked > 0 && counters.rounds > 10,
        "{counters:?}"
    );
    assert!(stats.store.generations > 1, "{stats:?}");
    assert!(counters.served_background > 0 && counters.evicted > 0 && counters.removed > 0);
    assert_eq!(counters.reported_rows, 8 * 60 * 150, "each row once, however often it was sent");
    let expected = recording.images();
    for threads in [1, 3] {
        assert!(recording.replayed(threads) == expected, "{threads} threads");
    }
}
