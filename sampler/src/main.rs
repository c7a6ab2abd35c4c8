//! The `sampler` command: measure, look at and count what the library makes.

mod cli;

use std::process::ExitCode;

use console::Program;

fn main() -> ExitCode {
    Program::new("error", "info").run(cli::run)
}
