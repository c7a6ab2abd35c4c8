//! The Rust face of `native.cpp`: what tch does not expose of libtorch.
//!
//! Autocast with a dtype, multi-tensor updates, gradient release, streams and events, fused
//! operations, process-wide switches, and the CUDA library that the linker drops. Everything here
//! is safe to call; nothing of it appears in a method's public types.
//!
//! The functions that a caller cannot provoke to fail with valid tensors (`foreach_*`, guards)
//! panic with libtorch's message, as tch's plain methods do; those that depend on the machine
//! return it.

#![expect(unsafe_code, reason = "the one boundary to libtorch beside tch itself")]

mod event;
mod fused;
mod kernels;
mod self_check;
mod stream;
mod trace;

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::sync::OnceLock;

use anyhow::{Result, anyhow, bail, ensure};
use tch::{Cuda, Device, Kind, Tensor};
use torch_sys::C_tensor;

pub use event::Event;
pub use fused::{After, NormTensors, Restore, batch_norm, normalise};
pub use kernels::load_kernels;
pub use stream::Stream;
pub use trace::{peak_memory_bytes, trace};

type Message = *mut c_char;
type TensorList = *const *const C_tensor;

// `at::ScalarType` of c10/core/ScalarType.h, fixed by its serialised form; tch keeps its own table
// private.
const HALF: c_int = 5;
const BFLOAT16: c_int = 15;

unsafe extern "C" {
    fn trainer_free_message(text: Message);
    fn trainer_autocast_enter(
        is_cuda: c_int,
        enabled: c_int,
        dtype: c_int,
        old_enabled: *mut c_int,
        old_dtype: *mut c_int,
    ) -> Message;
    fn trainer_autocast_leave(is_cuda: c_int, old_enabled: c_int, old_dtype: c_int) -> Message;
    fn trainer_autocast_dtype(is_cuda: c_int) -> c_int;
    fn trainer_foreach_mul_scalar(xs: TensorList, n: usize, factor: f64) -> Message;
    fn trainer_foreach_mul(xs: TensorList, ys: TensorList, n: usize) -> Message;
    fn trainer_foreach_add(xs: TensorList, ys: TensorList, n: usize, alpha: f64) -> Message;
    fn trainer_foreach_lerp(xs: TensorList, ys: TensorList, n: usize, weight: f64) -> Message;
    fn trainer_foreach_copy(xs: TensorList, ys: TensorList, n: usize) -> Message;
    fn trainer_foreach_restore(
        xs: TensorList,
        ys: TensorList,
        n: usize,
        keep: *mut C_tensor,
    ) -> Message;
    fn trainer_foreach_norm(xs: TensorList, n: usize, out: *mut *mut C_tensor) -> Message;
    fn trainer_drop_grads(xs: TensorList, n: usize) -> Message;
    fn trainer_set_tf32(on: c_int) -> Message;
    fn trainer_load_library(name: *const c_char) -> Message;
}

/// Takes ownership of what a native function returned: null is success.
fn outcome(message: Message) -> Result<()> {
    if message.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null message is a NUL-terminated string from `strdup`, ours to free, read
    // before it is freed.
    let text = unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        trainer_free_message(message);
        text
    };
    Err(anyhow!(
        "libtorch: {}",
        text.lines().next().unwrap_or("unknown error")
    ))
}

/// Panics with libtorch's message, for calls that fail only through a bug of ours or exhausted
/// memory.
fn must(message: Message) {
    if let Err(error) = outcome(message) {
        panic!("{error:#}");
    }
}

/// Pointers to the tensors. The tensors outlive the list: it borrows them.
struct Pointers<'a> {
    raw: Vec<*const C_tensor>,
    tensors: PhantomData<&'a Tensor>,
}

impl<'a> Pointers<'a> {
    fn of(tensors: &'a [Tensor]) -> Self {
        Pointers {
            raw: tensors.iter().map(Tensor::as_ptr).collect(),
            tensors: PhantomData,
        }
    }

    fn as_list(&self) -> TensorList {
        self.raw.as_ptr()
    }

    fn len(&self) -> usize {
        self.raw.len()
    }
}

// ---------------------------------------------------------------- autocast

/// Autocast as it was set when this was made, until it is dropped (also on a panic). Bound to its
/// thread.
///
/// Inside, convolutions and linear layers of the device's type run in the given dtype and cache
/// their cast weights until the outermost guard ends; so hold one guard around a whole step's
/// forward passes, and none around the backward pass.
#[must_use = "autocast ends when the guard is dropped"]
pub struct Autocast {
    is_cuda: c_int,
    old_enabled: c_int,
    old_dtype: c_int,
    not_send: PhantomData<*const ()>,
}

/// Turns autocast to `dtype` on: `BFloat16` on CUDA and CPU, `Half` on CUDA.
pub fn autocast(device: Device, dtype: Kind) -> Autocast {
    Autocast::enter(device, true, dtype)
}

/// Turns autocast off: what follows keeps its inputs' precision.
pub fn autocast_off(device: Device) -> Autocast {
    Autocast::enter(device, false, Kind::BFloat16)
}

/// The dtype that autocast uses on `device` now; `None` when it is off.
pub fn autocast_dtype(device: Device) -> Option<Kind> {
    // SAFETY: reads thread-local flags.
    match unsafe { trainer_autocast_dtype(c_int::from(device.is_cuda())) } {
        BFLOAT16 => Some(Kind::BFloat16),
        HALF => Some(Kind::Half),
        _ => None,
    }
}

impl Autocast {
    fn enter(device: Device, enabled: bool, dtype: Kind) -> Self {
        let is_cuda = c_int::from(device.is_cuda());
        let dtype = match dtype {
            Kind::Half => HALF,
            Kind::BFloat16 => BFLOAT16,
            other => panic!("autocast knows Half and BFloat16, not {other:?}"),
        };
        let (mut old_enabled, mut old_dtype) = (0, 0);
        // SAFETY: both outputs point to live integers.
        must(unsafe {
            trainer_autocast_enter(
                is_cuda,
                c_int::from(enabled),
                dtype,
                &mut old_enabled,
                &mut old_dtype,
            )
        });
        Autocast {
            is_cuda,
            old_enabled,
            old_dtype,
            not_send: PhantomData,
        }
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: plain integers, and the thread is the one that entered (`not_send`). An error
        // here could only be a failed cache release; panicking in a drop would hide the reason for
        // an unwinding.
        let _ = outcome(unsafe {
            trainer_autocast_leave(self.is_cuda, self.old_enabled, self.old_dtype)
        });
    }
}

// ---------------------------------------------------------------- many tensors at once

/// `x *= factor` for every tensor. Call under `no_grad`.
pub fn foreach_mul_scalar(xs: &[Tensor], factor: f64) {
    let xs = Pointers::of(xs);
    // SAFETY: the list holds `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_mul_scalar(xs.as_list(), xs.len(), factor) });
}

/// `x *= y` pairwise; a `y` of one element scales its `x`. Call under `no_grad`.
pub fn foreach_mul(xs: &[Tensor], ys: &[Tensor]) {
    assert_eq!(xs.len(), ys.len(), "one factor per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_mul(xs.as_list(), ys.as_list(), xs.len()) });
}

/// `x += alpha * y` pairwise. Call under `no_grad`.
pub fn foreach_add(xs: &[Tensor], ys: &[Tensor], alpha: f64) {
    assert_eq!(xs.len(), ys.len(), "one summand per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_add(xs.as_list(), ys.as_list(), xs.len(), alpha) });
}

/// `x += weight * (y - x)` pairwise. Call under `no_grad`.
pub fn foreach_lerp(xs: &[Tensor], ys: &[Tensor], weight: f64) {
    assert_eq!(xs.len(), ys.len(), "one end point per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_lerp(xs.as_list(), ys.as_list(), xs.len(), weight) });
}

/// `x = y` pairwise. Call under `no_grad`.
pub fn foreach_copy(xs: &[Tensor], ys: &[Tensor]) {
    assert_eq!(xs.len(), ys.len(), "one source per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_copy(xs.as_list(), ys.as_list(), xs.len()) });
}

/// `x = y` pairwise where the flag `keep` (a bool on their device) is false; else every `x` stays
/// to the bit. Nothing waits for the flag. Call under `no_grad`.
pub fn foreach_restore(xs: &[Tensor], ys: &[Tensor], keep: &Tensor) {
    assert_eq!(xs.len(), ys.len(), "one source per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call; `keep` lives as long and
    // is only read.
    must(unsafe {
        trainer_foreach_restore(
            xs.as_list(),
            ys.as_list(),
            xs.len(),
            keep.as_ptr().cast_mut(),
        )
    });
}

/// The Euclidean norm of every tensor: `[n]`, on their device; nothing waits for it. `xs` is not
/// empty.
pub fn foreach_norm(xs: &[Tensor]) -> Tensor {
    let xs = Pointers::of(xs);
    let mut out: *mut C_tensor = std::ptr::null_mut();
    // SAFETY: the list holds `len` live tensors; `out` points to a live pointer.
    must(unsafe { trainer_foreach_norm(xs.as_list(), xs.len(), &mut out) });
    // SAFETY: on success `out` is a new `at::Tensor`, whose only owner this becomes.
    unsafe { Tensor::from_ptr(out) }
}

/// Frees the gradients of `xs`; the next backward pass writes fresh ones instead of adding.
pub fn drop_grads(xs: &[Tensor]) {
    let xs = Pointers::of(xs);
    // SAFETY: the list holds `len` live tensors for the time of the call.
    must(unsafe { trainer_drop_grads(xs.as_list(), xs.len()) });
}

// ---------------------------------------------------------------- process-wide switches

/// Lets float32 convolutions and matrix products use TF32 tensor cores.
pub fn set_tf32(on: bool) -> Result<()> {
    // SAFETY: sets flags of libtorch's global context.
    outcome(unsafe { trainer_set_tf32(c_int::from(on)) })
}

fn load_library(name: &str) -> Result<()> {
    let name = CString::new(name)?;
    // SAFETY: a NUL-terminated string. The libraries loaded are libtorch's own and the NVIDIA
    // driver.
    outcome(unsafe { trainer_load_library(name.as_ptr()) })
}

/// The CUDA device with this ordinal, ready for use.
///
/// The linker drops `libtorch_cuda`, because nothing refers to it by name; it is loaded here, once,
/// from the binary's run path. Call it before any other use of libtorch: the first question about
/// CUDA settles the answer for the process.
///
/// # Errors
/// One line: no NVIDIA driver, a libtorch without CUDA, no usable GPU, or fewer GPUs than
/// `ordinal`.
pub fn cuda_device(ordinal: usize) -> Result<Device> {
    static LOADED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    if let Err(why) = LOADED.get_or_init(|| load_cuda().map_err(|e| format!("{e:#}"))) {
        bail!("CUDA is not available: {why}");
    }
    ensure!(
        Cuda::is_available(),
        "CUDA is not available: the driver finds no usable GPU (is it older than libtorch's CUDA?)"
    );
    let count = Cuda::device_count();
    ensure!(
        (ordinal as i64) < count,
        "there is no GPU {ordinal}: this machine has {count}, counted from 0"
    );
    Ok(Device::Cuda(ordinal))
}

fn load_cuda() -> Result<()> {
    load_library("libcuda.so.1")
        .map_err(|_| anyhow!("no NVIDIA driver (libcuda.so.1) on this machine"))?;
    load_library("libtorch_cuda.so")
        .map_err(|e| anyhow!("this libtorch has no CUDA library that loads: {e:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autocast_casts_products_and_is_restored_on_panic() {
        let x = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
        let y = Tensor::ones([3, 2], (Kind::Float, Device::Cpu));
        {
            let _on = autocast(Device::Cpu, Kind::BFloat16);
            assert_eq!(x.matmul(&y).kind(), Kind::BFloat16);
            {
                let _off = autocast_off(Device::Cpu);
                assert_eq!(x.matmul(&y).kind(), Kind::Float);
            }
            assert_eq!(autocast_dtype(Device::Cpu), Some(Kind::BFloat16));
        }
        assert_eq!(autocast_dtype(Device::Cpu), None);
        let caught = std::panic::catch_unwind(|| {
            let _on = autocast(Device::Cpu, Kind::BFloat16);
            panic!("on purpose");
        });
        assert!(caught.is_err());
        assert_eq!(x.matmul(&y).kind(), Kind::Float);
    }

    #[test]
    fn foreach_operations_match_their_formulas() {
        let xs = || vec![Tensor::from_slice(&[1.0, 2.0]), Tensor::from_slice(&[3.0])];
        let ys = vec![
            Tensor::from_slice(&[10.0, 20.0]),
            Tensor::from_slice(&[30.0]),
        ];
        let flat = |ts: &[Tensor]| -> Vec<f64> { Vec::try_from(Tensor::cat(ts, 0)).unwrap() };
        let check = |change: &dyn Fn(&[Tensor]), expected: [f64; 3]| {
            let xs = xs();
            change(&xs);
            assert_eq!(flat(&xs), expected);
        };
        check(&|xs| foreach_mul_scalar(xs, 2.0), [2.0, 4.0, 6.0]);
        check(
            &|xs| foreach_mul(xs, &[Tensor::from(2.0), Tensor::from(0.5)]),
            [2.0, 4.0, 1.5],
        );
        check(&|xs| foreach_add(xs, &ys, 0.5), [6.0, 12.0, 18.0]);
        check(&|xs| foreach_lerp(xs, &ys, 0.25), [3.25, 6.5, 9.75]);
        check(&|xs| foreach_copy(xs, &ys), [10.0, 20.0, 30.0]);
        check(
            &|xs| foreach_restore(xs, &ys, &Tensor::from(true)),
            [1.0, 2.0, 3.0],
        );
        check(
            &|xs| foreach_restore(xs, &ys, &Tensor::from(false)),
            [10.0, 20.0, 30.0],
        );
        let norms = foreach_norm(&[Tensor::from_slice(&[3.0, 4.0]), Tensor::from_slice(&[-2.0])]);
        assert_eq!(flat(&[norms]), [5.0, 2.0]);
    }

    #[test]
    fn dropped_gradients_are_undefined() {
        let x = Tensor::from_slice(&[1.0, 2.0]).set_requires_grad(true);
        x.square().sum(Kind::Double).backward();
        assert!(x.grad().defined());
        drop_grads(&[x.shallow_clone()]);
        assert!(!x.grad().defined());
    }

    #[test]
    fn missing_cuda_is_one_clear_line() {
        if let Err(error) = cuda_device(1000) {
            let line = format!("{error:#}");
            assert!(line.contains("CUDA") || line.contains("GPU"), "{line}");
            assert!(!line.contains('\n'), "{line}");
        } else {
            panic!("no machine has a thousand GPUs");
        }
    }
}
