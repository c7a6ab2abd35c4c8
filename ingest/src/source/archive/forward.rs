//! Bytes that are walked through from front to back.
//!
//! A tar is: header after header, with a short look back at most. What is compressed as a whole can
//! be read in no other way, and what lies on a disk is read ahead where members are small.

use std::fmt;
use std::io;

use rawzip::ReaderAt;

use super::joined::Joined;
use crate::error::Defect;

/// So far back at least a walk may look.
pub(super) const MIN_LOOK_BACK_BYTES: u64 = 2 << 20;

/// The walk looks back too far.
#[derive(Debug)]
pub(super) struct TooFarBack;

impl fmt::Display for TooFarBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the walk looks back too far")
    }
}

impl std::error::Error for TooFarBack {}

impl TooFarBack {
    /// Whether `error` is it.
    pub(super) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// Bytes that are walked through.
pub(super) trait Forward {
    /// `end`, or the end of the bytes if it comes first.
    ///
    /// # Errors
    /// If reading fails.
    fn reach(&mut self, end: u64) -> io::Result<u64>;

    /// Reads bytes that were reached.
    ///
    /// # Errors
    /// If that fails; [`TooFarBack`] if they are gone.
    fn read_exact_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<()>;

    /// Why the bytes end where they end, if that is no good end; and how many cannot be read for
    /// that reason.
    fn fault(&self) -> Option<(Defect, u64)> {
        None
    }
}

/// Where headers lie closer to one another, many are read at once.
const CLOSE_BYTES: u64 = 1 << 16;

/// As many as are read at once.
const AHEAD_BYTES: u64 = 1 << 18;

/// What is read otherwise: a header, its extensions, and what follows them.
const SINGLE_BYTES: u64 = 4 << 10;

/// The bytes of an archive on disk.
pub(super) struct Ahead<'a> {
    bytes: &'a Joined,
    buffer: Vec<u8>,
    /// Of the buffer.
    start: u64,
    /// What was asked for last.
    last: u64,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(bytes: &'a Joined) -> Self {
        Self {
            bytes,
            buffer: Vec::new(),
            start: 0,
            last: 0,
        }
    }

    fn fill(&mut self, at: u64) -> io::Result<()> {
        let is_close = at.saturating_sub(self.last) < CLOSE_BYTES;
        let wanted = if is_close { AHEAD_BYTES } else { SINGLE_BYTES };
        let len = wanted.min(self.bytes.len().saturating_sub(at));
        self.buffer.resize(len as usize, 0);
        self.start = at;
        let read = self.bytes.read_exact_at(&mut self.buffer, at);
        if read.is_err() {
            self.buffer.clear();
        }
        read
    }
}

impl Forward for Ahead<'_> {
    fn reach(&mut self, end: u64) -> io::Result<u64> {
        Ok(end.min(self.bytes.len()))
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        if buffer.len() as u64 > SINGLE_BYTES {
            return self.bytes.read_exact_at(buffer, at);
        }
        let is_there = |ahead: &Self| {
            at >= ahead.start && at - ahead.start + buffer.len() as u64 <= ahead.buffer.len() as u64
        };
        if !is_there(self) {
            self.fill(at)?;
        }
        self.last = at;
        match is_there(self) {
            true => {
                let start = (at - self.start) as usize;
                buffer.copy_from_slice(&self.buffer[start..start + buffer.len()]);
                Ok(())
            }
            false => self.bytes.read_exact_at(buffer, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_ahead_changes_no_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let bytes: Vec<u8> = (0..700_000_u32).map(|ix| ((ix * ix) >> 7) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let joined = Joined::open(&[path]).unwrap();
        let mut ahead = Ahead::new(&joined);
        let places = [
            0, 512, 300_000, 300_001, 10, 699_488, 262_000, 400_000, 400_512,
        ];
        for (ix, at) in places.into_iter().enumerate() {
            for len in [512, 1, 5_000].map(|len: usize| len.min(bytes.len() - at)) {
                let mut read = vec![0; len];
                ahead.read_exact_at(&mut read, at as u64).unwrap();
                assert_eq!(read, bytes[at..at + len], "{ix}");
            }
        }
        assert_eq!(ahead.reach(u64::MAX).unwrap(), 700_000);
        assert!(ahead.read_exact_at(&mut [0; 9], 699_999).is_err());
    }
}
