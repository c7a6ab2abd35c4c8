//! The image files of an input, in folders and in archives: what SODA10M and other image sets have
//! in common.

use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::archive::parts::has_archive_name;
use super::dataset::Dataset;
use super::image_files::{choose, is_image, is_tag_file};
use super::listing::Listing;
use super::search::Search;
use crate::error::{Error, Result};

/// The image files of one input.
#[derive(Debug)]
pub(crate) enum Files {
    /// Of a folder.
    Folder(Listing),
    /// Of an archive.
    Archive(Archive),
}

impl Files {
    /// Number of items.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Folder(listing) => listing.len(),
            Self::Archive(archive) => archive.len(),
        }
    }

    /// The folder, or the file or first part that is the archive.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(listing) => listing.root(),
            Self::Archive(archive) => archive.first_file(),
        }
    }

    /// Path of item `ix` in the folder or archive. What is lost in an archive is a place in it:
    /// `@offset`.
    pub(crate) fn relative(&self, ix: u64) -> String {
        match self {
            Self::Folder(listing) => listing.relative(ix),
            Self::Archive(archive) => archive.relative(ix),
        }
    }
}

impl Files {
    /// Size of the archive, if it is one.
    pub(crate) fn archive_bytes(&self) -> Option<u64> {
        match self {
            Self::Folder(_) => None,
            Self::Archive(archive) => Some(archive.bytes()),
        }
    }

    /// What is lost of the archive as a whole, if it is one: a reason and its detail.
    pub(crate) fn lack(&self) -> Option<String> {
        match self {
            Self::Folder(_) => None,
            Self::Archive(archive) => archive.lack(),
        }
    }

    /// The file that item `ix` is, if it is one of a folder.
    pub(crate) fn file(&self, ix: u64) -> Option<PathBuf> {
        match self {
            Self::Folder(listing) => Some(listing.root().join(listing.relative(ix))),
            Self::Archive(_) => None,
        }
    }

    /// Size of item `ix`, if it can be known without reading it.
    pub(crate) fn size(&self, ix: u64) -> Option<u64> {
        match self {
            Self::Folder(_) => Some(self.file(ix)?.metadata().ok()?.len()),
            Self::Archive(archive) => archive.member_bytes(ix),
        }
    }
}

/// What is at a path that is an input.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The images of the folder.
    pub(crate) folder: Listing,
    /// The archive, or those in the folder.
    pub(crate) archives: Vec<Archive>,
    /// JSON files in the folder.
    pub(crate) tag_files: Vec<PathBuf>,
}

/// Finds the image files and archives at `path`, a folder or an archive or a part of one.
///
/// # Errors
/// If it is none of them, or cannot be read.
pub(super) fn find(dataset: Dataset, path: &Path, search: &mut Search) -> Result<Found> {
    if path.is_dir() {
        let [folder, archives, tag_files] = Listing::by_kind(
            path,
            [&is_image, &has_archive_name, &|name| is_tag_file(name)],
        )?;
        let archives = Archive::open_all(archives.paths(), &choose, search)?;
        return Ok(Found {
            folder,
            archives,
            tag_files: tag_files.paths().collect(),
        });
    }
    if !Archive::may_be(path) {
        let advice = format!(
            "`ingest {}` reads folders of JPEG and PNG files, .tar and .zip",
            dataset.name()
        );
        return Err(Error::input(
            "this is neither a folder nor an archive",
            path,
            advice,
        ));
    }
    Ok(Found {
        archives: vec![Archive::open(path, &choose, search)?],
        ..Found::default()
    })
}
