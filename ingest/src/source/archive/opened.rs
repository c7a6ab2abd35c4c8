//! Reading members of an archive: at their places, by any thread; of what is compressed as a whole,
//! one after the other.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use prost::bytes::Bytes;
use rawzip::RangeReader;

use super::contents::Contents;
use super::format::Kind;
use super::joined::Joined;
use super::parts::Whole;
use super::place::{Place, Span};
use super::stream::Stream;
use super::zip::{self, Zip};
use crate::error::{Defect, Error, Result, Trouble};
use crate::source::image_files::MAX_FILE_BYTES;

/// So much room is made for a member before it is read. What more it states must turn up.
const MAX_STATED_BYTES: u64 = 64 << 20;

/// An archive whose files are open.
#[derive(Debug)]
pub(crate) struct Opened {
    path: PathBuf,
    bytes: Arc<Joined>,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Nothing,
    Tar,
    /// `None` if it has no directory.
    Zip(Option<Zip>),
    Packed(Arc<Stream>),
}

impl Opened {
    /// Opens the files of `whole`, an archive of this `kind`.
    ///
    /// # Errors
    /// If that fails.
    pub(super) fn open(whole: &Whole, kind: Kind) -> Result<Self> {
        let bytes = Arc::new(Joined::open(&whole.files)?);
        let reader = match kind {
            Kind::Tar => Reader::Tar,
            Kind::Packed(coding) => Reader::Packed(Arc::new(Stream::new(bytes.clone(), coding))),
            Kind::Zip => {
                let zip = zip::open(&bytes).map_err(Error::io("read", &whole.path))?;
                Reader::Zip(zip.ok())
            }
        };
        Ok(Self {
            path: whole.path.clone(),
            bytes,
            reader,
        })
    }

    /// What stands for files that cannot be opened.
    pub(super) fn nothing(whole: &Whole) -> Self {
        Self {
            path: whole.path.clone(),
            bytes: Arc::default(),
            reader: Reader::Nothing,
        }
    }

    /// Bytes of all files.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn contents(&self, place: Place) -> io::Result<Contents> {
        Ok(match (place, &self.reader) {
            (Place::Zipped(zipped), Reader::Zip(Some(zip))) => zip::contents(zip, zipped)?,
            (Place::Plain(span), Reader::Packed(stream)) => {
                Box::new(RangeReader::new(stream.clone(), span.range()))
            }
            (Place::Plain(span), _) => Box::new(RangeReader::new(self.bytes.clone(), span.range())),
            (Place::Zipped(_), _) => return Err(io::ErrorKind::InvalidData.into()),
        })
    }

    /// The stream and the place in it, if the archive is compressed as a whole.
    fn packed(&self, place: Place) -> Option<(&Stream, Span)> {
        match (&self.reader, place) {
            (Reader::Packed(stream), Place::Plain(span)) => Some((stream, span)),
            _ => None,
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

    /// Whether it is to be read before those behind it: its archive is compressed as a whole.
    pub(crate) fn is_sequential(&self) -> bool {
        self.archive.packed(self.place).is_some()
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
    pub(crate) fn read(&self) -> Result<Bytes, Trouble> {
        let Some((stream, span)) = self.archive.packed(self.place) else {
            return Ok(self.read_anew()?.into());
        };
        if let Some(bytes) = stream.kept(span) {
            return Ok(bytes);
        }
        let bytes = Bytes::from(self.read_anew()?);
        stream.keep(span, bytes.clone());
        Ok(bytes)
    }

    fn read_anew(&self) -> Result<Vec<u8>, Trouble> {
        let len = self.len();
        if len > MAX_FILE_BYTES {
            return Err(Defect::new("too-large", format!("{len} bytes")).into());
        }
        let mut bytes = Vec::with_capacity(len.min(MAX_STATED_BYTES) as usize);
        let read = self
            .contents()?
            .take(len + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| self.trouble(error))?;
        match read as u64 == len {
            true => Ok(bytes),
            false => Err(Defect::new("damaged-member", format!("{read} of {len} bytes")).into()),
        }
    }
}
