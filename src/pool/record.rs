//! The record of a pool as bytes, which the engine stores for this layer, so that servers that did not create a pool can attach it.
//!
//! The first byte is the version of the format; the other bytes are in the format of postcard.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

use super::clock::Landmarks;
use crate::model::error::PoolError;
use crate::model::spec::PoolSpec;

/// Version of the format.
const VERSION: u8 = 1;

/// What is stored of a pool besides its stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) spec: PoolSpec,
    pub(super) create_time: SystemTime,
    /// The clock when the pool was created or its spec last changed, from which servers that share a pool derive the same D(t). It does not
    /// contain what the runs have counted since.
    pub(super) clock: Landmarks,
}

impl Record {
    /// The record as bytes. Equal records have equal bytes.
    ///
    /// # Errors
    /// `Internal` for a time before 1970.
    pub(super) fn encode(&self) -> Result<Bytes, PoolError> {
        postcard::to_allocvec(&(VERSION, self))
            .map(Bytes::from)
            .map_err(|_| PoolError::Internal("encoding a pool's record"))
    }

    /// Decodes what [`Self::encode`] has written.
    ///
    /// # Errors
    /// `Internal` for other bytes, also for those of another version of the format.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, PoolError> {
        let record = match bytes.split_first() {
            Some((&VERSION, record)) => postcard::take_from_bytes(record).ok(),
            _ => None,
        };
        match record {
            Some((record, [])) => Ok(record),
            _ => Err(PoolError::Internal("reading a pool's record")),
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
