//! Weights from our files and from others', and what is wrong with some.

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
    let strided = ModelConfig {
        layer4_stride: 1,
        ..weights.model.clone()
    };
    safetensors::write(&file, &metadata_of(&strided), &tensors).unwrap();
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
    let read = Weights::open(&file, Network::Online).unwrap();
    assert_eq!((read.model.layer3_stride, read.model.layer4_stride), (2, 1));
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
        world: 1,
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
    let missing = |key: &'static str| rewritten(&move |(metadata, _)| drop(metadata.remove(key)));
    assert!(missing(header).contains("header is damaged (no \"checkpoint\")"));
    assert!(missing(crc).contains("header is damaged (no \"checkpoint_crc32c\")"));
    assert!(rewritten(&|(metadata, _)| metadata.clear()).contains("header is damaged"));
    assert!(rewritten(&|(_, tensors)| tensors[1].bytes[5] ^= 1).contains("is damaged (CRC32C)"));
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
