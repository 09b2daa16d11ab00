#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;
use crate::model::report::{Ids, Report};
use crate::model::spec::PoolSpec;
use crate::pool::Pool;
use crate::pool::admission::Patience;
use crate::pool::clock::TimeSource;
use crate::pool::registry::Registry;
use crate::store::Engine as _;
use crate::store::naive_engine::NaiveEngine;
use crate::store::put_once::PutOnceLimits;

const LIMITS: PutOnceLimits = PutOnceLimits { reply_bytes: 1 << 20, round_bytes: 1 << 20 };

async fn pool() -> (Arc<AtomicU64>, Arc<Pool>) {
    let millis = Arc::new(AtomicU64::new(0));
    let limits = Limits::default();
    let registry =
        Registry::new(Arc::new(NaiveEngine::default()), limits.clone(), TimeSource::Manual(millis.clone()));
    let pool =
        registry.create("p", PoolSpec { capacity: 1_000, ..PoolSpec::defaults(&limits) }).await.unwrap().0;
    let ids = Ids::U64((0..500).collect());
    let scores = (0..500).map(|id| id as f32).collect();
    pool.report(Report { ids, scores, ..Report::default() }).await.unwrap();
    (millis, pool)
}

fn request(request_id: &str) -> MineRequest {
    MineRequest { batch_size: 8, request_id: request_id.into(), ..MineRequest::default() }
}

/// Asks for a batch of pool `uid`, whose draw is this future. It begins at once.
async fn get_or_mine(
    replay: &Arc<Replay>,
    uid: u64,
    request_id: &str,
    draw: impl Future<Output = Result<MinedBatch, PoolError>> + Send + 'static,
) -> Result<Arc<MinedBatch>, PoolError> {
    let request = Arc::new(request(request_id));
    let begin = |(), begun: Begun| {
        begun.set();
        draw
    };
    replay.get_or_mine(uid, &request, || 0, async { Ok(()) }, begin).await
}

async fn batch_of(pool: &Arc<Pool>) -> MinedBatch {
    let batch = pool.mine(MineRequest { batch_size: 8, ..MineRequest::default() }, Patience::Refuse).await;
    Arc::unwrap_or_clone(batch.unwrap())
}

#[tokio::test]
async fn a_retry_gets_the_same_batch_within_its_time() {
    let (millis, pool) = pool().await;
    let mine = async |request_id| pool.mine(request(request_id), Patience::Refuse).await.unwrap();
    let first = mine("a").await;
    millis.store(59_999, Ordering::Relaxed);
    let again = mine("a").await;
    // Of every field: the one was mined, the other read.
    assert_eq!(format!("{again:?}"), format!("{first:?}"));
    assert_ne!(mine("b").await.columns.ids, first.columns.ids, "another id, another draw");
    millis.store(60_000, Ordering::Relaxed);
    assert_ne!(mine("a").await.columns.ids, first.columns.ids, "it was forgotten");
    assert_eq!(pool.counters().await.unwrap().mined_batches, 3);
    let other = MineRequest { batch_size: 9, ..request("a") };
    assert!(matches!(pool.mine(other, Patience::Refuse).await, Err(PoolError::Invalid(_))));
    assert!(pool.server.replay.under_way.lock().is_empty(), "nothing is left of who has gone");
}

#[tokio::test]
async fn the_first_writer_of_two_servers_wins() {
    let (_, pool) = pool().await;
    let once = NaiveEngine::default().open_put_once(LIMITS);
    let [one, other] = [(); 2].map(|()| Arc::new(Replay::new(&Limits::default(), once.clone())));
    let (mine, theirs) = (batch_of(&pool).await, batch_of(&pool).await);
    assert_ne!(mine.columns.ids, theirs.columns.ids);
    // The other server answers the same request while this one mines.
    let (quicker, of_mine, of_theirs) = (other.clone(), mine.clone(), theirs.clone());
    let drawing = async move {
        let answer = get_or_mine(&quicker, 1, "a", async move { Ok(of_theirs.clone()) }).await;
        assert_ne!(answer.unwrap().columns.ids, of_mine.columns.ids);
        Ok(of_mine)
    };
    let first = get_or_mine(&one, 1, "a", drawing).await;
    assert_eq!(first.unwrap().columns.ids, theirs.columns.ids);
    let never = async { panic!("what is remembered is not mined again") };
    assert_eq!(get_or_mine(&one, 1, "a", never).await.unwrap().columns.ids, theirs.columns.ids);
    let ids = mine.columns.ids.clone();
    let of_another_pool = get_or_mine(&other, 2, "a", async { Ok(mine) }).await;
    assert_eq!(of_another_pool.unwrap().columns.ids, ids);
}

#[tokio::test]
async fn concurrent_requests_of_an_id_mine_once_and_who_goes_away_while_it_waits_leaves_it_to_the_next() {
    let (_, pool) = pool().await;
    let batch = batch_of(&pool).await;
    // Nothing is remembered, so the waiting calls get the batch from the call that mined.
    let forgetful = PutOnceLimits { reply_bytes: 0, ..LIMITS };
    let replay = Arc::new(Replay::new(&Limits::default(), NaiveEngine::default().open_put_once(forgetful)));
    let mined = Arc::new(AtomicUsize::new(0));
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let call = || {
        let (replay, mined, gate, begun, batch) =
            (replay.clone(), mined.clone(), gate.clone(), begun.clone(), batch.clone());
        tokio::spawn(async move {
            let waiting = async {
                begun.send(()).unwrap();
                let _ = gate.acquire().await.unwrap();
                Ok(())
            };
            let draw = |(), _: Begun| async move {
                mined.fetch_add(1, Ordering::Relaxed);
                Ok(batch)
            };
            replay.get_or_mine(1, &Arc::new(request("a")), || 0, waiting, draw).await
        })
    };
    let goes_away = call();
    has_begun.recv().await.unwrap();
    let waiters = [call(), call(), call()];
    goes_away.abort();
    has_begun.recv().await.unwrap();
    // All of them wait for the second to mine.
    while replay.under_way.lock().values().next().unwrap().callers < 3 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(9);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap().columns.ids, batch.columns.ids);
    }
    assert_eq!(mined.load(Ordering::Relaxed), 1);
    assert!(replay.under_way.lock().is_empty());
    let failing = async { Err(PoolError::Stopping) };
    assert!(get_or_mine(&replay, 1, "b", failing).await.is_err());
    assert!(replay.under_way.lock().is_empty(), "a failure is not remembered");
}

/// The draw of a call that is dropped is remembered: its retry, and calls that wait for it, get that batch.
#[tokio::test]
async fn a_retry_gets_the_draw_of_the_dropped_call() {
    let (_, pool) = pool().await;
    let (first, second) = (batch_of(&pool).await, batch_of(&pool).await);
    let replay = Arc::new(Replay::new(&Limits::default(), NaiveEngine::default().open_put_once(LIMITS)));
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let goes_away = {
        let (replay, gate, first) = (replay.clone(), gate.clone(), first.clone());
        tokio::spawn(async move {
            let drawing = async move {
                begun.send(()).unwrap();
                let _ = gate.acquire().await.unwrap();
                Ok(first)
            };
            get_or_mine(&replay, 1, "a", drawing).await
        })
    };
    has_begun.recv().await.unwrap();
    goes_away.abort();
    assert!(goes_away.await.unwrap_err().is_cancelled());
    let retry = {
        let (replay, second) = (replay.clone(), second.clone());
        tokio::spawn(async move { get_or_mine(&replay, 1, "a", async { Ok(second) }).await })
    };
    gate.add_permits(1);
    assert_eq!(retry.await.unwrap().unwrap().columns.ids, first.columns.ids);
    let later = get_or_mine(&replay, 1, "a", async { Ok(second) }).await;
    assert_eq!(later.unwrap().columns.ids, first.columns.ids);
    assert!(replay.under_way.lock().is_empty());
}
