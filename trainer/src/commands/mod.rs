//! The commands, one file each: arguments become a request, the answer is printed.

mod bench;
mod doctor;
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
use host::Place;

use crate::cli::{Cli, Command, Task};
use crate::launch;

/// Runs the command, in this process or in as many as it asks for; the value is the exit code.
///
/// # Errors
/// Whatever the command cannot do, in one line.
pub fn run(cli: &Cli, place: &Place) -> Result<u8> {
    let processes = cli.command.processes();
    if processes > 1 {
        return launch::here(processes, place);
    }
    match &cli.command {
        Command::Run(args) => return run::run(args, place),
        Command::Doctor(args) => doctor::doctor(args, place)?,
        Command::Bench(args) => bench::bench(args)?,
        Command::Import(args) => import::import(args)?,
        Command::Probe(args) => return probe::probe(args, place),
        Command::Transfer {
            task: Task::Seg(args),
        } => return transfer::transfer(args, place),
        Command::Embed(args) => return embed::embed(args, place),
        Command::Export(args) => export::export(args)?,
        Command::Plot(args) => plot::plot(args)?,
        Command::Visualize(args) => visualize::visualize(args)?,
    }
    Ok(0)
}
