//! An index that was made and is not kept yet: whoever searches has no set to write into.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file to be.
#[derive(Clone, Debug)]
pub(crate) struct NewIndex {
    file: PathBuf,
    bytes: Vec<u8>,
}

impl NewIndex {
    /// The file that is to hold `bytes`.
    pub(super) fn new(file: PathBuf, bytes: Vec<u8>) -> Self {
        Self { file, bytes }
    }

    /// Writes it, all or nothing. That it cannot be done is no error: an index is made again.
    pub(crate) fn write(&self) {
        let folder = self.file.parent().unwrap_or(Path::new("."));
        let written = fs::create_dir_all(folder)
            .and_then(|()| host::replace(&self.file, |out| out.write_all(&self.bytes)));
        drop(written);
    }
}
