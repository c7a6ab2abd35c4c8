//! A backbone's weights from wherever they lie: a run, its checkpoint, an export, torchvision,
//! earlier work.
//!
//! Names end like torchvision's (`conv1.weight`, `layer1.0.bn1.bias`, …); whatever stands before
//! them (`backbone.`, `module.encoder_q.`, `state_dict.backbone.`) is recognised by the stem
//! filter. Heads and `fc` are left alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use crate::checkpoint::Checkpoint;
use crate::cli::NetworkArg;
use crate::cluster::KMeans;
use crate::error::usage;
use crate::layers;
use crate::method::MethodConfig;
use crate::model::params::Scope;
use crate::model::{Arch, ModelConfig, Registry, ResNet};
use crate::state_dict;
use crate::tensor_file;

/// The first filter of a ResNet; what precedes it in a name precedes every name of the backbone.
const STEM: &str = "conv1.weight";
/// Words in the prefix of a network that follows another one.
const FOLLOWERS: [&str; 5] = ["encoder_k", "target", "momentum", "teacher", "ema"];

/// A backbone's tensors with torchvision's names.
pub struct Weights {
    /// Where they come from, for people.
    pub origin: String,
    /// Form of the backbone they belong to: that of the run, or torchvision's.
    pub model: ModelConfig,
    /// How the run clusters cells; the paper's way for weights of no run.
    pub kmeans: KMeans,
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
    /// Reads a run's newest checkpoint, a checkpoint, a safetensors file or a state dict of
    /// `torch.save`.
    ///
    /// # Errors
    /// If there is nothing, it cannot be read, or it holds no ResNet-18 or ResNet-50.
    pub fn open(path: &Path, network: NetworkArg) -> Result<Self> {
        if !path.exists() {
            return Err(usage(format!("no run and no weights at {path:?}")));
        }
        if path.is_dir() {
            return Self::of_checkpoint(&Checkpoint::open(path)?, path, network);
        }
        if let Ok(checkpoint) = Checkpoint::open(path) {
            return Self::of_checkpoint(&checkpoint, path, network);
        }
        let all = read_file(path)?;
        let tensors = backbone_of(&all).with_context(|| format!("{path:?}"))?;
        let arch = arch_of(&tensors);
        let model = ModelConfig {
            arch,
            ..ModelConfig::default()
        };
        Ok(Self::of_tensors(path.display().to_string(), model, tensors))
    }

    /// What people call weights: `random`, or a path as in [`Weights::open`]. `arch` is the form of
    /// random ones.
    ///
    /// # Errors
    /// As [`Weights::open`].
    pub fn named(name: &Path, network: NetworkArg, arch: Arch, seed: u64) -> Result<Self> {
        match name.to_str() {
            Some("random") => Ok(Self::random(
                ModelConfig {
                    arch,
                    ..ModelConfig::default()
                },
                seed,
            )),
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

    fn of_checkpoint(checkpoint: &Checkpoint, path: &Path, network: NetworkArg) -> Result<Self> {
        let config = layers::parse_resolved(&checkpoint.header.config, "the checkpoint's config")?;
        let prefix = match network {
            NetworkArg::Online => "online.backbone.",
            NetworkArg::Target => "target.backbone.",
        };
        let origin = format!("{}, step {}", path.display(), checkpoint.header.step);
        let kmeans = config.method.kmeans();
        Ok(Self {
            kmeans,
            ..Self::of_state(&origin, config.model, &checkpoint.tensors, prefix)
        })
    }

    /// The tensors of `state` whose names begin with `prefix`, as handles, not copies.
    pub fn of_state(
        origin: &str,
        model: ModelConfig,
        state: &BTreeMap<String, Tensor>,
        prefix: &str,
    ) -> Self {
        Self::of_tensors(origin.to_owned(), model, below(state, prefix))
    }

    fn of_tensors(origin: String, model: ModelConfig, tensors: BTreeMap<String, Tensor>) -> Self {
        Self {
            origin,
            model,
            kmeans: MethodConfig::default().kmeans(),
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
        // Files of PyTorch older than 0.4.1 lack the counters; nothing here reads them.
        let mut state: BTreeMap<String, Tensor> = BTreeMap::new();
        for entry in registry.entries() {
            let found = self.tensors.get(&entry.name);
            let is_counter = entry.name.ends_with("num_batches_tracked");
            match found {
                Some(tensor) if !is_counter => {
                    state.insert(entry.name.clone(), tensor.to_kind(Kind::Float))
                }
                Some(tensor) => state.insert(entry.name.clone(), tensor.shallow_clone()),
                None if is_counter => state.insert(entry.name.clone(), entry.tensor.zeros_like()),
                None => None,
            };
        }
        registry
            .load_state(&state, "")
            .with_context(|| format!("weights of {}", self.origin))?;
        Ok(Backbone { registry, net })
    }
}

fn read_file(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    if path
        .extension()
        .is_some_and(|ending| ending == "safetensors")
    {
        let (_, tensors) = tensor_file::read(path)?;
        return tensors
            .iter()
            .map(|tensor| Ok((tensor.name.clone(), tensor.to_tensor()?)))
            .collect();
    }
    let bytes = fs::read(path).with_context(|| format!("reading {path:?}"))?;
    state_dict::read(&bytes).map_err(|error| {
        usage(format!("{path:?} is neither a checkpoint nor .safetensors nor a state dict of torch.save ({error:#})"))
    })
}

/// The tensors of the one backbone among `all`, with the prefix taken off.
fn backbone_of(all: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>> {
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

fn below(all: &BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    let named = |(name, tensor): (&String, &Tensor)| {
        Some((
            name.strip_prefix(prefix)?.to_owned(),
            tensor.shallow_clone(),
        ))
    };
    all.iter().filter_map(named).collect()
}

fn arch_of(tensors: &BTreeMap<String, Tensor>) -> Arch {
    if tensors.contains_key("layer1.0.conv3.weight") {
        Arch::Resnet50
    } else {
        Arch::Resnet18
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_file::HostTensor;

    fn named(prefix: &str, weights: &Weights) -> BTreeMap<String, Tensor> {
        weights
            .tensors
            .iter()
            .map(|(name, t)| (format!("{prefix}{name}"), t.shallow_clone()))
            .collect()
    }

    fn resnet18() -> Weights {
        Weights::random(
            ModelConfig {
                arch: Arch::Resnet18,
                ..ModelConfig::default()
            },
            3,
        )
    }

    #[test]
    fn the_backbone_is_found_below_any_prefix() {
        let weights = resnet18();
        for prefix in ["", "backbone.", "module.encoder_q.", "state_dict.backbone."] {
            let mut all = named(prefix, &weights);
            all.insert(format!("{prefix}fc.weight"), Tensor::from_slice(&[1f32]));
            all.extend(named("module.encoder_k.", &weights));
            if prefix.is_empty() || prefix == "backbone." {
                all.retain(|name, _| !name.starts_with("module."));
            }
            assert_eq!(backbone_of(&all).unwrap(), weights.tensors, "{prefix}");
        }
        let mut two = named("a.", &weights);
        two.extend(named("b.", &weights));
        assert!(
            backbone_of(&two)
                .unwrap_err()
                .to_string()
                .contains("a., b.")
        );
        assert!(
            backbone_of(&BTreeMap::new())
                .unwrap_err()
                .to_string()
                .contains("no ResNet")
        );
    }

    #[test]
    fn weights_survive_files_and_a_missing_one_is_named() {
        let (weights, dir) = (resnet18(), tempfile::tempdir().unwrap());
        let file = dir.path().join("w.safetensors");
        let host = |(name, tensor): (&String, &Tensor)| HostTensor::copy_of(name, tensor).unwrap();
        let tensors: Vec<HostTensor> = weights.tensors.iter().map(host).collect();
        tensor_file::write(&file, &BTreeMap::new(), &tensors).unwrap();
        let pth = dir.path().join("w.pth");
        crate::pth::write(&pth, &tensors).unwrap();
        for path in [&file, &pth] {
            let read = Weights::open(path, NetworkArg::Online).unwrap();
            assert_eq!(
                (read.model.arch, &read.tensors),
                (Arch::Resnet18, &weights.tensors)
            );
            let backbone = read.build(&read.model, Device::Cpu).unwrap();
            assert_eq!(
                backbone.registry.get("layer4.1.bn2.weight"),
                weights.tensors.get("layer4.1.bn2.weight")
            );
        }
        let mut lacking = resnet18();
        lacking.tensors.remove("layer2.0.conv1.weight");
        let message = format!(
            "{:#}",
            lacking.build(&lacking.model, Device::Cpu).err().unwrap()
        );
        assert!(message.contains("layer2.0.conv1.weight"), "{message}");
        fs::write(&pth, b"no zip").unwrap();
        let message = Weights::open(&pth, NetworkArg::Online)
            .err()
            .unwrap()
            .to_string();
        assert!(
            message.contains("neither a checkpoint") && !message.contains('\n'),
            "{message}"
        );
    }
}
