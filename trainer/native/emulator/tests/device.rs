//! The kernels against float64, on a GPU and, by the same functions, in the emulator.
//!
//! What a ReLU sees lies far from zero here (`parted`), so every element of every result can be
//! compared: in float32 to a few roundings, in bfloat16 to the one at the end.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use native::{Restore, cuda_device, foreach_copy, load_kernels, normalise};
use native_emulator::norms::{NormInputs, difference, map, values};
use native_emulator::with_kernels;
use tch::{Device, Kind, Tensor, no_grad_guard};

const CPU: Device = Device::Cpu;
/// Large, because two rows may have next to no variance, and dividing by it multiplies roundings.
const EPS: f64 = 0.1;

/// Odd sides, one cell, few rows, vectors; channels that are no multiple of what a block spans, or
/// of what a thread takes.
const ODD: [&[i64]; 9] = [
    &[3, 64, 5, 7],
    &[3, 8, 1, 1],
    &[1, 24, 1, 3],
    &[2, 24, 9, 5],
    &[5, 40],
    &[2, 2048],
    &[1, 264, 3, 2],
    &[3, 20, 3, 3],
    &[7, 5, 3, 1],
];
/// Of a ResNet-50 at 224 pixels, for a batch of 32; and heads.
const REAL: [&[i64]; 7] = [
    &[32, 64, 112, 112],
    &[32, 256, 56, 56],
    &[32, 512, 28, 28],
    &[32, 1024, 14, 14],
    &[32, 2048, 7, 7],
    &[1568, 4096],
    &[32, 4096],
];

/// 0.5 ± 1..1.25: normalised, neither sign comes near zero.
fn parted(shape: &[i64], salt: f64, device: Device) -> Tensor {
    let v = map(shape, salt, device).to_kind(Kind::Double);
    (v.sign() * (v.abs() * 0.25 + 1.0) + 0.5).to_kind(Kind::BFloat16)
}

/// What a norm of one shape gets. Maps are bfloat16, the rest float32.
fn inputs(shape: &[i64], device: Device) -> NormInputs {
    let channel = |salt| values(&[shape[1]], salt, device);
    let channels = [
        channel(0.3) * 0.5 + 1.5,
        channel(0.4) * 0.05,
        channel(0.5),
        channel(0.6).abs() + 0.5,
    ];
    NormInputs {
        x: parted(shape, 0.1, device),
        residual: map(shape, 0.2, device) * 0.05,
        dy: map(shape, 0.7, device),
        channels: channels.map(|t| t.to_kind(Kind::Float)),
        eps: EPS,
    }
}

/// Sums of float32 in some order, relative to the largest.
const FLOAT_LIMIT: f64 = 2e-5;
/// Half a unit in the last of bfloat16's 8 bits, and that.
const BFLOAT16_LIMIT: f64 = 1.0 / 256.0 + FLOAT_LIMIT;

/// Holds norms of these shapes on `device` against float64 there.
fn assert_norms_agree(device: Device, shapes: &[&[i64]]) {
    for shape in shapes {
        let inputs = inputs(shape, device);
        for kind in [Kind::Float, Kind::BFloat16] {
            // Where channels do not fill 16 bytes libtorch computes; in bfloat16 it rounds more.
            if kind == Kind::BFloat16 && shape[1] % 8 != 0 {
                continue;
            }
            for after in 0..3 {
                // The kernels know no float64: this is libtorch.
                let exact = inputs.pass(Kind::Double, after);
                let ours = inputs.pass(kind, after);
                for ((name, ours), (_, exact)) in ours.iter().zip(&exact) {
                    let limit = match ours.kind() {
                        Kind::BFloat16 => BFLOAT16_LIMIT,
                        _ => FLOAT_LIMIT,
                    };
                    let difference = difference(ours, exact);
                    assert!(
                        difference <= limit,
                        "{name}, {kind:?}, {shape:?}, {after}: {difference:.1e}"
                    );
                }
            }
        }
    }
}

#[test]
fn norms_agree_with_float64() {
    with_kernels(|| assert_norms_agree(CPU, &ODD));
}

#[test]
fn a_layer_of_a_resnet_agrees_with_float64() {
    with_kernels(|| assert_norms_agree(CPU, &[&[1, 64, 112, 112], &[2, 2048, 7, 7]]));
}

#[test]
#[ignore = "needs CUDA"]
fn norms_on_a_gpu_agree_with_float64() {
    let gpu = cuda_device(0).unwrap();
    load_kernels(gpu).unwrap();
    assert_norms_agree(gpu, &ODD);
    assert_norms_agree(gpu, &REAL);
}

/// A batch that is one small batch again and again has its statistics, so each part of the result
/// must be that of the small batch: offsets that wrap around would show.
fn assert_a_repeated_batch_agrees(device: Device, small: &[i64], times: i64) {
    let inputs = inputs(small, device);
    // Channels stay innermost in memory.
    let repeated = |t: &Tensor| {
        let channels_last = t.permute([0, 2, 3, 1]);
        channels_last.repeat([times, 1, 1, 1]).permute([0, 3, 1, 2])
    };
    let large = NormInputs {
        x: repeated(&inputs.x),
        residual: Tensor::zeros([0], (Kind::BFloat16, device)),
        dy: repeated(&inputs.dy),
        channels: inputs.channels.each_ref().map(Tensor::copy),
        eps: EPS,
    };
    let expected = inputs.pass(Kind::BFloat16, 1);
    let found = large.pass(Kind::BFloat16, 1);
    for name in ["y", "gradient of x"] {
        let get = |all: &[(&str, Tensor)]| {
            let (_, tensor) = all.iter().find(|(of, _)| *of == name).unwrap();
            tensor.shallow_clone()
        };
        let (expected, found) = (get(&expected), get(&found));
        for part in [0, 1, times / 2, times - 1] {
            let part_of = found.narrow(0, part * small[0], small[0]);
            let difference = difference(&part_of, &expected);
            assert!(
                difference <= 2.0 * BFLOAT16_LIMIT,
                "{name}, part {part}: {difference:.1e}"
            );
        }
    }
}

#[test]
fn a_repeated_batch_has_the_results_of_one() {
    with_kernels(|| assert_a_repeated_batch_agrees(CPU, &[2, 64, 5, 7], 5));
}

#[test]
#[ignore = "needs CUDA"]
fn more_than_two_billion_elements_are_not_too_many() {
    let gpu = cuda_device(0).unwrap();
    load_kernels(gpu).unwrap();
    // What BYOL's batch makes of the first layer: 822 million elements, 1.6 GB.
    assert_a_repeated_batch_agrees(gpu, &[32, 64, 112, 112], 32);
    // 2^31 and some: x, y, both gradients and what libtorch needs on the way.
    let bytes = 48_i64 << 30;
    if Tensor::f_empty([bytes], (Kind::Uint8, gpu)).is_err() {
        return testkit::skip("the GPU lacks 48 GiB: only 822 million elements were tried");
    }
    assert_a_repeated_batch_agrees(gpu, &[32, 64, 112, 112], 84);
}

/// Bytes become the same bits by kernels, by libtorch's operations and by definition.
fn assert_bytes_become_exact_views(device: Device, shape: &[i64]) {
    let bytes = (values(shape, 0.1, device).abs() * 255.0).to_kind(Kind::Uint8);
    let scale_shift = values(&[2, 3], 0.2, device).to_kind(Kind::Float);
    let (scale, shift) = (scale_shift.get(0), scale_shift.get(1));
    let exact = bytes.to_kind(Kind::Float) * scale;
    let exact = (exact + shift).permute([0, 3, 1, 2]);
    for kind in [Kind::Float, Kind::BFloat16] {
        let views = normalise(&bytes, &scale_shift, kind);
        assert_eq!(views, exact.to_kind(kind), "{kind:?}, {shape:?}");
    }
}

#[test]
fn bytes_become_exact_views() {
    let check = || {
        assert_bytes_become_exact_views(CPU, &[2, 5, 7, 3]);
        assert_bytes_become_exact_views(CPU, &[1, 64, 64, 3]);
    };
    check();
    with_kernels(check);
}

#[test]
#[ignore = "needs CUDA"]
fn bytes_become_exact_views_on_a_gpu() {
    let gpu = cuda_device(0).unwrap();
    load_kernels(gpu).unwrap();
    assert_bytes_become_exact_views(gpu, &[2, 5, 7, 3]);
    assert_bytes_become_exact_views(gpu, &[256, 224, 224, 3]);
}

/// A state of several shapes goes back to the bit, but only without its flag.
fn assert_a_restore_is_exact(device: Device) {
    let _guard = no_grad_guard();
    let tensors = || {
        [&[3, 4][..], &[701], &[1], &[64, 3, 7, 7]]
            .map(|shape| values(shape, 0.2, device).to_kind(Kind::Float))
    };
    let state = tensors();
    let restore = Restore::new(state.iter().map(Tensor::shallow_clone).collect());
    restore.remember();
    let changed = tensors().map(|t| t + 1.0);
    foreach_copy(&state, &changed);
    restore.unless(&Tensor::from(true).to_device(device));
    assert_eq!(state, changed);
    let _ = state[1].get(5).fill_(f64::NAN);
    restore.unless(&Tensor::from(false).to_device(device));
    assert_eq!(state, tensors());
}

#[test]
fn a_restore_is_exact() {
    assert_a_restore_is_exact(CPU);
    with_kernels(|| assert_a_restore_is_exact(CPU));
}

#[test]
#[ignore = "needs CUDA"]
fn a_restore_is_exact_on_a_gpu() {
    let gpu = cuda_device(0).unwrap();
    assert_a_restore_is_exact(gpu);
    load_kernels(gpu).unwrap();
    assert_a_restore_is_exact(gpu);
}

/// The same input gives the same bits: no kernel uses atomics.
fn assert_norms_repeat(device: Device, shape: &[i64]) {
    let inputs = inputs(shape, device);
    let first = inputs.pass(Kind::BFloat16, 2);
    for _ in 0..5 {
        assert_eq!(inputs.pass(Kind::BFloat16, 2), first);
    }
}

#[test]
fn norms_repeat_to_the_bit() {
    with_kernels(|| assert_norms_repeat(CPU, &[3, 64, 5, 7]));
}

#[test]
#[ignore = "needs CUDA"]
fn norms_on_a_gpu_repeat_to_the_bit() {
    let gpu = cuda_device(0).unwrap();
    load_kernels(gpu).unwrap();
    assert_norms_repeat(gpu, &[32, 256, 56, 56]);
}
