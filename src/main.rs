//! Parse, configure, run, and say by the exit code how it went.

use std::process::ExitCode;

fn main() -> ExitCode {
    hardneg::cli::main()
}
