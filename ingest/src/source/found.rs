//! What is at a path that is an input: images in folders, archives, tag files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::Archive;
use super::archive::parts::has_archive_name;
use super::archive_names;
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

/// An archive, what its input is called, and which of its members are read.
#[derive(Debug)]
pub(super) struct FoundArchive {
    pub archive: Archive,
    pub input: String,
    pub chosen: Chosen,
}

impl FoundArchive {
    /// All of `archives`, which were found at or below `root`.
    fn all(archives: Vec<Archive>, root: &Path, search: &Search) -> Vec<Self> {
        let names = archive_names::names(&archives, root, search);
        let named = archives.into_iter().zip(names);
        let all = named.map(|(archive, input)| Self {
            chosen: Chosen::all(archive.len()),
            archive,
            input,
        });
        all.collect()
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
        archives: FoundArchive::all(vec![archive], path, search),
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
        archives: FoundArchive::all(archives, path, search),
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
