//! A file in memory, without reading it.
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe: another process could truncate it"
)]

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use crate::{Error, Result};

/// A read-only memory map of a whole shard of an open set.
#[derive(Debug)]
pub(crate) struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Maps `path`, which must be exactly `bytes` long: a truncated file is an error here rather
    /// than a SIGBUS later.
    ///
    /// # Errors
    /// [`Error::Lost`] if it cannot be opened, or has another length.
    pub(crate) fn open(path: &Path, bytes: u64) -> Result<Self> {
        let lost = |answer| Error::lost(path, answer);
        let file = File::open(path).map_err(lost)?;
        let found = file.metadata().map_err(lost)?.len();
        if found != bytes {
            return Err(Error::resized(path, found, bytes));
        }
        // SAFETY: shards are never written in place: writers make a temporary file and rename it,
        // so a mapped file keeps its bytes and its length until it is dropped. That nobody else
        // truncates it is the caller's environment; the length was checked just now.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(lost)?;
        Ok(Self(map))
    }

    /// Tells the system that these bytes will be read soon; a hint, errors are ignored.
    pub(crate) fn will_need(&self, offset: u64, len: u32) {
        let _ = self
            .0
            .advise_range(memmap2::Advice::WillNeed, offset as usize, len as usize);
    }

    /// Tells the system that reads will be scattered.
    pub(crate) fn random_access(&self) {
        let _ = self.0.advise(memmap2::Advice::Random);
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
