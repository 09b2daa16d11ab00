//! `hardneg quarantine`: the samples that were set aside because they look mislabelled, or by hand.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use crate::cli::{
    flags::{connection::Connection, pool_arg::PoolArg, values::ids_of_pool},
    output::{csv_text, grouped, note, number, print, print_json, table},
};
use crate::client::{pb, pool_id_of};

const EXAMPLES: &str = "\
Examples:
  hardneg quarantine list faces
  hardneg quarantine export faces --output suspects.csv
  hardneg quarantine add faces --ids 17,42
  hardneg quarantine release faces --ids 17,42 --trust
  hardneg quarantine release faces --all";

/// The largest number of samples in the printed table; JSON has all.
const LISTED_MAX: usize = 100;

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) enum QuarantineCommand {
    /// Show the samples in quarantine, the first hundred by id
    List {
        #[command(flatten)]
        pool: PoolArg,
        /// Print all of them, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write all samples in quarantine as CSV
    Export {
        #[command(flatten)]
        pool: PoolArg,
        /// The file [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Set samples aside by hand
    Add {
        #[command(flatten)]
        pool: PoolArg,
        /// These ids (or keys), separated by commas
        #[arg(long, value_delimiter = ',', value_name = "ID,…", required = true)]
        ids: Vec<String>,
    },
    /// Release samples: put them back into the pool
    Release {
        #[command(flatten)]
        pool: PoolArg,
        /// These ids (or keys), separated by commas
        #[arg(long, value_delimiter = ',', value_name = "ID,…", required_unless_present = "all")]
        ids: Vec<String>,
        /// Release all samples in quarantine
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// Trust the samples: the quarantine rule does not set them aside again
        #[arg(long)]
        trust: bool,
    },
}

pub(super) async fn run(connection: &Connection, command: QuarantineCommand) -> anyhow::Result<()> {
    let client = connection.connect().await?;
    match command {
        QuarantineCommand::List { pool, json } => {
            let samples = client.list_quarantined(pool.reference()).await?;
            if json {
                return print_json(&samples.iter().map(sample_json).collect());
            }
            let rows = samples.iter().take(LISTED_MAX).map(record).collect();
            print(&table(&HEADER, rows, &[0, 2, 3, 4, 6]))?;
            note(&format!("{} in quarantine", grouped(samples.len() as u64)));
        }
        QuarantineCommand::Export { pool, output } => {
            let text = csv(&client.list_quarantined(pool.reference()).await?)?;
            match output {
                Some(path) => {
                    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
                }
                None => print(&text)?,
            }
        }
        QuarantineCommand::Add { pool, ids } => {
            let ids = ids_of_pool(&client, &pool, ids).await?;
            let counts = client.quarantine_samples(pool.reference(), ids).await?;
            print(&format!(
                "{}: set aside {}, not stored {}, no room for {}\n",
                pool_id_of(&pool.pool),
                grouped(counts.quarantined_count),
                grouped(counts.absent_count),
                grouped(counts.refused_count)
            ))?;
        }
        QuarantineCommand::Release { pool, ids, all, trust } => {
            let ids = if all { None } else { Some(ids_of_pool(&client, &pool, ids).await?) };
            let counts = client.release_quarantined(pool.reference(), ids, trust).await?;
            print(&format!("{}: released {}\n", pool_id_of(&pool.pool), grouped(counts.released_count)))?;
            if counts.refused_count > 0 {
                note(&format!("{} stay: no more can be trusted", grouped(counts.refused_count)));
            }
        }
    }
    Ok(())
}

const HEADER: [&str; 7] = ["id", "name", "score", "threshold", "reports", "quarantine_time", "model_version"];

fn record(sample: &pb::QuarantinedSample) -> Vec<String> {
    vec![
        sample.id.to_string(),
        sample.name.clone(),
        sample.score.to_string(),
        sample.threshold.map_or_else(String::new, |threshold| threshold.to_string()),
        sample.reports.to_string(),
        time(sample).unwrap_or_default(),
        sample.model_version.to_string(),
    ]
}

fn time(sample: &pb::QuarantinedSample) -> Option<String> {
    let time = std::time::SystemTime::try_from(sample.quarantine_time?).ok()?;
    Some(humantime::format_rfc3339_millis(time).to_string())
}

fn csv(samples: &[pb::QuarantinedSample]) -> anyhow::Result<String> {
    csv_text(&HEADER, samples.iter().map(record).collect())
}

fn sample_json(sample: &pb::QuarantinedSample) -> serde_json::Value {
    json!({
        "id": sample.id,
        "name": sample.name,
        "score": number(sample.score),
        "threshold": sample.threshold.map(number),
        "reports": sample.reports,
        "quarantine_time": time(sample),
        "model_version": sample.model_version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_exported_as_csv() {
        let sample = pb::QuarantinedSample {
            id: 7,
            name: "a,b".into(),
            score: 2.5,
            threshold: Some(0.1),
            reports: 5,
            quarantine_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            model_version: 3,
            stratum: 0,
        };
        let text = csv(&[sample]).unwrap();
        assert_eq!(
            text,
            "id,name,score,threshold,reports,quarantine_time,model_version\n7,\"a,b\",2.5,0.1,5,2023-11-14T22:13:20.000Z,3\n"
        );
    }
}
