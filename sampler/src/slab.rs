//! One region of memory for all batches, allocated once.
//!
//! Page-locked memory is what a GPU copies from at full speed and without waiting. It is allocated
//! through the CUDA driver, which is looked for at run time: where there is none (or no such
//! device), the slab is ordinary memory, said in one line of the log. Pinning happens in the
//! *primary* context of the given device, the one that libtorch and the CUDA runtime use, with the
//! PORTABLE flag, so that copies to other devices are fast too; never write-combined, because tests
//! and previews read batches on the CPU.
//!
//! This file owns memory and says nothing about who may touch which part: that is
//! [`slot`](crate::slot).
#![expect(unsafe_code, reason = "the CUDA driver's interface is C")]

use std::ffi::c_void;
use std::ptr::NonNull;
use std::time::Instant;

use cudarc::driver::{result, sys};
use memmap2::MmapMut;

use crate::config::Pin;
use crate::error::{Error, Result};

/// Copies whose mean is [`Slab::upload_bytes_per_s`].
const TIMED_UPLOADS: usize = 20;

/// Every part of the slab starts on a page of its own.
pub const PAGE_BYTES: usize = 4096;

/// Zeroed, page-aligned memory.
#[derive(Debug)]
pub struct Slab {
    start: NonNull<u8>,
    bytes: usize,
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    /// Kept for its drop.
    Plain { _map: MmapMut },
    Pinned {
        device: sys::CUdevice,
        context: sys::CUcontext,
    },
}

// SAFETY: the slab is memory and two handles of the CUDA driver, which may be used from any thread.
// It gives out a pointer only; who follows it answers for exclusive access (`slot.rs`).
unsafe impl Send for Slab {}
// SAFETY: as above; no method changes the slab through a shared reference.
unsafe impl Sync for Slab {}

impl Slab {
    /// Allocates `bytes` (more than 0), page-locked if `pin` asks for it and it can be had.
    ///
    /// # Errors
    /// [`Error::Io`] if there is not so much memory.
    pub fn new(bytes: usize, pin: Pin) -> Result<Self> {
        assert!(bytes > 0, "a slab holds at least one page");
        if let Pin::Auto(ordinal) = pin {
            match allocate_pinned(bytes, ordinal) {
                Ok(slab) => return Ok(slab),
                Err(reason) => {
                    tracing::info!(reason, "batches lie in ordinary memory, not page-locked")
                }
            }
        }
        let mut map = MmapMut::map_anon(bytes).map_err(|source| Error::Io {
            action: "allocate memory for the batches",
            source,
        })?;
        let start = NonNull::from(&mut map[0]);
        Ok(Self {
            start,
            bytes,
            memory: Memory::Plain { _map: map },
        })
    }

    /// First byte, on a page boundary.
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes a second reach the device when `bytes`, a part of the slab, are copied there.
    /// `None` if the slab is not page-locked, or the device lacks the memory.
    pub fn upload_bytes_per_s(&self, bytes: &[u8]) -> Option<f64> {
        let Memory::Pinned { context, .. } = self.memory else {
            return None;
        };
        let measured = with_context(context, || {
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

    /// Whether it is page-locked.
    pub fn is_pinned(&self) -> bool {
        matches!(self.memory, Memory::Pinned { .. })
    }
}

/// Page-locked memory, or why there is none.
fn allocate_pinned(bytes: usize, ordinal: u32) -> Result<Slab, String> {
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
    Ok(Slab {
        start,
        bytes,
        memory: Memory::Pinned { device, context },
    })
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

impl Drop for Slab {
    fn drop(&mut self) {
        if let Memory::Pinned { device, context } = self.memory {
            let pointer = self.start.as_ptr().cast::<c_void>();
            // SAFETY: allocated by `malloc_host`, not freed before; `&mut self` proves that nobody
            // uses it any more.
            let freed = with_context(context, || unsafe { result::free_host(pointer) });
            // SAFETY: retained in `allocate_pinned`, and this was the last use.
            let released = unsafe { result::primary_ctx::release(device) };
            // At the end of a process the driver may be gone already; then so is the memory.
            if let Err(error) = freed.and(released) {
                tracing::debug!(?error, "page-locked memory was not returned");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_memory_is_aligned_and_zeroed() {
        let slab = Slab::new(3 * PAGE_BYTES, Pin::Never).unwrap();
        assert_eq!(slab.start().as_ptr() as usize % PAGE_BYTES, 0);
        assert!(!slab.is_pinned());
        // SAFETY: the slab owns these bytes and nobody writes to them.
        let bytes = unsafe { std::slice::from_raw_parts(slab.start().as_ptr(), slab.bytes()) };
        assert!(bytes.len() == 3 * PAGE_BYTES && bytes.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn without_such_a_device_memory_is_plain() {
        let slab = Slab::new(PAGE_BYTES, Pin::Auto(u32::MAX)).unwrap();
        assert!(!slab.is_pinned());
        assert_eq!(slab.upload_bytes_per_s(&[]), None);
    }

    #[test]
    #[ignore = "needs CUDA"]
    fn with_a_device_memory_is_pinned() {
        let slab = Slab::new(PAGE_BYTES, Pin::Auto(0)).unwrap();
        assert!(slab.is_pinned());
        assert_eq!(slab.start().as_ptr() as usize % PAGE_BYTES, 0);
        // SAFETY: the slab owns these bytes and nobody writes to them.
        let bytes = unsafe { std::slice::from_raw_parts(slab.start().as_ptr(), slab.bytes()) };
        assert!(slab.upload_bytes_per_s(bytes).unwrap() > 0.0);
    }
}
