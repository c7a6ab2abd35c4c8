//! The weights that a command line names, and a line on stderr that says what was read of them.

use std::path::Path;

use anyhow::Result;
use console::say;
use model::Network;
use model::files::weights::Weights;

use crate::cli::{BackboneArgs, NetworkArg};

/// Weights of a path, or `random`.
///
/// # Errors
/// As [`Weights::named`].
pub(super) fn named(name: &Path, args: &BackboneArgs, seed: u64) -> Result<Weights> {
    let network = args.network.map(Network::from);
    told(name, Weights::named(name, network, args.arch, seed)?)
}

/// Weights of a path.
///
/// # Errors
/// As [`Weights::open`].
pub(super) fn open(path: &Path, network: Option<NetworkArg>) -> Result<Weights> {
    told(path, Weights::open(path, network.map(Network::from))?)
}

fn told(path: &Path, weights: Weights) -> Result<Weights> {
    if let Some(reading) = &weights.reading {
        say(format_args!("{}: {reading}", path.display()));
        for warning in &reading.warnings {
            say(format_args!("warning: {}: {warning}", path.display()));
        }
    }
    Ok(weights)
}
