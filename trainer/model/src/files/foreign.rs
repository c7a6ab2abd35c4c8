//! What a file that no run wrote holds.

use std::collections::{BTreeMap, BTreeSet};

use super::file_tensor::FileTensor;

/// The tensors of a file, and what else is worth knowing of it.
#[derive(Clone, Debug)]
pub struct ForeignFile {
    /// What kind of file it is, for people.
    pub container: &'static str,
    /// Its tensors; names of nested dictionaries are joined by dots.
    pub tensors: BTreeMap<String, FileTensor>,
    /// What it says beside them, as our exports do: metadata of safetensors, members of a zip.
    pub metadata: BTreeMap<String, String>,
    /// Who wrote it, where it says so (`__author__` of Detectron2's files).
    pub author: Option<String>,
    /// Python packages whose objects are in it.
    pub packages: BTreeSet<String>,
}
