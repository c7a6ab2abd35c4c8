//! `trainer bench`: what a training step costs.

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use console::{print_json, print_line, say, usage};

use super::setup;
use crate::bench::{Request, agree, measure};
use crate::cli::BenchArgs;
use crate::run::settle;

/// Runs the command.
pub(super) fn bench(args: &BenchArgs) -> Result<()> {
    let (_, mut config) = setup::resolve_config(&args.config)?;
    let (device, fused_kernels) = settle(&mut config, &args.config.device)?;
    fused_kernels.warning().iter().for_each(say);
    if let Some(folder) = &args.agree {
        return agree(folder, &config, device);
    }
    let report = measure(&Request {
        shards: args.shards.as_deref(),
        config: &config,
        device,
        fused_kernels: &fused_kernels,
        steps: args.steps,
        warmup: args.warmup,
        trace: args.trace.as_deref().map(creatable).transpose()?,
    })?;
    match args.json {
        true => print_json(&report),
        false => print_line(&report),
    }
}

/// Refuses a file that could not be written, before minutes are spent on what belongs into it.
fn creatable(path: &Path) -> Result<&Path> {
    File::create(path).map_err(|e| usage(format!("--trace {}: {e}", path.display())))?;
    Ok(path)
}
