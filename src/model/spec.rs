//! The spec of a pool, with all defaults and ranges.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::model::anchored_spec::AnchoredSpec;
use crate::model::encoded::{BackgroundSpecDef, HardnessDef, ScoreUpdateDef};
use crate::model::error::{Checks, Violation};
use crate::model::flow::Flow;
use crate::model::hardness;
use crate::model::limits::Limits;
use crate::model::moment::STAMPS_PER_SECOND;
use crate::model::policy::PolicyOverrides;
use crate::model::quarantine::QuarantineRule;
use hardneg_partition::key::{Hardness, UNITS_PER_OCTAVE};
use hardneg_partition::{BackgroundSpec, ScoreUpdate};

/// Default of [`PoolSpec::capacity`], on a server that allows it.
pub const DEFAULT_CAPACITY: u64 = 1 << 20;
/// Default number of ids in the background.
pub const DEFAULT_BACKGROUND_SIZE: u64 = 1 << 16;
/// Default half-life.
pub const DEFAULT_HALF_LIFE: Duration = Duration::from_secs(3600);
/// Default of `max_step_jump`: a report whose step is further ahead is refused (docs/methods.md 2.4).
pub const DEFAULT_MAX_STEP_JUMP: u64 = 1_000_000;
/// Maximum of [`ServeLimits::max_serves`].
pub const MAX_SERVES_LIMIT: u16 = u16::MAX - 1;
/// Maximum of [`ServeLimits::lease`].
pub const LEASE_MAX: Duration = Duration::from_secs(30 * 86_400);

/// For the default number of partitions: minimum of samples, and of members of the background, in each partition of a pool that is divided
/// for speed; maximum of samples in each; maximum number of partitions.
const PARTITION_SAMPLES_MIN: u64 = 65_536;
const PARTITION_MEMBERS_MIN: u64 = 256;
const PARTITION_SAMPLES_MAX: u64 = 1 << 20;
const DEFAULT_SHARDS_MAX: u64 = 64;

/// Integer or string ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum IdKind {
    /// Unsigned 64-bit integers.
    #[default]
    U64,
    /// Strings, stored under their XXH3-64 hash.
    Name,
}

/// The time to live of samples: how long after its last report a sample is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SampleTtl {
    /// Wall time, in pools that do not age by steps. Rounded up to a sixteenth of a second.
    Time(Duration),
    /// Training steps, counted over all runs, in pools that age by steps.
    Steps(u64),
}

/// Range of the time to live. The maxima are below 2^31 stamps, within which serial arithmetic orders stamps of 32 bits.
const SAMPLE_TTL_MIN: Duration = Duration::from_secs(1);
const SAMPLE_TTL_MAX: Duration = Duration::from_secs(366 * 86_400);
const SAMPLE_TTL_STEPS_MAX: u64 = 1 << 30;

impl SampleTtl {
    /// The time to live in stamps of the pool's clock.
    pub(crate) fn stamps(self) -> u32 {
        let stamps = match self {
            Self::Time(time) => (time.as_secs_f64() * STAMPS_PER_SECOND).ceil() as u64,
            Self::Steps(steps) => steps,
        };
        stamps.min(SAMPLE_TTL_STEPS_MAX) as u32
    }

    /// What is wrong with it, if anything: the name of the field and the error.
    fn fault(self, decay: &Decay, background: &BackgroundSpec) -> Option<(&'static str, String)> {
        let dense = "does not apply to dense_ids: every id of the space exists, reported or not";
        let is_dense = matches!(background, BackgroundSpec::Dense { .. });
        match self {
            Self::Time(_) if is_dense => Some(("sample_ttl_time", dense.into())),
            Self::Steps(_) if is_dense => Some(("sample_ttl_steps", dense.into())),
            Self::Time(_) if decay.by_steps() => {
                Some(("sample_ttl_time", "the pool ages by steps: set sample_ttl_steps".into()))
            }
            Self::Steps(_) if !decay.by_steps() => {
                Some(("sample_ttl_steps", "the pool does not age by steps: set sample_ttl_time".into()))
            }
            Self::Time(time) if !(SAMPLE_TTL_MIN..=SAMPLE_TTL_MAX).contains(&time) => {
                Some(("sample_ttl_time", format!("{time:?} is not between 1 s and 366 days")))
            }
            Self::Steps(steps) if !(1..=SAMPLE_TTL_STEPS_MAX).contains(&steps) => {
                Some(("sample_ttl_steps", format!("{steps} is not in 1..=2^30")))
            }
            Self::Time(_) | Self::Steps(_) => None,
        }
    }
}

/// How weights decay (docs/methods.md 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Decay {
    /// By wall time.
    Time {
        /// The weight halves in this time.
        half_life: Duration,
    },
    /// By training steps.
    Steps {
        /// The weight halves in this number of steps; above 0.
        half_life: f64,
        /// A report is refused if its step is further than this ahead of the highest step so far.
        max_step_jump: u64,
    },
    /// No decay. The times of reports are kept all the same, by wall time.
    Disabled,
}

impl Decay {
    /// Whether the pool's clock is the training step.
    #[must_use]
    pub fn by_steps(&self) -> bool {
        matches!(self, Self::Steps { .. })
    }

    /// Key units that a weight loses per second, or per step.
    #[must_use]
    pub(crate) fn units_per_age(&self) -> f64 {
        match self {
            Self::Time { half_life } => UNITS_PER_OCTAVE as f64 / half_life.as_secs_f64(),
            Self::Steps { half_life, .. } => UNITS_PER_OCTAVE as f64 / half_life,
            Self::Disabled => 0.0,
        }
    }
}

/// When a new generation of the background begins (docs/methods.md 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackgroundRotation {
    /// Number of reported rows after which a new generation starts to fill; `None`: never.
    pub after_reports: Option<u64>,
}

/// Limits on serving a sample again before it is reported again (docs/methods.md 9).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServeLimits {
    /// Each serve multiplies the weight by this, in (0, 1], down to a total of 2^-8.
    pub serve_penalty: f64,
    /// Maximum number of serves between two reports; 0: no limit.
    pub max_serves: u16,
    /// Default lease of requests; 0: none.
    pub lease: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self { serve_penalty: 1.0, max_serves: 0, lease: Duration::ZERO }
    }
}

/// The spec of a pool, with all defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Number of samples in the hard store.
    pub capacity: u64,
    /// Whether the background is a sample of the reported ids or a dense id space, and its size.
    #[serde(with = "BackgroundSpecDef")]
    pub background: BackgroundSpec,
    /// When a new generation of the background begins.
    pub rotation: BackgroundRotation,
    /// Number of partitions, 1 ..= 256, each with its own lock.
    pub shards: u32,
    /// Whether ids are integers or strings.
    pub id_kind: IdKind,
    /// How a score becomes a weight.
    #[serde(with = "HardnessDef")]
    pub hardness: Hardness,
    /// How weights decay.
    pub decay: Decay,
    /// How the new score of a stored sample is combined with the stored score.
    #[serde(with = "ScoreUpdateDef")]
    pub score_update: ScoreUpdate,
    /// The policy of requests, for the fields that they leave open.
    pub default_policy: PolicyOverrides,
    /// Limits on serving a sample again before it is reported again.
    pub serve_limits: ServeLimits,
    /// Maximum length of payloads, in bytes; 0: the pool keeps no payloads.
    pub max_payload_bytes: u32,
    /// Share of rounds that get a uniform batch, 0 ..= 1.
    pub control_fraction: f64,
    /// The time to live of samples; `None`: samples never expire.
    pub sample_ttl: Option<SampleTtl>,
    /// The coupling of mining to reporting; `None`: there is none.
    pub flow: Option<Flow>,
    /// The rule by which samples are set aside; `None`: never.
    pub quarantine: Option<QuarantineRule>,
    /// The spec of the anchors; `None`: the pool is flat. In an anchored pool `capacity` follows from it.
    pub anchored: Option<AnchoredSpec>,
}

impl PoolSpec {
    /// The default spec on a server with these limits.
    #[must_use]
    pub fn defaults(limits: &Limits) -> Self {
        Self {
            capacity: DEFAULT_CAPACITY.min(limits.max_pool_capacity),
            background: BackgroundSpec::Sampled { size: DEFAULT_BACKGROUND_SIZE as usize },
            rotation: Self::default_rotation(DEFAULT_BACKGROUND_SIZE),
            shards: Self::default_shards(
                DEFAULT_CAPACITY.min(limits.max_pool_capacity),
                BackgroundSpec::Sampled { size: DEFAULT_BACKGROUND_SIZE as usize },
            ),
            id_kind: IdKind::U64,
            hardness: Hardness::default(),
            decay: Decay::Time { half_life: DEFAULT_HALF_LIFE },
            score_update: ScoreUpdate::Last,
            default_policy: PolicyOverrides::default(),
            serve_limits: ServeLimits::default(),
            max_payload_bytes: 0,
            control_fraction: 0.0,
            sample_ttl: None,
            flow: None,
            quarantine: None,
            anchored: None,
        }
    }

    /// The default number of partitions of a pool, a power of two up to 64. It is the smallest one with at most 2^20 samples per partition,
    /// or more so that all processors are busy, as long as each partition has at least 65,536 samples and 256 members of the background. A
    /// small pool has one partition, and then holds exactly its hardest samples.
    #[must_use]
    pub fn default_shards(capacity: u64, background: BackgroundSpec) -> u32 {
        let members = match background {
            BackgroundSpec::Sampled { size } => size as u64,
            BackgroundSpec::Dense { .. } => u64::MAX,
        };
        let needed = capacity.div_ceil(PARTITION_SAMPLES_MAX).next_power_of_two();
        let processors = std::thread::available_parallelism().map_or(2, |n| n.get() as u64);
        let wanted = (2 * processors).next_power_of_two();
        let mut shards = needed.clamp(1, DEFAULT_SHARDS_MAX);
        while shards < wanted.min(DEFAULT_SHARDS_MAX)
            && capacity / (2 * shards) >= PARTITION_SAMPLES_MIN
            && members / (2 * shards) >= PARTITION_MEMBERS_MIN
        {
            shards *= 2;
        }
        shards as u32
    }

    /// The default rotation for a background of `size` ids.
    #[must_use]
    pub fn default_rotation(size: u64) -> BackgroundRotation {
        BackgroundRotation { after_reports: Some(size.saturating_mul(16).max(1 << 20)) }
    }

    /// Checks every range; an empty list means that the spec is valid. Errors name the fields below `pool.spec`.
    #[must_use]
    pub fn violations(&self, limits: &Limits) -> Vec<Violation> {
        let mut bad = Checks::below("pool.spec");
        bad.check(
            self.anchored.is_some() || (1..=limits.max_pool_capacity).contains(&self.capacity),
            "capacity",
            format!(
                "{} is not in 1..={} (this server's max_pool_capacity)",
                self.capacity, limits.max_pool_capacity
            ),
        );
        match self.background {
            BackgroundSpec::Sampled { size } => bad.check(
                (16..=1 << 24).contains(&size),
                "background_size",
                format!("{size} is not in 16..=16777216"),
            ),
            BackgroundSpec::Dense { ids } => {
                bad.check((1..=1 << 40).contains(&ids), "dense_ids", format!("{ids} is not in 1..=2^40"));
                bad.check(
                    self.id_kind == IdKind::U64,
                    "dense_ids",
                    "needs integer ids: row numbers have no string keys".into(),
                );
            }
        }
        bad.check((1..=256).contains(&self.shards), "shards", format!("{} is not in 1..=256", self.shards));
        self.check_scores(&mut bad);
        self.check_serving(&mut bad, limits);
        self.check_rules(&mut bad);
        bad.found.extend(self.default_policy.violations("pool.spec.default_policy"));
        bad.found.extend(self.anchored.iter().flat_map(|anchored| anchored.violations(self, limits)));
        bad.found
    }

    fn check_scores(&self, bad: &mut Checks<'_>) {
        hardness::check(&self.hardness, bad);
        match self.decay {
            Decay::Time { half_life } => bad.check(
                half_life >= Duration::from_millis(1) && half_life <= Duration::from_secs(100 * 366 * 86_400),
                "decay.half_life_time",
                format!("{half_life:?} is not between 1 ms and 100 years"),
            ),
            Decay::Steps { half_life, .. } => bad.check(
                half_life.is_finite() && half_life > 0.0 && half_life <= (1u64 << 40) as f64,
                "decay.half_life_steps",
                format!("{half_life} is not above 0 and at most 2^40"),
            ),
            Decay::Disabled => {}
        }
        if let ScoreUpdate::Ema { weight } = self.score_update {
            bad.check(
                weight > 0.0 && weight <= 1.0,
                "score_update.ema_weight",
                format!("{weight} is not above 0 and at most 1"),
            );
        }
    }

    fn check_serving(&self, bad: &mut Checks<'_>, limits: &Limits) {
        bad.check(
            self.serve_limits.serve_penalty > 0.0 && self.serve_limits.serve_penalty <= 1.0,
            "serve_limits.serve_penalty",
            format!("{} is not above 0 and at most 1", self.serve_limits.serve_penalty),
        );
        bad.check(
            self.serve_limits.max_serves <= MAX_SERVES_LIMIT,
            "serve_limits.max_serves",
            format!("{} is over {MAX_SERVES_LIMIT}", self.serve_limits.max_serves),
        );
        bad.check(
            self.serve_limits.lease <= LEASE_MAX,
            "serve_limits.lease",
            format!("{:?} is over {LEASE_MAX:?}", self.serve_limits.lease),
        );
        bad.check(
            self.max_payload_bytes <= limits.max_payload_bytes,
            "max_payload_bytes",
            format!(
                "{} is over {} (this server's max_payload_bytes)",
                self.max_payload_bytes, limits.max_payload_bytes
            ),
        );
        bad.check(
            (0.0..=1.0).contains(&self.control_fraction),
            "control_fraction",
            format!("{} is not in 0..=1", self.control_fraction),
        );
    }

    /// Checks the rules by which the pool changes without requests: time to live, quarantine, flow.
    fn check_rules(&self, bad: &mut Checks<'_>) {
        if self.anchored.is_none()
            && let Some((field, description)) =
                self.sample_ttl.and_then(|ttl| ttl.fault(&self.decay, &self.background))
        {
            bad.check(false, field, description);
        }
        for (ok, field, description) in self.quarantine.iter().flat_map(QuarantineRule::checks) {
            bad.check(ok, field, description);
        }
        bad.found.extend(self.flow.iter().flat_map(Flow::violations));
        if let Some(flow) = self.flow
            && self.serve_limits.max_serves > 0
            && flow.mined_per_reported > f64::from(self.serve_limits.max_serves)
        {
            bad.found.push(Violation::new(
                "pool.spec.flow.mined_per_reported",
                format!(
                    "{} is over serve_limits.max_serves {}: a sample is not served so often between two reports",
                    flow.mined_per_reported, self.serve_limits.max_serves
                ),
            ));
        }
    }

    /// The name of the first field in which two specs differ.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let differs = [
            (self.anchored.is_some() != other.anchored.is_some(), "kind"),
            (self.anchored != other.anchored, "anchored"),
            (self.capacity != other.capacity, "capacity"),
            (self.background != other.background, "background"),
            (self.rotation != other.rotation, "background_rotation"),
            (self.shards != other.shards, "shards"),
            (self.id_kind != other.id_kind, "id_kind"),
            (self.hardness != other.hardness, "hardness"),
            (self.decay != other.decay, "decay"),
            (self.score_update != other.score_update, "score_update"),
            (self.default_policy != other.default_policy, "default_policy"),
            (self.serve_limits != other.serve_limits, "serve_limits"),
            (self.max_payload_bytes != other.max_payload_bytes, "max_payload_bytes"),
            (self.control_fraction != other.control_fraction, "control_fraction"),
            (self.sample_ttl != other.sample_ttl, "sample_ttl"),
            (self.flow != other.flow, "flow"),
            (self.quarantine != other.quarantine, "quarantine"),
        ];
        differs.iter().find(|(d, _)| *d).map(|(_, name)| *name)
    }
}
