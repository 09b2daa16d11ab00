//! The pool that a call refers to.

use super::{pb, pool_name};

/// A reference to a pool, by name and optionally by uid.
///
/// Every call takes `impl Into<PoolRef>`. A string (`faces` or `pools/faces`) refers to the pool that has the name now. A [`pb::Pool`], as
/// [`Client::create_pool`] and [`Client::get_pool`] return it, refers to this pool only: after it was deleted and another was created under
/// its name, calls fail with `FAILED_PRECONDITION` (`POOL_RECREATED`), so that an old run cannot delete, change or read the pool of a new one.
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
    /// 0: the pool that has the name now.
    pub(super) uid: u64,
}

impl PoolRef {
    /// Refers to the pool with this uid only. 0: to the pool that has the name now.
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
