//! Drives that the inputs hold more than once are read once.
//!
//! The same drive may lie there in both versions, beside the archive that it came from, or in two
//! folders. That shows in names, before the work; what first frames say of their drives can only
//! tell files of one name apart. Of several the one is taken that the set has already, so that none
//! is stored twice over time; else the one that is quickest to read and says most: a plain TFRecord
//! file or one in an archive, else a compressed one, else version 2, which may lack the
//! circumstances of the drive. An empty file comes last, a longer one before a shorter, of which a
//! download may have been broken off.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::find::{MOTION, WHAT_IS_READ, only_motion};
use super::names::without_compression;
use super::place::Place;
use crate::error::{Error, Result};
use crate::source::job::{Content, Job};
use crate::source::search::Search;

/// How a drive lies there, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    TfRecord,
    InArchive,
    Compressed,
    Parquet,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::TfRecord => "TFRecord file",
            Self::InArchive => "TFRecord in an archive",
            Self::Compressed => "compressed TFRecord file",
            Self::Parquet => "Parquet file",
        }
    }
}

/// Which of the jobs of all inputs of a command are to be done, so that each drive is read once.
/// Says in `search` what a person should know.
///
/// # Errors
/// If nothing is to be read.
pub(in crate::source) fn settle(jobs: &[&Job], search: &mut Search) -> Result<Vec<bool>> {
    if jobs.is_empty() {
        return Err(nothing(search));
    }
    notice_motion(search);
    let dropped = read_already(jobs, search);
    Ok((0..jobs.len()).map(|ix| !dropped.contains(&ix)).collect())
}

fn notice_motion(search: &mut Search) {
    let files = search.passed_over.files();
    if let Some(motion) = files.iter().find(|files| files.reason == MOTION) {
        search.notices.push(format!(
            "{} of Waymo's motion data set without camera images {} passed over, the first is {:?}",
            counted(motion.count, "file"),
            if motion.count == 1 { "is" } else { "are" },
            motion.first
        ));
    }
}

fn nothing(search: &Search) -> Error {
    let files = search.passed_over.files();
    let Some(first) = files.first() else {
        let advice = format!("`ingest waymo` reads {WHAT_IS_READ}");
        return Error::input("there is nothing to read", "", advice);
    };
    match files.iter().find(|files| files.reason == MOTION) {
        Some(motion) => only_motion(Path::new(&motion.first)),
        None => {
            let advice = format!(
                "it is passed over ({}); `ingest waymo` reads {WHAT_IS_READ}",
                first.reason
            );
            Error::input("there is nothing to read", &first.first, advice)
        }
    }
}

fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Jobs of drives that other jobs read.
fn read_already(jobs: &[&Job], search: &mut Search) -> HashSet<usize> {
    let mut by_drive: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (ix, job) in jobs.iter().enumerate() {
        if let Some(drive) = drive(job) {
            by_drive.entry(drive).or_default().push(ix);
        }
    }
    let mut dropped = HashSet::new();
    let mut twice = Twice::default();
    for (name, group) in by_drive {
        for mut files in same_drive(jobs, group) {
            files.sort_by_cached_key(|&ix| rank(jobs[ix], &search.finished));
            dropped.extend(drop_given_twice(jobs, &mut files));
            let [best, others @ ..] = &files[..] else {
                continue;
            };
            if others.is_empty() {
                continue;
            }
            twice.add(name, form(jobs[*best]));
            for &ix in others {
                let kind = form(jobs[ix]).map_or("", Form::name);
                search.passed_over.add("same-drive", kind, &place(jobs[ix]));
                twice.num_others += 1;
                dropped.insert(ix);
            }
        }
    }
    search.notices.extend(twice.notice());
    dropped
}

/// What is said of drives that are there more than once.
#[derive(Default)]
struct Twice {
    first: Option<String>,
    num_drives: u64,
    num_others: u64,
    taken: BTreeMap<Option<Form>, u64>,
}

impl Twice {
    fn add(&mut self, drive: &str, form: Option<Form>) {
        self.first.get_or_insert_with(|| drive.to_owned());
        self.num_drives += 1;
        *self.taken.entry(form).or_default() += 1;
    }

    fn notice(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let taken = self
            .taken
            .iter()
            .map(|(form, count)| format!("{count} as {}", form.map_or("file", Form::name)));
        Some(format!(
            "{} found more than once, the first is {first:?}: each is read once ({}), {} passed over",
            match self.num_drives {
                1 => "1 drive is".to_owned(),
                count => format!("{count} drives are"),
            },
            taken.collect::<Vec<_>>().join(", "),
            match self.num_others {
                1 => "1 other file is".to_owned(),
                count => format!("{count} other files are"),
            },
        ))
    }
}

fn drive(job: &Job) -> Option<&str> {
    match &job.content {
        Content::TfRecord(file) => file.drive.as_deref(),
        Content::CameraImages(file) => file.drive.as_deref(),
        Content::LostPlaces(_) | Content::Files { .. } => None,
    }
}

/// What the first frame says; a Parquet file and what cannot be read say nothing.
fn context(job: &Job) -> Option<&str> {
    match &job.content {
        Content::TfRecord(file) => file.context.as_deref(),
        _ => None,
    }
}

fn form(job: &Job) -> Option<Form> {
    match &job.content {
        Content::TfRecord(file) => Some(match &file.place {
            Place::Member(..) => Form::InArchive,
            Place::File(_) if without_compression(&job.id.input) == job.id.input => Form::TfRecord,
            Place::File(_) => Form::Compressed,
        }),
        Content::CameraImages(_) => Some(Form::Parquet),
        Content::LostPlaces(_) | Content::Files { .. } => None,
    }
}

/// Where the job stands among those of its drive. The sizes of a plain file and of one in an archive
/// can be compared.
fn rank(job: &Job, finished: &HashSet<String>) -> impl Ord + use<> {
    let form = form(job);
    (
        !finished.contains(&job.id.file_name()),
        job.weight == 0,
        form.map(|form| form.max(Form::InArchive)),
        Reverse(job.weight),
        form,
        job.id.input.clone(),
        job.path().to_owned(),
    )
}

/// The files of a group by drive: those whose first frames are of different drives are different,
/// and one that says nothing belongs to the first.
fn same_drive(jobs: &[&Job], group: Vec<usize>) -> Vec<Vec<usize>> {
    let mut by_context: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
    for ix in group {
        by_context.entry(context(jobs[ix])).or_default().push(ix);
    }
    let unknown = by_context.remove(&None).unwrap_or_default();
    let mut groups: Vec<Vec<usize>> = by_context.into_values().collect();
    match groups.first_mut() {
        Some(first) => first.extend(unknown),
        None => groups.push(unknown),
    }
    groups
}

/// Takes out of `files` what was given by another path before; nobody needs to hear of that.
fn drop_given_twice(jobs: &[&Job], files: &mut Vec<usize>) -> Vec<usize> {
    if files.len() < 2 {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut again = Vec::new();
    files.retain(|&ix| {
        let path = jobs[ix].path();
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_new = seen.insert((real, jobs[ix].id.input.clone()));
        if !is_new {
            again.push(ix);
        }
        is_new
    });
    again
}

/// Where a person finds the file of a job.
fn place(job: &Job) -> String {
    match &job.content {
        Content::TfRecord(file) => match &file.place {
            Place::File(path) => path.to_string_lossy().into_owned(),
            Place::Member(archive, ix) => {
                format!(
                    "{}/{}",
                    archive.path().to_string_lossy(),
                    archive.relative(*ix)
                )
            }
        },
        _ => job.path().to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests;
