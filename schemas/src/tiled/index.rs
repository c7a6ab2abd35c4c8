//! The row index: where in the scan each MCU row starts.
//!
//! An APP9 segment: the bytes `MSTILES\0`, a version byte (1), then one big-endian `u32` per MCU
//! row: the distance of the row's first entropy-coded byte from the first byte of the scan. It
//! stands directly before the SOS segment.

use memchr::memchr;

use super::header::Header;
use crate::{Error, Result};

/// APP9.
pub(super) const APP_MARKER: u8 = 0xE9;
const MAGIC: &[u8; 8] = b"MSTILES\0";
const VERSION: u8 = 1;
/// Marker (2), length (2), magic, version.
const PREFIX_BYTES: usize = 4 + MAGIC.len() + 1;
const MAX_SEGMENT_BYTES: usize = 2 + u16::MAX as usize;

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

/// A copy of `jpeg` with the row index in it; an index that it already carries is replaced.
///
/// # Errors
/// [`Error::Tiled`] if `jpeg` is no baseline JPEG whose restart interval divides its rows, or its
/// restart markers are not all there.
pub fn embed_index(jpeg: &[u8]) -> Result<Vec<u8>> {
    let header = Header::parse(jpeg)?;
    header.check_tiling()?;
    let starts = find_row_starts(&header)?;
    let segment_bytes = PREFIX_BYTES + 4 * starts.len();
    if segment_bytes > MAX_SEGMENT_BYTES {
        return Err(Error::Tiled("it has more MCU rows than its index can hold"));
    }
    let sos_at = find_sos(&header)?;

    let mut out = Vec::with_capacity(jpeg.len() + segment_bytes);
    match &header.index {
        Some(old) => {
            out.extend_from_slice(&jpeg[..old.start]);
            out.extend_from_slice(&jpeg[old.end..sos_at]);
        }
        None => out.extend_from_slice(&jpeg[..sos_at]),
    }
    out.extend_from_slice(&[0xFF, APP_MARKER]);
    out.extend_from_slice(&((segment_bytes - 2) as u16).to_be_bytes());
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    for start in starts {
        out.extend_from_slice(&start.to_be_bytes());
    }
    out.extend_from_slice(&jpeg[sos_at..]);
    Ok(out)
}

/// The SOS segment ends where the scan starts, and its length is known from its number of
/// components.
fn find_sos(header: &Header<'_>) -> Result<usize> {
    (1..=4)
        .filter_map(|components: usize| header.scan.start.checked_sub(2 + 6 + 2 * components))
        .find(|&at| {
            header.jpeg[at..].starts_with(&[0xFF, 0xDA])
                && at
                    + 2
                    + usize::from(u16::from_be_bytes([
                        header.jpeg[at + 2],
                        header.jpeg[at + 3],
                    ]))
                    == header.scan.start
        })
        .ok_or(Error::Tiled("its scan header has an odd length"))
}

fn find_row_starts(header: &Header<'_>) -> Result<Vec<u32>> {
    let columns = header.mcus_per_row() / header.restart_interval;
    let tiles = u64::from(columns) * u64::from(header.rows());
    let scan = &header.jpeg[header.scan.clone()];
    let mut starts = Vec::with_capacity(header.rows() as usize);
    starts.push(0);
    let (mut at, mut tile) = (0, 0u64);
    while let Some(found) = memchr(0xFF, &scan[at..]) {
        at += found;
        match scan.get(at + 1) {
            Some(0) => {}
            Some(&marker) if marker == 0xD0 + (tile % 8) as u8 => {
                tile += 1;
                if tile.is_multiple_of(u64::from(columns)) {
                    let start = u32::try_from(at + 2)
                        .map_err(|_| Error::Tiled("its scan is over 4 GiB"))?;
                    starts.push(start);
                }
            }
            _ => return Err(Error::Tiled("its restart markers are out of order")),
        }
        at += 2;
    }
    if tile + 1 != tiles {
        return Err(Error::Tiled("it has fewer restart markers than tiles"));
    }
    Ok(starts)
}
