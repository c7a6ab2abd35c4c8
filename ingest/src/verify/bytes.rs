//! The bytes of a file, read: a page that the disk cannot deliver is an error, where in a mapped file
//! it would be the end of the process.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};

const READ_BYTES: usize = 1 << 20;
/// What [`Part::of_tail`](schemas::shard::Part::of_tail) needs.
const END_BYTES: u64 = 8;

/// Size and CRC32C of a file.
pub(super) fn checksum(path: &Path) -> Result<(u64, u32)> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut buffer = vec![0; READ_BYTES];
    let (mut bytes, mut crc) = (0, 0);
    loop {
        match file.read(&mut buffer).map_err(Error::io("read", path))? {
            0 => return Ok((bytes, crc)),
            read => {
                bytes += read as u64;
                crc = crc32c::crc32c_append(crc, &buffer[..read]);
            }
        }
    }
}

/// The end of a file of `bytes`.
pub(super) fn last_bytes(path: &Path, bytes: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut end = vec![0; END_BYTES.min(bytes) as usize];
    file.read_exact_at(&mut end, bytes.saturating_sub(END_BYTES))
        .map_err(Error::io("read", path))?;
    Ok(end)
}
