//! LARS and SGD step by step, learning rates, EMA: to 1e-12.

use std::collections::BTreeMap;

use model::optim::schedule::{self, Epochs, LrConfig, LrShape};
use model::optim::{Lars, LarsConfig, Optimizer, Sgd, SgdConfig};
use model::{Init, Registry, Role, Scope};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::golden::{assert_close, fixture, json};

type Values = BTreeMap<String, Vec<f64>>;

#[derive(Deserialize)]
struct Golden {
    axes: BTreeMap<String, usize>,
    tensors: Values,
    grads: Vec<Values>,
    rates: Vec<f64>,
    lars: Vec<Trajectory<LarsConfig>>,
    sgd: Trajectory<SgdConfig>,
    lr: Rates,
    tau: Taus,
}

#[derive(Deserialize)]
struct Trajectory<C> {
    config: C,
    after: Values,
}

#[derive(Deserialize)]
struct Rates {
    peak: f64,
    warmup_steps: u64,
    total_steps: u64,
    steps_per_epoch: u64,
    drops: [f64; 2],
    steps: Vec<u64>,
    byol: Vec<f64>,
    openselfsup: Vec<f64>,
    pixpro: Vec<f64>,
    step: Vec<f64>,
    stairs: Vec<Stairs>,
}

/// Rates of OpenSelfSup's runner, counted batch by batch.
#[derive(Deserialize)]
struct Stairs {
    batches: u64,
    accumulate: u64,
    epochs: u64,
    warmup_steps: u64,
    total_steps: u64,
    rates: Vec<(u64, f64)>,
}

#[derive(Deserialize)]
struct Taus {
    base: f64,
    total: u64,
    steps: Vec<u64>,
    plain: Vec<f64>,
    by_four: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_value(json(&fixture("optim.json"))).unwrap()
}

/// The golden tensors as parameters; two-axis ones as matrices of two rows.
fn registry(golden: &Golden) -> Registry {
    let mut registry = Registry::default();
    let mut root = Scope::root(&mut registry, 0, Kind::Double, Device::Cpu);
    for (name, values) in &golden.tensors {
        let n = values.len() as i64;
        let (shape, role) = match golden.axes[name] {
            1 => (vec![n], Role::Bias),
            _ => (vec![2, n / 2], Role::Weight),
        };
        let tensor = root.parameter(name, &shape, Init::Constant(0.0), role);
        tch::no_grad(|| {
            tensor
                .shallow_clone()
                .copy_(&Tensor::from_slice(values).view(&shape[..]))
        });
    }
    registry
}

/// Gives every parameter this gradient, through a backward pass.
fn set_grads(registry: &Registry, grads: &Values) {
    registry.drop_grads();
    let products: Vec<Tensor> = registry
        .trainable()
        .map(|e| {
            (&e.tensor * Tensor::from_slice(&grads[&e.name]).view_as(&e.tensor)).sum(Kind::Double)
        })
        .collect();
    Tensor::stack(&products, 0).sum(Kind::Double).backward();
}

#[track_caller]
fn assert_values(what: &str, registry: &Registry, expected: &Values) {
    for (name, values) in expected {
        let found = registry.get(name).unwrap().detach().reshape([-1]);
        assert_close(
            &format!("{what}: {name}"),
            &found,
            &Tensor::from_slice(values),
            1e-12,
        );
    }
}

#[test]
fn lars_follows_each_arithmetic_and_exclusion_rule() {
    let golden = golden();
    assert_eq!(golden.lars.len(), 12);
    for case in &golden.lars {
        let registry = registry(&golden);
        let mut optim = Optimizer::Lars(Lars::new(&registry, case.config));
        for (rate, grads) in golden.rates.iter().zip(&golden.grads) {
            set_grads(&registry, grads);
            optim.step(*rate);
        }
        assert_values(&format!("{:?}", case.config), &registry, &case.after);
    }
}

#[test]
fn trust_ratios_are_those_of_the_scaled_tensors() {
    let golden = golden();
    let norm = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
    let config = LarsConfig::default();
    let registry = registry(&golden);
    let mut optim = Optimizer::Lars(Lars::new(&registry, config));
    assert!(optim.trust_ratios().is_none(), "there was no step");
    set_grads(&registry, &golden.grads[0]);
    optim.step(golden.rates[0]);
    let trust = Vec::<f64>::try_from(optim.trust_ratios().unwrap()).unwrap();
    // You et al. (2017) as OpenSelfSup has it, of each matrix; 1 where a norm is zero.
    let ratio = |name: &String| {
        let [p, g] = [&golden.tensors, &golden.grads[0]].map(|of| norm(&of[name]));
        let ratio = config.eta * p / (g + config.weight_decay * p);
        if p * g == 0.0 { 1.0 } else { ratio }
    };
    let matrices = registry.trainable().filter(|e| golden.axes[&e.name] != 1);
    let expected: Vec<f64> = matrices.map(|e| ratio(&e.name)).collect();
    let agrees = |(found, expected): (&f64, &f64)| (found / expected - 1.0).abs() < 1e-6;
    assert_eq!(trust.len(), expected.len());
    assert!(
        trust.iter().zip(&expected).all(agrees),
        "{trust:?}, {expected:?}"
    );
    let sgd = Optimizer::Sgd(Sgd::new(&registry, golden.sgd.config));
    assert!(sgd.trust_ratios().is_none());
}

#[test]
fn sgd_follows_pytorchs() {
    let golden = golden();
    let registry = registry(&golden);
    let mut optim = Optimizer::Sgd(Sgd::new(&registry, golden.sgd.config));
    for (rate, grads) in golden.rates.iter().zip(&golden.grads) {
        set_grads(&registry, grads);
        optim.step(*rate);
    }
    assert_values("sgd", &registry, &golden.sgd.after);
}

#[test]
fn a_restored_optimizer_goes_on_to_the_bit() {
    let golden = golden();
    let makers: [fn(&Registry) -> Optimizer; 2] = [
        |r| Optimizer::Lars(Lars::new(r, LarsConfig::default())),
        |r| Optimizer::Sgd(Sgd::new(r, SgdConfig::default())),
    ];
    for make in makers {
        let run = |restart_after: Option<usize>| {
            let mut net = registry(&golden);
            let mut optim = make(&net);
            for (step, (rate, grads)) in golden.rates.iter().zip(&golden.grads).enumerate() {
                set_grads(&net, grads);
                optim.step(*rate);
                if Some(step) == restart_after {
                    let weights: BTreeMap<_, _> = net.state("").into_iter().collect();
                    let state: BTreeMap<_, _> = optim
                        .state()
                        .into_iter()
                        .map(|(n, t)| (n, t.copy()))
                        .collect();
                    net = registry(&golden);
                    net.load_state(&weights, "").unwrap();
                    optim = make(&net);
                    optim.load_state(&state).unwrap();
                }
            }
            net.state("")
        };
        assert_eq!(run(None), run(Some(1)));
    }
}

#[test]
fn foreign_optimizer_states_are_refused_by_name() {
    let golden = golden();
    let net = registry(&golden);
    let mut lars = Lars::new(&net, LarsConfig::default());
    let mut state: BTreeMap<_, _> = lars.state().into_iter().collect();
    let taken = state.remove("momentum.conv1.weight").unwrap();
    let missing = lars.load_state(&state).unwrap_err().to_string();
    assert!(missing.contains("lacks momentum.conv1.weight"), "{missing}");
    state.insert("momentum.conv1.weight".into(), taken);
    state.insert("momentum.fc.weight".into(), Tensor::from(0.0));
    let extra = lars.load_state(&state).unwrap_err().to_string();
    assert!(extra.contains("momentum.fc.weight"), "{extra}");
}

#[test]
fn learning_rates_follow_their_sources() {
    let rates = golden().lr;
    for (shape, expected) in [
        (LrShape::Byol, &rates.byol),
        (LrShape::OpenSelfSup, &rates.openselfsup),
        (LrShape::Pixpro, &rates.pixpro),
        (LrShape::Step, &rates.step),
    ] {
        let config = LrConfig {
            shape,
            peak: rates.peak,
            warmup_steps: rates.warmup_steps,
            total_steps: rates.total_steps,
            epochs: Epochs {
                batches: rates.steps_per_epoch,
                accumulate: 1,
                total: (rates.total_steps / rates.steps_per_epoch) as f64,
            },
            drops: rates.drops,
        };
        for (step, expected) in rates.steps.iter().zip(expected) {
            let found = schedule::lr(*step, &config);
            assert!(
                (found - expected).abs() <= 1e-12,
                "{shape:?} step {step}: {found} {expected}"
            );
        }
    }
    assert_eq!(schedule::scaled_lr(1.0, 1024), 4.0);
    assert!((schedule::scaled_lr(0.3, 4096) - 4.8).abs() < 1e-12);
}

#[test]
fn accumulated_stairs_are_those_of_openselfsups_runner() {
    let golden = golden().lr;
    for run in golden.stairs {
        let config = LrConfig {
            shape: LrShape::OpenSelfSup,
            peak: golden.peak,
            warmup_steps: run.warmup_steps,
            total_steps: run.total_steps,
            epochs: Epochs {
                batches: run.batches,
                accumulate: run.accumulate,
                total: run.epochs as f64,
            },
            drops: golden.drops,
        };
        for (step, expected) in run.rates {
            let found = schedule::lr(step, &config);
            assert!(
                (found - expected).abs() <= 1e-12,
                "{config:?} step {step}: {found} {expected}"
            );
        }
    }
}

#[test]
fn ema_coefficients_follow_byol_and_openselfsup() {
    let taus = golden().tau;
    for (step, expected) in taus.steps.iter().zip(&taus.plain) {
        assert!((schedule::tau(*step, taus.total, taus.base) - expected).abs() <= 1e-12);
    }
    for (step, expected) in taus.steps.iter().zip(&taus.by_four) {
        let found = schedule::tau_accumulated(*step, taus.total, 4, taus.base);
        assert!((found - expected).abs() <= 1e-12, "step {step}");
    }
}

#[test]
fn the_target_moves_by_the_ema_and_leaves_buffers_alone() {
    let build = |seed| {
        let mut registry = Registry::default();
        let mut root = Scope::root(&mut registry, seed, Kind::Double, Device::Cpu);
        let _ = root
            .sub("a")
            .parameter("weight", &[3, 5], Init::Normal(1.0), Role::Weight);
        let _ = root.sub("a").buffer("running_mean", &[5], seed as f64);
        registry
    };
    let (online, target) = (build(1), build(2));
    let value = |r: &Registry| r.get("a.weight").unwrap().copy();
    for tau in [0.996, 0.3, 1.0, 0.0] {
        let expected = value(&target) * tau + value(&online) * (1.0 - tau);
        target.follow(&online, tau);
        assert_close(&format!("tau {tau}"), &value(&target), &expected, 1e-12);
    }
    assert_eq!(
        target.get("a.running_mean").unwrap().double_value(&[0]),
        2.0
    );
}
