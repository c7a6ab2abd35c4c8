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
use super::place::{CameraImages, LostPlaces, Place, TfRecord};
use super::split::{names_of_root, split_of};
use super::tfrecord::{HEADER_BYTES, parse_header};
use super::{compressed, v2};
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
    let sort = |entry: Entry<'_>| sort(&root, entry);
    let [files, archives] = Listing::sorted(path, &sort, &mut search.passed_over)?;
    let archives = Archive::open_all(archives.paths(), &choose_member, search)?;
    let mut found = Found::new(search);
    let mut lost = Vec::new();
    for ix in 0..files.len() {
        let relative = files.relative(ix);
        match files.lost(ix) {
            Some(defect) => lost.push((relative, defect.clone(), 0)),
            None => found.add_file(files.file(ix), &root, &relative),
        }
    }
    found.add_lost(short_name(path, 1), path, None, lost);
    for archive in archives {
        let below = archive.path().strip_prefix(path).unwrap_or(archive.path());
        let relative = below.to_string_lossy().into_owned();
        found.add_archive(archive, &root, &relative)?;
    }
    found.jobs_of(path)
}

/// Files come first, archives second.
fn sort(root: &str, entry: Entry<'_>) -> Sorted {
    match entry {
        Entry::Folder(path) => {
            let name = path.rsplit('/').next().unwrap_or(path);
            match system_files::reason(name) {
                Some((reason, kind)) => Sorted::PassOver(reason, format!("{kind}/")),
                None => Sorted::Take(0),
            }
        }
        Entry::File(path) => match kind_of(&source_name(root, path)) {
            Kind::TfRecord | Kind::CameraImages => Sorted::Take(0),
            Kind::Archive => Sorted::Take(1),
            Kind::Other(reason, kind) => Sorted::PassOver(reason, kind),
        },
    }
}

fn jobs_of_file(path: &Path, search: &mut Search) -> Result<Vec<Job>> {
    // Where links lead, as its shard is called.
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let root = names_of_root(real.parent().unwrap_or(Path::new("/")));
    let name = short_name(&real, 1);
    let kind = kind_of(&source_name(&root, &name));
    if kind == Kind::Archive {
        let archive = Archive::open(path, &choose_member, search)?;
        let mut found = Found::new(search);
        found.add_archive(archive, &root, &name)?;
        return found.jobs_of(path);
    }
    let mut found = Found::new(search);
    match kind {
        Kind::Other("partial-download", kind) => {
            found.pass_over("partial-download", &kind, &name);
        }
        Kind::Other(..) if name.ends_with(".parquet") => {
            v2::check_is_camera_image(path)?;
            found.add_camera_images(path, &root, &name);
        }
        Kind::Other(reason, kind)
            if NEVER_DATA.contains(&&kind[..]) || !begins_like_tfrecord(path) =>
        {
            if !names::is_beside_data(&name) {
                let advice = format!("`ingest waymo` reads {WHAT_IS_READ}");
                return Err(Error::input("this is not a TFRecord file", path, advice));
            }
            found.pass_over(reason, &kind, &name);
        }
        Kind::CameraImages => found.add_camera_images(path, &root, &name),
        _ => found.add_tfrecord(path, &root, &name),
    }
    Ok(found.jobs)
}

/// Endings of files beside data that are none, whatever they begin with.
const NEVER_DATA: [&str; 6] = [".crc", ".idx", ".index", ".md5", ".sha1", ".sha256"];

/// What the command reads, for messages.
pub(super) const WHAT_IS_READ: &str = "TFRecord files of Waymo Open Dataset v1 and of its end-to-end release \
     (*.tfrecord, *.tfrecord-NNNNN-of-NNNNN, also .gz, .zst or in a .tar), camera_image/*.parquet of v2, and \
     folders of them";

/// A file whose name does not say what it holds may at least begin like it.
fn begins_like_tfrecord(path: &Path) -> bool {
    let mut header = [0; HEADER_BYTES as usize];
    let unpacked = compressed::open(&Place::File(path.to_owned()));
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

    fn pass_over(&mut self, reason: &'static str, kind: &str, place: &str) {
        self.search.passed_over.add(reason, kind, place);
    }

    /// Takes the file called `relative` in a folder of which the names `root` count.
    fn add_file(&mut self, path: PathBuf, root: &str, relative: &str) {
        match kind_of(&source_name(root, relative)) {
            Kind::CameraImages => self.add_camera_images(&path, root, relative),
            _ => self.add_tfrecord(&path, root, relative),
        }
    }

    fn add_camera_images(&mut self, path: &Path, root: &str, relative: &str) {
        let name = source_name(root, relative);
        let file = CameraImages {
            path: path.to_owned(),
            split: split_of(&name),
            drive: drive_of(&name).map(str::to_owned),
        };
        let job = self.file_job(path, Content::CameraImages(file));
        self.jobs.push(job);
    }

    fn add_tfrecord(&mut self, path: &Path, root: &str, relative: &str) {
        let file = tfrecord(Place::File(path.to_owned()), &source_name(root, relative));
        let first = peek(&file.place);
        let job = self.file_job(path, Content::TfRecord(file));
        self.add_unless_motion(job, first, relative);
    }

    fn file_job(&self, path: &Path, content: Content) -> Job {
        // Folder and file name where links lead: the same however the path was given, and drives
        // are named uniquely. A link that leads nowhere is called as it is.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Job {
            id: self.id(short_name(&real, 2)),
            content,
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

    fn add_unless_motion(&mut self, mut job: Job, first: First, place: &str) {
        match (&mut job.content, first) {
            (Content::TfRecord(file), First::Frame(context)) => file.context = context,
            (_, First::Frame(_)) => {}
            (_, First::Motion) => {
                self.num_motion += 1;
                self.pass_over(MOTION, "TFRecord", place);
                return;
            }
        }
        self.jobs.push(job);
    }

    /// Takes the TFRecord files in the archive called `relative` in a folder of which the names
    /// `root` count.
    fn add_archive(&mut self, archive: Archive, root: &str, relative: &str) -> Result<()> {
        let archive = Arc::new(archive);
        let name = source_name(root, relative);
        let opened = archive.reopen()?;
        let mut inputs = HashSet::new();
        let mut lost = Vec::new();
        let mut is_all_motion = true;
        for ix in 0..archive.len() {
            let member = archive.relative(ix);
            let file = match archive.file(ix, &opened) {
                Ok(file) => file,
                Err(defect) => {
                    lost.push((member, defect, archive.unread_bytes(ix)));
                    continue;
                }
            };
            let mut input = input_of_member(&name, &member);
            if !inputs.insert(input.clone()) {
                input = source_name(&name, &member);
            }
            let place = Place::Member(archive.clone(), ix);
            // What is compressed as a whole is not unpacked once more for a look, unless it is, as
            // far as it was looked at, none of the data that would be read.
            let first = match file.is_sequential() && !is_all_motion {
                true => First::Frame(None),
                false => peek(&place),
            };
            is_all_motion &= first == First::Motion;
            let job = Job {
                id: self.id(input),
                content: Content::TfRecord(tfrecord(place, &source_name(&name, &member))),
                weight: file.len(),
            };
            self.add_unless_motion(job, first, &source_name(relative, &member));
        }
        let (input, bytes) = (short_name(archive.path(), 2), archive.bytes());
        self.add_lost(input, archive.first_file(), Some(bytes), lost);
        Ok(())
    }

    /// Takes what is lost in a folder or an archive, which becomes a shard without frames.
    fn add_lost(
        &mut self,
        input: String,
        path: &Path,
        bytes: Option<u64>,
        places: Vec<(String, Defect, u64)>,
    ) {
        if !places.is_empty() {
            let job = Job {
                id: self.id(input),
                weight: places.len() as u64,
                content: Content::LostPlaces(LostPlaces {
                    path: path.to_owned(),
                    bytes,
                    places,
                }),
            };
            self.jobs.push(job);
        }
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
