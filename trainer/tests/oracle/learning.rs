//! Whole methods on toy views: they learn, restore, follow, and refuse what does not fit.

use std::collections::BTreeMap;

use model::cluster::Seeds;
use model::optim::{Lars, LarsConfig, Optimizer, Sgd, SgdConfig};
use model::{ModelConfig, Network, Role};
use tch::{Device, Kind, Tensor};
use trainer::method::{self, Method, MethodConfig, MethodName, Symmetric, Views};

use super::golden::{assert_close, max_abs, one_thread};
use super::toy::{
    BATCH, METHODS, build, every_method, forward, forward_backward, model, named, value, views,
};

/// The update rule that goes with a method, over its online network.
fn optimizer(method: &Method, config: &MethodConfig) -> Optimizer {
    match config.name.has_queue() {
        true => Optimizer::Sgd(Sgd::new(method.params(), SgdConfig::default())),
        false => Optimizer::Lars(Lars::new(method.params(), LarsConfig::default())),
    }
}

fn step(method: &mut Method, optim: &mut Optimizer, views: &Views) -> f64 {
    let losses = forward_backward(method, views);
    optim.step(match optim {
        Optimizer::Lars(_) => 0.3,
        Optimizer::Sgd(_) => 0.003,
    });
    method.params().drop_grads();
    method.update_target(0.99);
    value(&losses.total)
}

#[test]
fn the_loss_falls_over_fifteen_steps_without_collapse() {
    for config in METHODS.map(named) {
        let mut method = build(&config, Kind::Float);
        let mut optim = optimizer(&method, &config);
        let views = views(Kind::Float);
        let losses: Vec<f64> = (0..15)
            .map(|_| step(&mut method, &mut optim, &views))
            .collect();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        // The random keys of a new queue are easy to tell apart: the loss rises while real ones
        // replace them.
        let filled = if config.name.has_queue() { 5 } else { 0 };
        let (start, end) = (mean(&losses[filled..filled + 3]), mean(&losses[12..]));
        println!("{:?}: {start:.3} -> {end:.3}", config.name);
        assert!(
            end < start - 0.15,
            "{:?}: {start} -> {end} in {losses:?}",
            config.name
        );
        let after = forward(&method, &views);
        assert!(
            value(&after.z_std) > 0.2,
            "collapsed: {}",
            value(&after.z_std)
        );
        assert_eq!(after.z2d_std.is_some(), config.name.has_cells());
    }
}

#[test]
fn the_total_is_the_weighted_sum_of_its_terms() {
    let method = build(
        &MethodConfig {
            lambda: 0.3,
            ..MethodConfig::default()
        },
        Kind::Double,
    );
    let losses = forward(&method, &views(Kind::Double));
    let (one, two) = (
        value(&losses.loss_1d),
        value(losses.loss_2d.as_ref().unwrap()),
    );
    // cos_scale 2, two directions
    assert!((value(&losses.total) - 4.0 * (0.3 * one + 0.7 * two)).abs() < 1e-12);
    assert!(!losses.loss_1d.requires_grad() && !losses.total.requires_grad());
}

#[test]
fn losses_and_spreads_are_means_over_the_directions() {
    let said = |symmetric, swapped: bool| {
        let Views { a, b } = views(Kind::Double);
        let views = match swapped {
            true => Views { a: b, b: a },
            false => Views { a, b },
        };
        let config = MethodConfig {
            symmetric,
            ..named(MethodName::Multisiam)
        };
        let losses = forward(&build(&config, Kind::Double), &views);
        let (loss_2d, z2d_std) = (losses.loss_2d.unwrap(), losses.z2d_std.unwrap());
        [losses.loss_1d, loss_2d, losses.z_std, z2d_std].map(|t| value(&t))
    };
    let both = said(Symmetric::Sum, false);
    let [there, back] = [false, true].map(|swapped| said(Symmetric::OneWay, swapped));
    for (both, (there, back)) in both.iter().zip(there.iter().zip(back)) {
        assert!((both - (there + back) / 2.0).abs() < 1e-12, "{both}");
        assert!((there - back).abs() > 1e-9, "the directions differ");
    }
}

#[test]
fn the_least_loss_is_that_of_equal_vectors_everywhere() {
    let least = |name, symmetric| {
        let config = MethodConfig {
            symmetric,
            lambda: 0.3,
            ..named(name)
        };
        build(&config, Kind::Float).least_loss()
    };
    for name in [MethodName::Multisiam, MethodName::Byol] {
        // cos_scale 2 times −1, summed over the directions or their mean, whatever the branches weigh
        assert_eq!(least(name, Symmetric::Sum), Some(-4.0), "{name:?}");
        assert_eq!(least(name, Symmetric::Mean), Some(-2.0), "{name:?}");
        assert_eq!(least(name, Symmetric::OneWay), Some(-2.0), "{name:?}");
    }
    for name in [
        MethodName::MultisiamMoco,
        MethodName::Moco,
        MethodName::Mocov2,
    ] {
        assert_eq!(least(name, Symmetric::Sum), None, "{name:?}");
    }
}

#[test]
fn directions_add_up_to_the_gradient_of_the_total() {
    for config in METHODS.map(|name| MethodConfig {
        symmetric: Symmetric::Mean,
        ..named(name)
    }) {
        let gradients = |a_direction_at_a_time: bool| -> (f64, Vec<Tensor>) {
            let method = build(&config, Kind::Double);
            let views = views(Kind::Double);
            let mut pass = method.pass(&views);
            if a_direction_at_a_time {
                while let Some(share) = pass.direction() {
                    share.backward();
                }
            } else {
                let (one, two) = (pass.direction().unwrap(), pass.direction().unwrap());
                (one + two).backward();
            }
            let total = value(&pass.losses().total);
            let trained = method.params().trainable();
            (total, trained.map(|e| e.tensor.grad()).collect())
        };
        let ((total, found), (of_both, expected)) = (gradients(true), gradients(false));
        assert!((total - of_both).abs() < 1e-12, "{config:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(&format!("{config:?}"), found, expected, 1e-12);
        }
    }
}

#[test]
fn a_backward_pass_cannot_come_behind_the_queues_move() {
    let method = build(&named(MethodName::Mocov2), Kind::Double);
    let views = views(Kind::Double);
    let mut pass = method.pass(&views);
    let share = pass.direction().unwrap();
    pass.losses();
    let late = share.f_backward().unwrap_err().to_string();
    assert!(late.contains("inplace operation"), "{late}");
}

#[test]
fn the_target_starts_as_a_copy_and_gets_no_gradient() {
    for config in METHODS.map(named) {
        let mut method = build(&config, Kind::Double);
        let state: BTreeMap<_, _> = method.state().into_iter().collect();
        let target: Vec<_> = state
            .keys()
            .filter_map(|n| n.strip_prefix("target."))
            .collect();
        assert!(!target.is_empty() && target.iter().all(|n| !n.contains("predictor")));
        for name in &target {
            assert_eq!(
                state[&format!("target.{name}")],
                state[&format!("online.{name}")],
                "{name}"
            );
        }
        let before: BTreeMap<_, _> = state.iter().map(|(n, t)| (n.clone(), t.copy())).collect();
        forward_backward(&method, &views(Kind::Double));
        method.update_target(1.0);
        for entry in method.params().entries() {
            let has_grad = entry.tensor.grad().defined();
            assert_eq!(has_grad, entry.role != Role::Buffer, "{}", entry.name);
        }
        for (name, tensor) in method.state() {
            let is_memory = ["running_", "num_batches", "memory."]
                .iter()
                .any(|part| name.contains(part));
            assert_eq!(tensor != before[&name], is_memory, "{name}");
        }
        let tracked = &state["target.backbone.bn1.num_batches_tracked"];
        let views = if config.symmetric == Symmetric::OneWay {
            1
        } else {
            2
        };
        assert_eq!(
            tracked.int64_value(&[]),
            views,
            "each view is a batch of its own"
        );
    }
}

#[test]
fn a_restored_method_goes_on_to_the_bit() {
    let views = views(Kind::Float);
    for config in every_method() {
        let run = |restart: bool| {
            let mut method = build(&config, Kind::Float);
            let mut optim = optimizer(&method, &config);
            let mut losses = Vec::new();
            for i in 0..3 {
                losses.push(step(&mut method, &mut optim, &views));
                if restart && i == 1 {
                    let weights: BTreeMap<_, _> = method.state().into_iter().collect();
                    let momentum: BTreeMap<_, _> = optim.state().into_iter().collect();
                    method = method::build(&config, &model(), Device::Cpu, Kind::Float, 3).unwrap();
                    method.load_state(&weights).unwrap();
                    optim = optimizer(&method, &config);
                    optim.load_state(&momentum).unwrap();
                }
            }
            (losses, method.state())
        };
        let ((losses, state), (again, restored)) = (run(false), run(true));
        assert_eq!(losses, again, "{config:?}");
        assert!(state == restored, "every tensor is the same: {config:?}");
    }
}

#[test]
fn what_a_method_remembers_is_in_its_state_and_rests_in_evaluation() {
    let memory = |method: &Method| -> Vec<(String, Tensor)> {
        let state = method
            .state()
            .into_iter()
            .filter(|(name, _)| name.starts_with("memory."));
        state.map(|(name, tensor)| (name, tensor.copy())).collect()
    };
    for config in every_method() {
        let mut method = build(&config, Kind::Float);
        let start = memory(&method);
        assert_eq!(
            start.is_empty(),
            !config.name.has_queue() && config.km_init != Seeds::Random,
            "{config:?}"
        );
        forward(&method, &views(Kind::Float));
        let after = memory(&method);
        assert!(start.is_empty() || start != after, "{config:?}");
        let ways = if config.symmetric == Symmetric::OneWay {
            1
        } else {
            2
        };
        for (name, tensor) in &after {
            let expected = match name.as_str() {
                "memory.queue_pointer" => ways * BATCH % config.queue,
                "memory.kmeans_draws" => ways,
                _ => continue,
            };
            assert_eq!(tensor.int64_value(&[]), expected, "{name}");
        }
        method.set_train(false);
        forward(&method, &views(Kind::Float));
        assert!(
            memory(&method)
                .iter()
                .filter(|(name, _)| name.contains("queue"))
                .all(|kept| after.contains(kept))
        );
    }
}

#[test]
fn shuffled_keys_come_back_in_their_order() {
    let loss = |bn_splits: i64, train: bool| {
        let model = ModelConfig {
            bn_splits,
            ..model()
        };
        one_thread();
        let config = named(MethodName::Mocov2);
        let mut method = method::build(&config, &model, Device::Cpu, Kind::Double, 3).unwrap();
        method.set_train(train);
        value(&forward(&method, &views(Kind::Double)).loss_1d)
    };
    // In evaluation samples do not depend on each other: a shuffle that is undone changes nothing.
    assert!((loss(4, false) - loss(1, false)).abs() < 1e-12);
    assert!(
        (loss(4, true) - loss(1, true)).abs() > 1e-4,
        "in training each part has statistics of its own"
    );
}

#[test]
fn states_that_do_not_fit_are_refused_by_name_and_change_nothing() {
    let mut method = build(&named(MethodName::Byol), Kind::Float);
    let good: BTreeMap<_, _> = method
        .state()
        .into_iter()
        .map(|(n, t)| (n, t.copy()))
        .collect();
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
    let exact = forward(&build(&MethodConfig::default(), Kind::Float), &views);
    let method = build(&MethodConfig::default(), Kind::Float);
    let mut pass = method.pass(&views);
    while let Some(share) = {
        let _autocast = native::autocast(Device::Cpu, Kind::BFloat16);
        pass.direction()
    } {
        share.backward();
    }
    let losses = pass.losses();
    assert_eq!(losses.total.kind(), Kind::Float);
    assert!((value(&losses.loss_1d) - value(&exact.loss_1d)).abs() < 0.05);
    assert!(
        method
            .params()
            .trainable()
            .all(|e| e.tensor.grad().kind() == Kind::Float)
    );
}

#[test]
fn heads_start_as_their_source_says() {
    let method = build(&MethodConfig::default(), Kind::Float);
    for entry in method
        .params()
        .trainable()
        .filter(|e| !e.name.starts_with("backbone."))
    {
        let (name, tensor) = (&entry.name, entry.tensor.to_kind(Kind::Double));
        let n = tensor.numel() as f64;
        let fan_in = n / tensor.size()[0] as f64;
        let std = if name.starts_with("predictor") {
            0.01
        } else {
            (2.0 / fan_in).sqrt()
        };
        match entry.role {
            Role::Weight => {
                let found = tensor.std(true).double_value(&[]);
                assert!(
                    (found / std - 1.0).abs() < 5.0 / (2.0 * n).sqrt(),
                    "{name}: {found} {std}"
                );
            }
            Role::Bias | Role::NormBias => assert_eq!(max_abs(&tensor), 0.0, "{name}"),
            Role::NormWeight => assert_eq!(max_abs(&(tensor - 1.0)), 0.0, "{name}"),
            Role::Buffer => unreachable!("buffers are not trained"),
        }
    }
}

#[test]
fn published_sizes_of_heads_and_networks() {
    let count = |config: &MethodConfig| {
        let method =
            method::build(config, &ModelConfig::default(), Device::Cpu, Kind::Float, 0).unwrap();
        method.params().num_parameters()
    };
    let (backbone, projector, predictor, with_offsets) =
        (23_508_032, 9_449_728, 2_109_696, 2_117_888);
    assert_eq!(
        count(&named(MethodName::Byol)),
        backbone + projector + predictor
    );
    assert_eq!(
        count(&MethodConfig::default()),
        backbone + 2 * projector + predictor + with_offsets
    );
    let shared = MethodConfig {
        share_projector: true,
        ..MethodConfig::default()
    };
    assert_eq!(
        count(&shared),
        backbone + projector + predictor + with_offsets
    );
    let published = |name| MethodConfig {
        name,
        queue: 8,
        ..MethodConfig::default()
    };
    let (linear, mlp) = (2048 * 128 + 128, 2048 * 2048 + 2048 + 2048 * 128 + 128);
    assert_eq!(count(&published(MethodName::Moco)), backbone + linear);
    assert_eq!(count(&published(MethodName::Mocov2)), backbone + mlp);
    assert_eq!(
        count(&published(MethodName::MultisiamMoco)),
        backbone + mlp + projector + with_offsets
    );
}

#[test]
fn cell_maps_are_without_gradient_and_leave_the_statistics_alone() {
    for config in METHODS.map(named) {
        let method = build(&config, Kind::Float);
        let before: Vec<_> = method
            .state()
            .into_iter()
            .map(|(n, t)| (n, t.copy()))
            .collect();
        // The projected map, or that of a ResNet-18.
        let channels = if config.name.has_cells() { 32 } else { 512 };
        for network in [Network::Online, Network::Target] {
            let map = method.cell_map(network, &views(Kind::Float).a.image);
            assert_eq!(map.size(), [BATCH, channels, 3, 3], "{:?}", config.name);
            assert!(!map.requires_grad());
        }
        assert!(method.state() == before);
    }
}
