//! Converts errors of engines and stores to errors of pools.

use crate::model::error::PoolError;
use crate::store::StoreError;
use crate::store::engine::EngineError;

impl From<EngineError> for PoolError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Exists(record) => Self::Aborted(format!(
                "pool `{}` was created by another caller at the same time",
                record.name
            )),
            EngineError::NotFound { name } => Self::NotFound(name),
            EngineError::UidDiffers { name, wanted, present } => Self::recreated(&name, wanted, present),
            EngineError::RevisionDiffers { name, .. } => Self::changed(&name),
            EngineError::TooManyPools { max_pools } => Self::Exhausted {
                what: format!("the server has its max_pools {max_pools} pools"),
                limit: "max_pools",
                retry_after: None,
            },
            // This is a defect of the server: pools check names and specs against tighter limits first.
            EngineError::Invalid(_) => Self::Internal("keeping a pool's record"),
            EngineError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for PoolError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exhausted(what) => Self::Exhausted { what, limit: "memory", retry_after: None },
            StoreError::Unavailable(what) => Self::Unavailable(what),
        }
    }
}
