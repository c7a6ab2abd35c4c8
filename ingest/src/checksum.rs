//! Size and CRC32C of a file, read piece by piece: a page that the disk cannot deliver is an error,
//! where in a mapped file it would be the end of the process.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

const READ_BYTES: usize = 1 << 20;

/// Size and CRC32C of the file at `path`.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn checksum(path: &Path) -> Result<(u64, u32)> {
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
