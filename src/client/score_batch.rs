//! A batch of scores to report.

use bytes::Bytes;

use super::{Error, Ids, PoolRef, pb};
use crate::proto::columns::{encode_floats, encode_ids, encode_keys, f32s_le, u64s_le};
use pb::{ColumnEncoding, float_column, id_column};

/// Scores of one batch of samples. Clones share raw columns.
#[derive(Clone, Debug)]
pub struct ScoreBatch {
    message: pb::ScoreBatch,
    rows: usize,
}

impl ScoreBatch {
    /// A batch of integer ids, encoded as raw little-endian columns.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn new(pool: impl Into<PoolRef>, ids: &[u64], scores: &[f32]) -> Result<Self, Error> {
        same_rows(ids.len(), scores.len())?;
        let ids = pb::IdColumn { encoding: Some(id_column::Encoding::U64Le(u64s_le(ids))) };
        Ok(Self::from_columns(pool, ids, raw_scores(scores), scores.len()))
    }

    /// A batch of string keys.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn with_keys<K: Into<String>>(
        pool: impl Into<PoolRef>,
        keys: impl IntoIterator<Item = K>,
        scores: &[f32],
    ) -> Result<Self, Error> {
        let keys: Vec<String> = keys.into_iter().map(Into::into).collect();
        same_rows(keys.len(), scores.len())?;
        Ok(Self::from_columns(pool, encode_keys(keys), raw_scores(scores), scores.len()))
    }

    /// A batch of either kind of id, in this encoding (string keys have only one).
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn with_encoding(
        pool: impl Into<PoolRef>,
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

    fn from_columns(
        pool: impl Into<PoolRef>,
        ids: pb::IdColumn,
        scores: pb::FloatColumn,
        rows: usize,
    ) -> Self {
        let PoolRef { name, uid } = pool.into();
        Self {
            message: pb::ScoreBatch {
                pool: name,
                pool_uid: uid,
                ids: Some(ids),
                scores: Some(scores),
                ..Default::default()
            },
            rows,
        }
    }

    /// The training step of the scores. Required by pools that age by steps.
    #[must_use]
    pub fn step(mut self, step: u64) -> Self {
        self.message.step = step;
        self
    }

    /// The training run that counts the step. Default: that of the client's options.
    #[must_use]
    pub fn run_id(mut self, run_id: impl Into<String>) -> Self {
        self.message.run_id = run_id.into();
        self
    }

    /// The version of the model that computed the scores.
    #[must_use]
    pub fn model_version(mut self, version: u32) -> Self {
        self.message.model_version = version;
        self
    }

    /// Requires that the pool has this uid: the batch is refused if the pool was deleted and created again.
    #[must_use]
    pub fn pool_uid(mut self, uid: u64) -> Self {
        self.message.pool_uid = uid;
        self
    }

    /// One payload per row, stored with the sample. An empty payload leaves the stored one unchanged.
    #[must_use]
    pub fn payloads(mut self, payloads: Vec<Bytes>) -> Self {
        self.message.payloads = payloads;
        self
    }

    /// The stratum of each sample (its class, its source), for [`pb::Balance`].
    ///
    /// # Errors
    /// [`Error::Rows`] when the number of rows differs from that of the ids.
    pub fn strata(mut self, strata: Vec<u32>) -> Result<Self, Error> {
        self.check_rows("strata", strata.len())?;
        self.message.strata = strata;
        Ok(self)
    }

    /// The group of near-duplicates that each sample belongs to (its image, its clip), for [`pb::Balance`]. 0 or an empty string means none.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub fn groups(mut self, groups: Ids) -> Result<Self, Error> {
        self.check_rows("groups", groups.len())?;
        self.message.groups = Some(groups.into_column(ColumnEncoding::LittleEndian));
        Ok(self)
    }

    /// The anchor that each sample is a negative of. Required by anchored pools.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub fn anchors(mut self, anchors: Ids) -> Result<Self, Error> {
        self.check_rows("anchors", anchors.len())?;
        self.message.anchors = Some(anchors.into_column(ColumnEncoding::LittleEndian));
        Ok(self)
    }

    /// The score of a positive of each row's anchor, for margins; NaN where it is not known.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub fn positive_scores(mut self, scores: &[f32]) -> Result<Self, Error> {
        self.check_rows("positive_scores", scores.len())?;
        self.message.positive_scores = Some(sparse_scores(scores));
        Ok(self)
    }

    /// The label of each sample (a class, a document), for anchored pools; 0 means none.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub fn labels(mut self, labels: Vec<u32>) -> Result<Self, Error> {
        self.check_rows("labels", labels.len())?;
        self.message.labels = labels;
        Ok(self)
    }

    /// The label of each row's anchor, for anchored pools; 0 means none.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub fn anchor_labels(mut self, labels: Vec<u32>) -> Result<Self, Error> {
        self.check_rows("anchor_labels", labels.len())?;
        self.message.anchor_labels = labels;
        Ok(self)
    }

    /// The scores of a reference model (the irreducible loss): the pool stores score - reference. 0 leaves the score unchanged; a row with
    /// NaN is dropped and counted.
    ///
    /// # Errors
    /// [`Error::Rows`].
    pub fn reference_scores(mut self, scores: &[f32]) -> Result<Self, Error> {
        self.check_rows("reference_scores", scores.len())?;
        self.message.reference_scores = Some(raw_scores(scores));
        Ok(self)
    }

    fn check_rows(&self, column: &'static str, got: usize) -> Result<(), Error> {
        if got == self.rows {
            Ok(())
        } else {
            Err(Error::Rows { column, than: "ids", expected: self.rows, got })
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Sets the training run, unless the batch has one.
    pub(crate) fn of_run(mut self, run_id: &str) -> Self {
        if self.message.run_id.is_empty() {
            run_id.clone_into(&mut self.message.run_id);
        }
        self
    }

    /// The message of this batch, from this worker.
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

/// As `raw_scores`, but NaN means that a row has no value.
pub(super) fn sparse_scores(scores: &[f32]) -> pb::FloatColumn {
    let mut column = raw_scores(scores);
    if scores.iter().any(|score| score.is_nan()) {
        let mut present = vec![0_u8; scores.len().div_ceil(8)];
        for (row, _) in scores.iter().enumerate().filter(|(_, score)| !score.is_nan()) {
            present[row / 8] |= 1 << (row % 8);
        }
        column.present = present.into();
    }
    column
}

fn same_rows(ids: usize, scores: usize) -> Result<(), Error> {
    if ids == scores { Ok(()) } else { Err(Error::Mismatch { ids, scores }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::columns::{decode_ids, decode_keys};

    #[test]
    fn columns_must_have_the_same_rows() {
        let error = ScoreBatch::new("p", &[1, 2], &[0.5]).unwrap_err();
        assert_eq!(error.to_string(), "2 ids but 1 scores");
        let batch = ScoreBatch::with_keys("pools/p", ["a"], &[1.0]).unwrap().step(7).into_message("w", 9, 3);
        assert_eq!(batch.pool, "pools/p");
        assert_eq!((batch.step, batch.worker_epoch, batch.sequence), (7, 9, 3));
    }
    #[test]
    fn further_columns_travel_and_are_checked() {
        let batch = || ScoreBatch::new("p", &[1, 2, 3], &[0.5, 0.25, 1.0]).unwrap();
        let message = batch()
            .strata(vec![7, 0, 7])
            .and_then(|batch| batch.groups(Ids::Keys(vec!["a".into(), "b".into(), "a".into()])))
            .and_then(|batch| batch.anchors(Ids::U64(vec![9, 9, 8])))
            .and_then(|batch| batch.positive_scores(&[0.75, f32::NAN, 0.5]))
            .and_then(|batch| batch.reference_scores(&[0.0, 0.5, 1.0]))
            .unwrap()
            .into_message("w", 1, 1);
        assert_eq!(message.strata, [7, 0, 7]);
        assert_eq!(decode_keys(message.groups).unwrap(), ["a", "b", "a"]);
        assert_eq!(decode_ids(message.anchors).unwrap(), Ids::U64(vec![9, 9, 8]));
        assert_eq!(message.positive_scores.unwrap().present, [0b101].as_slice());
        assert!(message.reference_scores.unwrap().present.is_empty());
        let error = batch().strata(vec![1]).unwrap_err();
        assert_eq!(error.to_string(), "`strata` has 1 rows, `ids` 3");
    }
}
