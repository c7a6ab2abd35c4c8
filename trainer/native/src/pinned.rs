//! Small tensors of the host on their way to a GPU, without waiting for it.
//!
//! A copy from ordinary memory holds the calling thread until the driver has staged it. From
//! page-locked memory it is queued like any kernel.

use anyhow::Result;
use tch::{Device, Tensor};
use torch_sys::C_tensor;

use crate::error::torch;
use crate::ffi::{Message, outcome};

unsafe extern "C" {
    fn trainer_pin(host: *const C_tensor, out: *mut *mut C_tensor) -> Message;
}

/// A copy of a CPU tensor in page-locked memory; needs a GPU.
///
/// # Errors
/// Memory that cannot be page-locked.
pub fn pinned(host: &Tensor) -> Result<Tensor> {
    let mut out: *mut C_tensor = std::ptr::null_mut();
    // NOTE: tch's `pin_memory` names the device, which libtorch 2.11 warns about at every call.
    // SAFETY: the tensor lives for the time of the call; `out` points to a live pointer.
    outcome(unsafe { trainer_pin(host.as_ptr(), &mut out) })?;
    // SAFETY: on success `out` is a new `at::Tensor`, whose only owner this becomes.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// A CPU tensor on `device`: itself on the CPU, else a copy that is queued on the current stream.
/// `host` may be changed or dropped at once.
///
/// # Errors
/// Memory that cannot be had.
pub fn upload(host: &Tensor, device: Device) -> Result<Tensor> {
    match device {
        Device::Cuda(_) => pinned(host)?
            .f_to_device_(device, host.kind(), true, false)
            .map_err(torch),
        _ => Ok(host.shallow_clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda_device;
    use tch::Kind;

    /// What was uploaded, each time with another value in the same host tensor.
    fn values_that_arrive(device: Device) -> Vec<f64> {
        let mut host = Tensor::zeros([1 << 16], (Kind::Float, Device::Cpu));
        let uploaded: Vec<Tensor> = (0..20)
            .map(|round| {
                let _ = host.fill_(f64::from(round));
                let there = upload(&host, device).unwrap();
                // On the CPU it is the same tensor.
                if device.is_cuda() {
                    there
                } else {
                    there.copy()
                }
            })
            .collect();
        let mean = |t: &Tensor| t.mean(Kind::Double).double_value(&[]);
        uploaded.iter().map(mean).collect()
    }

    #[test]
    fn what_is_uploaded_arrives() {
        let expected: Vec<f64> = (0..20).map(f64::from).collect();
        assert_eq!(values_that_arrive(Device::Cpu), expected);
    }

    #[test]
    #[ignore = "needs CUDA"]
    fn what_is_uploaded_arrives_on_a_gpu_although_its_source_changes() {
        let expected: Vec<f64> = (0..20).map(f64::from).collect();
        assert_eq!(values_that_arrive(cuda_device(0).unwrap()), expected);
    }
}
