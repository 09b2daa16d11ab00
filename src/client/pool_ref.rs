//! Which pool a call means.

use super::{pb, pool_name};

/// Names the pool that a call means: by name alone, or that very pool.
///
/// Every call takes `impl Into<PoolRef>`. A string (`faces` or `pools/faces`) means whichever pool has the name now. A [`pb::Pool`], as
/// [`Client::create_pool`] and [`Client::get_pool`] return it, means that pool only: once it was deleted and another was created under its
/// name, calls fail with `FAILED_PRECONDITION` (`POOL_RECREATED`), so that an old run cannot delete, change or read the pool of a new one.
///
/// [`Client::create_pool`]: super::Client::create_pool
/// [`Client::get_pool`]: super::Client::get_pool
///
/// ```
/// use hardneg::client::{PoolRef, pb};
///
/// let pool = pb::Pool { name: "pools/faces".into(), uid: 7, ..Default::default() };
/// assert_eq!(PoolRef::from(&pool), PoolRef::from("faces").with_uid(7));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolRef {
    /// `pools/{pool_id}`.
    pub(super) name: String,
    /// 0: whichever pool has the name.
    pub(super) uid: u64,
}

impl PoolRef {
    /// Means the pool of this uid only. 0: whichever pool has the name.
    #[must_use]
    pub fn with_uid(self, uid: u64) -> Self {
        Self { uid, ..self }
    }
}

impl From<&str> for PoolRef {
    fn from(name: &str) -> Self {
        Self { name: pool_name(name), uid: 0 }
    }
}

impl From<&String> for PoolRef {
    fn from(name: &String) -> Self {
        name.as_str().into()
    }
}

impl From<String> for PoolRef {
    fn from(name: String) -> Self {
        name.as_str().into()
    }
}

impl From<&pb::Pool> for PoolRef {
    fn from(pool: &pb::Pool) -> Self {
        Self::from(&pool.name).with_uid(pool.uid)
    }
}

impl From<&Self> for PoolRef {
    fn from(pool: &Self) -> Self {
        pool.clone()
    }
}
