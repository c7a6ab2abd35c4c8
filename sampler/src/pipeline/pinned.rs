//! Page-locked memory, from the CUDA driver.
//!
//! The driver is looked for at run time. Memory is pinned in the *primary* context of the given
//! device, the one that libtorch and the CUDA runtime use, with the PORTABLE flag, so that copies
//! to other devices are fast too; never write-combined, because tests and previews read batches on
//! the CPU.
#![expect(unsafe_code, reason = "the CUDA driver's interface is C")]

use std::ffi::c_void;
use std::ptr::NonNull;
use std::time::Instant;

use cudarc::driver::{result, sys};

/// Copies whose mean is [`Pinned::upload_bytes_per_s`].
const TIMED_UPLOADS: usize = 20;

/// Zeroed, page-locked memory.
#[derive(Debug)]
pub(crate) struct Pinned {
    start: NonNull<u8>,
    device: sys::CUdevice,
    context: sys::CUcontext,
}

impl Pinned {
    /// `bytes` (more than 0) of it by the driver's device `ordinal`, or why there is none.
    pub(crate) fn new(bytes: usize, ordinal: u32) -> Result<Self, String> {
        let refused =
            |what: &'static str| move |error: result::DriverError| format!("{what}: {error:?}");
        // SAFETY: loads and unloads the driver library, whose initialisers are meant to run in any
        // process.
        if !unsafe { sys::is_culib_present() } {
            return Err("no CUDA driver on this machine".to_owned());
        }
        result::init().map_err(refused("the CUDA driver does not start"))?;
        let ordinal = i32::try_from(ordinal).map_err(|_| format!("no CUDA device {ordinal}"))?;
        let device = result::device::get(ordinal).map_err(refused("no such CUDA device"))?;
        // SAFETY: `device` comes from `device::get`.
        let context = unsafe { result::primary_ctx::retain(device) }
            .map_err(refused("no context on the CUDA device"))?;
        let allocated = with_context(context, || {
            // SAFETY: a context is current. The memory is written below before anything reads it.
            unsafe { result::malloc_host(bytes, sys::CU_MEMHOSTALLOC_PORTABLE) }
        });
        let start = allocated
            .ok()
            .and_then(|pointer| NonNull::new(pointer.cast::<u8>()));
        let Some(start) = start else {
            // SAFETY: retained above and not used any more.
            let _ = unsafe { result::primary_ctx::release(device) };
            return Err(format!(
                "the CUDA driver did not page-lock {} MiB",
                bytes >> 20
            ));
        };
        // SAFETY: the driver has just given us `bytes` bytes there; nobody else knows of them.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self {
            start,
            device,
            context,
        })
    }

    /// First byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// How many bytes a second reach the device when `bytes`, a part of this memory, are copied
    /// there. `None` if the device lacks the memory.
    pub(crate) fn upload_bytes_per_s(&self, bytes: &[u8]) -> Option<f64> {
        let measured = with_context(self.context, || {
            // SAFETY: a context is current; freed below, when all copies are done.
            let target = unsafe { result::malloc_sync(bytes.len()) }?;
            let copy = || {
                // SAFETY: `target` has the length of `bytes`, which stay borrowed until the copy,
                // which is synchronous, has returned.
                unsafe { result::memcpy_htod_sync(target, bytes) }
            };
            let time = || -> Result<f64, result::DriverError> {
                copy()?;
                let started = Instant::now();
                (0..TIMED_UPLOADS).try_for_each(|_| copy())?;
                Ok(started.elapsed().as_secs_f64())
            };
            let seconds = time();
            // SAFETY: allocated above, and not used any more.
            unsafe { result::free_sync(target) }?;
            seconds
        });
        measured
            .ok()
            .map(|seconds| (TIMED_UPLOADS * bytes.len()) as f64 / seconds)
    }
}

/// Runs `f` with `context` current, and leaves the thread's current context as it was: it may be
/// libtorch's.
fn with_context<T>(
    context: sys::CUcontext,
    f: impl FnOnce() -> Result<T, result::DriverError>,
) -> Result<T, result::DriverError> {
    // SAFETY: `context` is a primary context that we hold.
    unsafe { sys::cuCtxPushCurrent_v2(context) }.result()?;
    let value = f();
    let mut popped = std::ptr::null_mut();
    // SAFETY: pops what was pushed above.
    unsafe { sys::cuCtxPopCurrent_v2(&raw mut popped) }.result()?;
    value
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let pointer = self.start.as_ptr().cast::<c_void>();
        // SAFETY: allocated by `malloc_host`, not freed before; `&mut self` proves that nobody uses
        // it any more.
        let freed = with_context(self.context, || unsafe { result::free_host(pointer) });
        // SAFETY: retained in `new`, and this was the last use.
        let released = unsafe { result::primary_ctx::release(self.device) };
        // At the end of a process the driver may be gone already; then so is the memory.
        if let Err(error) = freed.and(released) {
            tracing::debug!(?error, "page-locked memory was not returned");
        }
    }
}
