//! Archives on disk, whole or cut into parts: `images.tar.part00`, `images.tar.part01`, … are one
//! `images.tar`.
//!
//! Numbers count from 0 or 1 and are joined in numeric order, letters from `aa` in alphabetical
//! order. A gap is an error for who names the archive, and one lost item of a folder that it lies
//! in; a missing last part is not seen in names, and leaves an archive whose end is missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

pub(super) use super::part_name::is_inner_tar;
use super::part_name::{Counting, Part, unpacked_by};
pub(crate) use super::part_name::{has_archive_name, stem};
use crate::error::{Defect, Error, Result};

/// An archive as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// What it is called, or would be if it were not cut.
    pub path: PathBuf,
    /// The file, or its parts in order.
    pub files: Vec<PathBuf>,
}

impl Whole {
    fn of_file(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            files: vec![path.to_owned()],
        }
    }

    /// Whether it is called like a zip.
    pub(super) fn is_zip(&self) -> bool {
        is_zip(&self.path)
    }
}

/// What is in a folder.
#[derive(Debug)]
pub(super) enum InFolder {
    /// An archive.
    Whole(Whole),
    /// One that cannot be read as it lies there.
    Incomplete(Whole, Defect),
    /// One that is compressed in a way that is not read: its ending.
    Compressed(PathBuf, &'static str),
    /// A file that only looks like a part (`a.tar.log`).
    Other(PathBuf),
}

impl InFolder {
    fn path(&self) -> &Path {
        match self {
            Self::Whole(whole) | Self::Incomplete(whole, _) => &whole.path,
            Self::Compressed(path, _) | Self::Other(path) => path,
        }
    }
}

/// Why files are no archive.
#[derive(Debug)]
struct Refused {
    detail: &'static str,
    path: PathBuf,
    advice: String,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::input(refused.detail, refused.path, refused.advice)
    }
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// What the name of a part says, of one that may be called like an archive.
fn part(path: &Path) -> Option<Part<'_>> {
    Part::parse(name(path)).or_else(|| Part::parse_like_archive(name(path)))
}

/// The same if it is a part: if it is called like an archive, the part in front of it `is_there`.
fn part_among(path: &Path, is_there: impl Fn(&Path) -> bool) -> Option<Part<'_>> {
    if let Some(part) = Part::parse(name(path)) {
        return Some(part);
    }
    let part = Part::parse_like_archive(name(path))?;
    let before = Counting::Letters(part.counter.len()).counter_before(part.counter);
    is_there(&path.with_file_name(format!("{}{before}", part.prefix))).then_some(part)
}

fn is_zip(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("zip"))
}

/// The archive that the file at `path` is, or is a part of; its other parts are looked for beside
/// it.
///
/// # Errors
/// If it is compressed in a way that is not read, or a part before another one is missing.
pub(super) fn whole(path: &Path) -> Result<Whole> {
    let part = part_among(path, Path::exists);
    if let Some((_, command)) = unpacked_by(name(path)).filter(|_| part.is_none()) {
        let detail = "archives that are compressed like this are not read";
        let advice =
            format!("unpack it, for instance with `{command}`, and give the .tar or the folder");
        return Err(Error::input(detail, path, advice));
    }
    let Some(part) = part else {
        check_is_not_spanned(path)?;
        return Ok(Whole::of_file(path));
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut beside = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let other = entry.map_err(Error::io("list", folder))?.path();
        let other_part = part_among(&other, Path::exists);
        if other_part
            .is_some_and(|other| (other.prefix, other.addition) == (part.prefix, part.addition))
        {
            beside.push(path.with_file_name(other.file_name().unwrap_or_default()));
        }
    }
    let mut groups = groups(beside).into_iter();
    match groups.find(|(_, files)| files.iter().any(|file| file == path)) {
        Some((counting, files)) => Ok(join(counting, files)?),
        None => Ok(Whole::of_file(path)),
    }
}

/// What the files at `paths` are, all of which have names of archives or parts.
pub(super) fn in_folder(paths: impl Iterator<Item = PathBuf>) -> Vec<InFolder> {
    let paths: BTreeSet<PathBuf> = paths.collect();
    let mut found = Vec::new();
    let mut parts: BTreeMap<_, Vec<PathBuf>> = BTreeMap::new();
    for path in &paths {
        if let Some(part) = part_among(path, |before| paths.contains(before)) {
            let key = (
                path.parent(),
                part.prefix.to_owned(),
                part.addition.to_owned(),
            );
            parts.entry(key).or_default().push(path.clone());
        } else if let Some((ending, _)) = unpacked_by(name(path)) {
            found.push(InFolder::Compressed(path.clone(), ending));
        } else {
            let whole = Whole::of_file(path);
            found.push(match check_is_not_spanned(path) {
                Ok(()) => InFolder::Whole(whole),
                Err(refused) => incomplete(whole, refused),
            });
        }
    }
    for (counting, files) in parts.into_values().flat_map(groups) {
        if !are_parts(counting, &files) {
            found.extend(files.into_iter().map(InFolder::Other));
            continue;
        }
        let path = path_of_whole(&files[0]).unwrap_or_else(|| files[0].clone());
        found.push(match join(counting, files.clone()) {
            Ok(whole) => InFolder::Whole(whole),
            Err(refused) => incomplete(Whole { path, files }, refused),
        });
    }
    found.sort_by(|a, b| a.path().cmp(b.path()));
    found
}

fn incomplete(whole: Whole, refused: Refused) -> InFolder {
    let Refused {
        detail,
        path,
        advice,
    } = refused;
    let detail = format!("{detail}: {:?}; {advice}", name(&path));
    InFolder::Incomplete(whole, Defect::new("incomplete-archive", detail))
}

/// Parts that have all but the counter in common, by how they are counted.
fn groups(files: Vec<PathBuf>) -> BTreeMap<Counting, Vec<PathBuf>> {
    let parts: Vec<Part<'_>> = files.iter().filter_map(|path| part(path)).collect();
    let counting = Counting::of(&parts);
    let mut groups: BTreeMap<Counting, Vec<PathBuf>> = BTreeMap::new();
    for (counting, file) in counting.into_iter().zip(&files) {
        groups.entry(counting).or_default().push(file.clone());
    }
    groups
}

fn number(counting: Counting, path: &Path) -> Option<u64> {
    part(path).map(|part| counting.number(part.counter))
}

/// One of them is the first, or two follow one another.
fn are_parts(counting: Counting, paths: &[PathBuf]) -> bool {
    let numbers: HashSet<u64> = paths
        .iter()
        .filter_map(|path| number(counting, path))
        .collect();
    let mut parts = paths.iter().filter_map(|path| number(counting, path));
    parts.any(|number| counting.is_first(number) || numbers.contains(&(number + 1)))
}

fn join(counting: Counting, mut files: Vec<PathBuf>) -> Result<Whole, Refused> {
    files.sort_by_key(|path| (number(counting, path), path.clone()));
    let mut before: Option<(Part<'_>, u64)> = None;
    for path in &files {
        let Some(part) = part(path) else {
            continue;
        };
        let number = counting.number(part.counter);
        if before.is_some_and(|(_, before)| before == number) {
            return Err(Refused {
                detail: "a part of an archive is there twice",
                path: path.clone(),
                advice: "remove one of them".to_owned(),
            });
        }
        if !before.map_or(counting.is_first(number), |(_, before)| {
            before + 1 == number
        }) {
            let missing = counting.counter_before(part.counter);
            let missing = format!("{}{missing}{}", part.prefix, part.addition);
            return Err(Refused {
                detail: "a part of an archive is missing",
                path: path.with_file_name(missing),
                advice: format!(
                    "{:?} is there: fetch all parts of the archive again",
                    name(path)
                ),
            });
        }
        before = Some((part, number));
    }
    let path = before.map(|(part, _)| files[0].with_file_name(part.whole));
    Ok(Whole {
        path: path.expect("the archive has parts"),
        files,
    })
}

/// `images.z01` beside `images.zip` is a zip in volumes, which know their numbers and cannot simply
/// be joined.
fn check_is_not_spanned(path: &Path) -> Result<(), Refused> {
    match is_zip(path) && path.with_extension("z01").exists() {
        true => Err(Refused {
            detail: "the archive is in volumes",
            path: path.to_owned(),
            advice: "make one file of it: `zip -s 0 VOLUMES.zip --out whole.zip`".to_owned(),
        }),
        false => Ok(()),
    }
}

/// What all parts of an archive have in common; `None` if `path` is not called like a part.
pub(crate) fn path_of_whole(path: &Path) -> Option<PathBuf> {
    part_among(path, Path::exists).map(|part| path.with_file_name(part.whole))
}

#[cfg(test)]
mod tests;
