//! What is at a path that is an input: images in folders, archives, tag files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::archive::parts::has_archive_name;
use super::choice::Choice;
use super::chosen::Chosen;
use super::dataset::Dataset;
use super::image_files::Chooser;
use super::listing::{Entry, Listing, Sorted};
use super::search::Search;
use crate::error::{Error, Result};

/// What is at a path that is an input.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The images of the folder, and what is lost in it.
    pub listing: Arc<Listing>,
    /// Those that are read.
    pub in_folder: Chosen,
    /// The archive, or those in the folder.
    pub archives: Vec<FoundArchive>,
    /// JSON files in the folder.
    pub tag_files: Vec<PathBuf>,
}

impl Found {
    /// How the archives are named, which were found at or below `root`: as [`Search::name_of_archive`]
    /// says, but where two would be named alike, by all of their paths below the root.
    pub(super) fn names_of_archives(&self, root: &Path, search: &Search) -> Vec<String> {
        let archives = || self.archives.iter().map(|found| &found.archive);
        let short: Vec<String> = archives()
            .map(|archive| search.name_of_archive(root, archive.path()))
            .collect();
        let is_taken = |name: &String| short.iter().filter(|other| *other == name).count() > 1;
        let named = short.iter().zip(archives()).map(|(name, archive)| {
            let below = archive.first_file().strip_prefix(root).ok();
            match below.filter(|below| is_taken(name) && !below.as_os_str().is_empty()) {
                Some(below) => {
                    format!(
                        "{}/{}",
                        search.name_of_folder(root),
                        below.to_string_lossy()
                    )
                }
                None => name.clone(),
            }
        });
        named.collect()
    }
}

/// An archive, and which of its members are read.
#[derive(Debug)]
pub(super) struct FoundArchive {
    pub archive: Archive,
    pub chosen: Chosen,
}

impl From<Archive> for FoundArchive {
    fn from(archive: Archive) -> Self {
        Self {
            chosen: Chosen::all(archive.len()),
            archive,
        }
    }
}

/// Finds the image files and archives at `path`, a folder or an archive or a part of one.
///
/// # Errors
/// If it is none of them, or cannot be read.
pub(super) fn find(dataset: Dataset, path: &Path, search: &mut Search) -> Result<Found> {
    let selection = search.selection.clone();
    let chooser = Chooser {
        selection: &selection,
        has_tags: dataset == Dataset::Soda10m,
    };
    if path.is_dir() {
        return find_in_folder(&chooser, path, search);
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
    let archive = Archive::open(path, &|path| chooser.choose(path), search)?;
    Ok(Found {
        archives: vec![archive.into()],
        ..Found::default()
    })
}

fn find_in_folder(chooser: &Chooser<'_>, path: &Path, search: &mut Search) -> Result<Found> {
    let sort = |entry: Entry<'_>| sort(chooser, entry);
    let [listing, archives, tag_files] = Listing::sorted(path, &sort, &mut search.passed_over)?;
    let choose = |path: &str| chooser.choose(path);
    let archives = Archive::open_all(archives.paths(), &choose, search)?;
    Ok(Found {
        in_folder: Chosen::all(listing.len()),
        listing: Arc::new(listing),
        archives: archives.into_iter().map(FoundArchive::from).collect(),
        tag_files: tag_files.paths().collect(),
    })
}

/// Images come first, archives second, tag files third.
fn sort(chooser: &Chooser<'_>, entry: Entry<'_>) -> Sorted {
    let path = match entry {
        Entry::Folder(path) => {
            return match chooser.passes_over_folder(path) {
                Some((reason, kind)) => Sorted::PassOver(reason, kind),
                None => Sorted::Take(0),
            };
        }
        Entry::File(path) => path,
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    match chooser.choose(path) {
        Choice::PassOver("other-file", _) if has_archive_name(name) => Sorted::Take(1),
        Choice::PassOver(reason, kind) => Sorted::PassOver(reason, kind),
        Choice::Item => Sorted::Take(0),
        Choice::TagFile => Sorted::Take(2),
    }
}
