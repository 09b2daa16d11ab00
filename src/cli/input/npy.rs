//! Reads numpy's npy format: a structured array with the fields id and score (and optionally step), or an array of N x 2 numbers.

use std::io::Read;

use anyhow::{Context as _, anyhow, bail};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar, TypeStr};

use super::{Chunk, Reader, RowsBuilder, Scalar, Wanted};

/// The longest record in bytes; no record of an id, a score and other columns needs more.
const MAX_ROW_BYTES: usize = 1 << 16;

/// Reads npy, row by row of fixed width.
pub(super) struct NpyReader<R> {
    source: R,
    wanted: Wanted,
    id: Field,
    score: Field,
    step: Option<Field>,
    extras: Vec<Field>,
    row_bytes: usize,
    rows: u64,
    done: u64,
    /// The first row of the next chunk, because the step changed before it.
    pending: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
struct Field {
    offset: usize,
    bytes: usize,
    kind: TypeStr,
}

impl<R: Read> NpyReader<R> {
    /// Reads the header.
    pub(super) fn new(mut source: R, wanted: Wanted) -> anyhow::Result<Self> {
        let header = NpyHeader::from_reader(&mut source).context("the npy header")?;
        let rows = header.shape().first().copied().unwrap_or(0);
        let (fields, row_bytes) = match (header.dtype(), header.shape()) {
            (DType::Record(fields), [_]) => record_fields(&fields)?,
            (DType::Plain(kind), [_, 2]) => {
                if header.order() == Order::Fortran && rows > 1 {
                    bail!("the array is in Fortran order: save numpy.ascontiguousarray(array)");
                }
                let bytes = kind.num_bytes().context("the element type has no size")?;
                let field = |offset| Field { offset, bytes, kind: kind.clone() };
                (vec![("id".to_owned(), field(0)), ("score".to_owned(), field(bytes))], 2 * bytes)
            }
            (dtype, shape) => bail!(
                "expected a structured array with the fields id and score, or an array of N x 2 numbers, \
                 not {} of shape {shape:?}",
                dtype.descr()
            ),
        };
        if row_bytes == 0 || row_bytes > MAX_ROW_BYTES {
            bail!("a row of {row_bytes} bytes; expected 1 to {MAX_ROW_BYTES}");
        }
        let find =
            |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, field)| field.clone());
        Ok(Self {
            source,
            id: find("id").or_else(|| find("key")).context("the array has no field `id`")?,
            score: find("score").context("the array has no field `score`")?,
            step: find("step"),
            extras: wanted
                .extras
                .iter()
                .map(|(_, name)| find(name).with_context(|| format!("the array has no field `{name}`")))
                .collect::<Result<_, _>>()?,
            wanted,
            row_bytes,
            rows,
            done: 0,
            pending: None,
        })
    }

    fn next_row(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        if let Some(row) = self.pending.take() {
            return Ok(Some(row));
        }
        if self.done == self.rows {
            return Ok(None);
        }
        let mut row = vec![0; self.row_bytes];
        self.source.read_exact(&mut row).with_context(|| format!("row {} of {}", self.done, self.rows))?;
        self.done += 1;
        Ok(Some(row))
    }

    /// Adds the number of the last row that was read to an error. Rows count from 0, as in numpy.
    fn at<T>(&self, value: Result<T, String>) -> anyhow::Result<T> {
        value.map_err(|problem| anyhow!("row {}: {problem}", self.done.saturating_sub(1)))
    }
}

impl<R: Read + Send> Reader for NpyReader<R> {
    fn next_chunk(&mut self, max_rows: usize) -> anyhow::Result<Option<Chunk>> {
        let wanted = self.wanted.clone();
        let mut rows = RowsBuilder::new(&wanted);
        let mut chunk_step = None;
        while rows.len() < max_rows {
            let Some(row) = self.next_row()? else {
                break;
            };
            let step = match &self.step {
                None => None,
                Some(field) => Some(self.at(read(field, &row).and_then(|step| step.into_u64("step")))?),
            };
            if rows.len() > 0 && step != chunk_step {
                self.pending = Some(row);
                break;
            }
            chunk_step = step;
            let score = self.at(read(&self.score, &row))?;
            let id = self.at(read(&self.id, &row))?;
            let extras = self.extras.iter().map(|field| read(field, &row)).collect::<Result<Vec<_>, _>>();
            self.at(extras.and_then(|extras| rows.push(id, score, extras)))?;
        }
        Ok(rows.finish(chunk_step))
    }

    fn total_rows(&self) -> Option<u64> {
        Some(self.rows)
    }
}

/// The scalar fields of a record by name, and the record's width in bytes.
fn record_fields(fields: &[npyz::Field]) -> anyhow::Result<(Vec<(String, Field)>, usize)> {
    let mut offset = 0;
    let mut plain = Vec::new();
    for field in fields {
        let bytes = field
            .dtype
            .num_bytes()
            .with_context(|| format!("the field `{}` has no fixed size", field.name))?;
        if let DType::Plain(kind) = &field.dtype {
            let kind = kind.clone();
            plain.push((field.name.clone(), Field { offset, bytes, kind }));
        }
        offset += bytes;
    }
    Ok((plain, offset))
}

fn read(field: &Field, row: &[u8]) -> Result<Scalar, String> {
    let raw = row.get(field.offset..field.offset + field.bytes).ok_or("the row is too short")?;
    // Extend every integer to 8 little-endian bytes.
    let mut word = [0_u8; 8];
    let is_number = matches!(field.kind.type_char(), TypeChar::Int | TypeChar::Uint | TypeChar::Float);
    if is_number {
        if raw.len() > 8 {
            return Err(format!("numbers of type {} are not supported", field.kind));
        }
        word[..raw.len()].copy_from_slice(raw);
        if field.kind.endianness() == Endianness::Big {
            word[..raw.len()].reverse();
        }
    }
    let bits = u64::from_le_bytes(word);
    let unused = 64 - 8 * u32::try_from(raw.len().min(8)).unwrap_or(8);
    match (field.kind.type_char(), raw.len()) {
        (TypeChar::Uint, _) => Ok(Scalar::Unsigned(bits)),
        // Shift left and right, to extend the sign.
        (TypeChar::Int, _) => Ok(Scalar::Signed((bits << unused).cast_signed() >> unused)),
        (TypeChar::Float, 8) => Ok(Scalar::Float(f64::from_bits(bits))),
        (TypeChar::Float, 4) => {
            let [a, b, c, d, ..] = word;
            Ok(Scalar::Float(f32::from_le_bytes([a, b, c, d]).into()))
        }
        (TypeChar::ByteStr, _) => {
            let end = raw.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            String::from_utf8(raw[..end].to_vec())
                .map(Scalar::Text)
                .map_err(|_| "the key is not UTF-8".to_owned())
        }
        (TypeChar::UnicodeStr, _) => unicode(raw, field.kind.endianness()),
        _ => Err(format!("values of type {} are not supported", field.kind)),
    }
}

/// Decodes numpy's type `U`: UTF-32, padded with zeros.
fn unicode(raw: &[u8], endianness: Endianness) -> Result<Scalar, String> {
    let (points, _) = raw.as_chunks::<4>();
    let mut text = String::new();
    for point in points {
        let point = match endianness {
            Endianness::Big => u32::from_be_bytes(*point),
            Endianness::Little | Endianness::Irrelevant => u32::from_le_bytes(*point),
        };
        text.push(char::from_u32(point).ok_or("the key is not valid Unicode")?);
    }
    Ok(Scalar::Text(text.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{super::read_all, *};
    use crate::client::Ids;

    /// An npy file of version 1.
    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
        while (10 + header.len() + 1) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(data);
        file
    }

    fn read_file(file: &[u8], wanted: Wanted) -> anyhow::Result<Vec<Chunk>> {
        read_all(&mut NpyReader::new(file, wanted)?, 2)
    }

    #[test]
    fn records_of_any_width_and_order() {
        let mut data = Vec::new();
        for (id, score, step) in [(7_u64, 0.5_f32, -1_i16), (u64::MAX, 2.0, -2), (9, 3.0, -3)] {
            data.extend(id.to_be_bytes());
            data.extend(step.to_le_bytes());
            data.extend(score.to_le_bytes());
        }
        let file = npy("[('id', '>u8'), ('other', '<i2'), ('score', '<f4')]", "(3,)", &data);
        let chunks = read_file(&file, Wanted::default()).unwrap();
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[0].ids, Ids::U64(vec![7, u64::MAX]));
        assert_eq!(chunks[0].scores, [0.5, 2.0]);
        assert_eq!(chunks[1].ids, Ids::U64(vec![9]));
    }

    #[test]
    fn text_keys_and_steps() {
        let mut data = Vec::new();
        for (key, score, step) in [(*b"ab\0", 1_i8, 4_u32), (*b"abc", 2, 5)] {
            data.extend(key);
            data.extend(score.to_le_bytes());
            data.extend(step.to_le_bytes());
        }
        let file = npy("[('id', '|S3'), ('score', '|i1'), ('step', '<u4')]", "(2,)", &data);
        let chunks = read_file(&file, Wanted::keys()).unwrap();
        assert_eq!(chunks.len(), 2, "the step ends a chunk");
        assert_eq!(chunks[0].ids, Ids::Keys(vec!["ab".into()]));
        assert_eq!(chunks[1].ids, Ids::Keys(vec!["abc".into()]));
        assert_eq!(chunks[1].step, Some(5));
    }

    #[test]
    fn further_fields() {
        let mut data = Vec::new();
        for (id, group, stratum) in [(1_u64, 9_u64, 3_u32), (2, 0, 4)] {
            data.extend(id.to_le_bytes());
            data.extend(0.5_f32.to_le_bytes());
            data.extend(stratum.to_le_bytes());
            data.extend(group.to_le_bytes());
            data.extend(*b"q1");
            data.extend(f32::NAN.to_le_bytes());
            data.extend(0.25_f32.to_le_bytes());
            data.extend([7_u32, 8].map(u32::to_le_bytes).concat());
        }
        let descr = "[('id', '<u8'), ('score', '<f4'), ('strata', '<u4'), ('groups', '<u8'), ('anchors', '|S2'), \
                     ('positive_scores', '<f4'), ('reference_scores', '<f4'), ('labels', '<u4'), ('anchor_labels', '<u4')]";
        let chunks = read_file(&npy(descr, "(2,)", &data), Wanted::everything()).unwrap();
        let extras = &chunks[0].extras;
        assert_eq!((&extras.strata[..], &extras.groups), (&[3, 4][..], &Some(Ids::U64(vec![9, 0]))));
        assert_eq!(extras.anchors, Some(Ids::Keys(vec!["q1".into(), "q1".into()])));
        assert!(extras.positive_scores[0].is_nan());
        assert_eq!(extras.reference_scores, [0.25, 0.25]);
        assert_eq!((&extras.labels[..], &extras.anchor_labels[..]), (&[7, 7][..], &[8, 8][..]));
        let missing = read_file(&npy("'<f8'", "(1, 2)", &[0; 16]), Wanted::everything()).unwrap_err();
        assert_eq!(missing.to_string(), "the array has no field `strata`");
    }

    #[test]
    fn pairs_of_numbers() {
        let data: Vec<u8> = [3.0_f64, 0.25, 4.0, -1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let chunks = read_file(&npy("'<f8'", "(2, 2)", &data), Wanted::default()).unwrap();
        assert_eq!(chunks[0].ids, Ids::U64(vec![3, 4]));
        assert_eq!(chunks[0].scores, [0.25, -1.0]);
    }

    #[test]
    fn problems_name_the_row() {
        let data: Vec<u8> = [3.0_f64, 0.25, 4.5, -1.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let text = |file: Vec<u8>| format!("{:#}", read_file(&file, Wanted::default()).unwrap_err());
        assert!(text(npy("'<f8'", "(2, 2)", &data)).starts_with("row 1: id 4.5"));
        assert!(text(npy("'<f8'", "(3, 2)", &data[..24])).starts_with("row 1 of 3"));
        assert!(text(npy("'<f8'", "(4,)", &data)).starts_with("expected a structured array"));
        assert!(text(b"not npy".to_vec()).starts_with("the npy header"));
        assert!(text(npy("[('id', '<u8')]", "(0,)", &[])).contains("no field `score`"));
    }
}
