//! Runs every operation that changes a pool to its end, even if the caller goes away, so that what has begun is finished and counted.
//!
//! A call of a pool is a future, and a future may be dropped while it waits: a client hangs up, or a deadline passes. So an operation that
//! changes a pool continues in its own task when its caller drops it. Checks and waits come before the operation: a call that is dropped
//! before it has begun leaves no trace. Some operations compute for long before they change anything, as a draw does before it marks samples:
//! until they say that they have begun, they end with their caller.
//!
//! As long as the caller waits, its own task does the work. A separate task for each call was measured to cost an idle draw 100 us of 500,
//! because with one more task between connection and answer tokio moves the call from thread to thread.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tracing::Instrument as _;

use crate::model::error::PoolError;

/// Whether an operation has begun to change its pool. Clones share the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<AtomicBool>);

impl Begun {
    /// Says that the pool changes from now on.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the pool may have changed.
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Runs `work` to its end, under the span of the caller. Once the returned future was polled, dropping it does not stop the work.
///
/// # Errors
/// The errors of `work`; `Internal` naming `what` if it panicked.
pub(super) async fn finish<T: Send + 'static>(
    what: &'static str,
    work: impl Future<Output = Result<T, PoolError>> + Send + 'static,
) -> Result<T, PoolError> {
    let begun = Begun::default();
    begun.set();
    finish_if_begun(what, begun, work).await
}

/// As [`finish`], but work that has not begun when the returned future is dropped is dropped with it.
///
/// # Errors
/// As of [`finish`].
pub(super) async fn finish_if_begun<T: Send + 'static>(
    what: &'static str,
    begun: Begun,
    work: impl Future<Output = Result<T, PoolError>> + Send + 'static,
) -> Result<T, PoolError> {
    let work = Box::pin(work.in_current_span());
    Detaching { work: Some(work), begun }.await.unwrap_or(Err(PoolError::Internal(what)))
}

/// A future that continues in its own task if it is dropped between the begin of its work and the end. It yields `None` if the work panicked.
struct Detaching<F: Future<Output: Send> + Send + 'static> {
    /// The work; `None` after its end.
    work: Option<Pin<Box<F>>>,
    begun: Begun,
}

impl<F: Future<Output: Send> + Send + 'static> Future for Detaching<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.work else { return Poll::Ready(None) };
        // After a panic the work is dropped, so its broken state is never used.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        let outcome = match polled {
            Ok(polled) => Some(ready!(polled)),
            Err(_) => None,
        };
        self.work = None;
        Poll::Ready(outcome)
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Detaching<F> {
    fn drop(&mut self) {
        // Without a runtime nothing can run the work any more, because the process ends.
        if self.begun.is_set()
            && let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

/// Starts work that reports its outcome by itself.
pub(super) fn begin(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work.in_current_span());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::model::batch::MineRequest;
    use crate::model::limits::Limits;
    use crate::model::report::{Ids, Report};
    use crate::model::spec::PoolSpec;
    use crate::pool::admission::Patience;
    use crate::pool::clock::TimeSource;
    use crate::pool::registry::Registry;
    use crate::store::wrapped::{Wrapped, WrappingEngine};
    use crate::store::{Drawn, ServeMark, Served, Store, StoreError};
    use async_trait::async_trait;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    use tokio::sync::{Notify, Semaphore};

    /// A store whose serves wait for a permit after they have begun.
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
    async fn a_batch_is_counted_if_its_caller_is_dropped_while_it_is_served() {
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
