//! A partition of anchors as bytes: everything its answers depend on, and nothing else.
//!
//! ```text
//! magic "HNANCH" 0 VERSION, length of the body u64, xxh3-64 of the body u64, body
//! ```
//!
//! All numbers are little-endian. The body holds, in this order: the spec; position and fold; the anchors in the order in which they
//! came, each with its negatives in their order and what is kept beside them; names in order of id; the senders whose reports are
//! remembered, as in the image of a [`crate::Partition`]; the totals. Numbers of anchors and the index are not in it: no answer depends on
//! them.

mod load;
mod save;

use super::AnchorPartition;
use crate::image::{Envelope, ImageError};

/// The first bytes of an image; the last one is the version of the format.
const MAGIC: [u8; 8] = *b"HNANCH\0\x01";
/// What is beside an anchor's own numbers: a bit each.
const TOLD: u8 = 1;
const POSITIVES: u8 = 2;
const SCORES: u8 = 4;
const VETOES: u8 = 8;
const GROUPS: u8 = 16;
const LABELS: u8 = 32;

impl AnchorPartition {
    /// The image of a partition. Call it between two operations, not within one.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        Envelope(MAGIC).save(self.image_estimate(), |out| self.write(out))
    }

    /// The partition of an image.
    ///
    /// # Errors
    /// Any bytes that `save` cannot have written are an [`ImageError`], and none are a panic.
    ///
    /// # Memory
    /// What is loaded and what it takes to load it, together and at most, are 16 times the image and 32 KiB, whatever the bytes are.
    pub fn load(image: &[u8]) -> Result<Self, ImageError> {
        Envelope(MAGIC).load(image, Self::read)
    }
}
