//! For tests only: the CUDA kernels of [`native`] on the CPU.
//!
//! ```no_run
//! use native_emulator::with_kernels;
//! # use tch::{Kind, Tensor, Device};
//! # let (bytes, scale_shift) = (Tensor::zeros([1, 4, 4, 3], (Kind::Uint8, Device::Cpu)), Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)));
//!
//! let plain = native::normalise(&bytes, &scale_shift, Kind::Float);
//! let ours = with_kernels(|| native::normalise(&bytes, &scale_shift, Kind::Float));
//! ```
//!
//! The kernels' source is compiled as C++ and run thread by thread (`cpp/emulator.cpp`). So tests on
//! any machine can compare kernels, libtorch's operations and float64; [`norms`] has what they share.
//! It is a separate package, so that no program links it.
#![deny(missing_docs)]
#![expect(
    unsafe_code,
    reason = "functions in C++: some register the others with `native`"
)]

pub mod norms;

use std::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    fn trainer_emulate_kernels(multiprocessors: c_int) -> *const c_char;
    fn trainer_emulate_flaw(which: c_int, multiprocessors: c_int) -> *const c_char;
}

/// Of the GPU that is emulated.
const MULTIPROCESSORS: c_int = 3;

/// Runs `work` with the kernels in the place of libtorch's operations, on CPU tensors of this
/// thread.
///
/// # Panics
/// If `native` has another number of kernels.
pub fn with_kernels<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: gives this thread kernels.
    emulate(unsafe { trainer_emulate_kernels(MULTIPROCESSORS) }, work)
}

/// What the flaws are, as the build says.
const FLAWS: &str = env!("FLAWS");

/// Runs `work` once with each of several flawed copies of the kernels, and what the flaw is.
///
/// # Panics
/// If `native` has another number of kernels.
pub fn with_each_flaw(mut work: impl FnMut(&'static str)) {
    for (which, flaw) in (0..).zip(FLAWS.split(';')) {
        // SAFETY: gives this thread kernels, whose addresses and sizes are right.
        emulate(
            unsafe { trainer_emulate_flaw(which, MULTIPROCESSORS) },
            || work(flaw),
        );
    }
}

/// Runs `work` with the kernels that this thread has been given, and takes them away. `message` is
/// null, or why it has none.
fn emulate<T>(message: *const c_char, work: impl FnOnce() -> T) -> T {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            // SAFETY: takes the kernels of this thread away.
            let _ = unsafe { trainer_emulate_kernels(0) };
        }
    }
    if !message.is_null() {
        // SAFETY: a non-null message is a NUL-terminated string.
        let text = unsafe { CStr::from_ptr(message) };
        panic!("{}", text.to_string_lossy());
    }
    let _end = End;
    work()
}
