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
//! any machine can compare kernels, libtorch's operations and float64. It is a separate package, so
//! that no program links it.
#![deny(missing_docs)]
#![expect(
    unsafe_code,
    reason = "two functions in C++: one registers the other with `native`"
)]

use std::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    fn trainer_emulate_kernels(multiprocessors: c_int) -> *const c_char;
}

/// Of the GPU that is emulated.
const MULTIPROCESSORS: c_int = 3;

/// Runs `work` with the kernels in the place of libtorch's operations, on CPU tensors of this
/// thread.
///
/// # Panics
/// If `native` has another number of kernels.
pub fn with_kernels<T>(work: impl FnOnce() -> T) -> T {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            // SAFETY: takes the kernels of this thread away.
            let _ = unsafe { trainer_emulate_kernels(0) };
        }
    }
    // SAFETY: gives this thread kernels.
    let message = unsafe { trainer_emulate_kernels(MULTIPROCESSORS) };
    if !message.is_null() {
        // SAFETY: a non-null message is a NUL-terminated string.
        let text = unsafe { CStr::from_ptr(message) };
        panic!("{}", text.to_string_lossy());
    }
    let _end = End;
    work()
}
