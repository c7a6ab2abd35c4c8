//! Several ranks against one process on the whole batch, in float64: whole optimizer steps of every
//! method, and of the switches of the paper's tables 2 to 4.

use model::align::OffsetUnit;
use model::cluster::{Metric, Seeds};
use native::Ranks;
use tch::{Device, Kind, Tensor, no_grad};
use trainer::config::{OptimName, RunConfig};
use trainer::method::{Align, MethodName, Symmetric, Target, View, Views};
use trainer::run::{Profile, Stepper};

use super::golden::{max_abs, one_thread};
use super::step::{State, terms, views};

/// Pairs of a forward pass over all ranks.
const PAIRS: i64 = 8;
const ACCUMULATE: u64 = 2;
const STEPS: u64 = 2;
const RATES: (f64, f64) = (0.2, 0.9);
/// Relative to the size of a tensor. Norms over eight samples magnify rounding.
const TOLERANCE: f64 = 1e-9;
const LEAST_SIZE: f64 = 1e-4;

/// A small run of a method, whose step has [`PAIRS`] pairs.
fn config(name: MethodName) -> RunConfig {
    let mut config = RunConfig {
        seed: 9,
        ..RunConfig::default()
    };
    config.data.batch = PAIRS as u64;
    config.data.accumulate = ACCUMULATE;
    config.model.arch = model::Arch::Resnet18;
    config.model.layer4_stride = 1;
    (config.model.hidden, config.model.dim) = (10, 6);
    config.method.name = name;
    (config.method.queue, config.method.moco_dim) = (40, 6);
    if name.has_queue() {
        config.optim.name = OptimName::Sgd;
    }
    config
}

/// Crops that overlap, in frames of 200 x 120 pixels, and flips: `[batches, 2, pairs, 7]`.
fn boxes() -> Tensor {
    let row = |batch: i64, view: i64, pair: i64| {
        let (i, v) = ((PAIRS * batch + pair) as f64, view as f64);
        let flip = (i as i64 + view * (i as i64 / 2)) % 2;
        let crop = [
            5.0 + i + 9.0 * v,
            4.0 + 0.5 * i + 6.0 * v,
            90.0 - i,
            70.0 - 0.5 * i,
        ];
        [&crop[..], &[200.0, 120.0, flip as f64]].concat()
    };
    let batches = (STEPS * ACCUMULATE) as i64;
    let rows = (0..batches).flat_map(|batch| {
        (0..2).flat_map(move |view| (0..PAIRS).flat_map(move |pair| row(batch, view, pair)))
    });
    let rows: Vec<f64> = rows.collect();
    Tensor::from_slice(&rows).view([batches, 2, PAIRS, 7])
}

/// This rank's part of a batch.
fn part(whole: &Views, ranks: &Ranks) -> Views {
    let n = PAIRS / ranks.size() as i64;
    let cut = |x: &Tensor| x.narrow(0, n * ranks.rank() as i64, n);
    let view = |view: &View| View {
        image: cut(&view.image),
        crop: cut(&view.crop),
        frame: cut(&view.frame),
        flip: cut(&view.flip),
    };
    Views {
        a: view(&whole.a),
        b: view(&whole.b),
    }
}

fn stepper(ranks: &Ranks, config: &RunConfig) -> Stepper {
    one_thread();
    let mut config = config.clone();
    config.data.batch = (PAIRS / ranks.size() as i64) as u64;
    Stepper::among(ranks, &config, Device::Cpu, Kind::Double).unwrap()
}

/// Means over all ranks of the losses of every batch, norms of gradient and weights after every step,
/// and the state after the last: both networks, queue, momentum.
fn stepped(ranks: &Ranks, config: &RunConfig, steps: u64) -> State {
    let mut stepper = stepper(ranks, config);
    let (boxes, mut idle) = (boxes(), Profile::new(false, Device::Cpu));
    let mut found = State::new();
    for step in 0..steps {
        stepper.begin(step + 1);
        for batch in 0..ACCUMULATE {
            let number = (step * ACCUMULATE + batch) as i64;
            let losses = stepper.pass(&part(&views(number, &boxes), ranks), &mut idle);
            let spreads = [
                Some(losses.z_std.copy()),
                losses.z2d_std.as_ref().map(Tensor::copy),
            ];
            let spreads: Vec<Tensor> = spreads.into_iter().flatten().collect();
            let spreads = Tensor::stack(&spreads, 0);
            found.insert(format!("spreads of batch {number}"), spreads);
            let losses = ranks.mean(&terms(losses));
            found.insert(format!("losses of batch {number}"), losses);
        }
        stepper.end(RATES, &mut idle);
        assert_eq!(stepper.gate.first_bad(), None);
        let norms = stepper.gate.norms().map(Tensor::shallow_clone);
        found.insert(format!("norms after step {step}"), Tensor::stack(&norms, 0));
    }
    let state = stepper.method.state().into_iter();
    let state = state.chain(stepper.optim.state());
    found.extend(state.map(|(name, tensor)| (name, tensor.copy())));
    found
}

#[track_caller]
fn assert_same(label: &str, found: &State, expected: &State) {
    assert!(found.keys().eq(expected.keys()), "{label}");
    for (name, expected) in expected {
        // The gate's norms are float32.
        let allowed = if name.starts_with("norms") {
            1e-6
        } else {
            TOLERANCE
        };
        let (found, expected) = (
            found[name].to_kind(Kind::Double),
            expected.to_kind(Kind::Double),
        );
        let gap = max_abs(&(found - &expected)) / max_abs(&expected).max(LEAST_SIZE);
        assert!(gap <= allowed, "{label}, {name}: off by {gap:e}");
    }
}

/// Holds 2 and 4 ranks against one process.
fn check(label: &str, config: &RunConfig, steps: u64) {
    let expected = stepped(&Ranks::alone(), config, steps);
    for size in [2, 4] {
        check_against(label, size, config, &expected, steps);
    }
}

/// Holds so many ranks against what one process has.
fn check_against(label: &str, size: usize, config: &RunConfig, expected: &State, steps: u64) {
    let all = Ranks::in_threads(size, |ranks| stepped(ranks, config, steps));
    assert_same(&format!("{label}, {size} ranks"), &all[0], expected);
    let is_first = |found: &State| *found == all[0];
    assert!(
        all.iter().all(is_first),
        "{label}: ranks of {size} differ in bits"
    );
}

#[test]
fn every_method_over_ranks_is_that_of_one_process() {
    for name in [
        MethodName::Multisiam,
        MethodName::MultisiamMoco,
        MethodName::Byol,
        MethodName::Moco,
        MethodName::Mocov2,
    ] {
        check(name.title(), &config(name), STEPS);
    }
}

/// 20 norms of ResNet-18 and two of projectors, which both networks have, two of predictors, and two
/// spreads; in each direction.
#[test]
fn norms_of_both_networks_share_their_calls() {
    let gathers = Ranks::in_threads(2, |ranks| {
        let mut stepper = stepper(ranks, &config(MethodName::Multisiam));
        let mut idle = Profile::new(false, Device::Cpu);
        stepper.begin(1);
        let before = ranks.counted().calls[1];
        stepper.pass(&part(&views(0, &boxes()), ranks), &mut idle);
        ranks.counted().calls[1] - before
    });
    assert_eq!(gathers, [2 * (20 + 2 + 2 + 2); 2]);
}

/// All switches of tables 2 to 4, as few runs as hold them; and gradients that set out early.
#[test]
fn so_are_the_switches_of_tables_2_to_4() {
    type Change = fn(&mut RunConfig);
    let changes: [(&str, Change); 4] = [
        ("roi, no attention, k = 4, random seeds", |c| {
            (c.method.align, c.method.attention) = (Align::Roi, false);
            (c.method.k, c.method.km_init) = (4, Seeds::Random);
        }),
        ("no alignment, dense, euclidean", |c| {
            (c.method.align, c.method.target) = (Align::None, Target::Dense);
            c.method.km_metric = Metric::Euclidean;
        }),
        ("offsets in pixels, one way, overlap", |c| {
            c.method.offset_unit = OffsetUnit::Pixel;
            c.method.symmetric = Symmetric::OneWay;
            c.run.overlap = true;
        }),
        ("no clusters", |c| c.method.target = Target::Pixel),
    ];
    for (label, change) in changes {
        let mut changed = config(MethodName::Multisiam);
        change(&mut changed);
        check(label, &changed, 1);
    }
}

#[test]
fn groups_of_batch_norm_are_those_of_the_whole_batch() {
    for (name, bn_splits) in [
        (MethodName::Mocov2, 2),
        (MethodName::MultisiamMoco, 4),
        (MethodName::Byol, 2),
        (MethodName::Byol, 4),
    ] {
        let mut config = config(name);
        config.model.bn_splits = bn_splits;
        check(
            &format!("{} in {bn_splits} parts", name.title()),
            &config,
            1,
        );
    }
}

#[test]
fn without_syncbn_every_rank_is_a_group() {
    for size in [2, 4] {
        let mut apart = config(MethodName::Mocov2);
        apart.model.sync_bn = false;
        let mut alone = config(MethodName::Mocov2);
        alone.model.bn_splits = size as i64;
        let expected = stepped(&Ranks::alone(), &alone, 1);
        check_against("without SyncBN", size, &apart, &expected, 1);
    }
}

#[test]
fn a_bad_loss_of_one_rank_changes_nothing_anywhere_and_is_named() {
    let named = Ranks::in_threads(4, |ranks| {
        let mut stepper = stepper(ranks, &config(MethodName::MultisiamMoco));
        let mut idle = Profile::new(false, Device::Cpu);
        let state = |stepper: &Stepper| -> Vec<Tensor> {
            let all = stepper
                .method
                .state()
                .into_iter()
                .chain(stepper.optim.state());
            all.map(|(_, tensor)| tensor.copy()).collect()
        };
        let before = state(&stepper);
        stepper.begin(1);
        for batch in 0..ACCUMULATE as i64 {
            let mut views = part(&views(batch, &boxes()), ranks);
            if (ranks.rank(), batch) == (2, 1) {
                views.b.image = no_grad(|| {
                    let image = views.b.image.copy();
                    let _ = image.get(1).get(1).get(30).get(30).fill_(f64::NAN);
                    image
                });
            }
            stepper.pass(&views, &mut idle);
        }
        stepper.end(RATES, &mut idle);
        let bad = stepper.gate.first_bad();
        assert!(
            state(&stepper) == before,
            "every tensor is the same to the bit"
        );
        (bad, stepper.gate.culprits())
    });
    for (bad, culprits) in named {
        assert_eq!(bad, Some((1, "the 1D loss")));
        // Batch norm over all ranks passes it on to every one of them.
        assert_eq!(culprits, [0, 1, 2, 3]);
    }
}
