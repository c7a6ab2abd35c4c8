//! The tag files of an input: in it, beside it, in its archives, and those that a person names.
//!
//! JSON that lies about may be anyone's: a file that cannot be read as JSON is passed over and
//! counted. One that a person names must be readable.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use super::layout::is_part;
use crate::error::{Error, Result};
use crate::source::found::Found;
use crate::source::image_files::is_tag_file;
use crate::source::search::Search;
use crate::source::tags::Tags;

/// The tags of what was found at `path`.
///
/// # Errors
/// If a file that a person names is damaged, or reading fails.
pub(super) fn read(found: &mut Found, path: &Path, search: &mut Search) -> Result<Tags> {
    let mut tags = Tags::default();
    for archive in &mut found.archives {
        let name = archive.archive.path().to_string_lossy().into_owned();
        archive.archive.read_tag_files(|file| {
            let read = tags.read(file).map(|_| ());
            read.or_else(|error| pass_over(search, &name, error))
        })?;
    }
    for file in found.tag_files.iter().cloned().chain(beside(path)?) {
        let opened = File::open(&file);
        let read = opened.and_then(|opened| tags.read(BufReader::new(opened)));
        let place = file.to_string_lossy();
        read.map(|_| ())
            .or_else(|error| pass_over(search, &place, error))
            .map_err(Error::io("read", &file))?;
    }
    for file in search.tag_files.clone() {
        let num_tags = named(&mut tags, &file)?;
        if num_tags == 0 {
            let notice = format!("{}: no tags of images are in it", file.display());
            search.notices.push(notice);
        }
    }
    tags.finish();
    Ok(tags)
}

/// A file that a person names.
fn named(tags: &mut Tags, file: &Path) -> Result<usize> {
    let reader = BufReader::new(File::open(file).map_err(Error::io("open", file))?);
    tags.read(reader)
        .map_err(|error| match error.raw_os_error() {
            Some(_) => Error::io("read", file)(error),
            None => Error::input(
                "the tag file is damaged",
                file,
                format!("{error}: replace it or leave --tags away"),
            ),
        })
}

/// A file that no one named and that is no JSON, or may not be read, is not ours.
fn pass_over(search: &mut Search, place: &str, error: io::Error) -> io::Result<()> {
    let is_foreign = match error.raw_os_error() {
        None => true,
        Some(_) => matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
        ),
    };
    if !is_foreign {
        return Err(error);
    }
    let notice = format!("{place}: passed over as tags: {error}");
    search.passed_over.add("foreign-json", ".json", place);
    search.notices.push(notice);
    Ok(())
}

/// Tag files beside an archive, and between a part of the set or what is inside it and the folder
/// of the set.
fn beside(path: &Path) -> Result<Vec<PathBuf>> {
    let path = std::path::absolute(path).map_err(Error::io("look at", path))?;
    let is_part_folder = |folder: &&Path| {
        let name = folder.file_name().and_then(|name| name.to_str());
        name.is_some_and(is_part)
    };
    let top = match path.is_dir() {
        true => path.ancestors().find(is_part_folder).and_then(Path::parent),
        false => path.parent(),
    };
    let Some(top) = top else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for folder in path
        .ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(top))
    {
        found.extend(files_in(folder, is_tag_file)?);
    }
    Ok(found)
}

/// The files of the folder `folder`, if there is one, whose name `accepts`; subfolders are not
/// entered.
fn files_in(folder: &Path, accepts: fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if path.is_file()
            && path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(accepts)
        {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}
