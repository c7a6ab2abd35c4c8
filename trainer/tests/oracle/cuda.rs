//! Twins of the CPU tests on a GPU.

use std::collections::BTreeMap;

use model::Arch;
use model::device::Precision;
use tch::{Device, Kind, Tensor};
use trainer::config::RunConfig;
use trainer::method::{self, Method, MethodConfig, View, Views};
use trainer::run::{HostBatch, Profile, Stepper};

use super::golden::{assert_close, max_abs};
use super::toy::{forward_backward, model, value, views};

fn to(device: Device, views: Views) -> Views {
    let view = |v: View| View {
        image: v.image.to_device(device),
        crop: v.crop.to_device(device),
        frame: v.frame.to_device(device),
        flip: v.flip.to_device(device),
    };
    Views {
        a: view(views.a),
        b: view(views.b),
    }
}

/// A method on `device`, its total loss on the toy views, and its gradients.
fn run(device: Device, kind: Kind, autocast: bool) -> (Method, Tensor, Vec<(String, Tensor)>) {
    let method = method::build(&MethodConfig::default(), &model(), device, kind, 3).unwrap();
    let views = to(device, views(kind));
    let mut pass = method.pass(&views);
    while let Some(share) = {
        let _autocast = autocast.then(|| native::autocast(device, Kind::BFloat16));
        pass.direction()
    } {
        share.backward();
    }
    let losses = pass.losses();
    let total = losses
        .total
        .detach()
        .to_device(Device::Cpu)
        .to_kind(Kind::Double);
    let grads = method
        .params()
        .trainable()
        .map(|e| {
            (
                e.name.clone(),
                e.tensor.grad().to_device(Device::Cpu).to_kind(Kind::Double),
            )
        })
        .collect();
    (method, total, grads)
}

#[test]
#[ignore = "needs CUDA"]
fn a_gpu_agrees_with_the_cpu_in_float64() {
    let gpu = native::cuda_device(0).unwrap();
    let (_, expected, expected_grads) = run(Device::Cpu, Kind::Double, false);
    let (_method, found, grads) = run(gpu, Kind::Double, false);
    assert_close("loss", &found, &expected, 1e-9);
    for ((name, found), (_, expected)) in grads.iter().zip(&expected_grads) {
        assert_close(name, found, expected, 1e-6);
    }
}

#[test]
#[ignore = "needs CUDA"]
fn bf16_on_a_gpu_stays_near_float32() {
    let gpu = native::cuda_device(0).unwrap();
    native::load_kernels(gpu).unwrap();
    let (_, exact, _) = run(gpu, Kind::Float, false);
    let (mut method, found, grads) = run(gpu, Kind::Float, true);
    assert!(max_abs(&(found - exact)) < 0.1);
    assert!(
        grads
            .iter()
            .all(|(_, g)| g.isfinite().all().int64_value(&[]) == 1)
    );
    method.update_target(0.99);
    assert!(
        method
            .state()
            .iter()
            .all(|(_, t)| t.isfinite().all().int64_value(&[]) == 1)
    );
}

/// Four pairs of 64 pixels in ordinary memory, which `salt` decides.
struct Pairs {
    bytes: [Vec<u8>; 2],
    boxes: Vec<f32>,
}

impl Pairs {
    const SIDE: usize = 64;
    const NUM: usize = 4;

    fn new(salt: usize) -> Self {
        let view = |which: usize| {
            let byte = |ix: usize| (ix * ix + 31 * ix * (salt + which)) % 251;
            (0..Self::NUM * Self::SIDE * Self::SIDE * 3)
                .map(|ix| byte(ix) as u8)
                .collect()
        };
        let crop = |ix: usize| {
            let shift = (10 * (ix + salt)) as f32;
            let flip = f32::from(u8::from(ix.is_multiple_of(3)));
            [shift, 20.0, 300.0, 300.0, 640.0, 480.0, flip]
        };
        Pairs {
            bytes: [view(0), view(1)],
            boxes: (0..Self::NUM * 2).flat_map(crop).collect(),
        }
    }
}

impl HostBatch for Pairs {
    fn view(&self, which: usize) -> &[u8] {
        &self.bytes[which]
    }

    fn side(&self) -> i64 {
        Self::SIDE as i64
    }

    fn boxes(&self) -> Vec<f32> {
        self.boxes.clone()
    }
}

type State = BTreeMap<String, Tensor>;

/// The parts of a small run, and its state.
struct Run {
    stepper: Stepper,
    profile: Profile,
}

impl Run {
    const RATES: (f64, f64) = (0.1, 0.9);

    fn new(device: Device) -> Self {
        Self::of(device, Precision::Fp32)
    }

    fn of(device: Device, precision: Precision) -> Self {
        let mut config = RunConfig::default();
        config.model.arch = Arch::Resnet18;
        (config.model.hidden, config.model.dim) = (16, 8);
        (config.method.k, config.method.km_init) = (2, model::cluster::Seeds::Random);
        config.data.batch = Pairs::NUM as u64;
        config.augment.view_px = Pairs::SIDE as u32;
        config.optim.precision = precision;
        Run {
            stepper: Stepper::new(&config, device, Kind::Float).unwrap(),
            profile: Profile::new(false, device),
        }
    }

    fn views(&mut self, salt: usize) -> Views {
        let batch = Box::new(Pairs::new(salt));
        self.stepper.upload(batch, &mut self.profile).unwrap()
    }

    /// Forward and backward of one batch.
    fn pass(&mut self, salt: usize) {
        let views = self.views(salt);
        self.stepper.pass(&views, &mut self.profile);
    }

    /// A step behind the gate; `spoil` meddles before it ends.
    fn step(&mut self, step: u64, spoil: impl FnOnce(&Method)) {
        self.stepper.begin(step);
        self.pass(step as usize);
        spoil(&self.stepper.method);
        self.stepper.end(Self::RATES, &mut self.profile);
    }

    /// The same without a gate.
    fn ungated_step(&mut self, step: u64) {
        self.pass(step as usize);
        let (lr, tau) = Self::RATES;
        tch::no_grad(|| {
            self.stepper.optim.step(lr);
            self.stepper.method.update_target(tau);
        });
        self.stepper.method.params().drop_grads();
    }

    /// Everything that a step moves, copied to the host.
    fn state(&self) -> State {
        let method = self.stepper.method.state().into_iter();
        method
            .chain(self.stepper.optim.state())
            .map(|(name, tensor)| (name, tensor.to_device(Device::Cpu).copy()))
            .collect()
    }
}

#[test]
fn a_step_computes_in_the_precision_that_it_is_told() {
    super::golden::one_thread();
    let of_step = |precision| {
        let mut run = Run::of(Device::Cpu, precision);
        let views = run.views(1);
        run.stepper.begin(1);
        value(&run.stepper.pass(&views, &mut run.profile).total)
    };
    let mut plain = Run::new(Device::Cpu);
    let views = plain.views(1);
    let exact = value(&forward_backward(&plain.stepper.method, &views).total);
    assert_eq!(of_step(Precision::Fp32), exact);
    let rounded = of_step(Precision::Bf16);
    assert!(
        rounded != exact && (rounded - exact).abs() < 0.1,
        "{rounded}, {exact}"
    );
}

#[track_caller]
fn assert_same(left: &State, right: &State) {
    assert!(left.keys().eq(right.keys()));
    for (name, tensor) in left {
        assert_eq!(tensor, &right[name], "{name}");
    }
}

/// A good step is the same to the bit as without a gate; a bad one, and any after it, changes
/// nothing.
fn assert_the_gate_holds(device: Device) {
    let (mut gated, mut plain) = (Run::new(device), Run::new(device));
    for step in 1..=3 {
        gated.step(step, |_| {});
        plain.ungated_step(step);
    }
    assert_eq!(gated.stepper.gate.first_bad(), None);
    let good = gated.state();
    assert_same(&good, &plain.state());

    gated.step(4, |method| {
        let variance = method.params().get("backbone.layer2.0.bn1.running_var");
        let _ = variance.unwrap().get(3).fill_(f64::INFINITY);
    });
    gated.step(5, |_| {});
    let bad = Some((4, "the norm of the running statistics"));
    assert_eq!(gated.stepper.gate.first_bad(), bad);
    assert_same(&gated.state(), &good);
}

#[test]
fn the_gate_holds() {
    super::golden::one_thread();
    assert_the_gate_holds(Device::Cpu);
}

#[test]
#[ignore = "needs CUDA"]
fn the_gate_holds_on_a_gpu() {
    let gpu = native::cuda_device(0).unwrap();
    // Two runs are compared to the bit.
    native::set_deterministic(true).unwrap();
    assert_the_gate_holds(gpu);
    native::load_kernels(gpu).unwrap();
    assert_the_gate_holds(gpu);
    native::set_deterministic(false).unwrap();
}
