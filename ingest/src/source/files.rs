//! The image files of an input, in a folder or an archive: what SODA10M and other image sets have in
//! common.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::chosen::Chosen;
use super::listing::Listing;
use super::naming::source_name;
use crate::error::Defect;

/// The image files of one input.
#[derive(Debug)]
pub(crate) struct Files {
    container: Container,
    chosen: Chosen,
    /// The folder, or the file or first part that is the archive.
    path: PathBuf,
    /// What stands in front of their paths in rows and reports.
    name: String,
}

/// Where files lie.
#[derive(Clone, Debug)]
pub(super) enum Container {
    /// In a folder.
    Folder(Arc<Listing>),
    /// In an archive.
    Archive(Arc<Archive>),
}

impl Container {
    /// Path of item `ix` in it as a text. What is lost in an archive is a place in it: `@offset`.
    pub(super) fn relative(&self, ix: u64) -> String {
        match self {
            Self::Folder(listing) => listing.relative(ix),
            Self::Archive(archive) => archive.relative(ix),
        }
    }
}

impl Files {
    /// The chosen files of the folder that was listed; they lie at or below `path`.
    pub(super) fn of_folder(
        listing: Arc<Listing>,
        chosen: Chosen,
        path: PathBuf,
        name: String,
    ) -> Self {
        Self {
            container: Container::Folder(listing),
            chosen,
            path,
            name,
        }
    }

    /// The chosen members of an archive.
    pub(super) fn of_archive(archive: Archive, chosen: Chosen, name: String) -> Self {
        Self {
            path: archive.first_file().to_owned(),
            container: Container::Archive(Arc::new(archive)),
            chosen,
            name,
        }
    }

    /// Number of items.
    pub(crate) fn len(&self) -> u64 {
        self.chosen.len()
    }

    /// The folder, or the file or first part that is the archive.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The archive, if it is none of a folder.
    pub(crate) fn archive(&self) -> Option<&Archive> {
        match &self.container {
            Container::Folder(_) => None,
            Container::Archive(archive) => Some(archive),
        }
    }

    /// Size of the archive, if it is one.
    pub(crate) fn archive_bytes(&self) -> Option<u64> {
        self.archive().map(Archive::bytes)
    }

    /// Why not all files are known: what is lost of the archive as a whole, or of the folder. A
    /// reason and its detail.
    pub(crate) fn lack(&self) -> Option<String> {
        match &self.container {
            Container::Archive(archive) => archive.lack(),
            Container::Folder(listing) => {
                let mut lost = listing.all_lost();
                let (ix, defect) = lost.find(|&(ix, _)| self.chosen.contains(ix))?;
                let (place, Defect { reason, detail }) = (listing.relative(ix), defect);
                Some(format!("{reason} at {place}: {detail}"))
            }
        }
    }

    /// How many of the items are there to be read.
    pub(crate) fn num_there(&self) -> u64 {
        let places = 0..self.len();
        places.filter(|&place| !self.is_lost(place)).count() as u64
    }

    /// Whether item `place` is a file of a folder that can be opened.
    pub(crate) fn can_be_opened(&self, place: u64) -> bool {
        let is_in_folder = self.archive().is_none();
        let file = self.file(place).ok().filter(|_| is_in_folder);
        file.is_some_and(|path| path.is_file() && File::open(path).is_ok())
    }

    /// Path of item `place` in the input. What is lost in an archive is a place in it: `@offset`.
    pub(crate) fn relative(&self, place: u64) -> String {
        let (ix, above) = self.chosen.get(place);
        let path = self.container.relative(ix);
        path.get(above..).unwrap_or_default().to_owned()
    }

    /// How item `place` is named in rows and reports.
    pub(crate) fn source(&self, place: u64) -> String {
        match self.relative(place) {
            relative if relative.is_empty() => self.name.clone(),
            relative => source_name(&self.name, &relative),
        }
    }

    /// Whether item `place` is no image, but a place where something is lost.
    pub(super) fn is_lost(&self, place: u64) -> bool {
        match &self.container {
            Container::Folder(listing) => listing.lost(self.ix(place)).is_some(),
            Container::Archive(archive) => archive.bytes_of(self.ix(place)).is_none(),
        }
    }

    /// Number of item `place` in the archive.
    pub(super) fn ix(&self, place: u64) -> u64 {
        self.chosen.get(place).0
    }

    /// The file that item `place` of a folder is.
    ///
    /// # Errors
    /// What is wrong at its place, if it is no file.
    pub(super) fn file(&self, place: u64) -> Result<PathBuf, Defect> {
        let ix = self.ix(place);
        match &self.container {
            Container::Folder(listing) => match listing.lost(ix) {
                Some(defect) => Err(defect.clone()),
                None => Ok(listing.file(ix)),
            },
            Container::Archive(archive) => Ok(archive.first_file().to_owned()),
        }
    }

    /// Bytes of item `place`; `None` of what cannot be read.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub(crate) fn size(&self, place: u64) -> io::Result<Option<u64>> {
        if let Some(archive) = self.archive() {
            return Ok(archive.bytes_of(self.ix(place)));
        }
        let Ok(path) = self.file(place) else {
            return Ok(None);
        };
        match path.metadata() {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            Err(_) if path.is_symlink() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn sizes_are_those_of_files_and_of_links_to_them() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "12345").unwrap();
        std::os::unix::fs::symlink("a", dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("c")).unwrap();
        let listing = Arc::new(Listing::with(dir.path(), &|_| true).unwrap());
        let chosen = Chosen::all(listing.len());
        let files = Files::of_folder(listing, chosen, dir.path().to_owned(), "d".to_owned());
        let sizes: Vec<_> = (0..3).map(|ix| files.size(ix).unwrap()).collect();
        assert_eq!(sizes, [Some(5), Some(5), None]);
        fs::remove_file(dir.path().join("a")).unwrap();
        assert!(files.size(0).is_err());
        assert_eq!(files.source(1), "d/b");
    }
}
