//! `trainer embed`: a feature of every frame.

use anyhow::Result;
use console::{print_json, say};
use eval::embed::{Request, embed as write};
use host::Place;
use model::device;
use native::Ranks;
use tch::Device;

use super::weights;
use crate::cli::EmbedArgs;
use crate::launch::{Terms, among};

/// Seed of a random network.
const SEED: u64 = 0;

/// Runs the command; the value is the exit code.
pub(super) fn embed(args: &EmbedArgs, place: &Place) -> Result<u8> {
    let device = device::select_for(&args.backbone.device, place);
    among(place, device, Terms::on, |ranks, device| {
        embed_among(ranks, device, args)?;
        Ok(0)
    })
}

fn embed_among(ranks: &Ranks, device: Device, args: &EmbedArgs) -> Result<()> {
    let weights = ranks.together(weights::named(&args.weights, &args.backbone, SEED))?;
    let report = write(&Request {
        weights: &weights,
        shards: &args.shards,
        filter: args.filter.as_deref(),
        out: &args.out,
        height: args.height,
        batch: args.batch,
        device,
        ranks,
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
