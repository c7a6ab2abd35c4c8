//! Archives beside what was unpacked of them: every image is read once.
//!
//! An archive of which all images lie unpacked is passed over. Of one of which only some do, the
//! archive is read, and those files are passed over. It takes eight bytes for each file of the
//! folder, while the archives are looked at.

use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::archive::parts;
use super::found::{Found, FoundArchive};
use super::search::Search;

/// What tells a file from all others: what two copies of one image have in common.
pub(super) fn key(path: &str) -> u64 {
    xxh3_64(path.as_bytes())
}

/// Settles which of `found` is read where images lie in archives and beside them. Files of the
/// folder have the key `of_file`, a member has those of the places where it may lie unpacked.
pub(super) fn settle(
    found: &mut Found,
    of_file: &dyn Fn(&str) -> u64,
    of_member: &dyn Fn(&FoundArchive, &str) -> Vec<u64>,
    search: &mut Search,
) {
    if found.archives.is_empty() || found.in_folder.len() == 0 {
        return;
    }
    let listing = found.listing.clone();
    let files = found.in_folder.iter();
    let files = files.filter(|&(ix, _)| listing.lost(ix).is_none());
    let mut keys: Vec<u64> = files
        .map(|(ix, _)| of_file(&listing.relative(ix)))
        .collect();
    keys.sort_unstable();
    let mut in_archives: Vec<u64> = Vec::new();
    found.archives.retain(|archive| {
        let mut unpacked = Vec::new();
        let (mut num_images, mut num_unpacked) = (0, 0);
        for (ix, _) in archive.chosen.iter() {
            if archive.archive.bytes_of(ix).is_none() {
                continue;
            }
            num_images += 1;
            let before = unpacked.len();
            let places = of_member(archive, &archive.archive.relative(ix)).into_iter();
            unpacked.extend(places.filter(|key| keys.binary_search(key).is_ok()));
            num_unpacked += u64::from(unpacked.len() > before);
        }
        if num_unpacked == 0 {
            return true;
        }
        let is_unpacked = num_unpacked == num_images;
        note(
            archive.archive.path(),
            listing.root(),
            is_unpacked,
            num_unpacked,
            search,
        );
        if !is_unpacked {
            in_archives.append(&mut unpacked);
        }
        !is_unpacked
    });
    leave_out(found, of_file, in_archives, search);
}

fn note(archive: &Path, root: &Path, is_unpacked: bool, count: u64, search: &mut Search) {
    let below = archive.strip_prefix(root).unwrap_or(archive);
    let place = below.to_string_lossy();
    if is_unpacked {
        search
            .passed_over
            .add("unpacked-archive", "archive", &place);
        search.notices.push(format!(
            "{}: all its images lie unpacked beside it ({count}): they are read there, the archive is not",
            archive.display()
        ));
    } else {
        search.notices.push(format!(
            "{}: {count} of its images lie unpacked beside it, but not all: they are read from the archive",
            archive.display()
        ));
    }
}

fn leave_out(
    found: &mut Found,
    of_file: &dyn Fn(&str) -> u64,
    mut in_archives: Vec<u64>,
    search: &mut Search,
) {
    if in_archives.is_empty() {
        return;
    }
    in_archives.sort_unstable();
    let listing = found.listing.clone();
    found.in_folder = found.in_folder.filtered(|ix| {
        let path = listing.relative(ix);
        let is_in_archive = in_archives.binary_search(&of_file(&path)).is_ok();
        if is_in_archive {
            search.passed_over.add("in-archive", "file", &path);
        }
        !is_in_archive
    });
}

/// The places below `root` where member `path` of the archive at `archive` lies if it was unpacked
/// beside it, or into a folder of its name.
pub(super) fn places(root: &Path, archive: &Path, path: &str) -> [String; 2] {
    let below = archive.strip_prefix(root).unwrap_or(archive);
    let folder = below.parent().unwrap_or(Path::new(""));
    let name = below.file_name().unwrap_or_default().to_string_lossy();
    let stem = parts::stem(&name).unwrap_or(&name);
    [folder.join(path), folder.join(stem).join(path)]
        .map(|place| place.to_string_lossy().into_owned())
}
