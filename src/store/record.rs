//! What an engine remembers of a pool, and what a pool is created with.

use bytes::Bytes;

use super::StoreSpec;
use super::anchored::AnchorStoreSpec;
use super::engine::EngineError;

/// Longest name of a pool, bytes.
pub const POOL_NAME_BYTES_MAX: usize = 255;
/// Most [`PoolRecord::bytes`].
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// The revision of a pool that was never updated.
pub const FIRST_REVISION: u64 = 1;

/// The stores of a pool. They are fixed when the pool is created.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreSpecs {
    /// The store of samples; of an anchored pool it holds the background.
    pub samples: StoreSpec,
    /// The store of anchors; `None`: the pool is flat.
    pub anchors: Option<AnchorStoreSpec>,
}

/// A pool that is to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPool {
    /// 1 ..= [`POOL_NAME_BYTES_MAX`] bytes. No two pools of an engine have one name at a time.
    pub name: String,
    /// Tells pools of one name apart, over all time: drawn at random by who creates it. Not 0.
    pub uid: u64,
    /// What its stores must know.
    pub specs: StoreSpecs,
    /// As [`PoolRecord::bytes`].
    pub bytes: Bytes,
}

/// What an engine remembers of a pool, beside what is in its stores.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolRecord {
    /// As it was created.
    pub name: String,
    /// As it was created.
    pub uid: u64,
    /// [`FIRST_REVISION`] when it was created, 1 more with each update.
    pub revision: u64,
    /// As they were created.
    pub specs: StoreSpecs,
    /// What the pool's own layer remembers: the engine does not look into it. At most [`RECORD_BYTES_MAX`].
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
    /// In order of their names' bytes.
    pub records: Vec<PoolRecord>,
    /// Whether pools follow.
    pub has_more: bool,
}

impl NewPool {
    /// Checks the ranges of its fields; every engine does so before anything else.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] naming the field and its limit.
    pub fn check(&self) -> Result<(), EngineError> {
        let length = self.name.len();
        if !(1..=POOL_NAME_BYTES_MAX).contains(&length) {
            return Err(EngineError::Invalid(format!(
                "name: {length} bytes are not in 1..={POOL_NAME_BYTES_MAX}"
            )));
        }
        if self.uid == 0 {
            return Err(EngineError::Invalid("uid: 0 is no uid".into()));
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
    Err(EngineError::Invalid(format!("bytes: {} are over {RECORD_BYTES_MAX}", bytes.len())))
}
