//! The command line, parsed and nothing more.

mod backbone;
mod evaluation;
mod processes;
mod training;

use clap::{Parser, Subcommand};

pub use backbone::{BackboneArgs, NetworkArg};
pub use evaluation::{EmbedArgs, ExportArgs, Format, ProbeArgs, Task, TransferArgs, VisualizeArgs};
pub use processes::ProcessesArgs;
pub use training::{BenchArgs, ConfigArgs, DoctorArgs, ImportArgs, PlotArgs, RunArgs, SetupArgs};

/// Pre-trains a ResNet with MultiSiam on shards of crop pairs.
#[derive(Debug, Parser)]
#[command(name = "trainer", version, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train, or go on where the run's last checkpoint is.
    Run(RunArgs),
    /// Check that the processes of a run find each other and are alike, and time their network.
    Doctor(DoctorArgs),
    /// Time the training step of a config.
    Bench(BenchArgs),
    /// Begin a run with the weights of another, or of torchvision.
    Import(ImportArgs),
    /// Score a frozen backbone: a linear classifier for every cell of labelled street scenes.
    Probe(ProbeArgs),
    /// Fine-tune a backbone for another task and score it.
    Transfer {
        /// Which task.
        #[command(subcommand)]
        task: Task,
    },
    /// Write a feature of every frame into a Parquet file.
    Embed(EmbedArgs),
    /// Write a run's network in a format that others read.
    Export(ExportArgs),
    /// Draw the curves of runs beside each other.
    Plot(PlotArgs),
    /// Draw what the backbone sees: K-means clusters of its last map, before and after training.
    Visualize(VisualizeArgs),
}

impl Command {
    /// How many processes of this command the program is to start itself; 1 if it is not asked to.
    pub(crate) fn processes(&self) -> usize {
        let asked = match self {
            Self::Run(args) => args.processes.processes,
            Self::Doctor(args) => args.processes.processes,
            Self::Probe(args) => args.processes.processes,
            Self::Transfer {
                task: Task::Seg(args),
            } => args.processes.processes,
            Self::Embed(args) => args.processes.processes,
            _ => None,
        };
        asked.map_or(1, usize::from)
    }
}
