//! What a compressed archive unpacks to, walked through from front to back.

use std::io::{self, Read};

use super::forward::{Forward, MIN_LOOK_BACK_BYTES, TooFarBack};
use super::unpack::{Unpacker, fault};
use crate::error::Defect;

/// Bytes that are unpacked at once.
const CHUNK_BYTES: usize = 1 << 18;

/// The last bytes that were unpacked, and what comes after them.
pub(super) struct Unrolled {
    unpacker: Unpacker,
    window: Vec<u8>,
    /// Of the window.
    start: u64,
    is_at_end: bool,
    fault: Option<Defect>,
}

impl Unrolled {
    pub(super) fn new(unpacker: Unpacker) -> Self {
        Self {
            unpacker,
            window: Vec::new(),
            start: 0,
            is_at_end: false,
            fault: None,
        }
    }

    fn end(&self) -> u64 {
        self.start + self.window.len() as u64
    }

    fn fill(&mut self) -> io::Result<()> {
        let keep = MIN_LOOK_BACK_BYTES as usize;
        if self.window.len() >= 2 * keep {
            let out = self.window.len() - keep;
            self.window.drain(..out);
            self.start += out as u64;
        }
        let mut chunk = self.unpacker.by_ref().take(CHUNK_BYTES as u64);
        match chunk.read_to_end(&mut self.window) {
            Ok(read) => self.is_at_end = read < CHUNK_BYTES,
            Err(error) => {
                self.fault = Some(fault(error)?);
                self.is_at_end = true;
            }
        }
        Ok(())
    }
}

impl Forward for Unrolled {
    fn reach(&mut self, end: u64) -> io::Result<u64> {
        while self.end() < end && !self.is_at_end {
            self.fill()?;
        }
        Ok(end.min(self.end()))
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let start = at.checked_sub(self.start).map(|start| start as usize);
        let found = start.and_then(|start| self.window.get(start..start + buffer.len()));
        let found = found.ok_or_else(|| io::Error::other(TooFarBack))?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn fault(&self) -> Option<(Defect, u64)> {
        let defect = self.fault.clone()?;
        Some((defect, self.unpacker.packed_bytes_left()))
    }
}
