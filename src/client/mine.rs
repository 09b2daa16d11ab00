//! A builder of mining requests.

use std::time::Duration;

use super::{Ids, PoolRef, pb};
use pb::{ColumnEncoding, window};

/// The server's default for the timeout of a wait.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// A request for one mined batch. Settings that are not given take their values from the pool's default policy.
#[derive(Clone, Debug)]
pub struct MineRequest {
    message: pb::MineBatchRequest,
}

impl MineRequest {
    /// A request for `batch_size` samples, 1 to 65,536, of `pool` (with or without `pools/`).
    #[must_use]
    pub fn new(pool: impl Into<PoolRef>, batch_size: u32) -> Self {
        let PoolRef { name, uid } = pool.into();
        Self {
            message: pb::MineBatchRequest {
                pool: name,
                pool_uid: uid,
                batch_size,
                encoding: ColumnEncoding::LittleEndian.into(),
                ..Default::default()
            },
        }
    }

    fn policy_mut(&mut self) -> &mut pb::MiningPolicy {
        self.message.policy.get_or_insert_default()
    }

    fn window(mut self, kind: window::Kind) -> Self {
        self.policy_mut().windows.push(pb::Window { kind: Some(kind) });
        self
    }

    /// Replaces the whole policy.
    #[must_use]
    pub fn policy(mut self, policy: pb::MiningPolicy) -> Self {
        self.message.policy = Some(policy);
        self
    }

    /// How hard samples are chosen.
    #[must_use]
    pub fn strategy(mut self, strategy: pb::Strategy) -> Self {
        self.policy_mut().strategy = strategy.into();
        self
    }

    /// The exponent of PROPORTIONAL and RANK, 0 to 16.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.policy_mut().alpha = Some(alpha);
        self
    }

    /// The expected share of samples from the background, 0 to 1.
    #[must_use]
    pub fn random_fraction(mut self, fraction: f64) -> Self {
        self.policy_mut().random_fraction = Some(fraction);
        self
    }

    /// The exponent of the importance weights: 1 for unbiased weights, 0 for no correction.
    #[must_use]
    pub fn beta(mut self, beta: f64) -> Self {
        self.policy_mut().beta = Some(beta);
        self
    }

    /// How the weights are scaled.
    #[must_use]
    pub fn normalization(mut self, normalization: pb::Normalization) -> Self {
        self.policy_mut().normalization = normalization.into();
        self
    }

    /// What happens when there are too few hard samples.
    #[must_use]
    pub fn shortfall(mut self, shortfall: pb::Shortfall) -> Self {
        self.policy_mut().shortfall = shortfall.into();
        self
    }

    /// Only hard samples with min <= score <= max.
    #[must_use]
    pub fn score_window(self, min: Option<f32>, max: Option<f32>) -> Self {
        self.window(window::Kind::Score(pb::ScoreWindow { min, max }))
    }

    /// Only hard samples with min <= rank < max; the hardest has rank 0.
    #[must_use]
    pub fn rank_window(self, min: u64, max: Option<u64>) -> Self {
        self.window(window::Kind::Rank(pb::RankWindow { min, max }))
    }

    /// Only hard samples with min <= quantile <= max; the hardest has quantile 1.
    #[must_use]
    pub fn quantile_window(self, min: f64, max: Option<f64>) -> Self {
        self.window(window::Kind::Quantile(pb::QuantileWindow { min, max }))
    }

    /// Only hard samples whose last report has this age, in seconds, or in steps where the pool ages by steps.
    #[must_use]
    pub fn age_window(self, min: f64, max: Option<f64>) -> Self {
        self.window(window::Kind::Age(pb::AgeWindow { min, max }))
    }

    /// Only hard samples that these versions of the model scored.
    #[must_use]
    pub fn version_window(self, min: u32, max: Option<u32>) -> Self {
        self.window(window::Kind::ModelVersion(pb::VersionWindow { min, max }))
    }

    /// Leaves these samples out; at most 65,536.
    #[must_use]
    pub fn exclude(self, ids: &[u64]) -> Self {
        self.exclude_ids(Ids::U64(ids.to_vec()))
    }

    /// Leaves these samples out, given by id or string key; at most 65,536. An empty list excludes none.
    #[must_use]
    pub fn exclude_ids(mut self, ids: Ids) -> Self {
        self.message.exclude_ids = (!ids.is_empty()).then(|| ids.into_column(ColumnEncoding::LittleEndian));
        self
    }

    /// Limits on how many samples of the batch may be of one stratum or group.
    #[must_use]
    pub fn balance(mut self, balance: pb::Balance) -> Self {
        self.policy_mut().balance = Some(balance);
        self
    }

    /// Fields of the policy that change with [`step`](Self::step).
    #[must_use]
    pub fn curriculum(mut self, curriculum: pb::Curriculum) -> Self {
        self.policy_mut().curriculum = Some(curriculum);
        self
    }

    /// The training step, for the curriculum. Default: the highest step of the current run, where the pool ages by steps.
    #[must_use]
    pub fn step(mut self, step: u64) -> Self {
        self.message.step = Some(step);
        self
    }

    /// Leases the samples: they are not served again for this long, or until they are reported again. Zero: no lease, even if the pool has a
    /// default.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.message.lease = prost_types::Duration::try_from(lease).ok();
        self
    }

    /// Requests this rank's share of a round, which all ranks of a training step mine together. A retry gets the same share, so a round
    /// replaces a request id.
    #[must_use]
    pub fn round(mut self, round: pb::Round) -> Self {
        self.message.round = Some(round);
        self
    }

    /// Computes the batch size from a number of positives.
    #[must_use]
    pub fn negative_ratio(mut self, ratio: pb::NegativeRatio) -> Self {
        self.message.negative_ratio = Some(ratio);
        self.message.batch_size = 0;
        self
    }

    /// The seed of the random numbers: the same seed on the same state of the pool gives the same batch.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.message.seed = Some(seed);
        self
    }

    /// Waits until the hard store holds `min_size` samples, for at most `timeout` (up to 5 min).
    #[must_use]
    pub fn wait(mut self, min_size: u64, timeout: Duration) -> Self {
        self.message.wait =
            Some(pb::Wait { min_size, timeout: prost_types::Duration::try_from(timeout).ok() });
        self
    }

    /// An id of at most 64 bytes that makes the call safe to retry: a request with the same id within 60 s gets the same batch.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.message.request_id = id.into();
        self
    }

    /// Does not count serves and does not lease samples.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.message.dry_run = dry_run;
        self
    }

    /// Requires that the pool has this uid: the call fails if the pool was deleted and created again.
    #[must_use]
    pub fn pool_uid(mut self, uid: u64) -> Self {
        self.message.pool_uid = uid;
        self
    }

    /// Which columns to return. Default: scores, weights, sources, and payloads where the pool has them.
    #[must_use]
    pub fn fields(mut self, fields: pb::BatchFields) -> Self {
        self.message.fields = Some(fields);
        self
    }

    /// The encoding of the response's columns. Default: raw little-endian bytes.
    #[must_use]
    pub fn encoding(mut self, encoding: ColumnEncoding) -> Self {
        self.message.encoding = encoding.into();
        self
    }

    /// Whether the server can receive this request twice without a second effect.
    pub(super) fn is_repeatable(&self) -> bool {
        !self.message.request_id.is_empty() || self.message.round.is_some() || self.message.dry_run
    }

    /// How long the server may wait before it mines.
    pub(super) fn wait_time(&self) -> Duration {
        self.message.wait.as_ref().map_or(Duration::ZERO, |wait| {
            wait.timeout.and_then(|timeout| Duration::try_from(timeout).ok()).unwrap_or(WAIT_DEFAULT)
        })
    }

    /// The message that is sent.
    #[must_use]
    pub fn into_message(self) -> pb::MineBatchRequest {
        self.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builder_fills_the_message() {
        let request = MineRequest::new("faces", 8)
            .strategy(pb::Strategy::Rank)
            .alpha(0.5)
            .rank_window(10, None)
            .exclude(&[])
            .wait(100, Duration::from_secs(60));
        assert_eq!(request.wait_time(), Duration::from_secs(60));
        assert!(!request.is_repeatable());
        let message = request.into_message();
        assert_eq!(message.pool, "pools/faces");
        assert!(message.exclude_ids.is_none());
        let policy = message.policy.unwrap();
        assert_eq!((policy.alpha, policy.beta), (Some(0.5), None));
        assert_eq!(policy.windows.len(), 1);
    }

    #[test]
    fn a_round_is_its_own_retry_key() {
        let round = pb::Round { number: 7, rank: 3, world_size: 8, run_id: "run".into() };
        let request = MineRequest::new("faces", 8)
            .round(round.clone())
            .lease(Duration::from_millis(1_500))
            .step(9)
            .balance(pb::Balance { max_per_group: 2, ..Default::default() })
            .curriculum(pb::Curriculum { warmup_steps: 10, ..Default::default() });
        assert!(request.is_repeatable());
        let message = request.into_message();
        assert_eq!(message.round, Some(round));
        assert_eq!(message.request_id, "");
        assert_eq!(message.lease, Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }));
        assert_eq!(message.step, Some(9));
        let policy = message.policy.unwrap();
        assert_eq!(policy.balance.unwrap().max_per_group, 2);
        assert_eq!(policy.curriculum.unwrap().warmup_steps, 10);

        let ratio = pb::NegativeRatio { positives: 5, negatives_per_positive: 3.0, min_size: 1 };
        let message = MineRequest::new("faces", 8).negative_ratio(ratio).into_message();
        assert_eq!((message.batch_size, message.negative_ratio), (0, Some(ratio)));
    }
}
