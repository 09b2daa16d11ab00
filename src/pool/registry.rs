//! The pools of a server, by name.

use dashmap::DashMap;
use std::sync::Arc;

use super::admission::Occupancy;
use super::clock::TimeSource;
use super::core::{Pool, SpecChange};
use super::error::PoolError;
use super::house::House;
use super::spec::{Limits, PoolSpec};
use crate::store::Engine;

/// Longest pool id, bytes.
pub const POOL_ID_MAX: usize = 63;

/// The pools of a server. Looked up once a request, never a score.
pub struct Registry {
    pools: DashMap<String, Arc<Pool>>,
    /// Serialises creation, so that two creators of one name agree, and `max_pools` holds.
    creating: tokio::sync::Mutex<()>,
    engine: Arc<dyn Engine>,
    limits: Limits,
    time: TimeSource,
    house: Arc<House>,
}

impl Registry {
    /// No pools yet.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, limits: Limits, time: TimeSource) -> Arc<Self> {
        let house = Arc::new(House::new(&limits, &*engine));
        Arc::new(Self {
            pools: DashMap::new(),
            creating: tokio::sync::Mutex::new(()),
            engine,
            limits,
            time,
            house,
        })
    }

    /// The limits that pools are held to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Creates a pool, or returns the existing one of the same spec; true when it is new.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists` with another spec, `Exhausted` over `max_pools` or without memory.
    pub async fn create(&self, id: &str, spec: PoolSpec) -> Result<(Arc<Pool>, bool), PoolError> {
        check_pool_id("pool_id", id)?;
        let violations = spec.violations(&self.limits);
        if !violations.is_empty() {
            return Err(PoolError::Invalid(violations));
        }
        let _one_at_a_time = self.creating.lock().await;
        if let Some(existing) = self.lookup(id) {
            return match existing.spec().difference(&spec) {
                None => Ok((existing, false)),
                Some(differs) => {
                    Err(PoolError::AlreadyExists { pool: id.to_owned(), differs: format!("spec.{differs}") })
                }
            };
        }
        if self.pools.len() >= self.limits.max_pools {
            return Err(PoolError::Exhausted {
                what: format!("the server has its max_pools {} pools", self.limits.max_pools),
                limit: "max_pools",
                retry_after: None,
            });
        }
        let pool =
            Pool::open(id, spec, &self.limits, &*self.engine, self.time.clone(), self.house.clone()).await?;
        self.pools.insert(id.to_owned(), pool.clone());
        tracing::info!(pool = id, uid = pool.uid(), "pool created");
        Ok((pool, true))
    }

    /// The pool of this id; with a `uid` other than 0 it must be that one.
    ///
    /// # Errors
    /// `NotFound`; `FailedPrecondition` when the pool was recreated.
    pub fn get(&self, id: &str, uid: u64) -> Result<Arc<Pool>, PoolError> {
        let pool = self.lookup(id).ok_or_else(|| PoolError::NotFound(id.to_owned()))?;
        check_uid(&pool, uid)?;
        Ok(pool)
    }

    /// Up to `page_size` pools after the id `after`, in order, and whether more follow.
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

    /// How many places are taken, over all pools.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.house.admission.occupancy()
    }

    /// Changes a live pool; with a `uid` other than 0 it must be that one.
    ///
    /// # Errors
    /// Those of [`Self::get`], `Aborted` when `etag` is given and is not the pool's, `Invalid`.
    pub async fn update(
        &self,
        id: &str,
        uid: u64,
        etag: &str,
        change: SpecChange,
    ) -> Result<Arc<Pool>, PoolError> {
        let pool = self.get(id, uid)?;
        pool.update(etag, change, &self.limits).await?;
        Ok(pool)
    }

    /// Deletes a pool; with a `uid` other than 0 it must be that one.
    ///
    /// # Errors
    /// `NotFound` unless `allow_missing`; `FailedPrecondition` when the pool was recreated; `Aborted` when `etag` is given and is not
    /// the pool's.
    pub fn delete(&self, id: &str, uid: u64, etag: &str, allow_missing: bool) -> Result<(), PoolError> {
        // Looked at and removed under one lock, so that no other pool of the name comes between.
        let mut refused = None;
        let removed = self.pools.remove_if(id, |_, pool| {
            refused = check_uid(pool, uid).and_then(|()| pool.check_etag(etag)).err();
            refused.is_none()
        });
        match (removed, refused) {
            (Some((_, pool)), _) => {
                pool.close();
                tracing::info!(pool = id, uid = pool.uid(), "pool deleted");
                Ok(())
            }
            (None, Some(error)) => Err(error),
            (None, None) if allow_missing => Ok(()),
            (None, None) => Err(PoolError::NotFound(id.to_owned())),
        }
    }

    fn lookup(&self, id: &str) -> Option<Arc<Pool>> {
        self.pools.get(id).map(|entry| entry.value().clone())
    }
}

/// Checks that the pool is the one that was asked for, unless any will do (0).
fn check_uid(pool: &Pool, uid: u64) -> Result<(), PoolError> {
    if uid == 0 || uid == pool.uid() {
        return Ok(());
    }
    Err(PoolError::FailedPrecondition {
        reason: "POOL_RECREATED",
        message: format!(
            "pool `{}` has uid {}, not {uid}: it was deleted and created again",
            pool.id(),
            pool.uid()
        ),
    })
}

/// Checks a pool id: 1 to 63 of [a-z0-9_-], first a letter or digit.
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
    // The name itself may be megabytes of anything.
    let shown: String = id.chars().take(80).collect();
    Err(PoolError::invalid(
        field,
        format!(
            "`{}` is not 1 to {POOL_ID_MAX} of [a-z0-9_-] starting with a letter or digit",
            shown.escape_debug()
        ),
    ))
}
