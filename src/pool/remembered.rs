//! A mined batch as bytes, with the request that it answers: what is remembered for retries and for the ranks of a round.
//!
//! The first byte is the version of the format; the rest is postcard's. Columns of numbers are written as they lie in memory, so that
//! they cost a copy each.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::batch::{MineRequest, MinedBatch};
use crate::model::error::PoolError;

/// Of the format. What another version wrote is not read: a server that is upgraded forgets replies and rounds.
const VERSION: u8 = 1;

/// A batch and the request that it answers.
#[derive(Debug, Deserialize)]
pub(super) struct Remembered {
    pub(super) request: MineRequest,
    pub(super) batch: MinedBatch,
}

impl Remembered {
    /// The bytes of a batch and its request. The same two always have the same bytes.
    ///
    /// # Errors
    /// `Internal`: none is known.
    pub(super) fn encode(request: &MineRequest, batch: &MinedBatch) -> Result<Bytes, PoolError> {
        #[derive(Serialize)]
        struct Parts<'a> {
            version: u8,
            request: &'a MineRequest,
            batch: &'a MinedBatch,
        }
        let parts = Parts { version: VERSION, request, batch };
        postcard::to_allocvec(&parts).map(Bytes::from).map_err(|_| PoolError::Internal("encoding a batch"))
    }

    /// What [`Self::encode`] wrote.
    ///
    /// # Errors
    /// `Internal` for bytes that it did not write, or that another version did.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, PoolError> {
        match bytes.split_first() {
            Some((&VERSION, parts)) => postcard::from_bytes(parts).ok(),
            _ => None,
        }
        .ok_or(PoolError::Internal("reading a remembered batch"))
    }
}

#[cfg(test)]
#[path = "remembered_tests.rs"]
mod tests;
