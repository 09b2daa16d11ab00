//! Writes numbers and columns as bytes, and reads them back.

use bytemuck::Pod;

use super::ImageError;
use crate::hard::prefetch::huge_pages;

/// A growing buffer of bytes.
pub(crate) struct Writer {
    /// The buffer, with zeros from `len` on.
    out: Vec<u8>,
    len: usize,
}

impl Writer {
    pub(crate) fn new(estimate: usize) -> Self {
        // Zeroed pages cost nothing until they are touched, and huge pages cost less then.
        let out = vec![0; estimate];
        huge_pages(&out);
        Self { out, len: 0 }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.truncate(self.len);
        self.out
    }

    /// The next `len` bytes, which are zeros, for the caller to write.
    pub(crate) fn next(&mut self, len: usize) -> &mut [u8] {
        let from = self.len;
        self.len += len;
        if self.out.len() < self.len {
            self.out.resize(self.len.max(2 * self.out.len()), 0);
        }
        &mut self.out[from..self.len]
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.next(bytes.len()).copy_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.u8(value.into());
    }

    /// Writes a number that may be absent.
    pub(crate) fn option(&mut self, value: Option<u64>) {
        self.flag(value.is_some());
        if let Some(value) = value {
            self.u64(value);
        }
    }

    /// Writes the number of bytes, then the bytes.
    pub(crate) fn counted(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.bytes(bytes);
    }

    /// Writes a column without its length.
    pub(crate) fn column<T: Pod + LittleEndian>(&mut self, values: &[T]) {
        if cfg!(target_endian = "little") {
            self.bytes(bytemuck::cast_slice(values));
        } else {
            values.iter().for_each(|value| self.bytes(value.little().as_ref()));
        }
    }
}

/// Bytes that are read from the front.
pub(crate) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], ImageError> {
        let Some((bytes, left)) = self.left.split_at_checked(len) else {
            return Err(ImageError::Contradiction("it ends within a value"));
        };
        self.left = left;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ImageError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ImageError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ImageError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ImageError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, ImageError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ImageError::Contradiction("a flag is neither 0 nor 1")),
        }
    }

    pub(crate) fn option(&mut self) -> Result<Option<u64>, ImageError> {
        Ok(if self.flag()? { Some(self.u64()?) } else { None })
    }

    pub(crate) fn counted(&mut self) -> Result<&'a [u8], ImageError> {
        let len = self.u32()?;
        self.bytes(len as usize)
    }

    /// Reads a count of items that take at least `bytes_each` bytes each. An error if fewer bytes are left, so that no memory is allocated
    /// for items that are not there.
    pub(crate) fn count(&mut self, bytes_each: usize) -> Result<usize, ImageError> {
        let count = self.u64()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.left.len() / bytes_each => Ok(count),
            _ => Err(ImageError::Contradiction("it has fewer things than it says")),
        }
    }

    /// Reads a column of `len` values.
    pub(crate) fn column<T: Pod + LittleEndian>(
        &mut self,
        len: usize,
    ) -> Result<impl Iterator<Item = T> + Clone + use<'a, T>, ImageError> {
        let size = size_of::<T>();
        let total = len.checked_mul(size).ok_or(ImageError::Contradiction("a column without end"))?;
        let bytes = self.bytes(total)?;
        Ok(bytes.chunks_exact(size).map(T::from_little))
    }
}

/// Numbers that are stored as little-endian bytes.
pub(crate) trait LittleEndian: Sized {
    /// The number of its bytes, of which there are as many as it has.
    fn from_little(bytes: &[u8]) -> Self;
    fn little(self) -> impl AsRef<[u8]>;
}

macro_rules! little_endian {
    ($($number:ty),*) => {$(
        impl LittleEndian for $number {
            fn from_little(bytes: &[u8]) -> Self {
                let mut array = [0; size_of::<$number>()];
                array.copy_from_slice(bytes);
                Self::from_le_bytes(array)
            }

            fn little(self) -> impl AsRef<[u8]> {
                self.to_le_bytes()
            }
        }
    )*};
}
little_endian!(u16, u32, u64, f32);
