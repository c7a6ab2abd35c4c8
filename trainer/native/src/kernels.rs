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

/// Entry points of the source, in the order of `Kernel` in kernels.h.
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

/// Context, function, grid and block (three numbers each), stream, pointers to the arguments; 0 is
/// success.
type Launch = unsafe extern "C" fn(
    *mut c_void,
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
        context: *mut c_void,
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
/// are others. Then everything works as before, without the kernels. A fault inside a kernel is
/// beyond that: it ends all work on the GPU, and `run.fused_kernels = false` is the way round.
pub fn load_kernels(device: Device) -> Result<()> {
    static LOADED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());
    let Device::Cuda(ordinal) = device else {
        return Ok(());
    };
    let mut loaded = LOADED
        .lock()
        .map_err(|_| anyhow!("an earlier attempt to load the kernels panicked"))?;
    if !loaded.contains(&ordinal) {
        let expected = FusedResults::expected(device)?;
        load(ordinal)?;
        let checked = FusedResults::of(device).and_then(|ours| ours.ensure_like(&expected));
        if checked.is_err() {
            set_kernels(ordinal, None)?;
        }
        checked?;
        loaded.insert(ordinal);
    }
    Ok(())
}

/// The kernels of one GPU.
struct Loaded {
    /// The GPU's primary context: the one that the CUDA runtime and libtorch compute in.
    context: sys::CUcontext,
    multiprocessors: c_int,
    /// In the order of `KERNELS`.
    functions: Vec<*mut c_void>,
}

fn load(ordinal: usize) -> Result<()> {
    result::init()?;
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
    // SAFETY: `gpu` is a device of the driver. Its context is never released, so that the module in
    // it stays.
    let context = unsafe { result::primary_ctx::retain(gpu) }?;
    let functions = functions_in(context, gpu, &image)?;
    set_kernels(
        ordinal,
        Some(&Loaded {
            context,
            multiprocessors,
            functions,
        }),
    )
}

/// Loads the PTX `image` into `context`, which is one of `gpu`; the thread's current context stays
/// what it is.
fn functions_in(
    context: sys::CUcontext,
    gpu: sys::CUdevice,
    image: &CString,
) -> Result<Vec<*mut c_void>> {
    let load = || -> Result<Vec<*mut c_void>> {
        let mut current = -1;
        // SAFETY: `current` points to a live integer.
        unsafe { sys::cuCtxGetDevice(&mut current) }.result()?;
        ensure!(current == gpu, "the context is of GPU {current}, not {gpu}");
        // SAFETY: a NUL-terminated text in PTX, read during the call. The module is never unloaded,
        // so its functions stay.
        unsafe {
            let module = result::module::load_data(image.as_ptr().cast())?;
            let function = |name: &str| -> Result<*mut c_void> {
                Ok(result::module::get_function(module, CString::new(name)?)?.cast::<c_void>())
            };
            KERNELS.into_iter().map(function).collect()
        }
    };
    // SAFETY: `context` is a primary context that is held for good.
    unsafe { sys::cuCtxPushCurrent_v2(context) }.result()?;
    let functions = load();
    let mut popped = std::ptr::null_mut();
    // SAFETY: pops what was pushed above; `popped` points to a live pointer.
    unsafe { sys::cuCtxPopCurrent_v2(&mut popped) }.result()?;
    functions
}

/// Gives a GPU's kernels to the fused operations, or takes them away.
fn set_kernels(ordinal: usize, loaded: Option<&Loaded>) -> Result<()> {
    let null = std::ptr::null_mut();
    let (context, multiprocessors) = loaded.map_or((null, 0), |l| {
        (l.context.cast::<c_void>(), l.multiprocessors)
    });
    let functions: &[*mut c_void] = loaded.map_or(&[], |l| &l.functions);
    // SAFETY: `functions` holds as many entries as are announced; without a function to launch they
    // are not read.
    outcome(unsafe {
        trainer_set_kernels(
            ordinal as c_int,
            loaded.map(|_| launch as Launch),
            context,
            multiprocessors,
            functions.as_ptr(),
            functions.len(),
        )
    })
}

/// `cuLaunchKernel` of the driver, whatever it is loaded from.
///
/// The caller has made the GPU the current one of this thread. But the runtime makes its context
/// current only with the thread's first work there, and this may be it: then it is done here.
///
/// # Safety
/// As in the driver's manual: a function loaded in `context`, the GPU's primary one, and pointers to
/// arguments of the types that it takes.
unsafe extern "C" fn launch(
    context: *mut c_void,
    function: *mut c_void,
    grid: *const c_uint,
    block: *const c_uint,
    stream: *mut c_void,
    arguments: *mut *mut c_void,
) -> c_int {
    // SAFETY: grid and block are three numbers each (kernels.h); the rest is the caller's promise.
    let status = unsafe {
        let mut current = std::ptr::null_mut();
        let mut status = sys::cuCtxGetCurrent(&mut current);
        if status == sys::CUresult::CUDA_SUCCESS && current != context.cast() {
            status = sys::cuCtxSetCurrent(context.cast());
        }
        if status != sys::CUresult::CUDA_SUCCESS {
            return status as c_int;
        }
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
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::process::Command;

    /// What libtorch 2.11 is built for.
    const ARCHITECTURES: [&str; 6] = ["75", "80", "86", "90", "100", "120"];

    /// The kernels in PTX, or a skipped test.
    fn ptx(arch: &str) -> Option<String> {
        match compile(&format!("compute_{arch}")) {
            Ok(ptx) => Some(ptx),
            Err(error) if error.to_string().contains("no libnvrtc") => {
                testkit::skip(&format!("{error:#}"));
                None
            }
            Err(error) => panic!("{arch}: {error:#}"),
        }
    }

    #[test]
    fn the_kernels_compile_for_every_architecture_that_libtorch_supports() {
        for arch in ARCHITECTURES {
            let Some(ptx) = ptx(arch) else { return };
            assert!(ptx.contains(&format!(".target sm_{arch}")), "{arch}");
            assert!(
                KERNELS
                    .iter()
                    .all(|name| ptx.contains(&format!(".entry {name}("))),
                "{arch}"
            );
        }
    }

    /// The assembler that comes with PyTorch's libtorch, or one on the path.
    fn ptxas() -> Option<&'static str> {
        [env!("PTXAS"), "ptxas"].into_iter().find(|program| {
            let version = Command::new(program).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        })
    }

    /// What `ptxas -v` says behind the name of each kernel: bytes of its stack and of spilled
    /// registers, stored and loaded.
    fn memory_of_registers(report: &str) -> BTreeMap<&str, [u32; 3]> {
        let mut found = BTreeMap::new();
        let mut kernel = "";
        for line in report.lines() {
            if let Some((_, rest)) = line.split_once("Function properties for ") {
                kernel = rest.trim();
            } else if line.contains("spill stores") {
                let mut numbers = line
                    .split(|c: char| !c.is_ascii_digit())
                    .filter_map(|number| number.parse().ok());
                found.insert(kernel, [(); 3].map(|()| numbers.next().unwrap()));
            }
        }
        found
    }

    fn assembled(ptxas: &str, arch: &str, ptx: &str, folder: &Path) -> String {
        let path = folder.join("kernels.ptx");
        std::fs::write(&path, ptx).unwrap();
        let output = Command::new(ptxas)
            .args(["-v", &format!("--gpu-name=sm_{arch}"), "-o"])
            .arg(folder.join("kernels.cubin"))
            .arg(&path)
            .output()
            .unwrap();
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arch}: {report}");
        report
    }

    #[test]
    fn no_kernel_spills_registers() {
        let Some(ptxas) = ptxas() else {
            return testkit::skip("there is no ptxas beside libtorch or on the path");
        };
        let folder = tempfile::tempdir().unwrap();
        for arch in ARCHITECTURES {
            let Some(ptx) = ptx(arch) else { return };
            let report = assembled(ptxas, arch, &ptx, folder.path());
            let found = memory_of_registers(&report);
            assert_eq!(found.len(), KERNELS.len(), "{arch}: {report}");
            for (kernel, bytes) in found {
                assert_eq!(bytes, [0; 3], "{kernel} on sm_{arch}: stack, stores, loads");
            }
        }
    }
}
