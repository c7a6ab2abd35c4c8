//! The files that are read, wherever they lie: in a folder, or in an archive that is not unpacked.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::damage::Guarded;
use crate::error::{Defect, Error, Result, Trouble};
use crate::source::archive::Archive;

/// Bytes that are read at once for a checksum.
const PIECE_BYTES: usize = 1 << 20;

/// Where the bytes of a file lie.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a file of their own.
    File(PathBuf),
    /// A member of an archive.
    Member(Arc<Archive>, u64),
}

/// A TFRecord file.
#[derive(Clone, Debug)]
pub(crate) struct TfRecord {
    /// Where it lies.
    pub(crate) place: Place,
    /// Split of its frames.
    pub(crate) split: Option<&'static str>,
    /// Drive that its name says.
    pub(crate) drive: Option<String>,
    /// Drive that its first frame says.
    pub(crate) context: Option<String>,
}

/// A Parquet file of camera images.
#[derive(Clone, Debug)]
pub(crate) struct CameraImages {
    /// The file.
    pub(crate) path: PathBuf,
    /// Split of its frames.
    pub(crate) split: Option<&'static str>,
    /// Drive that its name says.
    pub(crate) drive: Option<String>,
}

/// What is lost in a folder or an archive of TFRecord files.
#[derive(Clone, Debug)]
pub(crate) struct LostPlaces {
    /// The folder or archive.
    pub(crate) path: PathBuf,
    /// Size of the archive.
    pub(crate) bytes: Option<u64>,
    /// Where, why, and how many bytes.
    pub(crate) places: Vec<(String, Defect, u64)>,
}

/// The bytes of a file, and how many there are if that is certain.
pub(super) struct Bytes {
    pub(super) reader: Box<dyn Read>,
    pub(super) len: Option<u64>,
}

impl Place {
    /// The file that it is or lies in.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Member(archive, _) => archive.first_file(),
        }
    }

    /// CRC32C of its bytes as they are now; `None` if they cannot be read.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn crc32c(&self) -> Result<Option<u32>> {
        let mut reader = match self.open(0) {
            Ok(bytes) => bytes.reader,
            Err(Trouble::Run(error)) => return Err(error),
            Err(Trouble::Item(_)) => return Ok(None),
        };
        let mut piece = vec![0; PIECE_BYTES];
        let mut crc = 0;
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(Some(crc)),
                Ok(read) => crc = crc32c::crc32c_append(crc, &piece[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", self.path())(error)),
            }
        }
    }

    /// Opens it, to be read from byte `offset` on.
    ///
    /// # Errors
    /// [`Trouble::Item`] if it cannot be read and never will be, [`Trouble::Run`] if opening fails.
    pub(super) fn open(&self, offset: u64) -> Result<Bytes, Trouble> {
        match self {
            Self::File(path) => open_file(path, offset),
            Self::Member(archive, ix) => open_member(archive, *ix, offset),
        }
    }
}

fn open_file(path: &Path, offset: u64) -> Result<Bytes, Trouble> {
    let mut file = open_readable(path)?;
    let len = file.metadata().map_err(Error::io("look at", path))?.len();
    if offset > 0 {
        let seek = file.seek(SeekFrom::Start(offset));
        seek.map_err(Error::io("read", path))?;
    }
    Ok(Bytes {
        reader: Box::new(file),
        len: Some(len.saturating_sub(offset)),
    })
}

/// Opens a file of a data set. One that nobody may read, or a link that leads nowhere, is data, and
/// becomes a named skip.
pub(super) fn open_readable(path: &Path) -> Result<File, Trouble> {
    File::open(path).map_err(|error| {
        let leads_nowhere = path.is_symlink() && !path.exists();
        match error.kind() == io::ErrorKind::PermissionDenied || leads_nowhere {
            true => Trouble::Item(Defect::new("unreadable-input", error.to_string())),
            false => Trouble::Run(Error::io("open", path)(error)),
        }
    })
}

fn open_member(archive: &Archive, ix: u64, offset: u64) -> Result<Bytes, Trouble> {
    let member = archive.file(ix, &archive.reopen()?)?;
    let mut reader = member.contents()?;
    let skipped = io::copy(&mut reader.by_ref().take(offset), &mut io::sink());
    skipped.map_err(|error| member.trouble(error))?;
    let is_zip = archive
        .path()
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
    // A tar says where a member lies. What has to be decompressed may turn out to be damaged.
    Ok(match is_zip || member.is_sequential() {
        true => Bytes {
            reader: Box::new(Guarded::new(reader, "damaged-member", member.len())),
            len: None,
        },
        false => Bytes {
            reader,
            len: Some(member.len().saturating_sub(offset)),
        },
    })
}
