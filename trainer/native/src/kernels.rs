//! Loads the kernels of `cpp/kernels.cu` for a GPU: NVRTC, which comes with libtorch, compiles them
//! when a run starts.

use std::collections::BTreeSet;
use std::ffi::{CString, c_int, c_uint, c_void};
use std::sync::Mutex;

use anyhow::{Result, anyhow, ensure};
use cudarc::driver::{result, sys};
use cudarc::nvrtc::{self, CompileError, CompileOptions};
use tch::Device;

use crate::cuda::load_library;
use crate::ffi::{Message, outcome};
use crate::self_check::FusedResults;

const SOURCE: &str = include_str!("../cpp/kernels.cu");

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
type Launch = unsafe extern "C" fn(
    *mut c_void,
    *const c_uint,
    *const c_uint,
    *mut c_void,
    *mut *mut c_void,
) -> c_int;

unsafe extern "C" {
    fn trainer_set_kernels(
        ordinal: c_int,
        launch: Option<Launch>,
        multiprocessors: c_int,
        functions: *const *mut c_void,
        n: usize,
    ) -> Message;
}

/// Compiles the kernels for a GPU, once a process; nothing for the CPU. From then on the fused
/// operations use them there, if they compute what libtorch's operations do.
///
/// # Errors
/// NVRTC cannot be loaded, does not know the GPU, the driver refuses what it made, or the results
/// are others. Then everything works as before, without the kernels.
pub fn load_kernels(device: Device) -> Result<()> {
    static LOADED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());
    let Device::Cuda(ordinal) = device else {
        return Ok(());
    };
    let mut loaded = LOADED
        .lock()
        .map_err(|_| anyhow!("an earlier attempt to load the kernels panicked"))?;
    if !loaded.contains(&ordinal) {
        // libtorch makes its context current; the kernels are loaded into it.
        let expected = FusedResults::of(device)?;
        load_into_current_context(ordinal)?;
        let checked = FusedResults::of(device).and_then(|ours| ours.ensure_like(&expected));
        if checked.is_err() {
            // SAFETY: without a function to launch, the list of functions is not read.
            outcome(unsafe {
                trainer_set_kernels(ordinal as c_int, None, 0, std::ptr::null(), 0)
            })?;
        }
        checked?;
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
    let multiprocessors =
        attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
    let image = CString::new(compile(&format!("compute_{major}{minor}"))?)?;
    // SAFETY: a NUL-terminated text in PTX, read during the call. The module is never unloaded, so
    // its functions stay.
    let functions = unsafe {
        let module = result::module::load_data(image.as_ptr().cast())?;
        let function = |name: &str| -> Result<*mut c_void> {
            Ok(result::module::get_function(module, CString::new(name)?)?.cast::<c_void>())
        };
        KERNELS
            .into_iter()
            .map(function)
            .collect::<Result<Vec<_>>>()?
    };
    // SAFETY: `functions` holds as many entries as are announced.
    outcome(unsafe {
        trainer_set_kernels(
            ordinal as c_int,
            Some(launch),
            multiprocessors,
            functions.as_ptr(),
            functions.len(),
        )
    })
}

/// `cuLaunchKernel` of the driver, whatever it is loaded from.
///
/// # Safety
/// As in the driver's manual: a loaded function, and pointers to arguments of the types that it
/// takes.
unsafe extern "C" fn launch(
    function: *mut c_void,
    grid: *const c_uint,
    block: *const c_uint,
    stream: *mut c_void,
    arguments: *mut *mut c_void,
) -> c_int {
    // SAFETY: grid and block are three numbers each (fused.cpp); the rest is the caller's promise.
    let status = unsafe {
        let ([gx, gy, gz], [bx, by, bz]) =
            (*grid.cast::<[c_uint; 3]>(), *block.cast::<[c_uint; 3]>());
        sys::cuLaunchKernel(
            function.cast(),
            gx,
            gy,
            gz,
            bx,
            by,
            bz,
            0,
            stream.cast(),
            arguments,
            std::ptr::null_mut(),
        )
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
        Err(CompileError::CompileError { log, .. }) => {
            Err(anyhow!("NVRTC: {}", log.to_string_lossy().trim()))
        }
        Err(other) => Err(anyhow!("NVRTC: {other:?}")),
    }
}

/// Loads NVRTC and what it needs.
fn find_nvrtc() -> Result<()> {
    // This library of libtorch depends on NVRTC and knows where it lies; once loaded, NVRTC is
    // found by its name. Where that fails (it wants a driver too), NVRTC and its other half may
    // still lie on the binary's run path.
    let _ = load_library("libcaffe2_nvrtc.so");
    // SAFETY: only tries to load the library.
    let is_there = unsafe { nvrtc::sys::is_culib_present() };
    ensure!(is_there, "there is no libnvrtc");
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the library is there, and both pointers are those of live integers.
    unsafe { nvrtc::sys::nvrtcVersion(&mut major, &mut minor) }
        .result()
        .map_err(|e| anyhow!("NVRTC: {e:?}"))?;
    let _ = load_library(&format!("libnvrtc-builtins.so.{major}.{minor}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_compile_for_every_architecture_that_libtorch_supports() {
        for arch in [
            "compute_75",
            "compute_80",
            "compute_90",
            "compute_100",
            "compute_120",
        ] {
            match compile(arch) {
                Ok(ptx) => {
                    assert!(
                        ptx.contains(&format!(".target sm_{}", &arch["compute_".len()..])),
                        "{arch}"
                    );
                    assert!(
                        KERNELS
                            .iter()
                            .all(|name| ptx.contains(&format!(".entry {name}("))),
                        "{arch}"
                    );
                }
                Err(error) if error.to_string().contains("no libnvrtc") => {
                    return testkit::skip(&format!("{error:#}"));
                }
                Err(error) => panic!("{arch}: {error:#}"),
            }
        }
    }
}
