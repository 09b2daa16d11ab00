//! Reads CSV with a header: `id` (or `key`), `score`, optionally `step`, and other requested columns.

use std::io::Read;

use anyhow::{Context as _, anyhow, bail};
use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Chunk, Reader, RowsBuilder, Scalar, Wanted};

/// Reads CSV from any source.
pub(super) struct CsvReader<R> {
    reader: csv::Reader<R>,
    wanted: Wanted,
    id_column: usize,
    score_column: usize,
    step_column: Option<usize>,
    extra_columns: Vec<usize>,
    record: StringRecord,
    /// Whether `record` holds the first row of the next chunk, because the step changed before it.
    pending: bool,
}

impl<R: Read> CsvReader<R> {
    /// Reads the header.
    pub(super) fn new(source: R, wanted: Wanted) -> anyhow::Result<Self> {
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
            extra_columns: wanted
                .extras
                .iter()
                .map(|(_, name)| find(&[name]).ok_or_else(|| missing(name)))
                .collect::<Result<_, _>>()?,
            reader,
            wanted,
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
        let mut rows = RowsBuilder::new(&self.wanted);
        let mut chunk_step = None;
        while rows.len() < max_rows {
            // Errors of the parser name the line already.
            if !self.pending && !self.reader.read_record(&mut self.record)? {
                break;
            }
            let step = self.step()?;
            self.pending = rows.len() > 0 && step != chunk_step;
            if self.pending {
                break;
            }
            chunk_step = step;
            let extras = self.extra_columns.iter().map(|column| self.value(*column));
            rows.push(self.value(self.id_column), self.value(self.score_column), extras)
                .map_err(|problem| anyhow!("line {}: {problem}", self.line()))?;
        }
        Ok(rows.finish(chunk_step))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::read_all, *};
    use crate::client::Ids;

    fn error(text: &str) -> String {
        match CsvReader::new(text.as_bytes(), Wanted::default()) {
            Ok(mut reader) => format!("{:#}", read_all(&mut reader, 10).unwrap_err()),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn rows_come_in_chunks() {
        let text = "score, id\n0.5,1\nnan,18446744073709551615\n1e3,3\n";
        let mut reader = CsvReader::new(text.as_bytes(), Wanted::default()).unwrap();
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
        let mut reader = CsvReader::new(text.as_bytes(), Wanted::keys()).unwrap();
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
    #[test]
    fn further_columns_are_read_by_name() {
        let text = "id,score,strata,groups,anchors,positive_scores,reference_scores,labels,anchor_labels,other\n\
                    1,0.5,7,9,q,0.75,,3,4,x\n2,0.25,0,0,r,,0.5,0,4,y\n";
        let mut reader = CsvReader::new(text.as_bytes(), Wanted::everything()).unwrap();
        let chunk = reader.next_chunk(10).unwrap().unwrap();
        let extras = chunk.extras;
        assert_eq!(extras.strata, [7, 0]);
        assert_eq!(extras.groups, Some(Ids::U64(vec![9, 0])));
        assert_eq!(extras.anchors, Some(Ids::Keys(vec!["q".into(), "r".into()])));
        assert_eq!(extras.positive_scores[0], 0.75);
        assert!(extras.positive_scores[1].is_nan());
        assert_eq!(extras.reference_scores, [0.0, 0.5]);
        assert_eq!((extras.labels, extras.anchor_labels), (vec![3, 0], vec![4, 4]));

        let problem = |text: &str| {
            let read = CsvReader::new(text.as_bytes(), Wanted::everything())
                .and_then(|mut reader| reader.next_chunk(10));
            format!("{:#}", read.unwrap_err())
        };
        assert_eq!(problem("id,score\n"), "line 1: no column `strata` in the header `id,score`");
        let header = "id,score,strata,groups,anchors,positive_scores,reference_scores,labels,anchor_labels\n";
        assert_eq!(
            problem(&format!("{header}1,1,4294967296,0,q,1,1,0,0\n")),
            "line 2: strata 4294967296 is above 2^32-1"
        );
        assert_eq!(
            problem(&format!("{header}1,1,1,g,q,1,1,0,0\n")),
            "line 2: groups \"g\" is not an unsigned integer"
        );
    }
}
