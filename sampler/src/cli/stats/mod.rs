//! `sampler stats`: the distributions of what is drawn, as a table and a picture.
//!
//! Plans pairs over as many epochs as the asked number takes, without decoding one: boxes and
//! levels depend on the index alone.

mod counted;
mod plot;

use anyhow::ensure;
use console::{Progress, print, print_line};
use sampler::{Cursor, PairMeta, Sampler, SamplerConfig};

use crate::cli::args::StatsArgs;
use counted::Counted;

/// Runs the command.
pub(crate) fn run(args: &StatsArgs) -> anyhow::Result<()> {
    ensure!(args.pairs > 0, "--pairs is 0, but must be at least 1");
    ensure!(
        args.out.extension().is_some_and(|end| end == "png"),
        "--out {:?} must end in .png",
        args.out
    );
    let sampler = Sampler::open(&args.set.shards, args.set.config(args.iou))?;
    let counted = Counted::new(&sampler, &draw(&sampler, args.pairs)?);
    plot::draw(&counted)?.save(&args.out)?;
    if args.json {
        print_line(format_args!("{:#}", counted.to_json()))
    } else {
        print(counted.to_table(args))
    }
}

/// Plans `count` pairs, epoch after epoch.
fn draw(sampler: &Sampler, count: u64) -> anyhow::Result<Vec<PairMeta>> {
    let batch = sampler.num_frames().min(1024).min(count);
    let sampler = sampler.with_config(SamplerConfig {
        batch: batch as usize,
        ..sampler.config().clone()
    })?;
    let progress = Progress::announce("drawing pairs", count);
    let mut pairs = Vec::with_capacity(count as usize);
    let mut at = Cursor::default();
    while (pairs.len() as u64) < count {
        pairs.extend(sampler.planned(at));
        at = at.advanced(1, sampler.steps_per_epoch());
        progress.at(pairs.len() as u64);
    }
    pairs.truncate(count as usize);
    Ok(pairs)
}
