//! The commands, one file each. `load` and `top` are larger and have their own folders beside this one.

mod block;
mod health;
mod mine;
mod mine_negatives;
mod pool;
mod quarantine;
mod report;
#[cfg(feature = "server")]
mod serve;

use clap::Subcommand;

#[cfg(feature = "top")]
use super::top;
use super::{flags::connection::Connection, load};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server
    #[cfg(feature = "server")]
    Serve(Box<serve::Args>),
    /// Create, show, change and delete pools
    Pool {
        #[command(subcommand)]
        command: Box<pool::PoolCommand>,
    },
    /// List, export, add and release samples in quarantine
    Quarantine {
        #[command(subcommand)]
        command: quarantine::QuarantineCommand,
    },
    /// Block samples: remove them and ignore their reports
    Block {
        #[command(subcommand)]
        command: block::BlockCommand,
    },
    /// Report the scores of a file (CSV, npy or Parquet)
    Report(Box<report::Args>),
    /// Mine one batch
    Mine(Box<mine::Args>),
    /// Mine negatives of anchors
    MineNegatives(Box<mine_negatives::Args>),
    /// Load a server and measure it
    Load(Box<load::Args>),
    /// Watch pools live in the terminal
    #[cfg(feature = "top")]
    Top(top::Args),
    /// Check whether the server is serving
    Health(health::Args),
}

impl Command {
    /// Runs the command to its end.
    pub(super) fn run(self, connection: &Connection) -> anyhow::Result<()> {
        // `serve` builds its own runtime, whose size is configured.
        #[cfg(feature = "server")]
        if let Self::Serve(args) = self {
            return serve::run(&args);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let outcome = runtime.block_on(self.call(connection));
        // Do not wait for a thread that is blocked reading standard input.
        runtime.shutdown_background();
        outcome
    }

    /// Runs a command that is a client of the server at `connection`.
    async fn call(self, connection: &Connection) -> anyhow::Result<()> {
        match self {
            #[cfg(feature = "server")]
            Self::Serve(args) => serve::run(&args),
            Self::Pool { command } => pool::run(connection, *command).await,
            Self::Block { command } => block::run(connection, command).await,
            Self::Quarantine { command } => quarantine::run(connection, command).await,
            Self::Report(args) => report::run(connection, *args).await,
            Self::Mine(args) => mine::run(connection, *args).await,
            Self::MineNegatives(args) => mine_negatives::run(connection, *args).await,
            Self::Load(args) => load::run(connection, *args).await,
            #[cfg(feature = "top")]
            Self::Top(args) => top::run(connection, args).await,
            Self::Health(args) => health::run(connection, &args).await,
        }
    }
}
