//! Whole methods on toy views: they learn, restore, follow, and refuse what does not fit.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};
use trainer::method::{self, Align, Method, MethodConfig, MethodName, Network, View, Views};
use trainer::model::{Arch, ModelConfig, Role};
use trainer::native;
use trainer::optim::{Lars, LarsConfig};

use super::{formula, one_thread};

const BATCH: i64 = 8;
const SIDE: i64 = 36;

pub fn model() -> ModelConfig {
    ModelConfig { arch: Arch::Resnet18, layer4_stride: 1, hidden: 64, dim: 32, ..ModelConfig::default() }
}

fn build(config: &MethodConfig, kind: Kind) -> Box<dyn Method> {
    one_thread();
    method::build(config, &model(), Device::Cpu, kind, 3).unwrap()
}

fn byol() -> MethodConfig {
    MethodConfig { name: MethodName::Byol, ..MethodConfig::default() }
}

/// Two shifted, noisy views of smooth colour patterns; every other second view is mirrored.
pub fn views(kind: Kind) -> Views {
    let view = |salt: i64, shift: i64| {
        let wide = formula(&[BATCH, 3, 8, 8], 5) * 4.0;
        let wide = wide.upsample_bilinear2d([SIDE + 16, SIDE + 16], false, None, None);
        let image = wide.narrow(2, shift, SIDE).narrow(3, shift, SIDE) + formula(&[BATCH, 3, SIDE, SIDE], salt) * 0.2;
        let flip = Tensor::arange(BATCH, (Kind::Int64, Device::Cpu))
            .remainder(2)
            .eq(salt % 2)
            .logical_and(&Tensor::from(salt > 11));
        let image = image.flip([-1]).where_self(&flip.view([-1, 1, 1, 1]), &image);
        let at = 40.0 + 480.0 / SIDE as f32 * shift as f32;
        View { image: image.to_kind(kind), crop: Tensor::from_slice(&[at, at, 480.0, 480.0]).repeat([BATCH, 1]), flip }
    };
    Views { a: view(11, 0), b: view(12, 6) }
}

fn value(scalar: &Tensor) -> f64 {
    scalar.double_value(&[])
}

fn step(method: &mut dyn Method, optim: &mut Lars, views: &Views) -> f64 {
    let losses = method.losses(views);
    losses.total.backward();
    optim.step(0.3);
    method.params().drop_grads();
    method.update_target(0.99);
    value(&losses.total)
}

#[test]
fn the_loss_falls_over_twenty_steps_without_collapse() {
    for config in [MethodConfig::default(), byol()] {
        let mut method = build(&config, Kind::Float);
        let mut optim = Lars::new(method.params(), LarsConfig::default());
        let views = views(Kind::Float);
        let losses: Vec<f64> = (0..20).map(|_| step(method.as_mut(), &mut optim, &views)).collect();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (start, end) = (mean(&losses[..3]), mean(&losses[17..]));
        assert!(end < start - 0.2, "{:?}: {start} -> {end} in {losses:?}", config.name);
        let after = method.losses(&views);
        assert!(value(&after.z_std) > 0.2, "collapsed: {}", value(&after.z_std));
        assert_eq!(after.z2d_std.is_some(), config.name == MethodName::Multisiam);
    }
}

#[test]
fn the_total_is_the_weighted_sum_of_its_terms() {
    let method = build(&MethodConfig { lambda: 0.3, ..MethodConfig::default() }, Kind::Double);
    let losses = method.losses(&views(Kind::Double));
    let (one, two) = (value(&losses.loss_1d), value(losses.loss_2d.as_ref().unwrap()));
    // cos_scale 2, two directions
    assert!((value(&losses.total) - 4.0 * (0.3 * one + 0.7 * two)).abs() < 1e-12);
    assert!(!losses.loss_1d.requires_grad() && losses.total.requires_grad());
}

#[test]
fn the_target_starts_as_a_copy_and_gets_no_gradient() {
    for config in [MethodConfig::default(), byol()] {
        let mut method = build(&config, Kind::Double);
        let state: BTreeMap<_, _> = method.state().into_iter().collect();
        let target: Vec<_> = state.keys().filter_map(|n| n.strip_prefix("target.")).collect();
        assert!(!target.is_empty() && target.iter().all(|n| !n.contains("predictor")));
        for name in &target {
            assert_eq!(state[&format!("target.{name}")], state[&format!("online.{name}")], "{name}");
        }
        let before: BTreeMap<_, _> = state.iter().map(|(n, t)| (n.clone(), t.copy())).collect();
        method.losses(&views(Kind::Double)).total.backward();
        method.update_target(1.0);
        for entry in method.params().entries() {
            let has_grad = entry.tensor.grad().defined();
            assert_eq!(has_grad, entry.role != Role::Buffer, "{}", entry.name);
        }
        for (name, tensor) in method.state() {
            let is_buffer = name.contains("running_") || name.contains("num_batches");
            assert_eq!(tensor != before[&name], is_buffer, "{name}");
        }
        let tracked = &state["target.backbone.bn1.num_batches_tracked"];
        assert_eq!(tracked.int64_value(&[]), 2, "each view is a batch of its own");
    }
}

#[test]
fn a_restored_method_goes_on_to_the_bit() {
    let views = views(Kind::Float);
    let config = MethodConfig { align: Align::Roi, ..MethodConfig::default() };
    let run = |restart: bool| {
        let mut method = build(&config, Kind::Float);
        let mut optim = Lars::new(method.params(), LarsConfig::default());
        let mut losses = Vec::new();
        for i in 0..4 {
            losses.push(step(method.as_mut(), &mut optim, &views));
            if restart && i == 1 {
                let weights: BTreeMap<_, _> = method.state().into_iter().collect();
                let momentum: BTreeMap<_, _> = optim.state().into_iter().collect();
                method = method::build(&config, &model(), Device::Cpu, Kind::Float, 99).unwrap();
                method.load_state(&weights).unwrap();
                optim = Lars::new(method.params(), LarsConfig::default());
                optim.load_state(&momentum).unwrap();
            }
        }
        (losses, method.state())
    };
    let ((losses, state), (again, restored)) = (run(false), run(true));
    assert_eq!(losses, again);
    assert!(state == restored, "every tensor is the same");
}

#[test]
fn states_that_do_not_fit_are_refused_by_name_and_change_nothing() {
    let mut method = build(&byol(), Kind::Float);
    let good: BTreeMap<_, _> = method.state().into_iter().map(|(n, t)| (n, t.copy())).collect();
    let name = "target.projector.1.running_mean".to_owned();
    let mut state: BTreeMap<_, _> = good.iter().map(|(n, t)| (n.clone(), t + 1)).collect();
    let mut refused = |state: &BTreeMap<String, Tensor>, words: &str| {
        let error = method.load_state(state).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(method.state().iter().all(|(n, t)| *t == good[n]));
    };
    let taken = state.remove(&name).unwrap();
    refused(&state, &format!("lacks {name}"));
    state.insert(name.clone(), taken.to_kind(Kind::Double));
    refused(&state, &name);
    state.insert(name.clone(), taken);
    state.insert("online.fc.weight".into(), Tensor::from(0.0));
    refused(&state, "online.fc.weight");
}

#[test]
fn autocast_keeps_the_loss_near_and_its_terms_in_float32() {
    let views = views(Kind::Float);
    let exact = build(&MethodConfig::default(), Kind::Float).losses(&views);
    let method = build(&MethodConfig::default(), Kind::Float);
    let losses = {
        let _autocast = native::autocast(Device::Cpu, Kind::BFloat16);
        method.losses(&views)
    };
    assert_eq!(losses.total.kind(), Kind::Float);
    assert!((value(&losses.loss_1d) - value(&exact.loss_1d)).abs() < 0.05);
    losses.total.backward();
    assert!(method.params().trainable().all(|e| e.tensor.grad().kind() == Kind::Float));
}

#[test]
fn heads_start_as_their_source_says() {
    let method = build(&MethodConfig::default(), Kind::Float);
    for entry in method.params().trainable().filter(|e| !e.name.starts_with("backbone.")) {
        let (name, tensor) = (&entry.name, entry.tensor.to_kind(Kind::Double));
        let n = tensor.numel() as f64;
        let fan_in = n / tensor.size()[0] as f64;
        let std = if name.starts_with("predictor") { 0.01 } else { (2.0 / fan_in).sqrt() };
        match entry.role {
            Role::Weight => {
                let found = tensor.std(true).double_value(&[]);
                assert!((found / std - 1.0).abs() < 5.0 / (2.0 * n).sqrt(), "{name}: {found} {std}");
            }
            Role::Bias | Role::NormBias => assert_eq!(super::max_abs(&tensor), 0.0, "{name}"),
            Role::NormWeight => assert_eq!(super::max_abs(&(tensor - 1.0)), 0.0, "{name}"),
            Role::Buffer => unreachable!("buffers are not trained"),
        }
    }
}

#[test]
fn published_sizes_of_heads_and_networks() {
    let count = |config: &MethodConfig| {
        let method = method::build(config, &ModelConfig::default(), Device::Cpu, Kind::Float, 0).unwrap();
        method.params().num_parameters()
    };
    let (backbone, projector, predictor, with_offsets) = (23_508_032, 9_449_728, 2_109_696, 2_117_888);
    assert_eq!(count(&byol()), backbone + projector + predictor);
    assert_eq!(count(&MethodConfig::default()), backbone + 2 * projector + predictor + with_offsets);
}

#[test]
fn cell_maps_are_without_gradient_and_leave_the_statistics_alone() {
    let method = build(&MethodConfig::default(), Kind::Float);
    let before: Vec<_> = method.state().into_iter().map(|(n, t)| (n, t.copy())).collect();
    for network in [Network::Online, Network::Target] {
        let map = method.cell_map(network, &views(Kind::Float).a.image);
        assert_eq!(map.size(), [BATCH, 32, 3, 3]);
        assert!(!map.requires_grad());
    }
    assert!(method.state() == before);
}
