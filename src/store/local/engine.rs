//! The engine of pools in the memory of one process: a map by name behind a lock.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use super::LocalStore;
use super::anchors::Anchors;
use super::put_once::LocalPutOnce;
use crate::store::engine::{Engine, EngineError, PoolHandle, check_present};
use crate::store::put_once::{PutOnce, PutOnceLimits};
use crate::store::record::{NewPool, PoolRecord, RecordPage, check_bytes};

/// Pools in the memory of this process.
#[derive(Debug, Default)]
pub struct LocalEngine {
    /// The pools by name. The lock is held for map operations only, never while stores are made.
    pools: Mutex<BTreeMap<String, PoolHandle>>,
    once: OnceLock<Arc<LocalPutOnce>>,
}

impl LocalEngine {
    /// An engine without pools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Checks that a new pool may be added to these: its name and uid are free, and there are fewer than `max_pools`.
fn check_place(
    pools: &BTreeMap<String, PoolHandle>,
    pool: &PoolRecord,
    max_pools: usize,
) -> Result<(), EngineError> {
    let same_name = pools.get(&pool.name);
    // Uids are drawn at random, so in practice only tests have two that are equal.
    let taken = same_name.or_else(|| pools.values().find(|other| other.record.uid == pool.uid));
    match taken {
        Some(other) => Err(EngineError::Exists(Box::new(other.record.clone()))),
        None if pools.len() >= max_pools => Err(EngineError::TooManyPools { max_pools }),
        None => Ok(()),
    }
}

#[async_trait]
impl Engine for LocalEngine {
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<RecordPage, EngineError> {
        let pools = self.pools.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = pools.range::<str, _>((from, Bound::Unbounded)).map(|(_, pool)| pool);
        let records = rest.by_ref().take(limit).map(|pool| pool.record.clone()).collect();
        Ok(RecordPage { records, has_more: rest.next().is_some() })
    }

    async fn create(&self, pool: NewPool, max_pools: usize) -> Result<PoolHandle, EngineError> {
        pool.check()?;
        let record = PoolRecord::from(pool);
        check_place(&self.pools.lock(), &record, max_pools)?;
        let samples = Arc::new(LocalStore::new(record.specs.samples.clone())?);
        let anchors = record.specs.anchors.clone().map(|spec| Arc::new(Anchors::new(spec)) as _);
        let handle = PoolHandle { record, samples, anchors };
        let mut pools = self.pools.lock();
        check_place(&pools, &handle.record, max_pools)?;
        pools.insert(handle.record.name.clone(), handle.clone());
        Ok(handle)
    }

    async fn attach(&self, name: &str, uid: Option<u64>) -> Result<Option<PoolHandle>, EngineError> {
        let pools = self.pools.lock();
        let Some(pool) = pools.get(name) else { return Ok(None) };
        check_present(Some(&pool.record), name, uid.unwrap_or(pool.record.uid), None)?;
        Ok(Some(pool.clone()))
    }

    async fn update(
        &self,
        name: &str,
        uid: u64,
        revision: u64,
        bytes: Bytes,
    ) -> Result<PoolRecord, EngineError> {
        check_bytes(&bytes)?;
        let mut pools = self.pools.lock();
        let mut present = pools.get_mut(name).map(|pool| &mut pool.record);
        check_present(present.as_deref(), name, uid, Some(revision))?;
        match &mut present {
            Some(record) => {
                record.revision += 1;
                record.bytes = bytes;
                Ok(record.clone())
            }
            None => Err(EngineError::NotFound { name: name.to_owned() }),
        }
    }

    async fn drop_pool(&self, name: &str, uid: u64, revision: Option<u64>) -> Result<(), EngineError> {
        let dropped = {
            let mut pools = self.pools.lock();
            check_present(pools.get(name).map(|pool| &pool.record), name, uid, revision)?;
            pools.remove(name)
        };
        // The memory is freed outside the lock, when the last handle is dropped.
        drop(dropped);
        Ok(())
    }

    fn open_put_once(&self, limits: PutOnceLimits) -> Arc<dyn PutOnce> {
        self.once.get_or_init(|| Arc::new(LocalPutOnce::new(limits))).clone()
    }
}
