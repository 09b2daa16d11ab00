//! The command line: flags to configuration to telemetry to runtime to work to exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done; also a reader that closed standard output early |
//! | 1 | the server refused, a file was unreadable, or anything else |
//! | 2 | wrong usage or configuration: nothing was done |
//! | 3 | `serve` could not bind its address |
//! | 4 | the server is away, unready, or did not answer in time |
//! | 130 | a second signal cut the drain off |

mod commands;
mod flags;
mod input;
mod load;
mod output;
#[cfg(test)]
mod tests;
mod top;

use std::{io, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use commands::{block, health, mine, mine_negatives, pool, quarantine, report, serve};

use crate::{
    client::{Client, ClientOptions, Error as ClientError},
    config::ConfigError,
};

const EXIT_FAILURE: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_BIND: u8 = 3;
const EXIT_UNAVAILABLE: u8 = 4;
/// 128 + SIGINT, as shells have it.
const EXIT_CUT_OFF: u8 = 130;

const EXAMPLES: &str = "\
Examples:
  hardneg serve                                        a server on 127.0.0.1:50051
  hardneg pool create faces --capacity 1000000 --half-life 30m
  hardneg report scores.csv --pool faces               a file with the columns id,score
  hardneg mine --pool faces --batch-size 256 --format csv
  hardneg top                                          watch the pools live
  hardneg load --pool bench --fill --duration 30s      measure a server

Exit codes: 0 done; 1 refused or failed; 2 wrong usage or configuration; 3 address cannot be bound;
4 server unavailable; 130 drain cut off by a second signal.";

/// Serves hard negatives to distributed trainers.
#[derive(Debug, Parser)]
#[command(name = "hardneg", version, about, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

/// How the client commands reach a server.
#[derive(Clone, Debug, clap::Args)]
struct Connection {
    /// The server, as a URL or host:port
    #[arg(
        long,
        global = true,
        env = "HARDNEG_SERVER",
        default_value = "http://127.0.0.1:50051",
        value_name = "URL",
        help_heading = "Connection"
    )]
    server: String,
    /// Deadline of each call
    #[arg(
        long,
        global = true,
        env = "HARDNEG_TIMEOUT",
        default_value = "10s",
        value_parser = flags::values::duration,
        value_name = "DURATION",
        help_heading = "Connection"
    )]
    timeout: Duration,
}

impl Connection {
    fn options(&self) -> ClientOptions {
        ClientOptions { timeout: self.timeout, ..ClientOptions::default() }
    }

    async fn connect(&self) -> Result<Client, ClientError> {
        Client::connect_with(&self.server, self.options()).await
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<serve::Args>),
    /// Create, look at, change and delete pools
    Pool {
        #[command(subcommand)]
        command: Box<pool::PoolCommand>,
    },
    /// List, export, add and release samples in quarantine
    Quarantine {
        #[command(subcommand)]
        command: quarantine::QuarantineCommand,
    },
    /// Block samples, so that nothing brings them back
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
    /// Put load on a server and measure it
    Load(Box<load::Args>),
    /// Watch pools live in the terminal
    Top(top::Args),
    /// Ask whether the server is serving
    Health(health::Args),
}

/// Runs the program with the process' arguments.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, to standard output and with code 0.
            let code = u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE);
            let _ = error.print();
            return code.into();
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = exit_code(&error);
            if code != 0 {
                output::note(&format!("error: {}", one_line(&error)));
            }
            code.into()
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    if let Command::Serve(args) = cli.command {
        return serve::run(&args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Serve(_) => Ok(()),
            Command::Pool { command } => pool::run(&cli.connection, *command).await,
            Command::Block { command } => block::run(&cli.connection, command).await,
            Command::Quarantine { command } => quarantine::run(&cli.connection, command).await,
            Command::Report(args) => report::run(&cli.connection, *args).await,
            Command::Mine(args) => mine::run(&cli.connection, *args).await,
            Command::MineNegatives(args) => mine_negatives::run(&cli.connection, *args).await,
            Command::Load(args) => load::run(&cli.connection, *args).await,
            Command::Top(args) => top::run(&cli.connection, args).await,
            Command::Health(args) => health::run(&cli.connection, &args).await,
        }
    });
    // A thread that still reads standard input would hold the process back.
    runtime.shutdown_background();
    outcome
}

/// The address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", match source.kind() {
    io::ErrorKind::AddrInUse => format!("the port is in use; stop the other server or choose another port with --{flag}"),
    _ => source.to_string(),
})]
struct BindError {
    address: std::net::SocketAddr,
    flag: &'static str,
    source: io::Error,
}

/// The server answers, but does not serve.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotServing(String);

/// Arguments that are well-formed one by one, but not together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(cause) = cause.downcast_ref::<io::Error>()
            && cause.kind() == io::ErrorKind::BrokenPipe
        {
            return 0;
        }
        if let Some(cause) = cause.downcast_ref::<ClientError>() {
            return match cause {
                ClientError::InvalidServer { .. } => EXIT_USAGE,
                cause if cause.is_unavailable() => EXIT_UNAVAILABLE,
                _ => EXIT_FAILURE,
            };
        }
        if cause.is::<ConfigError>() || cause.is::<Usage>() {
            return EXIT_USAGE;
        }
        if cause.is::<BindError>() {
            return EXIT_BIND;
        }
        if cause.is::<NotServing>() {
            return EXIT_UNAVAILABLE;
        }
    }
    EXIT_FAILURE
}

/// The chain of causes on one line, without those that the text before already tells.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = cause.to_string().replace(['\n', '\r'], " ");
        if text.is_empty() {
            text = words;
        } else if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        // These texts hold their own root cause; what is below them is the transport's layers.
        if cause.is::<ClientError>() || cause.is::<BindError>() || cause.is::<ConfigError>() {
            break;
        }
    }
    text
}
