//! Looking at what libtorch did: a trace of its operations, and the memory of a GPU that they took.

use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tch::Device;

use crate::ffi::{Message, outcome};

unsafe extern "C" {
    fn trainer_peak_memory(ordinal: c_int, bytes: *mut i64) -> Message;
    fn trainer_reset_peak_memory(ordinal: c_int) -> Message;
    fn trainer_trace_begin(with_cuda: c_int) -> Message;
    fn trainer_trace_end(path: *const c_char) -> Message;
}

/// The most bytes that tensors and workspaces on a GPU have held at once so far; `None` on the CPU, where libtorch
/// does not count.
pub fn peak_memory_bytes(device: Device) -> Result<Option<u64>> {
    let Device::Cuda(ordinal) = device else {
        return Ok(None);
    };
    let mut bytes = 0;
    // SAFETY: `bytes` points to a live integer.
    outcome(unsafe { trainer_peak_memory(ordinal as c_int, &mut bytes) })?;
    Ok(Some(bytes as u64))
}

/// From now on [`peak_memory_bytes`] is the most since now; nothing on the CPU.
pub fn reset_peak_memory(device: Device) -> Result<()> {
    match device {
        // SAFETY: a plain integer.
        Device::Cuda(ordinal) => outcome(unsafe { trainer_reset_peak_memory(ordinal as c_int) }),
        _ => Ok(()),
    }
}

/// Runs `work` under libtorch's profiler, and writes what its operations and, on a GPU, their
/// kernels were and when, to `path` in Chrome's trace format. `work` must have waited for the
/// device when it returns. One at a time.
///
/// # Errors
/// Those of `work`, a profiler that does not start, and a file that cannot be written.
pub fn trace<T>(path: &Path, device: Device, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let name =
        CString::new(path.as_os_str().as_bytes()).context("the trace's path holds a zero byte")?;
    // SAFETY: a plain integer.
    outcome(unsafe { trainer_trace_begin(c_int::from(device.is_cuda())) })?;
    let tracing = Tracing { ended: false };
    let value = work()?;
    tracing.end(&name)?;
    // libtorch logs that it could not write, and goes on.
    ensure!(
        fs::metadata(path).is_ok_and(|file| file.len() > 0),
        "the trace could not be written to {}",
        path.display()
    );
    Ok(value)
}

/// The profiler is on; dropped without [`end`](Self::end), as on an error or a panic, it ends
/// without a file.
struct Tracing {
    ended: bool,
}

impl Tracing {
    fn end(mut self, path: &CString) -> Result<()> {
        self.ended = true;
        // SAFETY: a NUL-terminated string that lives for the time of the call; the profiler was
        // begun.
        outcome(unsafe { trainer_trace_end(path.as_ptr()) })
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        if !self.ended {
            // SAFETY: the profiler was begun and not ended. An error would hide the reason for
            // which `work` failed.
            let _ = outcome(unsafe { trainer_trace_end(std::ptr::null()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use tch::{Kind, Tensor};

    #[test]
    fn a_trace_names_the_operations_of_both_passes_and_ends_when_its_work_fails() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.json");
        let failed: Result<()> = trace(&path, Device::Cpu, || bail!("on purpose"));
        assert!(failed.is_err() && !path.exists());

        let x = Tensor::ones([3, 4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let work = || {
            x.matmul(&x.tr()).sum(Kind::Float).backward();
            Ok(())
        };
        trace(&path, Device::Cpu, work).unwrap();
        let file: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let events = file["traceEvents"].as_array().unwrap();
        let has = |name: &str| {
            events
                .iter()
                .any(|event| event["name"].as_str().is_some_and(|n| n.contains(name)))
        };
        assert!(has("aten::mm") && has("MmBackward0"));
        let nowhere = folder.path().join("no/such/folder/trace.json");
        let refused = trace(&nowhere, Device::Cpu, || Ok(()))
            .unwrap_err()
            .to_string();
        assert!(refused.contains("no/such/folder"), "{refused}");
    }

    #[test]
    fn the_cpu_has_no_peak() {
        assert_eq!(peak_memory_bytes(Device::Cpu).unwrap(), None);
    }
}
