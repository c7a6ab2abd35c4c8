//! The command line: what was asked for, done and printed.

mod args;
mod commands;
mod demo;
mod progress;

use anyhow::Result;
use clap::Parser;

/// Runs the command that the arguments name. The code says whether all it promises is true.
pub(crate) fn run() -> Result<u8> {
    commands::run(args::Cli::parse().command).map_err(without_causes)
}

/// The messages of our own errors are whole: what caused one stands in it.
fn without_causes(error: anyhow::Error) -> anyhow::Error {
    match error.is::<ingest::Error>() || error.is::<schemas::Error>() {
        true => anyhow::Error::msg(error.to_string()),
        false => error,
    }
}
