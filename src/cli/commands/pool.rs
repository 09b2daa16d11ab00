//! `hardneg pool`: administration of pools.

use clap::Subcommand;

use crate::cli::{
    exit::Usage,
    flags::{
        connection::Connection,
        pool_arg::PoolArg,
        spec::{FixedArgs, LiveArgs},
    },
    output::{
        describe_pool, describe_stats, grouped, pool_json, pool_row, print, print_json, stats_json, table,
    },
};
use crate::client::{pb, pool_id_of};

const EXAMPLES: &str = "\
Examples:
  hardneg pool create faces --capacity 1M --half-life 30m --random-fraction 0.1
  hardneg pool create imagenet --dense-ids 1281167 --half-life-steps 5000
  hardneg pool create queries --anchored 32 --relative-margin 0.05 --hardness exponential --temperature 0.05
  hardneg pool create crops --lease 5m --control-fraction 0.05 --max-per-group 2
  hardneg pool update faces --half-life 10m --strategy rank
  hardneg pool stats faces --json
  hardneg pool delete faces --uid 1234605616436508553";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) enum PoolCommand {
    /// Create a pool; it is not an error when it exists with the same spec
    Create {
        /// The name: 1 to 63 characters of [a-z0-9_-], starting with a letter or digit
        pool: String,
        #[command(flatten)]
        fixed: Box<FixedArgs>,
        #[command(flatten)]
        live: Box<LiveArgs>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List all pools
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a pool's spec
    Get {
        #[command(flatten)]
        pool: PoolArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a live pool; only the given flags change
    Update {
        #[command(flatten)]
        pool: PoolArg,
        #[command(flatten)]
        live: Box<LiveArgs>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a pool's statistics
    Stats {
        #[command(flatten)]
        pool: PoolArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove all samples of a pool, and keep the pool
    Clear {
        #[command(flatten)]
        pool: PoolArg,
    },
    /// Delete a pool and its samples
    Delete {
        #[command(flatten)]
        pool: PoolArg,
        /// Succeed when the pool does not exist
        #[arg(long)]
        allow_missing: bool,
    },
}

pub(super) async fn run(connection: &Connection, command: PoolCommand) -> anyhow::Result<()> {
    // Report wrong usage before connecting.
    if let PoolCommand::Update { live, .. } = &command
        && live.apply(&mut pb::PoolSpec::default()).is_empty()
    {
        return Err(Usage("nothing to change: give at least one flag (see --help)".into()).into());
    }
    let client = connection.connect().await?;
    match command {
        PoolCommand::Create { pool, fixed, live, json } => {
            let mut spec = pb::PoolSpec::default();
            fixed.apply(&mut spec);
            live.apply(&mut spec);
            let (pool, created) = client.create_pool(&pool, spec).await?;
            if json {
                let mut value = pool_json(&pool);
                value["created"] = created.into();
                return print_json(&value);
            }
            let verb = if created { "created" } else { "exists with this spec" };
            print(&format!("{}: {verb}\n{}", pool.name, describe_pool(&pool)))?;
        }
        PoolCommand::List { json } => {
            let pools = client.list_pools().await?;
            if json {
                return print_json(&pools.iter().map(pool_json).collect());
            }
            let rows = pools.iter().map(pool_row).collect();
            let header = ["POOL", "CAPACITY", "BACKGROUND", "IDS", "HALF-LIFE"];
            print(&table(&header, rows, &[1]))?;
        }
        PoolCommand::Get { pool, json } => {
            let pool = client.get_pool(pool.reference()).await?;
            if json {
                return print_json(&pool_json(&pool));
            }
            print(&describe_pool(&pool))?;
        }
        PoolCommand::Update { pool, live, json } => {
            let current = client.get_pool(pool.reference()).await?;
            let mut spec = current.spec.clone().unwrap_or_default();
            let paths = live.apply(&mut spec);
            // The etag makes the call fail if the pool was changed between the two calls, instead of undoing that change.
            let changed = client.update_pool(&current, spec, &paths, Some(&current.etag)).await?;
            if json {
                return print_json(&pool_json(&changed));
            }
            print(&describe_pool(&changed))?;
        }
        PoolCommand::Stats { pool, json } => {
            let stats = client.pool_stats(pool.reference()).await?;
            if json {
                return print_json(&stats_json(&stats));
            }
            print(&describe_stats(&stats))?;
        }
        PoolCommand::Clear { pool } => {
            let removed = client.clear_pool(pool.reference()).await?;
            print(&format!("{}: removed {}\n", pool_id_of(&pool.pool), grouped(removed)))?;
        }
        PoolCommand::Delete { pool, allow_missing } => {
            client.delete_pool(pool.reference(), allow_missing).await?;
            print(&format!("{}: deleted\n", pool_id_of(&pool.pool)))?;
        }
    }
    Ok(())
}
