//! Writing the row index into a JPEG.

use memchr::memchr;

use super::header::Header;
use super::row_starts::{APP_MARKER, MAGIC, MAX_SEGMENT_BYTES, PREFIX_BYTES, VERSION};
use crate::{Error, Result};

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
