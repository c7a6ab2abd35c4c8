//! One region of memory for all batches, allocated once.
//!
//! Page-locked memory is what a GPU copies from at full speed and without waiting. Where there is
//! no CUDA driver, no such device, or no feature `pin` in this build, the slab is ordinary memory,
//! said in one line of the log. It is taken from all other programs, so the processes that a launcher
//! has started on a machine lock no more than half of its memory together.
//!
//! This file owns memory and says nothing about who may touch which part: that is
//! [`slot`](crate::pipeline::slot).
#![expect(unsafe_code, reason = "memory is shared between threads")]

use std::ptr::NonNull;

use memmap2::MmapMut;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
#[cfg(feature = "pin")]
use crate::pipeline::pinned::Pinned;

/// Every part of the slab starts on a page of its own.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Where the bytes of batches lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pin {
    /// In ordinary, page-aligned memory.
    #[default]
    Never,
    /// Page-locked through the CUDA driver in the primary context of this device; ordinary memory,
    /// with one line in the log, where there is no driver, no such device, or no feature `pin` in
    /// this build, or where this process is one of several on the machine that together would
    /// page-lock more than half of its memory.
    Auto(u32),
}

/// Zeroed, page-aligned memory.
#[derive(Debug)]
pub(crate) struct Slab {
    start: NonNull<u8>,
    bytes: usize,
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    /// Kept for its drop.
    Plain { _map: MmapMut },
    #[cfg(feature = "pin")]
    Pinned(Pinned),
}

// SAFETY: the slab is memory and, if pinned, two handles of the CUDA driver, which may be used from
// any thread. It gives out a pointer only; who follows it answers for exclusive access (`slot.rs`).
unsafe impl Send for Slab {}
// SAFETY: as above; no method changes the slab through a shared reference.
unsafe impl Sync for Slab {}

impl Slab {
    /// Allocates `bytes` (more than 0), page-locked if `pin` asks for it and it can be had.
    ///
    /// # Errors
    /// [`Error::Io`] if there is not so much memory.
    pub(crate) fn new(bytes: usize, pin: Pin) -> Result<Self> {
        assert!(bytes > 0, "a slab holds at least one page");
        if let Pin::Auto(ordinal) = pin {
            match allocate_pinned(bytes, ordinal) {
                Ok(slab) => return Ok(slab),
                // A warning, because every program of ours shows those: uploads are slower, and
                // nothing else would tell.
                Err(reason) => tracing::warn!(
                    "batches lie in ordinary memory, not page-locked ({reason}): uploads to the GPU are slower"
                ),
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
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Length in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes a second reach the device when `bytes`, a part of the slab, are copied there.
    /// `None` if the slab is not page-locked, or the device lacks the memory.
    #[cfg_attr(not(feature = "pin"), expect(unused_variables))]
    pub(crate) fn upload_bytes_per_s(&self, bytes: &[u8]) -> Option<f64> {
        match &self.memory {
            Memory::Plain { .. } => None,
            #[cfg(feature = "pin")]
            Memory::Pinned(pinned) => pinned.upload_bytes_per_s(bytes),
        }
    }

    /// Whether it is page-locked.
    pub(crate) fn is_pinned(&self) -> bool {
        !matches!(self.memory, Memory::Plain { .. })
    }
}

/// A page-locked slab, or why there is none.
#[cfg(feature = "pin")]
fn allocate_pinned(bytes: usize, ordinal: u32) -> Result<Slab, String> {
    check_share(bytes, host::local_processes(), host::memory_bytes())?;
    let pinned = Pinned::new(bytes, ordinal)?;
    Ok(Slab {
        start: pinned.start(),
        bytes,
        memory: Memory::Pinned(pinned),
    })
}

/// Refuses a slab of `bytes` if `processes`, several, with one each would lock more than half of the
/// machine's memory.
#[cfg(feature = "pin")]
fn check_share(bytes: usize, processes: usize, memory: Option<u64>) -> Result<(), String> {
    let Some(memory) = memory else { return Ok(()) };
    let together = (bytes as u64).saturating_mul(processes as u64);
    if processes == 1 || together <= memory / 2 {
        return Ok(());
    }
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    Err(format!(
        "the {processes} processes of this machine would lock {:.1} GiB together, more than half of {:.1} GiB",
        gib(together),
        gib(memory)
    ))
}

#[cfg(not(feature = "pin"))]
fn allocate_pinned(_bytes: usize, _ordinal: u32) -> Result<Slab, String> {
    Err("this build of `sampler` lacks its feature `pin`".to_owned())
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
    #[cfg(feature = "pin")]
    fn processes_of_a_machine_lock_no_more_than_half_of_its_memory() {
        const GIB: usize = 1 << 30;
        let refusal = |bytes, processes, memory: usize| {
            check_share(bytes, processes, Some(memory as u64)).err()
        };
        assert_eq!(refusal(GIB, 8, 16 * GIB), None, "just half");
        assert_eq!(
            refusal(GIB, 9, 16 * GIB).as_deref(),
            Some(
                "the 9 processes of this machine would lock 9.0 GiB together, more than half of 16.0 GiB"
            )
        );
        assert_eq!(refusal(3 * GIB, 1, 4 * GIB), None, "a process alone");
        assert!(refusal(usize::MAX, 8, 16 * GIB).is_some());
        assert_eq!(check_share(usize::MAX, 8, None), Ok(()), "nobody knows");
    }

    #[test]
    #[cfg(feature = "pin")]
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
