//! Exported files have the names and shapes that others expect, and open in Python where there is
//! one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use model::Network;
use model::files::checkpoint::{Checkpoint, Snapshot};
use model::files::safetensors::{self, Dtype, HostTensor};
use model::files::weights::Weights;
use tch::Kind;

use super::refusals::assert_refused;
use super::{Bench, assert_success, stderr, trainer};

/// A run of two steps, and what is exported of it.
pub(crate) struct Exported {
    pub(crate) bench: Bench,
    pub(crate) run: PathBuf,
}

impl Exported {
    pub(crate) fn new() -> Exported {
        let bench = Bench::new();
        let run = bench.path("run");
        assert_success(&bench.run(&run, &["--steps", "2"]));
        Exported { bench, run }
    }

    fn export(&self, format: &str, more: &[&str], name: &str) -> PathBuf {
        let more = [&["--format", format], more].concat();
        assert_success(&self.try_export(&more, name));
        self.bench.path(name)
    }

    /// `trainer export` of the run to the file `name`.
    pub(crate) fn try_export(&self, args: &[&str], name: &str) -> Output {
        let mut command = trainer(&["export"]);
        command.args(args).arg(&self.run).arg("--out");
        command.arg(self.bench.path(name)).output().unwrap()
    }
}

fn find<'a>(tensors: &'a [HostTensor], name: &str) -> &'a HostTensor {
    tensors
        .iter()
        .find(|t| t.name == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn torchvision_names_and_shapes_are_complete() {
    let exported = Exported::new();
    let file = exported.export("torchvision", &[], "r18.safetensors");
    let (metadata, tensors) = safetensors::read(&file).unwrap();
    assert_eq!(metadata["format"], "pt");
    // torchvision's resnet18 has 122 entries in its state dict, two of them fc's.
    assert_eq!(tensors.len(), 120);
    assert_eq!(find(&tensors, "conv1.weight").shape, [64, 3, 7, 7]);
    assert_eq!(
        find(&tensors, "layer4.0.downsample.0.weight").shape,
        [512, 256, 1, 1]
    );
    let counter = find(&tensors, "layer2.1.bn2.num_batches_tracked");
    assert_eq!((counter.dtype, counter.shape.len()), (Dtype::I64, 0));
    // Two steps, two views each.
    assert_eq!(counter.bytes, 4i64.to_le_bytes());
    let checkpoint = Checkpoint::open(&exported.run).unwrap();
    let ours = &checkpoint.part("online.backbone.")["layer3.1.conv2.weight"];
    assert_eq!(
        &find(&tensors, "layer3.1.conv2.weight").to_tensor().unwrap(),
        ours
    );
}

#[test]
fn target_and_heads_can_be_had() {
    let exported = Exported::new();
    let online = safetensors::read(&exported.export("torchvision", &[], "o.safetensors"))
        .unwrap()
        .1;
    let target = safetensors::read(&exported.export(
        "torchvision",
        &["--network", "target"],
        "t.safetensors",
    ))
    .unwrap()
    .1;
    assert_ne!(
        find(&online, "layer1.0.conv1.weight"),
        find(&target, "layer1.0.conv1.weight")
    );
    let whole = safetensors::read(&exported.export("safetensors", &[], "w.safetensors"))
        .unwrap()
        .1;
    assert!(whole.len() > online.len());
    assert!(find(&whole, "backbone.conv1.weight").bytes == find(&online, "conv1.weight").bytes);
}

#[test]
fn the_ending_chooses_the_format_and_readers_go_by_content() {
    let exported = Exported::new();
    let same = |formatted: &str, format: &str, plain: &str| {
        assert_success(&exported.try_export(&[], plain));
        let formatted = exported.export(format, &[], formatted);
        let plain = exported.bench.path(plain);
        assert!(
            fs::read(&formatted).unwrap() == fs::read(&plain).unwrap(),
            "{plain:?}"
        );
        plain
    };
    let pth = same("1.pth", "pth", "2.PT");
    same("3.pth", "pth", "4.pth.tar");
    let safetensors = same("5.safetensors", "torchvision", "6.safetensors");
    same("7.pkl", "detectron2", "8.pkl");
    let read = |path: &Path| Weights::open(path, Network::Online).unwrap();
    let (a, b) = (read(&pth), read(&safetensors));
    for (file, renamed) in [
        (&pth, "9.safetensors"),
        (&safetensors, "10.pth"),
        (&pth, "11"),
    ] {
        let renamed = exported.bench.path(renamed);
        fs::copy(file, &renamed).unwrap();
        assert_eq!(read(&renamed).tensors(), a.tensors());
    }
    assert_eq!(a.tensors(), b.tensors());
}

#[test]
fn a_format_that_contradicts_the_ending_is_refused_and_nothing_is_written() {
    let exported = Exported::new();
    for (args, name, said) in [
        (
            &["--format", "pth"] as &[&str],
            "x.safetensors",
            [".pth", "--format pth"],
        ),
        (
            &["--format", "torchvision"],
            "x.pth",
            [".safetensors", "--format torchvision"],
        ),
        (&[], "x.onnx", [".pkl", "--format"]),
        (&[], "x", [".safetensors", "--format"]),
        (&["--format", "timm"], "x", ["--data-license", "model card"]),
        (
            &["--data-license", "CC0"],
            "x.pth",
            ["--data-license", "timm"],
        ),
    ] {
        assert_refused(&exported.try_export(args, name), &said);
        assert!(!exported.bench.path(name).exists(), "{name}");
    }
}

#[test]
fn batch_norms_of_parts_of_a_batch_do_not_change_recalibration() {
    let exported = Exported::new();
    let whole = Checkpoint::open(&exported.run).unwrap();
    let mut header = whole.header.clone();
    header.config = header.config.replace("bn_splits = 1", "bn_splits = 3");
    assert_ne!(header.config, whole.header.config);
    let tensors: Vec<_> = whole.tensors.into_iter().collect();
    let parts = exported.bench.path("parts");
    let snapshot = Snapshot::take(header, &tensors).unwrap();
    snapshot.write(&parts).unwrap();

    let shards = exported.bench.path("shards");
    let recalibrate = ["--recalibrate", shards.to_str().unwrap(), "--height", "64"];
    let expected = exported.export("torchvision", &recalibrate, "whole.safetensors");
    let out = exported.bench.path("parts.safetensors");
    let mut command = trainer(&["export"]);
    command.arg(parts).arg("--out").arg(&out).args(recalibrate);
    assert_success(&command.output().unwrap());
    assert!(fs::read(out).unwrap() == fs::read(expected).unwrap());
}

#[test]
fn recalibrated_statistics_are_those_of_whole_frames() {
    let exported = Exported::new();
    let shards = exported.bench.path("shards");
    let plain = safetensors::read(&exported.export("torchvision", &[], "plain.safetensors"))
        .unwrap()
        .1;
    let more = ["--recalibrate", shards.to_str().unwrap(), "--height", "64"];
    let anew = safetensors::read(&exported.export("torchvision", &more, "anew.safetensors"))
        .unwrap()
        .1;
    let backbone =
        Weights::open(&exported.bench.path("anew.safetensors"), Network::Online).unwrap();
    assert_eq!(backbone.tensors().len(), plain.len());
    for (before, after) in plain.iter().zip(&anew) {
        let is_statistic = before.name.contains(".running_");
        assert_eq!(before.bytes != after.bytes, is_statistic, "{}", before.name);
    }
    let heads = safetensors::read(&exported.export("safetensors", &more, "heads.safetensors"))
        .unwrap()
        .1;
    assert!(
        find(&heads, "backbone.bn1.running_mean").bytes == find(&anew, "bn1.running_mean").bytes
    );
}

#[test]
fn what_torch_saves_is_read() {
    let Some(python) = testkit::python("torch") else {
        return;
    };
    let exported = Exported::new();
    let plain = exported.export("pth", &[], "plain.pth");
    let script = r#"
import collections, sys, torch
plain, nested, small = sys.argv[1:]
state = torch.load(plain, weights_only=True)
model = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2)})
ordered = collections.OrderedDict(("module.encoder_q." + name, tensor) for name, tensor in state.items())
ordered._metadata = model.state_dict()._metadata
torch.save({"epoch": 3, "lr": 0.1, "arch": "resnet18", "flags": [True, None, {1}], "state_dict": ordered}, nested)
torch.save({"turned": torch.arange(6.0).view(2, 3).t(), "part": torch.arange(10)[3:5], "half": torch.full((2,), 1.5).half(),
            "parameter": torch.nn.Parameter(torch.ones(3)), "none": torch.zeros(0, 4), "one": torch.tensor(7)}, small)
"#;
    let [nested, small] = ["nested.pth", "small.pth"].map(|name| exported.bench.path(name));
    let output = Command::new(python)
        .arg("-c")
        .arg(script)
        .args([&plain, &nested, &small])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let [plain, nested] =
        [plain, nested].map(|path| Weights::open(&path, Network::Online).unwrap());
    assert_eq!(nested.tensors(), plain.tensors());

    let read = model::files::pth::read(&fs::read(small).unwrap()).unwrap();
    let values =
        |name: &str| Vec::<f64>::try_from(read[name].to_kind(Kind::Double).view([-1])).unwrap();
    assert_eq!(
        (values("turned"), read["turned"].size()),
        (vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0], vec![3, 2])
    );
    assert_eq!(
        (values("part"), values("half")),
        (vec![3.0, 4.0], vec![1.5, 1.5])
    );
    assert_eq!(
        (values("parameter"), values("one"), read["none"].size()),
        (vec![1.0; 3], vec![7.0], vec![0, 4])
    );
}

#[test]
fn a_run_begins_with_imported_weights() {
    let exported = Exported::new();
    let file = exported.export("pth", &[], "r18.pth");
    let out = exported.bench.path("warm");
    let import = |out: &Path, more: &[&str]| {
        let mut command = trainer(&["import", "--device", "cpu", "--seed", "9"]);
        command
            .arg(&file)
            .arg(exported.bench.path("shards"))
            .arg("--config")
            .arg(exported.bench.path("small.toml"));
        command.arg("--out").arg(out).args(more).output().unwrap()
    };
    assert_success(&import(&out, &[]));
    let imported = Checkpoint::open(&out).unwrap();
    assert_eq!(imported.header.step, 0);
    let original = Checkpoint::open(&exported.run)
        .unwrap()
        .part("online.backbone.");
    assert_eq!(imported.part("online.backbone."), original);
    assert_eq!(imported.part("target.backbone."), original);
    let output = exported.bench.run(&out, &["--seed", "9", "--steps", "1"]);
    assert_success(&output);
    assert!(
        stderr(&output).contains("resuming after step 0 of 8"),
        "{}",
        stderr(&output)
    );

    let twice = import(&out, &[]);
    assert!(stderr(&twice).contains("holds a run"), "{}", stderr(&twice));
    let other = import(
        &exported.bench.path("other"),
        &["--set", "model.arch=resnet50"],
    );
    assert!(
        stderr(&other).contains("holds a resnet18") && other.status.code() == Some(2),
        "{}",
        stderr(&other)
    );
    assert!(!exported.bench.path("other").exists());
}

#[test]
fn pytorch_and_detectron2_files_open_in_python() {
    let Some(python) = testkit::python("torch, numpy") else {
        return;
    };
    let exported = Exported::new();
    let (pth, pkl) = (
        exported.export("pth", &[], "r18.pth"),
        exported.export("detectron2", &[], "r18.pkl"),
    );
    let reference = exported.export("torchvision", &[], "reference.safetensors");
    let script = r#"
import json, pickle, struct, sys
import numpy as np, torch
pth, pkl, reference = sys.argv[1:]
raw = open(reference, "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8:8 + n]); header.pop("__metadata__")
def expected(name):
    info = header[name]; a, b = info["data_offsets"]
    kind = {"F32": np.float32, "I64": np.int64}[info["dtype"]]
    return np.frombuffer(raw[8 + n + a:8 + n + b], kind).reshape(info["shape"])
state = torch.load(pth, weights_only=True)
assert set(state) == set(header), set(state) ^ set(header)
for name, tensor in state.items():
    assert np.array_equal(tensor.numpy(), expected(name)), name
with open(pkl, "rb") as f:
    data = pickle.load(f, encoding="latin1")
assert data["matching_heuristics"] is True and "__author__" in data
model = data["model"]
assert len(model) == len(header)
assert np.array_equal(model["stem.conv1.weight"], expected("conv1.weight"))
assert np.array_equal(model["res5.0.shortcut.norm.running_var"], expected("layer4.0.downsample.1.running_var"))
assert model["res2.0.conv1.norm.num_batches_tracked"].shape == ()
print("same")
"#;
    let output = Command::new(python)
        .arg("-c")
        .arg(script)
        .args([pth, pkl, reference])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}
