//! What this process computes with: which libtorch, which GPU.

use std::ffi::c_int;
use std::ptr::null_mut;

use cudarc::driver::result;
use tch::Device;

use crate::ffi::{Message, outcome, taken};

unsafe extern "C" {
    fn trainer_torch_config(text: *mut Message) -> Message;
}

/// The version of the libtorch that is loaded, as in `2.11.0`: that of the file that was found, not
/// that of the headers.
pub fn torch_version() -> String {
    let mut text = null_mut();
    // SAFETY: `text` is a live pointer.
    let asked = outcome(unsafe { trainer_torch_config(&mut text) });
    let config = asked.ok().and_then(|()| taken(text)).unwrap_or_default();
    version_in(&config).unwrap_or("unknown").to_owned()
}

/// Of libtorch's own description, in which it stands among other settings.
fn version_in(config: &str) -> Option<&str> {
    let (_, rest) = config.split_once("TORCH_VERSION=")?;
    rest.split([',', ' ', '\n']).next()
}

/// What the maker calls a GPU, as in `NVIDIA H100 80GB HBM3`; `None` for a CPU.
pub fn gpu_name(device: Device) -> Option<String> {
    let Device::Cuda(ordinal) = device else {
        return None;
    };
    result::init().ok()?;
    let gpu = result::device::get(ordinal as c_int).ok()?;
    result::device::get_name(gpu).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_says_its_version() {
        let version = torch_version();
        let parts: Vec<&str> = version.split('.').collect();
        assert!(parts.len() >= 3 && parts[0] == "2", "{version}");
    }

    #[test]
    fn a_version_ends_where_the_next_setting_begins() {
        let config = "PyTorch built with:\n  - GCC 13.3\n  - Build settings: A=1, TORCH_VERSION=2.11.0, USE_CUDA=OFF";
        assert_eq!(version_in(config), Some("2.11.0"));
        assert_eq!(version_in("A=1"), None);
    }

    #[test]
    fn a_cpu_is_no_gpu() {
        assert_eq!(gpu_name(Device::Cpu), None);
    }
    #[test]
    #[ignore = "needs CUDA"]
    fn a_gpu_has_a_name() {
        let name = gpu_name(crate::cuda_device(0).unwrap()).unwrap();
        assert!(!name.is_empty() && !name.contains('\0'), "{name:?}");
    }
}
