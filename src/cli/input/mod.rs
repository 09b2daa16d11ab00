//! Reads files of scores in chunks, so that the memory does not depend on the size of the file.

mod csv;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;

use std::{
    fs::File,
    io::{self, BufReader},
    path::Path,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use crate::client::Ids;
use rows::RowsBuilder;
pub(super) use rows::{Extra, Extras, Wanted};

/// Rows of one step.
#[derive(Debug, PartialEq)]
pub(super) struct Chunk {
    /// The ids or string keys.
    pub ids: Ids,
    /// One score per row.
    pub scores: Vec<f32>,
    /// The training step of all rows, if the file has a column `step`.
    pub step: Option<u64>,
    /// The other requested columns.
    pub extras: Extras,
}

/// A file of scores.
pub(super) trait Reader: Send {
    /// Reads the next rows, at least one and at most `max_rows`; `None` at the end. A chunk ends where the step changes.
    ///
    /// # Errors
    /// If a row cannot be read; the error names the line or row.
    fn next_chunk(&mut self, max_rows: usize) -> anyhow::Result<Option<Chunk>>;

    /// Number of all rows; `None` if the format does not have it.
    fn total_rows(&self) -> Option<u64> {
        None
    }
}

/// The formats that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// With a header line: id,score and optionally step
    Csv,
    /// A structured array with the fields id and score, or an array of N x 2 numbers
    Npy,
    /// With the columns id and score, and optionally step
    Parquet,
}

/// Opens a file; `-` is CSV from standard input.
pub(super) fn open(path: &Path, format: Option<Format>, wanted: Wanted) -> anyhow::Result<Box<dyn Reader>> {
    if path == Path::new("-") {
        if format.is_some_and(|format| format != Format::Csv) {
            bail!("standard input can only be CSV");
        }
        return Ok(Box::new(csv::CsvReader::new(io::stdin(), wanted)?));
    }
    let format = match format {
        Some(format) => format,
        None => guess(path)?,
    };
    let file = File::open(path)?;
    Ok(match format {
        Format::Csv => Box::new(csv::CsvReader::new(file, wanted)?),
        Format::Npy => Box::new(npy::NpyReader::new(BufReader::new(file), wanted)?),
        #[cfg(not(feature = "parquet"))]
        Format::Parquet => {
            bail!("this program was built without the feature `parquet`, and reads CSV and npy only")
        }
        #[cfg(feature = "parquet")]
        Format::Parquet => Box::new(parquet::ParquetReader::new(file, wanted)?),
    })
}

fn guess(path: &Path) -> anyhow::Result<Format> {
    let extension =
        path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "csv" | "txt" => Ok(Format::Csv),
        "npy" => Ok(Format::Npy),
        "parquet" | "pq" => Ok(Format::Parquet),
        _ => Err(anyhow::anyhow!("give --format csv, npy or parquet"))
            .context("the format cannot be determined from the file's name"),
    }
}

/// One value of a column, whatever its type in the file.
#[derive(Clone, Debug, PartialEq)]
enum Scalar {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
}

impl Scalar {
    /// Converts it to an unsigned 32-bit number: a stratum or a label.
    fn into_u32(self, name: &str) -> Result<u32, String> {
        let value = self.into_u64(name)?;
        u32::try_from(value).map_err(|_| format!("{name} {value} is above 2^32-1"))
    }

    /// Converts it to an unsigned 64-bit number: an id or a step. `name` is for errors.
    fn into_u64(self, name: &str) -> Result<u64, String> {
        match self {
            Self::Unsigned(value) => Ok(value),
            Self::Signed(value) => u64::try_from(value).map_err(|_| format!("{name} {value} is negative")),
            // Above 2^53 a double cannot represent all integers, so two ids could have become the same number.
            Self::Float(value)
                if value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value) =>
            {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
                let id = value as u64;
                Ok(id)
            }
            Self::Float(value) => Err(format!("{name} {value} is not a whole number from 0 to 2^53")),
            Self::Text(value) => {
                value.parse().map_err(|_| format!("{name} {value:?} is not an unsigned integer"))
            }
        }
    }

    /// Converts it to a string key.
    fn into_key(self, name: &str) -> Result<String, String> {
        let key = match self {
            Self::Unsigned(value) => value.to_string(),
            Self::Signed(value) => value.to_string(),
            Self::Float(value) => return Err(format!("{name} {value} is not text")),
            Self::Text(value) => value,
        };
        if key.is_empty() {
            return Err(format!("{name} is empty"));
        }
        Ok(key)
    }

    /// Converts it to a score that may be missing; a missing one is NaN.
    fn into_optional_f32(self, name: &str) -> Result<f32, String> {
        match self {
            Self::Text(value) if value.is_empty() => Ok(f32::NAN),
            value => value.into_f32(name),
        }
    }

    /// Converts it to a score.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "scores are single precision"
    )]
    fn into_f32(self, name: &str) -> Result<f32, String> {
        match self {
            Self::Unsigned(value) => Ok(value as f32),
            Self::Signed(value) => Ok(value as f32),
            Self::Float(value) => Ok(value as f32),
            Self::Text(value) => value.parse().map_err(|_| format!("{name} {value:?} is not a number")),
        }
    }
}

/// Reads all chunks, for tests.
#[cfg(test)]
fn read_all(reader: &mut dyn Reader, max_rows: usize) -> anyhow::Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    while let Some(chunk) = reader.next_chunk(max_rows)? {
        assert!(!chunk.scores.is_empty() && chunk.scores.len() <= max_rows);
        assert_eq!(chunk.ids.len(), chunk.scores.len());
        chunks.push(chunk);
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_format() {
        assert_eq!(guess(Path::new("a/b.CSV")).unwrap(), Format::Csv);
        assert_eq!(guess(Path::new("b.parquet")).unwrap(), Format::Parquet);
        assert!(guess(Path::new("b.bin")).is_err());
    }

    #[test]
    fn ids_never_change_on_the_way() {
        assert_eq!(Scalar::Float(3.0).into_u64("id"), Ok(3));
        assert!(Scalar::Float(3.5).into_u64("id").is_err());
        assert!(Scalar::Float(1e17).into_u64("id").is_err());
        assert!(Scalar::Float(f64::NAN).into_u64("id").is_err());
        assert!(Scalar::Signed(-1).into_u64("id").is_err());
        assert!(Scalar::Text("x".into()).into_u64("id").is_err());
        assert!(Scalar::Text(String::new()).into_key("id").is_err());
    }
}
