//! The kernels against libtorch's operations and float64.

use model::{Arch, ModelConfig, Registry, ResNet, Scope};
use native::{
    After, Lane, NormTensors, Restore, batch_norm, f_batch_norms, f_normalise, foreach_copy,
    normalise,
};
use native_emulator::norms::{NormInputs, Passed, difference, map, values};
use native_emulator::with_kernels;
use tch::{Device, Kind, Tensor, no_grad};

const CPU: Device = Device::Cpu;
const EPS: f64 = 1e-5;

/// Values around `centre` that look random, are the same every time, and that bfloat16 knows.
fn around(centre: f64, shape: &[i64], salt: f64) -> Tensor {
    rounded(values(shape, salt, CPU) * 2.0 + centre)
}

/// To what bfloat16 knows.
fn rounded(values: Tensor) -> Tensor {
    values.to_kind(Kind::BFloat16).to_kind(Kind::Double)
}

/// Forward and backward, with maps around `centre`; what a ReLU sees may lie at zero.
fn pass(shape: &[i64], kind: Kind, after: usize, centre: f64) -> Passed {
    let channel = |centre, salt| around(centre, &[shape[1]], salt);
    let inputs = NormInputs {
        x: rounded(map(shape, 0.1, CPU).to_kind(Kind::Double) * 2.0 + centre),
        residual: map(shape, 0.2, CPU) * 2.0,
        // A gradient that is not contiguous the way the output is.
        dy: around(0.3, shape, 0.7),
        channels: [
            channel(0.5, 0.3),
            channel(0.0, 0.4),
            channel(0.0, 0.5),
            channel(2.0, 0.6),
        ],
        eps: EPS,
    };
    inputs.pass(kind, after)
}

/// A norm whose four tensors are ones, in float32.
struct Ones([Tensor; 4]);

impl Ones {
    fn new(channels: i64) -> Self {
        Ones([(); 4].map(|()| Tensor::ones([channels], (Kind::Float, CPU))))
    }

    fn tensors(&self) -> NormTensors<'_> {
        let [weight, bias, running_mean, running_var] = &self.0;
        NormTensors {
            weight,
            bias,
            running_mean,
            running_var,
            team: None,
        }
    }
}

/// Maps whose channels fill blocks, do not, and need several; vectors; more rows than one round of
/// threads.
const SHAPES: [&[i64]; 6] = [
    &[2, 64, 5, 7],
    &[3, 8, 1, 1],
    &[2, 24, 9, 4],
    &[5, 40],
    &[1, 264, 3, 2],
    &[3, 16, 31, 23],
];

/// Holds the kernels and libtorch against float64: ours may be off by `factor` times what libtorch
/// is, or by `least`.
fn assert_kernels_agree(kind: Kind, centre: f64, factor: f64, least: f64) {
    for shape in SHAPES {
        for after in 0..3 {
            let exact = pass(shape, Kind::Double, after, centre);
            let plain = pass(shape, kind, after, centre);
            let ours = with_kernels(|| pass(shape, kind, after, centre));
            assert_ne!(plain, ours, "the kernels ran, and round in another order");
            for (((name, exact), (_, plain)), (_, ours)) in exact.iter().zip(&plain).zip(&ours) {
                assert_eq!(
                    (ours.kind(), ours.size()),
                    (plain.kind(), plain.size()),
                    "{name}"
                );
                let (theirs, ours) = (difference(plain, exact), difference(ours, exact));
                let allowed = (factor * theirs).max(least);
                assert!(
                    ours <= allowed,
                    "{name}, {shape:?}, {after}: {ours:e}, libtorch {theirs:e}"
                );
            }
        }
    }
}

#[test]
fn kernels_agree_with_float64_as_libtorch_does() {
    assert_kernels_agree(Kind::Float, 3.0, 4.0, 2e-6);
}

#[test]
fn kernels_agree_with_float64_in_bfloat16() {
    assert_kernels_agree(Kind::BFloat16, 0.5, 1.5, 8e-3);
}

#[test]
fn shapes_and_kinds_that_do_not_fit_are_refused() {
    let run = || {
        let map = |channels| values(&[2, channels, 3, 3], 0.1, CPU).to_kind(Kind::Float);
        let norm = |channels, residual: &Tensor| {
            let (ones, after) = (Ones::new(channels), After::AddRelu(residual));
            let lane = Lane {
                x: &map(8),
                norm: ones.tensors(),
                after,
            };
            f_batch_norms([lane], 0.1, EPS).map(drop)
        };
        norm(8, &map(8)).unwrap();
        assert!(
            norm(8, &map(1))
                .unwrap_err()
                .to_string()
                .contains("residual")
        );
        assert!(
            norm(7, &map(8))
                .unwrap_err()
                .to_string()
                .contains("7 values")
        );
        let bytes = Tensor::zeros([1, 4, 4, 3], (Kind::Uint8, CPU));
        let scale_shift = Tensor::ones([2, 3], (Kind::Float, CPU));
        let _ = f_normalise(&bytes, &scale_shift, Kind::Float).unwrap();
        let refused = [
            (bytes.to_kind(Kind::Int), scale_shift.copy()),
            (bytes.narrow(3, 0, 2), scale_shift.copy()),
            (bytes.copy(), scale_shift.to_kind(Kind::Double)),
            (bytes.copy(), scale_shift.tr().contiguous()),
        ];
        for (bytes, scale_shift) in refused {
            let _ = f_normalise(&bytes, &scale_shift, Kind::Float).unwrap_err();
        }
    };
    run();
    with_kernels(run);
}

#[test]
fn far_from_zero_the_variance_keeps_its_digits() {
    let [plain, ours] = [false, true].map(|kernels| {
        let work = || pass(&[2, 8, 64, 64], Kind::Float, 0, 300.0);
        if kernels { with_kernels(work) } else { work() }
    });
    let exact = pass(&[2, 8, 64, 64], Kind::Double, 0, 300.0);
    for ((name, exact), ((_, plain), (_, ours))) in
        exact.iter().zip(plain.iter().zip(&ours)).skip(1).take(2)
    {
        let (theirs, ours) = (difference(plain, exact), difference(ours, exact));
        assert!(
            ours < 1e-4 && ours <= (4.0 * theirs).max(1e-6),
            "{name}: {ours:e}, libtorch {theirs:e}"
        );
    }
}

#[test]
fn what_is_not_finite_stays_visible() {
    let run = || {
        let x = around(0.0, &[4, 8], 0.1).to_kind(Kind::Float);
        let _ = x.get(1).get(3).fill_(f64::NAN);
        let ones = Ones::new(8);
        let lane = Lane {
            x: &x,
            norm: ones.tensors(),
            after: After::Relu,
        };
        let y = no_grad(|| batch_norm(lane, 0.1, EPS));
        Vec::<bool>::try_from(y.isfinite().all_dim(0, false)).unwrap()
    };
    let expected: Vec<bool> = (0..8).map(|channel| channel != 3).collect();
    assert_eq!(run(), expected);
    assert_eq!(with_kernels(run), expected);
}

#[test]
fn odd_channels_and_double_precision_go_to_libtorch() {
    for (shape, kind) in [
        (&[3, 6, 2, 2], Kind::BFloat16),
        (&[2, 64, 3, 3], Kind::Double),
    ] {
        let plain = pass(shape, kind, 2, 0.0);
        let ours = with_kernels(|| pass(shape, kind, 2, 0.0));
        for ((name, plain), (_, ours)) in plain.iter().zip(&ours) {
            assert_eq!(plain, ours, "{name}");
        }
    }
}

#[test]
fn the_twin_is_norm_addition_and_relu_to_the_bit() {
    let shape = [2, 16, 5, 6];
    let x = around(1.0, &shape, 0.1).to_kind(Kind::Float);
    let residual = around(0.0, &shape, 0.2).to_kind(Kind::Float);
    let tensors = || [0.3, 0.4, 0.5, 0.6].map(|salt| around(1.0, &[16], salt).to_kind(Kind::Float));
    let run = |fused: bool| {
        let [weight, bias, running_mean, running_var] = tensors();
        let (x, weight) = (
            x.copy().set_requires_grad(true),
            weight.set_requires_grad(true),
        );
        let y = if fused {
            let norm = NormTensors {
                weight: &weight,
                bias: &bias,
                running_mean: &running_mean,
                running_var: &running_var,
                team: None,
            };
            let after = After::AddRelu(&residual);
            batch_norm(Lane { x: &x, norm, after }, 0.1, EPS)
        } else {
            let (mean, var) = (Some(&running_mean), Some(&running_var));
            (x.batch_norm(Some(&weight), Some(&bias), mean, var, true, 0.1, EPS, true) + &residual)
                .relu()
        };
        y.square().sum(Kind::Float).backward();
        [
            y.detach(),
            running_mean,
            running_var,
            x.grad(),
            weight.grad(),
        ]
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn bytes_become_the_same_views() {
    // 2 x 5 x 7 x 3 = 210 bytes: not a multiple of what a thread takes.
    let bytes = (around(0.0, &[2, 5, 7, 3], 0.1).abs() * 100.0).to_kind(Kind::Uint8);
    let scale_shift =
        Tensor::from_slice(&[0.017f32, 0.0175, 0.0174, -2.1, -2.0, -1.8]).view([2, 3]);
    for kind in [Kind::Float, Kind::BFloat16] {
        let plain = normalise(&bytes, &scale_shift, kind);
        let ours = with_kernels(|| normalise(&bytes, &scale_shift, kind));
        assert_eq!((ours.size(), ours.kind()), (vec![2, 3, 5, 7], kind));
        assert_eq!(ours.stride(), plain.stride());
        assert_eq!(ours, plain, "{kind:?}, to the bit");
    }
}

#[test]
fn maps_at_any_address_are_taken() {
    // The second float of an allocation is not on a boundary of 16 bytes.
    let shifted = |t: &Tensor| {
        let memory = Tensor::zeros([t.numel() as i64 + 1], (t.kind(), CPU));
        let mut view = memory.narrow(0, 1, t.numel() as i64).view_as(t);
        view.copy_(t);
        view
    };
    let run = |x: Tensor| {
        let x = x.set_requires_grad(true);
        let residual = shifted(&x.detach());
        let after = After::AddRelu(&residual);
        let ones = Ones::new(16);
        let lane = Lane {
            x: &x,
            norm: ones.tensors(),
            after,
        };
        let y = batch_norm(lane, 0.1, EPS);
        y.square().sum(Kind::Float).backward();
        (y.detach(), x.grad())
    };
    for kind in [Kind::Float, Kind::BFloat16] {
        let x = around(0.0, &[40, 16], 0.1).to_kind(kind);
        let (aligned, other) = with_kernels(|| (run(x.copy()), run(shifted(&x))));
        assert_eq!(aligned, other, "{kind:?}");
    }
}

#[test]
fn a_restore_goes_back_only_without_its_flag() {
    let run = || {
        let _guard = tch::no_grad_guard();
        let tensors = || {
            vec![
                around(0.0, &[3, 4], 0.1).to_kind(Kind::Float),
                around(0.0, &[700], 0.2),
            ]
        };
        let state = tensors();
        let restore = Restore::new(state.iter().map(Tensor::shallow_clone).collect());
        restore.remember();
        let changed: Vec<Tensor> = tensors().into_iter().map(|t| t + 1.0).collect();
        foreach_copy(&state, &changed);
        let _ = state[1].get(5).fill_(f64::NAN);
        restore.unless(&Tensor::from(true));
        assert_eq!(state[0], changed[0]);
        assert!(state[1].get(5).isnan().int64_value(&[]) == 1);
        restore.unless(&Tensor::from(false));
        assert_eq!(state, tensors());
    };
    run();
    with_kernels(run);
}

#[test]
fn a_network_learns_the_same_with_the_kernels() {
    let model = ModelConfig {
        arch: Arch::Resnet18,
        ..ModelConfig::default()
    };
    let images = around(0.0, &[2, 64, 96, 3], 0.1)
        .to_kind(Kind::Float)
        .permute([0, 3, 1, 2]);
    let run = || {
        let mut registry = Registry::default();
        let net = ResNet::new(Scope::root(&mut registry, 7, Kind::Float, CPU), &model);
        (net.forward(&images, true) * around(0.0, &[2, 512, 2, 3], 0.2))
            .sum(Kind::Float)
            .backward();
        let weights = registry
            .trainable_tensors()
            .into_iter()
            .map(|weight| weight.grad());
        weights.chain(registry.buffer_tensors()).collect::<Vec<_>>()
    };
    let (plain, ours) = (run(), with_kernels(run));
    assert_ne!(plain, ours, "the kernels ran, and round in another order");
    for (plain, ours) in plain.iter().zip(&ours) {
        assert!(
            difference(ours, plain) < 1e-3,
            "{:?}: {:e}",
            plain.size(),
            difference(ours, plain)
        );
    }
}
