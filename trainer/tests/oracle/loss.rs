//! Losses and gradients of every method, for every switch.

use std::collections::BTreeMap;

use model::{Entry, ModelConfig, Registry, Role, Scope};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};
use trainer::method::{self, Direction, Losses, MethodConfig, Roots, Seen, Symmetric, Tally, View};

use super::golden::{arrays, assert_close, fixture, json, max_abs, one_thread};

#[derive(Deserialize)]
struct Cases {
    /// Where the queue's first new key goes.
    pointer: i64,
    sets: BTreeMap<String, Dims>,
    defaults: MethodConfig,
    cases: Vec<Case>,
}

#[derive(Deserialize, Clone, Copy)]
struct Dims {
    c: i64,
    hidden: i64,
    d: i64,
    seed: u64,
}

#[derive(Deserialize)]
struct Case {
    set: String,
    name: String,
    weights: String,
    config: MethodConfig,
}

impl Cases {
    fn read() -> Self {
        serde_json::from_value(json(&fixture("method.json"))).unwrap()
    }
}

/// The heads of both networks and what they are made of.
struct Heads {
    online: Registry,
    target: Registry,
    memory: Registry,
    heads: Box<dyn method::Heads>,
    config: MethodConfig,
}

impl Heads {
    fn new(dims: Dims, config: &MethodConfig) -> Self {
        one_thread();
        let model = ModelConfig {
            hidden: dims.hidden,
            dim: dims.d,
            ..ModelConfig::default()
        };
        let [mut online, mut target, mut memory] = [(); 3].map(|()| Registry::default());
        let mut roots = Roots {
            online: Scope::root(&mut online, 0, Kind::Double, Device::Cpu),
            target: Scope::blank(&mut target, Kind::Double, Device::Cpu),
            memory: Scope::root(&mut memory, 0, Kind::Double, Device::Cpu),
            seed: dims.seed,
            ranks: native::Ranks::alone(),
        };
        let heads = method::heads(&mut roots, dims.c, config, &model);
        target.freeze();
        Heads {
            online,
            target,
            memory,
            heads,
            config: config.clone(),
        }
    }

    /// Takes every parameter of both networks from `value(network, name)`; 2-d values fill 1x1
    /// filters.
    fn set(&self, value: impl Fn(&str, &str) -> Tensor) {
        let _guard = tch::no_grad_guard();
        for (network, registry) in [("online", &self.online), ("target", &self.target)] {
            for entry in registry.trainable() {
                let new = value(network, &entry.name);
                entry
                    .tensor
                    .shallow_clone()
                    .copy_(&new.view_as(&entry.tensor));
            }
        }
    }

    /// Takes the parameters, and the queue where there is one, from the golden arrays.
    fn set_golden(&self, case: &Case, arrays: &BTreeMap<String, Tensor>, pointer: i64) {
        for (network, registry) in [("online", &self.online), ("target", &self.target)] {
            let joined = &arrays[&format!("{}.{network}", case.weights)];
            copy_parts(&by_name(registry, |e| e.role != Role::Buffer), joined);
        }
        if let Some(queue) = self.memory.get("queue") {
            queue
                .shallow_clone()
                .copy_(&arrays[&format!("{}.in.queue", case.set)]);
            let _ = self
                .memory
                .get("queue_pointer")
                .unwrap()
                .shallow_clone()
                .fill_(pointer);
        }
    }

    /// Forward and backward of every direction, as a pass of the method does it.
    fn losses(&self, inputs: &Inputs) -> Losses {
        let one_way = self.config.symmetric == Symmetric::OneWay;
        let ways: &[(usize, usize)] = if one_way {
            &[(1, 2)]
        } else {
            &[(1, 2), (2, 1)]
        };
        let mut tally = Tally::new(self.heads.weights(), self.config.symmetric);
        for &(a, b) in ways {
            let terms = self.heads.terms(&inputs.direction(a, b), true);
            tally.add(terms).backward();
        }
        self.heads.remember(tally.keys());
        tally.losses()
    }
}

/// The entries that `take` chooses, by name: the order in which the golden script joins them.
fn by_name(registry: &Registry, take: impl Fn(&Entry) -> bool) -> Vec<(&str, &Tensor)> {
    let chosen = registry.entries().iter().filter(|e| take(e));
    let mut entries: Vec<(&str, &Tensor)> = chosen.map(|e| (e.name.as_str(), &e.tensor)).collect();
    entries.sort_by_key(|(name, _)| *name);
    entries
}

/// Cuts `joined` into as many parts as there are tensors, in their shapes.
fn parts<'a>(
    tensors: &'a [(&'a str, &'a Tensor)],
    joined: &'a Tensor,
) -> impl Iterator<Item = (&'a str, Tensor)> {
    let total: usize = tensors.iter().map(|(_, tensor)| tensor.numel()).sum();
    assert_eq!(
        joined.numel(),
        total,
        "the golden vector covers every tensor"
    );
    let mut at = 0;
    tensors.iter().map(move |(name, tensor)| {
        let part = joined.narrow(0, at, tensor.numel() as i64).view_as(tensor);
        at += tensor.numel() as i64;
        (*name, part)
    })
}

fn copy_parts(tensors: &[(&str, &Tensor)], joined: &Tensor) {
    let _guard = tch::no_grad_guard();
    for ((_, tensor), (_, part)) in tensors.iter().zip(parts(tensors, joined)) {
        tensor.shallow_clone().copy_(&part);
    }
}

/// Inputs of one batch: maps by the names f1, f2, t1, t2, and both views' places. Gradients go to
/// f1 and f2.
struct Inputs {
    maps: BTreeMap<String, Tensor>,
    views: [View; 2],
}

impl Inputs {
    fn new(get: impl Fn(&str) -> Tensor) -> Self {
        let map = |name: &str| {
            (
                name.to_owned(),
                get(name).copy().set_requires_grad(name.starts_with('f')),
            )
        };
        let frame = get("frame");
        let view = |number: usize| View {
            image: Tensor::zeros([0], (Kind::Double, Device::Cpu)),
            crop: get(&format!("crop{number}")),
            frame: frame.shallow_clone(),
            flip: get(&format!("flip{number}")),
        };
        Inputs {
            maps: ["f1", "f2", "t1", "t2"].map(map).into(),
            views: [view(1), view(2)],
        }
    }

    fn golden(set: &str, arrays: &BTreeMap<String, Tensor>) -> Self {
        Inputs::new(|name| arrays[&format!("{set}.in.{name}")].shallow_clone())
    }

    fn direction(&self, from: usize, to: usize) -> Direction<'_> {
        let seen = |network: &str, number: usize| Seen {
            map: self.maps[&format!("{network}{number}")].shallow_clone(),
            view: &self.views[number - 1],
        };
        Direction {
            from: seen("f", from),
            to: seen("t", to),
        }
    }
}

fn scalars(tensors: &[&Tensor]) -> Tensor {
    Tensor::stack(tensors, 0).detach()
}

#[test]
fn defaults_are_those_of_the_golden_script() {
    assert_eq!(Cases::read().defaults, MethodConfig::default());
}

#[test]
fn losses_and_gradients_match_pytorch_for_every_method_and_switch() {
    let cases = Cases::read();
    let arrays = arrays(&fixture("method.npz"));
    assert!(cases.cases.len() >= 140);
    for case in &cases.cases {
        let label = format!("{}.{}", case.set, case.name);
        let heads = Heads::new(cases.sets[&case.set], &case.config);
        heads.set_golden(case, &arrays, cases.pointer);
        let inputs = Inputs::golden(&case.set, &arrays);
        let losses = heads.losses(&inputs);

        let terms: Vec<&Tensor> = [&losses.total, &losses.loss_1d]
            .into_iter()
            .chain(&losses.loss_2d)
            .collect();
        assert_eq!(
            losses.loss_2d.is_some(),
            case.config.name.has_cells(),
            "{label}"
        );
        let gap = max_abs(&(scalars(&terms) - &arrays[&format!("{label}.loss")]));
        assert!(gap <= 1e-9, "{label}: loss off by {gap:e}");

        let mut learning: Vec<(&str, &Tensor)> = ["f1", "f2"]
            .into_iter()
            .map(|name| (name, &inputs.maps[name]))
            .collect();
        learning.extend(by_name(&heads.online, |e| e.role != Role::Buffer));
        for ((name, tensor), (_, expected)) in learning
            .iter()
            .zip(parts(&learning, &arrays[&format!("{label}.grad")]))
        {
            let grad = tensor.grad();
            if !grad.defined() {
                let unused =
                    *name == "f2" && label.ends_with("one_way") || max_abs(&expected) == 0.0;
                assert!(unused, "{label}: no gradient reaches {name}");
                continue;
            }
            assert_close(
                &format!("{label}, gradient of {name}"),
                &grad,
                &expected,
                1e-9,
            );
        }
        assert!(
            heads.target.trainable().all(|e| !e.tensor.grad().defined()),
            "{label}"
        );
        if let Some(queue) = heads.memory.get("queue") {
            assert_close(
                &format!("{label}, queue"),
                queue,
                &arrays[&format!("{label}.queue")],
                1e-12,
            );
        }
    }
}

#[test]
fn each_network_keeps_batch_statistics_of_its_own() {
    let cases = Cases::read();
    let arrays = arrays(&fixture("method.npz"));
    for case in cases
        .cases
        .iter()
        .filter(|c| ["final", "shared"].contains(&c.name.as_str()))
    {
        let heads = Heads::new(cases.sets[&case.set], &case.config);
        heads.set_golden(case, &arrays, cases.pointer);
        heads.losses(&Inputs::golden(&case.set, &arrays));
        for (network, registry) in [("online", &heads.online), ("target", &heads.target)] {
            let label = format!("{}.{}.after.{network}", case.set, case.name);
            let buffers = by_name(registry, |e| e.role == Role::Buffer);
            for ((name, found), (_, expected)) in
                buffers.iter().zip(parts(&buffers, &arrays[&label]))
            {
                assert_close(
                    &format!("{label}.{name}"),
                    &found.to_kind(Kind::Double),
                    &expected,
                    1e-12,
                );
            }
        }
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
    let arrays = arrays(&fixture("final_model.npz"));
    let config = MethodConfig {
        cos_scale: 1.0,
        ..MethodConfig::default()
    };
    let dims = Dims {
        c: 32,
        hidden: 24,
        d: 16,
        seed: 0,
    };
    let heads = Heads::new(dims, &config);
    heads.set(|network, name| arrays[&format!("in.{}", other_name(network, name))].shallow_clone());
    let inputs = Inputs::new(|name| match name.split_at(1) {
        ("f", "1" | "2") | ("t", _) => {
            arrays[&format!("in.{}", name.to_uppercase())].shallow_clone()
        }
        ("f", "rame") => Tensor::zeros([4, 2], (Kind::Double, Device::Cpu)), // the final model does not ask for it
        _ => arrays[&format!("in.{name}")].shallow_clone(),
    });
    let losses = heads.losses(&inputs);

    // Theirs sums the directions, our logged terms are means.
    let loss_2d = losses.loss_2d.as_ref().unwrap() * 2.0;
    let found = scalars(&[&losses.total, &(&losses.loss_1d * 2.0), &loss_2d]);
    let gap = max_abs(&(found - &arrays["loss"]));
    assert!(gap <= 1e-9, "loss off by {gap:e}");
    for name in ["f1", "f2"] {
        let expected = &arrays[&format!("grad.{}", name.to_uppercase())];
        assert_close(name, &inputs.maps[name].grad(), expected, 1e-9);
    }
    for entry in heads.online.trainable() {
        let expected = &arrays[&format!("grad.{}", other_name("online", &entry.name))];
        let found = entry.tensor.grad().reshape(expected.size());
        assert_close(&entry.name, &found, expected, 1e-9);
    }
}
