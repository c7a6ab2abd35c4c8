//! The `sampler` command: measure, look at and count what the library makes.

mod bench;
mod cli;
mod numbers;
mod preview;
mod stats;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use console::Program;

fn main() -> ExitCode {
    let cli = Cli::parse();
    Program::new("error", "info").run(|| {
        match cli.command {
            Command::Bench(args) => bench::run(&args)?,
            Command::Preview(args) => preview::run(&args)?,
            Command::Stats(args) => stats::run(&args)?,
        }
        Ok(0)
    })
}
