//! How many processes a command is.

use clap::{Args, value_parser};

/// Whether the program starts its ranks itself.
#[derive(Debug, Args)]
pub struct ProcessesArgs {
    /// Start N processes on this machine, one a GPU (or sharing the cores), that work as one.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub processes: Option<u16>,
}
