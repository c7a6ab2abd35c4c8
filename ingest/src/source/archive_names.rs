//! What archives are called in shards and reports: each is an input of its own.
//!
//! An archive is named by its folder and itself, as long as no other one below the same root is
//! called so, and by all of its path below the root if one is. What the set has keeps its name: an
//! archive that arrives later or is gone renames no other.

use std::collections::BTreeMap;
use std::path::Path;

use super::archive::Archive;
use super::naming::short_name;
use super::search::Search;

/// The name of each of `archives`, which were found at or below `root`.
pub(super) fn names(archives: &[Archive], root: &Path, search: &Search) -> Vec<String> {
    let mut names: Vec<String> = archives
        .iter()
        .map(|archive| long(archive, root, search))
        .collect();
    let mut by_short: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (ix, archive) in archives.iter().enumerate() {
        let short = short(archive, root, search);
        by_short.entry(short).or_default().push(ix);
    }
    for (short, rivals) in by_short {
        let is_free = |ix: &&usize| !search.in_set.contains_key(&names[**ix]);
        let free: Vec<usize> = rivals.iter().filter(is_free).copied().collect();
        let owner = match search.in_set.get(&short) {
            _ if rivals.len() == 1 => free.first(),
            None => None,
            Some(bytes) => {
                let is_it = |ix: &&usize| *bytes == Some(archives[**ix].bytes());
                let has_changed = search.given_before.contains(&short);
                let first = free.first().filter(|_| has_changed);
                free.iter().find(is_it).or(first)
            }
        };
        if let Some(&owner) = owner {
            names[owner] = short;
        }
    }
    names
}

/// By its folder and itself, or by its place in an input that was given a name.
fn short(archive: &Archive, root: &Path, search: &Search) -> String {
    let path = archive.path();
    match (&search.name, path.strip_prefix(root)) {
        (Some(name), Ok(below)) if !below.as_os_str().is_empty() => {
            format!("{name}/{}", below.to_string_lossy())
        }
        (Some(name), _) => name.clone(),
        (None, _) => short_name(path, 2),
    }
}

/// By its path below the root; one that was given itself has no other name than its short one.
fn long(archive: &Archive, root: &Path, search: &Search) -> String {
    match archive.first_file().strip_prefix(root) {
        Ok(below) if !below.as_os_str().is_empty() => {
            let folder = search.name_of_folder(root);
            format!("{folder}/{}", below.to_string_lossy())
        }
        _ => short(archive, root, search),
    }
}
