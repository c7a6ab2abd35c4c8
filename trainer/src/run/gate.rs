//! Lets no bad step through: a step at which something is not finite changes nothing, and neither
//! does any step after it.
//!
//! Whether a step is good is known to the device alone until the host asks ([`Gate::first_bad`]),
//! so nothing waits for it: the first bad step of every term is noted there, and one flag over all
//! of them decides what the state becomes, `where(good, after, before)`. A good step is the same to
//! the bit as without a gate.
//!
//! A forward pass moves running statistics and queues before the loss is known, and an update may
//! itself overflow; so the whole state is copied before a step. Counters live on the host and are
//! put back when the host asks.

use model::optim::Optimizer;
use native::Restore;
use tch::{Device, Kind, Tensor, no_grad};

use crate::method::{Losses, Method};

/// What has to be finite, in the order of a step: a bad loss makes bad gradients, and is what gets
/// named.
const TERMS: [&str; 5] = [
    "the 1D loss",
    "the 2D loss",
    "the norm of the running statistics",
    "the norm of the gradient",
    "the norm of the weights after the update",
];

/// Guards the state of one run.
pub struct Gate {
    device: Device,
    /// `[5]` int64: for each term the first step (1-based) at which it was not finite, 0 as long as
    /// there is none.
    first_bad: Tensor,
    step: u64,
    /// `[2]`: 1D and 2D loss, summed over the batches of the step. A sum is finite only if all its
    /// parts are.
    losses: Option<Tensor>,
    grad_norm: Tensor,
    weight_norm: Tensor,
    /// The online network's parameters.
    weights: Vec<Tensor>,
    /// Both networks' running statistics, and queues.
    statistics: Vec<Tensor>,
    /// Of everything that a step moves, these included, but for the counters.
    state: Restore,
    counters: Vec<Tensor>,
    /// The counters before each step since the host last asked: step and `[counters]`.
    counted: Vec<(u64, Tensor)>,
}

impl Gate {
    /// A gate before the state of `method` and `optim` on `device`.
    pub fn new(method: &Method, optim: &Optimizer, device: Device) -> Self {
        let is_counter = |tensor: &Tensor| tensor.kind() == Kind::Int64;
        let state = method
            .state()
            .into_iter()
            .chain(optim.state())
            .map(|(_, tensor)| tensor);
        let (counters, state): (Vec<Tensor>, Vec<Tensor>) = state.partition(is_counter);
        let scalar = || Tensor::zeros([], (Kind::Float, device));
        Gate {
            device,
            first_bad: Tensor::zeros([TERMS.len() as i64], (Kind::Int64, device)),
            step: 0,
            losses: None,
            grad_norm: scalar(),
            weight_norm: scalar(),
            weights: method.params().trainable_tensors(),
            statistics: method
                .buffers()
                .into_iter()
                .filter(|tensor| !is_counter(tensor))
                .collect(),
            state: Restore::new(state),
            counters,
            counted: Vec::new(),
        }
    }

    /// Begins step `step` (1-based), before its first forward pass.
    pub fn begin(&mut self, step: u64) {
        self.step = step;
        self.losses = None;
        no_grad(|| self.state.remember());
        self.counted.push((step, Tensor::stack(&self.counters, 0)));
    }

    /// Puts back all that the step under way has moved: it will not come to its end.
    pub fn abandon(&mut self) {
        let _guard = tch::no_grad_guard();
        let stays = Tensor::from(false).to_device(self.device);
        self.state.unless(&stays);
        let (_, before) = self.counted.pop().expect("a step has begun");
        self.put_back(&before);
        self.losses = None;
    }

    /// Takes the losses of one of the step's batches.
    pub(crate) fn add_losses(&mut self, losses: &Losses) {
        let second = losses.loss_2d.as_ref().unwrap_or(&losses.loss_1d);
        let now = Tensor::stack(&[&losses.loss_1d, second], 0);
        self.losses = Some(match self.losses.take() {
            None => now,
            Some(before) => before + now,
        });
    }

    /// Ends the step, after its last backward pass: what `update` makes of the state stays if the
    /// step is good.
    pub fn end(&mut self, update: impl FnOnce()) {
        let _guard = tch::no_grad_guard();
        let grads: Vec<Tensor> = self
            .weights
            .iter()
            .map(Tensor::grad)
            .filter(Tensor::defined)
            .collect();
        self.grad_norm = norm(&grads);
        update();
        self.weight_norm = norm(&self.weights);
        let losses = self
            .losses
            .take()
            .expect("a step has at least one batch")
            .to_kind(Kind::Float);
        let norms = [&norm(&self.statistics), &self.grad_norm, &self.weight_norm];
        self.note(&Tensor::cat(&[losses, Tensor::stack(&norms, 0)], 0));
        let good = self.first_bad.eq(0).all();
        // On CPU, where reading the flag waits for nothing, a good step need not touch its state
        // again.
        if self.device.is_cuda() || good.int64_value(&[]) == 0 {
            self.state.unless(&good);
        }
    }

    /// The first bad step and its term, if there is one. Waits for the device.
    pub fn first_bad(&mut self) -> Option<(u64, &'static str)> {
        let steps = Vec::<i64>::try_from(&self.first_bad).expect("one integer a term");
        let bad = steps.into_iter().zip(TERMS).filter(|(step, _)| *step > 0);
        let Some((step, term)) = bad
            .min_by_key(|(step, _)| *step)
            .map(|(step, term)| (step as u64, term))
        else {
            self.counted.clear();
            return None;
        };
        let (_, before) = self
            .counted
            .iter()
            .find(|(of, _)| *of == step)
            .expect("the host asks before it forgets");
        self.put_back(before);
        Some((step, term))
    }

    /// Gives the counters the values that they had `before`.
    fn put_back(&self, before: &Tensor) {
        for (counter, before) in self.counters.iter().zip(before.unbind(0)) {
            counter.shallow_clone().copy_(&before);
        }
    }

    /// Euclidean norms over the gradients of the last step, and over the online network's
    /// parameters after it: scalars on the device.
    pub fn norms(&self) -> [&Tensor; 2] {
        [&self.grad_norm, &self.weight_norm]
    }

    /// Notes this step for the terms whose `values` are not finite now, and were so far.
    fn note(&mut self, values: &Tensor) {
        let newly = values
            .isfinite()
            .logical_not()
            .logical_and(&self.first_bad.eq(0));
        let _ = self.first_bad.masked_fill_(&newly, self.step as i64);
    }
}

/// Euclidean norm over all of `tensors` (at least one) together, a float32 scalar; not finite if
/// one of them is not.
fn norm(tensors: &[Tensor]) -> Tensor {
    native::foreach_norm(tensors).norm().to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
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
}
