//! Converts columns to and from vectors, for the client and the server. Only this file knows both encodings.
//!
//! Decoding always copies: a byte column is a slice of the receive buffer, and would keep the whole buffer alive.

use std::borrow::Cow;

use bytes::Bytes;

use super::v1::{ColumnEncoding, FloatColumn, Floats, IdColumn, Strings, U64s, float_column, id_column};

const ID_BYTES: usize = size_of::<u64>();
const FLOAT_BYTES: usize = size_of::<f32>();

/// Why a column cannot be read. The display text completes a sentence that starts with the column's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// The column is absent, or none of its encodings is set.
    #[error("has no values: set exactly one encoding")]
    Missing,
    /// A byte column does not hold a whole number of values.
    #[error("is {bytes} bytes long, not a multiple of {width}")]
    Ragged {
        /// Length of the column in bytes.
        bytes: usize,
        /// Bytes per value.
        width: usize,
    },
    /// The `present` bitmap is too short or too long for the rows.
    #[error("has a `present` bitmap of {bytes} bytes where {rows} rows need {expected}")]
    Present {
        /// Length of the bitmap in bytes.
        bytes: usize,
        /// Bytes that the rows need: one bit per row, rounded up.
        expected: usize,
        /// Number of rows of the column.
        rows: usize,
    },
    /// The column has string keys where integer ids are expected.
    #[error("holds string keys where integer ids are expected")]
    UnexpectedKeys,
    /// The column has integer ids where string keys are expected.
    #[error("holds integer ids where string keys are expected")]
    UnexpectedIntegers,
}

/// The samples of a batch: integers, or string keys for a pool of `ID_KIND_STRING`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Integer ids.
    U64(Vec<u64>),
    /// String keys.
    Keys(Vec<String>),
}

impl Ids {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U64(ids) => ids.len(),
            Self::Keys(keys) => keys.len(),
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The integer ids; `None` for string keys.
    #[must_use]
    pub fn as_u64(&self) -> Option<&[u64]> {
        match self {
            Self::U64(ids) => Some(ids),
            Self::Keys(_) => None,
        }
    }

    /// The string keys; `None` for integer ids.
    #[must_use]
    pub fn as_keys(&self) -> Option<&[String]> {
        match self {
            Self::U64(_) => None,
            Self::Keys(keys) => Some(keys),
        }
    }

    /// The ids as a column in this encoding. String keys have one encoding only, which ignores the argument.
    #[must_use]
    pub fn into_column(self, encoding: ColumnEncoding) -> IdColumn {
        match self {
            Self::U64(ids) => encode_ids(ids, encoding),
            Self::Keys(keys) => encode_keys(keys),
        }
    }
}

/// Number of rows of an id column, without decoding it, so that limits can be checked before any work.
///
/// # Errors
/// [`ColumnError::Missing`] and [`ColumnError::Ragged`].
pub fn id_rows(column: Option<&IdColumn>) -> Result<usize, ColumnError> {
    match column.and_then(|column| column.encoding.as_ref()) {
        Some(id_column::Encoding::U64s(packed)) => Ok(packed.values.len()),
        Some(id_column::Encoding::U64Le(raw)) => rows_of(raw, ID_BYTES),
        Some(id_column::Encoding::Strings(strings)) => Ok(strings.values.len()),
        None => Err(ColumnError::Missing),
    }
}

/// Number of rows of a float column, without decoding it.
///
/// # Errors
/// [`ColumnError::Missing`] and [`ColumnError::Ragged`].
pub fn float_rows(column: Option<&FloatColumn>) -> Result<usize, ColumnError> {
    match column.and_then(|column| column.encoding.as_ref()) {
        Some(float_column::Encoding::Floats(packed)) => Ok(packed.values.len()),
        Some(float_column::Encoding::F32Le(raw)) => rows_of(raw, FLOAT_BYTES),
        None => Err(ColumnError::Missing),
    }
}

/// Decodes an id column: integer ids or string keys, as the sender chose.
///
/// # Errors
/// [`ColumnError::Missing`] and [`ColumnError::Ragged`].
pub fn decode_ids(column: Option<IdColumn>) -> Result<Ids, ColumnError> {
    match column.and_then(|column| column.encoding) {
        Some(id_column::Encoding::U64s(packed)) => Ok(Ids::U64(packed.values)),
        Some(id_column::Encoding::U64Le(raw)) => {
            rows_of(&raw, ID_BYTES)?;
            let (values, _) = raw.as_chunks::<ID_BYTES>();
            Ok(Ids::U64(values.iter().map(|v| u64::from_le_bytes(*v)).collect()))
        }
        Some(id_column::Encoding::Strings(strings)) => Ok(Ids::Keys(strings.values)),
        None => Err(ColumnError::Missing),
    }
}

/// Decodes an id column that must have integer ids.
///
/// # Errors
/// As [`decode_ids`], and [`ColumnError::UnexpectedKeys`].
pub fn decode_u64s(column: Option<IdColumn>) -> Result<Vec<u64>, ColumnError> {
    match decode_ids(column)? {
        Ids::U64(ids) => Ok(ids),
        Ids::Keys(_) => Err(ColumnError::UnexpectedKeys),
    }
}

/// Decodes an id column that must have string keys.
///
/// # Errors
/// As [`decode_ids`], and [`ColumnError::UnexpectedIntegers`].
pub fn decode_keys(column: Option<IdColumn>) -> Result<Vec<String>, ColumnError> {
    match decode_ids(column)? {
        Ids::Keys(keys) => Ok(keys),
        Ids::U64(_) => Err(ColumnError::UnexpectedIntegers),
    }
}

/// Decodes a float column. A row that the `present` bitmap marks as absent becomes NaN, whatever its value is.
///
/// # Errors
/// [`ColumnError::Missing`], [`ColumnError::Ragged`] and [`ColumnError::Present`].
pub fn decode_floats(column: Option<FloatColumn>) -> Result<Vec<f32>, ColumnError> {
    let column = column.ok_or(ColumnError::Missing)?;
    let mut values = match column.encoding {
        Some(float_column::Encoding::Floats(packed)) => packed.values,
        Some(float_column::Encoding::F32Le(raw)) => {
            rows_of(&raw, FLOAT_BYTES)?;
            let (values, _) = raw.as_chunks::<FLOAT_BYTES>();
            values.iter().map(|v| f32::from_le_bytes(*v)).collect()
        }
        None => return Err(ColumnError::Missing),
    };
    if column.present.is_empty() {
        return Ok(values);
    }
    let expected = values.len().div_ceil(8);
    if column.present.len() != expected {
        return Err(ColumnError::Present { bytes: column.present.len(), expected, rows: values.len() });
    }
    for (row, value) in values.iter_mut().enumerate() {
        if !bit(&column.present, row) {
            *value = f32::NAN;
        }
    }
    Ok(values)
}

/// Encodes integer ids: as little-endian bytes if asked for, otherwise packed. An owned vector is moved into a packed column without a
/// copy.
#[must_use]
pub fn encode_ids<'a>(ids: impl Into<Cow<'a, [u64]>>, encoding: ColumnEncoding) -> IdColumn {
    let ids = ids.into();
    IdColumn {
        encoding: Some(match encoding {
            ColumnEncoding::LittleEndian => id_column::Encoding::U64Le(u64s_le(&ids)),
            ColumnEncoding::Unspecified | ColumnEncoding::Packed => {
                id_column::Encoding::U64s(U64s { values: ids.into_owned() })
            }
        }),
    }
}

/// Encodes string keys, which have one encoding only.
#[must_use]
pub fn encode_keys(keys: Vec<String>) -> IdColumn {
    IdColumn { encoding: Some(id_column::Encoding::Strings(Strings { values: keys })) }
}

/// Encodes floats, all of them as present, NaN included.
#[must_use]
pub fn encode_floats<'a>(values: impl Into<Cow<'a, [f32]>>, encoding: ColumnEncoding) -> FloatColumn {
    let values = values.into();
    FloatColumn {
        encoding: Some(match encoding {
            ColumnEncoding::LittleEndian => float_column::Encoding::F32Le(f32s_le(&values)),
            ColumnEncoding::Unspecified | ColumnEncoding::Packed => {
                float_column::Encoding::Floats(Floats { values: values.into_owned() })
            }
        }),
        present: Bytes::new(),
    }
}

/// Encodes floats, and marks NaN as absent. If there is no NaN, the bitmap is empty.
#[must_use]
pub fn encode_sparse_floats<'a>(values: impl Into<Cow<'a, [f32]>>, encoding: ColumnEncoding) -> FloatColumn {
    let values = values.into();
    let present = if values.iter().any(|value| value.is_nan()) {
        let mut bitmap = vec![0_u8; values.len().div_ceil(8)];
        for (row, value) in values.iter().enumerate() {
            bitmap[row / 8] |= u8::from(!value.is_nan()) << (row % 8);
        }
        Bytes::from(bitmap)
    } else {
        Bytes::new()
    };
    FloatColumn { present, ..encode_floats(values, encoding) }
}

/// Ids as little-endian bytes.
#[must_use]
pub fn u64s_le(ids: &[u64]) -> Bytes {
    let mut raw = vec![0; ids.len() * ID_BYTES];
    for (slot, id) in raw.as_chunks_mut::<ID_BYTES>().0.iter_mut().zip(ids) {
        *slot = id.to_le_bytes();
    }
    Bytes::from(raw)
}

/// Floats as little-endian bytes.
#[must_use]
pub fn f32s_le(values: &[f32]) -> Bytes {
    let mut raw = vec![0; values.len() * FLOAT_BYTES];
    for (slot, value) in raw.as_chunks_mut::<FLOAT_BYTES>().0.iter_mut().zip(values) {
        *slot = value.to_le_bytes();
    }
    Bytes::from(raw)
}

fn rows_of(raw: &[u8], width: usize) -> Result<usize, ColumnError> {
    if raw.len().is_multiple_of(width) {
        Ok(raw.len() / width)
    } else {
        Err(ColumnError::Ragged { bytes: raw.len(), width })
    }
}

fn bit(bitmap: &[u8], row: usize) -> bool {
    bitmap[row / 8] >> (row % 8) & 1 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENCODINGS: [ColumnEncoding; 2] = [ColumnEncoding::Packed, ColumnEncoding::LittleEndian];

    proptest! {
        #[test]
        fn ids_survive_either_encoding(ids in prop::collection::vec(any::<u64>(), 0..300)) {
            for encoding in ENCODINGS {
                let column = encode_ids(ids.clone(), encoding);
                prop_assert_eq!(id_rows(Some(&column)), Ok(ids.len()));
                prop_assert_eq!(decode_u64s(Some(column)), Ok(ids.clone()));
            }
        }

        #[test]
        fn floats_keep_every_bit(bits in prop::collection::vec(any::<u32>(), 0..300)) {
            let floats: Vec<f32> = bits.iter().map(|b| f32::from_bits(*b)).collect();
            for encoding in ENCODINGS {
                let column = encode_floats(floats.clone(), encoding);
                prop_assert_eq!(float_rows(Some(&column)), Ok(bits.len()));
                let back: Vec<u32> = decode_floats(Some(column)).unwrap().iter().map(|v| v.to_bits()).collect();
                prop_assert_eq!(&back, &bits);
            }
        }

        #[test]
        fn absent_values_come_back_as_nan(rows in prop::collection::vec(prop::option::of(prop::num::f32::NORMAL), 0..100)) {
            let values: Vec<f32> = rows.iter().map(|v| v.unwrap_or(f32::NAN)).collect();
            for encoding in ENCODINGS {
                let column = encode_sparse_floats(values.clone(), encoding);
                prop_assert_eq!(column.present.is_empty(), rows.iter().all(Option::is_some));
                let back = decode_floats(Some(column)).unwrap();
                let back: Vec<Option<f32>> = back.into_iter().map(|v| (!v.is_nan()).then_some(v)).collect();
                prop_assert_eq!(&back, &rows);
            }
        }

        #[test]
        fn a_byte_column_whose_length_is_no_multiple_is_refused(len in 0_usize..100) {
            let raw = Bytes::from(vec![1_u8; len]);
            let ids = IdColumn { encoding: Some(id_column::Encoding::U64Le(raw.clone())) };
            let floats = FloatColumn { encoding: Some(float_column::Encoding::F32Le(raw)), present: Bytes::new() };
            prop_assert_eq!(decode_u64s(Some(ids)).is_ok(), len % 8 == 0);
            prop_assert_eq!(decode_floats(Some(floats)).is_ok(), len % 4 == 0);
        }
    }

    #[test]
    fn errors_name_the_problem() {
        assert_eq!(decode_ids(None), Err(ColumnError::Missing));
        assert_eq!(decode_floats(Some(FloatColumn::default())), Err(ColumnError::Missing));
        let keys = encode_keys(vec!["a".into()]);
        assert_eq!(decode_u64s(Some(keys.clone())), Err(ColumnError::UnexpectedKeys));
        assert_eq!(decode_keys(Some(keys)), Ok(vec!["a".to_owned()]));
        let integers = encode_ids(vec![1], ColumnEncoding::Packed);
        assert_eq!(decode_keys(Some(integers)), Err(ColumnError::UnexpectedIntegers));
        let column = FloatColumn {
            present: Bytes::from_static(&[1, 2]),
            ..encode_floats(vec![1.0; 3], ColumnEncoding::Packed)
        };
        let error = decode_floats(Some(column)).unwrap_err();
        assert_eq!(error.to_string(), "has a `present` bitmap of 2 bytes where 3 rows need 1");
    }
}
