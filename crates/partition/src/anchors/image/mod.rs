//! The image (snapshot) of a partition of anchors: all state that its answers depend on, as bytes, and nothing else.
//!
//! ```text
//! magic "HNANCH" 0 VERSION, length of the body u64, xxh3-64 of the body u64, body
//! ```
//!
//! All numbers are little-endian. The body holds, in this order: the spec; position and fold; the anchors in the order in which they came,
//! each with its negatives in order and its optional fields; names in order of id; the senders whose reports are remembered, as in the
//! image of a [`crate::Partition`]; the totals. The index is not in it, because no answer depends on it.

mod load;
mod save;

use super::AnchorPartition;
use crate::image::{Envelope, ImageError};

/// The first bytes of an image; the last one is the version of the format.
const MAGIC: [u8; 8] = *b"HNANCH\0\x01";
/// Flags of an anchor's optional fields.
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
    /// Bytes that `save` cannot have written give an [`ImageError`]. No bytes cause a panic.
    ///
    /// # Memory
    /// Loading takes at most 16 times the size of the image and 32 KiB, including the loaded partition, whatever the bytes are.
    pub fn load(image: &[u8]) -> Result<Self, ImageError> {
        Envelope(MAGIC).load(image, Self::read)
    }
}
