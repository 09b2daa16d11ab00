//! `hardneg block`: samples that are removed, and whose reports the pool ignores.

use clap::Subcommand;
use serde_json::json;

use crate::cli::{
    flags::{connection::Connection, pool_arg::PoolArg, values::ids_of_pool},
    output::{grouped, note, print, print_json, table},
};
use crate::client::{pb, pool_id_of};

const EXAMPLES: &str = "\
Examples:
  hardneg block add faces --ids 17,42
  hardneg block list faces
  hardneg block remove faces --ids 17";

/// The largest number of samples in the printed table; JSON has all.
const LISTED_MAX: usize = 100;

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) enum BlockCommand {
    /// Show the blocked samples, the first hundred by id
    List {
        #[command(flatten)]
        pool: PoolArg,
        /// Print all of them, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove samples, and ignore all further reports of them
    Add {
        #[command(flatten)]
        pool: PoolArg,
        /// The ids (or keys), separated by commas; they need not be stored
        #[arg(long, value_delimiter = ',', value_name = "ID,…", required = true)]
        ids: Vec<String>,
    },
    /// Unblock samples: accept reports of them again
    Remove {
        #[command(flatten)]
        pool: PoolArg,
        /// The ids (or keys), separated by commas
        #[arg(long, value_delimiter = ',', value_name = "ID,…", required = true)]
        ids: Vec<String>,
    },
}

pub(super) async fn run(connection: &Connection, command: BlockCommand) -> anyhow::Result<()> {
    let client = connection.connect().await?;
    match command {
        BlockCommand::List { pool, json } => {
            let samples = client.list_blocked(pool.reference()).await?;
            if json {
                let sample = |sample: &pb::BlockedSample| json!({ "id": sample.id, "name": sample.name });
                return print_json(&samples.iter().map(sample).collect());
            }
            let row = |sample: &pb::BlockedSample| vec![sample.id.to_string(), sample.name.clone()];
            print(&table(&["id", "name"], samples.iter().take(LISTED_MAX).map(row).collect(), &[0]))?;
            note(&format!("{} blocked", grouped(samples.len() as u64)));
        }
        BlockCommand::Add { pool, ids } => {
            let ids = ids_of_pool(&client, &pool, ids).await?;
            let counts = client.block_samples(pool.reference(), ids).await?;
            print(&format!(
                "{}: blocked {}, of which {} were stored or in quarantine\n",
                pool_id_of(&pool.pool),
                grouped(counts.blocked_count),
                grouped(counts.removed_count)
            ))?;
            if counts.refused_count > 0 {
                note(&format!("no room for {}: the block list is full", grouped(counts.refused_count)));
            }
        }
        BlockCommand::Remove { pool, ids } => {
            let ids = ids_of_pool(&client, &pool, ids).await?;
            let unblocked = client.unblock_samples(pool.reference(), ids).await?;
            print(&format!("{}: unblocked {}\n", pool_id_of(&pool.pool), grouped(unblocked)))?;
        }
    }
    Ok(())
}
