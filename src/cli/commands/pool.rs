//! `hardneg pool`: administration of pools.

use clap::Subcommand;

use crate::cli::{
    Connection, Usage,
    flags::pool_arg::PoolArg,
    flags::spec::{FixedArgs, LiveArgs},
    flags::values::short_name,
    output::{
        anchored_counters, counts, duration_text, grouped, pool_json, print, print_json, properties,
        stats_counters, stats_json, table,
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
    /// Create a pool; the same spec again is no error
    Create {
        /// 1 to 63 of [a-z0-9_-]
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
    /// Change a live pool; what is not given stays
    Update {
        #[command(flatten)]
        pool: PoolArg,
        #[command(flatten)]
        live: Box<LiveArgs>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a pool's figures
    Stats {
        #[command(flatten)]
        pool: PoolArg,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove all samples of a pool, in place
    Clear {
        #[command(flatten)]
        pool: PoolArg,
    },
    /// Delete a pool and its samples
    Delete {
        #[command(flatten)]
        pool: PoolArg,
        /// A missing pool is no error
        #[arg(long)]
        allow_missing: bool,
    },
}

pub(in crate::cli) async fn run(connection: &Connection, command: PoolCommand) -> anyhow::Result<()> {
    // Wrong usage shows before any connection.
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
            print(&format!("{}: {verb}\n{}", pool.name, describe(&pool)))?;
        }
        PoolCommand::List { json } => {
            let pools = client.list_pools().await?;
            if json {
                return print_json(&pools.iter().map(pool_json).collect());
            }
            let rows = pools.iter().map(row).collect();
            let header = ["POOL", "CAPACITY", "BACKGROUND", "IDS", "HALF-LIFE"];
            print(&table(&header, rows, &[1]))?;
        }
        PoolCommand::Get { pool, json } => {
            let pool = client.get_pool(pool.reference()).await?;
            if json {
                return print_json(&pool_json(&pool));
            }
            print(&describe(&pool))?;
        }
        PoolCommand::Update { pool, live, json } => {
            let current = client.get_pool(pool.reference()).await?;
            let mut spec = current.spec.clone().unwrap_or_default();
            let paths = live.apply(&mut spec);
            // The etag: another's change between the two calls would otherwise be undone.
            let changed = client.update_pool(&current, spec, &paths, Some(&current.etag)).await?;
            if json {
                return print_json(&pool_json(&changed));
            }
            print(&describe(&changed))?;
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

fn background(spec: &pb::PoolSpec) -> String {
    use pb::pool_spec::Background;
    match spec.background {
        Some(Background::BackgroundSize(size)) => grouped(size),
        Some(Background::DenseIds(ids)) => format!("all of 0..{}", grouped(ids)),
        None => "default".into(),
    }
}

fn half_life(spec: &pb::PoolSpec) -> String {
    use pb::decay::HalfLife;
    match spec.decay.as_ref().and_then(|decay| decay.half_life) {
        Some(HalfLife::HalfLifeTime(time)) => duration_text(time),
        Some(HalfLife::HalfLifeSteps(steps)) => format!("{steps} steps"),
        Some(HalfLife::Disabled(_)) => "none".into(),
        None => "default".into(),
    }
}

fn sample_ttl(spec: &pb::PoolSpec) -> String {
    use pb::pool_spec::SampleTtl;
    match spec.sample_ttl {
        Some(SampleTtl::SampleTtlTime(time)) => duration_text(time),
        Some(SampleTtl::SampleTtlSteps(steps)) => format!("{} steps", grouped(steps)),
        None => "none".into(),
    }
}

fn row(pool: &pb::Pool) -> Vec<String> {
    let spec = pool.spec.clone().unwrap_or_default();
    vec![
        pool_id_of(&pool.name).to_owned(),
        grouped(spec.capacity),
        background(&spec),
        short_name(spec.id_kind().as_str_name(), "ID_KIND_"),
        half_life(&spec),
    ]
}

fn describe(pool: &pb::Pool) -> String {
    let spec = pool.spec.clone().unwrap_or_default();
    let hardness = spec.hardness.unwrap_or_default();
    let policy = spec.default_policy.clone().unwrap_or_default();
    let limits = spec.serve_limits.unwrap_or_default();
    let anchored = spec.anchored.as_ref().map(|anchored| {
        let negatives = grouped(anchored.negatives_per_anchor.into());
        format!("{negatives} negatives of each of {} anchors", grouped(anchored.max_anchors))
    });
    let flow = spec.flow.map(|flow| {
        format!("{} mined for each reported, within {}", flow.mined_per_reported, flow.error_buffer)
    });
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let or_default = |value: Option<f64>| value.map_or("default".to_owned(), |v| v.to_string());
    properties(&[
        ("pool", pool_id_of(&pool.name).to_owned()),
        ("uid", pool.uid.to_string()),
        ("etag", pool.etag.clone()),
        ("capacity", grouped(spec.capacity)),
        ("background", background(&spec)),
        ("shards", spec.shards.to_string()),
        ("ids", short_name(spec.id_kind().as_str_name(), "ID_KIND_")),
        (
            "hardness",
            format!(
                "{}{}, offset {}, temperature {}",
                short_name(hardness.function().as_str_name(), "HARDNESS_FUNCTION_"),
                if hardness.lower_is_harder { " (lower is harder)" } else { "" },
                hardness.offset,
                hardness.temperature,
            ),
        ),
        ("half-life", half_life(&spec)),
        (
            "score update",
            short_name(spec.score_update.unwrap_or_default().rule().as_str_name(), "SCORE_UPDATE_RULE_"),
        ),
        (
            "policy",
            format!(
                "{}, alpha {}, random fraction {}, beta {}, normalization {}, shortfall {}, {} windows",
                short_name(policy.strategy().as_str_name(), "STRATEGY_"),
                or_default(policy.alpha),
                or_default(policy.random_fraction),
                or_default(policy.beta),
                short_name(policy.normalization().as_str_name(), "NORMALIZATION_"),
                short_name(policy.shortfall().as_str_name(), "SHORTFALL_"),
                policy.windows.len(),
            ),
        ),
        (
            "serves",
            format!(
                "penalty {}, at most {}, lease {}",
                limits.serve_penalty,
                if limits.max_serves == 0 { "any number".to_owned() } else { limits.max_serves.to_string() },
                limits.lease.map_or("none".to_owned(), duration_text),
            ),
        ),
        ("anchors", or_none(anchored)),
        ("flow", or_none(flow)),
        ("sample ttl", sample_ttl(&spec)),
        ("control", format!("{} of the rounds", spec.control_fraction)),
        (
            "quarantine",
            spec.quarantine.map_or("off".to_owned(), |rule| {
                format!(
                    "above quantile {} in {} reports, at most {}",
                    rule.quantile,
                    rule.reports,
                    grouped(rule.capacity)
                )
            }),
        ),
        (
            "run",
            pool.run.as_ref().map_or("none".to_owned(), |run| {
                format!("{}, step {}, tick {}", run_text(run), grouped(run.step), grouped(run.tick))
            }),
        ),
        ("payloads", format!("up to {} bytes", spec.max_payload_bytes)),
        ("durability", short_name(spec.durability().as_str_name(), "DURABILITY_")),
    ])
}

/// The run's name, in words where it has none.
fn run_text(run: &pb::Run) -> String {
    if run.run_id.is_empty() { "without a name".to_owned() } else { run.run_id.clone() }
}

fn describe_stats(stats: &pb::PoolStats) -> String {
    let sizes = stats.sizes.unwrap_or_default();
    let mut rows = vec![
        ("pool", pool_id_of(&stats.name).to_owned()),
        ("hard", grouped(sizes.hard)),
        ("background", grouped(sizes.background)),
        ("distinct", format!("{:.0}", sizes.distinct)),
        ("background_probability", format!("{:.6}", sizes.background_probability)),
        ("closed_loop_ratio", format!("{:.4}", sizes.closed_loop_ratio)),
        (
            "floor_log2",
            sizes.floor_log2.map_or("none: there is room".to_owned(), |floor| format!("{floor:.3}")),
        ),
    ];
    if let Some(run) = &stats.run {
        rows.extend([("run", run_text(run)), ("step", grouped(run.step)), ("tick", grouped(run.tick))]);
    }
    if let Some(anchored) = &stats.anchored {
        rows.extend(anchored_counters(anchored).map(|(name, count)| (name, grouped(count))));
    }
    let reported = stats.counts.unwrap_or_default();
    rows.extend(counts(&reported).map(|(name, count)| (name, grouped(count))));
    rows.extend(stats_counters(stats).map(|(name, count)| (name, grouped(count))));
    properties(&rows)
}
