//! `hardneg mine-negatives`: mines negatives of anchors and prints them, for people or as input of other programs.

use std::fmt::Write as _;

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cli::{
    flags::{
        connection::Connection,
        values::{NegativeShortfall, NegativeStrategy, Range, ids_of_kind},
    },
    output::{
        csv_text, filtered_json, floats_json, id_text, ids_json, note, print, print_json, sizes_json,
        source_name, table,
    },
};
use crate::client::{Negatives, NegativesRequest, pb};

const EXAMPLES: &str = "\
Examples:
  hardneg mine-negatives --pool queries --anchors 17,42 -n 7
  hardneg mine-negatives --pool queries --anchors 17 --strategy proportional --relative-margin 0.05 --format json
  hardneg mine-negatives --pool faces --anchors 17 --strategy semi-hard --semi-hard-margin 0.2 --shortfall short
  hardneg mine-negatives --pool clips --anchors 17 --strategy distance-weighted --dimension 128";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    /// The anchored pool
    #[arg(long)]
    pool: String,
    /// The anchors (ids or keys), separated by commas
    #[arg(long, required = true, value_delimiter = ',', value_name = "ID,…")]
    anchors: Vec<String>,
    /// Number of negatives of each anchor, 1 to 1,024; or a number for each, 0 to 1,024, separated by commas
    #[arg(long, short = 'n', default_value = "8", value_delimiter = ',', value_name = "N")]
    num_negatives: Vec<u32>,
    #[command(flatten)]
    policy: NegativePolicyArgs,
    /// Ids (or keys) to leave out, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    exclude: Vec<String>,
    /// The same seed on the same state gives the same negatives
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print the labels of anchors and negatives too
    #[arg(long)]
    show_labels: bool,
    /// The format of the output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Policy")]
struct NegativePolicyArgs {
    /// How negatives are chosen [default: top]
    #[arg(long, value_enum, value_name = "NAME")]
    strategy: Option<NegativeStrategy>,
    /// Exponent of proportional, 0 to 16 [default: 1]
    #[arg(long, value_name = "X")]
    alpha: Option<f64>,
    /// Expected share of negatives from the background, 0 to 1 [default: 0]
    #[arg(long, value_name = "X")]
    random_fraction: Option<f64>,
    /// Only negatives of these ranks among those that pass the other filters, 0 the hardest, MAX excluded
    #[arg(long, value_name = "MIN..MAX")]
    range: Option<Range<u32>>,
    /// Only negatives with a raw score in this range, both bounds included
    #[arg(long, value_name = "MIN..MAX", allow_hyphen_values = true)]
    scores: Option<Range<f32>>,
    /// Only negatives that score at least this much below the anchor's positive [default: the pool's margin]
    #[arg(long, value_name = "X")]
    absolute_margin: Option<f32>,
    /// The same margin as a fraction of the positive's score [default: the pool's margin]
    #[arg(long, value_name = "X")]
    relative_margin: Option<f32>,
    /// Only negatives that score more than the anchor's positive less this; 0: harder than the positive
    #[arg(long, value_name = "X")]
    hard_margin: Option<f32>,
    /// semi-hard: only negatives that score less than this below the positive
    #[arg(long, value_name = "X")]
    semi_hard_margin: Option<f32>,
    /// distance-weighted: the dimension of the embeddings
    #[arg(long, value_name = "N")]
    dimension: Option<u32>,
    /// The most samples of one group among an anchor's negatives [default: no limit]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    max_per_group: u32,
    /// Only negatives whose last report has this age, in seconds or steps
    #[arg(long, value_name = "MIN..MAX")]
    age_window: Option<Range<f64>>,
    /// Only negatives that these versions of the model scored
    #[arg(long, value_name = "MIN..MAX")]
    version_window: Option<Range<u32>>,
    /// What happens when an anchor has too few negatives [default: fill]
    #[arg(long, value_enum, value_name = "NAME")]
    shortfall: Option<NegativeShortfall>,
}

impl NegativePolicyArgs {
    fn policy(self) -> pb::NegativePolicy {
        let mut policy = pb::NegativePolicy {
            alpha: self.alpha,
            random_fraction: self.random_fraction,
            range_min: self.range.and_then(|range| range.min).unwrap_or_default(),
            range_max: self.range.and_then(|range| range.max),
            min_score: self.scores.and_then(|range| range.min),
            max_score: self.scores.and_then(|range| range.max),
            absolute_margin: self.absolute_margin,
            relative_margin: self.relative_margin,
            hard_margin: self.hard_margin,
            semi_hard_margin: self.semi_hard_margin,
            distance_weighting: self
                .dimension
                .map(|dimension| pb::DistanceWeighting { dimension, ..Default::default() }),
            max_per_group: self.max_per_group,
            age: self
                .age_window
                .map(|range| pb::AgeWindow { min: range.min.unwrap_or_default(), max: range.max }),
            model_version: self
                .version_window
                .map(|range| pb::VersionWindow { min: range.min.unwrap_or_default(), max: range.max }),
            ..Default::default()
        };
        if let Some(strategy) = self.strategy {
            policy.set_strategy(strategy.into());
        }
        if let Some(shortfall) = self.shortfall {
            policy.set_shortfall(shortfall.into());
        }
        policy
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people
    Table,
    /// A header, and one line per negative
    Csv,
    /// One document with offsets and columns
    Json,
}

pub(super) async fn run(connection: &Connection, args: Args) -> anyhow::Result<()> {
    let client = connection.connect().await?;
    let spec = client.get_pool(&args.pool).await?.spec.unwrap_or_default();
    // In a flat pool the server refuses the call with a clear error.
    let anchor_kind = spec.anchored.as_ref().map_or(spec.id_kind(), pb::AnchoredSpec::anchor_id_kind);
    let anchors = ids_of_kind(anchor_kind, args.anchors.clone())?;
    let request = match args.num_negatives[..] {
        [all] => NegativesRequest::new(&args.pool, anchors, all),
        _ => NegativesRequest::new(&args.pool, anchors, 0).num_negatives_per_anchor(args.num_negatives),
    };
    let mut request = request
        .policy(args.policy.policy())
        .exclude_ids(ids_of_kind(spec.id_kind(), args.exclude)?)
        .fields(pb::NegativeFields {
            scores: true,
            inclusion_probabilities: true,
            sources: true,
            ages: true,
            positive_scores: true,
            labels: args.show_labels,
        });
    if let Some(seed) = args.seed {
        request = request.seed(seed);
    }
    let negatives = client.mine_negatives(request).await?;
    match args.format {
        Format::Table => {
            print(&table(&header(&negatives), rows(&args.anchors, &negatives), &[0, 1, 2, 3, 4, 6, 7, 8]))?;
            note(&summary(&negatives));
        }
        Format::Csv => print(&csv_text(&header(&negatives), rows(&args.anchors, &negatives))?)?,
        Format::Json => print_json(&negatives_json(&args.anchors, &negatives))?,
    }
    Ok(())
}

const HEADER: [&str; 7] =
    ["anchor", "positive_score", "id", "score", "inclusion_probability", "source", "age"];

/// The names of the columns; labels only when they were requested.
fn header(negatives: &Negatives) -> Vec<&'static str> {
    let labels = if negatives.anchor_labels.is_empty() { &[][..] } else { &["anchor_label", "label"] };
    [&HEADER[..], labels].concat()
}

fn rows(anchors: &[String], negatives: &Negatives) -> Vec<Vec<String>> {
    let float = |column: &[f32], row: usize| {
        column.get(row).filter(|value| !value.is_nan()).map_or_else(String::new, ToString::to_string)
    };
    let of_anchor = |(i, anchor): (usize, &String)| {
        let positive = float(&negatives.positive_scores, i);
        let anchor = anchor.clone();
        negatives.rows(i).map(move |row| {
            let mut cells = vec![
                anchor.clone(),
                positive.clone(),
                id_text(&negatives.ids, row),
                float(&negatives.scores, row),
                float(&negatives.inclusion_probabilities, row),
                negatives.sources.get(row).map_or_else(String::new, source_name),
                float(&negatives.ages, row),
            ];
            if let Some(label) = negatives.anchor_labels.get(i) {
                cells.extend([
                    label.to_string(),
                    negatives.labels.get(row).map_or_else(String::new, ToString::to_string),
                ]);
            }
            cells
        })
    };
    anchors.iter().enumerate().flat_map(of_anchor).collect()
}

fn summary(negatives: &Negatives) -> String {
    let info = &negatives.info;
    let mut text = format!(
        "{} negatives of {} anchors, {} from the background; seed {}",
        negatives.ids.len(),
        negatives.len(),
        info.background_count,
        info.seed
    );
    if info.filled_count > 0 {
        let _ = write!(text, "; {} fill up anchors with too few of their own", info.filled_count);
    }
    if info.shortfall_count > 0 {
        let _ = write!(text, "; {} fewer than requested", info.shortfall_count);
    }
    if let Some(unscored) = info.filtered.as_ref().map(|f| f.unscored).filter(|unscored| *unscored > 0) {
        let _ = write!(text, "; filters left {unscored} places without a background sample");
    }
    if info.no_positive_count > 0 {
        let _ = write!(text, "; {} anchors have no positive score to measure from", info.no_positive_count);
    }
    if info.unknown_anchor_count > 0 {
        let _ = write!(text, "; {} anchors are not stored", info.unknown_anchor_count);
    }
    text
}

fn negatives_json(anchors: &[String], negatives: &Negatives) -> Value {
    let info = &negatives.info;
    json!({
        "anchors": anchors,
        "offsets": negatives.offsets,
        "ids": ids_json(&negatives.ids),
        "scores": floats_json(&negatives.scores),
        "inclusion_probabilities": floats_json(&negatives.inclusion_probabilities),
        "sources": negatives.sources.iter().map(source_name).collect::<Vec<_>>(),
        "ages": floats_json(&negatives.ages),
        "positive_scores": floats_json(&negatives.positive_scores),
        "labels": negatives.labels,
        "anchor_labels": negatives.anchor_labels,
        "seed": info.seed.to_string(),
        "shortfall_count": info.shortfall_count,
        "unknown_anchor_count": info.unknown_anchor_count,
        "no_positive_count": info.no_positive_count,
        "background_count": info.background_count,
        "filled_count": info.filled_count,
        "sizes": info.sizes.as_ref().map(sizes_json),
        "filtered": info.filtered.as_ref().map(filtered_json),
        "pool_uid": info.pool_uid.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::columns::{encode_floats, encode_ids};
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        policy: NegativePolicyArgs,
    }

    #[test]
    fn flags_become_a_policy() {
        let line = "x --strategy distance-weighted --dimension 128 --range 2..10 --scores -0.5.. --relative-margin 0.05 \
                    --hard-margin 0.5 --max-per-group 1 --version-window 3.. --shortfall fill-unscored";
        let policy = Flags::try_parse_from(line.split_whitespace()).unwrap().policy.policy();
        assert_eq!(policy.strategy(), pb::NegativeStrategy::DistanceWeighted);
        assert_eq!(policy.distance_weighting.unwrap().dimension, 128);
        assert_eq!((policy.range_min, policy.range_max), (2, Some(10)));
        assert_eq!((policy.min_score, policy.max_score), (Some(-0.5), None));
        assert_eq!((policy.relative_margin, policy.absolute_margin), (Some(0.05), None));
        assert_eq!((policy.max_per_group, policy.model_version.unwrap().min), (1, 3));
        assert_eq!((policy.shortfall(), policy.age), (pb::Shortfall::FillUnscored, None));
        assert_eq!(policy.hard_margin, Some(0.5));
    }

    #[test]
    fn negatives_print_anchor_by_anchor() {
        let message = pb::MineNegativesResponse {
            offsets: vec![0, 2, 2],
            ids: Some(encode_ids(vec![4, 5], pb::ColumnEncoding::LittleEndian)),
            scores: Some(encode_floats(vec![0.5, f32::NAN], pb::ColumnEncoding::LittleEndian)),
            sources: bytes::Bytes::from_static(&[1, 2]),
            positive_scores: Some(encode_floats(vec![0.75, f32::NAN], pb::ColumnEncoding::LittleEndian)),
            unknown_anchor_count: 1,
            shortfall_count: 2,
            filled_count: 1,
            no_positive_count: 1,
            filtered: Some(pb::FilterCounts { unscored: 3, ..Default::default() }),
            sizes: Some(pb::PoolSizes { distinct: 9.0, ..Default::default() }),
            ..Default::default()
        };
        let negatives = Negatives::try_from(message).unwrap();
        let anchors = ["a,b".to_owned(), "c".to_owned()];
        let text = csv_text(&HEADER, rows(&anchors, &negatives)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1..], ["\"a,b\",0.75,4,0.5,,hard,", "\"a,b\",0.75,5,,,background,"]);
        let said = summary(&negatives);
        let told = "; 1 fill up anchors with too few of their own; 2 fewer than requested; filters left 3 places without a \
                    background sample; 1 anchors have no positive score to measure from; 1 anchors are not stored";
        assert!(said.ends_with(told), "{said}");
        let value = negatives_json(&anchors, &negatives);
        assert_eq!((&value["offsets"], &value["scores"]), (&json!([0, 2, 2]), &json!([0.5, null])));
        assert_eq!((&value["filled_count"], &value["sizes"]["distinct"]), (&json!(1), &json!(9.0)));
    }
}
