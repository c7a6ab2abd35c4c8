//! The bytes of a file, taken from the front. What is cut off is an error, not a panic.

use anyhow::{Context, Result};
use bytes::Bytes;

/// A file, and how far it has been read.
#[derive(Clone, Debug)]
pub(super) struct Input {
    rest: Bytes,
}

impl Input {
    pub(super) fn new(file: Bytes) -> Self {
        Input { rest: file }
    }

    /// The next `len` bytes; they are not copied.
    pub(super) fn take(&mut self, len: usize) -> Result<Bytes> {
        (len <= self.rest.len())
            .then(|| self.rest.split_to(len))
            .context("it is cut off")
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned little-endian number of `len` bytes, at most eight.
    pub(super) fn uint(&mut self, len: usize) -> Result<u64> {
        let bytes = self.take(len)?;
        Ok(bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    /// As many bytes as the number before them, of `len` bytes, says.
    pub(super) fn counted(&mut self, len: usize) -> Result<Bytes> {
        let count = self.uint(len)?;
        self.take(usize::try_from(count).context("it is cut off")?)
    }

    /// The next line, without its end.
    pub(super) fn line(&mut self) -> Result<Bytes> {
        let end = memchr::memchr(b'\n', &self.rest).context("it is cut off")?;
        let line = self.rest.split_to(end);
        self.take(1)?;
        Ok(line)
    }
}
