//! Operations as bytes: what a log of operations is made of.
//!
//! ```text
//! magic "HNOP" (of anchors "HNAO") 0 0 0 VERSION, length of the body u64, xxh3-64 of the body u64, body
//! ```
//!
//! All numbers are little-endian. The body holds the position, a number for the kind of change, and what the change consists of. Of the
//! columns of a report only this partition's rows are in it. Placement hashes are not: they follow from the ids.

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
/// The same of an operation on anchors.
const ANCHORS: Envelope = Envelope(*b"HNAO\0\0\0\x01");

impl Op {
    /// The operation as bytes.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        SAMPLES.save(128 + 24 * self.change.rows(), |out| samples::write(out, self))
    }

    /// The operation of bytes.
    ///
    /// # Errors
    /// Any bytes that `save` cannot have written are an [`ImageError`], and none are a panic. Memory is taken only for what the bytes
    /// hold.
    pub fn load(bytes: &[u8]) -> Result<Self, ImageError> {
        SAMPLES.load(bytes, samples::read)
    }
}

impl AnchorOp {
    /// The operation as bytes.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        ANCHORS.save(128, |out| anchors::write(out, self))
    }

    /// The operation of bytes.
    ///
    /// # Errors
    /// As of [`Op::load`].
    pub fn load(bytes: &[u8]) -> Result<Self, ImageError> {
        ANCHORS.load(bytes, anchors::read)
    }
}
