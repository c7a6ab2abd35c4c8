//! The end of a file, read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Error, Result};

/// What [`Part::of_tail`](schemas::shard::Part::of_tail) needs.
const END_BYTES: u64 = 8;

/// The end of a file of `bytes`.
pub(super) fn last_bytes(path: &Path, bytes: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut end = vec![0; END_BYTES.min(bytes) as usize];
    file.read_exact_at(&mut end, bytes.saturating_sub(END_BYTES))
        .map_err(Error::io("read", path))?;
    Ok(end)
}
