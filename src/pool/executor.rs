//! What has begun is finished and counted, though its caller went away: kept here, once, for all that changes a pool.
//!
//! A caller of a pool is a future, and a future may be dropped where it waits: a client hangs up, a deadline passes. Whatever changes a
//! pool therefore runs in a task of its own from where its first change may happen. Checks and waits come before that: who goes away
//! while nothing has begun leaves nothing behind.

use std::future::Future;

use tracing::Instrument as _;

use super::error::PoolError;

/// Runs `work` to its end, under the span of the caller. Dropping what this returns stops nothing.
///
/// # Errors
/// Those of `work`; `Internal` naming `what` where it panicked.
pub(super) async fn finish<T: Send + 'static>(
    what: &'static str,
    work: impl Future<Output = Result<T, PoolError>> + Send + 'static,
) -> Result<T, PoolError> {
    tokio::spawn(work.in_current_span()).await.unwrap_or(Err(PoolError::Internal(what)))
}

/// Begins work that tells its outcome in a way of its own.
pub(super) fn begin(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work.in_current_span());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::pool::admission::Patience;
    use crate::pool::batch::MineRequest;
    use crate::pool::clock::TimeSource;
    use crate::pool::registry::Registry;
    use crate::pool::report::{Ids, Report};
    use crate::pool::spec::{Limits, PoolSpec};
    use crate::store::wrapped::{Wrapped, WrappingEngine};
    use crate::store::{Drawn, ServeMark, Served, Store, StoreError};
    use async_trait::async_trait;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    use tokio::sync::{Notify, Semaphore};

    /// Serves wait for a permit when they have begun.
    struct Parked {
        inner: Arc<dyn Store>,
        begun: Arc<Notify>,
        go_on: Arc<Semaphore>,
    }

    #[async_trait]
    impl Wrapped for Parked {
        fn inner(&self) -> &dyn Store {
            &*self.inner
        }

        async fn serve(&self, drawn: &[Drawn], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError> {
            self.begun.notify_one();
            self.go_on.acquire().await.unwrap().forget();
            self.inner.serve(drawn, mark).await
        }
    }

    #[tokio::test]
    async fn a_batch_is_counted_that_was_being_served_when_its_caller_went_away() {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let parked = (begun.clone(), go_on.clone());
        let engine = Arc::new(WrappingEngine::new(move |inner| -> Arc<dyn Store> {
            Arc::new(Parked { inner, begun: parked.0.clone(), go_on: parked.1.clone() })
        }));
        let registry = Registry::new(engine, Limits::default(), TimeSource::Manual(Arc::default()));
        let pool = registry.create("parked", PoolSpec::defaults(&Limits::default())).await.unwrap().0;
        let ids = Ids::U64((0..10).collect());
        pool.report(Report { ids, scores: vec![1.0; 10], ..Report::default() }).await.unwrap();
        tokio::select! {
            _ = pool.mine(MineRequest { batch_size: 4, ..MineRequest::default() }, Patience::Refuse) => panic!("it is parked"),
            () = begun.notified() => {}
        }
        go_on.add_permits(100);
        let counted = async {
            while pool.counters().await.unwrap().mined_batches == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), counted).await.expect("counted");
        let counters = pool.counters().await.unwrap();
        assert_eq!(counters.served_hard + counters.served_background, 4);
    }

    #[tokio::test]
    async fn work_goes_on_when_nobody_waits_for_it() {
        let (parked, go_on, ended) =
            (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let is_done = Arc::new(AtomicBool::new(false));
        let work = {
            let (parked, go_on, ended, is_done) =
                (parked.clone(), go_on.clone(), ended.clone(), is_done.clone());
            async move {
                parked.notify_one();
                go_on.notified().await;
                is_done.store(true, Ordering::Release);
                ended.notify_one();
                Ok(())
            }
        };
        tokio::select! {
            _ = finish("work", work) => panic!("it is parked"),
            () = parked.notified() => {}
        }
        go_on.notify_one();
        ended.notified().await;
        assert!(is_done.load(Ordering::Acquire));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_that_names_the_work() {
        let failed = finish::<()>("work", async { panic!("as the test wants it") }).await;
        assert!(matches!(failed, Err(PoolError::Internal("work"))));
    }
}
