//! The storage of pools: an [`Engine`] creates them, finds them again, updates their records and drops them.
//!
//! Several servers may share one engine, and a server may restart while the engine runs on. So no answer depends on which server calls: the
//! engine checks every condition and applies the change in one atomic step, and the callers that lose a race get the present record or
//! revision.

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

use super::anchored::AnchorStore;
use super::put_once::{PutOnce, PutOnceLimits};
use super::record::{NewPool, PoolRecord, RecordPage};
use super::{Store, StoreError};

/// A pool that was created or attached: its record at that moment, and its stores. All handles of a pool share one state, whichever server
/// holds them.
#[derive(Clone)]
pub struct PoolHandle {
    /// The record at the moment when the handle was made.
    pub record: PoolRecord,
    /// The store of samples. Of an anchored pool it holds the background.
    pub samples: Arc<dyn Store>,
    /// The store of anchors; `None` for a flat pool.
    pub anchors: Option<Arc<dyn AnchorStore>>,
}

impl std::fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolHandle").field("record", &self.record).finish_non_exhaustive()
    }
}

/// Why an engine refused a call. It changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another pool has the name or the uid. This is its record.
    #[error("pool `{}` with uid {} exists", .0.name, .0.uid)]
    Exists(Box<PoolRecord>),
    /// No pool has this name.
    #[error("pool `{name}` does not exist")]
    NotFound {
        /// The name that the caller asked for.
        name: String,
    },
    /// The name belongs to another pool: the one that the caller means was dropped.
    #[error("pool `{name}` has uid {present}, not {wanted}: it was dropped and created again")]
    UidDiffers {
        /// The name that the caller asked for.
        name: String,
        /// The uid that the caller asked for.
        wanted: u64,
        /// The uid of the pool that has the name now.
        present: u64,
    },
    /// The record has been updated since the caller read it.
    #[error("pool `{name}` is at revision {present}, not {wanted}")]
    RevisionDiffers {
        /// The name that the caller asked for.
        name: String,
        /// The revision that the caller asked for.
        wanted: u64,
        /// The present revision of the record.
        present: u64,
    },
    /// The engine has as many pools as the caller allows.
    #[error("there are {max_pools} pools, which is the maximum")]
    TooManyPools {
        /// The maximum that the caller gave.
        max_pools: usize,
    },
    /// A field is out of range. The text names the field and its limit.
    #[error("{0}")]
    Invalid(String),
    /// There is no memory for the stores ([`StoreError::Exhausted`]), or the engine is not reachable ([`StoreError::Unavailable`]).
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The storage of pools. Calls are linearizable: each takes effect atomically at one moment between its beginning and its end, or not at
/// all, and all callers see the pools created, updated and dropped in the same order.
///
/// A call that fails with [`StoreError::Unavailable`] may have taken effect nevertheless; `attach` shows whether it has.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// The records of up to `limit` pools whose names come after `after`, in order of the bytes of the names. A caller that reads all
    /// pages, each `after` the last name of the page before, gets every pool that exists throughout exactly once, whichever other pools are
    /// created or dropped meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<RecordPage, EngineError>;

    /// Creates a pool with empty stores and revision [`super::record::FIRST_REVISION`], unless its name or its uid is taken or the engine
    /// has `max_pools` pools. If several calls create the same name at once, one wins and the others fail with `Exists` and the record of
    /// the winner, even if the engine is full.
    ///
    /// # Errors
    /// `Exists`, `TooManyPools`, `Invalid` naming the field, [`StoreError::Exhausted`] if there is no memory for the stores.
    async fn create(&self, pool: NewPool, max_pools: usize) -> Result<PoolHandle, EngineError>;

    /// The pool of this name, with its present record; `None` if there is no such pool. If `uid` is given, the pool must have it. Changes
    /// made through one handle are seen through every other.
    ///
    /// # Errors
    /// `UidDiffers` if the pool of this name has another uid.
    async fn attach(&self, name: &str, uid: Option<u64>) -> Result<Option<PoolHandle>, EngineError>;

    /// Replaces the bytes of the record of a pool if it is at `revision`, and adds 1 to the revision (compare and swap). Returns the new
    /// record. If several calls update the same revision at once, one wins and the others fail with `RevisionDiffers`, which holds the
    /// present revision.
    ///
    /// # Errors
    /// `NotFound`, `UidDiffers`, `RevisionDiffers`, in this order; `Invalid` naming the field.
    async fn update(
        &self,
        name: &str,
        uid: u64,
        revision: u64,
        bytes: Bytes,
    ) -> Result<PoolRecord, EngineError>;

    /// Drops the pool of this name, with its record and its stores, if it has this uid, and this revision if one is given. The name is free
    /// then. No caller without an old handle sees what is done through old handles.
    ///
    /// # Errors
    /// `NotFound`, `UidDiffers`, `RevisionDiffers`, in this order.
    async fn drop_pool(&self, name: &str, uid: u64, revision: Option<u64>) -> Result<(), EngineError>;

    /// The put-once store of the engine, for all pools. All calls return the same one; the limits of the first call hold.
    fn open_put_once(&self, limits: PutOnceLimits) -> Arc<dyn PutOnce>;
}

/// Checks that the pool of a name is the one that the caller means. Every engine calls this, so that all check in the same order.
///
/// # Errors
/// `NotFound`, `UidDiffers`, `RevisionDiffers`.
pub fn check_present<'a>(
    found: Option<&'a PoolRecord>,
    name: &str,
    uid: u64,
    revision: Option<u64>,
) -> Result<&'a PoolRecord, EngineError> {
    let record = found.ok_or_else(|| EngineError::NotFound { name: name.to_owned() })?;
    if record.uid != uid {
        return Err(EngineError::UidDiffers { name: name.to_owned(), wanted: uid, present: record.uid });
    }
    match revision {
        Some(wanted) if wanted != record.revision => {
            Err(EngineError::RevisionDiffers { name: name.to_owned(), wanted, present: record.revision })
        }
        _ => Ok(record),
    }
}
