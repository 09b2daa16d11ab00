//! Flags for a pool's spec: what is fixed when it is created, and what may change later.

use std::time::Duration;

use clap::Args;

use super::{
    policy::PolicyArgs,
    spec_parts::{AnchoredArgs, FlowArgs},
    values::{Hardness, IdKind, ScoreUpdate, count, duration},
};
use crate::client::pb;
use pb::{
    decay::HalfLife,
    pool_spec::{Background, SampleTtl},
};

/// What is fixed when a pool is created.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct FixedArgs {
    /// Number of samples that the hard store keeps [default: 1,048,576]
    #[arg(long, value_parser = count, value_name = "N")]
    capacity: Option<u64>,
    /// Size of the uniform sample of all ids [default: 65,536]
    #[arg(long, value_parser = count, value_name = "N", conflicts_with = "dense_ids")]
    background_size: Option<u64>,
    /// The ids are exactly 0 to N-1, known in advance
    #[arg(long, value_parser = count, value_name = "N")]
    dense_ids: Option<u64>,
    /// Number of partitions, 1 to 256 [default: by capacity and the cores of the server]
    #[arg(long, value_name = "N")]
    shards: Option<u32>,
    /// Kind of the ids [default: u64]
    #[arg(long, value_enum, value_name = "KIND")]
    id_kind: Option<IdKind>,
    /// How a score becomes a weight [default: power]
    #[arg(long, value_enum, value_name = "FUNCTION")]
    hardness: Option<Hardness>,
    /// A lower score is harder (a distance)
    #[arg(long)]
    lower_is_harder: bool,
    /// power: added to the score [default: 0.001]
    #[arg(long, value_name = "X")]
    offset: Option<f64>,
    /// exponential: divides the score [default: 1]
    #[arg(long, value_name = "X")]
    temperature: Option<f64>,
    /// The longest payload that a sample may have, in bytes [default: 0, payloads are refused]
    #[arg(long, value_name = "BYTES")]
    max_payload_bytes: Option<u32>,
    #[command(flatten)]
    anchored: AnchoredArgs,
}

impl FixedArgs {
    pub(in crate::cli) fn apply(&self, spec: &mut pb::PoolSpec) {
        spec.capacity = self.capacity.unwrap_or_default();
        spec.background =
            self.dense_ids.map(Background::DenseIds).or(self.background_size.map(Background::BackgroundSize));
        spec.shards = self.shards.unwrap_or_default();
        if let Some(kind) = self.id_kind {
            spec.set_id_kind(kind.into());
        }
        let any_hardness = self.hardness.is_some()
            || self.lower_is_harder
            || self.offset.is_some()
            || self.temperature.is_some();
        if any_hardness {
            let hardness = spec.hardness.get_or_insert_default();
            if let Some(function) = self.hardness {
                hardness.set_function(function.into());
            }
            hardness.lower_is_harder = self.lower_is_harder;
            hardness.offset = self.offset.unwrap_or_default();
            hardness.temperature = self.temperature.unwrap_or_default();
        }
        spec.max_payload_bytes = self.max_payload_bytes.unwrap_or_default();
        self.anchored.apply(spec);
    }
}

/// What may change in a live pool.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::cli) struct LiveArgs {
    /// A weight halves in this time [default: 1h]
    #[arg(long, value_parser = duration, value_name = "DURATION", group = "half")]
    half_life: Option<Duration>,
    /// A weight halves in this many training steps
    #[arg(long, value_name = "STEPS", group = "half")]
    half_life_steps: Option<f64>,
    /// Hardness exponential: a sample loses this much of its score in a second
    #[arg(long, value_name = "SCORE", group = "half")]
    score_per_second: Option<f64>,
    /// Hardness exponential: a sample loses this much of its score in a training step
    #[arg(long, value_name = "SCORE", group = "half")]
    score_per_step: Option<f64>,
    /// Scores do not age
    #[arg(long, group = "half")]
    no_decay: bool,
    /// Pools that age by steps: refuse a step more than this above the highest [default: 1,000,000]
    #[arg(long, value_parser = count, value_name = "STEPS")]
    max_step_jump: Option<u64>,
    /// Remove samples whose last report is older than this
    #[arg(long, value_parser = duration, value_name = "DURATION", group = "ttl")]
    sample_ttl: Option<Duration>,
    /// Pools that age by steps: remove samples whose last report is more steps ago than this
    #[arg(long, value_parser = count, value_name = "STEPS", group = "ttl")]
    sample_ttl_steps: Option<u64>,
    /// Samples live for ever
    #[arg(long, group = "ttl")]
    no_sample_ttl: bool,
    /// Begin a new background sample after this many reported rows
    #[arg(long, value_parser = count, value_name = "ROWS")]
    rotate_after_reports: Option<u64>,
    /// Keep one background sample for ever
    #[arg(long, conflicts_with = "rotate_after_reports")]
    no_rotation: bool,
    /// What a new report does to a stored score [default: last]
    #[arg(long, value_enum, value_name = "RULE")]
    score_update: Option<ScoreUpdate>,
    /// ema: weight of the new score [default: 0.5]
    #[arg(long, value_name = "X")]
    ema_weight: Option<f64>,
    /// Each serve multiplies a sample's weight by this [default: 1, no penalty]
    #[arg(long, value_name = "X")]
    serve_penalty: Option<f64>,
    /// How many times a sample may be served between two of its reports [default: no limit]
    #[arg(long, value_name = "N")]
    max_serves: Option<u32>,
    /// Do not serve a sample again for this long, or until it is reported again; 0s: no lease [default: 0s]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    lease: Option<Duration>,
    /// Set samples aside whose score stays above this quantile [default: 0.99 when another quarantine flag is given]
    #[arg(long, value_name = "Q", help_heading = "Quarantine")]
    quarantine_quantile: Option<f64>,
    /// Number of consecutive reports above the quantile that set a sample aside [default: 5]
    #[arg(long, value_name = "N", help_heading = "Quarantine")]
    quarantine_reports: Option<u32>,
    /// Largest number of samples in quarantine [default: 65,536]
    #[arg(long, value_parser = count, value_name = "N", help_heading = "Quarantine")]
    quarantine_capacity: Option<u64>,
    /// Set no more samples aside; samples in quarantine stay there until they are released
    #[arg(
        long,
        help_heading = "Quarantine",
        conflicts_with_all = ["quarantine_quantile", "quarantine_reports", "quarantine_capacity"]
    )]
    no_quarantine: bool,
    #[command(flatten)]
    flow: FlowArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

impl LiveArgs {
    /// Changes the fields of the given flags, and returns their paths.
    pub(in crate::cli) fn apply(&self, spec: &mut pb::PoolSpec) -> Vec<&'static str> {
        let mut paths = Vec::new();
        let half_life = if self.no_decay {
            Some(HalfLife::Disabled(true))
        } else if let Some(steps) = self.half_life_steps {
            Some(HalfLife::HalfLifeSteps(steps))
        } else if let Some(rate) = self.score_per_second {
            Some(HalfLife::ScorePerSecond(rate))
        } else if let Some(rate) = self.score_per_step {
            Some(HalfLife::ScorePerStep(rate))
        } else {
            self.half_life
                .and_then(|time| prost_types::Duration::try_from(time).ok())
                .map(HalfLife::HalfLifeTime)
        };
        if half_life.is_some() || self.max_step_jump.is_some() {
            let decay = spec.decay.get_or_insert_default();
            decay.half_life = half_life.or(decay.half_life);
            decay.max_step_jump = self.max_step_jump.unwrap_or(decay.max_step_jump);
            paths.push("spec.decay");
        }
        let ttl_time = self.sample_ttl.and_then(|time| prost_types::Duration::try_from(time).ok());
        let ttl = self.sample_ttl_steps.map(SampleTtl::SampleTtlSteps);
        let ttl = ttl.or(ttl_time.map(SampleTtl::SampleTtlTime));
        if ttl.is_some() || self.no_sample_ttl {
            spec.sample_ttl = ttl;
            paths.push("spec.sample_ttl");
        }
        if self.no_rotation || self.rotate_after_reports.is_some() {
            let rotation = spec.background_rotation.get_or_insert_default();
            rotation.disabled = self.no_rotation;
            rotation.after_reports = self.rotate_after_reports.unwrap_or(rotation.after_reports);
            paths.push("spec.background_rotation");
        }
        if self.score_update.is_some() || self.ema_weight.is_some() {
            let update = spec.score_update.get_or_insert_default();
            if let Some(rule) = self.score_update {
                update.set_rule(rule.into());
            }
            update.ema_weight = self.ema_weight.unwrap_or(update.ema_weight);
            paths.push("spec.score_update");
        }
        if self.serve_penalty.is_some() || self.max_serves.is_some() || self.lease.is_some() {
            let limits = spec.serve_limits.get_or_insert_default();
            limits.serve_penalty = self.serve_penalty.unwrap_or(limits.serve_penalty);
            limits.max_serves = self.max_serves.unwrap_or(limits.max_serves);
            limits.lease =
                self.lease.and_then(|lease| prost_types::Duration::try_from(lease).ok()).or(limits.lease);
            paths.push("spec.serve_limits");
        }
        paths.extend(self.flow.apply(spec));
        if self.no_quarantine {
            spec.quarantine = None;
            paths.push("spec.quarantine");
        } else if self.quarantine_quantile.is_some()
            || self.quarantine_reports.is_some()
            || self.quarantine_capacity.is_some()
        {
            let rule = spec.quarantine.get_or_insert_default();
            rule.quantile = self.quarantine_quantile.unwrap_or(rule.quantile);
            rule.reports = self.quarantine_reports.unwrap_or(rule.reports);
            rule.capacity = self.quarantine_capacity.unwrap_or(rule.capacity);
            paths.push("spec.quarantine");
        }
        if let Some(policy) = self.policy.over(spec.default_policy.clone()) {
            spec.default_policy = Some(policy);
            paths.push("spec.default_policy");
        }
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_changes_only_what_was_given() {
        let mut spec = pb::PoolSpec {
            decay: Some(pb::Decay { half_life: Some(HalfLife::HalfLifeSteps(10.0)), max_step_jump: 7 }),
            ..Default::default()
        };
        let args = LiveArgs {
            half_life_steps: Some(20.0),
            policy: PolicyArgs::with_alpha(2.0),
            ..Default::default()
        };
        assert_eq!(args.apply(&mut spec), ["spec.decay", "spec.default_policy"]);
        assert_eq!(spec.decay.unwrap().max_step_jump, 7);
        assert_eq!(spec.default_policy.unwrap().alpha, Some(2.0));
        assert!(LiveArgs::default().apply(&mut pb::PoolSpec::default()).is_empty());
    }

    #[test]
    fn how_long_samples_live_is_given_in_time_or_steps_or_taken_back() {
        let mut spec = pb::PoolSpec::default();
        let mut apply = |args: LiveArgs| {
            assert_eq!(args.apply(&mut spec), ["spec.sample_ttl"]);
            spec.sample_ttl
        };
        let time = Some(Duration::from_secs(90));
        let time = apply(LiveArgs { sample_ttl: time, ..Default::default() });
        let seconds = prost_types::Duration { seconds: 90, nanos: 0 };
        assert_eq!(time, Some(SampleTtl::SampleTtlTime(seconds)));
        let steps = apply(LiveArgs { sample_ttl_steps: Some(5), ..Default::default() });
        assert_eq!(steps, Some(SampleTtl::SampleTtlSteps(5)));
        assert_eq!(apply(LiveArgs { no_sample_ttl: true, ..Default::default() }), None);
    }
}
