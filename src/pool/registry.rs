//! The pools of a server, by name.
//!
//! The engine decides which pools there are: a pool is created, changed or deleted in the engine first, and here only if the engine has
//! done it. So servers that share an engine agree. CreatePool, UpdatePool and DeletePool find pools that another server has created, and so
//! does a server when it starts.

use dashmap::DashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::admission::Occupancy;
use super::clock::{Clock, TimeSource};
use super::executor;
use super::record::Record;
use crate::model::error::PoolError;
use crate::model::limits::Limits;
use crate::model::spec::PoolSpec;
use crate::model::spec_change::SpecChange;
use crate::pool::Pool;
use crate::pool::server_state::ServerState;
use crate::pool::store_specs::{anchor_store, flat_store};
use crate::store::engine::{Engine, EngineError, PoolHandle};
use crate::store::record::{NewPool, PoolRecord, StoreSpecs};

/// Maximum length of a pool id, in bytes.
pub const POOL_ID_MAX: usize = 63;
/// Records that one call reads from the engine.
const RECORDS_PER_PAGE: usize = 256;
/// How often a change is retried after another server changed the pool first.
const ATTEMPTS: usize = 16;

/// The pools of a server. They are looked up once per request, not per score.
pub struct Registry {
    pools: DashMap<String, Arc<Pool>>,
    /// Held during creation and deletion, so that the pools here agree with the last outcome of the engine.
    changing: tokio::sync::Mutex<()>,
    engine: Arc<dyn Engine>,
    limits: Limits,
    time: TimeSource,
    pub(super) server: Arc<ServerState>,
}

impl Registry {
    /// No pools yet: [`Self::attach_all`] attaches those that the engine has.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, limits: Limits, time: TimeSource) -> Arc<Self> {
        let server = Arc::new(ServerState::new(&limits, &*engine));
        Arc::new(Self {
            pools: DashMap::new(),
            changing: tokio::sync::Mutex::new(()),
            engine,
            limits,
            time,
            server,
        })
    }

    /// Attaches every pool that the engine has; returns their number. It is called once, before the first request.
    ///
    /// # Errors
    /// `Unavailable`; `Internal` if a record cannot be read because another version has written it.
    pub async fn attach_all(&self) -> Result<usize, PoolError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut after: Option<String> = None;
        loop {
            let page = self.engine.list(after.as_deref(), RECORDS_PER_PAGE).await?;
            for record in &page.records {
                // A pool that was deleted since it was listed is skipped.
                if let Some(handle) = self.engine.attach(&record.name, None).await? {
                    self.adopt(handle)?;
                }
            }
            after = page.records.last().map(|record| record.name.clone());
            if !page.has_more || after.is_none() {
                return Ok(self.pools.len());
            }
        }
    }

    /// The limits of all pools.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Creates a pool, or returns the existing one if it has the same spec; true if it is new.
    ///
    /// # Errors
    /// `Invalid`; `AlreadyExists` if it has another spec; `Exhausted` at `max_pools` or if there is no memory.
    pub async fn create(self: &Arc<Self>, id: &str, spec: PoolSpec) -> Result<(Arc<Pool>, bool), PoolError> {
        check_pool_id("pool_id", id)?;
        let violations = spec.violations(&self.limits);
        if !violations.is_empty() {
            return Err(PoolError::Invalid(violations));
        }
        let (registry, id) = (self.clone(), id.to_owned());
        executor::finish("creation of a pool", async move { registry.create_now(&id, spec).await }).await
    }

    async fn create_now(&self, id: &str, spec: PoolSpec) -> Result<(Arc<Pool>, bool), PoolError> {
        let _one_at_a_time = self.changing.lock().await;
        for _ in 0..ATTEMPTS {
            if let Some(existing) = self.lookup_now(id).await? {
                return match existing.spec().difference(&spec) {
                    None => Ok((existing, false)),
                    Some(differs) => {
                        let differs = format!("spec.{differs}");
                        Err(PoolError::AlreadyExists { pool: id.to_owned(), differs })
                    }
                };
            }
            let clock = Clock::new(spec.decay, self.time.clone(), self.limits.max_workers_per_pool);
            let record =
                Record { spec: spec.clone(), create_time: SystemTime::now(), clock: clock.landmarks() };
            match self.engine.create(self.new_pool(id, &record)?, self.limits.max_pools).await {
                Ok(handle) => {
                    let create_time = record.create_time;
                    let server = self.server.clone();
                    let pool = Pool::new(handle, spec, create_time, clock, &self.limits, server);
                    self.pools.insert(id.to_owned(), pool.clone());
                    tracing::info!(pool = id, uid = pool.uid(), "pool created");
                    return Ok((pool, true));
                }
                // Another server has created the pool first, so it is looked up again, unless it has been deleted since.
                Err(EngineError::Exists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PoolError::Aborted(format!("pool `{id}` is created and deleted by others at the same time")))
    }

    fn new_pool(&self, id: &str, record: &Record) -> Result<NewPool, PoolError> {
        let uid = rand::random::<u64>() | 1;
        let (spec, workers) = (&record.spec, self.limits.max_workers_per_pool);
        let samples = flat_store(spec, uid, workers);
        let anchors = spec.anchored.as_ref().map(|of_anchors| anchor_store(of_anchors, spec, workers));
        let specs = StoreSpecs { samples, anchors };
        Ok(NewPool { name: id.to_owned(), uid, specs, bytes: record.encode()? })
    }

    /// The pool of this id. If `uid` is not 0, the pool must have it.
    ///
    /// # Errors
    /// `NotFound`; `FailedPrecondition` when the pool was recreated.
    pub fn get(&self, id: &str, uid: u64) -> Result<Arc<Pool>, PoolError> {
        let pool = self.lookup(id).ok_or_else(|| PoolError::NotFound(id.to_owned()))?;
        check_uid(&pool, uid)?;
        Ok(pool)
    }

    /// Up to `page_size` pools after the id `after`, in order of id, and whether there are more.
    #[must_use]
    pub fn list(&self, page_size: usize, after: Option<&str>) -> (Vec<Arc<Pool>>, bool) {
        let mut pools: Vec<_> = self
            .pools
            .iter()
            .map(|entry| entry.value().clone())
            .filter(|pool| after.is_none_or(|after| pool.id() > after))
            .collect();
        pools.sort_by(|a, b| a.id().cmp(b.id()));
        let more = pools.len() > page_size;
        pools.truncate(page_size);
        (pools, more)
    }

    /// All pools, in order of name.
    #[must_use]
    pub fn sorted(&self) -> Vec<Arc<Pool>> {
        self.list(usize::MAX, None).0
    }

    /// Numbers of permits that are taken, over all pools.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.server.admission.occupancy()
    }

    /// Changes the spec of a live pool, completely or not at all. If `uid` is not 0, the pool must have it.
    ///
    /// # Errors
    /// Those of [`Self::get`], `Aborted` when `etag` is given and is not the pool's, `Invalid`.
    pub async fn update(
        self: &Arc<Self>,
        id: &str,
        uid: u64,
        etag: &str,
        change: SpecChange,
    ) -> Result<Arc<Pool>, PoolError> {
        let (registry, id, etag) = (self.clone(), id.to_owned(), etag.to_owned());
        let update = async move { registry.update_now(&id, uid, &etag, change).await };
        executor::finish("update of a pool", update).await
    }

    async fn update_now(
        &self,
        id: &str,
        uid: u64,
        etag: &str,
        change: SpecChange,
    ) -> Result<Arc<Pool>, PoolError> {
        let pool = self.find(id, uid).await?;
        for _ in 0..ATTEMPTS {
            let updating = pool.updating.lock().await;
            let (spec, revision) = pool.change(etag, change.clone())?;
            let bytes = pool.record(spec.clone()).encode()?;
            match self.engine.update(id, pool.uid(), revision, bytes).await {
                Ok(PoolRecord { revision, .. }) => {
                    pool.set_spec(spec, revision, None).await;
                    drop(updating);
                    return Ok(pool);
                }
                // Another server has changed the pool: the change is applied to the present spec, unless the caller gave an etag.
                Err(EngineError::RevisionDiffers { .. }) => drop(updating),
                Err(error) => return Err(self.gone(&pool, error)),
            }
            if !self.refresh(&pool).await? {
                return Err(PoolError::NotFound(id.to_owned()));
            }
        }
        Err(PoolError::changed(id))
    }

    /// Deletes a pool. If `uid` is not 0, the pool must have it.
    ///
    /// # Errors
    /// `NotFound` unless `allow_missing`; `FailedPrecondition` when the pool was recreated; `Aborted` when `etag` is given and is not
    /// the pool's.
    pub async fn delete(
        self: &Arc<Self>,
        id: &str,
        uid: u64,
        etag: &str,
        allow_missing: bool,
    ) -> Result<(), PoolError> {
        let (registry, id, etag) = (self.clone(), id.to_owned(), etag.to_owned());
        let deletion = async move { registry.delete_now(&id, uid, &etag).await };
        match executor::finish("deletion of a pool", deletion).await {
            Err(PoolError::NotFound(_)) if allow_missing => Ok(()),
            outcome => outcome,
        }
    }

    async fn delete_now(&self, id: &str, uid: u64, etag: &str) -> Result<(), PoolError> {
        let _one_at_a_time = self.changing.lock().await;
        let pool = self.find(id, uid).await?;
        let revision = pool.check_etag(etag)?;
        let revision = (!etag.is_empty()).then_some(revision);
        if let Err(error) = self.engine.drop_pool(id, pool.uid(), revision).await {
            if matches!(error, EngineError::RevisionDiffers { .. }) {
                self.refresh(&pool).await?;
            }
            return Err(self.gone(&pool, error));
        }
        self.retire(&pool);
        tracing::info!(pool = id, uid = pool.uid(), "pool deleted");
        Ok(())
    }

    fn lookup(&self, id: &str) -> Option<Arc<Pool>> {
        self.pools.get(id).map(|entry| entry.value().clone())
    }

    /// As [`Self::get`], and attaches the pool if another server has created it.
    async fn find(&self, id: &str, uid: u64) -> Result<Arc<Pool>, PoolError> {
        if self.lookup(id).is_some() {
            return self.get(id, uid);
        }
        match self.engine.attach(id, Some(uid).filter(|uid| *uid != 0)).await? {
            Some(handle) => {
                let pool = self.adopt(handle)?;
                check_uid(&pool, uid)?;
                Ok(pool)
            }
            None => Err(PoolError::NotFound(id.to_owned())),
        }
    }

    /// The pool of this id with the present record of the engine.
    async fn lookup_now(&self, id: &str) -> Result<Option<Arc<Pool>>, PoolError> {
        if let Some(pool) = self.lookup(id)
            && self.refresh(&pool).await?
        {
            return Ok(Some(pool));
        }
        match self.engine.attach(id, None).await? {
            Some(handle) => self.adopt(handle).map(Some),
            None => Ok(None),
        }
    }

    /// Applies the changes that other servers made to a pool; false if it was deleted.
    async fn refresh(&self, pool: &Arc<Pool>) -> Result<bool, PoolError> {
        let _one_at_a_time = pool.updating.lock().await;
        match self.engine.attach(pool.id(), Some(pool.uid())).await {
            Ok(Some(PoolHandle { record, .. })) => {
                if record.revision != pool.revision() {
                    let Record { spec, clock, .. } = Record::decode(&record.bytes)?;
                    pool.set_spec(spec, record.revision, Some(&clock)).await;
                }
                Ok(true)
            }
            Ok(None) | Err(EngineError::UidDiffers { .. }) => {
                self.retire(pool);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Adds the pool of a handle to those of this server.
    fn adopt(&self, handle: PoolHandle) -> Result<Arc<Pool>, PoolError> {
        let Record { spec, create_time, clock } = Record::decode(&handle.record.bytes)?;
        let workers = self.limits.max_workers_per_pool;
        let clock = Clock::restore(spec.decay, self.time.clone(), workers, &clock)
            .ok_or(PoolError::Internal("restoring a pool's clock"))?;
        let pool = Pool::new(handle, spec, create_time, clock, &self.limits, self.server.clone());
        // Two calls that attach it at the same time get the same pool.
        let adopted = self.pools.entry(pool.id().to_owned()).or_insert(pool).value().clone();
        tracing::info!(pool = adopted.id(), uid = adopted.uid(), "pool attached");
        Ok(adopted)
    }

    /// Removes a pool that the engine does not have any more.
    fn retire(&self, pool: &Arc<Pool>) {
        self.pools.remove_if(pool.id(), |_, other| other.uid() == pool.uid());
        pool.close();
    }

    /// Handles a refusal of the engine for a pool that this server has.
    fn gone(&self, pool: &Arc<Pool>, error: EngineError) -> PoolError {
        if matches!(error, EngineError::NotFound { .. } | EngineError::UidDiffers { .. }) {
            self.retire(pool);
        }
        error.into()
    }
}

/// Checks that the pool has the uid that was asked for; 0 accepts any.
fn check_uid(pool: &Pool, uid: u64) -> Result<(), PoolError> {
    if uid == 0 || uid == pool.uid() {
        return Ok(());
    }
    Err(PoolError::recreated(pool.id(), uid, pool.uid()))
}

/// Checks a pool id: 1 to 63 characters of [a-z0-9_-], of which the first is a letter or a digit.
///
/// # Errors
/// `Invalid` naming `field`.
pub fn check_pool_id(field: &str, id: &str) -> Result<(), PoolError> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ok = id.len() <= POOL_ID_MAX
        && id.bytes().next().is_some_and(word)
        && id.bytes().all(|b| word(b) || b == b'_' || b == b'-');
    if ok {
        return Ok(());
    }
    // The error does not quote the id, which may be megabytes of anything.
    let shown: String = id.chars().take(80).collect();
    Err(PoolError::invalid(
        field,
        format!(
            "`{}` is not 1 to {POOL_ID_MAX} of [a-z0-9_-] starting with a letter or digit",
            shown.escape_debug()
        ),
    ))
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
