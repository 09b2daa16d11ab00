//! One batch of reports, before it gets a worker and a sequence.

use bytes::Bytes;

use super::{Error, Ids, pb, pool_name};
use crate::proto::columns::{encode_floats, encode_ids, encode_keys, f32s_le, u64s_le};
use pb::{float_column, id_column};

/// Scores of one batch of samples. Cloning shares raw columns.
#[derive(Clone, Debug)]
pub struct ScoreBatch {
    message: pb::ScoreBatch,
    rows: usize,
}

impl ScoreBatch {
    /// Integer ids, as raw little-endian columns.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn new(pool: impl AsRef<str>, ids: &[u64], scores: &[f32]) -> Result<Self, Error> {
        same_rows(ids.len(), scores.len())?;
        let ids = pb::IdColumn { encoding: Some(id_column::Encoding::U64Le(u64s_le(ids))) };
        Ok(Self::from_columns(pool, ids, raw_scores(scores), scores.len()))
    }

    /// String keys.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn with_keys<K: Into<String>>(
        pool: impl AsRef<str>,
        keys: impl IntoIterator<Item = K>,
        scores: &[f32],
    ) -> Result<Self, Error> {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        same_rows(keys.len(), scores.len())?;
        Ok(Self::from_columns(pool, encode_keys(keys), raw_scores(scores), scores.len()))
    }

    /// Either kind of id, in the encoding given (string keys have one only).
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn with_encoding(
        pool: impl AsRef<str>,
        ids: Ids,
        scores: Vec<f32>,
        encoding: pb::ColumnEncoding,
    ) -> Result<Self, Error> {
        same_rows(ids.len(), scores.len())?;
        let rows = scores.len();
        let ids = match ids {
            Ids::U64(ids) => encode_ids(ids, encoding),
            Ids::Keys(keys) => encode_keys(keys),
        };
        Ok(Self::from_columns(pool, ids, encode_floats(scores, encoding), rows))
    }

    fn from_columns(pool: impl AsRef<str>, ids: pb::IdColumn, scores: pb::FloatColumn, rows: usize) -> Self {
        Self {
            message: pb::ScoreBatch {
                pool: pool_name(pool.as_ref()),
                ids: Some(ids),
                scores: Some(scores),
                ..Default::default()
            },
            rows,
        }
    }

    /// The training step of the scores; pools that age by steps need it.
    #[must_use]
    pub fn step(mut self, step: u64) -> Self {
        self.message.step = step;
        self
    }

    /// The version of the model that computed the scores.
    #[must_use]
    pub fn model_version(mut self, version: u32) -> Self {
        self.message.model_version = version;
        self
    }

    /// Refuse another pool that has taken the name since.
    #[must_use]
    pub fn pool_uid(mut self, uid: u64) -> Self {
        self.message.pool_uid = uid;
        self
    }

    /// A payload a row, kept with the sample; empty ones keep what is stored.
    #[must_use]
    pub fn payloads(mut self, payloads: Vec<Bytes>) -> Self {
        self.message.payloads = payloads;
        self
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The message as sent by this worker.
    pub(crate) fn into_message(
        mut self,
        worker_id: &str,
        worker_epoch: u64,
        sequence: u64,
    ) -> pb::ScoreBatch {
        worker_id.clone_into(&mut self.message.worker_id);
        self.message.worker_epoch = worker_epoch;
        self.message.sequence = sequence;
        self.message
    }
}

fn raw_scores(scores: &[f32]) -> pb::FloatColumn {
    pb::FloatColumn { encoding: Some(float_column::Encoding::F32Le(f32s_le(scores))), present: Bytes::new() }
}

fn same_rows(ids: usize, scores: usize) -> Result<(), Error> {
    if ids == scores { Ok(()) } else { Err(Error::Mismatch { ids, scores }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_must_have_the_same_rows() {
        let error = ScoreBatch::new("p", &[1, 2], &[0.5]).unwrap_err();
        assert_eq!(error.to_string(), "2 ids but 1 scores");
        let batch = ScoreBatch::with_keys("pools/p", ["a"], &[1.0]).unwrap().step(7).into_message("w", 9, 3);
        assert_eq!(batch.pool, "pools/p");
        assert_eq!((batch.step, batch.worker_epoch, batch.sequence), (7, 9, 3));
    }
}
