//! A pool's record as bytes: what an engine remembers of a pool for this layer, so that a pool is found again by who did not create it.
//!
//! The first byte is the version of the format; the rest is postcard's.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

use super::clock::Landmarks;
use crate::model::error::PoolError;
use crate::model::spec::PoolSpec;

/// Of the format.
const VERSION: u8 = 1;

/// What is kept of a pool beside its stores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) spec: PoolSpec,
    pub(super) create_time: SystemTime,
    /// The clock when the pool was created or its spec changed last: servers that share a pool have one D(t). What its runs have counted
    /// since is not in here.
    pub(super) clock: Landmarks,
}

impl Record {
    /// Its bytes. The same record always has the same bytes.
    ///
    /// # Errors
    /// `Internal` for a time before 1970.
    pub(super) fn encode(&self) -> Result<Bytes, PoolError> {
        postcard::to_allocvec(&(VERSION, self))
            .map(Bytes::from)
            .map_err(|_| PoolError::Internal("encoding a pool's record"))
    }

    /// What [`Self::encode`] wrote.
    ///
    /// # Errors
    /// `Internal` for bytes that it did not write, or that another version did.
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
