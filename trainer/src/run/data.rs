//! Which frames a run draws from: all of its set when it starts, and the same ones ever after.
//!
//! A set may be added to while runs on it go on. So every checkpoint lists the shards that its run
//! began with, and a resumed run opens just these: its batches are those that it would have drawn
//! from the set as it was. Only on request it goes on with whatever is there now.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use console::usage;
use model::files::checkpoint::{DataId, Header};
use native::Ranks;
use sampler::{Pin, Sampler, SamplerConfig};
use tch::Device;

use super::schedule::Schedule;
use crate::config::RunConfig;

/// What `--allow-change` calls the frames.
pub(super) const SHARDS: &str = "shards";

/// Opens the shards, for this one of the `ranks`; a missing folder says how to make one.
pub(crate) fn open_sampler(
    ranks: &Ranks,
    shards: &Path,
    config: &RunConfig,
    device: Device,
) -> Result<Arc<Sampler>> {
    let rank = (ranks.rank() as u32, ranks.size() as u32);
    open_sampler_of(rank, shards, config, device)
}

/// The same for a rank of so many, joined or not.
pub(crate) fn open_sampler_of(
    rank: (u32, u32),
    shards: &Path,
    config: &RunConfig,
    device: Device,
) -> Result<Arc<Sampler>> {
    let settings = settings_for(rank, shards, config, device)?;
    let sampler = Sampler::open(shards, settings).map_err(|e| usage(e.to_string()))?;
    Ok(Arc::new(sampler))
}

/// Opens those shards that the run of a checkpoint began with, if it lists them.
pub(super) fn open_as_before(
    ranks: &Ranks,
    shards: &Path,
    config: &RunConfig,
    device: Device,
    header: &Header,
) -> Result<Arc<Sampler>> {
    if header.shards.is_empty() {
        return open_sampler(ranks, shards, config, device);
    }
    let rank = (ranks.rank() as u32, ranks.size() as u32);
    let settings = settings_for(rank, shards, config, device)?;
    let sampler = Sampler::open_for(shards, settings, &header.shards);
    let sampler = sampler.map_err(|error| match error {
        sampler::Error::Shards(error @ schemas::Error::Changed { .. }) => usage(format!(
            "{error}, and this run draws from it: put it back, or take what is there now with --allow-change {SHARDS}"
        )),
        error => usage(error.to_string()),
    })?;
    Ok(Arc::new(sampler))
}

fn settings_for(
    (rank, world): (u32, u32),
    shards: &Path,
    config: &RunConfig,
    device: Device,
) -> Result<SamplerConfig> {
    if !shards.exists() {
        return Err(usage(format!(
            "no shards at {shards:?}: make them with `ingest waymo INPUT --out {0}` (or soda10m, images, demo)",
            shards.display()
        )));
    }
    let pin = match device {
        Device::Cuda(ordinal) => Pin::Auto(ordinal as u32),
        _ => Pin::Never,
    };
    Ok(SamplerConfig {
        rank,
        world,
        ..config.sampler(num_threads(config), pin)
    })
}

/// Threads to use: `run.threads`, or every core, or this process's part of them.
pub(super) fn num_threads(config: &RunConfig) -> usize {
    host::shared_threads(config.run.threads as usize)
}

/// Names the frames of `sampler`, as checkpoints do that list their shards.
pub(super) fn data_id(sampler: &Sampler) -> DataId {
    named(sampler.fingerprint(), sampler)
}

/// Whether the frames of `sampler` are others than those of a checkpoint, and in which way.
pub(super) fn change(header: &Header, sampler: &Sampler) -> Option<String> {
    let now = match header.shards.is_empty() {
        true => named(sampler.catalog_fingerprint(), sampler),
        false => data_id(sampler),
    };
    let (was, is) = (&header.data, &now);
    (was != is).then(|| {
        format!(
            "{SHARDS}: {} frames ({}) -> {} frames ({})",
            was.frames, was.fingerprint, is.frames, is.fingerprint
        )
    })
}

fn named(fingerprint: u64, sampler: &Sampler) -> DataId {
    DataId {
        fingerprint: format!("{fingerprint:016x}"),
        frames: sampler.num_frames(),
    }
}

/// What the user has to know of the frames of a run of so many `ranks` that is resumed: that the set
/// has grown without it, or what the allowed change of its frames means.
pub(super) fn note(
    header: &Header,
    sampler: &Sampler,
    config: &RunConfig,
    ranks: u64,
) -> Result<Option<String>> {
    let (own, in_set) = (sampler.num_frames(), sampler.frames().num_in_set());
    if in_set != own {
        return Ok(Some(format!(
            "the set has grown from {own} to {in_set} frames; this run goes on with its own {own}; --allow-change {SHARDS} takes all"
        )));
    }
    if change(header, sampler).is_none() {
        return Ok(None);
    }
    let (was, is) = (header.data.frames, own);
    let steps = |batches: u64| {
        Ok::<_, anyhow::Error>(Schedule::among(ranks, config, batches)?.total_steps())
    };
    let (batches_then, batches) = (was / (config.data.batch * ranks), sampler.steps_per_epoch());
    Ok(Some(format!(
        "--allow-change {SHARDS}: {was} -> {is} frames, {batches_then} -> {batches} batches an epoch, {} -> {} steps in all; from here on frames come in another order",
        steps(batches_then)?,
        steps(batches)?
    )))
}
