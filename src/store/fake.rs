//! A store for tests that counts the rows fetched from it and whose answers a test can change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::store::wrapped::{Wrapped, WrappingEngine};
use crate::store::{Address, Drawn, Engine, Row, ServeMark, Served, Store, StoreError};

/// Changes the answer to a fetch.
pub(crate) type Change = Box<dyn FnMut(&[Address], &mut Vec<Option<Row>>) + Send>;

/// The handle through which a test reads the counts of its [`FakeStore`]s and changes their answers.
#[derive(Default)]
pub(crate) struct Handle {
    pub(crate) fetched: AtomicUsize,
    pub(crate) change: Mutex<Option<Change>>,
    /// Every serve answers that the sample is gone.
    pub(crate) all_gone: AtomicBool,
}

pub(crate) struct FakeStore {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) handle: Arc<Handle>,
}

/// An engine whose stores are [`FakeStore`]s with this handle.
pub(crate) fn engine(handle: &Arc<Handle>) -> Arc<dyn Engine> {
    let handle = Arc::clone(handle);
    Arc::new(WrappingEngine::new(move |inner| -> Arc<dyn Store> {
        Arc::new(FakeStore { inner, handle: handle.clone() })
    }))
}

#[async_trait]
impl Wrapped for FakeStore {
    fn inner(&self) -> &dyn Store {
        &*self.inner
    }

    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError> {
        self.handle.fetched.fetch_add(addresses.len(), Ordering::Relaxed);
        let mut rows = self.inner.fetch(addresses).await?;
        if let Some(change) = &mut *self.handle.change.lock() {
            change(addresses, &mut rows);
        }
        Ok(rows)
    }

    async fn serve(&self, drawn: &[Drawn], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError> {
        if self.handle.all_gone.load(Ordering::Relaxed) {
            return Ok(vec![None; drawn.len()]);
        }
        self.inner.serve(drawn, mark).await
    }
}
