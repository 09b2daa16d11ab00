//! What may change of a pool while it lives.

use hardneg_partition::ScoreUpdate;

use crate::model::flow::Flow;
use crate::model::policy::PolicyOverrides;
use crate::model::quarantine::QuarantineRule;
use crate::model::spec::{BackgroundRotation, Decay, SampleTtl, ServeLimits};

/// What may change in a live pool; `None` keeps what there is.
#[derive(Clone, Debug, Default)]
pub struct SpecChange {
    /// Only its half-life: the kind of clock is fixed.
    pub decay: Option<Decay>,
    /// The default policy.
    pub default_policy: Option<PolicyOverrides>,
    /// Limits on repeats.
    pub serve_limits: Option<ServeLimits>,
    /// Background rotation.
    pub rotation: Option<BackgroundRotation>,
    /// Re-report rule.
    pub score_update: Option<ScoreUpdate>,
    /// The control arm.
    pub control_fraction: Option<f64>,
    /// How long samples live; `Some(None)`: for ever.
    pub sample_ttl: Option<Option<SampleTtl>>,
    /// The flow, or that there is to be none.
    pub flow: Option<Option<Flow>>,
    /// Quarantine rule; `Some(None)` switches it off.
    pub quarantine: Option<Option<QuarantineRule>>,
}
