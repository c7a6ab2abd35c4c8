//! The `ingest` command.

mod cli;

use std::process::ExitCode;

use console::Program;

fn main() -> ExitCode {
    Program::new("ingest", "warn").run(cli::run)
}
