//! The record that an engine keeps of a pool, and the parameters of a new pool.

use bytes::Bytes;

use super::StoreSpec;
use super::anchored::AnchorStoreSpec;
use super::engine::EngineError;

/// Maximum length of the name of a pool, in bytes.
pub const POOL_NAME_BYTES_MAX: usize = 255;
/// Maximum length of [`PoolRecord::bytes`].
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// The revision of a record that was never updated.
pub const FIRST_REVISION: u64 = 1;

/// The specs of the stores of a pool. They are fixed when the pool is created.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSpecs {
    /// Of the store of samples. In an anchored pool that store holds the background.
    pub samples: StoreSpec,
    /// Of the store of anchors; `None`: the pool is flat.
    pub anchors: Option<AnchorStoreSpec>,
}

/// The parameters of a pool that is to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPool {
    /// The name, 1 ..= [`POOL_NAME_BYTES_MAX`] bytes. Pools that exist at the same time in one engine have different names.
    pub name: String,
    /// The uid, drawn at random by the creator. It distinguishes the pool from earlier and later pools of the same name. Not 0.
    pub uid: u64,
    /// The specs of its stores.
    pub specs: StoreSpecs,
    /// Becomes [`PoolRecord::bytes`].
    pub bytes: Bytes,
}

/// The record that an engine keeps of a pool, besides the contents of its stores.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolRecord {
    /// The name, fixed at creation.
    pub name: String,
    /// The uid, fixed at creation.
    pub uid: u64,
    /// [`FIRST_REVISION`] at creation; each update adds 1.
    pub revision: u64,
    /// The specs of the stores, fixed at creation.
    pub specs: StoreSpecs,
    /// What the layer above the engine stores of the pool; opaque to the engine. At most [`RECORD_BYTES_MAX`] bytes.
    pub bytes: Bytes,
}

impl From<NewPool> for PoolRecord {
    fn from(NewPool { name, uid, specs, bytes }: NewPool) -> Self {
        Self { name, uid, revision: FIRST_REVISION, specs, bytes }
    }
}

/// A page of the pools of an engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordPage {
    /// The records, in order of the bytes of the names.
    pub records: Vec<PoolRecord>,
    /// Whether there are more pools after these.
    pub has_more: bool,
}

impl NewPool {
    /// Checks the ranges of the fields. Every engine calls this first.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] naming the field and its limit.
    pub fn check(&self) -> Result<(), EngineError> {
        let length = self.name.len();
        if !(1..=POOL_NAME_BYTES_MAX).contains(&length) {
            return Err(EngineError::Invalid(format!(
                "name: its length of {length} bytes is not in 1..={POOL_NAME_BYTES_MAX}"
            )));
        }
        if self.uid == 0 {
            return Err(EngineError::Invalid("uid: it must not be 0".into()));
        }
        check_bytes(&self.bytes)
    }
}

/// Checks the length of [`PoolRecord::bytes`].
///
/// # Errors
/// [`EngineError::Invalid`].
pub fn check_bytes(bytes: &Bytes) -> Result<(), EngineError> {
    if bytes.len() <= RECORD_BYTES_MAX {
        return Ok(());
    }
    Err(EngineError::Invalid(format!(
        "bytes: {} bytes are more than the limit of {RECORD_BYTES_MAX}",
        bytes.len()
    )))
}
