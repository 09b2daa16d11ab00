//! Calls for anchored pools: mining negatives, adding known positives, vetoing negatives. Also the release of leases.

use std::ops::Range;

use super::{Client, Error, Ids, PoolRef, batch::floats, pb, retry::Retry, score_batch::sparse_scores};
use crate::proto::columns::decode_ids;
use pb::ColumnEncoding;

/// A request for negatives of many anchors, in an anchored pool. Settings that are not given take the server's defaults.
#[derive(Clone, Debug)]
pub struct NegativesRequest {
    message: pb::MineNegativesRequest,
}

impl NegativesRequest {
    /// A request for `num_negatives`, 1 to 1,024, for each of `anchors`, at most 65,536.
    #[must_use]
    pub fn new(pool: impl Into<PoolRef>, anchors: Ids, num_negatives: u32) -> Self {
        let PoolRef { name, uid } = pool.into();
        Self {
            message: pb::MineNegativesRequest {
                pool: name,
                pool_uid: uid,
                anchors: Some(anchors.into_column(ColumnEncoding::LittleEndian)),
                num_negatives,
                encoding: ColumnEncoding::LittleEndian.into(),
                ..Default::default()
            },
        }
    }

    /// Wants a number of negatives for each anchor, 0 to 1,024, in place of one number for all. There must be as many as anchors.
    #[must_use]
    pub fn num_negatives_per_anchor(mut self, numbers: Vec<u32>) -> Self {
        self.message.num_negatives = 0;
        self.message.num_negatives_per_anchor = numbers;
        self
    }

    /// Replaces the whole policy.
    #[must_use]
    pub fn policy(mut self, policy: pb::NegativePolicy) -> Self {
        self.message.policy = Some(policy);
        self
    }

    fn with(mut self, set: impl FnOnce(&mut pb::NegativePolicy)) -> Self {
        set(self.message.policy.get_or_insert_default());
        self
    }

    /// How the negatives are chosen.
    #[must_use]
    pub fn strategy(self, strategy: pb::NegativeStrategy) -> Self {
        self.with(|policy| policy.strategy = strategy.into())
    }

    /// The expected share of negatives from the background, 0 to 1.
    #[must_use]
    pub fn random_fraction(self, fraction: f64) -> Self {
        self.with(|policy| policy.random_fraction = Some(fraction))
    }

    /// Only negatives with score <= positive - |positive| x this (where lower is harder: score >= positive + |positive| x this).
    #[must_use]
    pub fn relative_margin(self, margin: f32) -> Self {
        self.with(|policy| policy.relative_margin = Some(margin))
    }

    /// Only negatives with score <= positive - this (where lower is harder: score >= positive + this).
    #[must_use]
    pub fn absolute_margin(self, margin: f32) -> Self {
        self.with(|policy| policy.absolute_margin = Some(margin))
    }

    /// Only negatives with score > positive - this (where lower is harder: score < positive + this), which have a loss above 0 in a triplet
    /// loss of this margin.
    #[must_use]
    pub fn hard_margin(self, margin: f32) -> Self {
        self.with(|policy| policy.hard_margin = Some(margin))
    }

    /// The strategy SEMI_HARD: negatives that are easier than the positive by less than `margin` (Schroff et al. 2015).
    #[must_use]
    pub fn semi_hard(self, margin: f32) -> Self {
        self.with(|policy| {
            policy.strategy = pb::NegativeStrategy::SemiHard.into();
            policy.semi_hard_margin = Some(margin);
        })
    }

    /// What happens when an anchor has too few negatives.
    #[must_use]
    pub fn shortfall(self, shortfall: pb::Shortfall) -> Self {
        self.with(|policy| policy.shortfall = shortfall.into())
    }

    /// Leaves these samples out, for all anchors; at most 65,536. An empty list excludes none.
    #[must_use]
    pub fn exclude_ids(mut self, ids: Ids) -> Self {
        self.message.exclude_ids = (!ids.is_empty()).then(|| ids.into_column(ColumnEncoding::LittleEndian));
        self
    }

    /// The seed of the random numbers: the same seed on the same state of the pool gives the same negatives.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.message.seed = Some(seed);
        self
    }

    /// Requires that the pool has this uid: the call fails if the pool was deleted and created again.
    #[must_use]
    pub fn pool_uid(mut self, uid: u64) -> Self {
        self.message.pool_uid = uid;
        self
    }

    /// Which columns to return. Default: scores, inclusion probabilities, sources.
    #[must_use]
    pub fn fields(mut self, fields: pb::NegativeFields) -> Self {
        self.message.fields = Some(fields);
        self
    }

    /// The message that is sent.
    #[must_use]
    pub fn into_message(self) -> pb::MineNegativesRequest {
        self.message
    }
}

/// Negatives of n anchors, as compressed sparse rows. A column that was not requested is empty.
#[derive(Clone, Debug)]
pub struct Negatives {
    /// n + 1 numbers: anchor i has rows `offsets[i]..offsets[i + 1]`, see [`rows`](Self::rows).
    pub offsets: Vec<usize>,
    /// The negatives. Those of one anchor are distinct.
    pub ids: Ids,
    /// Raw scores; NaN for a background sample that has no score for the anchor.
    pub scores: Vec<f32>,
    /// The probability that a draw like this one includes the negative for its anchor. Empty with TOP.
    pub inclusion_probabilities: Vec<f32>,
    /// Where each negative was drawn from.
    pub sources: Vec<pb::Source>,
    /// Seconds since each negative's last report, or steps where the pool ages by steps; NaN where the score is NaN.
    pub ages: Vec<f32>,
    /// The positive score of each anchor, from which margins are measured; NaN where it has none.
    pub positive_scores: Vec<f32>,
    /// Labels of the negatives; 0 means none.
    pub labels: Vec<u32>,
    /// Labels of the anchors, one per anchor; 0 means none.
    pub anchor_labels: Vec<u32>,
    /// The other fields of the response. Its columns are empty.
    pub info: pb::MineNegativesResponse,
}

impl Negatives {
    /// Number of anchors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no anchors.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The range of rows of an anchor, by which any column can be sliced.
    ///
    /// # Panics
    /// If `anchor` is not below [`len`](Self::len).
    #[must_use]
    pub fn rows(&self, anchor: usize) -> Range<usize> {
        self.offsets[anchor]..self.offsets[anchor + 1]
    }
}

impl TryFrom<pb::MineNegativesResponse> for Negatives {
    type Error = Error;

    fn try_from(mut answer: pb::MineNegativesResponse) -> Result<Self, Error> {
        let ids = match answer.ids.take() {
            // An answer without rows may come without a column.
            None => Ids::U64(Vec::new()),
            ids => decode_ids(ids).map_err(|source| Error::Column { column: "ids", source })?,
        };
        let offsets: Vec<usize> =
            std::mem::take(&mut answer.offsets).into_iter().map(|offset| offset as usize).collect();
        let fit = offsets.first() == Some(&0) && offsets.last() == Some(&ids.len()) && offsets.is_sorted();
        if !fit {
            return Err(Error::Offsets { rows: ids.len() });
        }
        let sources = std::mem::take(&mut answer.sources)
            .iter()
            .map(|number| pb::Source::try_from(i32::from(*number)).unwrap_or_default())
            .collect();
        let negatives = Self {
            scores: floats("scores", answer.scores.take())?,
            inclusion_probabilities: floats(
                "inclusion_probabilities",
                answer.inclusion_probabilities.take(),
            )?,
            ages: floats("ages", answer.ages.take())?,
            positive_scores: floats("positive_scores", answer.positive_scores.take())?,
            labels: std::mem::take(&mut answer.labels),
            anchor_labels: std::mem::take(&mut answer.anchor_labels),
            sources,
            offsets,
            ids,
            info: answer,
        };
        let rows = negatives.ids.len();
        let lengths = [
            ("scores", negatives.scores.len(), rows),
            ("inclusion_probabilities", negatives.inclusion_probabilities.len(), rows),
            ("sources", negatives.sources.len(), rows),
            ("ages", negatives.ages.len(), rows),
            ("positive_scores", negatives.positive_scores.len(), negatives.len()),
            ("labels", negatives.labels.len(), rows),
            ("anchor_labels", negatives.anchor_labels.len(), negatives.len()),
        ];
        match lengths.iter().find(|(_, len, expected)| *len != 0 && len != expected) {
            None => Ok(negatives),
            Some((column, len, expected)) => {
                Err(Error::ColumnLength { column, expected: *expected, got: *len })
            }
        }
    }
}

/// Calls for anchored pools and leases.
impl Client {
    /// Mines negatives for each of many anchors.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the field, `FAILED_PRECONDITION` in a flat pool, or on a shortfall with the policy ERROR.
    pub async fn mine_negatives(&self, request: NegativesRequest) -> Result<Negatives, Error> {
        // Safe to resend: mining negatives does not count serves.
        let answer = self
            .unary(Retry::Safe, request.into_message(), async |client, request| {
                client.mining_service().mine_negatives(request).await
            })
            .await?;
        Negatives::try_from(answer)
    }

    /// Adds known positives of anchors, given as pairs; at most 65,536. `scores` has the score of each positive, NaN where it is not known,
    /// or is empty; of each positive the last score counts. The response has the number of new pairs and of stored negatives that were
    /// removed. Pairs beyond a limit of the pool are not an error: check `refused` in the response, which lists them.
    ///
    /// # Errors
    /// [`Error::Rows`] for columns of different lengths, `INVALID_ARGUMENT`, `FAILED_PRECONDITION` in a flat pool.
    pub async fn add_positives(
        &self,
        pool: impl Into<PoolRef>,
        anchors: Ids,
        positives: Ids,
        scores: &[f32],
    ) -> Result<pb::AddPositivesResponse, Error> {
        same_rows("positives", anchors.len(), positives.len())?;
        if !scores.is_empty() {
            same_rows("scores", anchors.len(), scores.len())?;
        }
        let PoolRef { name, uid } = pool.into();
        let request = pb::AddPositivesRequest {
            pool: name,
            pool_uid: uid,
            anchors: Some(anchors.into_column(ColumnEncoding::LittleEndian)),
            positives: Some(positives.into_column(ColumnEncoding::LittleEndian)),
            scores: (!scores.is_empty()).then(|| sparse_scores(scores)),
            model_version: 0,
        };
        // Safe to resend: only the counts in the response differ.
        self.unary(Retry::Safe, request, async |client, request| {
            client.mining_service().add_positives(request).await
        })
        .await
    }

    /// Vetoes negatives of anchors, given as pairs; at most 65,536. They are never served for these anchors again. `refused` is as in
    /// [`Client::add_positives`].
    ///
    /// # Errors
    /// As [`Client::add_positives`].
    pub async fn reject_negatives(
        &self,
        pool: impl Into<PoolRef>,
        anchors: Ids,
        negatives: Ids,
    ) -> Result<pb::RejectNegativesResponse, Error> {
        same_rows("negatives", anchors.len(), negatives.len())?;
        let PoolRef { name, uid } = pool.into();
        let request = pb::RejectNegativesRequest {
            pool: name,
            pool_uid: uid,
            anchors: Some(anchors.into_column(ColumnEncoding::LittleEndian)),
            negatives: Some(negatives.into_column(ColumnEncoding::LittleEndian)),
        };
        self.unary(Retry::Safe, request, async |client, request| {
            client.mining_service().reject_negatives(request).await
        })
        .await
    }

    /// Ends the leases of samples, at most 65,536, so that they may be served again. Returns how many were leased.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT`.
    pub async fn release_lease(&self, pool: impl Into<PoolRef>, ids: Ids) -> Result<u64, Error> {
        let PoolRef { name, uid } = pool.into();
        let request = pb::ReleaseLeaseRequest {
            pool: name,
            pool_uid: uid,
            ids: Some(ids.into_column(ColumnEncoding::LittleEndian)),
        };
        // Not retried: the response to a resend would not count the leases that the first attempt ended.
        let answer = self
            .unary(Retry::Never, request, async |client, request| {
                client.mining_service().release_lease(request).await
            })
            .await?;
        Ok(answer.released_count)
    }
}

fn same_rows(column: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if got == expected { Ok(()) } else { Err(Error::Rows { column, than: "anchors", expected, got }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::columns::{encode_floats, encode_ids};
    use pb::ColumnEncoding::LittleEndian;

    #[test]
    fn the_builder_fills_the_message() {
        let message = NegativesRequest::new("queries", Ids::U64(vec![7, 9]), 4)
            .semi_hard(0.2)
            .random_fraction(0.5)
            .exclude_ids(Ids::U64(Vec::new()))
            .seed(3)
            .into_message();
        assert_eq!((message.pool.as_str(), message.num_negatives), ("pools/queries", 4));
        assert_eq!(decode_ids(message.anchors).unwrap(), Ids::U64(vec![7, 9]));
        assert_eq!((message.seed, message.exclude_ids), (Some(3), None));
        let policy = message.policy.unwrap();
        assert_eq!(policy.strategy(), pb::NegativeStrategy::SemiHard);
        assert_eq!((policy.semi_hard_margin, policy.relative_margin), (Some(0.2), None));
        let message = NegativesRequest::new("queries", Ids::U64(vec![7, 9]), 4)
            .num_negatives_per_anchor(vec![3, 0])
            .hard_margin(0.25)
            .into_message();
        assert_eq!((message.num_negatives, message.num_negatives_per_anchor), (0, vec![3, 0]));
        assert_eq!(message.policy.unwrap().hard_margin, Some(0.25));
    }

    #[test]
    fn rows_belong_to_anchors() {
        let answer = pb::MineNegativesResponse {
            offsets: vec![0, 2, 2, 3],
            ids: Some(encode_ids(vec![4, 5, 6], LittleEndian)),
            scores: Some(encode_floats(vec![0.5, 0.25, f32::NAN], LittleEndian)),
            sources: bytes::Bytes::from_static(&[1, 1, 2]),
            positive_scores: Some(encode_floats(vec![1.0, f32::NAN, 0.5], LittleEndian)),
            ..Default::default()
        };
        let negatives = Negatives::try_from(answer.clone()).unwrap();
        assert_eq!(negatives.len(), 3);
        assert_eq!(&negatives.scores[negatives.rows(0)], [0.5, 0.25]);
        assert!(negatives.rows(1).is_empty());
        assert_eq!(negatives.sources[negatives.rows(2)], [pb::Source::Background]);
        assert!(negatives.ages.is_empty());

        for offsets in [vec![], vec![0, 2], vec![0, 4, 3], vec![1, 3]] {
            let wrong = pb::MineNegativesResponse { offsets, ..answer.clone() };
            assert!(Negatives::try_from(wrong).unwrap_err().to_string().contains("`offsets`"));
        }
        let short = pb::MineNegativesResponse {
            positive_scores: Some(encode_floats(vec![1.0], LittleEndian)),
            ..answer
        };
        assert!(Negatives::try_from(short).unwrap_err().to_string().contains("`positive_scores`"));
    }
}
