//! Frames that lie in two places below one root: one is read, the other is passed over.

use std::collections::{BTreeMap, HashSet};

use super::layout::{Layout, name_of_copies};
use crate::source::found::Found;
use crate::source::naming::short_name;
use crate::source::search::Search;
use crate::source::unpacked::key;

/// Leaves out frames of folders that another folder holds. The first one in the order of names is
/// taken.
pub(super) fn in_folders(found: &mut Found, layout: &Layout, search: &mut Search) {
    let listing = found.listing.clone();
    let suspects = folders_of_one_name(found, layout);
    if suspects.is_empty() {
        return;
    }
    let mut seen: HashSet<u64> = HashSet::new();
    let mut twice: BTreeMap<String, u64> = BTreeMap::new();
    found.in_folder = found.in_folder.filtered(|ix| {
        let path = listing.relative(ix);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if listing.lost(ix).is_some() || !suspects.contains(&key(folder)) {
            return true;
        }
        let name = name_of_copies(&layout.place(&path).source(&path));
        let is_new = name.is_none_or(|name| seen.insert(key(&name)));
        if !is_new {
            search.passed_over.add("same-frame", "file", &path);
            *twice.entry(folder.to_owned()).or_default() += 1;
        }
        is_new
    });
    for (folder, count) in twice {
        search.notices.push(format!(
            "{}: {count} of its frames lie in another folder, too, and are read there",
            listing.root().join(folder).display()
        ));
    }
}

/// Keys of the folders whose frames are named like those of another folder.
fn folders_of_one_name(found: &Found, layout: &Layout) -> HashSet<u64> {
    // Which folder has a name first.
    let mut first: BTreeMap<u64, u64> = BTreeMap::new();
    let mut suspects = HashSet::new();
    let mut last = None;
    for (ix, _) in found.in_folder.iter() {
        let path = found.listing.relative(ix);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let folder_key = key(folder);
        if last == Some(folder_key) {
            continue;
        }
        last = Some(folder_key);
        let Some(name) = name_of_copies(&layout.place(&path).source(&path)) else {
            continue;
        };
        let name = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let other = *first.entry(key(name)).or_insert(folder_key);
        if other != folder_key {
            suspects.extend([other, folder_key]);
        }
    }
    suspects
}

/// Leaves out members that an archive before holds, too.
pub(super) fn in_archives(found: &mut Found, search: &mut Search) {
    if found.archives.len() < 2 {
        return;
    }
    let mut seen: HashSet<u64> = HashSet::new();
    for found in &mut found.archives {
        let (archive, input) = (&found.archive, short_name(found.archive.path(), 2));
        let mut count = 0;
        let mut inside = HashSet::new();
        found.chosen = found.chosen.filtered(|ix| {
            if archive.bytes_of(ix).is_none() {
                return true;
            }
            let source = format!("{input}/{}", archive.relative(ix));
            let Some(name) = name_of_copies(&source) else {
                return true;
            };
            inside.insert(key(&name));
            let is_new = !seen.contains(&key(&name));
            if !is_new {
                search.passed_over.add("same-frame", "member", &source);
                count += 1;
            }
            is_new
        });
        seen.extend(inside);
        if count > 0 {
            search.notices.push(format!(
                "{}: {count} of its frames are in another archive, too, and are read there",
                archive.path().display()
            ));
        }
    }
}
