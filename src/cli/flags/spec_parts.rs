//! Flags for the parts of a spec that are messages: any flag of a part switches the part on.

use std::time::Duration;

use clap::Args;

use super::values::{IdKind, count, duration};
use crate::client::pb;

/// Negatives per anchor.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Anchored pools")]
pub(in crate::cli) struct AnchoredArgs {
    /// Create an anchored pool that keeps this many of the hardest negatives of each anchor, 1 to 1,024
    #[arg(long, value_name = "N")]
    anchored: Option<u32>,
    /// Largest number of anchors [default: 1,048,576]
    #[arg(long, value_parser = count, value_name = "N", requires = "anchored")]
    max_anchors: Option<u64>,
    /// Largest number of known positives of an anchor [default: 64]
    #[arg(long, value_name = "N", requires = "anchored")]
    max_positives_per_anchor: Option<u32>,
    /// Largest number of vetoed negatives of an anchor [default: 256]
    #[arg(long, value_name = "N", requires = "anchored")]
    max_vetoes_per_anchor: Option<u32>,
    /// Largest number of known positives and vetoes of all anchors together [default: 16 x max-anchors]
    #[arg(long, value_parser = count, value_name = "N", requires = "anchored")]
    max_pairs: Option<u64>,
    /// Default of requests: negatives must score at least this much below the anchor's positive
    #[arg(long, value_name = "X", requires = "anchored")]
    absolute_margin: Option<f32>,
    /// Default of requests: the same margin as a fraction of the positive's score
    #[arg(long, value_name = "X", requires = "anchored")]
    relative_margin: Option<f32>,
    /// Kind of the anchors [default: u64]
    #[arg(long, value_enum, value_name = "KIND", requires = "anchored")]
    anchor_id_kind: Option<IdKind>,
    /// Anchors and samples share one id space: no anchor is served as its own negative
    #[arg(long, requires = "anchored")]
    anchors_are_samples: bool,
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
            anchors_are_samples: self.anchors_are_samples,
            ..Default::default()
        };
        if let Some(kind) = self.anchor_id_kind {
            anchored.set_anchor_id_kind(kind.into());
        }
        spec.set_kind(pb::PoolKind::Anchored);
        spec.anchored = Some(anchored);
    }
}

/// The rate limiter of a pool, and its control arm.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Flow and control")]
pub(in crate::cli) struct FlowArgs {
    /// Number of samples to mine for each sample reported; reports or mining requests that exceed it wait
    #[arg(long, value_name = "X", requires = "flow_buffer")]
    flow_ratio: Option<f64>,
    /// Allowed deviation from --flow-ratio, in mined samples
    #[arg(long, value_name = "SAMPLES", requires = "flow_ratio")]
    flow_buffer: Option<f64>,
    /// Mining begins once this many samples were reported [default: 1]
    #[arg(long, value_parser = count, value_name = "N", requires = "flow_ratio")]
    flow_min_reported: Option<u64>,
    /// The longest wait of a report or mining request [default: 10s]
    #[arg(long, value_parser = duration, value_name = "DURATION", requires = "flow_ratio")]
    flow_max_wait: Option<Duration>,
    /// Share of rounds with uniform batches, to compare mining with [default: 0]
    #[arg(long, value_name = "X")]
    control_fraction: Option<f64>,
    /// Switch the rate limiter off
    #[arg(long, conflicts_with = "flow_ratio")]
    no_flow: bool,
}

impl FlowArgs {
    /// Changes the fields of the given flags, and returns their paths.
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
    }

    #[test]
    fn flags_become_parts_of_a_spec() {
        let given = spec(
            "--anchored 32 --max-anchors 10k --max-pairs 1M --relative-margin 0.05 --anchor-id-kind string \
             --anchors-are-samples --flow-ratio 0.5 --flow-buffer 100 --flow-max-wait 2s --control-fraction 0.1",
        );
        assert_eq!(given.kind(), pb::PoolKind::Anchored);
        let anchored = given.anchored.unwrap();
        assert_eq!((anchored.negatives_per_anchor, anchored.max_anchors), (32, 10_000));
        assert_eq!(anchored.max_pairs, 1_000_000);
        assert_eq!((anchored.relative_margin, anchored.absolute_margin), (Some(0.05), None));
        assert_eq!(anchored.anchor_id_kind(), pb::IdKind::String);
        assert!(anchored.anchors_are_samples);
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
        for wrong in ["--max-anchors 5", "--flow-ratio 1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
