//! The program: what was asked for, and its three commands.

mod args;
mod bench;
mod numbers;
mod preview;
mod stats;

use anyhow::Result;
use args::{Cli, Command};
use clap::Parser;

/// Runs the command that the arguments name.
pub(crate) fn run() -> Result<u8> {
    match Cli::parse().command {
        Command::Bench(args) => bench::run(&args)?,
        Command::Preview(args) => preview::run(&args)?,
        Command::Stats(args) => stats::run(&args)?,
    }
    Ok(0)
}
