//! `hardneg mine`: mines one batch and prints it, for people or as input of other programs.

use std::{fmt::Write as _, time::Duration};

use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cli::{
    flags::{
        connection::Connection,
        policy::PolicyArgs,
        values::{count, duration},
    },
    output::{
        csv_text, filtered_json, floats_json, id_text, ids_json, note, policy_json, print, print_json,
        short_name, sizes_json, source_name, table,
    },
};
use crate::client::{Batch, Ids, MineRequest, pb};

const EXAMPLES: &str = "\
Examples:
  hardneg mine --pool faces --batch-size 32
  hardneg mine --pool faces --batch-size 4096 --format ids > hard.txt
  hardneg mine --pool faces --batch-size 256 --strategy rank --alpha 0.7 --rank-window 100.. --format json
  hardneg mine --pool faces --batch-size 8 --dry-run --seed 7
  hardneg mine --pool faces --batch-size 32 --round 7 --rank 3 --world-size 8 --run-id run-1
  hardneg mine --pool faces --positives 20 --max-stratum-fraction 0.2 --max-per-group 3 --show-strata";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Args {
    /// The pool
    #[arg(long)]
    pool: String,
    /// Number of samples, 1 to 65,536
    #[arg(long, short = 'n', default_value_t = 16, value_name = "N")]
    batch_size: u32,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    ratio: RatioArgs,
    #[command(flatten)]
    round: RoundArgs,
    /// The training step, for a curriculum [default: the highest step reported]
    #[arg(long, value_name = "N")]
    step: Option<u64>,
    /// Do not serve the samples again for this long; 0s: no lease [default: the pool's lease]
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    lease: Option<Duration>,
    /// The same seed on the same state gives the same batch
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Wait until the hard store holds this many samples
    #[arg(long, value_parser = count, value_name = "N")]
    wait_min_size: Option<u64>,
    /// How long to wait
    #[arg(long, value_parser = duration, value_name = "DURATION", default_value = "10s", requires = "wait_min_size")]
    wait_timeout: Duration,
    /// Ids (or keys) to leave out, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    exclude: Vec<String>,
    /// A retry with this id within 60 s gets the same batch
    #[arg(long, value_name = "TEXT", conflicts_with = "round")]
    request_id: Option<String>,
    /// Do not count serves and do not lease samples: for inspecting a pool
    #[arg(long)]
    dry_run: bool,
    /// Print the strata too
    #[arg(long)]
    show_strata: bool,
    /// Print the groups too
    #[arg(long)]
    show_groups: bool,
    /// The format of the output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A batch size from the positives of a step.
#[derive(Debug, clap::Args)]
struct RatioArgs {
    /// Compute the batch size from this number of positives, instead of --batch-size
    #[arg(long, value_name = "N", conflicts_with = "batch_size")]
    positives: Option<u32>,
    /// Negatives for each positive
    #[arg(long, value_name = "X", default_value_t = 3.0, requires = "positives")]
    negatives_per_positive: f64,
    /// The smallest batch size, also without any positive
    #[arg(long, value_name = "N", default_value_t = 0, requires = "positives")]
    min_size: u32,
}

/// One rank's share of a training step.
#[derive(Debug, clap::Args)]
struct RoundArgs {
    /// Mine one rank's share of this round, which all ranks of a training step mine together
    #[arg(long, value_name = "N", requires_all = ["rank", "world_size"])]
    round: Option<u64>,
    /// This rank, from 0
    #[arg(long, value_name = "N", requires = "round")]
    rank: Option<u32>,
    /// Number of ranks
    #[arg(long, value_name = "N", requires = "round")]
    world_size: Option<u32>,
    /// The name of the training run
    #[arg(long, value_name = "TEXT", requires = "round", default_value = "", hide_default_value = true)]
    run_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table for people
    Table,
    /// A header, and one line per sample
    Csv,
    /// One document with columns
    Json,
    /// One id per line
    Ids,
}

pub(super) async fn run(connection: &Connection, args: Args) -> anyhow::Result<()> {
    let client = connection.connect().await?;
    let mut request = MineRequest::new(&args.pool, args.batch_size)
        .dry_run(args.dry_run)
        .exclude_ids(excluded(args.exclude))
        .fields(pb::BatchFields {
            scores: true,
            importance_weights: true,
            inclusion_probabilities: true,
            sources: true,
            ages: true,
            model_versions: true,
            serves: true,
            payloads: false,
            strata: args.show_strata,
            groups: args.show_groups,
        });
    if let Some(policy) = args.policy.over(None) {
        request = request.policy(policy);
    }
    if let Some(positives) = args.ratio.positives {
        request = request.negative_ratio(pb::NegativeRatio {
            positives,
            negatives_per_positive: args.ratio.negatives_per_positive,
            min_size: args.ratio.min_size,
        });
    }
    if let RoundArgs { round: Some(number), rank: Some(rank), world_size: Some(world_size), run_id } =
        args.round
    {
        request = request.round(pb::Round { number, rank, world_size, run_id });
    }
    if let Some(step) = args.step {
        request = request.step(step);
    }
    if let Some(lease) = args.lease {
        request = request.lease(lease);
    }
    if let Some(seed) = args.seed {
        request = request.seed(seed);
    }
    if let Some(min_size) = args.wait_min_size {
        request = request.wait(min_size, args.wait_timeout);
    }
    if let Some(id) = args.request_id {
        request = request.request_id(id);
    }
    let batch = client.mine(request).await?;
    match args.format {
        Format::Table => {
            print(&table(&header(&batch), rows(&batch), &[0, 1, 2, 3, 5, 6, 7, 8, 9]))?;
            note(&summary(&batch));
        }
        Format::Csv => print(&csv_text(&header(&batch), rows(&batch))?)?,
        Format::Json => print_json(&batch_json(&batch))?,
        Format::Ids => print(&ids(&batch).fold(String::new(), |mut text, id| {
            let _ = writeln!(text, "{id}");
            text
        }))?,
    }
    Ok(())
}

/// Integers when all words are integers; otherwise string keys.
fn excluded(words: Vec<String>) -> Ids {
    match words.iter().map(|word| word.parse()).collect() {
        Ok(ids) => Ids::U64(ids),
        Err(_) => Ids::Keys(words),
    }
}

const HEADER: [&str; 8] =
    ["id", "score", "importance_weight", "inclusion_probability", "source", "age", "model_version", "serves"];

/// The names of the columns; strata and groups only when they were requested.
fn header(batch: &Batch) -> Vec<&'static str> {
    let mut header = HEADER.to_vec();
    if !batch.strata.is_empty() {
        header.push("stratum");
    }
    if !batch.groups.is_empty() {
        header.push("group");
    }
    header
}

fn ids(batch: &Batch) -> impl Iterator<Item = String> + '_ {
    (0..batch.len()).map(|row| id_text(&batch.ids, row))
}

fn rows(batch: &Batch) -> Vec<Vec<String>> {
    let float = |column: &[f32], row: usize| {
        column.get(row).filter(|value| !value.is_nan()).map_or_else(String::new, ToString::to_string)
    };
    let integer = |column: &[u32], row: usize| column.get(row).map_or_else(String::new, ToString::to_string);
    ids(batch)
        .enumerate()
        .map(|(row, id)| {
            let mut cells = vec![
                id,
                float(&batch.scores, row),
                float(&batch.importance_weights, row),
                float(&batch.inclusion_probabilities, row),
                batch.sources.get(row).map_or_else(String::new, source_name),
                float(&batch.ages, row),
                integer(&batch.model_versions, row),
                integer(&batch.serves, row),
            ];
            if !batch.strata.is_empty() {
                cells.push(integer(&batch.strata, row));
            }
            if !batch.groups.is_empty() {
                cells.push(id_text(&batch.groups, row));
            }
            cells
        })
        .collect()
}

fn estimand(batch: &Batch) -> String {
    short_name(batch.estimand.as_str_name(), "ESTIMAND_")
}

fn summary(batch: &Batch) -> String {
    let info = &batch.info;
    let mut text = format!(
        "{} hard, {} background (share {:.3}); weights estimate: {}; seed {}",
        info.hard_count,
        info.background_count,
        info.realized_random_fraction,
        estimand(batch),
        info.seed,
    );
    if info.shortfall_count > 0 {
        let _ = write!(text, "; {} fewer than requested", info.shortfall_count);
    }
    if let Some(round) = &info.round {
        let _ = write!(text, "; round {}, rank {} of {}", round.number, round.rank, round.world_size);
    }
    for (uniform, why) in [(info.control, "control arm"), (info.warmup, "warm-up")] {
        if uniform {
            let _ = write!(text, "; {why}: uniform");
        }
    }
    if info.timed_out {
        text.push_str("; the wait timed out");
    }
    text
}

fn batch_json(batch: &Batch) -> Value {
    let info = &batch.info;
    json!({
        "ids": ids_json(&batch.ids),
        "scores": floats_json(&batch.scores),
        "importance_weights": floats_json(&batch.importance_weights),
        "inclusion_probabilities": floats_json(&batch.inclusion_probabilities),
        "sources": batch.sources.iter().map(source_name).collect::<Vec<_>>(),
        "ages": floats_json(&batch.ages),
        "model_versions": batch.model_versions,
        "serves": batch.serves,
        "strata": batch.strata,
        "groups": ids_json(&batch.groups),
        "estimand": estimand(batch),
        "policy": info.policy.as_ref().map(policy_json),
        "seed": info.seed.to_string(),
        "hard_count": info.hard_count,
        "background_count": info.background_count,
        "realized_random_fraction": info.realized_random_fraction,
        "eligible_fraction": info.eligible_fraction,
        "shortfall_count": info.shortfall_count,
        "timed_out": info.timed_out,
        "round": info.round.as_ref().map(|round| json!({
            "number": round.number,
            "rank": round.rank,
            "world_size": round.world_size,
            "run_id": round.run_id,
        })),
        "control": info.control,
        "warmup": info.warmup,
        "approximations": info
            .approximations()
            .map(|why| short_name(why.as_str_name(), "APPROXIMATION_"))
            .collect::<Vec<_>>(),
        "filtered": info.filtered.as_ref().map(filtered_json),
        "sizes": info.sizes.as_ref().map(sizes_json),
        "pool_uid": info.pool_uid.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::columns::{encode_floats, encode_keys};

    #[test]
    fn a_batch_prints_as_csv_and_json() {
        let message = pb::MinedBatch {
            ids: Some(encode_keys(vec!["a,b".into(), "c".into()])),
            scores: Some(encode_floats(vec![0.1, f32::NAN], pb::ColumnEncoding::Packed)),
            sources: bytes::Bytes::from_static(&[1, 2]),
            ..Default::default()
        };
        let batch = Batch::try_from(message).unwrap();
        let text = csv_text(&header(&batch), rows(&batch)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "\"a,b\",0.1,,,hard,,,");
        assert_eq!(lines[2], "c,,,,background,,,");
        let value = batch_json(&batch);
        assert_eq!(value["scores"], json!([0.1, null]));
        assert_eq!(value["ids"], json!(["a,b", "c"]));
    }

    #[test]
    fn strata_and_groups_are_columns_where_asked_for() {
        let message = pb::MinedBatch {
            ids: Some(encode_keys(vec!["a".into(), "c".into()])),
            strata: vec![7, 0],
            groups: Some(encode_keys(vec!["g".into(), String::new()])),
            round: Some(pb::Round { number: 3, rank: 1, world_size: 2, run_id: String::new() }),
            control: true,
            ..Default::default()
        };
        let batch = Batch::try_from(message).unwrap();
        let text = csv_text(&header(&batch), rows(&batch)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("serves,stratum,group"), "{text}");
        assert_eq!(lines[1..], ["a,,,,,,,,7,g", "c,,,,,,,,0,"]);
        assert!(summary(&batch).ends_with("; round 3, rank 1 of 2; control arm: uniform"));
        let value = batch_json(&batch);
        assert_eq!((&value["strata"], &value["groups"]), (&json!([7, 0]), &json!(["g", ""])));
        assert_eq!(value["round"]["world_size"], 2);
    }

    #[test]
    fn excluded_words_are_ids_where_they_can_be() {
        assert_eq!(excluded(vec!["1".into(), "2".into()]), Ids::U64(vec![1, 2]));
        assert_eq!(excluded(vec!["1".into(), "b".into()]), Ids::Keys(vec!["1".into(), "b".into()]));
    }
}
