//! Reads Parquet with the columns id (or key) and score, optionally step, and other requested columns.

use std::fs::File;

use anyhow::{Context as _, anyhow, bail};
use parquet::{
    basic::{ConvertedType, LogicalType},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType},
    file::reader::{FileReader, SerializedFileReader},
    schema::types::ColumnDescriptor,
};

use super::{Chunk, Reader, RowsBuilder, Scalar, Wanted};

/// Reads one row group after another, in chunks.
pub(super) struct ParquetReader {
    file: SerializedFileReader<File>,
    wanted: Wanted,
    id_column: usize,
    score_column: usize,
    step_column: Option<usize>,
    extra_columns: Vec<usize>,
    next_group: usize,
    group: Option<Group>,
    /// Number of rows returned or buffered so far.
    row: u64,
    /// Rows of the next chunk, because the step changed before them.
    buffered: std::collections::VecDeque<Row>,
}

struct Row {
    id: Scalar,
    score: Scalar,
    step: Option<u64>,
    extras: Vec<Scalar>,
}

struct Group {
    ids: Column,
    scores: Column,
    steps: Option<Column>,
    extras: Vec<Column>,
    rows_left: usize,
}

struct Column {
    name: String,
    reader: ColumnReader,
    unsigned: bool,
}

impl ParquetReader {
    /// Reads the footer.
    pub(super) fn new(file: File, wanted: Wanted) -> anyhow::Result<Self> {
        let file = SerializedFileReader::new(file)?;
        let schema = file.metadata().file_metadata().schema_descr();
        let find = |name: &str| (0..schema.num_columns()).find(|i| schema.column(*i).path().string() == name);
        Ok(Self {
            id_column: find("id").or_else(|| find("key")).context("no column `id`")?,
            score_column: find("score").context("no column `score`")?,
            step_column: find("step"),
            extra_columns: wanted
                .extras
                .iter()
                .map(|(_, name)| find(name).with_context(|| format!("no column `{name}`")))
                .collect::<Result<_, _>>()?,
            file,
            wanted,
            next_group: 0,
            group: None,
            row: 0,
            buffered: std::collections::VecDeque::new(),
        })
    }

    /// The current row group, which has rows left, or `None` at the end.
    fn group(&mut self) -> anyhow::Result<Option<&mut Group>> {
        while self.group.as_ref().is_none_or(|group| group.rows_left == 0) {
            if self.next_group == self.file.num_row_groups() {
                return Ok(None);
            }
            let reader = self.file.get_row_group(self.next_group)?;
            self.next_group += 1;
            let column = |name: &str, i: usize| -> anyhow::Result<Column> {
                Ok(Column {
                    name: name.to_owned(),
                    reader: reader.get_column_reader(i)?,
                    unsigned: is_unsigned(&reader.metadata().column(i).column_descr_ptr()),
                })
            };
            self.group = Some(Group {
                ids: column("id", self.id_column)?,
                scores: column("score", self.score_column)?,
                steps: self.step_column.map(|i| column("step", i)).transpose()?,
                extras: std::iter::zip(&self.wanted.extras, &self.extra_columns)
                    .map(|((_, name), i)| column(name, *i))
                    .collect::<Result<_, _>>()?,
                rows_left: usize::try_from(reader.metadata().num_rows())
                    .context("a row group of negative length")?,
            });
        }
        Ok(self.group.as_mut())
    }

    fn fill(&mut self, max_rows: usize) -> anyhow::Result<()> {
        while self.buffered.len() < max_rows {
            let wanted = max_rows - self.buffered.len();
            let first_row = self.row;
            let Some(group) = self.group()? else {
                return Ok(());
            };
            let rows = wanted.min(group.rows_left);
            let ids = group.ids.read(rows, first_row)?;
            let scores = group.scores.read(rows, first_row)?;
            let steps = match &mut group.steps {
                Some(column) => column
                    .read(rows, first_row)?
                    .into_iter()
                    .map(|step| step.into_u64("step").map(Some))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|problem| anyhow!("column `step`: {problem}"))?,
                None => vec![None; rows],
            };
            let mut extras = vec![Vec::with_capacity(group.extras.len()); rows];
            for column in &mut group.extras {
                for (row, value) in extras.iter_mut().zip(column.read(rows, first_row)?) {
                    row.push(value);
                }
            }
            group.rows_left -= rows;
            self.row += rows as u64;
            let columns = ids.into_iter().zip(scores).zip(steps).zip(extras);
            self.buffered.extend(columns.map(|(((id, score), step), extras)| Row {
                id,
                score,
                step,
                extras,
            }));
        }
        Ok(())
    }
}

impl Reader for ParquetReader {
    fn next_chunk(&mut self, max_rows: usize) -> anyhow::Result<Option<Chunk>> {
        self.fill(max_rows)?;
        let Some(step) = self.buffered.front().map(|row| row.step) else {
            return Ok(None);
        };
        let mut rows = RowsBuilder::new(&self.wanted);
        while rows.len() < max_rows
            && self.buffered.front().is_some_and(|row| row.step == step)
            && let Some(row) = self.buffered.pop_front()
        {
            let number = self.row - self.buffered.len() as u64 - 1;
            rows.push(row.id, row.score, row.extras).map_err(|problem| anyhow!("row {number}: {problem}"))?;
        }
        Ok(rows.finish(step))
    }

    fn total_rows(&self) -> Option<u64> {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).ok()
    }
}

impl Column {
    /// Reads exactly `rows` values; it is an error if one is null.
    fn read(&mut self, rows: usize, first_row: u64) -> anyhow::Result<Vec<Scalar>> {
        let name = &self.name;
        let unsigned = self.unsigned;
        let values =
            match &mut self.reader {
                ColumnReader::Int32ColumnReader(reader) => values(reader, rows)?
                    .into_iter()
                    .map(|value| {
                        if unsigned {
                            Scalar::Unsigned(value.cast_unsigned().into())
                        } else {
                            Scalar::Signed(value.into())
                        }
                    })
                    .collect(),
                ColumnReader::Int64ColumnReader(reader) => values(reader, rows)?
                    .into_iter()
                    .map(|value| {
                        if unsigned { Scalar::Unsigned(value.cast_unsigned()) } else { Scalar::Signed(value) }
                    })
                    .collect(),
                ColumnReader::FloatColumnReader(reader) => {
                    values(reader, rows)?.into_iter().map(|value| Scalar::Float(value.into())).collect()
                }
                ColumnReader::DoubleColumnReader(reader) => {
                    values(reader, rows)?.into_iter().map(Scalar::Float).collect()
                }
                ColumnReader::ByteArrayColumnReader(reader) => values(reader, rows)?
                    .iter()
                    .map(text)
                    .collect::<Result<Vec<_>, _>>()
                    .with_context(|| format!("column `{name}`"))?,
                _ => bail!("column `{name}` is neither integers, floats nor text"),
            };
        if values.len() < rows {
            bail!(
                "column `{name}` has a null or ends early, in rows {first_row} to {}",
                first_row + rows as u64 - 1
            );
        }
        Ok(values)
    }
}

/// Reads up to `rows` values without nulls. The caller detects nulls by the smaller number of values.
fn values<T: DataType>(reader: &mut ColumnReaderImpl<T>, rows: usize) -> anyhow::Result<Vec<T::T>> {
    let mut values = Vec::with_capacity(rows);
    let mut definitions = Vec::new();
    let mut done = 0;
    while done < rows {
        let (records, _, _) = reader.read_records(rows - done, Some(&mut definitions), None, &mut values)?;
        if records == 0 {
            break;
        }
        done += records;
    }
    Ok(values)
}

fn text(value: &ByteArray) -> anyhow::Result<Scalar> {
    Ok(Scalar::Text(value.as_utf8()?.to_owned()))
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    match column.logical_type_ref() {
        Some(LogicalType::Integer(integer)) => !integer.is_signed,
        _ => matches!(
            column.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::{
        data_type::{ByteArrayType, FloatType, Int64Type},
        file::writer::SerializedFileWriter,
        schema::parser::parse_message_type,
    };

    use super::{
        super::{Extra, read_all},
        *,
    };
    use crate::client::Ids;

    /// Two row groups of (id, score, step).
    fn numbers(schema: &str, groups: &[(&[i64], &[f32])]) -> File {
        let file = tempfile::tempfile().unwrap();
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer =
            SerializedFileWriter::new(file.try_clone().unwrap(), schema, Arc::default()).unwrap();
        for (ids, scores) in groups {
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<Int64Type>().write_batch(ids, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            column.typed::<FloatType>().write_batch(scores, None, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
        file
    }

    #[test]
    fn row_groups_become_chunks() {
        let file = numbers(
            "message m { required int64 id (INTEGER(64, false)); required float score; }",
            &[(&[1, 2, 3], &[0.1, 0.2, 0.3]), (&[-1], &[0.4])],
        );
        let mut reader = ParquetReader::new(file, Wanted::default()).unwrap();
        assert_eq!(reader.total_rows(), Some(4));
        let chunks = read_all(&mut reader, 2).unwrap();
        let ids: Vec<u64> = chunks.iter().flat_map(|chunk| chunk.ids.as_u64().unwrap().to_vec()).collect();
        assert_eq!(ids, [1, 2, 3, u64::MAX]);
        assert_eq!(chunks.len(), 2);
    }

    #[test]
    fn a_negative_id_names_its_row() {
        let file =
            numbers("message m { required int64 id; required float score; }", &[(&[1, -2], &[0.1, 0.2])]);
        let mut reader = ParquetReader::new(file, Wanted::default()).unwrap();
        let error = read_all(&mut reader, 10).unwrap_err();
        assert_eq!(error.to_string(), "row 1: id -2 is negative");
    }

    #[test]
    fn text_keys_and_nulls() {
        let file = tempfile::tempfile().unwrap();
        let schema = "message m { required binary id (STRING); optional float score; }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer =
            SerializedFileWriter::new(file.try_clone().unwrap(), schema, Arc::default()).unwrap();
        for definitions in [[1, 1], [1, 0]] {
            let mut group = writer.next_row_group().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            let keys = [ByteArray::from("a"), ByteArray::from("b")];
            column.typed::<ByteArrayType>().write_batch(&keys, None, None).unwrap();
            column.close().unwrap();
            let mut column = group.next_column().unwrap().unwrap();
            column
                .typed::<FloatType>()
                .write_batch(
                    &[1.0, 2.0][..definitions.iter().sum::<i16>() as usize],
                    Some(&definitions),
                    None,
                )
                .unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
        let mut reader = ParquetReader::new(file, Wanted::keys()).unwrap();
        let first = reader.next_chunk(2).unwrap().unwrap();
        assert_eq!(first.ids, Ids::Keys(vec!["a".into(), "b".into()]));
        let error = reader.next_chunk(2).unwrap_err();
        assert!(error.to_string().contains("column `score` has a null"), "{error}");
    }

    #[test]
    fn a_missing_column_is_named() {
        let file = numbers("message m { required int64 id; required float loss; }", &[]);
        let error = ParquetReader::new(file, Wanted::default()).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "no column `score`");
    }
    #[test]
    fn further_columns_are_found_by_name() {
        let file = numbers(
            "message m { required int64 id; required float score; }",
            &[(&[1, 2, 3], &[0.1, 0.2, 0.3]), (&[4], &[0.4])],
        );
        // A column may be wanted twice.
        let extras = vec![(Extra::Strata, "id".to_owned()), (Extra::ReferenceScores, "score".to_owned())];
        let mut reader = ParquetReader::new(file, Wanted { extras, ..Wanted::default() }).unwrap();
        let chunks = read_all(&mut reader, 4).unwrap();
        assert_eq!(chunks[0].extras.strata, [1, 2, 3, 4]);
        assert_eq!(chunks[0].extras.reference_scores, chunks[0].scores);

        let file = numbers("message m { required int64 id; required float score; }", &[]);
        let error = ParquetReader::new(file, Wanted::everything()).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), "no column `strata`");
    }
}
