//! Archives of images, read where they lie: `.tar` and `.zip`, whole or in parts, are never
//! unpacked.
//!
//! When a run is planned, the names and places of all images are collected: of a tar by going from
//! header to header, of a zip by its directory. Then members are read by their place, in any order,
//! by any thread.

mod contents;
mod index;
mod joined;
mod members;
mod opened;
pub(super) mod parts;
mod place;
mod tar;
mod zip;

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::choice::Choose;
use super::naming::short_name;
use super::search::Search;
use crate::error::{Defect, Error, Result, Trouble};
use index::Index;
use joined::Joined;
use members::Members;
pub(crate) use opened::{MemberFile, Opened};
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

    /// Indexes the archive that the file at `path` is, or is a part of: the members that `choose`
    /// takes are its items, the others are counted in `search`.
    ///
    /// # Errors
    /// If it is no archive, a part is missing, or reading fails. Damage is an item.
    pub(crate) fn open(path: &Path, choose: Choose<'_>, search: &mut Search) -> Result<Self> {
        Self::index(parts::whole(path)?, choose, search)
    }

    /// Indexes the archives among the files at `paths`, which are called like archives or parts of
    /// them.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_all(
        paths: impl Iterator<Item = PathBuf>,
        choose: Choose<'_>,
        search: &mut Search,
    ) -> Result<Vec<Self>> {
        let wholes = parts::wholes(paths)?.into_iter();
        wholes
            .map(|whole| Self::index(whole, choose, search))
            .collect()
    }

    fn index(whole: Whole, choose: Choose<'_>, search: &mut Search) -> Result<Self> {
        let bytes = Arc::new(Joined::open(&whole.files)?);
        let mut members = Members::default();
        let indexed = match whole.is_zip() {
            true => zip::index(&bytes, &mut members),
            false => tar::index(&bytes, &mut members),
        };
        indexed.map_err(Error::io("read", &whole.path))?;
        let name = short_name(&whole.path, 2);
        Ok(Self {
            bytes: bytes.len(),
            index: Index::of(&members, &name, choose, &mut search.passed_over),
            whole,
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

    /// Bytes of all its parts.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why the archive is not whole, if it is not.
    pub(crate) fn lack(&self) -> Option<String> {
        let is_lack = |reason| matches!(reason, "truncated-archive" | "damaged-archive");
        let defect = self.index.defects().find(|defect| is_lack(defect.reason))?;
        Some(format!("{}: {}", defect.reason, defect.detail))
    }

    /// Number of items: chosen members, and places where something is lost.
    pub(crate) fn len(&self) -> u64 {
        self.index.names.len()
    }

    /// Path of item `ix` in the archive; of something that is lost, its place: `@offset`.
    pub(crate) fn relative(&self, ix: u64) -> String {
        self.index.names.get(ix)
    }

    /// Bytes of item `ix`; `None` of what is lost.
    pub(crate) fn bytes_of(&self, ix: u64) -> Option<u64> {
        Some(self.index.place(ix).ok()?.len())
    }

    /// Reads the tag files in the archive. What `read` says of one that it cannot read becomes a
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
        for (path, place) in std::mem::take(&mut self.index.tag_files) {
            let file = MemberFile::new(opened.clone(), place);
            let read = file.contents().and_then(|contents| {
                read(&mut BufReader::new(contents)).map_err(|error| file.trouble(error))
            });
            match read {
                Ok(()) => {}
                Err(Trouble::Item(defect)) => self
                    .index
                    .lose(&path, Defect::new("bad-tags", defect.detail)),
                Err(Trouble::Run(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the archive's files again, to read items.
    ///
    /// # Errors
    /// If that fails, or they have another size than when they were indexed.
    pub(super) fn reopen(&self) -> Result<Arc<Opened>> {
        let opened = Opened::open(&self.whole)?;
        if opened.len() != self.bytes {
            let advice = "it is being written: run the same command again when it is complete";
            return Err(Error::input(
                "the archive changes while it is read",
                &self.whole.path,
                advice,
            ));
        }
        Ok(Arc::new(opened))
    }

    /// The file that item `ix` is.
    ///
    /// # Errors
    /// [`Defect`] if something is wrong with it.
    pub(super) fn file(&self, ix: u64, opened: &Arc<Opened>) -> Result<MemberFile, Defect> {
        let place = self.index.place(ix)?;
        Ok(MemberFile::new(opened.clone(), place))
    }
}
