//! Good steps, bad ones, and those that do not come to their end.

use super::*;
use crate::method::{self, MethodConfig, MethodName, Symmetric, View, Views};
use model::optim::{Lars, LarsConfig, Sgd, SgdConfig};
use model::{Arch, ModelConfig};
use std::collections::BTreeMap;

const TAU: f64 = 0.9;
type State = BTreeMap<String, Tensor>;
type Spoil<'a> = &'a dyn Fn(&Run);

/// The parts of a run that a step moves, and how they were at first.
struct Run {
    method: Method,
    optim: Optimizer,
    start: [State; 2],
}

impl Run {
    fn new(name: MethodName) -> Self {
        let model = ModelConfig {
            arch: Arch::Resnet18,
            hidden: 16,
            dim: 8,
            ..ModelConfig::default()
        };
        let config = MethodConfig {
            name,
            queue: 16,
            moco_dim: 8,
            k: 2,
            km_init: model::cluster::Seeds::Random,
            symmetric: Symmetric::Sum,
            ..MethodConfig::default()
        };
        let method = method::build(&config, &model, Device::Cpu, Kind::Float, 3).unwrap();
        let optim = match name.has_queue() {
            true => Optimizer::Sgd(Sgd::new(method.params(), SgdConfig::default())),
            false => Optimizer::Lars(Lars::new(method.params(), LarsConfig::default())),
        };
        let start = [copies(method.state()), copies(optim.state())];
        Run {
            method,
            optim,
            start,
        }
    }

    /// As it was at first, behind a new gate.
    fn restart(&mut self) -> Gate {
        self.method.load_state(&self.start[0]).unwrap();
        self.optim.load_state(&self.start[1]).unwrap();
        Gate::new(&self.method, &self.optim, Device::Cpu)
    }

    /// Forward and backward of one batch.
    fn pass(&self, views: &Views) -> Losses {
        let mut pass = self.method.pass(views);
        while let Some(share) = pass.direction() {
            share.backward();
        }
        pass.losses()
    }

    fn update(&mut self, lr: f64) {
        self.optim.step(lr);
        self.method.update_target(TAU);
    }

    /// A step of several batches behind a gate; `spoil` meddles before it ends.
    fn step(
        &mut self,
        gate: &mut Gate,
        step: u64,
        batches: &[&Views],
        lr: f64,
        spoil: impl FnOnce(&Run),
    ) {
        gate.begin(step);
        batches
            .iter()
            .for_each(|views| gate.add_losses(&self.pass(views)));
        spoil(self);
        gate.end(|| self.update(lr));
        self.method.params().drop_grads();
    }

    fn state(&self) -> State {
        copies(self.method.state().into_iter().chain(self.optim.state()))
    }
}

fn copies(state: impl IntoIterator<Item = (String, Tensor)>) -> State {
    state
        .into_iter()
        .map(|(name, tensor)| (name, tensor.copy()))
        .collect()
}

/// Four pairs of views of 64 pixels, which `salt` decides.
fn views(salt: i64) -> Views {
    let view = |salt: i64| {
        let numel = 4 * 3 * 64 * 64;
        let image = (Tensor::arange(numel, (Kind::Float, Device::Cpu))
            * (0.013 + 0.0017 * salt as f64))
            .sin();
        let rows = |values: &[f32]| Tensor::from_slice(values).repeat([4, 1]);
        View {
            image: image.view([4, 3, 64, 64]),
            crop: rows(&[10.0 * salt as f32, 20.0, 300.0, 300.0]),
            frame: rows(&[640.0, 480.0]),
            flip: Tensor::from_slice(&[false, true, false, salt % 2 == 0]),
        }
    };
    Views {
        a: view(salt),
        b: view(salt + 1),
    }
}

/// The same with one pixel of the second view that is no number.
fn broken_views(salt: i64) -> Views {
    let views = views(salt);
    let mut pixel = views.b.image.get(2).get(1).get(30).get(30);
    let _ = pixel.fill_(f64::NAN);
    views
}

#[track_caller]
fn assert_same(left: &State, right: &State) {
    assert!(left.keys().eq(right.keys()));
    for (name, tensor) in left {
        assert_eq!(tensor, &right[name], "{name}");
    }
}

/// A method with queue, counters and random draws, and one without a queue.
fn each_method(check: impl Fn(&mut Run)) {
    tch::set_num_threads(1);
    [MethodName::Multisiam, MethodName::MultisiamMoco]
        .into_iter()
        .for_each(|name| check(&mut Run::new(name)));
}

#[test]
fn good_steps_are_the_same_to_the_bit_as_without_a_gate() {
    each_method(|run| {
        let batches: Vec<[Views; 2]> = (1..=2)
            .map(|step| [views(step), views(10 + step)])
            .collect();
        run.restart();
        for both in &batches {
            both.iter().for_each(|views| drop(run.pass(views)));
            run.update(0.1);
            run.method.params().drop_grads();
        }
        let plain = run.state();
        let mut gate = run.restart();
        for (step, [a, b]) in (1..).zip(&batches) {
            run.step(&mut gate, step, &[a, b], 0.1, |_| {});
        }
        assert_eq!(gate.first_bad(), None);
        assert_same(&plain, &run.state());
    });
}

#[test]
fn from_a_bad_batch_on_nothing_changes() {
    each_method(|run| {
        let mut gate = run.restart();
        run.step(&mut gate, 1, &[&views(1)], 0.1, |_| {});
        assert_eq!(gate.first_bad(), None);
        run.step(&mut gate, 2, &[&views(2)], 0.1, |_| {});
        let good = run.state();
        // The bad batch is one of two; a good step follows before the host asks.
        run.step(&mut gate, 3, &[&views(3), &broken_views(4)], 0.1, |_| {});
        run.step(&mut gate, 4, &[&views(5)], 0.1, |_| {});
        assert_eq!(gate.first_bad(), Some((3, "the 1D loss")));
        assert_same(&good, &run.state());
        assert_eq!(gate.first_bad(), Some((3, "the 1D loss")));
    });
}

#[test]
fn an_abandoned_step_leaves_nothing() {
    each_method(|run| {
        let mut gate = run.restart();
        run.step(&mut gate, 1, &[&views(1)], 0.1, |_| {});
        let good = run.state();
        gate.begin(2);
        gate.add_losses(&run.pass(&views(2)));
        let name = "online.backbone.bn1.running_mean";
        assert_ne!(
            good[name],
            run.state()[name],
            "a forward pass moves statistics"
        );
        gate.abandon();
        assert_same(&good, &run.state());
        assert_eq!(gate.first_bad(), None);
    });
}

#[test]
fn what_overflows_beside_the_losses_is_named_and_changes_nothing() {
    let spoil_gradient = |run: &Run| {
        let weight = run
            .method
            .params()
            .get("backbone.layer1.0.conv1.weight")
            .unwrap();
        let _ = weight.grad().get(0).fill_(f64::INFINITY);
    };
    let spoil_statistic = |run: &Run| {
        let variance = run
            .method
            .params()
            .get("backbone.layer2.0.bn1.running_var")
            .unwrap();
        let _ = variance.get(3).fill_(f64::INFINITY);
    };
    let spoil_nothing = |_: &Run| {};
    let cases: [(Spoil<'_>, f64, &str); 3] = [
        (&spoil_gradient, 0.1, "the norm of the gradient"),
        (&spoil_statistic, 0.1, "the norm of the running statistics"),
        (
            &spoil_nothing,
            1e30,
            "the norm of the weights after the update",
        ),
    ];
    each_method(|run| {
        for (spoil, lr, term) in cases {
            let mut gate = run.restart();
            let good = run.state();
            run.step(&mut gate, 1, &[&views(2)], lr, spoil);
            assert_eq!(gate.first_bad(), Some((1, term)));
            assert_same(&good, &run.state());
        }
    });
}

#[test]
fn norms_are_those_of_the_last_gradient_and_of_the_weights_behind_it() {
    let euclidean = |tensors: Vec<Tensor>| {
        let squares = |t: &Tensor| t.to_kind(Kind::Double).square().sum(Kind::Double);
        let sum: f64 = tensors.iter().map(|t| squares(t).double_value(&[])).sum();
        sum.sqrt()
    };
    let mut run = Run::new(MethodName::Multisiam);
    let mut gate = run.restart();
    gate.begin(1);
    gate.add_losses(&run.pass(&views(1)));
    let weights = run.method.params().trainable_tensors();
    let grads = euclidean(weights.iter().map(Tensor::grad).collect());
    gate.end(|| run.update(0.5));
    let found = gate.norms().map(|norm| norm.double_value(&[]));
    for (found, expected) in found.into_iter().zip([grads, euclidean(weights)]) {
        assert!((found / expected - 1.0).abs() < 1e-5, "{found}, {expected}");
    }
}
