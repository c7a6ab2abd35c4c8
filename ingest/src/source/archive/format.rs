//! Which kind of archive a file is: by what it begins with, and by its name where that says nothing.

use std::io;

use rawzip::ReaderAt;

use super::joined::Joined;
use super::magic::{self, Format};
use super::parts::Whole;
use super::tar;
use super::unpack::Coding;

/// A kind of archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Tar,
    Zip,
    /// A tar that is compressed as a whole.
    Packed(Coding),
}

impl Kind {
    /// What the archive `whole` is, that holds `bytes`.
    ///
    /// # Errors
    /// If reading fails.
    pub(super) fn of(whole: &Whole, bytes: &Joined) -> io::Result<Self> {
        let mut start = vec![0; tar::BLOCK_BYTES as usize];
        let len = bytes.len().min(tar::BLOCK_BYTES) as usize;
        start.truncate(len);
        bytes.read_exact_at(&mut start, 0)?;
        if tar::is_header(&start) {
            return Ok(Self::Tar);
        }
        Ok(match magic::of(&start) {
            Some(Format::Gzip) => Self::Packed(Coding::Gzip),
            Some(Format::Zstd) => Self::Packed(Coding::Zstd),
            Some(Format::Zip) => Self::Zip,
            // Something else may stand in front of a zip.
            Some(Format::Other(..)) | None if whole.is_zip() => Self::Zip,
            Some(Format::Other(..)) | None => Self::Tar,
        })
    }
}
