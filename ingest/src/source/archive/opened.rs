//! Reading members of an archive, at their places, by any thread.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rawzip::RangeReader;

use super::contents::Contents;
use super::joined::Joined;
use super::parts::Whole;
use super::place::{Place, Span};
use super::zip::{self, Zip};
use crate::error::{Defect, Error, Result, Trouble};
use crate::source::image_files::MAX_FILE_BYTES;

/// An archive whose files are open.
#[derive(Debug)]
pub(crate) struct Opened {
    path: PathBuf,
    bytes: Arc<Joined>,
    zip: Option<Zip>,
}

impl Opened {
    /// Opens the files of `whole`.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn open(whole: &Whole) -> Result<Self> {
        let bytes = Arc::new(Joined::open(&whole.files)?);
        let zip = match whole.is_zip() {
            true => zip::open(&bytes)
                .map_err(Error::io("read", &whole.path))?
                .ok(),
            false => None,
        };
        Ok(Self {
            path: whole.path.clone(),
            bytes,
            zip,
        })
    }

    /// Bytes of all files.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn contents(&self, place: Place) -> io::Result<Contents> {
        match place {
            Place::Plain(Span { offset, len }) => Ok(Box::new(RangeReader::new(
                self.bytes.clone(),
                offset..offset + len,
            ))),
            Place::Zipped(zipped) => {
                let zip = self
                    .zip
                    .as_ref()
                    .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
                zip::contents(zip, zipped)
            }
        }
    }
}

/// A file in an archive, to be read by whoever needs it.
#[derive(Clone, Debug)]
pub struct MemberFile {
    archive: Arc<Opened>,
    place: Place,
}

impl MemberFile {
    pub(super) fn new(archive: Arc<Opened>, place: Place) -> Self {
        Self { archive, place }
    }

    /// Bytes of its contents, as the archive states them.
    pub(crate) fn len(&self) -> u64 {
        self.place.len()
    }

    /// Its contents as a stream. What it answers is to be passed through
    /// [`trouble`](Self::trouble).
    ///
    /// # Errors
    /// [`Trouble::Item`] if the member is damaged, [`Trouble::Run`] if the archive cannot be read.
    pub(crate) fn contents(&self) -> Result<Contents, Trouble> {
        self.archive
            .contents(self.place)
            .map_err(|error| self.trouble(error))
    }

    /// Whose fault `error` is: what the operating system did not refuse is the member's.
    pub(crate) fn trouble(&self, error: io::Error) -> Trouble {
        match error.raw_os_error() {
            Some(_) => Error::io("read", &self.archive.path)(error).into(),
            None => Defect::new("damaged-member", error.to_string()).into(),
        }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`Trouble::Item`] if the member is damaged or too large, [`Trouble::Run`] if the archive
    /// cannot be read.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Trouble> {
        let len = self.len();
        if len > MAX_FILE_BYTES {
            return Err(Defect::new("too-large", format!("{len} bytes")).into());
        }
        let mut bytes = Vec::with_capacity(len as usize);
        let read = self
            .contents()?
            .read_to_end(&mut bytes)
            .map_err(|error| self.trouble(error))?;
        match read as u64 == len {
            true => Ok(bytes),
            false => Err(Defect::new("damaged-member", format!("{read} of {len} bytes")).into()),
        }
    }
}
