//! A file written whole, or an error that names it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use anyhow::{Result, anyhow};

/// Writes a file through `fill`, durably; a reader sees the whole file or the one before.
pub(super) fn replace(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<()> {
    host::replace(path, fill).map_err(|error| anyhow!("cannot write {path:?}: {error}"))
}
