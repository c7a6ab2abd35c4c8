//! The CUDA library, which the linker drops, and switches of the whole process.

use std::ffi::{CString, c_char, c_int};
use std::sync::OnceLock;

use anyhow::{Result, anyhow, bail, ensure};
use tch::{Cuda, Device};

use crate::ffi::{Message, outcome};

unsafe extern "C" {
    fn trainer_set_device(ordinal: c_int) -> Message;
    fn trainer_set_tf32(on: c_int) -> Message;
    fn trainer_allows_tf32() -> c_int;
    fn trainer_set_deterministic(on: c_int) -> Message;
    fn trainer_is_deterministic() -> c_int;
    fn trainer_load_library(name: *const c_char) -> Message;
}

/// Lets float32 convolutions and matrix products use TF32 tensor cores.
pub fn set_tf32(on: bool) -> Result<()> {
    // SAFETY: sets flags of libtorch's global context.
    outcome(unsafe { trainer_set_tf32(c_int::from(on)) })
}

/// Whether float32 convolutions or matrix products may use TF32 tensor cores.
pub fn allows_tf32() -> bool {
    // SAFETY: reads flags of libtorch's global context.
    unsafe { trainer_allows_tf32() != 0 }
}

/// Lets libtorch take only operations that compute the same bits every time, on one kind of device
/// and with one number of threads. From then on an operation that has no such way is an error. On
/// a GPU it has to be said before the first matrix product, because cuBLAS reads its environment
/// (`CUBLAS_WORKSPACE_CONFIG`, set here unless it is) just once. Call it while no other thread reads
/// the environment.
///
/// Source: "Reproducibility" in PyTorch's notes, and "Results reproducibility" in cuBLAS's manual.
///
/// # Errors
/// A `CUBLAS_WORKSPACE_CONFIG` with which cuBLAS is not deterministic.
pub fn set_deterministic(on: bool) -> Result<()> {
    // SAFETY: sets flags of libtorch's global context, and an environment variable: behind
    // libtorch's lock, and by the caller's promise beside no other reader.
    outcome(unsafe { trainer_set_deterministic(c_int::from(on)) })
}

/// Whether libtorch takes only such operations now.
pub fn is_deterministic() -> bool {
    // SAFETY: reads flags of libtorch's global context.
    unsafe { trainer_is_deterministic() != 0 }
}

/// Loads a shared library and makes its symbols global.
pub(crate) fn load_library(name: &str) -> Result<()> {
    let name = CString::new(name)?;
    // SAFETY: a NUL-terminated string. The libraries loaded are libtorch's own and the NVIDIA
    // driver.
    outcome(unsafe { trainer_load_library(name.as_ptr()) })
}

/// The CUDA device with this ordinal, ready for use, and from now on the current one of the calling
/// thread. Threads that libtorch starts for backward passes choose theirs by themselves.
///
/// Only the device's own context is made. libtorch allocates page-locked memory in the context of
/// the current device, and goes back to the current device behind each event: while that is GPU 0,
/// a run on another GPU would take some hundred megabytes of GPU 0 for a context there.
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
    // SAFETY: a plain integer.
    outcome(unsafe { trainer_set_device(ordinal as c_int) })?;
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
