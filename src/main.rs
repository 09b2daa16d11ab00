//! The program `hardneg`: runs the command line and exits with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hardneg::cli::main()
}
