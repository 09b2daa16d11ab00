//! Tests of the activity of a pool that is in use.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::model::batch::MineRequest;
use crate::model::limits::Limits;
use crate::model::policy::{PolicyOverrides, Strategy};
use crate::model::report::{Ids, Report, Sender};
use crate::model::spec::PoolSpec;
use crate::pool::admission::Patience;
use crate::pool::clock::TimeSource;
use crate::pool::registry::Registry;
use crate::store::naive_engine::NaiveEngine;

fn report(worker: &str, ids: std::ops::Range<u64>, scale: f32) -> Report {
    Report {
        scores: ids.clone().map(|id| id as f32 * scale).collect(),
        ids: Ids::U64(ids.collect()),
        model_version: 7,
        sender: Sender { worker_id: worker.into(), epoch: 1, sequence: 0 },
        ..Report::default()
    }
}

fn spec() -> PoolSpec {
    PoolSpec::defaults(&Limits::default())
}

async fn pool(spec: PoolSpec) -> (Arc<AtomicU64>, Arc<Pool>) {
    let millis = Arc::new(AtomicU64::new(0));
    let time = TimeSource::Manual(millis.clone());
    let registry = Registry::new(Arc::new(NaiveEngine::default()), Limits::default(), time);
    (millis, registry.create("faces", spec).await.unwrap().0)
}

#[tokio::test]
async fn a_tick_counts_what_happened_in_it() {
    let (millis, pool) = pool(PoolSpec { capacity: 1_000, ..spec() }).await;
    pool.report(report("a", 0..2_000, 1.0)).await.unwrap();
    let request = MineRequest { batch_size: 100, ..MineRequest::default() };
    pool.mine(request.clone(), Patience::Refuse).await.unwrap();
    millis.store(1_000, Ordering::Relaxed);
    pool.tick().await.unwrap();
    millis.store(3_000, Ordering::Relaxed);
    pool.tick().await.unwrap();
    let activity = pool.activity().await.unwrap();
    let [first, second] = activity.ticks[..] else { panic!("{:?}", activity.ticks) };
    assert_eq!((first.reported_rows, first.reported_batches, first.mined_batches), (2_000, 1, 1));
    assert_eq!((first.served_hard + first.served_background, first.hard), (100, 1_000));
    assert_eq!((first.seconds, second.seconds), (1.0, 2.0));
    assert!(first.report.is_some() && first.mine.is_some());
    assert_eq!((second.reported_rows, second.mined_batches, second.report), (0, 0, None));
    let (reports, mines) = pool.latencies();
    assert_eq!((reports.count, mines.count), (1, 1));
    let again = pool.activity().await.unwrap();
    assert!(Arc::ptr_eq(&activity, &again), "concurrent callers share one measurement");
}

#[tokio::test]
async fn histograms_show_stored_and_served_samples() {
    let (millis, pool) = pool(PoolSpec { capacity: 10_000, ..spec() }).await;
    pool.report(report("a", 0..8_000, 1.0)).await.unwrap();
    millis.store(5_000, Ordering::Relaxed);
    let top = PolicyOverrides {
        strategy: Some(Strategy::Top),
        random_fraction: Some(0.0),
        ..PolicyOverrides::default()
    };
    let request = MineRequest { batch_size: 80, policy: top, ..MineRequest::default() };
    pool.mine(MineRequest { dry_run: true, ..request.clone() }, Patience::Refuse).await.unwrap();
    let figures = &pool.recorder.measure(pool.view().await.unwrap()).await.unwrap().figures;
    assert_eq!(figures.served_samples, 0, "a dry run serves nothing");
    pool.mine(request, Patience::Refuse).await.unwrap();
    let activity = pool.recorder.measure(pool.view().await.unwrap()).await.unwrap();
    let figures = &activity.figures;
    assert_eq!((figures.stored_samples, figures.served_samples), (4_096, 80));
    let bars = figures.scores.stored.len();
    // Uniform scores: each bar holds about 1/32 of the draws (128 +- 11); a wrong draw favours some buckets.
    for count in &figures.scores.stored {
        assert!((70..190).contains(count), "{:?}", figures.scores.stored);
    }
    assert_eq!(figures.scores.served[bars - 1], 80, "the hardest are in the last bar");
    assert_eq!(figures.ages.served.iter().sum::<u64>(), 80);
    assert_eq!(figures.ages.served[3], 80, "5 s: in the bar of 4 to 8");
    assert_eq!(figures.serves.served[1], 80);
    assert_eq!((figures.versions.len(), figures.versions[0].version), (1, 7));
    assert_eq!(activity.hardest.len(), 32);
    // Keys tell scores apart to 2^-10 octave, here 5 ids.
    assert!(activity.hardest[0].id >= 7_994, "{:?}", activity.hardest[0]);
    assert_eq!((activity.hardest[0].serves, activity.hardest[0].age), (1, 5.0));
}

#[tokio::test]
async fn workers_and_suspects_are_named() {
    let (millis, pool) = pool(PoolSpec { id_kind: IdKind::Name, ..spec() }).await;
    let names = |range: std::ops::Range<u64>| Ids::Names(range.map(|i| format!("row-{i}").into()).collect());
    for round in 0..5 {
        millis.store(round * 1_000, Ordering::Relaxed);
        let worker = if round < 4 { "a" } else { "b" };
        pool.report(Report { ids: names(0..300), ..report(worker, 0..300, 1.0) }).await.unwrap();
        pool.tick().await.unwrap();
    }
    let activity = pool.activity().await.unwrap();
    let workers: Vec<_> =
        activity.workers.iter().map(|w| (&*w.worker_id, w.silent_seconds, w.rows)).collect();
    assert_eq!(workers, [("a", 1.0, 1_200), ("b", 0.0, 300)]);
    assert_eq!(activity.worker_count, 2);
    assert_eq!(activity.hardest[0].name.as_deref(), Some("row-299"));
    let (suspect, name) = activity.suspects[0].clone();
    assert_eq!((suspect.reports, suspect.looks, name.is_some()), (4, 5, true));
    millis.store(1_000_000, Ordering::Relaxed);
    assert!(pool.workers().is_empty(), "silent for longer than five minutes: gone");
}
