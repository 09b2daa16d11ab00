//! A mined batch as plain vectors.

use bytes::Bytes;

use super::{Error, Ids, pb};
use crate::proto::columns::{ColumnError, decode_floats, decode_ids};

/// A mined batch: columns of n rows with distinct ids. A column that was not requested is empty.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The samples, n of them.
    pub ids: Ids,
    /// Raw scores as last reported; NaN for an id that was never reported.
    pub scores: Vec<f32>,
    /// Importance weights: multiply the loss of each sample by its weight. Empty where `estimand` is NONE.
    pub importance_weights: Vec<f32>,
    /// The probability that a draw like this one includes the sample.
    pub inclusion_probabilities: Vec<f32>,
    /// Where each sample was drawn from.
    pub sources: Vec<pb::Source>,
    /// Seconds since each sample's last report, or steps where the pool ages by steps.
    pub ages: Vec<f32>,
    /// The model versions of the samples' last reports.
    pub model_versions: Vec<u32>,
    /// How many times each sample was served since its last report, including this batch.
    pub serves: Vec<u32>,
    /// Payloads; empty where a sample has none.
    pub payloads: Vec<Bytes>,
    /// Strata of the samples.
    pub strata: Vec<u32>,
    /// Groups of the samples, as numbers or the 64-bit hashes of strings; 0 means none.
    pub groups: Ids,
    /// What mean(importance weight x f) estimates.
    pub estimand: pb::Estimand,
    /// The other fields of the response: the policy and seed that were used, counts, the pool's sizes. Its columns are empty.
    pub info: pb::MinedBatch,
}

impl Batch {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the batch has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl TryFrom<pb::MinedBatch> for Batch {
    type Error = Error;

    fn try_from(mut batch: pb::MinedBatch) -> Result<Self, Error> {
        let ids = match batch.ids.take() {
            // A batch without rows may come without a column.
            None => Ids::U64(Vec::new()),
            ids => decode_ids(ids).map_err(|source| Error::Column { column: "ids", source })?,
        };
        let groups = match batch.groups.take() {
            None => Ids::U64(Vec::new()),
            groups => match decode_ids(groups) {
                // The column was not requested.
                Err(ColumnError::Missing) => Ids::U64(Vec::new()),
                groups => groups.map_err(|source| Error::Column { column: "groups", source })?,
            },
        };
        let sources = std::mem::take(&mut batch.sources)
            .iter()
            .map(|number| pb::Source::try_from(i32::from(*number)).unwrap_or_default())
            .collect();
        let floats = Self {
            scores: floats("scores", batch.scores.take())?,
            importance_weights: floats("importance_weights", batch.importance_weights.take())?,
            inclusion_probabilities: floats("inclusion_probabilities", batch.inclusion_probabilities.take())?,
            ages: floats("ages", batch.ages.take())?,
            sources,
            model_versions: std::mem::take(&mut batch.model_versions),
            serves: std::mem::take(&mut batch.serves),
            payloads: std::mem::take(&mut batch.payloads),
            strata: std::mem::take(&mut batch.strata),
            groups,
            estimand: batch.estimand(),
            ids,
            info: batch,
        };
        floats.check_lengths()
    }
}

impl Batch {
    /// Checks that every column is empty or has one value per row.
    fn check_lengths(self) -> Result<Self, Error> {
        let rows = self.len();
        let lengths = [
            ("scores", self.scores.len()),
            ("importance_weights", self.importance_weights.len()),
            ("inclusion_probabilities", self.inclusion_probabilities.len()),
            ("ages", self.ages.len()),
            ("sources", self.sources.len()),
            ("model_versions", self.model_versions.len()),
            ("serves", self.serves.len()),
            ("payloads", self.payloads.len()),
            ("strata", self.strata.len()),
            ("groups", self.groups.len()),
        ];
        match lengths.iter().find(|(_, len)| *len != 0 && *len != rows) {
            None => Ok(self),
            Some((column, len)) => Err(Error::ColumnLength { column, expected: rows, got: *len }),
        }
    }
}

pub(super) fn floats(column: &'static str, values: Option<pb::FloatColumn>) -> Result<Vec<f32>, Error> {
    match decode_floats(values) {
        Ok(values) => Ok(values),
        // The column was not requested.
        Err(ColumnError::Missing) => Ok(Vec::new()),
        Err(source) => Err(Error::Column { column, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::columns::{encode_floats, encode_ids};
    use pb::ColumnEncoding::LittleEndian;

    #[test]
    fn columns_are_decoded_and_checked() {
        let message = pb::MinedBatch {
            ids: Some(encode_ids(vec![4, 5], LittleEndian)),
            importance_weights: Some(encode_floats(vec![1.0, 0.5], LittleEndian)),
            sources: Bytes::from_static(&[1, 2]),
            estimand: pb::Estimand::All.into(),
            ..Default::default()
        };
        let batch = Batch::try_from(message.clone()).unwrap();
        assert_eq!(batch.ids, Ids::U64(vec![4, 5]));
        assert_eq!(batch.sources, [pb::Source::Hard, pb::Source::Background]);
        assert!(batch.scores.is_empty() && batch.strata.is_empty() && batch.groups.is_empty());

        let grouped = pb::MinedBatch {
            strata: vec![7, 0],
            groups: Some(encode_ids(vec![9, 0], LittleEndian)),
            ..message.clone()
        };
        let batch = Batch::try_from(grouped.clone()).unwrap();
        assert_eq!((batch.strata, batch.groups), (vec![7, 0], Ids::U64(vec![9, 0])));
        let error = Batch::try_from(pb::MinedBatch { strata: vec![7], ..grouped }).unwrap_err();
        assert!(error.to_string().contains("`strata`"), "{error}");

        let short = pb::MinedBatch { sources: Bytes::from_static(&[1]), ..message };
        let error = Batch::try_from(short).unwrap_err();
        assert!(error.to_string().contains("`sources`"), "{error}");
    }
}
