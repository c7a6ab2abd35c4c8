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
mod tests {
    use super::*;
    use crate::files::safetensors::HostTensor;
    use crate::files::{checkpoint, pth, safetensors};
    use std::fs;

    /// The first filters of a ResNet.
    const STEM: &str = "conv1.weight";

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
    fn weights_survive_files_and_a_missing_one_is_named() {
        let (weights, dir) = (resnet18(), tempfile::tempdir().unwrap());
        let file = dir.path().join("w.safetensors");
        let host = |(name, tensor): (&String, &Tensor)| HostTensor::copy_of(name, tensor).unwrap();
        let tensors: Vec<HostTensor> = weights.tensors.iter().map(host).collect();
        safetensors::write(&file, &BTreeMap::new(), &tensors).unwrap();
        let pth = dir.path().join("w.pth");
        pth::write(&pth, &BTreeMap::new(), &tensors).unwrap();
        let hub = dir.path().join("model.safetensors");
        fs::copy(&file, hub).unwrap();
        for path in [&file, &pth, dir.path()] as [&Path; 3] {
            let read = Weights::open(path, Network::Online).unwrap();
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
        let message = Weights::open(&pth, Network::Online)
            .err()
            .unwrap()
            .to_string();
        assert!(
            message.contains("neither a checkpoint") && !message.contains('\n'),
            "{message}"
        );
    }

    /// A checkpoint whose networks are one filter each, and what its target is.
    fn checkpoint(run: &Path) -> (std::path::PathBuf, Tensor) {
        use checkpoint::{DataId, Header, LoaderPosition, Snapshot};
        let stem = |value: f64| Tensor::full([64, 3, 7, 7], value, (Kind::Float, Device::Cpu));
        let header = Header {
            version: 0,
            step: 7,
            cursor: LoaderPosition { epoch: 0, step: 7 },
            config: "seed = 3\n[model]\narch = \"resnet18\"\nlayer4_stride = 1\n[run]\n".into(),
            data: DataId {
                fingerprint: "00ff".into(),
                frames: 9,
            },
            shards: Vec::new(),
            torch_threads: 2,
            device: "cpu".into(),
            crc32c: BTreeMap::new(),
        };
        let tensors = [
            ("online.backbone.", 1.0),
            ("target.backbone.", 2.0),
            ("optim.momentum.backbone.", 3.0),
        ];
        let tensors = tensors.map(|(prefix, value)| (format!("{prefix}{STEM}"), stem(value)));
        let snapshot = Snapshot::take(header, &tensors).unwrap();
        (snapshot.write(run).unwrap(), stem(2.0))
    }

    fn refusal(path: &Path) -> String {
        let error = Weights::open(path, Network::Target).err().unwrap();
        format!("{error:#}")
    }

    #[test]
    fn a_checkpoint_gives_the_network_and_the_form_that_were_asked_for() {
        let run = tempfile::tempdir().unwrap();
        let (path, target) = checkpoint(run.path());
        let renamed = run.path().join("mine.ckpt");
        fs::copy(&path, &renamed).unwrap();
        for path in [&path, &renamed, run.path()] as [&Path; 3] {
            let weights = Weights::open(path, Network::Target).unwrap();
            assert_eq!(
                weights.tensors,
                BTreeMap::from([(STEM.to_owned(), target.copy())])
            );
            assert_eq!(
                (weights.model.arch, weights.model.layer4_stride),
                (Arch::Resnet18, 1)
            );
            assert!(weights.run_config.unwrap().contains("seed = 3"));
        }
    }

    #[test]
    fn parts_of_a_batch_do_not_leak_out_of_a_run() {
        let split = ModelConfig {
            bn_splits: 2,
            ..form_of(Arch::Resnet18)
        };
        let (whole, run) = (resnet18(), named("online.backbone.", &resnet18()));
        let of_run = Weights::of_state("a run", split, &run, "online.backbone.");
        let images = crate::init::Init::Normal(1.0).draw(1, "images", &[4, 3, 64, 64]);
        let maps = [whole, of_run].map(|weights| {
            let backbone = weights.build(&weights.model, Device::Cpu).unwrap();
            tch::no_grad(|| backbone.net.forward(&images.to_kind(Kind::Float), true))
        });
        assert_eq!(maps[0], maps[1]);
    }

    #[test]
    fn a_checkpoint_with_any_byte_flipped_is_never_another_network() {
        let run = tempfile::tempdir().unwrap();
        let (path, target) = checkpoint(run.path());
        let good = fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        let places = (0..header).chain((header..good.len()).step_by(997));
        let (mut refused, mut whole) = (0, 0);
        for (place, mask) in places.flat_map(|place| [(place, 0x01), (place, 0x20)]) {
            let mut bad = good.clone();
            bad[place] ^= mask;
            fs::write(&path, &bad).unwrap();
            match Weights::open(&path, Network::Target) {
                Err(_) => refused += 1,
                // Padding and insignificant JSON.
                Ok(weights) => {
                    assert_eq!(weights.tensors[STEM], target, "byte {place}");
                    assert_eq!(weights.model.layer4_stride, 1, "byte {place}");
                    whole += 1;
                }
            }
        }
        assert!(refused > 20 * whole, "{refused} refused, {whole} whole");
    }

    #[test]
    fn what_is_wrong_with_a_checkpoint_is_named() {
        let run = tempfile::tempdir().unwrap();
        let (path, _) = checkpoint(run.path());
        let (metadata, tensors) = safetensors::read(&path).unwrap();
        type Parts<'a> = (&'a mut BTreeMap<String, String>, &'a mut Vec<HostTensor>);
        let rewritten = |change: &dyn Fn(Parts<'_>)| {
            let (mut metadata, mut tensors) = (metadata.clone(), tensors.clone());
            change((&mut metadata, &mut tensors));
            safetensors::write(&path, &metadata, &tensors).unwrap();
            refusal(&path)
        };
        let [header, crc] = ["checkpoint", "checkpoint_crc32c"];
        let later = |(metadata, _): Parts<'_>| {
            let text = metadata[header].replace("\"version\":1", "\"version\":2");
            let sum = crc32c::crc32c(text.as_bytes()).to_string();
            *metadata = [(header, text), (crc, sum)]
                .map(|(key, value)| (key.to_owned(), value))
                .into();
        };
        assert!(rewritten(&later).contains("layout 2"));
        let missing =
            |key: &'static str| rewritten(&move |(metadata, _)| drop(metadata.remove(key)));
        assert!(missing(header).contains("header is damaged (no \"checkpoint\")"));
        assert!(missing(crc).contains("header is damaged (no \"checkpoint_crc32c\")"));
        assert!(rewritten(&|(metadata, _)| metadata.clear()).contains("header is damaged"));
        assert!(
            rewritten(&|(_, tensors)| tensors[1].bytes[5] ^= 1).contains("is damaged (CRC32C)")
        );
        assert!(rewritten(&|(_, tensors)| drop(tensors.remove(0))).contains("not those it lists"));
    }

    #[test]
    fn files_of_others_are_read_whatever_their_metadata_says() {
        let (weights, dir) = (resnet18(), tempfile::tempdir().unwrap());
        let file = dir.path().join("w.safetensors");
        let mut all = named("online.backbone.", &weights);
        all.extend(named("target.backbone.", &resnet18()));
        let tensors: Vec<HostTensor> = all
            .iter()
            .map(|(name, tensor)| HostTensor::copy_of(name, tensor).unwrap())
            .collect();
        let metadata = [("checkpoint", "epoch 3"), ("format", "pt")];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        safetensors::write(&file, &metadata.into(), &tensors).unwrap();
        let read = Weights::open(&file, Network::Online).unwrap();
        assert_eq!(read.tensors, weights.tensors);
        assert!(read.run_config.is_none());
    }
}
