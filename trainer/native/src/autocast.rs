//! Autocast with a dtype: convolutions and products in 16 bits, bound to a thread and a scope.

use std::ffi::c_int;
use std::marker::PhantomData;

use tch::{Device, Kind};

use crate::ffi::{Message, must, outcome};

// `at::ScalarType` of c10/core/ScalarType.h, fixed by its serialised form; tch keeps its own table
// private.
const HALF: c_int = 5;
pub(crate) const BFLOAT16: c_int = 15;

unsafe extern "C" {
    fn trainer_autocast_enter(
        is_cuda: c_int,
        enabled: c_int,
        dtype: c_int,
        old_enabled: *mut c_int,
        old_dtype: *mut c_int,
    ) -> Message;
    fn trainer_autocast_leave(is_cuda: c_int, old_enabled: c_int, old_dtype: c_int) -> Message;
    fn trainer_autocast_dtype(is_cuda: c_int) -> c_int;
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

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
}
