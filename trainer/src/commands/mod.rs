//! The commands, one file each: arguments become a request, the answer is printed.

mod bench;
mod dry_run;
mod embed;
mod export;
mod import;
mod plot;
mod probe;
mod run;
mod setup;
mod transfer;
mod visualize;
mod weights;

use anyhow::Result;

use crate::cli::{Cli, Command, Task};

/// Runs the command; the value is the exit code.
///
/// # Errors
/// Whatever the command cannot do, in one line.
pub fn run(cli: &Cli) -> Result<u8> {
    match &cli.command {
        Command::Run(args) => return run::run(args),
        Command::Bench(args) => bench::bench(args)?,
        Command::Import(args) => import::import(args)?,
        Command::Probe(args) => probe::probe(args)?,
        Command::Transfer {
            task: Task::Seg(args),
        } => return transfer::transfer(args),
        Command::Embed(args) => embed::embed(args)?,
        Command::Export(args) => export::export(args)?,
        Command::Plot(args) => plot::plot(args)?,
        Command::Visualize(args) => visualize::visualize(args)?,
    }
    Ok(0)
}
