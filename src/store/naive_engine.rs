//! The simplest engine: a list of pools in order of creation, behind one lock. Other engines are compared with it.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;

use super::anchored::AnchorStore;
use super::engine::{Engine, EngineError, PoolHandle, check_present};
use super::naive::NaiveStore;
use super::naive_anchors::NaiveAnchors;
use super::naive_put_once::NaivePutOnce;
use super::put_once::{PutOnce, PutOnceLimits};
use super::record::{NewPool, PoolRecord, RecordPage, check_bytes};

/// An engine whose stores are [`NaiveStore`]s.
#[derive(Default)]
pub struct NaiveEngine {
    pools: Mutex<Vec<PoolHandle>>,
    once: Mutex<Option<Arc<NaivePutOnce>>>,
}

fn find<'a>(pools: &'a mut [PoolHandle], name: &str) -> Option<&'a mut PoolHandle> {
    pools.iter_mut().find(|pool| pool.record.name == name)
}

#[async_trait]
impl Engine for NaiveEngine {
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<RecordPage, EngineError> {
        let mut records: Vec<PoolRecord> = self.pools.lock().iter().map(|pool| pool.record.clone()).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records.retain(|record| after.is_none_or(|after| record.name.as_str() > after));
        let has_more = records.len() > limit;
        records.truncate(limit);
        Ok(RecordPage { records, has_more })
    }

    async fn create(&self, pool: NewPool, max_pools: usize) -> Result<PoolHandle, EngineError> {
        pool.check()?;
        let anchors =
            pool.specs.anchors.clone().map(|spec| Arc::new(NaiveAnchors::new(spec)) as Arc<dyn AnchorStore>);
        let samples = Arc::new(NaiveStore::new(pool.specs.samples.clone()));
        let mut pools = self.pools.lock();
        for is_taken in [
            |other: &PoolRecord, pool: &NewPool| other.name == pool.name,
            |other: &PoolRecord, pool: &NewPool| other.uid == pool.uid,
        ] {
            if let Some(other) = pools.iter().find(|other| is_taken(&other.record, &pool)) {
                return Err(EngineError::Exists(Box::new(other.record.clone())));
            }
        }
        if pools.len() >= max_pools {
            return Err(EngineError::TooManyPools { max_pools });
        }
        let handle = PoolHandle { record: pool.into(), samples, anchors };
        pools.push(handle.clone());
        Ok(handle)
    }

    async fn attach(&self, name: &str, uid: Option<u64>) -> Result<Option<PoolHandle>, EngineError> {
        let found = find(&mut self.pools.lock(), name).cloned();
        if let (Some(pool), Some(uid)) = (&found, uid) {
            check_present(Some(&pool.record), name, uid, None)?;
        }
        Ok(found)
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
        let found = find(&mut pools, name);
        let old = check_present(found.as_ref().map(|pool| &pool.record), name, uid, Some(revision))?;
        let new = PoolRecord { revision: revision + 1, bytes, ..old.clone() };
        if let Some(pool) = found {
            pool.record = new.clone();
        }
        Ok(new)
    }

    async fn drop_pool(&self, name: &str, uid: u64, revision: Option<u64>) -> Result<(), EngineError> {
        let mut pools = self.pools.lock();
        let found = find(&mut pools, name);
        check_present(found.as_ref().map(|pool| &pool.record), name, uid, revision)?;
        pools.retain(|pool| pool.record.name != name);
        Ok(())
    }

    fn open_put_once(&self, limits: PutOnceLimits) -> Arc<dyn PutOnce> {
        self.once.lock().get_or_insert_with(|| Arc::new(NaivePutOnce::new(limits))).clone()
    }
}
