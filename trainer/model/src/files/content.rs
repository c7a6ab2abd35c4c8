//! What a file of weights holds, whoever wrote it, and the backbone among its tensors.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use console::usage;
use tch::Tensor;

use super::checkpoint::{self, Checkpoint};
use super::{pth, safetensors};

/// The first filter of a ResNet; what precedes it in a name precedes every name of the backbone.
pub(super) const STEM: &str = "conv1.weight";
/// Words in the prefix of a network that follows another one.
const FOLLOWERS: [&str; 5] = ["encoder_k", "target", "momentum", "teacher", "ema"];

/// What a file holds.
pub(super) enum Content {
    /// A run's state.
    Checkpoint(Checkpoint),
    /// Tensors by name, of whoever wrote them.
    Tensors(BTreeMap<String, Tensor>),
}

impl Content {
    /// Reads a checkpoint, a safetensors file or a state dict. A checkpoint is known by what it holds,
    /// whatever it is called, and is whole or an error: never a plain file of tensors, of which the
    /// wrong network might be taken.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let is_safetensors = path.extension().is_some_and(|end| end == "safetensors");
        match safetensors::read(path) {
            Ok((metadata, tensors)) if checkpoint::is_claimed(&metadata, &tensors) => {
                Checkpoint::of_file(&metadata, &tensors, path).map(Content::Checkpoint)
            }
            Ok((_, tensors)) if is_safetensors => {
                let named = tensors
                    .iter()
                    .map(|tensor| Ok((tensor.name.clone(), tensor.to_tensor()?)));
                named.collect::<Result<_>>().map(Content::Tensors)
            }
            Err(error) if is_safetensors => Err(error),
            Ok(_) | Err(_) => {
                let bytes = fs::read(path).with_context(|| format!("reading {path:?}"))?;
                let tensors = pth::read(&bytes).map_err(|error| {
                    usage(format!("{path:?} is neither a checkpoint nor .safetensors nor a state dict of torch.save ({error:#})"))
                })?;
                Ok(Content::Tensors(tensors))
            }
        }
    }
}

/// The tensors of the one backbone among `all`, with the prefix taken off.
pub(super) fn backbone_of(all: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
    let is_stem = |tensor: &Tensor| matches!(tensor.size()[..], [64, 3, 7, 7]);
    let stems = all.iter().filter(|(_, tensor)| is_stem(tensor));
    let mut prefixes: Vec<&str> = stems
        .filter_map(|(name, _)| name.strip_suffix(STEM))
        .collect();
    if prefixes.len() > 1 {
        prefixes.retain(|prefix| !FOLLOWERS.iter().any(|word| prefix.contains(word)));
    }
    let prefix = match prefixes[..] {
        [prefix] => prefix,
        [] => {
            return Err(usage(
                "it holds no ResNet: no tensor *conv1.weight of shape [64, 3, 7, 7]",
            ));
        }
        _ => {
            return Err(usage(format!(
                "it holds several networks, below {}",
                prefixes.join(", ")
            )));
        }
    };
    let mut found = below(all, prefix);
    found.retain(|name, _| {
        ["conv1.", "bn1.", "layer"]
            .iter()
            .any(|start| name.starts_with(start))
    });
    Ok(found)
}

/// The tensors whose names begin with `prefix`, the prefix taken off; handles, not copies.
pub(super) fn below(all: &BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let named = |(name, tensor): (&String, &Tensor)| {
        Some((
            name.strip_prefix(prefix)?.to_owned(),
            tensor.shallow_clone(),
        ))
    };
    all.iter().filter_map(named).collect()
}
