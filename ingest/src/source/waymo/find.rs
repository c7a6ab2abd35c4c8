//! What is to be read of an input: which files below it are data, and what else lies there.
//!
//! A file becomes a job, and its shard is called like its folder and itself. A TFRecord in an
//! archive is called as if it had been unpacked into the folder of its split, so that a set made of
//! the official `training_0000.tar` and one made of what was in it have the same shards.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemas::shard::ShardId;

use super::names::{self, Kind, drive_of, kind_of};
use super::peek::{First, peek};
use super::place::{CameraImages, LostMembers, Place, TfRecord};
use super::split::{names_of_root, split_of};
use super::tfrecord::{HEADER_BYTES, parse_header};
use super::{unpacked, v2};
use crate::error::{Defect, Error, Result};
use crate::source::archive::Archive;
use crate::source::choice::Choice;
use crate::source::job::{Content, Job};
use crate::source::listing::{Entry, Listing, Sorted};
use crate::source::naming::{short_name, source_name};
use crate::source::search::Search;
use crate::source::system_files;

/// Files of the motion data set are counted under this reason.
pub(super) const MOTION: &str = "motion-dataset";

/// Jobs of `path`: a TFRecord or Parquet file, an archive, or a folder that holds some at any
/// depth. What else lies there is counted in `search`. A file that is no data and only lies beside
/// some has no job.
///
/// # Errors
/// If it cannot be read, is no file of the data set, or is a folder or archive that holds none.
pub fn jobs(path: &Path, search: &mut Search) -> Result<Vec<Job>> {
    match path.is_dir() {
        true => jobs_of_folder(path, search),
        false => jobs_of_file(path, search),
    }
}

fn jobs_of_folder(path: &Path, search: &mut Search) -> Result<Vec<Job>> {
    let root = names_of_root(path);
    let listing = list(path, search)?;
    let mut found = Found::new(search);
    let mut archives = Vec::new();
    for ix in 0..listing.len() {
        let (file, relative) = (listing.file(ix), listing.relative(ix));
        let place = source_name(&root, &relative);
        if let Some(defect) = listing.lost(ix) {
            found.lose_folder(&file, &place, defect);
            continue;
        }
        match kind_of(&place) {
            Kind::Archive => archives.push(file),
            kind => found.add_file(file, &place, kind),
        }
    }
    for archive in found.open_archives(archives.into_iter())? {
        let relative = archive.path().strip_prefix(path).unwrap_or(archive.path());
        let place = source_name(&root, &relative.to_string_lossy());
        found.add_archive(archive, &place)?;
    }
    found.jobs_of(path)
}

/// All files below `path`, but those that systems and programs leave.
fn list(path: &Path, search: &mut Search) -> Result<Listing> {
    let sort = |entry: Entry<'_>| {
        let Entry::Folder(folder) = entry else {
            return Sorted::Take(0);
        };
        let name = folder.rsplit('/').next().unwrap_or(folder);
        match system_files::reason(name) {
            Some((reason, kind)) => Sorted::PassOver(reason, format!("{kind}/")),
            None => Sorted::Take(0),
        }
    };
    let [listing] = Listing::sorted(path, &sort, &mut search.passed_over)?;
    Ok(listing)
}

fn jobs_of_file(path: &Path, search: &mut Search) -> Result<Vec<Job>> {
    // Where links lead, as its shard is called.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = names_of_root(real.parent().unwrap_or(Path::new("/")));
    let place = source_name(&folder, &short_name(&real, 1));
    let mut found = Found::new(search);
    match kind_of(&place) {
        Kind::Archive => {
            for archive in found.open_archives(std::iter::once(path.to_owned()))? {
                found.add_archive(archive, &place)?;
            }
            return found.jobs_of(path);
        }
        kind @ (Kind::TfRecord | Kind::CameraImages | Kind::Other("partial-download", _)) => {
            found.add_file(path.to_owned(), &place, kind);
        }
        Kind::Other(..) if place.ends_with(".parquet") => {
            v2::check_is_camera_image(path)?;
            found.add_file(path.to_owned(), &place, Kind::CameraImages);
        }
        Kind::Other(..) if begins_like_tfrecord(path) => {
            found.add_file(path.to_owned(), &place, Kind::TfRecord);
        }
        kind if names::is_beside_data(&place) => found.add_file(path.to_owned(), &place, kind),
        _ => {
            let advice = format!("`ingest waymo` reads {WHAT_IS_READ}");
            return Err(Error::input("this is not a TFRecord file", path, advice));
        }
    }
    Ok(found.jobs)
}

/// What the command reads, for messages.
pub(super) const WHAT_IS_READ: &str = "TFRecord files of Waymo Open Dataset v1 and of its end-to-end release \
     (*.tfrecord, *.tfrecord-NNNNN-of-NNNNN, also .gz, .zst or in a .tar), camera_image/*.parquet of v2, and \
     folders of them";

/// A file whose name does not say what it holds may at least begin like it.
fn begins_like_tfrecord(path: &Path) -> bool {
    let mut header = [0; HEADER_BYTES as usize];
    let unpacked = unpacked::open(&Place::File(path.to_owned()));
    unpacked.is_ok_and(|mut file| {
        file.reader.read_exact(&mut header).is_ok() && parse_header(&header).is_some()
    })
}

/// What is found of one input.
struct Found<'a> {
    search: &'a mut Search,
    jobs: Vec<Job>,
    num_motion: u64,
}

impl<'a> Found<'a> {
    fn new(search: &'a mut Search) -> Self {
        Self {
            search,
            jobs: Vec::new(),
            num_motion: 0,
        }
    }

    /// Takes a file that is called `place`, with the folders that count in front.
    fn add_file(&mut self, path: PathBuf, place: &str, kind: Kind) {
        match kind {
            Kind::TfRecord => {
                let job = self.file_job(&path, |path| {
                    Content::TfRecord(tfrecord(Place::File(path), place))
                });
                self.add_unless_motion(job, place);
            }
            Kind::CameraImages => {
                let job = self.file_job(&path, |path| {
                    Content::CameraImages(CameraImages {
                        path,
                        split: split_of(place),
                        drive: drive_of(place).map(str::to_owned),
                    })
                });
                self.jobs.push(job);
            }
            Kind::Other(reason, kind) => self.search.passed_over.add(reason, kind, place),
            Kind::Archive => {}
        }
    }

    /// Says that a folder cannot be entered: nobody knows which drives are in it.
    fn lose_folder(&mut self, path: &Path, place: &str, defect: &Defect) {
        self.search.passed_over.add(defect.reason, "folder", place);
        let notice = format!(
            "{}: nothing in it is read: {}; check the permissions",
            path.display(),
            defect.detail
        );
        self.search.notices.push(notice);
    }

    fn file_job(&self, path: &Path, content: impl FnOnce(PathBuf) -> Content) -> Job {
        // Folder and file name where links lead: the same however the path was given, and drives
        // are named uniquely. A link that leads nowhere is called as it is.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Job {
            id: self.id(short_name(&real, 2)),
            content: content(path.to_owned()),
            weight: path.metadata().map_or(0, |file| file.len()),
        }
    }

    /// The id of a shard of all of a file, which begins with the name that the input was given.
    fn id(&self, input: String) -> ShardId {
        ShardId {
            input: match &self.search.name {
                Some(name) => source_name(name, &input),
                None => input,
            },
            first_item: 0,
            end_item: None,
        }
    }

    fn add_unless_motion(&mut self, mut job: Job, place: &str) {
        if let Content::TfRecord(file) = &mut job.content {
            match peek(&file.place) {
                First::Frame(context) => file.context = context,
                First::Motion => {
                    self.num_motion += 1;
                    self.search.passed_over.add(MOTION, "TFRecord", place);
                    return;
                }
            }
        }
        self.jobs.push(job);
    }

    fn open_archives(&mut self, paths: impl Iterator<Item = PathBuf>) -> Result<Vec<Archive>> {
        Archive::open_all(paths, &choose_member, self.search)
    }

    /// Takes the TFRecord files in an archive that is called `place`.
    fn add_archive(&mut self, archive: Archive, place: &str) -> Result<()> {
        let archive = Arc::new(archive);
        let opened = archive.reopen()?;
        let mut names = HashSet::new();
        let mut lost = Vec::new();
        for ix in 0..archive.len() {
            let Ok(member) = archive.file(ix, &opened) else {
                lost.push(ix);
                continue;
            };
            let relative = archive.relative(ix);
            let mut input = input_of_member(place, &relative);
            if !names.insert(input.clone()) {
                input = source_name(place, &relative);
            }
            let job = Job {
                id: self.id(input),
                content: Content::TfRecord(tfrecord(
                    Place::Member(archive.clone(), ix),
                    &source_name(place, &relative),
                )),
                weight: member.len(),
            };
            self.add_unless_motion(job, &source_name(place, &relative));
        }
        if !lost.is_empty() {
            self.jobs.push(Job {
                id: self.id(short_name(archive.path(), 2)),
                weight: lost.len() as u64,
                content: Content::LostMembers(LostMembers {
                    archive,
                    members: lost,
                }),
            });
        }
        Ok(())
    }

    /// # Errors
    /// If there are none.
    fn jobs_of(self, path: &Path) -> Result<Vec<Job>> {
        if !self.jobs.is_empty() {
            return Ok(self.jobs);
        }
        if self.num_motion > 0 {
            return Err(only_motion(path));
        }
        let advice =
            format!("`ingest waymo` reads {WHAT_IS_READ}, and looks for them in subfolders too");
        Err(Error::input(
            "it holds no TFRecord files and no camera images as Parquet",
            path,
            advice,
        ))
    }
}

/// The refusal of an input that holds nothing but files of the motion data set.
pub(super) fn only_motion(path: &Path) -> Error {
    let advice = format!("they have no camera images; `ingest waymo` reads {WHAT_IS_READ}");
    Error::input("these are files of Waymo's motion data set", path, advice)
}

/// Parquet files are read at many places at once, and so not in archives.
fn choose_member(path: &str) -> Choice {
    match kind_of(path) {
        Kind::TfRecord => Choice::Item,
        Kind::CameraImages => Choice::PassOver("parquet-in-archive", ".parquet".to_owned()),
        Kind::Archive => Choice::PassOver("archive-in-archive", "archive".to_owned()),
        Kind::Other(reason, kind) => Choice::PassOver(reason, kind),
    }
}

/// What the shard of a member is called: as that of the unpacked file, which lies in the folder
/// that it has in the archive, or in one called like the archive's split, or else like its folder.
fn input_of_member(archive: &str, member: &str) -> String {
    let mut names = member.rsplit('/');
    let name = names.next().unwrap_or(member);
    // In a tar in the tar the next name is the tar's.
    let folder = names.next().filter(|name| !name.ends_with(".tar"));
    let folder = folder.or_else(|| split_folder(archive)).or_else(|| {
        let mut names = archive.rsplit('/');
        names.nth(1)
    });
    match folder {
        Some(folder) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

/// The folder that the files of `archive` have in the bucket: `training`, for the archives of
/// `domain_adaptation/training` too.
fn split_folder(archive: &str) -> Option<&'static str> {
    match split_of(archive)? {
        "domain_adaptation" => ["training", "validation", "testing"]
            .into_iter()
            .find(|part| {
                archive.contains(&format!("domain_adaptation/{part}"))
                    || archive.contains(&format!("domain_adaptation_{part}"))
            }),
        split => Some(split),
    }
}

fn tfrecord(place: Place, name: &str) -> TfRecord {
    TfRecord {
        split: split_of(name),
        drive: drive_of(name).map(str::to_owned),
        context: None,
        place,
    }
}

#[cfg(test)]
mod tests;
