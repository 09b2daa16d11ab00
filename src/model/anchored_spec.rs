//! The spec of the anchors of a pool, with all defaults and ranges.

use serde::{Deserialize, Serialize};

use crate::model::encoded::MarginsDef;
use crate::model::error::Violation;
use crate::model::limits::Limits;
use crate::model::policy::PolicyOverrides;
use crate::model::spec::{IdKind, PoolSpec, ServeLimits};
use hardneg_partition::anchors::Margins;

/// Default of [`AnchoredSpec::negatives_per_anchor`].
pub const DEFAULT_NEGATIVES_PER_ANCHOR: u32 = 16;
/// Maximum of [`AnchoredSpec::negatives_per_anchor`].
pub const NEGATIVES_PER_ANCHOR_MAX: u32 = 1_024;
/// Default of [`AnchoredSpec::max_anchors`], on a server that allows it.
pub const DEFAULT_MAX_ANCHORS: u64 = 1 << 20;
/// Default of [`AnchoredSpec::max_positives_per_anchor`].
pub const DEFAULT_MAX_POSITIVES: u32 = 64;
/// Default of [`AnchoredSpec::max_vetoes_per_anchor`].
pub const DEFAULT_MAX_VETOES: u32 = 256;
/// Maximum of [`AnchoredSpec::max_positives_per_anchor`] and of [`AnchoredSpec::max_vetoes_per_anchor`].
pub const NOT_NEGATIVE_MAX: u32 = 4_096;
/// The default of [`AnchoredSpec::max_pairs`] is this number times `max_anchors`, and at least [`DEFAULT_PAIRS_MIN`].
pub const DEFAULT_PAIRS_PER_ANCHOR: u64 = 16;
/// Minimum of the default of [`AnchoredSpec::max_pairs`].
pub const DEFAULT_PAIRS_MIN: u64 = 1 << 16;
/// Maximum of [`AnchoredSpec::max_pairs`].
pub const PAIRS_MAX: u64 = 1 << 32;
/// How much an anchored pool keeps of each anchor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnchoredSpec {
    /// Number of hardest negatives kept of each anchor.
    pub negatives_per_anchor: u32,
    /// Maximum number of anchors. Rows of further anchors are dropped and counted.
    pub max_anchors: u64,
    /// Maximum number of positives of an anchor.
    pub max_positives_per_anchor: u32,
    /// Maximum number of vetoes of an anchor.
    pub max_vetoes_per_anchor: u32,
    /// Maximum number of positives and vetoes of all anchors together.
    pub max_pairs: u64,
    /// Margins of requests that give none. An anchor with too many negatives evicts those first that fail them.
    #[serde(with = "MarginsDef")]
    pub margins: Margins,
    /// Whether anchors are integers or strings.
    pub anchor_id_kind: IdKind,
    /// Whether anchors and samples share one id space, so that no anchor may be served as its own negative.
    pub anchors_are_samples: bool,
}

impl AnchoredSpec {
    /// The default spec on a server with these limits.
    #[must_use]
    pub fn defaults(limits: &Limits) -> Self {
        let max_anchors = DEFAULT_MAX_ANCHORS.min(limits.max_pool_capacity);
        Self {
            negatives_per_anchor: DEFAULT_NEGATIVES_PER_ANCHOR,
            max_anchors,
            max_pairs: Self::default_pairs(max_anchors),
            max_positives_per_anchor: DEFAULT_MAX_POSITIVES,
            max_vetoes_per_anchor: DEFAULT_MAX_VETOES,
            margins: Margins::default(),
            anchor_id_kind: IdKind::U64,
            anchors_are_samples: false,
        }
    }

    /// The default of `max_pairs` for this number of anchors.
    #[must_use]
    pub fn default_pairs(max_anchors: u64) -> u64 {
        max_anchors.saturating_mul(DEFAULT_PAIRS_PER_ANCHOR).clamp(DEFAULT_PAIRS_MIN, PAIRS_MAX)
    }

    /// Maximum number of negatives of all anchors.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.max_anchors.saturating_mul(self.negatives_per_anchor.into())
    }

    /// Checks every range, and that `spec` sets no field that does not apply to an anchored pool.
    pub(crate) fn violations(&self, spec: &PoolSpec, limits: &Limits) -> Vec<Violation> {
        let mut bad = Vec::new();
        let mut ranged = |value: u64, field: &str, max: u64, whose: &str| {
            if !(1..=max).contains(&value) {
                bad.push(Violation::new(
                    format!("pool.spec.anchored.{field}"),
                    format!("{value} is not in 1..={max}{whose}"),
                ));
            }
        };
        ranged(self.negatives_per_anchor.into(), "negatives_per_anchor", NEGATIVES_PER_ANCHOR_MAX.into(), "");
        let whose = " (this server's max_pool_capacity)";
        ranged(self.max_anchors, "max_anchors", limits.max_pool_capacity, whose);
        let most = NOT_NEGATIVE_MAX.into();
        ranged(self.max_positives_per_anchor.into(), "max_positives_per_anchor", most, "");
        ranged(self.max_vetoes_per_anchor.into(), "max_vetoes_per_anchor", most, "");
        ranged(self.max_pairs, "max_pairs", PAIRS_MAX, "");
        bad.extend(margin_violations("pool.spec.anchored", self.margins));
        if self.anchors_are_samples && self.anchor_id_kind != spec.id_kind {
            let wrong = "needs one id space: anchor_id_kind and the pool's id_kind differ";
            bad.push(Violation::new("pool.spec.anchored.anchors_are_samples", wrong));
        }
        for (used, field) in [
            (spec.default_policy != PolicyOverrides::default(), "default_policy"),
            (spec.serve_limits != ServeLimits::default(), "serve_limits"),
            (spec.max_payload_bytes != 0, "max_payload_bytes"),
            (spec.quarantine.is_some(), "quarantine"),
            (spec.flow.is_some(), "flow"),
            (spec.control_fraction != 0.0, "control_fraction"),
            (spec.sample_ttl.is_some(), "sample_ttl"),
        ] {
            if used {
                bad.push(Violation::new(format!("pool.spec.{field}"), NO_USE));
            }
        }
        bad
    }
}

/// The error for a field that does not apply to an anchored pool.
pub const NO_USE: &str = "does not apply to an anchored pool: leave it out";

/// Checks the ranges of margins. Errors name the fields below `prefix`.
pub(crate) fn margin_violations(prefix: &str, margins: Margins) -> Vec<Violation> {
    [(margins.absolute, "absolute_margin"), (margins.relative, "relative_margin")]
        .into_iter()
        .filter_map(|(margin, name)| {
            let margin = margin.filter(|m| !m.is_finite() || *m < 0.0)?;
            let wrong = format!("{margin} is not a finite number of at least 0");
            Some(Violation::new(format!("{prefix}.{name}"), wrong))
        })
        .collect()
}
