//! A backbone's weights from wherever they lie: a run, its checkpoint, an export, torchvision,
//! earlier work.
//!
//! Heads and `fc` are left alone. Whatever batches a run trained with, weights are evaluated and
//! fine-tuned with whole ones: `bn_splits` is 1 here.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use console::{one_line, usage};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::checkpoint::Checkpoint;
use super::content::Content;
use super::foreign::ForeignFile;
use super::reading::Reading;
use super::trunk;
use crate::arch::Arch;
use crate::config::ModelConfig;
use crate::network::Network;
use crate::params::{Registry, Scope};
use crate::resnet::ResNet;

/// Weights in a folder as timm and Hugging Face's hub keep it.
const HUB_FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// A backbone's tensors with torchvision's names.
pub struct Weights {
    /// Where they come from, for people.
    pub origin: String,
    /// Form of the backbone they belong to: that of the run, or torchvision's.
    pub model: ModelConfig,
    /// The run's resolved config, as TOML; of weights of no run there is none.
    pub run_config: Option<String>,
    /// What was read of a file of others.
    pub reading: Option<Reading>,
    tensors: BTreeMap<String, Tensor>,
}

/// A ResNet and its tensors.
pub struct Backbone {
    /// The tensors by name.
    pub registry: Registry,
    /// The trunk.
    pub net: ResNet,
}

impl Weights {
    /// Reads a run's newest checkpoint, a checkpoint, a safetensors file, what `torch.save` or
    /// `pickle` wrote, or a folder of timm's that holds such a file. Of a run the online network is
    /// taken, of other files the usual one, unless a `network` is given.
    ///
    /// # Errors
    /// If there is nothing, it cannot be read, or it holds no ResNet that is known, or not that
    /// network.
    pub fn open(path: &Path, network: impl Into<Option<Network>>) -> Result<Self> {
        let network = network.into();
        if !path.exists() {
            return Err(usage(format!("no run and no weights at {path:?}")));
        }
        if path.is_dir() {
            return match HUB_FILES
                .map(|name| path.join(name))
                .iter()
                .find(|file| file.is_file())
            {
                Some(file) => Self::open(file, network),
                None => Self::of_checkpoint(&Checkpoint::open(path)?, path, network),
            };
        }
        match Content::read(path)? {
            Content::Checkpoint(checkpoint) => Self::of_checkpoint(&checkpoint, path, network),
            Content::Foreign(file) => {
                Self::of_foreign(&file, path, network).with_context(|| format!("{path:?}"))
            }
        }
    }

    /// What people call weights: `random`, or a path as in [`Weights::open`]. `arch` is the form of
    /// random ones.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn named(
        name: &Path,
        network: impl Into<Option<Network>>,
        arch: Arch,
        seed: u64,
    ) -> Result<Self> {
        match name.to_str() {
            Some("random") => Ok(Self::random(form_of(arch), seed)),
            _ => Self::open(name, network),
        }
    }

    /// A network that has learned nothing.
    pub fn random(model: ModelConfig, seed: u64) -> Self {
        let mut registry = Registry::default();
        let _net = ResNet::new(
            Scope::root(&mut registry, seed, Kind::Float, Device::Cpu),
            &model,
        );
        let tensors = registry.state("").into_iter().collect();
        Self::of_tensors(format!("random, seed {seed}"), model, tensors)
    }

    fn of_foreign(file: &ForeignFile, path: &Path, network: Option<Network>) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let trunk = trunk::find(file, &name, network)?;
        let origin = match trunk.reading.choice() {
            Some(choice) => format!("{}, {choice}", path.display()),
            None => path.display().to_string(),
        };
        Ok(Self {
            reading: Some(trunk.reading),
            ..Self::of_tensors(origin, exported_form(trunk.arch, file), trunk.tensors)
        })
    }

    fn of_checkpoint(
        checkpoint: &Checkpoint,
        path: &Path,
        network: Option<Network>,
    ) -> Result<Self> {
        let network = network.unwrap_or(Network::Online);
        let config = &checkpoint.header.config;
        let mut origin = format!("{}, step {}", path.display(), checkpoint.header.step);
        if network == Network::Target {
            origin += ", the target network";
        }
        let prefix = format!("{}.backbone.", network.name());
        Ok(Self {
            run_config: Some(config.clone()),
            ..Self::of_state(&origin, model_of(config)?, &checkpoint.tensors, &prefix)
        })
    }

    /// The tensors of `state` whose names begin with `prefix`, as handles, not copies.
    pub fn of_state(
        origin: &str,
        model: ModelConfig,
        state: &BTreeMap<String, Tensor>,
        prefix: &str,
    ) -> Self {
        let below = state.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(prefix)?.to_owned();
            Some((name, tensor.shallow_clone()))
        });
        Self::of_tensors(origin.to_owned(), model, below.collect())
    }

    /// Batch norms take whole batches, whatever parts a run trained them with.
    fn of_tensors(origin: String, model: ModelConfig, tensors: BTreeMap<String, Tensor>) -> Self {
        Self {
            origin,
            model: ModelConfig {
                bn_splits: 1,
                ..model
            },
            run_config: None,
            reading: None,
            tensors,
        }
    }

    /// The tensors by torchvision's names.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Builds a backbone of the form `model` and loads the weights; strides and dilation may differ
    /// from the original's.
    ///
    /// # Errors
    /// The first tensor that is missing or does not fit.
    pub fn build(&self, model: &ModelConfig, device: Device) -> Result<Backbone> {
        let mut registry = Registry::default();
        let net = ResNet::new(Scope::blank(&mut registry, Kind::Float, device), model);
        registry
            .load_state(&self.tensors, "")
            .with_context(|| format!("weights of {}", self.origin))?;
        Ok(Backbone { registry, net })
    }
}

/// `[model]` of a run's config; the rest is not this crate's.
fn model_of(config: &str) -> Result<ModelConfig> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Part {
        model: ModelConfig,
    }
    let part: Part = toml::from_str(config).map_err(|error| {
        usage(format!(
            "the checkpoint's config: {}",
            one_line(error.message())
        ))
    })?;
    Ok(part.model)
}

/// Keys of a file's metadata: the strides of stages 3 and 4, which no tensor tells.
const STRIDES: [&str; 2] = ["layer3_stride", "layer4_stride"];

/// What an export says beside the tensors of a backbone of the form `model`, so that the same weights
/// are evaluated in the same form as those of the run.
pub fn metadata_of(model: &ModelConfig) -> BTreeMap<String, String> {
    let strides = [model.layer3_stride, model.layer4_stride];
    let entries = STRIDES.into_iter().zip(strides);
    entries
        .map(|(key, stride)| (key.to_owned(), stride.to_string()))
        .collect()
}

/// torchvision's form, with the strides that an export of ours names.
fn exported_form(arch: Arch, file: &ForeignFile) -> ModelConfig {
    let stride = |key: &str| {
        let stride = file.metadata.get(key)?.parse().ok()?;
        [1, 2].contains(&stride).then_some(stride)
    };
    let [layer3_stride, layer4_stride] = STRIDES.map(|key| stride(key).unwrap_or(2));
    ModelConfig {
        layer3_stride,
        layer4_stride,
        ..form_of(arch)
    }
}

/// torchvision's form of a ResNet.
fn form_of(arch: Arch) -> ModelConfig {
    ModelConfig {
        arch,
        ..ModelConfig::default()
    }
}

#[cfg(test)]
mod tests;
