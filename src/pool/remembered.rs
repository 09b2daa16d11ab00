//! A mined batch with its request as bytes, which are remembered for retries and for the ranks of a round.
//!
//! The first byte is the version of the format; the other bytes are in the format of postcard. Columns of numbers are written as their
//! bytes in memory, so that each costs one copy.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::batch::{MineRequest, MinedBatch};
use crate::model::error::PoolError;

/// Version of the format. Other versions are not read, so a server that is upgraded forgets replies and rounds.
const VERSION: u8 = 1;

/// A mined batch and its request.
#[derive(Debug, Deserialize)]
pub(super) struct Remembered {
    pub(super) request: MineRequest,
    pub(super) batch: MinedBatch,
}

impl Remembered {
    /// A batch and its request as bytes. Equal values have equal bytes.
    ///
    /// # Errors
    /// `Internal` if postcard fails, which is not known to happen.
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

    /// Decodes what [`Self::encode`] has written.
    ///
    /// # Errors
    /// `Internal` for other bytes, also for those of another version of the format.
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
