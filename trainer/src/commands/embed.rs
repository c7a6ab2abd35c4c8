//! `trainer embed`: a feature of every frame.

use anyhow::Result;
use console::{print_json, say};
use eval::embed::{Request, embed as write};
use model::device;

use super::weights;
use crate::cli::EmbedArgs;

/// Seed of a random network.
const SEED: u64 = 0;

/// Runs the command.
pub(super) fn embed(args: &EmbedArgs) -> Result<()> {
    let device = device::select(&args.backbone.device)?;
    let weights = weights::named(&args.weights, &args.backbone, SEED)?;
    let report = write(&Request {
        weights: &weights,
        shards: &args.shards,
        filter: args.filter.as_deref(),
        out: &args.out,
        height: args.height,
        batch: args.batch,
        device,
    })?;
    if args.json {
        return print_json(&report);
    }
    say(format_args!(
        "{}: {} frames, {} values each, {:.1} MB; {:.1} frames/s",
        report.file,
        report.frames,
        report.channels,
        report.bytes as f64 / 1e6,
        report.frames_per_s
    ));
    Ok(())
}
