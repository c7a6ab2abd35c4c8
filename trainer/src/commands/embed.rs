//! `trainer embed`: a feature of every frame.

use anyhow::Result;
use console::{print_json, say};
use eval::embed::{Request, embed as write};
use model::device;
use native::Ranks;

use super::weights;
use crate::cli::EmbedArgs;

/// Seed of a random network.
const SEED: u64 = 0;

/// Runs the command.
pub(super) fn embed(args: &EmbedArgs) -> Result<()> {
    let ranks = Ranks::alone();
    let given = || -> Result<_> {
        let device = device::select(&args.backbone.device)?;
        Ok((device, weights::named(&args.weights, &args.backbone, SEED)?))
    };
    let (device, weights) = ranks.together(given())?;
    let report = write(&Request {
        weights: &weights,
        shards: &args.shards,
        filter: args.filter.as_deref(),
        out: &args.out,
        height: args.height,
        batch: args.batch,
        device,
        ranks: &ranks,
    })?;
    let Some(report) = report else {
        return Ok(());
    };
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
