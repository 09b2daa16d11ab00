//! The fields of a spec that may change in a live pool.

use hardneg_partition::ScoreUpdate;

use crate::model::flow::Flow;
use crate::model::policy::PolicyOverrides;
use crate::model::quarantine::QuarantineRule;
use crate::model::spec::{BackgroundRotation, Decay, SampleTtl, ServeLimits};

/// A change of the spec of a live pool; `None` keeps the present value of a field.
#[derive(Clone, Debug, Default)]
pub struct SpecChange {
    /// The decay. Only the half-life may change: the kind of clock is fixed.
    pub decay: Option<Decay>,
    /// The default policy, as a whole.
    pub default_policy: Option<PolicyOverrides>,
    /// Limits on serving a sample again.
    pub serve_limits: Option<ServeLimits>,
    /// When a new background generation begins.
    pub rotation: Option<BackgroundRotation>,
    /// How the new score of a stored sample is combined with the stored score.
    pub score_update: Option<ScoreUpdate>,
    /// Share of rounds that get a uniform batch, 0 ..= 1.
    pub control_fraction: Option<f64>,
    /// The time to live of samples; `Some(None)`: samples never expire.
    pub sample_ttl: Option<Option<SampleTtl>>,
    /// The flow; `Some(None)` removes it.
    pub flow: Option<Option<Flow>>,
    /// The quarantine rule; `Some(None)` switches it off.
    pub quarantine: Option<Option<QuarantineRule>>,
}
