//! Archives of images, read where they lie: `.tar` and `.zip`, whole or in parts, are never
//! unpacked.
//!
//! When a run is planned, the names and places of all images are collected: of a tar by going from
//! header to header, of a zip by its directory. Then members are read by their place, in any order,
//! by any thread.

mod index;
mod joined;
pub(super) mod parts;
mod tar;
mod zip;

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rawzip::RangeReader;

use crate::error::{Defect, Error, Result, Trouble};
use crate::source::image_files::MAX_FILE_BYTES;
use index::{Index, Member, Span};
use joined::Joined;
use parts::Whole;

/// An archive and what is in it.
#[derive(Debug)]
pub(crate) struct Archive {
    whole: Whole,
    /// Of all parts, when it was indexed.
    bytes: u64,
    index: Index,
}

impl Archive {
    /// Whether the file at `path` is called like an archive, a compressed one included, or like a
    /// part of one.
    pub(crate) fn may_be(path: &Path) -> bool {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        parts::has_archive_name(name) || parts::is_compressed(name)
    }

    /// Indexes the archive that the file at `path` is, or is a part of.
    ///
    /// # Errors
    /// If it is no archive, a part is missing, or reading fails. Damage is an item.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::index(parts::whole(path)?)
    }

    /// Indexes the archives among the files at `paths`, which are called like archives or parts of
    /// them.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_all(paths: impl Iterator<Item = PathBuf>) -> Result<Vec<Self>> {
        parts::wholes(paths)?.into_iter().map(Self::index).collect()
    }

    fn index(whole: Whole) -> Result<Self> {
        let bytes = Arc::new(Joined::open(&whole.files)?);
        let mut index = Index::default();
        let indexed = match is_zip(&whole) {
            true => zip::index(&bytes, &mut index),
            false => tar::index(&bytes, &mut index),
        };
        indexed.map_err(Error::io("read", &whole.path))?;
        index.finish();
        Ok(Self {
            bytes: bytes.len(),
            whole,
            index,
        })
    }

    /// What it is called.
    pub(crate) fn path(&self) -> &Path {
        &self.whole.path
    }

    /// The file that it is, or its first part.
    pub(crate) fn first_file(&self) -> &Path {
        &self.whole.files[0]
    }

    /// Number of items: images, and places where something is lost.
    pub(crate) fn len(&self) -> u64 {
        self.index.names.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Path of item `ix` in the archive; of something that is lost, its place: `@offset`.
    pub(crate) fn relative(&self, ix: u64) -> String {
        self.index.names.get(ix)
    }

    /// Bytes of item `ix`; `None` of what is lost.
    pub(crate) fn bytes_of(&self, ix: u64) -> Option<u64> {
        Some(self.index.member(ix).ok()?.len())
    }

    /// Reads the JSON files in the archive. What `read` says of one that it cannot read becomes a
    /// lost item.
    ///
    /// # Errors
    /// If reading the archive fails.
    pub(super) fn read_tag_files(
        &mut self,
        mut read: impl FnMut(&mut dyn Read) -> io::Result<()>,
    ) -> Result<()> {
        if self.index.tag_files.is_empty() {
            return Ok(());
        }
        let opened = self.reopen()?;
        for (path, member) in std::mem::take(&mut self.index.tag_files) {
            let contents = opened.contents(member);
            if let Err(error) = contents.and_then(|contents| read(&mut BufReader::new(contents))) {
                let defect = defect_of(error).map_err(Error::io("read", &self.whole.path))?;
                self.index
                    .lose(&path, Defect::new("bad-tags", defect.detail));
            }
        }
        Ok(())
    }

    /// Opens the archive's files again, to read items.
    ///
    /// # Errors
    /// If that fails, or they have another size than when they were indexed.
    pub(super) fn reopen(&self) -> Result<Opened> {
        let bytes = Arc::new(Joined::open(&self.whole.files)?);
        if bytes.len() != self.bytes {
            let advice = "it is being written: run the same command again when it is complete";
            return Err(Error::input(
                "the archive changes while it is read",
                &self.whole.path,
                advice,
            ));
        }
        let zip = match is_zip(&self.whole) {
            true => zip::open(&bytes)
                .map_err(Error::io("read", &self.whole.path))?
                .ok(),
            false => None,
        };
        Ok(Opened {
            path: self.whole.path.clone(),
            bytes,
            zip,
        })
    }

    /// The image at item `ix`.
    ///
    /// # Errors
    /// [`Defect`] if something is wrong with it.
    pub(super) fn image(&self, ix: u64, opened: &Arc<Opened>) -> Result<MemberImage, Defect> {
        self.index.member(ix).map(|member| MemberImage {
            archive: opened.clone(),
            member,
        })
    }
}

fn is_zip(whole: &Whole) -> bool {
    whole
        .path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("zip"))
}

/// An archive whose files are open.
#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    bytes: Arc<Joined>,
    zip: Option<zip::Zip>,
}

impl Opened {
    fn contents(&self, member: Member) -> io::Result<Box<dyn Read + '_>> {
        match member {
            Member::Plain(Span { offset, len }) => Ok(Box::new(RangeReader::new(
                self.bytes.as_ref(),
                offset..offset + len,
            ))),
            Member::Zipped(zipped) => {
                let zip = self
                    .zip
                    .as_ref()
                    .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
                zip::contents(zip, zipped)
            }
        }
    }
}

/// An image in an archive, to be read by whoever decodes it.
#[derive(Clone, Debug)]
pub struct MemberImage {
    archive: Arc<Opened>,
    member: Member,
}

impl MemberImage {
    /// Its bytes.
    ///
    /// # Errors
    /// [`Trouble::Item`] if the member is damaged or too large, [`Trouble::Run`] if the archive
    /// cannot be read.
    pub(crate) fn read(&self) -> Result<Vec<u8>, Trouble> {
        let len = self.member.len();
        if len > MAX_FILE_BYTES {
            return Err(Defect::new("too-large", format!("{len} bytes")).into());
        }
        let mut bytes = Vec::with_capacity(len as usize);
        let contents = self.archive.contents(self.member);
        match contents.and_then(|mut contents| contents.read_to_end(&mut bytes)) {
            Ok(read) if read as u64 == len => Ok(bytes),
            Ok(read) => Err(Defect::new("damaged-member", format!("{read} of {len} bytes")).into()),
            Err(error) => match defect_of(error) {
                Ok(defect) => Err(defect.into()),
                Err(error) => Err(Error::io("read", &self.archive.path)(error).into()),
            },
        }
    }
}

/// What the operating system did not refuse is the member's fault.
fn defect_of(error: io::Error) -> io::Result<Defect> {
    match error.raw_os_error() {
        Some(_) => Err(error),
        None => Ok(Defect::new("damaged-member", error.to_string())),
    }
}
