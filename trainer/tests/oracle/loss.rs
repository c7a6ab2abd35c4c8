//! Losses and gradients of MultiSiam for every switch.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use trainer::method::MethodConfig;
use trainer::method::multisiam::{Branches, Features, Predictors, Projectors};
use trainer::model::params::Scope;
use trainer::model::{ModelConfig, Registry};

use super::{arrays, assert_close, fixture, json, one_thread};

#[derive(Deserialize)]
struct Cases {
    sets: BTreeMap<String, Dims>,
    grad_order: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize, Clone, Copy)]
struct Dims {
    c: i64,
    hidden: i64,
    d: i64,
}

#[derive(Deserialize)]
struct Case {
    set: String,
    name: String,
    extra: i64,
    config: MethodConfig,
}

/// The heads of both networks and what they are made of.
struct Heads {
    online: Registry,
    target: Registry,
    branches: Branches,
}

impl Heads {
    fn new(dims: Dims, config: &MethodConfig) -> Self {
        one_thread();
        let model = ModelConfig { hidden: dims.hidden, dim: dims.d, ..ModelConfig::default() };
        let (mut online, mut target) = (Registry::default(), Registry::default());
        let mut root = Scope::root(&mut online, 0, Kind::Double, Device::Cpu);
        let projectors = Projectors::new(&mut root, dims.c, &model);
        let predict = Predictors::new(&mut root, config, &model);
        let mut root = Scope::blank(&mut target, Kind::Double, Device::Cpu);
        let target_projectors = Projectors::new(&mut root, dims.c, &model);
        target.freeze();
        Heads {
            online,
            target,
            branches: Branches {
                config: config.clone(),
                online: projectors,
                predict,
                target: target_projectors,
                train: true,
            },
        }
    }

    /// Takes every parameter of both networks from `value(network, name)`; 2-d values fill 1x1 filters.
    fn set(&self, value: impl Fn(&str, &str) -> Tensor) {
        let _guard = tch::no_grad_guard();
        for (network, registry) in [("online", &self.online), ("target", &self.target)] {
            for entry in registry.trainable() {
                let new = value(network, &entry.name);
                entry.tensor.shallow_clone().copy_(&new.view_as(&entry.tensor));
            }
        }
    }
}

/// Inputs of one batch by the names f1, f2, t1, t2, crop1, crop2, flip1, flip2; gradients go to f1 and f2.
struct Inputs(BTreeMap<String, Tensor>);

impl Inputs {
    fn new(get: impl Fn(&str) -> Tensor) -> Self {
        let names = ["f1", "f2", "t1", "t2", "crop1", "crop2", "flip1", "flip2"];
        Inputs(
            names
                .iter()
                .map(|name| {
                    (name.to_string(), get(name).copy().set_requires_grad(name.starts_with('f') && name.len() == 2))
                })
                .collect(),
        )
    }

    fn view(&self, number: usize) -> Features<'_> {
        let get = |kind: &str| &self.0[&format!("{kind}{number}")];
        Features {
            online: get("f").shallow_clone(),
            target: get("t").shallow_clone(),
            crop: get("crop"),
            flip: get("flip"),
        }
    }
}

fn scalars(tensors: &[&Tensor]) -> Tensor {
    Tensor::stack(tensors, 0).detach()
}

#[test]
fn losses_and_gradients_match_pytorch_for_every_switch() {
    let cases: Cases = serde_json::from_value(json(&fixture("method.json"))).unwrap();
    let arrays = arrays(&fixture("method.npz"));
    assert!(cases.cases.len() >= 60);
    for case in &cases.cases {
        let label = format!("{}.{}", case.set, case.name);
        let heads = Heads::new(cases.sets[&case.set], &case.config);
        heads.set(|network, name| arrays[&format!("{}.w{}.{network}.{name}", case.set, case.extra)].shallow_clone());
        let inputs = Inputs::new(|name| arrays[&format!("{}.in.{name}", case.set)].shallow_clone());

        let losses = heads.branches.losses(&inputs.view(1), &inputs.view(2));
        losses.total.backward();

        let loss_2d = losses.loss_2d.as_ref().unwrap();
        let found = scalars(&[&losses.total, &losses.loss_1d, loss_2d]);
        let gap = super::max_abs(&(found - &arrays[&format!("{label}.loss")]));
        assert!(gap <= 1e-9, "{label}: loss off by {gap:e}");

        let mut at = 0;
        let expected = &arrays[&format!("{label}.grad")];
        for name in &cases.grad_order {
            let tensor = inputs.0.get(name).unwrap_or_else(|| heads.online.get(name).unwrap());
            let grad = tensor.grad();
            assert!(grad.defined(), "{label}: no gradient reaches {name}");
            let part = expected.narrow(0, at, grad.numel() as i64);
            assert_close(&format!("{label}, gradient of {name}"), &grad.reshape([-1]), &part, 1e-9);
            at += grad.numel() as i64;
        }
        assert_eq!(at, expected.size()[0], "{label}: every gradient was compared");
        assert!(heads.target.trainable().all(|e| !e.tensor.grad().defined()), "{label}");
    }
}

#[test]
fn each_network_keeps_batch_statistics_of_its_own() {
    let cases: Cases = serde_json::from_value(json(&fixture("method.json"))).unwrap();
    let arrays = arrays(&fixture("method.npz"));
    for case in cases.cases.iter().filter(|c| c.name == "final") {
        let heads = Heads::new(cases.sets[&case.set], &case.config);
        heads.set(|network, name| arrays[&format!("{}.w2.{network}.{name}", case.set)].shallow_clone());
        let inputs = Inputs::new(|name| arrays[&format!("{}.in.{name}", case.set)].shallow_clone());
        heads.branches.losses(&inputs.view(1), &inputs.view(2));
        let mut compared = 0;
        for (network, registry) in [("online", &heads.online), ("target", &heads.target)] {
            for entry in registry.entries() {
                let name = format!("{}.after.{network}.{}", case.set, entry.name);
                if let Some(expected) = arrays.get(&name) {
                    let found = entry.tensor.reshape([-1]).to_kind(Kind::Double);
                    assert_close(&name, &found, expected, 1e-12);
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 3 * 6, "three buffers of each of six batch norms");
    }
}

/// Our name of a head and of a weight in the other fixture.
const HEADS: [(&str, &str, &str); 6] = [
    ("online", "projector.", "po.proj1"),
    ("online", "projector_2d.", "po.proj2"),
    ("online", "predictor.", "po.pred1"),
    ("online", "predictor_2d.", "po.pred2"),
    ("target", "projector.", "pt.proj1"),
    ("target", "projector_2d.", "pt.proj2"),
];
const WEIGHTS: [(&str, &str); 6] = [
    ("0.weight", "w1"),
    ("0.bias", "b1"),
    ("1.weight", "bn_w"),
    ("1.bias", "bn_b"),
    ("3.weight", "w2"),
    ("3.bias", "b2"),
];

fn other_name(network: &str, name: &str) -> String {
    for (net, head, theirs) in HEADS {
        if let Some(weight) = name.strip_prefix(head).filter(|_| net == network) {
            let (_, short) = WEIGHTS.iter().find(|(ours, _)| *ours == weight).unwrap();
            return format!("{theirs}.{short}");
        }
    }
    panic!("{network}.{name} has no counterpart");
}

#[test]
fn final_model_matches_the_independent_oracle() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/oracle/fixture.npz"));
    if !path.exists() {
        println!("skipped: no fixture.npz in ../shared/oracle");
        return;
    }
    let arrays = arrays(path);
    let config = MethodConfig { cos_scale: 1.0, ..MethodConfig::default() };
    let dims = Dims { c: 32, hidden: 24, d: 16 };
    let heads = Heads::new(dims, &config);
    heads.set(|network, name| arrays[&format!("in.{}", other_name(network, name))].shallow_clone());
    let inputs = Inputs::new(|name| match name.split_at(1) {
        ("f", "1" | "2") | ("t", _) => arrays[&format!("in.{}", name.to_uppercase())].shallow_clone(),
        _ => arrays[&format!("in.{name}")].shallow_clone(),
    });
    let losses = heads.branches.losses(&inputs.view(1), &inputs.view(2));
    losses.total.backward();

    // Theirs sums the directions, our logged terms are means.
    let loss_2d = losses.loss_2d.as_ref().unwrap() * 2.0;
    let found = scalars(&[&losses.total, &(&losses.loss_1d * 2.0), &loss_2d]);
    let gap = super::max_abs(&(found - &arrays["loss"]));
    assert!(gap <= 1e-9, "loss off by {gap:e}");
    for name in ["f1", "f2"] {
        let expected = &arrays[&format!("grad.{}", name.to_uppercase())];
        assert_close(name, &inputs.0[name].grad(), expected, 1e-9);
    }
    for entry in heads.online.trainable() {
        let expected = &arrays[&format!("grad.{}", other_name("online", &entry.name))];
        let found = entry.tensor.grad().reshape(expected.size());
        assert_close(&entry.name, &found, expected, 1e-9);
    }
}
