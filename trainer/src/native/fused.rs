//! Fused operations: one pass over memory where libtorch has several.
//!
//! On a GPU they run kernels of ours (`kernels.cu`), compiled when the run starts by NVRTC, which comes with libtorch, so
//! nothing has to be installed. Without them (on the CPU, with `run.fused_kernels = false`, or where they cannot be
//! compiled) the same results, up to rounding, are composed of libtorch's operations.

use std::collections::HashSet;
use std::ffi::{CString, c_int, c_uint, c_void};
use std::sync::Mutex;

use anyhow::{Result, anyhow, ensure};
use cudarc::driver::{result, sys};
use cudarc::nvrtc::{self, CompileError, CompileOptions};
use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use super::{BFLOAT16, Message, Pointers, TensorList, load_library, must, outcome};

/// `at::ScalarType` of float32.
const FLOAT: c_int = 6;

const SOURCE: &str = include_str!("kernels.cu");

/// Entry points of the source, in the order of `Kernel` in fused.cpp.
const KERNELS: [&str; 13] = [
    "norm_moments_f32",
    "norm_moments_bf16",
    "norm_apply_f32",
    "norm_apply_bf16",
    "norm_reduce_f32",
    "norm_reduce_bf16",
    "norm_input_f32",
    "norm_input_bf16",
    "normalise_f32",
    "normalise_bf16",
    "norm_statistics",
    "norm_parameters",
    "restore_words",
];

/// Function, grid and block (three numbers each), stream, pointers to the arguments; 0 is success.
type Launch = unsafe extern "C" fn(*mut c_void, *const c_uint, *const c_uint, *mut c_void, *mut *mut c_void) -> c_int;

unsafe extern "C" {
    fn trainer_set_kernels(
        ordinal: c_int,
        launch: Option<Launch>,
        multiprocessors: c_int,
        functions: *const *mut c_void,
        n: usize,
    ) -> Message;
    fn trainer_norm(
        x: *const C_tensor,
        residual: *const C_tensor,
        weight: *const C_tensor,
        bias: *const C_tensor,
        running_mean: *const C_tensor,
        running_var: *const C_tensor,
        relu: c_int,
        momentum: f64,
        eps: f64,
        out: *mut *mut C_tensor,
    ) -> Message;
    fn trainer_normalise(
        bytes: *const C_tensor,
        scale_shift: *const C_tensor,
        dtype: c_int,
        out: *mut *mut C_tensor,
    ) -> Message;
    fn trainer_restore_table(to: TensorList, from: TensorList, n: usize, out: *mut *mut C_tensor) -> Message;
    fn trainer_restore_unless(keep: *const C_tensor, table: *const C_tensor) -> Message;
}

// ---------------------------------------------------------------- the kernels

/// Compiles the kernels for a GPU, once a process; nothing for the CPU. From then on the operations below use them there.
///
/// # Errors
/// NVRTC cannot be loaded, does not know the GPU, or the driver refuses what it made. Then everything works as before,
/// without the kernels.
pub fn load_kernels(device: Device) -> Result<()> {
    static LOADED: Mutex<Option<HashSet<usize>>> = Mutex::new(None);
    let Device::Cuda(ordinal) = device else { return Ok(()) };
    let mut loaded = LOADED.lock().map_err(|_| anyhow!("an earlier attempt to load the kernels panicked"))?;
    let loaded = loaded.get_or_insert_default();
    if !loaded.contains(&ordinal) {
        // libtorch makes its context current; the kernels are loaded into it.
        let _ = Tensor::zeros([1], (Kind::Float, device));
        load_into_current_context(ordinal)?;
        loaded.insert(ordinal);
    }
    Ok(())
}

fn load_into_current_context(ordinal: usize) -> Result<()> {
    let gpu = result::device::get(ordinal as c_int)?;
    let attribute = |which| {
        // SAFETY: `gpu` is a device of the driver, which `get` has looked up.
        unsafe { result::device::get_attribute(gpu, which) }
    };
    let major = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let multiprocessors = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
    let image = CString::new(compile(&format!("compute_{major}{minor}"))?)?;
    // SAFETY: a NUL-terminated text in PTX, read during the call. The module is never unloaded, so its functions stay.
    let functions = unsafe {
        let module = result::module::load_data(image.as_ptr().cast())?;
        let function = |name: &str| -> Result<*mut c_void> {
            Ok(result::module::get_function(module, CString::new(name)?)?.cast::<c_void>())
        };
        KERNELS.into_iter().map(function).collect::<Result<Vec<_>>>()?
    };
    // SAFETY: `functions` holds as many entries as are announced.
    outcome(unsafe {
        trainer_set_kernels(ordinal as c_int, Some(launch), multiprocessors, functions.as_ptr(), functions.len())
    })
}

/// `cuLaunchKernel` of the driver, whatever it is loaded from.
///
/// # Safety
/// As in the driver's manual: a loaded function, and pointers to arguments of the types that it takes.
unsafe extern "C" fn launch(
    function: *mut c_void,
    grid: *const c_uint,
    block: *const c_uint,
    stream: *mut c_void,
    arguments: *mut *mut c_void,
) -> c_int {
    // SAFETY: grid and block are three numbers each (fused.cpp); the rest is the caller's promise.
    let status = unsafe {
        let ([gx, gy, gz], [bx, by, bz]) = (*grid.cast::<[c_uint; 3]>(), *block.cast::<[c_uint; 3]>());
        sys::cuLaunchKernel(function.cast(), gx, gy, gz, bx, by, bz, 0, stream.cast(), arguments, std::ptr::null_mut())
    };
    status as c_int
}

/// The kernels in PTX for a virtual architecture such as `compute_90`.
fn compile(arch: &str) -> Result<String> {
    find_nvrtc()?;
    let options = CompileOptions {
        name: Some("kernels.cu".to_owned()),
        options: vec![format!("--gpu-architecture={arch}")],
        ..CompileOptions::default()
    };
    match nvrtc::compile_ptx_with_opts(SOURCE, options) {
        Ok(ptx) => Ok(ptx.to_src()),
        Err(CompileError::CompileError { log, .. }) => Err(anyhow!("NVRTC: {}", log.to_string_lossy().trim())),
        Err(other) => Err(anyhow!("NVRTC: {other:?}")),
    }
}

/// Loads NVRTC and what it needs.
fn find_nvrtc() -> Result<()> {
    // This library of libtorch depends on NVRTC and knows where it lies; once loaded, NVRTC is found by its name. Where that
    // fails (it wants a driver too), NVRTC and its other half may still lie on the binary's run path.
    let _ = load_library("libcaffe2_nvrtc.so");
    // SAFETY: only tries to load the library.
    ensure!(unsafe { nvrtc::sys::is_culib_present() }, "there is no libnvrtc");
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there, and both pointers are those of live integers.
    unsafe { nvrtc::sys::nvrtcVersion(&mut major, &mut minor) }.result().map_err(|e| anyhow!("NVRTC: {e:?}"))?;
    let _ = load_library(&format!("libnvrtc-builtins.so.{major}.{minor}"));
    Ok(())
}

// ---------------------------------------------------------------- operations

/// What follows a batch norm.
#[derive(Clone, Copy, Debug)]
pub enum After<'a> {
    /// Nothing.
    Nothing,
    /// relu(y).
    Relu,
    /// relu(y + residual), the residual shaped as y.
    AddRelu(&'a Tensor),
}

/// Scale, shift and running statistics of a batch norm, each `[c]`.
#[derive(Clone, Copy, Debug)]
pub struct NormTensors<'a> {
    /// γ.
    pub weight: &'a Tensor,
    /// β.
    pub bias: &'a Tensor,
    /// Mean of what was seen.
    pub running_mean: &'a Tensor,
    /// Unbiased variance of it.
    pub running_var: &'a Tensor,
}

/// Batch norm in training, and what follows it: x `[n, c]` or `[n, c, h, w]` to the same shape, by the batch's statistics,
/// which move the running ones by `momentum`. Differentiable in x, residual, weight and bias.
pub fn batch_norm(x: &Tensor, norm: NormTensors<'_>, after: After<'_>, momentum: f64, eps: f64) -> Tensor {
    let (relu, residual) = match after {
        After::Nothing => (0, std::ptr::null()),
        After::Relu => (1, std::ptr::null()),
        After::AddRelu(residual) => (1, residual.as_ptr()),
    };
    let NormTensors { weight, bias, running_mean, running_var } = norm;
    new_tensor(|out| {
        // SAFETY: all pointers are those of live tensors, but for the residual's, which may be null as documented.
        unsafe {
            trainer_norm(
                x.as_ptr(),
                residual,
                weight.as_ptr(),
                bias.as_ptr(),
                running_mean.as_ptr(),
                running_var.as_ptr(),
                relu,
                momentum,
                eps,
                out,
            )
        }
    })
}

/// Bytes `[n, h, w, 3]` to `[n, 3, h, w]`, channels innermost in memory: byte × scale + shift of its channel, in `kind`
/// (`Float` or `BFloat16`). `scale_shift` is `[2, 3]`, float32, on the bytes' device.
pub fn normalise(bytes: &Tensor, scale_shift: &Tensor, kind: Kind) -> Tensor {
    let dtype = match kind {
        Kind::Float => FLOAT,
        Kind::BFloat16 => BFLOAT16,
        other => panic!("views are Float or BFloat16, not {other:?}"),
    };
    // SAFETY: both tensors live for the time of the call.
    new_tensor(|out| unsafe { trainer_normalise(bytes.as_ptr(), scale_shift.as_ptr(), dtype, out) })
}

/// Copies a state back unless a flag on the device says that it may stay. Nothing waits for the flag.
pub struct Restore {
    state: Vec<Tensor>,
    before: Vec<Tensor>,
    /// Where everything lies, for the kernel.
    table: Option<Tensor>,
}

impl Restore {
    /// A restore of `state`, whose tensors keep their memory from now on. What it goes back to is [`remember`](Self::remember)ed.
    pub fn new(state: Vec<Tensor>) -> Self {
        let before: Vec<Tensor> = state.iter().map(Tensor::empty_like).collect();
        let (to, from) = (Pointers::of(&state), Pointers::of(&before));
        let mut table: *mut C_tensor = std::ptr::null_mut();
        // SAFETY: both lists hold `len` live tensors for the time of the call; `table` points to a live pointer.
        must(unsafe { trainer_restore_table(to.as_list(), from.as_list(), to.len(), &mut table) });
        // SAFETY: a pointer that is not null is a new `at::Tensor`, whose only owner this becomes.
        let table = (!table.is_null()).then(|| unsafe { Tensor::from_ptr(table) });
        Restore { state, before, table }
    }

    /// Copies the state as it is now. Call under `no_grad`.
    pub fn remember(&self) {
        super::foreach_copy(&self.before, &self.state);
    }

    /// Takes the state back to what was remembered if the flag `keep`, a bool on its device, is false; else every tensor
    /// stays to the bit. Call under `no_grad`.
    pub fn unless(&self, keep: &Tensor) {
        match &self.table {
            // SAFETY: both tensors live for the time of the call; what the table points to lives in `self`.
            Some(table) => must(unsafe { trainer_restore_unless(keep.as_ptr(), table.as_ptr()) }),
            None => super::foreach_restore(&self.state, &self.before, keep),
        }
    }
}

/// The tensor that a native function makes.
fn new_tensor(make: impl FnOnce(*mut *mut C_tensor) -> Message) -> Tensor {
    let mut out: *mut C_tensor = std::ptr::null_mut();
    must(make(&mut out));
    // SAFETY: on success `out` is a new `at::Tensor`, whose only owner this becomes.
    unsafe { Tensor::from_ptr(out) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::params::{Registry, Scope};
    use crate::model::{Arch, ModelConfig, ResNet};
    use tch::no_grad;

    const CPU: Device = Device::Cpu;

    unsafe extern "C" {
        fn trainer_emulate_kernels(multiprocessors: c_int) -> Message;
    }

    /// Runs `work` with the kernels in the place of libtorch's operations, on CPU tensors of this thread.
    fn with_kernels<T>(work: impl FnOnce() -> T) -> T {
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                // SAFETY: takes the kernels of this thread away.
                let _ = outcome(unsafe { trainer_emulate_kernels(0) });
            }
        }
        // SAFETY: gives this thread kernels, as a GPU of three multiprocessors would run them.
        must(unsafe { trainer_emulate_kernels(3) });
        let _end = End;
        work()
    }

    /// Values around `centre` that look random, are the same every time, and that bfloat16 knows.
    fn values(shape: &[i64], salt: f64, centre: f64) -> Tensor {
        let numel = shape.iter().product::<i64>();
        let noise = ((Tensor::arange(numel, (Kind::Double, CPU)) * (1.7 + salt)).sin() * 43758.5453).frac();
        (noise.view(shape) * 2.0 + centre).to_kind(Kind::BFloat16).to_kind(Kind::Double)
    }

    /// Output, running statistics, and the gradients of x, residual, weight and bias.
    struct Passed {
        tensors: Vec<(&'static str, Tensor)>,
    }

    /// Forward and backward with what `after` names: 0 nothing, 1 ReLU, 2 addition and ReLU.
    fn pass(shape: &[i64], kind: Kind, after: usize, centre: f64) -> Passed {
        let channels = shape[1];
        let leaf = |t: Tensor, kind: Kind| t.to_kind(kind).set_requires_grad(true);
        let inner_channels = |t: Tensor| match shape.len() {
            4 => t.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
            _ => t,
        };
        let x = leaf(inner_channels(values(shape, 0.1, centre)), kind);
        let residual = leaf(inner_channels(values(shape, 0.2, 0.0)), kind);
        let parameter = if kind == Kind::Double { Kind::Double } else { Kind::Float };
        let weight = leaf(values(&[channels], 0.3, 0.5), parameter);
        let bias = leaf(values(&[channels], 0.4, 0.0), parameter);
        let running_mean = values(&[channels], 0.5, 0.0).to_kind(parameter);
        let running_var = values(&[channels], 0.6, 2.0).to_kind(parameter);
        let norm = NormTensors { weight: &weight, bias: &bias, running_mean: &running_mean, running_var: &running_var };
        let afters = [After::Nothing, After::Relu, After::AddRelu(&residual)];
        let y = batch_norm(&x, norm, afters[after], 0.1, 1e-5);
        // A gradient that is not contiguous the way the output is.
        (&y * values(shape, 0.7, 0.3).to_kind(kind)).sum(parameter).backward();
        let mut tensors = vec![
            ("y", y.detach()),
            ("running mean", running_mean.shallow_clone()),
            ("running variance", running_var.shallow_clone()),
            ("gradient of x", x.grad()),
            ("gradient of the weight", weight.grad()),
            ("gradient of the bias", bias.grad()),
        ];
        if after == 2 {
            tensors.push(("gradient of the residual", residual.grad()));
        }
        Passed { tensors }
    }

    /// max |a − b| relative to max |b|.
    fn difference(a: &Tensor, b: &Tensor) -> f64 {
        let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
        ((a - &b).abs().max() / b.abs().max()).double_value(&[])
    }

    /// Maps whose channels fill blocks, do not, and need several; vectors; more rows than one round of threads.
    const SHAPES: [&[i64]; 6] =
        [&[2, 64, 5, 7], &[3, 8, 1, 1], &[2, 24, 9, 4], &[5, 40], &[1, 264, 3, 2], &[3, 16, 31, 23]];

    #[test]
    fn kernels_agree_with_float64_as_libtorch_does() {
        for shape in SHAPES {
            for after in 0..3 {
                let exact = pass(shape, Kind::Double, after, 3.0).tensors;
                let plain = pass(shape, Kind::Float, after, 3.0).tensors;
                let ours = with_kernels(|| pass(shape, Kind::Float, after, 3.0)).tensors;
                assert_ne!(plain, ours, "the kernels ran, and round in another order");
                for (((name, exact), (_, plain)), (_, ours)) in exact.iter().zip(&plain).zip(&ours) {
                    let (theirs, ours) = (difference(plain, exact), difference(ours, exact));
                    assert!(
                        ours <= (4.0 * theirs).max(2e-6),
                        "{name}, {shape:?}, {after}: {ours:e}, libtorch {theirs:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn kernels_agree_with_float64_in_bfloat16() {
        for shape in SHAPES {
            for after in 0..3 {
                let exact = pass(shape, Kind::Double, after, 0.5).tensors;
                let plain = pass(shape, Kind::BFloat16, after, 0.5).tensors;
                let ours = with_kernels(|| pass(shape, Kind::BFloat16, after, 0.5)).tensors;
                assert_ne!(plain, ours, "the kernels ran, and round in another order");
                for (((name, exact), (_, plain)), (_, ours)) in exact.iter().zip(&plain).zip(&ours) {
                    assert_eq!((ours.kind(), ours.size()), (plain.kind(), plain.size()), "{name}");
                    let (theirs, ours) = (difference(plain, exact), difference(ours, exact));
                    assert!(
                        ours <= (1.5 * theirs).max(8e-3),
                        "{name}, {shape:?}, {after}: {ours:e}, libtorch {theirs:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn far_from_zero_the_variance_keeps_its_digits() {
        let [plain, ours] = [false, true].map(|kernels| {
            let work = || pass(&[2, 8, 64, 64], Kind::Float, 0, 300.0);
            if kernels { with_kernels(work) } else { work() }
        });
        let exact = pass(&[2, 8, 64, 64], Kind::Double, 0, 300.0);
        for ((name, exact), ((_, plain), (_, ours))) in
            exact.tensors.iter().zip(plain.tensors.iter().zip(&ours.tensors)).skip(1).take(2)
        {
            let (theirs, ours) = (difference(plain, exact), difference(ours, exact));
            assert!(ours < 1e-4 && ours <= (4.0 * theirs).max(1e-6), "{name}: {ours:e}, libtorch {theirs:e}");
        }
    }

    #[test]
    fn what_is_not_finite_stays_visible() {
        let run = || {
            let x = values(&[4, 8], 0.1, 0.0).to_kind(Kind::Float);
            let _ = x.get(1).get(3).fill_(f64::NAN);
            let ones = || Tensor::ones([8], (Kind::Float, CPU));
            let (weight, bias, running_mean, running_var) = (ones(), ones(), ones(), ones());
            let norm =
                NormTensors { weight: &weight, bias: &bias, running_mean: &running_mean, running_var: &running_var };
            let y = no_grad(|| batch_norm(&x, norm, After::Relu, 0.1, 1e-5));
            Vec::<bool>::try_from(y.isfinite().all_dim(0, false)).unwrap()
        };
        let expected: Vec<bool> = (0..8).map(|channel| channel != 3).collect();
        assert_eq!(run(), expected);
        assert_eq!(with_kernels(run), expected);
    }

    #[test]
    fn odd_channels_and_double_precision_go_to_libtorch() {
        for (shape, kind) in [(&[3, 6, 2, 2], Kind::BFloat16), (&[2, 64, 3, 3], Kind::Double)] {
            let plain = pass(shape, kind, 2, 0.0).tensors;
            let ours = with_kernels(|| pass(shape, kind, 2, 0.0)).tensors;
            for ((name, plain), (_, ours)) in plain.iter().zip(&ours) {
                assert_eq!(plain, ours, "{name}");
            }
        }
    }

    #[test]
    fn the_twin_is_norm_addition_and_relu_to_the_bit() {
        let shape = [2, 16, 5, 6];
        let x = values(&shape, 0.1, 1.0).to_kind(Kind::Float);
        let residual = values(&shape, 0.2, 0.0).to_kind(Kind::Float);
        let tensors = || [0.3, 0.4, 0.5, 0.6].map(|salt| values(&[16], salt, 1.0).to_kind(Kind::Float));
        let run = |fused: bool| {
            let [weight, bias, running_mean, running_var] = tensors();
            let (x, weight) = (x.copy().set_requires_grad(true), weight.set_requires_grad(true));
            let y = if fused {
                let norm = NormTensors {
                    weight: &weight,
                    bias: &bias,
                    running_mean: &running_mean,
                    running_var: &running_var,
                };
                batch_norm(&x, norm, After::AddRelu(&residual), 0.1, 1e-5)
            } else {
                let (mean, var) = (Some(&running_mean), Some(&running_var));
                (x.batch_norm(Some(&weight), Some(&bias), mean, var, true, 0.1, 1e-5, true) + &residual).relu()
            };
            y.square().sum(Kind::Float).backward();
            [y.detach(), running_mean, running_var, x.grad(), weight.grad()]
        };
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn bytes_become_the_same_views() {
        // 2 x 5 x 7 x 3 = 210 bytes: not a multiple of what a thread takes.
        let bytes = (values(&[2, 5, 7, 3], 0.1, 0.0).abs() * 100.0).to_kind(Kind::Uint8);
        let scale_shift = Tensor::from_slice(&[0.017f32, 0.0175, 0.0174, -2.1, -2.0, -1.8]).view([2, 3]);
        for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 4e-3)] {
            let plain = normalise(&bytes, &scale_shift, kind);
            let ours = with_kernels(|| normalise(&bytes, &scale_shift, kind));
            assert_eq!((ours.size(), ours.kind()), (vec![2, 3, 5, 7], kind));
            assert_eq!(ours.stride(), plain.stride());
            assert!(difference(&ours, &plain) <= tolerance, "{kind:?}: {}", difference(&ours, &plain));
        }
    }

    #[test]
    fn a_restore_goes_back_only_without_its_flag() {
        let run = || {
            let _guard = tch::no_grad_guard();
            let tensors = || vec![values(&[3, 4], 0.1, 0.0).to_kind(Kind::Float), values(&[700], 0.2, 0.0)];
            let state = tensors();
            let restore = Restore::new(state.iter().map(Tensor::shallow_clone).collect());
            restore.remember();
            let changed: Vec<Tensor> = tensors().into_iter().map(|t| t + 1.0).collect();
            super::super::foreach_copy(&state, &changed);
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
        let model = ModelConfig { arch: Arch::Resnet18, ..ModelConfig::default() };
        let images = values(&[2, 64, 96, 3], 0.1, 0.0).to_kind(Kind::Float).permute([0, 3, 1, 2]);
        let run = || {
            let mut registry = Registry::default();
            let net = ResNet::new(Scope::root(&mut registry, 7, Kind::Float, CPU), &model);
            (net.forward(&images, true) * values(&[2, 512, 2, 3], 0.2, 0.0)).sum(Kind::Float).backward();
            let weights = registry.trainable_tensors().into_iter().map(|weight| weight.grad());
            weights.chain(registry.buffer_tensors()).collect::<Vec<_>>()
        };
        let (plain, ours) = (run(), with_kernels(run));
        assert_ne!(plain, ours, "the kernels ran, and round in another order");
        for (plain, ours) in plain.iter().zip(&ours) {
            assert!(difference(ours, plain) < 1e-3, "{:?}: {:e}", plain.size(), difference(ours, plain));
        }
    }

    #[test]
    fn the_kernels_compile_for_every_architecture_that_libtorch_supports() {
        for arch in ["compute_75", "compute_80", "compute_90", "compute_100", "compute_120"] {
            match compile(arch) {
                Ok(ptx) => {
                    assert!(ptx.contains(&format!(".target sm_{}", &arch["compute_".len()..])), "{arch}");
                    assert!(KERNELS.iter().all(|name| ptx.contains(&format!(".entry {name}("))), "{arch}");
                }
                Err(error) if error.to_string().contains("no libnvrtc") => return println!("skipped: {error:#}"),
                Err(error) => panic!("{arch}: {error:#}"),
            }
        }
    }
}
