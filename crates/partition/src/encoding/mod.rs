//! Operations as bytes, for a log of operations.
//!
//! ```text
//! magic "HNOP" (of anchors "HNAO") 0 0 0 VERSION, length of the body u64, xxh3-64 of the body u64, body
//! ```
//!
//! All numbers are little-endian. The body holds the position, a number for the kind of change, and the fields of the change. Of the
//! columns of a report it holds only this partition's rows. It holds no placement hashes, because these follow from the ids.

mod anchors;
mod columns;
mod samples;
#[cfg(test)]
mod tests;

use crate::anchors::AnchorOp;
use crate::image::{Envelope, ImageError};
use crate::op::Op;

/// The first bytes of an operation on samples; the last one is the version of the format.
const SAMPLES: Envelope = Envelope(*b"HNOP\0\0\0\x01");
/// The first bytes of an operation on anchors; the last one is the version of the format.
const ANCHORS: Envelope = Envelope(*b"HNAO\0\0\0\x01");

impl Op {
    /// Encodes the operation.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        SAMPLES.save(128 + 24 * self.change.rows(), |out| samples::write(out, self))
    }

    /// Decodes an operation.
    ///
    /// # Errors
    /// Bytes that `save` cannot have written give an [`ImageError`]. No bytes cause a panic, and memory is allocated only for what the
    /// bytes hold.
    pub fn load(bytes: &[u8]) -> Result<Self, ImageError> {
        SAMPLES.load(bytes, samples::read)
    }
}

impl AnchorOp {
    /// Encodes the operation.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        ANCHORS.save(128, |out| anchors::write(out, self))
    }

    /// Decodes an operation.
    ///
    /// # Errors
    /// As [`Op::load`].
    pub fn load(bytes: &[u8]) -> Result<Self, ImageError> {
        ANCHORS.load(bytes, anchors::read)
    }
}
