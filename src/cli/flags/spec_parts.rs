//! Flags for parts of a spec or a policy that are messages of their own: given at all, the part is on.

use std::time::Duration;

use clap::Args;

use super::values::{IdKind, Scheduled, StratumLimit, count, duration};
use crate::client::pb;

/// Negatives per anchor.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Anchored pools")]
pub(in crate::cli) struct AnchoredArgs {
    /// Keep so many of the hardest negatives of each anchor, 1 to 1,024 (makes the pool an anchored one)
    #[arg(long, value_name = "N")]
    anchored: Option<u32>,
    /// Anchors [default: 1,048,576]
    #[arg(long, value_parser = count, value_name = "N", requires = "anchored")]
    max_anchors: Option<u64>,
    /// Known positives remembered of an anchor [default: 64]
    #[arg(long, value_name = "N", requires = "anchored")]
    max_positives_per_anchor: Option<u32>,
    /// Vetoed negatives remembered of an anchor [default: 256]
    #[arg(long, value_name = "N", requires = "anchored")]
    max_vetoes_per_anchor: Option<u32>,
    /// Known positives and vetoes of all anchors together [default: 16 for each of max-anchors]
    #[arg(long, value_parser = count, value_name = "N", requires = "anchored")]
    max_pairs: Option<u64>,
    /// Negatives are easier than the positive by this at least, where a request does not say
    #[arg(long, value_name = "X", requires = "anchored")]
    absolute_margin: Option<f32>,
    /// Likewise, as a share of the positive's score
    #[arg(long, value_name = "X", requires = "anchored")]
    relative_margin: Option<f32>,
    /// Kind of the anchors [default: u64]
    #[arg(long, value_enum, value_name = "KIND", requires = "anchored")]
    anchor_id_kind: Option<IdKind>,
}

impl AnchoredArgs {
    pub(in crate::cli) fn apply(&self, spec: &mut pb::PoolSpec) {
        let Some(negatives_per_anchor) = self.anchored else {
            return;
        };
        let mut anchored = pb::AnchoredSpec {
            negatives_per_anchor,
            max_anchors: self.max_anchors.unwrap_or_default(),
            max_positives_per_anchor: self.max_positives_per_anchor.unwrap_or_default(),
            max_vetoes_per_anchor: self.max_vetoes_per_anchor.unwrap_or_default(),
            max_pairs: self.max_pairs.unwrap_or_default(),
            absolute_margin: self.absolute_margin,
            relative_margin: self.relative_margin,
            ..Default::default()
        };
        if let Some(kind) = self.anchor_id_kind {
            anchored.set_anchor_id_kind(kind.into());
        }
        spec.set_kind(pb::PoolKind::Anchored);
        spec.anchored = Some(anchored);
    }
}

/// How much is mined for each reported sample, and the arm to compare with.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Flow and control")]
pub(in crate::cli) struct FlowArgs {
    /// Samples mined for each reported one; whoever runs ahead waits
    #[arg(long, value_name = "X", requires = "flow_buffer")]
    flow_ratio: Option<f64>,
    /// How far the two may drift apart, in mined samples
    #[arg(long, value_name = "SAMPLES", requires = "flow_ratio")]
    flow_buffer: Option<f64>,
    /// Mining begins once so many samples have been reported [default: 1]
    #[arg(long, value_parser = count, value_name = "N", requires = "flow_ratio")]
    flow_min_reported: Option<u64>,
    /// How long one side waits for the other [default: 10s]
    #[arg(long, value_parser = duration, value_name = "DURATION", requires = "flow_ratio")]
    flow_max_wait: Option<Duration>,
    /// Share of rounds that get a uniform batch, to compare with [default: 0]
    #[arg(long, value_name = "X")]
    control_fraction: Option<f64>,
    /// Do not couple mining to reporting
    #[arg(long, conflicts_with = "flow_ratio")]
    no_flow: bool,
}

impl FlowArgs {
    /// Changes what was given and leaves the rest; the paths that changed.
    pub(in crate::cli) fn apply(&self, spec: &mut pb::PoolSpec) -> Vec<&'static str> {
        let mut paths = Vec::new();
        if let Some(fraction) = self.control_fraction {
            spec.control_fraction = fraction;
            paths.push("spec.control_fraction");
        }
        if self.no_flow {
            spec.flow = None;
            paths.push("spec.flow");
        } else if let Some(mined_per_reported) = self.flow_ratio {
            let flow = spec.flow.get_or_insert_default();
            flow.mined_per_reported = mined_per_reported;
            flow.error_buffer = self.flow_buffer.unwrap_or(flow.error_buffer);
            flow.min_reported = self.flow_min_reported.unwrap_or(flow.min_reported);
            let max_wait = self.flow_max_wait.and_then(|wait| prost_types::Duration::try_from(wait).ok());
            flow.max_wait = max_wait.or(flow.max_wait);
            paths.push("spec.flow");
        }
        paths
    }
}

/// Limits on strata and groups.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Balance")]
pub(in crate::cli) struct BalanceArgs {
    /// The most that any stratum may have of a batch, over 0 to 1
    #[arg(long, value_name = "X", conflicts_with = "equal_shares")]
    max_stratum_fraction: Option<f64>,
    /// The limit of one stratum: samples (7=10) or a share (7=0.25); may be repeated
    #[arg(long, value_name = "STRATUM=LIMIT", conflicts_with = "equal_shares")]
    stratum_cap: Vec<StratumLimit>,
    /// Every stratum has the same share
    #[arg(long)]
    equal_shares: bool,
    /// So many of each stratum at least
    #[arg(long, value_name = "N")]
    min_per_stratum: Option<u32>,
    /// The most of one group of near-duplicates
    #[arg(long, value_name = "N")]
    max_per_group: Option<u32>,
}

impl BalanceArgs {
    /// `None` when nothing was given; given at all, it replaces the balance that there was.
    pub(in crate::cli) fn balance(&self) -> Option<pb::Balance> {
        let balance = pb::Balance {
            max_stratum_fraction: self.max_stratum_fraction.unwrap_or_default(),
            stratum_caps: self.stratum_cap.iter().map(|limit| limit.0).collect(),
            equal_shares: self.equal_shares,
            min_per_stratum: self.min_per_stratum.unwrap_or_default(),
            max_per_group: self.max_per_group.unwrap_or_default(),
        };
        (balance != pb::Balance::default()).then_some(balance)
    }
}

/// Fields that change with the step.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Curriculum")]
pub(in crate::cli) struct CurriculumArgs {
    /// Before this step batches are uniform
    #[arg(long, value_parser = count, value_name = "STEPS")]
    warmup_steps: Option<u64>,
    /// alpha, random-fraction, beta, quantile-min or quantile-max over steps, as alpha=0..2@1000..10000, or with `:sqrt` at
    /// the end fast at first; may be repeated
    #[arg(long, value_name = "FIELD=FROM..TO@BEGIN..END")]
    schedule: Vec<Scheduled>,
}

impl CurriculumArgs {
    /// `None` when nothing was given; given at all, it replaces the curriculum that there was.
    pub(in crate::cli) fn curriculum(&self) -> Option<pb::Curriculum> {
        if self.warmup_steps.is_none() && self.schedule.is_empty() {
            return None;
        }
        let mut curriculum =
            pb::Curriculum { warmup_steps: self.warmup_steps.unwrap_or_default(), ..Default::default() };
        for scheduled in &self.schedule {
            scheduled.apply(&mut curriculum);
        }
        Some(curriculum)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        anchored: AnchoredArgs,
        #[command(flatten)]
        flow: FlowArgs,
        #[command(flatten)]
        balance: BalanceArgs,
        #[command(flatten)]
        curriculum: CurriculumArgs,
    }

    fn parse(flags: &str) -> Result<Flags, clap::Error> {
        Flags::try_parse_from(["flags"].into_iter().chain(flags.split_whitespace()))
    }

    fn spec(flags: &str) -> pb::PoolSpec {
        let flags = parse(flags).unwrap_or_else(|error| panic!("{error}"));
        let mut spec = pb::PoolSpec::default();
        flags.anchored.apply(&mut spec);
        flags.flow.apply(&mut spec);
        spec
    }

    #[test]
    fn what_is_not_given_is_off() {
        assert_eq!(spec(""), pb::PoolSpec::default());
        let flags = parse("").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((flags.balance.balance(), flags.curriculum.curriculum()), (None, None));
    }

    #[test]
    fn flags_become_parts_of_a_spec() {
        let given = spec(
            "--anchored 32 --max-anchors 10k --max-pairs 1M --relative-margin 0.05 --anchor-id-kind string \
             --flow-ratio 0.5 --flow-buffer 100 --flow-max-wait 2s --control-fraction 0.1",
        );
        assert_eq!(given.kind(), pb::PoolKind::Anchored);
        let anchored = given.anchored.unwrap();
        assert_eq!((anchored.negatives_per_anchor, anchored.max_anchors), (32, 10_000));
        assert_eq!(anchored.max_pairs, 1_000_000);
        assert_eq!((anchored.relative_margin, anchored.absolute_margin), (Some(0.05), None));
        assert_eq!(anchored.anchor_id_kind(), pb::IdKind::String);
        let flow = given.flow.unwrap();
        assert_eq!(
            (flow.mined_per_reported, flow.error_buffer, flow.max_wait.unwrap().seconds),
            (0.5, 100.0, 2)
        );
        assert_eq!(given.control_fraction, 0.1);
        let live = parse("--no-flow").unwrap_or_else(|error| panic!("{error}")).flow;
        let mut spec = given;
        assert_eq!(live.apply(&mut spec), ["spec.flow"]);
        assert_eq!((spec.flow, spec.control_fraction), (None, 0.1));
        for wrong in ["--max-anchors 5", "--flow-ratio 1", "--equal-shares --stratum-cap 1=5"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn flags_become_parts_of_a_policy() {
        let flags = parse(
            "--stratum-cap 7=10 --stratum-cap 0=0.25 --max-per-group 2 \
             --warmup-steps 1k --schedule alpha=0..2@1000..10000 --schedule quantile-max=0.5..1@0..500:sqrt",
        );
        let flags = flags.unwrap_or_else(|error| panic!("{error}"));
        let balance = flags.balance.balance().unwrap();
        assert_eq!(balance.max_per_group, 2);
        use pb::stratum_cap::Limit;
        let caps: Vec<_> = balance.stratum_caps.iter().map(|cap| (cap.stratum, cap.limit)).collect();
        assert_eq!(caps, [(7, Some(Limit::MaxCount(10))), (0, Some(Limit::MaxFraction(0.25)))]);
        let curriculum = flags.curriculum.curriculum().unwrap();
        assert_eq!(curriculum.warmup_steps, 1_000);
        let alpha = curriculum.alpha.unwrap();
        assert_eq!((alpha.from, alpha.to, alpha.begin_step, alpha.end_step), (0.0, 2.0, 1_000, 10_000));
        assert_eq!(alpha.shape(), pb::ScheduleShape::Linear);
        assert_eq!(curriculum.quantile_max.unwrap().shape(), pb::ScheduleShape::Sqrt);
        assert_eq!(curriculum.beta, None);
        for wrong in ["alpha", "alpha=0..2", "alpha=0@1..2", "gamma=0..1@0..5", "beta=0..1@0..5:cube"] {
            assert!(parse(&format!("--schedule {wrong}")).is_err(), "{wrong}");
        }
    }
}
