//! A store that wraps another, for tests that change some of its answers; all other calls go to the inner store.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::engine::{Engine, EngineError, PoolHandle};
use super::local::LocalEngine;
use super::naive_engine::NaiveEngine;
use super::put_once::{PutOnce, PutOnceLimits};
use super::quarantine::{
    BlockCounts, BlockedId, Found, Quarantine, Quarantined, ReleaseCounts, SetAside, SetAsideCounts,
};
use super::record::{NewPool, PoolRecord, RecordPage};
use super::{
    Address, Applied, Census, Cursor, Drawn, Headed, Level, Place, ReportBatch, Row, ScanPage, Sender,
    ServeMark, ServePenalty, Served, Store, StoreError, StoreStats, StratumCount, Totals,
};

/// The calls that a test may override. The defaults forward to the inner store.
#[async_trait]
pub(crate) trait Wrapped: Send + Sync {
    fn inner(&self) -> &dyn Store;

    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError> {
        self.inner().apply(batch).await
    }
    async fn census(&self) -> Result<Census, StoreError> {
        self.inner().census().await
    }
    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError> {
        self.inner().fetch(addresses).await
    }
    async fn at_ranks(&self, ranks: &[u64]) -> Result<Vec<Option<Place>>, StoreError> {
        self.inner().at_ranks(ranks).await
    }
    async fn serve(&self, drawn: &[Drawn], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError> {
        self.inner().serve(drawn, mark).await
    }
    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<ScanPage, StoreError> {
        self.inner().scan(cursor, limit).await
    }
    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError> {
        self.inner().of_strata(strata).await
    }
}

#[async_trait]
impl<W: Wrapped + 'static> Quarantine for W {
    async fn set_aside(&self, ids: &[u64], how: SetAside) -> Result<SetAsideCounts, StoreError> {
        self.inner().set_aside(ids, how).await
    }
    async fn release_quarantined(&self, ids: &[u64], trust: bool) -> Result<ReleaseCounts, StoreError> {
        self.inner().release_quarantined(ids, trust).await
    }
    async fn block(&self, ids: &[u64], names: &[Arc<str>]) -> Result<BlockCounts, StoreError> {
        self.inner().block(ids, names).await
    }
    async fn unblock(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.inner().unblock(ids).await
    }
    async fn clear(&self) -> Result<(u64, u64), StoreError> {
        self.inner().clear().await
    }
    async fn find(&self, ids: &[u64]) -> Result<Vec<Found>, StoreError> {
        self.inner().find(ids).await
    }
    async fn quarantined(&self, after: Option<u64>, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        self.inner().quarantined(after, limit).await
    }
    async fn blocked(&self, after: Option<u64>, limit: usize) -> Result<Vec<BlockedId>, StoreError> {
        self.inner().blocked(after, limit).await
    }
}

#[async_trait]
impl<W: Wrapped + 'static> Store for W {
    async fn apply(&self, batch: ReportBatch) -> Result<Applied, StoreError> {
        Wrapped::apply(self, batch).await
    }
    async fn has_applied(&self, sender: &Sender) -> Result<bool, StoreError> {
        self.inner().has_applied(sender).await
    }
    async fn census(&self) -> Result<Census, StoreError> {
        Wrapped::census(self).await
    }
    async fn fetch(&self, addresses: &[Address]) -> Result<Vec<Option<Row>>, StoreError> {
        Wrapped::fetch(self, addresses).await
    }
    async fn serve(&self, drawn: &[Drawn], mark: ServeMark) -> Result<Vec<Option<Served>>, StoreError> {
        Wrapped::serve(self, drawn, mark).await
    }
    async fn get(&self, ids: &[u64]) -> Result<Vec<Option<Row>>, StoreError> {
        self.inner().get(ids).await
    }
    async fn top(&self, n: usize, penalty: ServePenalty, scan_limit: usize) -> Result<Vec<Row>, StoreError> {
        self.inner().top(n, penalty, scan_limit).await
    }
    async fn head(&self, n: usize) -> Result<Vec<Headed>, StoreError> {
        self.inner().head(n).await
    }
    async fn at_ranks(&self, ranks: &[u64]) -> Result<Vec<Option<Place>>, StoreError> {
        Wrapped::at_ranks(self, ranks).await
    }
    async fn scan(&self, cursor: Cursor, limit: usize) -> Result<ScanPage, StoreError> {
        Wrapped::scan(self, cursor, limit).await
    }
    async fn expire(&self, now_millis: u64, oldest_stamp: Option<u32>) -> Result<(), StoreError> {
        self.inner().expire(now_millis, oldest_stamp).await
    }
    async fn release(&self, ids: &[u64]) -> Result<u64, StoreError> {
        self.inner().release(ids).await
    }
    async fn leases(&self, ids: &[u64]) -> Result<Vec<Option<u64>>, StoreError> {
        self.inner().leases(ids).await
    }
    async fn of_strata(&self, strata: &[u32]) -> Result<Vec<Row>, StoreError> {
        Wrapped::of_strata(self, strata).await
    }
    async fn strata(&self, most: usize) -> Result<Vec<StratumCount>, StoreError> {
        self.inner().strata(most).await
    }
    async fn remove(&self, ids: &[u64]) -> Result<(u64, u64), StoreError> {
        self.inner().remove(ids).await
    }
    async fn level(&self) -> Result<Level, StoreError> {
        self.inner().level().await
    }
    async fn totals(&self) -> Result<Totals, StoreError> {
        self.inner().totals().await
    }
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.inner().stats().await
    }
}

/// An engine that wraps the stores of another.
pub(crate) struct WrappingEngine<F> {
    inner: Box<dyn Engine>,
    wrap: F,
}

impl<F: Fn(Arc<dyn Store>) -> Arc<dyn Store>> WrappingEngine<F> {
    /// An engine without pools, which wraps naive stores.
    pub(crate) fn new(wrap: F) -> Self {
        Self { inner: Box::new(NaiveEngine::default()), wrap }
    }

    /// An engine without pools, which wraps stores for many samples.
    pub(crate) fn of_partitions(wrap: F) -> Self {
        Self { inner: Box::new(LocalEngine::new()), wrap }
    }

    fn wrapped(&self, handle: PoolHandle) -> PoolHandle {
        PoolHandle { samples: (self.wrap)(handle.samples), ..handle }
    }
}

#[async_trait]
impl<F: Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync + 'static> Engine for WrappingEngine<F> {
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<RecordPage, EngineError> {
        self.inner.list(after, limit).await
    }

    async fn create(&self, pool: NewPool, max_pools: usize) -> Result<PoolHandle, EngineError> {
        Ok(self.wrapped(self.inner.create(pool, max_pools).await?))
    }

    async fn attach(&self, name: &str, uid: Option<u64>) -> Result<Option<PoolHandle>, EngineError> {
        Ok(self.inner.attach(name, uid).await?.map(|handle| self.wrapped(handle)))
    }

    async fn update(
        &self,
        name: &str,
        uid: u64,
        revision: u64,
        bytes: Bytes,
    ) -> Result<PoolRecord, EngineError> {
        self.inner.update(name, uid, revision, bytes).await
    }

    async fn drop_pool(&self, name: &str, uid: u64, revision: Option<u64>) -> Result<(), EngineError> {
        self.inner.drop_pool(name, uid, revision).await
    }

    fn open_put_once(&self, limits: PutOnceLimits) -> Arc<dyn PutOnce> {
        self.inner.open_put_once(limits)
    }
}
