//! Archives beside what was unpacked of them: every image is read once.
//!
//! An image lies unpacked if a file at its place has its size: folders of one layout hold other
//! images under the same names. An archive of which all images lie unpacked is passed over, unless
//! the set was made of it. Of one of which only some do, the archive is read. The files of an
//! archive that is read are passed over. It takes sixteen bytes for each file of the folder, while
//! the archives are looked at.

use std::path::Path;

use schemas::shard::ShardId;
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
    let mut keys: Vec<(u64, u64)> = files
        .map(|(ix, _)| (of_file(&listing.relative(ix)), ix))
        .collect();
    keys.sort_unstable();
    let files_of = |key: u64| {
        let start = keys.partition_point(|&(other, _)| other < key);
        let files = keys[start..].iter();
        files
            .take_while(move |&&(other, _)| other == key)
            .map(|&(_, ix)| ix)
    };
    let has_bytes = |ix: u64, bytes: u64| {
        let metadata = listing.file(ix).metadata();
        metadata.is_ok_and(|metadata| metadata.len() == bytes)
    };
    let mut in_archives: Vec<u64> = Vec::new();
    found.archives.retain(|archive| {
        let mut unpacked = Vec::new();
        let (mut num_images, mut num_unpacked) = (0, 0);
        for (ix, _) in archive.chosen.iter() {
            let Some(bytes) = archive.archive.bytes_of(ix) else {
                continue;
            };
            num_images += 1;
            let before = unpacked.len();
            let places = of_member(archive, &archive.archive.relative(ix)).into_iter();
            let files = places.flat_map(files_of);
            unpacked.extend(files.filter(|&file| has_bytes(file, bytes)));
            num_unpacked += u64::from(unpacked.len() > before);
        }
        if num_unpacked == 0 {
            return true;
        }
        let (path, root) = (archive.archive.path(), listing.root());
        let why_archive = match num_unpacked == num_images {
            false => Some("but not all"),
            true if is_in_set(archive, search) => Some("but the set was made of it"),
            true => None,
        };
        note(path, root, why_archive, num_unpacked, search);
        if why_archive.is_some() {
            in_archives.append(&mut unpacked);
        }
        why_archive.is_some()
    });
    leave_out(found, in_archives, search);
}

/// Whether the set holds the first shard of the archive.
fn is_in_set(archive: &FoundArchive, search: &Search) -> bool {
    let first = ShardId {
        input: archive.input.clone(),
        first_item: 0,
        end_item: None,
    };
    search.finished.contains(&first.file_name())
}

/// Says where images are read; `why_archive` says why in the archive, if there.
fn note(archive: &Path, root: &Path, why_archive: Option<&str>, count: u64, search: &mut Search) {
    let below = archive.strip_prefix(root).unwrap_or(archive);
    let place = below.to_string_lossy();
    if let Some(why) = why_archive {
        search.notices.push(format!(
            "{}: {count} of its images lie unpacked beside it, {why}: they are read from the archive",
            archive.display()
        ));
    } else {
        search
            .passed_over
            .add("unpacked-archive", "archive", &place);
        search.notices.push(format!(
            "{}: all its images lie unpacked beside it ({count}): they are read there, the archive is not",
            archive.display()
        ));
    }
}

fn leave_out(found: &mut Found, mut in_archives: Vec<u64>, search: &mut Search) {
    if in_archives.is_empty() {
        return;
    }
    in_archives.sort_unstable();
    let listing = found.listing.clone();
    found.in_folder = found.in_folder.filtered(|ix| {
        let is_in_archive = in_archives.binary_search(&ix).is_ok();
        if is_in_archive {
            let path = listing.relative(ix);
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
