//! A builder of requests to select from a set, and the answer.

use super::batch::floats;
use super::retry::Retry;
use super::{Client, Error, Ids, pb};
use crate::proto::columns;
use pb::ColumnEncoding;

/// A request to select samples from a set of scores. The server stores nothing.
#[derive(Clone, Debug)]
pub struct SelectRequest {
    pub(super) message: pb::SelectFromRequest,
}

impl SelectRequest {
    /// A request for `batch_size` samples, 1 to 65,536, of the set with these scores, at most 65,536.
    #[must_use]
    pub fn new(scores: Vec<f32>, batch_size: u32) -> Self {
        Self {
            message: pb::SelectFromRequest {
                scores: Some(columns::encode_floats(scores, ColumnEncoding::LittleEndian)),
                batch_size,
                encoding: ColumnEncoding::LittleEndian.into(),
                ..Default::default()
            },
        }
    }

    /// Names of the samples, one for each score, which the answer repeats.
    #[must_use]
    pub fn ids(mut self, ids: Ids) -> Self {
        self.message.ids = Some(ids.into_column(ColumnEncoding::LittleEndian));
        self
    }

    /// Scores of a reference model, one for each score: the hardness is that of score - reference.
    #[must_use]
    pub fn reference_scores(mut self, references: Vec<f32>) -> Self {
        self.message.reference_scores =
            Some(columns::encode_floats(references, ColumnEncoding::LittleEndian));
        self
    }

    /// How samples are chosen; by default PROPORTIONAL.
    #[must_use]
    pub fn strategy(mut self, strategy: pb::Strategy) -> Self {
        self.message.strategy = strategy.into();
        self
    }

    /// The exponent of PROPORTIONAL and RANK, 0 to 16; by default 1.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.message.alpha = Some(alpha);
        self
    }

    /// How a score becomes a weight; by default POWER.
    #[must_use]
    pub fn hardness(mut self, hardness: pb::Hardness) -> Self {
        self.message.hardness = Some(hardness);
        self
    }

    /// Whether the draws are independent, so that a sample may be drawn several times.
    #[must_use]
    pub fn replacement(mut self, replacement: bool) -> Self {
        self.message.replacement = replacement;
        self
    }

    /// The exponent of the importance weights: 1 for unbiased weights, 0 for no correction.
    #[must_use]
    pub fn beta(mut self, beta: f64) -> Self {
        self.message.beta = Some(beta);
        self
    }

    /// How the weights are scaled.
    #[must_use]
    pub fn normalization(mut self, normalization: pb::Normalization) -> Self {
        self.message.normalization = normalization.into();
        self
    }

    /// The seed of the draw: the same request with the same seed selects the same samples.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.message.seed = Some(seed);
        self
    }
}

/// The selected samples, as columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Their rows in the request, in the order in which they were drawn; with TOP the hardest first.
    pub rows: Vec<u32>,
    /// Their ids; `None` where the request had none.
    pub ids: Option<Ids>,
    /// The probability that such a draw selects the row; with replacement the expected number of times. Empty with TOP.
    pub inclusion_probabilities: Vec<f32>,
    /// Weights with which mean(w f) over the selection estimates the mean of f over the set. Empty with TOP.
    pub importance_weights: Vec<f32>,
    /// What the weights estimate: ALL, or NONE with TOP.
    pub estimand: pb::Estimand,
    /// The seed of the draw.
    pub seed: u64,
    /// Rows that were left out, because their score was not finite.
    pub non_finite_count: u32,
}

impl TryFrom<pb::SelectFromResponse> for Selection {
    type Error = Error;

    fn try_from(answer: pb::SelectFromResponse) -> Result<Self, Error> {
        Ok(Self {
            estimand: answer.estimand(),
            ids: answer
                .ids
                .map(|ids| columns::decode_ids(Some(ids)))
                .transpose()
                .map_err(|source| Error::Column { column: "ids", source })?,
            inclusion_probabilities: floats("inclusion_probabilities", answer.inclusion_probabilities)?,
            importance_weights: floats("importance_weights", answer.importance_weights)?,
            rows: answer.rows,
            seed: answer.seed,
            non_finite_count: answer.non_finite_count,
        })
    }
}

impl Client {
    /// Selects samples from a set of scores, which needs no pool and stores nothing.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` naming the field; `RESOURCE_EXHAUSTED` while the server mines all that it may at once.
    pub async fn select_from(&self, request: SelectRequest) -> Result<Selection, Error> {
        let answer = self
            .unary(Retry::Safe, request.message, async |client, request| {
                client.mining_service().select_from(request).await
            })
            .await?;
        Selection::try_from(answer)
    }
}
