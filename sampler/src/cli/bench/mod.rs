//! `sampler bench`: how fast, and where the time goes.
//!
//! What was asked for is always measured ([`measure`]); on request other numbers of threads
//! ([`sweep`]) and a cold page cache ([`cache`]) are measured beside it.

mod cache;
mod load;
mod measure;
mod sweep;
mod table;

use std::time::Duration;

use anyhow::ensure;
use console::{print, print_line};
use sampler::{Sampler, SamplerConfig};

use crate::cli::args::BenchArgs;
use table::Report;

/// Used when there are at least as many frames.
const DEFAULT_BATCH: usize = 64;

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    ensure!(
        args.seconds > 0.0 && args.seconds.is_finite(),
        "--seconds is {}, but must be more than 0",
        args.seconds
    );
    let time = Duration::from_secs_f64(args.seconds);
    let sampler = Sampler::open(&args.set.shards, args.config())?;
    let batch = args
        .batch
        .unwrap_or(DEFAULT_BATCH.min(sampler.num_frames() as usize));
    let sampler = sampler.with_config(SamplerConfig {
        batch,
        ..sampler.config().clone()
    })?;
    // First: pages that this process has mapped cannot be dropped.
    let cache = args
        .cold
        .then(|| cache::measure(&args.set.shards, sampler.config(), time))
        .transpose()?;
    let main = measure::measure(&sampler, time)?;
    let sweep = args
        .sweep
        .as_ref()
        .map(|threads| sweep::measure(&sampler, threads, time))
        .transpose()?;
    let report = Report { main, sweep, cache };
    if args.json {
        print_line(format_args!("{:#}", report.to_json(args)))
    } else {
        print(report.to_table(&sampler, args))
    }
}
