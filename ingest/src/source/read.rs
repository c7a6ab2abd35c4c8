//! The bytes of an encoded image, from wherever it lies.

use std::path::Path;
use std::{fs, io};

use prost::bytes::Bytes;

use super::image_files::MAX_FILE_BYTES;
use super::item::Data;
use crate::error::{Defect, Error, Result, Trouble};

/// The bytes of `data`.
///
/// # Errors
/// [`Trouble::Item`] if they cannot be read and never will be, [`Trouble::Run`] if reading fails.
pub fn read(data: Data) -> Result<Bytes, Trouble> {
    match data {
        Data::Bytes(bytes) => Ok(bytes),
        Data::File(path) => Ok(read_file(&path)?.into()),
        Data::Member(file) => Ok(file.read()?),
    }
}

/// A file that is there and cannot be read, or a link that leads nowhere, is data. A file that has
/// vanished or a disk that fails is not: skipped, it would be missing for good, while a run that
/// ends can be continued.
fn read_file(path: &Path) -> Result<Vec<u8>, Trouble> {
    let trouble = |error: io::Error| {
        let leads_nowhere = path.is_symlink() && !path.exists();
        match error.kind() == io::ErrorKind::PermissionDenied || leads_nowhere {
            true => Trouble::Item(Defect::new("unreadable-file", error.to_string())),
            false => Trouble::Run(Error::io("read", path)(error)),
        }
    };
    let metadata = path.metadata().map_err(trouble)?;
    if !metadata.is_file() {
        return Err(Defect::new("unreadable-file", "it is a pipe, socket or device").into());
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(Defect::new("too-large", format!("{} bytes", metadata.len())).into());
    }
    fs::read(path).map_err(trouble)
}
