//! A folder for timm: complete, and with the features that the network has here.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use model::files::safetensors::{self, HostTensor};
use model::files::weights::Weights;
use model::{ModelConfig, Network};
use tch::{Device, Kind, Tensor, no_grad};

use super::export::Exported;
use super::refusals::assert_refused;
use super::{assert_success, stderr};

const LICENSE: [&str; 4] = [
    "--format",
    "timm",
    "--data-license",
    "Made-up Streets License, https://streets.example/terms",
];

#[test]
fn the_model_card_says_what_the_run_was() {
    let exported = Exported::new();
    assert_success(&exported.try_export(&LICENSE, "r18"));
    assert_success(&exported.try_export(&LICENSE, "r18"));
    let folder = exported.bench.path("r18");
    let files = fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["README.md", "config.json", "model.safetensors"]);
    let card = fs::read_to_string(folder.join("README.md")).unwrap();
    for line in [
        "library_name: timm",
        "license: other",
        "license_name: made-up-streets-license",
        "license_link: https://streets.example/terms",
        "# resnet18, pre-trained with MultiSiam",
        "| network | online, the one that was trained |",
        "| training | 2 optimizer steps of 6 pairs, 0.6 passes over the data |",
        "| data | 20 frames |",
        "| licence of the data | Made-up Streets License, https://streets.example/terms |",
        "| batch norms | of the augmented crops of training |",
    ] {
        assert!(card.lines().any(|found| found == line), "{line}\n{card}");
    }
    let [read, run] =
        [&folder, &exported.run].map(|path| Weights::open(path, Network::Online).unwrap());
    assert_eq!(read.tensors(), run.tensors());
    fs::write(folder.join("README.md"), "mine").unwrap();
    assert_refused(&exported.try_export(&LICENSE, "r18"), &["r18", "--out"]);
    assert_eq!(fs::read(folder.join("README.md")).unwrap(), b"mine");
}

#[test]
fn timm_loads_it_and_has_the_same_features() {
    let Some(python) = testkit::python("torch, timm, safetensors.torch") else {
        return;
    };
    let exported = Exported::new();
    assert_success(&exported.try_export(&LICENSE, "r18"));
    let [folder, input, output] =
        ["r18", "x.safetensors", "maps.safetensors"].map(|name| exported.bench.path(name));
    // Odd sides: rounding up is part of what has to agree.
    let x = (Tensor::arange(2 * 3 * 97 * 130, (Kind::Float, Device::Cpu)) * 0.37)
        .sin()
        .view([2, 3, 97, 130]);
    let tensor = HostTensor::copy_of("x", &x).unwrap();
    safetensors::write(&input, &BTreeMap::new(), &[tensor]).unwrap();
    let script = r#"
import sys, timm, torch
from safetensors.torch import load_file, save_file
folder, given, out = sys.argv[1:]
x = load_file(given)["x"]
weights = folder + "/model.safetensors"
whole = timm.create_model("local-dir:" + folder, pretrained=True).eval()
named = timm.create_model("resnet18", pretrained=True, num_classes=0, pretrained_cfg_overlay=dict(file=weights)).eval()
maps = timm.create_model("local-dir:" + folder, pretrained=True, features_only=True).eval()
with_head = timm.create_model("local-dir:" + folder, pretrained=True, num_classes=19).eval()
whole.load_state_dict(load_file(weights), strict=True)
assert whole.num_classes == 0 and whole.num_features == 512 and with_head.fc.out_features == 19
assert torch.equal(with_head.conv1.weight, whole.conv1.weight)
data = timm.data.resolve_model_data_config(whole)
assert data["mean"] == [0.485, 0.456, 0.406] and data["std"] == [0.229, 0.224, 0.225], data
assert data["input_size"] == [3, 64, 64] and data["interpolation"] == "bicubic", data
timm.data.create_transform(**data)
with torch.no_grad():
    levels, c5, pooled = maps(x), whole.forward_features(x), whole(x)
    assert torch.equal(named(x), pooled) and torch.equal(levels[-1], c5) and pooled.shape == (2, 512)
save_file({"c4": levels[-2].contiguous(), "c5": c5.contiguous(), "pooled": pooled}, out)
"#;
    let mut command = Command::new(python);
    command
        .args(["-c", script])
        .args([&folder, &input, &output]);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));

    let weights = Weights::open(&exported.run, Network::Online).unwrap();
    let model = ModelConfig {
        arch: weights.model.arch,
        ..ModelConfig::default()
    };
    let backbone = weights.build(&model, Device::Cpu).unwrap();
    let (c4, c5) = no_grad(|| backbone.net.maps(&x, false));
    let pooled = c5.mean_dim([2, 3].as_slice(), false, None::<Kind>);
    let (_, theirs) = safetensors::read(&output).unwrap();
    for (theirs, (name, ours)) in theirs
        .iter()
        .zip([("c4", c4), ("c5", c5), ("pooled", pooled)])
    {
        let off = (theirs.to_tensor().unwrap() - &ours).abs().max() / ours.abs().max();
        assert!(
            theirs.name == name && off.double_value(&[]) < 1e-5,
            "{name} is off by {off:?}"
        );
    }
}
