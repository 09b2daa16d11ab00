//! The command line: flags to configuration to telemetry to runtime to work to exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | success; also when the reader of standard output closed it early |
//! | 1 | the server refused the call, a file could not be read, or any other error |
//! | 2 | wrong usage or configuration; nothing was done |
//! | 3 | `serve` could not bind its address |
//! | 4 | the server cannot be reached, is not ready, or did not answer in time |
//! | 130 | a second signal ended the drain |

mod commands;
mod exit;
mod flags;
mod input;
mod load;
mod output;
#[cfg(all(test, feature = "server"))]
mod tests;
#[cfg(feature = "top")]
mod top;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use exit::{EXIT_USAGE, exit_code, one_line};
use flags::connection::Connection;

const EXAMPLES: &str = "\
Examples:
  hardneg serve                                        a server on 127.0.0.1:50051
  hardneg pool create faces --capacity 1000000 --half-life 30m
  hardneg report scores.csv --pool faces               a file with the columns id,score
  hardneg mine --pool faces --batch-size 256 --format csv
  hardneg top                                          watch the pools live
  hardneg load --pool bench --fill --duration 30s      measure a server

Exit codes: 0 success; 1 refused or failed; 2 wrong usage or configuration; 3 address cannot be bound;
4 server unavailable; 130 drain ended by a second signal.";

/// Serves hard negatives to distributed trainers.
#[derive(Debug, Parser)]
#[command(name = "hardneg", version, about, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

/// Runs the program with the arguments of the process, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap returns help and version as errors too: they go to standard output, with code 0.
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
    cli.command.run(&cli.connection)
}
