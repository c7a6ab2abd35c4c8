//! How inputs are looked through, and what is found besides data.

use std::path::PathBuf;

use super::passed_over::PassedOver;

/// A search through inputs, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// JSON files of tags, besides those that lie with the images.
    pub tag_files: Vec<PathBuf>,
    /// Where the indexes of archives are kept from one run to the next.
    pub index_dir: Option<PathBuf>,
    /// Name under which the input is to be stored, if not its own.
    pub name: Option<String>,
    /// What is not read.
    pub passed_over: PassedOver,
    /// What a person should know before the work begins, a line each.
    pub notices: Vec<String>,
}
