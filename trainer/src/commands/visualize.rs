//! `trainer visualize`: what backbones group together.

use anyhow::Result;
use console::say;
use eval::visualize::{Request, draw};
use model::cluster::KMeans;
use model::device;
use model::files::weights::Weights;

use super::weights;
use crate::cli::VisualizeArgs;
use crate::config;
use crate::method::MethodConfig;

/// Runs the command.
pub(super) fn visualize(args: &VisualizeArgs) -> Result<()> {
    let device = device::select(&args.device)?;
    let named = std::iter::once(&args.run).chain(&args.beside);
    let networks: Vec<Weights> = named
        .map(|path| weights::open(path, args.network))
        .collect::<Result<_>>()?;
    let knobs = kmeans_of(&networks[0])?;
    let report = draw(Request {
        networks,
        kmeans: KMeans {
            k: args.k.unwrap_or(knobs.k),
            ..knobs
        },
        shards: &args.shards,
        filter: args.filter.as_deref(),
        num_frames: args.frames,
        width: args.width,
        out: &args.out,
        device,
    })?;
    say(format_args!(
        "{}: {} frames; neighbouring cells in the same cluster:",
        args.out.display(),
        report.frames
    ));
    for (title, agreement) in &report.agreement {
        say(format_args!("  {:3.0} %  {title}", 100.0 * agreement));
    }
    Ok(())
}

/// How a run clusters cells; the paper's way for weights of no run.
fn kmeans_of(weights: &Weights) -> Result<KMeans> {
    Ok(match &weights.run_config {
        Some(text) => config::parse_resolved(text, "the checkpoint's config")?
            .method
            .kmeans(),
        None => MethodConfig::default().kmeans(),
    })
}
