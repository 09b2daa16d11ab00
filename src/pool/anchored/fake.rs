//! A store that counts what is read of it and whose answers can be changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::store::anchored::{AnchorStore, AnchorStoreSpec};
use crate::store::naive::NaiveEngine;
use crate::store::{
    Address, Applied, Census, Engine, Level, ReportBatch, Row, ScanPage, ServeMark, ServePenalty, Served,
    Store, StoreError, StoreSpec, StoreStats, StratumCount,
};

/// Changes the answer to a fetch.
pub(super) type Change = Box<dyn FnMut(&[Address], &mut Vec<Option<Row>>) + Send>;

/// What a [`FakeStore`] counts and how it answers.
#[derive(Default)]
pub(super) struct Handle {
    pub(super) fetched: AtomicUsize,
    pub(super) change: Mutex<Option<Change>>,
    /// Whoever is to be served has just left.
    pub(super) all_gone: AtomicBool,
}

pub(super) struct FakeEngine(pub(super) Arc<Handle>);

pub(super) struct FakeStore {
    pub(super) inner: Arc<dyn Store>,
    pub(super) handle: Arc<Handle>,
}

#[async_trait]
impl Engine for FakeEngine {
    async fn open(&self, spec: &StoreSpec) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(FakeStore { inner: NaiveEngine.open(spec).await?, handle: self.0.clone() }))
    }

    async fn open_anchors(&self, spec: &AnchorStoreSpec) -> Result<Arc<dyn AnchorStore>, StoreError> {
        NaiveEngine.open_anchors(spec).await
    }
}

#[async_trait]
impl Store for FakeStore {
    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError> {
        self.inner.apply(batch).await
    }
    async fn census(&self) -> Result<Census, StoreError> {
        self.inner.census().await
    }
    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError> {
        self.handle.fetched.fetch_add(addresses.len(), Ordering::Relaxed);
        let mut rows = self.inner.fetch(addresses).await?;
        if let Some(change) = &mut *self.handle.change.lock() {
            change(addresses, &mut rows);
        }
        Ok(rows)
    }
    async fn get(&self, ids: &[u64]) -> Result<Vec<Option<Row>>, StoreError> {
        self.inner.get(ids).await
    }
    async fn top(&self, n: usize, penalty: ServePenalty, scan_limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner.top(n, penalty, scan_limit).await
    }
    async fn scan(&self, cursor: u64, limit: usize) -> Result<ScanPage, StoreError> {
        self.inner.scan(cursor, limit).await
    }
    async fn serve(&self, ids: &[u64], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError> {
        if self.handle.all_gone.load(Ordering::Relaxed) {
            return Ok(vec![None; ids.len()]);
        }
        self.inner.serve(ids, mark).await
    }
    async fn expire(&self, now_millis: u64) -> Result<(), StoreError> {
        self.inner.expire(now_millis).await
    }
    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError> {
        self.inner.of_strata(strata).await
    }
    async fn release(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.inner.release(ids).await
    }
    async fn leases(&self, ids: &[u64]) -> Result<Vec<Option<u64>>, StoreError> {
        self.inner.leases(ids).await
    }
    async fn strata(&self) -> Result<Vec<StratumCount>, StoreError> {
        self.inner.strata().await
    }
    async fn remove(&self, ids: &[u64]) -> Result<(u64, u64), StoreError> {
        self.inner.remove(ids).await
    }
    async fn level(&self) -> Result<Level, StoreError> {
        self.inner.level().await
    }
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.inner.stats().await
    }
}
