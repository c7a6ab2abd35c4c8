//! The row index: where in the scan each MCU row starts.
//!
//! An APP9 segment: the bytes `MSTILES\0`, a version byte (1), then one big-endian `u32` per MCU
//! row: the distance of the row's first entropy-coded byte from the first byte of the scan. It
//! stands directly before the SOS segment.

use crate::{Error, Result};

/// APP9.
pub(super) const APP_MARKER: u8 = 0xE9;
pub(super) const MAGIC: &[u8; 8] = b"MSTILES\0";
pub(super) const VERSION: u8 = 1;
/// Marker (2), length (2), magic, version.
pub(super) const PREFIX_BYTES: usize = 4 + MAGIC.len() + 1;
pub(super) const MAX_SEGMENT_BYTES: usize = 2 + u16::MAX as usize;

/// Whether an APP9 segment with this body is our index.
pub(super) fn is_ours(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// Row starts as stored; read one at a time, nothing is copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowStarts<'a> {
    entries: &'a [[u8; 4]],
}

impl<'a> RowStarts<'a> {
    /// `segment` is the whole APP9 segment, marker included.
    pub(super) fn parse(segment: &'a [u8], rows: u32) -> Result<Self> {
        if segment.get(PREFIX_BYTES - 1) != Some(&VERSION) {
            return Err(Error::Tiled("its tile index is of another version"));
        }
        let (entries, rest) = segment[PREFIX_BYTES..].as_chunks::<4>();
        if entries.len() != rows as usize || !rest.is_empty() {
            return Err(Error::Tiled("its tile index does not fit its height"));
        }
        Ok(Self { entries })
    }

    /// Start of MCU row `row`, from the first byte of the scan.
    pub(super) fn get(self, row: u32) -> Option<usize> {
        self.entries
            .get(row as usize)
            .map(|entry| u32::from_be_bytes(*entry) as usize)
    }
}
