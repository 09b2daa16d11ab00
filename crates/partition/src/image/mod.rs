//! A partition as bytes: everything its answers depend on, and nothing else.
//!
//! ```text
//! magic "HNPART" 0 VERSION, length of the body u64, xxh3-64 of the body u64, body
//! ```
//!
//! All numbers are little-endian. The body holds, in this order (`save.rs` writes it, `load.rs` reads it): the spec; position and fold;
//! the shape of the buckets; the columns of the hard rows in the order of the shape, and what is kept beside them; the background;
//! leases; serves of ids that are stored nowhere; the quarantine (`quarantine.rs`); when to look at each sample; the senders whose reports are remembered, the one that was not heard for the longest
//! first. Slot numbers, the index, and the queue of victims are not in it: no answer depends on them.

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

/// Why bytes are no image of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// They do not begin as an image of this version does.
    #[error("not an image of a partition, or of another version")]
    Magic,
    /// There are more or fewer bytes than the header says, or some changed.
    #[error("the image is cut short, too long, or damaged")]
    Damaged,
    /// The checksum is right, and yet no partition can have written them.
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
    /// Any bytes that `save` cannot have written are an [`ImageError`], and none are a panic.
    ///
    /// # Memory
    /// What is loaded and what it takes to load it, together and at most, are 16 times the image and 32 KiB, whatever the bytes are. Of
    /// plain rows it is 1.75 times, of a background and of workers 2 times, of streaks and trusted ids 2.5 times. More than twice is what little bytes say much: short names and payloads
    /// (4.5 times), samples in quarantine (6), blocked ids (6.25), leases (7.5), leaves of a sample each (7.6, which no operations make), a stratum for each sample (11), ids removed
    /// from a dense space that are further than 2^16 apart (16).
    pub fn load(image: &[u8]) -> Result<Self, ImageError> {
        Envelope(MAGIC).load(image, Self::read)
    }

    /// The same image with the right length and checksum over a body that a test has changed.
    #[doc(hidden)]
    pub fn reseal(image: &mut [u8]) {
        envelope::reseal(image);
    }
}
