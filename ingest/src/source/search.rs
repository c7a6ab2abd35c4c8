//! How inputs are looked through, and what is found besides data.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::naming::short_name;
use super::new_index::NewIndex;
use super::passed_over::PassedOver;
use super::selection::Selection;

/// A search through inputs, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// JSON files of tags, besides those that lie with the images.
    pub tag_files: Vec<PathBuf>,
    /// Where the indexes of archives are kept from one run to the next.
    pub index_dir: Option<PathBuf>,
    /// Whether those that are kept there are made again.
    pub(crate) distrusts_indexes: bool,
    /// File names of the set's shards that lack nothing: what several inputs hold is read where it
    /// was read before.
    pub(crate) finished: Arc<HashSet<String>>,
    /// Names of the inputs that the set has shards of, and the size of each that is one file.
    pub(crate) in_set: Arc<HashMap<String, Option<u64>>>,
    /// Those of them that were given as this path before.
    pub(crate) given_before: HashSet<String>,
    /// Indexes that were made, to be kept there.
    pub(crate) new_indexes: Vec<NewIndex>,
    /// Files that a person adds and leaves out.
    pub selection: Selection,
    /// XXH3-64 of the names in rows and reports (`source`) of items that the set holds under inputs
    /// that are whole folders, which are cut into inputs of their own now (SODA10M: the inputs
    /// without a slash in their name). They are left out.
    pub stored: Arc<HashSet<u64>>,
    /// How many of them were found.
    pub num_stored: u64,
    /// Name under which the input is to be stored, if not its own.
    pub name: Option<String>,
    /// What is not read.
    pub passed_over: PassedOver,
    /// What a person should know before the work begins, a line each.
    pub notices: Vec<String>,
}

impl Search {
    /// How the folder at `path`, which was given, is named in rows and reports.
    pub(super) fn name_of_folder(&self, path: &Path) -> String {
        self.name.clone().unwrap_or_else(|| short_name(path, 1))
    }

    /// Whether the set holds the item `source` already.
    pub(super) fn is_stored(&self, source: &str) -> bool {
        self.stored.contains(&xxh3_64(source.as_bytes()))
    }
}
