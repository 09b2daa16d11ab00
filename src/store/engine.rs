//! Where pools are: an [`Engine`] creates them, finds them again, changes their records and drops them.
//!
//! Several servers may share one engine, and one may stop and start again while the engine lives on. So nothing in here depends on who
//! asks: whatever is conditional is decided by the engine, at one moment, and whoever loses a race is told what there is.

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

use super::anchored::AnchorStore;
use super::put_once::{PutOnce, PutOnceLimits};
use super::record::{NewPool, PoolRecord, RecordPage};
use super::{Store, StoreError};

/// A pool that was created or attached: its record then, and its stores. All handles of a pool have the same state, whoever holds them.
#[derive(Clone)]
pub struct PoolHandle {
    /// As it was when the handle was made.
    pub record: PoolRecord,
    /// The store of samples; of an anchored pool it holds the background.
    pub samples: Arc<dyn Store>,
    /// The store of anchors, of an anchored pool.
    pub anchors: Option<Arc<dyn AnchorStore>>,
}

impl std::fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolHandle").field("record", &self.record).finish_non_exhaustive()
    }
}

/// Why an engine refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The name is taken, or the uid is: the record of the pool that has it.
    #[error("pool `{}` with uid {} exists", .0.name, .0.uid)]
    Exists(Box<PoolRecord>),
    /// No pool has this name.
    #[error("pool `{name}` does not exist")]
    NotFound {
        /// As asked for.
        name: String,
    },
    /// The pool of this name is another: the one that was asked for has been dropped.
    #[error("pool `{name}` has uid {present}, not {wanted}: it was dropped and created again")]
    UidDiffers {
        /// As asked for.
        name: String,
        /// As asked for.
        wanted: u64,
        /// Of the pool that has the name.
        present: u64,
    },
    /// The record has been updated since it was read.
    #[error("pool `{name}` is at revision {present}, not {wanted}")]
    RevisionDiffers {
        /// As asked for.
        name: String,
        /// As asked for.
        wanted: u64,
        /// Of the record.
        present: u64,
    },
    /// The engine has as many pools as the caller allows.
    #[error("there are {max_pools} pools, as many as there may be")]
    TooManyPools {
        /// As asked for.
        max_pools: usize,
    },
    /// A field is out of its range.
    #[error("{0}")]
    Invalid(String),
    /// There is no memory for the stores ([`StoreError::Exhausted`]), or the engine is not reachable ([`StoreError::Unavailable`]).
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where pools are. Each call takes effect at one moment between its beginning and its end, or not at all: pools are created, updated and
/// dropped one after another in an order that everybody sees.
///
/// Where the answer of a call is [`StoreError::Unavailable`], it may have taken effect nevertheless; `attach` tells.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// The records of up to `limit` pools whose names come after `after`, in order of the names' bytes. A pool that exists throughout is on
    /// exactly one of the pages of a pass in which each begins after the last name of the one before, whatever else is created or
    /// dropped meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<RecordPage, EngineError>;

    /// Creates a pool with empty stores and revision [`super::record::FIRST_REVISION`], unless its name or its uid is taken or the engine has
    /// `max_pools` pools. Of several at once of one name the first wins; the others are refused and get the winner's record, also where the
    /// engine is full.
    ///
    /// # Errors
    /// `Exists`, `TooManyPools`, `Invalid` naming the field, [`StoreError::Exhausted`] without memory for the stores.
    async fn create(&self, pool: NewPool, max_pools: usize) -> Result<PoolHandle, EngineError>;

    /// The pool of this name, with the record that it has now; with a uid it must be that one. `None` where there is none. What is done
    /// through one handle is seen through every other.
    ///
    /// # Errors
    /// `UidDiffers` where the pool of this name is another.
    async fn attach(&self, name: &str, uid: Option<u64>) -> Result<Option<PoolHandle>, EngineError>;

    /// Replaces the bytes of a pool's record if that is at `revision`, and counts the revision up: compare and swap. Of several at once from
    /// one revision the first wins, and the others are told the present revision. The record as it is then.
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

    /// Drops the pool of this name if it has this uid, and this revision if any is given: its record, and all that is in its stores. The name
    /// is free then. Handles of before change nothing any more that anybody else could see.
    ///
    /// # Errors
    /// `NotFound`, `UidDiffers`, `RevisionDiffers`, in this order.
    async fn drop_pool(&self, name: &str, uid: u64, revision: Option<u64>) -> Result<(), EngineError>;

    /// What is remembered under names, of all pools. All that an engine hands out remember the same; the limits are those of who asked first.
    fn open_put_once(&self, limits: PutOnceLimits) -> Arc<dyn PutOnce>;
}

/// Checks that the pool of a name is the one that is meant: the order of the checks is the same in every engine.
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
