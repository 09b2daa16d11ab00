//! The header of an image: magic, length and checksum.

use xxhash_rust::xxh3::xxh3_64;

use super::{ImageError, Reader, Writer};

/// Bytes of magic, length and checksum.
const HEADER: usize = 24;

/// The format of images with this magic, whose last byte is the version of the format.
pub(crate) struct Envelope(pub(crate) [u8; 8]);

impl Envelope {
    /// The image of a body of about `estimate` bytes.
    pub(crate) fn save(&self, estimate: usize, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut out = Writer::new(HEADER + estimate);
        out.bytes(&self.0);
        out.u64(0);
        out.u64(0);
        write(&mut out);
        let mut image = out.finish();
        reseal(&mut image);
        image
    }

    /// Checks the header of an image and reads its body with `read`, which must read all of it.
    pub(crate) fn load<T>(
        &self,
        image: &[u8],
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        let Some((header, body)) = image.split_at_checked(HEADER) else {
            return Err(ImageError::Magic);
        };
        if header[..8] != self.0 {
            return Err(ImageError::Magic);
        }
        let mut header = Reader::new(&header[8..]);
        if header.u64()? != body.len() as u64 || header.u64()? != xxh3_64(body) {
            return Err(ImageError::Damaged);
        }
        let mut body = Reader::new(body);
        let loaded = read(&mut body)?;
        if body.is_empty() { Ok(loaded) } else { Err(ImageError::Contradiction("bytes are left over")) }
    }
}

/// Writes the length and checksum of the body into the header.
pub(super) fn reseal(image: &mut [u8]) {
    if image.len() >= HEADER {
        let (length, checksum) = ((image.len() - HEADER) as u64, xxh3_64(&image[HEADER..]));
        image[8..16].copy_from_slice(&length.to_le_bytes());
        image[16..24].copy_from_slice(&checksum.to_le_bytes());
    }
}
