//! `trainer export`: a run's network as a file that others read.
//!
//! Backbones carry torchvision's names, without `fc`, with `num_batches_tracked`; Detectron2's file
//! carries its own names (RECIPE 6). Every tensor is written as it is in the checkpoint,
//! contiguous, in the shape PyTorch expects.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use console::{print_json, say, usage};
use eval::{frames, recalibrate};
use model::Network;
use model::files::checkpoint::Checkpoint;
use model::files::safetensors::{self, HostTensor};
use model::files::weights::Weights;
use model::files::{detectron2, pth};
use serde::Serialize;
use tch::{Device, Tensor};

use crate::cli::{ExportArgs, Format};

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    /// The file.
    file: String,
    /// Its format.
    format: String,
    /// Number of tensors in it.
    tensors: usize,
    /// Number of values in them.
    values: usize,
    /// Optimizer step of the checkpoint.
    step: u64,
}

/// Runs the command.
pub(super) fn export(args: &ExportArgs) -> Result<()> {
    if !args.run.exists() {
        return Err(usage(format!("no run at {:?}", args.run)));
    }
    let checkpoint = Checkpoint::open(&args.run)?;
    let statistics = args
        .recalibrate
        .as_deref()
        .map(|shards| recalibrated(args, shards))
        .transpose()?;
    let written = write(
        &checkpoint,
        args.format,
        args.network.into(),
        &statistics.unwrap_or_default(),
        &args.out,
    )?;
    match args.json {
        true => print_json(&written),
        false => {
            say(format_args!(
                "{}: {} tensors, {:.1} million values, {}, after step {}",
                written.file,
                written.tensors,
                written.values as f64 / 1e6,
                written.format,
                written.step
            ));
            Ok(())
        }
    }
}

/// The backbone's running statistics on whole frames, by their names in the checkpoint's network.
fn recalibrated(args: &ExportArgs, shards: &Path) -> Result<BTreeMap<String, Tensor>> {
    let weights = Weights::open(&args.run, Network::from(args.network))?;
    let backbone = weights.build(&weights.model, Device::Cpu)?;
    let frames = frames::open(shards, None)?;
    let num = recalibrate::on_frames(
        &backbone,
        weights.model.cell_px(),
        &frames,
        args.height,
        Device::Cpu,
    )?;
    say(format_args!(
        "batch norms recalibrated on {num} whole frames, {} pixels high",
        args.height
    ));
    let state = backbone.registry.state("backbone.").into_iter();
    Ok(state
        .filter(|(name, _)| name.contains(".running_"))
        .collect())
}

/// Writes one network of a checkpoint, with `statistics` in the place of its own of the same names.
fn write(
    checkpoint: &Checkpoint,
    format: Format,
    network: Network,
    statistics: &BTreeMap<String, Tensor>,
    out: &Path,
) -> Result<Written> {
    let network = network.name();
    let (part, description) = match format {
        Format::Safetensors => ("", "safetensors with heads"),
        Format::Torchvision => ("backbone.", "safetensors with torchvision's names"),
        Format::Pth => ("backbone.", "PyTorch state dict with torchvision's names"),
        Format::Detectron2 => ("backbone.", "Detectron2 pickle"),
    };
    let tensors = checkpoint.part(&format!("{network}.{part}"));
    let tensors = tensors.iter().map(|(name, tensor)| {
        let anew = statistics.get(&format!("{part}{name}"));
        HostTensor::copy_of(name, anew.unwrap_or(tensor))
    });
    let tensors: Vec<HostTensor> = tensors.collect::<Result<_>>()?;
    ensure!(
        !tensors.is_empty(),
        "the checkpoint has no tensors called {network}.{part}*"
    );
    match format {
        Format::Safetensors | Format::Torchvision => {
            safetensors::write(out, &metadata(checkpoint, network), &tensors)?
        }
        Format::Pth => pth::write(out, &tensors)?,
        Format::Detectron2 => detectron2::write(out, &tensors)?,
    }
    Ok(Written {
        file: out.display().to_string(),
        format: description.to_owned(),
        tensors: tensors.len(),
        values: tensors.iter().map(HostTensor::num_values).sum(),
        step: checkpoint.header.step,
    })
}

/// `format: pt` is what `safetensors.torch` and the libraries above it look for.
fn metadata(checkpoint: &Checkpoint, network: &str) -> BTreeMap<String, String> {
    let step = checkpoint.header.step.to_string();
    [("format", "pt"), ("network", network), ("step", &step)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}
