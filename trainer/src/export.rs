//! `trainer export`: a run's network as a file that others read.
//!
//! Backbones carry torchvision's names, without `fc`, with `num_batches_tracked`; Detectron2's file carries its own names
//! (RECIPE 6). Every tensor is written as it is in the checkpoint, contiguous, in the shape PyTorch expects.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::cli::{ExportArgs, Format, NetworkArg};
use crate::error::usage;
use crate::tensor_file::{self, HostTensor};
use crate::{detectron2, pth};

/// What was written.
#[derive(Debug, Serialize)]
pub struct Written {
    /// The file.
    pub file: String,
    /// Its format.
    pub format: String,
    /// Number of tensors in it.
    pub tensors: usize,
    /// Number of values in them.
    pub values: usize,
    /// Optimizer step of the checkpoint.
    pub step: u64,
}

/// Runs the command.
pub fn export(args: &ExportArgs) -> Result<()> {
    if !args.run.exists() {
        return Err(usage(format!("no run at {:?}", args.run)));
    }
    let checkpoint = Checkpoint::open(&args.run)?;
    let written = write(&checkpoint, args.format, args.network, &args.out)?;
    match args.json {
        true => println!("{}", serde_json::to_string(&written)?),
        false => eprintln!(
            "{}: {} tensors, {:.1} million values, {}, after step {}",
            written.file,
            written.tensors,
            written.values as f64 / 1e6,
            written.format,
            written.step
        ),
    }
    Ok(())
}

/// Writes one network of a checkpoint.
pub fn write(checkpoint: &Checkpoint, format: Format, network: NetworkArg, out: &Path) -> Result<Written> {
    let prefix = match network {
        NetworkArg::Online => "online.",
        NetworkArg::Target => "target.",
    };
    let (prefix, description) = match format {
        Format::Safetensors => (prefix.to_owned(), "safetensors with heads"),
        Format::Torchvision => (format!("{prefix}backbone."), "safetensors with torchvision's names"),
        Format::Pth => (format!("{prefix}backbone."), "PyTorch state dict with torchvision's names"),
        Format::Detectron2 => (format!("{prefix}backbone."), "Detectron2 pickle"),
    };
    let tensors = host_tensors(checkpoint, &prefix)?;
    ensure!(!tensors.is_empty(), "the checkpoint has no tensors called {prefix}*");
    match format {
        Format::Safetensors | Format::Torchvision => tensor_file::write(out, &metadata(checkpoint, network), &tensors)?,
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

fn host_tensors(checkpoint: &Checkpoint, prefix: &str) -> Result<Vec<HostTensor>> {
    let part = checkpoint.part(prefix);
    part.iter().map(|(name, tensor)| HostTensor::copy_of(name, tensor)).collect()
}

/// `format: pt` is what `safetensors.torch` and the libraries above it look for.
fn metadata(checkpoint: &Checkpoint, network: NetworkArg) -> BTreeMap<String, String> {
    let network = match network {
        NetworkArg::Online => "online",
        NetworkArg::Target => "target",
    };
    let step = checkpoint.header.step.to_string();
    [("format", "pt"), ("network", network), ("step", &step)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}
