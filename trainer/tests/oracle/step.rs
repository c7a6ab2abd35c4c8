//! Whole optimizer steps from images on, against numbers from PyTorch (`scripts/golden/step.py`).
//!
//! What runs here is the step of a run: [`Stepper`] with its gate, and the rates of its
//! [`Schedule`]. Only the views are made here, not uploaded. Of every gradient, and of what a step
//! makes of every tensor of the state, a sketch of four numbers is compared.

use std::collections::BTreeMap;

use model::numeric::unit;
use serde::Deserialize;
use tch::{Device, Kind, Tensor, no_grad};
use trainer::config::RunConfig;
use trainer::method::{Losses, MethodName, View, Views};
use trainer::run::{Profile, Schedule, Stepper};

use super::golden::{arrays, fixture, json, max_abs, one_thread};

/// Of a sketch, relative to the size of its tensor; of a loss, absolute. The largest difference
/// seen is 1e-11: batch norms over six samples magnify rounding.
const TOLERANCE: f64 = 1e-9;
/// Sizes below count as this. A bias before a batch norm has a gradient of nothing but rounding.
const LEAST_SIZE: f64 = 1e-4;
const STEPS: u64 = 2;
const SIDE: i64 = 35;
/// Values of the largest tensor.
const MOST_VALUES: i64 = 2_359_296;

pub(super) type State = BTreeMap<String, Tensor>;

#[derive(Deserialize)]
struct Cases {
    /// How the counters in the memory start.
    counters: BTreeMap<String, i64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: RunConfig,
}

impl Cases {
    fn read() -> Self {
        serde_json::from_value(json(&fixture("step.json"))).unwrap()
    }

    fn config(&self, name: &str) -> RunConfig {
        let case = self.cases.iter().find(|case| case.name == name);
        case.unwrap().config.clone()
    }
}

/// `scattered` of the golden script: numbers in [-1/2, 1/2) without a pattern, exact in any
/// language.
fn scattered(shape: &[i64], salt: i64) -> Tensor {
    let index = Tensor::arange(shape.iter().product::<i64>(), (Kind::Int64, Device::Cpu));
    let folded =
        |x: &Tensor, bits: i64| x.bitwise_xor_tensor(&x.bitwise_right_shift_tensor_scalar(bits));
    let mixed = (index * 2_654_435_761i64 + salt * 40_503).remainder(1i64 << 32);
    let mixed = (folded(&mixed, 15) * 1_540_483_477i64).remainder(1i64 << 32);
    (folded(&mixed, 13).to_kind(Kind::Double) / (1i64 << 32) as f64 - 0.5).view(shape)
}

/// `start` of the golden script: the first value of a tensor of the state.
fn start(name: &str, tensor: &Tensor, salt: i64, counters: &BTreeMap<String, i64>) -> Tensor {
    let last = name.rsplit('.').next().unwrap();
    let size = tensor.size();
    if tensor.kind() == Kind::Int64 {
        return Tensor::from(counters.get(name).copied().unwrap_or(0));
    }
    let u = scattered(&size, salt);
    match last {
        "queue" => unit(&u, 1),
        _ if size.len() > 1 => {
            let fan_in = (tensor.numel() as i64 / size[0]) as f64;
            u * (24.0 / fan_in).sqrt()
        }
        "running_var" => u + 1.0,
        "weight" => u * 0.4 + 1.0,
        _ => u * 0.4,
    }
}

/// The views of batch `number` (from 0), with the golden boxes `[batch, view, n, 7]`.
pub(super) fn views(number: i64, boxes: &Tensor) -> Views {
    let view = |which: i64| {
        let boxes = boxes.get(number).get(which);
        let n = boxes.size()[0];
        let salt = 100_000 + 10 * (2 * number + which + 1);
        let coarse = (scattered(&[n, 3, 5, 5], salt) * 4.0)
            .repeat_interleave_self_int(SIDE / 5, 2, None)
            .repeat_interleave_self_int(SIDE / 5, 3, None);
        let boxes = boxes.to_kind(Kind::Float);
        View {
            image: coarse + scattered(&[n, 3, SIDE, SIDE], salt + 1) * 2.0,
            crop: boxes.narrow(1, 0, 4),
            frame: boxes.narrow(1, 4, 2),
            flip: boxes.select(1, 6).to_kind(Kind::Bool),
        }
    };
    Views {
        a: view(0),
        b: view(1),
    }
}

/// A run of a case's config at the golden script's weights, in float64.
struct Run {
    stepper: Stepper,
    profile: Profile,
    boxes: Tensor,
}

impl Run {
    fn new(config: &RunConfig, counters: &BTreeMap<String, i64>) -> Self {
        one_thread();
        let mut stepper = Stepper::new(config, Device::Cpu, Kind::Double).unwrap();
        let named: State = stepper.method.state().into_iter().collect();
        let started = named
            .iter()
            .zip(0..)
            .map(|((name, tensor), salt)| (name.clone(), start(name, tensor, salt, counters)));
        stepper.method.load_state(&started.collect()).unwrap();
        Run {
            stepper,
            profile: Profile::new(false, Device::Cpu),
            boxes: arrays(&fixture("step.npz")).remove("in.boxes").unwrap(),
        }
    }

    fn of(case: &str) -> Self {
        let cases = Cases::read();
        Run::new(&cases.config(case), &cases.counters)
    }

    /// Forward and backward of batch `number` of the whole run.
    fn pass(&mut self, number: u64) -> Losses {
        let views = views(number as i64, &self.boxes);
        self.stepper.pass(&views, &mut self.profile)
    }

    fn grads(&self) -> State {
        let params = self.stepper.method.params().trainable();
        params
            .map(|e| (format!("grad.{}", e.name), e.tensor.grad().copy()))
            .collect()
    }

    /// Step `step` (from 0) of several batches: the terms of their losses, `[batches, terms]`;
    /// gradients, and the state after it.
    fn step(&mut self, step: u64, schedule: &Schedule, batches: u64) -> (Tensor, State) {
        self.stepper.begin(step + 1);
        let numbers = step * batches..(step + 1) * batches;
        let terms: Vec<Tensor> = numbers.map(|number| terms(self.pass(number))).collect();
        let mut found = self.grads();
        let rates = (schedule.lr(step), schedule.tau(step));
        self.stepper.end(rates, &mut self.profile);
        assert_eq!(self.stepper.gate.first_bad(), None);
        found.extend(self.state());
        (Tensor::stack(&terms, 0), found)
    }

    /// Copies of the method's state and the optimizer's.
    fn state(&self) -> State {
        let state = self.stepper.method.state().into_iter();
        state
            .chain(self.stepper.optim.state())
            .map(|(name, tensor)| (name, tensor.copy()))
            .collect()
    }
}

/// Total, image branch, and 2D branch if there is one.
pub(super) fn terms(losses: Losses) -> Tensor {
    let terms = [losses.total, losses.loss_1d].into_iter();
    let terms: Vec<Tensor> = terms.chain(losses.loss_2d).collect();
    Tensor::stack(&terms, 0).detach()
}

/// Norm, product with a fixed vector, first and last value.
fn sketch(tensor: &Tensor, probe: &Tensor) -> [f64; 4] {
    let flat = tensor.to_kind(Kind::Double).reshape([-1]);
    let n = flat.size()[0];
    let value = |scalar: &Tensor| scalar.double_value(&[]);
    [
        value(&flat.norm()),
        value(&flat.dot(&probe.narrow(0, 0, n))),
        value(&flat.get(0)),
        value(&flat.get(n - 1)),
    ]
}

/// Holds the sketches of `found` against the rows of `expected`.
#[track_caller]
fn assert_sketches(label: &str, found: &State, expected: &Tensor, probe: &Tensor) {
    assert_eq!(
        expected.size(),
        [found.len() as i64, 4],
        "{label}: every tensor has a row"
    );
    let rows = Vec::<Vec<f64>>::try_from(expected).unwrap();
    for ((name, tensor), row) in found.iter().zip(rows) {
        let size = row[0].max(LEAST_SIZE);
        for (ours, theirs) in sketch(tensor, probe).into_iter().zip(row) {
            let gap = (ours - theirs).abs() / size;
            assert!(
                gap <= TOLERANCE,
                "{label}, {name}: {ours:e} is not {theirs:e}"
            );
        }
    }
}

/// Steps through the cases of one method.
fn follow(method: MethodName) {
    let (cases, arrays) = (Cases::read(), arrays(&fixture("step.npz")));
    let probe = scattered(&[MOST_VALUES], 77);
    let of_method = cases
        .cases
        .iter()
        .filter(|case| case.config.method.name == method);
    for Case { name, config } in of_method {
        let mut run = Run::new(config, &cases.counters);
        let schedule = Schedule::new(config, 5).unwrap();
        let before = run.state();
        let losses = arrays[&format!("{name}.losses")].chunk(STEPS as i64, 0);
        let after = &arrays[&format!("{name}.after")];
        for step in 0..STEPS {
            let label = format!("{name}, step {step}");
            let (found, mut tensors) = run.step(step, &schedule, config.data.accumulate);
            let gap = max_abs(&(found - &losses[step as usize]));
            assert!(gap <= TOLERANCE, "{label}: losses off by {gap:e}");
            for (name, tensor) in &mut tensors {
                if let Some(before) = before.get(name) {
                    *tensor = &*tensor - before;
                }
            }
            assert_sketches(&label, &tensors, &after.get(step as i64), &probe);
        }
    }
}

#[test]
fn steps_of_multisiam_are_pytorchs() {
    follow(MethodName::Multisiam);
}

#[test]
fn steps_of_multisiam_on_moco_are_pytorchs() {
    follow(MethodName::MultisiamMoco);
}

#[test]
fn steps_of_byol_are_pytorchs() {
    follow(MethodName::Byol);
}

#[test]
fn steps_of_moco_are_pytorchs() {
    follow(MethodName::Moco);
}

#[test]
fn steps_of_moco_v2_are_pytorchs() {
    follow(MethodName::Mocov2);
}

#[test]
fn a_steps_gradient_is_the_mean_of_its_batches_gradients() {
    for case in ["multisiam", "multisiam_moco"] {
        let mut whole = Run::of(case);
        let accumulate = Cases::read().config(case).data.accumulate;
        whole.stepper.begin(1);
        (0..accumulate).for_each(|number| drop(whole.pass(number)));

        let mut config = Cases::read().config(case);
        config.data.accumulate = 1;
        let mut alone = Run::new(&config, &Cases::read().counters);
        alone.stepper.begin(1);
        let each: Vec<State> = (0..accumulate)
            .map(|number| {
                alone.stepper.method.params().drop_grads();
                alone.pass(number);
                alone.grads()
            })
            .collect();
        for (name, found) in whole.grads() {
            let sum: Tensor = each.iter().map(|grads| &grads[&name]).sum();
            let mean = sum / accumulate as f64;
            let gap = max_abs(&(found - &mean));
            let size = max_abs(&mean).max(LEAST_SIZE);
            assert!(
                gap <= 1e-12 * size,
                "{case}, {name}: off by {gap:e} of {size:e}"
            );
        }
    }
}

#[test]
fn a_step_with_one_bad_batch_changes_nothing() {
    let mut run = Run::of("multisiam_moco");
    let (lr, tau) = (0.1, 0.9);
    run.stepper.begin(1);
    run.pass(0);
    run.stepper.end((lr, tau), &mut run.profile);
    let good = run.state();
    let mut broken = views(2, &run.boxes);
    broken.b.image = no_grad(|| {
        let image = broken.b.image.copy();
        let _ = image.get(2).get(1).get(30).get(30).fill_(f64::NAN);
        image
    });
    run.stepper.begin(2);
    run.pass(1);
    run.stepper.pass(&broken, &mut run.profile);
    assert!(run.state() != good, "passes move statistics and the queue");
    run.stepper.end((lr, tau), &mut run.profile);
    assert_eq!(run.stepper.gate.first_bad(), Some((2, "the 1D loss")));
    assert!(run.state() == good, "every tensor is the same to the bit");
}
