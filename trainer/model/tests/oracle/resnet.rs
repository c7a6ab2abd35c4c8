//! ResNets: names, shapes and initial values, and values and gradients on formula-made
//! weights, all against torchvision.

use std::process::Command;

use model::{Arch, ModelConfig, Registry, ResNet, Role, Scope, channels_last};
use tch::{Device, Kind, Tensor};

use super::golden::{arrays, assert_close, fixture, formula, json, max_abs, one_thread};

fn config(arch: Arch) -> ModelConfig {
    ModelConfig {
        arch,
        ..ModelConfig::default()
    }
}

fn build(config: &ModelConfig, kind: Kind) -> (Registry, ResNet) {
    one_thread();
    let mut registry = Registry::default();
    let net = ResNet::new(Scope::root(&mut registry, 7, kind, Device::Cpu), config);
    (registry, net)
}

#[test]
fn parameters_are_as_many_as_torchvisions() {
    // Those of torchvision 0.26's models without `fc`; and the entries of their state dicts.
    for (arch, parameters, entries) in [
        (Arch::Resnet18, 11_176_512, 120),
        (Arch::Resnet34, 21_284_672, 216),
        (Arch::Resnet50, 23_508_032, 318),
        (Arch::Resnet101, 42_500_160, 624),
        (Arch::Resnet152, 58_143_808, 930),
        (Arch::WideResnet50, 66_834_240, 318),
        (Arch::WideResnet101, 124_837_696, 624),
    ] {
        let mut registry = Registry::default();
        ResNet::new(
            Scope::blank(&mut registry, Kind::Float, Device::Cpu),
            &config(arch),
        );
        let found = (registry.num_parameters(), registry.entries().len());
        assert_eq!(found, (parameters, entries), "{arch}");
    }
}

#[test]
fn names_and_shapes_are_torchvisions() {
    let published = json(&fixture("resnet.json"));
    for (arch, key) in [(Arch::Resnet18, "resnet18"), (Arch::Resnet50, "resnet50")] {
        let mut registry = Registry::default();
        ResNet::new(
            Scope::blank(&mut registry, Kind::Float, Device::Cpu),
            &config(arch),
        );
        let mut ours: Vec<(String, Vec<i64>)> = registry
            .entries()
            .iter()
            .map(|e| (e.name.clone(), e.tensor.size()))
            .collect();
        let mut theirs: Vec<(String, Vec<i64>)> =
            serde_json::from_value(published[key].clone()).unwrap();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs, "{key}");
    }
}

#[test]
fn initial_values_are_kaiming_normal_and_identity_norms() {
    let (registry, _) = build(&config(Arch::Resnet18), Kind::Float);
    for entry in registry.entries() {
        let (name, tensor) = (&entry.name, entry.tensor.to_kind(Kind::Double));
        let mean = tensor.mean(Kind::Double).double_value(&[]);
        let n = tensor.numel() as f64;
        match entry.role {
            Role::Weight => {
                let fan_in = n / tensor.size()[0] as f64;
                let std = (2.0 / fan_in).sqrt();
                let found = tensor.std(true).double_value(&[]);
                assert!(
                    (found / std - 1.0).abs() < 5.0 / (2.0 * n).sqrt(),
                    "{name}: std {found}, not {std}"
                );
                assert!(mean.abs() < 5.0 * std / n.sqrt(), "{name}: mean {mean}");
            }
            Role::NormWeight => assert_eq!((mean, max_abs(&(tensor - 1.0))), (1.0, 0.0), "{name}"),
            Role::NormBias => assert_eq!(max_abs(&tensor), 0.0, "{name}"),
            Role::Bias => panic!("{name}: a ResNet has no biases but in its norms"),
            Role::Buffer => {
                let expected = if name.ends_with("running_var") {
                    1.0
                } else {
                    0.0
                };
                assert_eq!(max_abs(&(tensor - expected)), 0.0, "{name}");
            }
        }
    }
}

#[test]
fn a_zero_residual_start_makes_blocks_identities() {
    let config = ModelConfig {
        zero_init_residual: true,
        ..config(Arch::Resnet18)
    };
    let (registry, _) = build(&config, Kind::Float);
    for entry in registry.trainable().filter(|e| e.role == Role::NormWeight) {
        let last = entry.name.contains("layer") && entry.name.ends_with("bn2.weight");
        assert_eq!(
            max_abs(&entry.tensor),
            if last { 0.0 } else { 1.0 },
            "{}",
            entry.name
        );
    }
}

/// A float64 network on the golden script's weights.
fn build_on_formula(config: &ModelConfig) -> (Registry, ResNet) {
    let (registry, net) = build(config, Kind::Double);
    {
        let _guard = tch::no_grad_guard();
        for (salt, entry) in registry.trainable().enumerate() {
            let u = formula(&entry.tensor.size(), salt as i64);
            let value = match entry.role {
                Role::Weight => {
                    let fan_in = (entry.tensor.numel() as i64 / entry.tensor.size()[0]) as f64;
                    u * (24.0 / fan_in).sqrt()
                }
                Role::NormWeight => u * 0.4 + 1.0,
                _ => u * 0.4,
            };
            entry.tensor.shallow_clone().copy_(&value);
        }
    }
    (registry, net)
}

/// Forward in training mode, backward, forward in evaluation mode, each against torchvision in
/// float64.
fn check(key: &str, config: &ModelConfig, side: i64, cells: i64) {
    let arrays = arrays(&fixture("resnet.npz"));
    let get = |name: &str| &arrays[&format!("{key}.{name}")];
    let (registry, net) = build_on_formula(config);
    let image = formula(&[2, 3, side, side], 1000) * 4.0;
    let c5 = net.forward(&image, true);
    assert_eq!(c5.size(), [2, config.arch.channels(), cells, cells]);
    assert_close(key, &c5.narrow(1, 0, 64).detach(), get("c5"), 1e-9);

    (&c5 * formula(&c5.size(), 2000))
        .sum(Kind::Double)
        .backward();
    let norms: Vec<Tensor> = registry
        .trainable()
        .map(|e| e.tensor.grad().norm())
        .collect();
    let relative = Tensor::stack(&norms, 0) / get("grad_norms") - 1.0;
    assert!(
        max_abs(&relative) < 1e-8,
        "{key}: gradient norms off by {:e}",
        max_abs(&relative)
    );
    let heads: Vec<Tensor> = registry
        .trainable()
        .map(|e| e.tensor.grad().contiguous().view([-1]).narrow(0, 0, 3))
        .collect();
    assert_close(
        &format!("{key}, gradients"),
        &Tensor::cat(&heads, 0),
        get("grad_heads"),
        1e-8,
    );
    for buffer in ["bn1.running_mean", "bn1.running_var"] {
        assert_close(buffer, registry.get(buffer).unwrap(), get(buffer), 1e-12);
    }
    assert_eq!(
        registry
            .get("bn1.num_batches_tracked")
            .unwrap()
            .int64_value(&[]),
        1
    );

    let eval = tch::no_grad(|| net.forward(&image, false));
    assert_close(
        &format!("{key}, evaluation"),
        &eval.narrow(1, 0, 64),
        get("c5_eval"),
        1e-9,
    );
    assert_eq!(
        registry
            .get("bn1.num_batches_tracked")
            .unwrap()
            .int64_value(&[]),
        1
    );
}

#[test]
fn resnet18_is_torchvisions() {
    check("resnet18", &config(Arch::Resnet18), 64, 2);
}

#[test]
fn resnet50_is_torchvisions() {
    check("resnet50", &config(Arch::Resnet50), 64, 2);
}

#[test]
fn deeper_and_wider_ones_are_torchvisions() {
    for arch in [Arch::Resnet34, Arch::Resnet101, Arch::WideResnet50] {
        check(arch.name(), &config(arch), 64, 2);
    }
}

#[test]
fn stages_at_stride_one_are_torchvisions() {
    let dense = ModelConfig {
        layer3_stride: 1,
        layer4_stride: 1,
        ..config(Arch::Resnet18)
    };
    assert_eq!(dense.cell_px(), 8);
    check("resnet18_dense", &dense, 40, 5);
}

/// Ours in float32 against torchvision's in float32, both computed here: in training mode the
/// rounding of a single sum can grow to percents of a gradient, through ReLUs that flip, so no
/// stored number would do.
#[test]
fn float32_passes_are_torchvisions_on_the_same_weights() {
    let Some(python) = testkit::python("torch, torchvision, numpy") else {
        return;
    };
    for arch in [Arch::Resnet18, Arch::Resnet50] {
        let (registry, net) = build(&config(arch), Kind::Float);
        let weights = registry
            .state("weight.")
            .into_iter()
            .map(|(name, t)| (name, t.copy()))
            .collect::<Vec<_>>();
        let image = channels_last(&(formula(&[4, 3, 64, 64], 1000) * 4.0).to_kind(Kind::Float));
        let c5 = net.forward(&image, true);
        let factor = formula(&c5.size(), 2000).to_kind(Kind::Float);
        (&c5 * &factor).sum(Kind::Float).backward();
        let eval = tch::no_grad(|| net.forward(&image, false));

        let named = |name: &str, tensor: &Tensor| (name.to_owned(), tensor.contiguous());
        let mut arrays: Vec<(String, Tensor)> =
            weights.iter().map(|(name, t)| named(name, t)).collect();
        arrays.extend(
            registry
                .trainable()
                .map(|e| named(&format!("grad.{}", e.name), &e.tensor.grad())),
        );
        for (name, tensor) in [
            ("image", &image),
            ("factor", &factor),
            ("c5", &c5.detach()),
            ("eval", &eval),
        ] {
            arrays.push(named(name, tensor));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ours.npz");
        Tensor::write_npz(&arrays, &path).unwrap();
        let output = Command::new(&python)
            .arg("-c")
            .arg(COMPARE)
            .arg(arch.name())
            .arg(&path)
            .output()
            .unwrap();
        let report = String::from_utf8_lossy(&output.stdout);
        print!("{report}");
        assert!(
            output.status.success(),
            "{report}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Fails where a tensor is off by more than 1e-5 of its norm.
const COMPARE: &str = r#"
import sys
import numpy as np, torch, torchvision
torch.set_num_threads(1)
name, path = sys.argv[1:]
ours = {key: torch.from_numpy(value) for key, value in np.load(path).items()}
net = getattr(torchvision.models, name)(weights=None)
del net.fc
net.load_state_dict({key[7:]: value for key, value in ours.items() if key.startswith("weight.")})
net = net.train().to(memory_format=torch.channels_last)
image = ours["image"].to(memory_format=torch.channels_last)
def trunk():
    x = net.maxpool(net.relu(net.bn1(net.conv1(image))))
    return net.layer4(net.layer3(net.layer2(net.layer1(x))))
c5 = trunk()
(c5 * ours["factor"]).sum().backward()
theirs = {f"grad.{key}": p.grad for key, p in net.named_parameters()}
net.eval()
with torch.no_grad():
    theirs.update(c5=c5.detach(), eval=trunk())
gaps = {key: float((ours[key].double() - value.double()).norm() / value.double().norm()) for key, value in theirs.items()}
worst = max(gaps, key=gaps.get)
print(f"{name}: {len(gaps)} tensors, the largest relative difference is {gaps[worst]:.1e} in {worst}")
sys.exit(gaps[worst] > 1e-5)
"#;
