//! The image (snapshot) of a partition: all state that its answers depend on, as bytes, and nothing else.
//!
//! ```text
//! magic "HNPART" 0 VERSION, length of the body u64, xxh3-64 of the body u64, body
//! ```
//!
//! All numbers are little-endian. The body holds, in this order (`save.rs` writes it, `load.rs` reads it): the spec; position and fold;
//! totals; the shape of the buckets; the columns of the hard store in the order of the shape, and its side columns; the background; leases;
//! serve counts of dense ids that are not stored; the quarantine (`quarantine.rs`); the expiry queue; the senders whose reports are
//! remembered, the least recently heard first. Slot numbers, the index and the queue of victims are not in it, because no answer depends on
//! them.

mod bytes;
mod envelope;
mod load;
mod quarantine;
mod save;
mod shared;
#[cfg(test)]
mod tests;

use crate::partition::Partition;
pub(crate) use bytes::{Reader, Writer};
pub(crate) use envelope::Envelope;
pub(crate) use shared::{WORKERS_MAX, read_dedupe, read_hardness, write_dedupe, write_hardness};

/// The first bytes of an image; the last one is the version of the format.
const MAGIC: [u8; 8] = *b"HNPART\0\x01";

/// The reason why bytes are not the image of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The bytes do not begin with the magic of this version.
    #[error("not an image of a partition, or of another version")]
    Magic,
    /// The length or the checksum differs from the header.
    #[error("the image is cut short, too long, or damaged")]
    Damaged,
    /// The checksum is right, but no partition can have written the bytes.
    #[error("the image contradicts itself: {0}")]
    Contradiction(&'static str),
}

impl Partition {
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
    /// Loading takes at most 16 times the size of the image and 32 KiB, including the loaded partition, whatever the bytes are. Plain rows
    /// take 1.75 times their bytes, a background and workers 2 times, streaks and trusted ids 2.5 times. Items that take few bytes in an
    /// image take more: short names and payloads 4.5 times, samples in quarantine 6, blocked ids 6.25, leases 7.5, leaves of one sample
    /// each 8.2 (no operations make these), a stratum for each sample 11, removed ids of a dense space that are more than 2^16 apart 16.
    pub fn load(image: &[u8]) -> Result<Self, ImageError> {
        Envelope(MAGIC).load(image, Self::read)
    }

    /// Writes the right length and checksum into an image whose body a test has changed.
    #[doc(hidden)]
    pub fn reseal(image: &mut [u8]) {
        envelope::reseal(image);
    }
}
