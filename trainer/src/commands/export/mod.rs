//! `trainer export`: a run's network as a file that others read.
//!
//! Backbones carry torchvision's names, without `fc`, with `num_batches_tracked`; Detectron2's file
//! carries its own names (RECIPE 6). Every tensor is written as it is in the checkpoint,
//! contiguous, in the shape PyTorch expects.

mod card;
mod format;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use console::{one_line, print_json, say, usage};
use eval::{frames, recalibrate};
use model::Network;
use model::files::checkpoint::Checkpoint;
use model::files::safetensors::{self, HostTensor};
use model::files::weights::{Weights, metadata_of};
use model::files::{detectron2, pth, timm};
use serde::Serialize;
use tch::{Device, Tensor};

use crate::cli::{ExportArgs, Format};
use crate::config::parse_resolved;
use card::Card;

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    /// The file, or the folder.
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
    let format = format::chosen(args.format, &args.out)?;
    let license = data_license(args, format)?;
    if !args.run.exists() {
        return Err(usage(format!("no run at {:?}", args.run)));
    }
    let checkpoint = Checkpoint::open(&args.run)?;
    let recalibrated = args.recalibrate.as_deref();
    let statistics = recalibrated.map(|shards| statistics_of(args, shards));
    let tensors = tensors(
        &checkpoint,
        args.network.into(),
        part(format),
        &statistics.transpose()?.unwrap_or_default(),
    )?;
    write(&checkpoint, args, format, &license, &tensors)?;
    let written = Written {
        file: args.out.display().to_string(),
        format: description(format).to_owned(),
        tensors: tensors.len(),
        values: tensors.iter().map(HostTensor::num_values).sum(),
        step: checkpoint.header.step,
    };
    if args.json {
        return print_json(&written);
    }
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

/// What a model card says of the images' licence: nobody but the user knows it.
fn data_license(args: &ExportArgs, format: Format) -> Result<String> {
    let license = one_line(args.data_license.as_deref().unwrap_or_default());
    match (format == Format::Timm, license.is_empty()) {
        (true, true) => Err(usage(
            "--format timm writes a model card, which names the licence of the images that the run was trained on; say it with --data-license, as in --data-license \"Waymo Open Dataset License, https://waymo.com/open/terms\"",
        )),
        (false, false) => Err(usage(
            "--data-license is for the model card of --format timm; leave it out",
        )),
        _ => Ok(license),
    }
}

/// The backbone's running statistics on whole frames, by their names in the checkpoint's network.
fn statistics_of(args: &ExportArgs, shards: &Path) -> Result<BTreeMap<String, Tensor>> {
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

/// The names of a network's tensors that a format holds begin with this.
fn part(format: Format) -> &'static str {
    match format {
        Format::Safetensors => "",
        Format::Torchvision | Format::Pth | Format::Detectron2 | Format::Timm => "backbone.",
    }
}

fn description(format: Format) -> &'static str {
    match format {
        Format::Safetensors => "safetensors with heads",
        Format::Torchvision => "safetensors with torchvision's names",
        Format::Pth => "PyTorch state dict with torchvision's names",
        Format::Detectron2 => "Detectron2 pickle",
        Format::Timm => "folder for timm",
    }
}

/// The tensors of one network below `part`, with `statistics` in the place of its own of the same
/// names.
fn tensors(
    checkpoint: &Checkpoint,
    network: Network,
    part: &str,
    statistics: &BTreeMap<String, Tensor>,
) -> Result<Vec<HostTensor>> {
    let prefix = format!("{}.{part}", network.name());
    let tensors = checkpoint.part(&prefix);
    ensure!(
        !tensors.is_empty(),
        "the checkpoint has no tensors called {prefix}*"
    );
    let tensors = tensors.iter().map(|(name, tensor)| {
        let anew = statistics.get(&format!("{part}{name}"));
        HostTensor::copy_of(name, anew.unwrap_or(tensor))
    });
    tensors.collect()
}

fn write(
    checkpoint: &Checkpoint,
    args: &ExportArgs,
    format: Format,
    license: &str,
    tensors: &[HostTensor],
) -> Result<()> {
    let mut metadata = metadata(checkpoint, args.network.into());
    let config = parse_resolved(&checkpoint.header.config, "the checkpoint's config")?;
    metadata.extend(metadata_of(&config.model));
    match format {
        Format::Safetensors | Format::Torchvision => {
            safetensors::write(&args.out, &metadata, tensors)
        }
        Format::Pth => pth::write(&args.out, &metadata, tensors),
        Format::Detectron2 => detectron2::write(&args.out, tensors),
        Format::Timm => {
            let header = &checkpoint.header;
            let about = timm::About {
                arch: config.model.arch,
                view_px: config.augment.view_px,
                license,
                card: &Card {
                    header,
                    config: &config,
                    args,
                    license,
                }
                .text(),
                metadata,
            };
            timm::write(&args.out, &about, tensors)
        }
    }
}

/// `format: pt` is what `safetensors.torch` and the libraries above it look for.
fn metadata(checkpoint: &Checkpoint, network: Network) -> BTreeMap<String, String> {
    let step = checkpoint.header.step.to_string();
    [
        ("format", "pt"),
        ("network", network.name()),
        ("step", &step),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}
