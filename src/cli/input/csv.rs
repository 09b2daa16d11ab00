//! CSV with a header: `id` (or `key`), `score`, and optionally `step`.

use std::io::Read;

use anyhow::{Context as _, anyhow, bail};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Chunk, IdsBuilder, Reader, Scalar};

/// Reads CSV from any source.
pub(super) struct CsvReader<R> {
    reader: csv::Reader<R>,
    string_keys: bool,
    id_column: usize,
    score_column: usize,
    step_column: Option<usize>,
    record: StringRecord,
    /// `record` holds a row of the next chunk: the step changed before it.
    pending: bool,
}

impl<R: Read> CsvReader<R> {
    /// Reads the header.
    pub(super) fn new(source: R, string_keys: bool) -> anyhow::Result<Self> {
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(source);
        let header = reader.headers().context("line 1")?.clone();
        let find = |names: &[&str]| {
            header.iter().position(|column| names.iter().any(|name| column.eq_ignore_ascii_case(name)))
        };
        let missing = |name: &str| {
            let header: Vec<&str> = header.iter().collect();
            anyhow!("line 1: no column `{name}` in the header `{}`", header.join(","))
        };
        Ok(Self {
            id_column: find(&["id", "key"]).ok_or_else(|| missing("id"))?,
            score_column: find(&["score"]).ok_or_else(|| missing("score"))?,
            step_column: find(&["step"]),
            reader,
            string_keys,
            record: StringRecord::new(),
            pending: false,
        })
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(self.reader.position().line(), csv::Position::line)
    }

    fn step(&self) -> anyhow::Result<Option<u64>> {
        let Some(column) = self.step_column else {
            return Ok(None);
        };
        let text = self.record.get(column).unwrap_or_default();
        match text.parse() {
            Ok(step) => Ok(Some(step)),
            Err(_) => bail!("line {}: step {text:?} is not an unsigned integer", self.line()),
        }
    }

    fn value(&self, column: usize) -> Scalar {
        Scalar::Text(self.record.get(column).unwrap_or_default().to_owned())
    }
}

impl<R: Read + Send> Reader for CsvReader<R> {
    fn next_chunk(&mut self, max_rows: usize) -> anyhow::Result<Option<Chunk>> {
        let mut ids = IdsBuilder::new(self.string_keys);
        let mut scores = Vec::new();
        let mut chunk_step = None;
        while scores.len() < max_rows {
            // The parser's own error names the line.
            if !self.pending && !self.reader.read_record(&mut self.record)? {
                break;
            }
            let step = self.step()?;
            self.pending = !scores.is_empty() && step != chunk_step;
            if self.pending {
                break;
            }
            chunk_step = step;
            let score = self.value(self.score_column).into_score();
            let score = score.map_err(|problem| anyhow!("line {}: {problem}", self.line()))?;
            ids.push(self.value(self.id_column))
                .map_err(|problem| anyhow!("line {}: {problem}", self.line()))?;
            scores.push(score);
        }
        Ok((!scores.is_empty()).then(|| Chunk { ids: ids.finish(), scores, step: chunk_step }))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::read_all, *};
    use crate::client::Ids;

    fn error(text: &str) -> String {
        match CsvReader::new(text.as_bytes(), false) {
            Ok(mut reader) => format!("{:#}", read_all(&mut reader, 10).unwrap_err()),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn rows_come_in_chunks() {
        let text = "score, id\n0.5,1\nnan,18446744073709551615\n1e3,3\n";
        let mut reader = CsvReader::new(text.as_bytes(), false).unwrap();
        let chunks = read_all(&mut reader, 2).unwrap();
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[0].ids, Ids::U64(vec![1, u64::MAX]));
        assert!(chunks[0].scores[1].is_nan());
        assert_eq!(chunks[1].scores, [1_000.0]);
        assert_eq!(chunks[1].step, None);
    }

    #[test]
    fn a_step_ends_a_chunk() {
        let text = "id,score,step\na,1,5\nb,2,5\nc,3,6\n";
        let mut reader = CsvReader::new(text.as_bytes(), true).unwrap();
        let chunks = read_all(&mut reader, 10).unwrap();
        assert_eq!(chunks.len(), 2);
        assert_eq!(chunks[0].ids, Ids::Keys(vec!["a".into(), "b".into()]));
        assert_eq!((chunks[0].step, chunks[1].step), (Some(5), Some(6)));
    }

    #[test]
    fn a_malformed_row_names_its_line() {
        assert_eq!(error("id,score\n1,0.5\n2,hard\n"), "line 3: score \"hard\" is not a number");
        assert_eq!(error("id,score\n-1,0.5\n"), "line 2: id \"-1\" is not an unsigned integer");
        assert!(error("id,score\n1,0.5\n2\n").contains("line: 3"), "{}", error("id,score\n1,0.5\n2\n"));
        assert_eq!(error("id,loss\n"), "line 1: no column `score` in the header `id,loss`");
        assert_eq!(error("id,score,step\n1,1,x\n"), "line 2: step \"x\" is not an unsigned integer");
    }

    #[test]
    fn an_empty_file_has_no_header() {
        assert!(error("").starts_with("line 1: no column `id`"));
    }
}
