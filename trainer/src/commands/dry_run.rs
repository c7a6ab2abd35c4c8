//! `trainer run --dry-run`: what would run, without running it or touching a folder.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use console::{print, print_json};
use host::Place;
use model::Registry;
use serde::Serialize;
use tch::{Device, Kind};

use super::setup::{self, Prepared};
use crate::cli::SetupArgs;
use crate::config::RunConfig;
use crate::method;
use crate::run::{MemoryEstimate, Schedule, open_sampler_of};

/// Points of the printed learning-rate curve.
const CURVE_POINTS: u64 = 10;

/// What a dry run finds out.
#[derive(Debug, Serialize)]
struct Plan {
    config: RunConfig,
    device: String,
    /// Processes that train as one.
    ranks: u64,
    frames: u64,
    parameters: Vec<(String, usize)>,
    /// In bytes.
    memory: MemoryEstimate,
    batches_per_epoch: u64,
    total_steps: u64,
    warmup_steps: u64,
    /// Step, learning rate, tau.
    curve: Vec<(u64, f64, f64)>,
}

/// Prints the plan of a run of the ranks that there are: text, or one JSON object. The first of them
/// makes it, and they need not meet for it.
pub(super) fn show(args: &SetupArgs, place: &Place, json: bool) -> Result<()> {
    if place.rank > 0 {
        return Ok(());
    }
    let plan = make(setup::prepare(args, place)?, place.size as u64)?;
    match json {
        true => print_json(&plan),
        false => print(describe(&plan)?),
    }
}

fn make(prepared: Prepared, ranks: u64) -> Result<Plan> {
    let Prepared {
        request,
        mut config,
        device,
    } = prepared;
    config.optim.precision = config.optim.precision.resolve(device)?;
    let of_first = (0, ranks as u32);
    let sampler = open_sampler_of(of_first, &request.shards, &config, Device::Cpu)?;
    let batches_per_epoch = sampler.steps_per_epoch();
    let schedule = Schedule::among(ranks, &config, batches_per_epoch)?;
    let method = method::build(
        &config.method,
        &config.model,
        Device::Cpu,
        Kind::Float,
        config.seed,
    )?;
    let last = schedule.total_steps().saturating_sub(1);
    let mut steps: Vec<u64> = (0..=CURVE_POINTS)
        .map(|i| last * i / CURVE_POINTS)
        .collect();
    steps.push(schedule.warmup_steps().min(last));
    steps.sort_unstable();
    steps.dedup();
    Ok(Plan {
        device: format!("{device:?}").to_lowercase(),
        ranks,
        frames: sampler.num_frames(),
        parameters: parameters(method.params()),
        memory: MemoryEstimate::of(&config, &method, ranks),
        batches_per_epoch,
        total_steps: schedule.total_steps(),
        warmup_steps: schedule.warmup_steps(),
        curve: steps
            .into_iter()
            .map(|s| (s, schedule.lr(s), schedule.tau(s)))
            .collect(),
        config,
    })
}

/// Trained scalars by the first part of their name, in order.
fn parameters(registry: &Registry) -> Vec<(String, usize)> {
    let mut groups: Vec<(String, usize)> = Vec::new();
    for entry in registry.trainable() {
        let group = entry.name.split('.').next().unwrap_or_default();
        let count = entry.tensor.numel();
        match groups.last_mut() {
            Some((last, total)) if last == group => *total += count,
            _ => groups.push((group.to_owned(), count)),
        }
    }
    groups
}

fn describe(plan: &Plan) -> Result<String> {
    let mut text = toml::to_string(&plan.config).context("writing the config as TOML")?;
    let total: usize = plan.parameters.iter().map(|(_, count)| count).sum();
    writeln!(text, "\n# online parameters: {total}")?;
    for (group, count) in &plan.parameters {
        writeln!(text, "#   {group:24} {count:>12}")?;
    }
    writeln!(
        text,
        "# device {}; {} frames, {} batches of {}{} pairs an epoch, {} pairs a step",
        plan.device,
        plan.frames,
        plan.batches_per_epoch,
        match plan.ranks {
            1 => String::new(),
            ranks => format!("{ranks} ranks x "),
        },
        plan.config.data.batch,
        plan.config.pairs_per_step(plan.ranks)
    )?;
    let gb = |bytes: u64| bytes as f64 / 1e9;
    let MemoryEstimate {
        networks,
        views,
        maps,
        slots,
    } = plan.memory;
    writeln!(
        text,
        "# memory, about: {:.1} GB = {:.1} networks, gradients and momentum + {:.1} views + {:.1} maps of a view; beside it {:.1} GB slots of the loader",
        gb(plan.memory.on_device()),
        gb(networks),
        gb(views),
        gb(maps),
        gb(slots)
    )?;
    let fits = plan.memory.largest_batches(plan.config.data.batch);
    let fits = fits.map(|(gb, batch)| format!("{batch} in {gb} GB"));
    writeln!(
        text,
        "# data.batch that fits a GPU, about: {}",
        fits.join(", ")
    )?;
    writeln!(
        text,
        "# {} steps, {} of them warm-up",
        plan.total_steps, plan.warmup_steps
    )?;
    let peak = plan
        .curve
        .iter()
        .map(|(_, lr, _)| *lr)
        .fold(f64::MIN_POSITIVE, f64::max);
    for (step, lr, tau) in &plan.curve {
        let bar = "#".repeat((40.0 * lr / peak).round() as usize);
        writeln!(text, "#   step {step:>8}  lr {lr:<9.5} tau {tau:.5} {bar}")?;
    }
    Ok(text)
}
