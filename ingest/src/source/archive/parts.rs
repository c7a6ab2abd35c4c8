//! Archives on disk, whole or cut into parts: `images.tar.part00`, `images.tar.part01`, … are one
//! `images.tar`.
//!
//! A part is called like its archive with `.`, `-` or `_`, the word `part` and a number or letters
//! after it, of which all but the number or the letters may be missing: what `split` makes, and
//! what data sets are shipped as. Numbers count from 0 or 1 and are joined in numeric order,
//! letters from `aa` in alphabetical order. A gap is an error; a missing last part is not seen in
//! names, and leaves an archive whose end is missing.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use host::file_name::is_hidden;

use crate::error::{Error, Result};

/// Endings of archives that are read, in lower case.
const ENDINGS: [&str; 2] = [".tar", ".zip"];

/// Endings of archives that are compressed as a whole, so that no member can be read without all
/// before it.
const COMPRESSED: [&str; 11] = [
    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4",
    ".tar.z", ".7z",
];

/// An archive as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// What it is called, or would be if it were not cut.
    pub path: PathBuf,
    /// The file, or its parts in order.
    pub files: Vec<PathBuf>,
}

impl Whole {
    /// Whether it is a zip.
    pub(super) fn is_zip(&self) -> bool {
        self.path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("zip"))
    }
}

/// Whether `name` is that of an archive or of a part of one.
pub(crate) fn has_archive_name(name: &str) -> bool {
    !is_hidden(name) && (ending_at(name) == Some(name.len()) || Part::parse(name).is_some())
}

/// The name of an archive without its ending, if it is one.
pub(crate) fn stem(name: &str) -> Option<&str> {
    ending_at(name)
        .filter(|&end| end == name.len())
        .map(|end| &name[..end - ENDINGS[0].len()])
}

pub(super) fn is_tar(path: &str) -> bool {
    let start = path.len().saturating_sub(ENDINGS[0].len());
    path.is_char_boundary(start) && path[start..].eq_ignore_ascii_case(ENDINGS[0])
}

pub(super) fn is_compressed(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    COMPRESSED.iter().any(|ending| name.ends_with(ending))
}

/// Where the last ending of an archive in `name` ends.
fn ending_at(name: &str) -> Option<usize> {
    let lower = name.to_ascii_lowercase();
    ENDINGS
        .iter()
        .filter_map(|ending| Some(lower.rfind(ending)? + ending.len()))
        .max()
}

/// What the name of a part says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part<'a> {
    /// Name of the archive.
    whole: &'a str,
    /// All in front of the number.
    prefix: &'a str,
    /// The number, or the letters.
    counter: &'a str,
    number: u64,
}

impl<'a> Part<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        const SEPARATORS: [char; 3] = ['.', '-', '_'];
        let whole = &name[..ending_at(name)?];
        let suffix = name[whole.len()..].trim_start_matches(SEPARATORS);
        let counter = suffix
            .strip_prefix("part")
            .unwrap_or(suffix)
            .trim_start_matches(SEPARATORS);
        if is_compressed(name) {
            return None;
        }
        let number = if counter.bytes().all(|byte| byte.is_ascii_digit()) {
            counter.parse().ok()?
        } else if (2..=4).contains(&counter.len())
            && counter.bytes().all(|byte| byte.is_ascii_lowercase())
        {
            counter
                .bytes()
                .fold(0, |number, letter| 26 * number + u64::from(letter - b'a'))
        } else {
            return None;
        };
        Some(Self {
            whole,
            prefix: &name[..name.len() - counter.len()],
            counter,
            number,
        })
    }

    fn has_letters(&self) -> bool {
        self.counter
            .starts_with(|first: char| first.is_ascii_lowercase())
    }

    /// Parts of one archive have equal keys. Letters do not change their number on the way.
    fn key(&self) -> (String, usize) {
        (
            self.prefix.to_owned(),
            if self.has_letters() {
                self.counter.len()
            } else {
                0
            },
        )
    }

    fn is_first(&self) -> bool {
        self.number == 0 || (self.number == 1 && !self.has_letters())
    }

    /// The name of the part that comes before this one.
    fn name_before(&self) -> String {
        let mut before = self.number.saturating_sub(1);
        if !self.has_letters() {
            return format!(
                "{}{before:0width$}",
                self.prefix,
                width = self.counter.len()
            );
        }
        let mut letters = vec![b'a'; self.counter.len()];
        for letter in letters.iter_mut().rev() {
            *letter = b'a' + (before % 26) as u8;
            before /= 26;
        }
        format!("{}{}", self.prefix, String::from_utf8_lossy(&letters))
    }
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

/// The archive that the file at `path` is, or is a part of; its other parts are looked for beside
/// it.
///
/// # Errors
/// If it is compressed, is called neither like an archive nor like a part, or a part before another
/// one is missing.
pub(super) fn whole(path: &Path) -> Result<Whole> {
    if is_compressed(name(path)) {
        let advice = "members of a compressed archive cannot be read apart: decompress it, for instance with \
                      `gzip -dk`, and give the .tar";
        return Err(Error::input(
            "the archive is compressed as a whole",
            path,
            advice,
        ));
    }
    let Some(part) = Part::parse(name(path)) else {
        check_is_not_spanned(path)?;
        return Ok(Whole {
            path: path.to_owned(),
            files: vec![path.to_owned()],
        });
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut parts = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        if Part::parse(name(&path)).is_some_and(|other| other.key() == part.key()) {
            parts.push(path);
        }
    }
    join(parts)
}

/// The archives that the files at `paths` are. Files that only look like parts (`a.tar.log`) are
/// passed over.
///
/// # Errors
/// If a part before another one is missing, or is there twice.
pub(super) fn wholes(paths: impl Iterator<Item = PathBuf>) -> Result<Vec<Whole>> {
    let mut archives = Vec::new();
    let mut parts: BTreeMap<_, Vec<PathBuf>> = BTreeMap::new();
    for path in paths {
        match Part::parse(name(&path)) {
            Some(part) => parts
                .entry((path.parent().map(Path::to_owned), part.key()))
                .or_default()
                .push(path),
            None => archives.push(whole(&path)?),
        }
    }
    for parts in parts.into_values().filter(|parts| are_parts(parts)) {
        archives.push(join(parts)?);
    }
    archives.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(archives)
}

/// One of them is the first, or two follow one another.
fn are_parts(paths: &[PathBuf]) -> bool {
    let parts = || paths.iter().filter_map(|path| Part::parse(name(path)));
    let numbers: HashSet<u64> = parts().map(|part| part.number).collect();
    parts().any(|part| part.is_first() || numbers.contains(&(part.number + 1)))
}

fn join(mut files: Vec<PathBuf>) -> Result<Whole> {
    let part = |path: &Path| Part::parse(name(path)).map(|part| part.number);
    files.sort_by_key(|path| (part(path), path.clone()));
    let mut before: Option<Part<'_>> = None;
    for path in &files {
        let Some(part) = Part::parse(name(path)) else {
            continue;
        };
        let follows = before.map_or(part.is_first(), |before| before.number + 1 == part.number);
        if before.is_some_and(|before| before.number == part.number) {
            return Err(Error::input(
                "a part of an archive is there twice",
                path,
                "remove one of them",
            ));
        }
        if !follows {
            let advice = format!(
                "{:?} is there: fetch all parts of the archive again",
                name(path)
            );
            let missing = path.with_file_name(part.name_before());
            return Err(Error::input(
                "a part of an archive is missing",
                missing,
                advice,
            ));
        }
        before = Some(part);
    }
    let path = before.map(|part| files[0].with_file_name(part.whole));
    Ok(Whole {
        path: path.expect("the archive has parts"),
        files,
    })
}

/// `images.z01` beside `images.zip` is a zip in volumes, which know their numbers and cannot simply
/// be joined.
fn check_is_not_spanned(path: &Path) -> Result<()> {
    if path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("zip"))
        && path.with_extension("z01").exists()
    {
        let advice = "make one file of it: `zip -s 0 VOLUMES.zip --out whole.zip`";
        return Err(Error::input("the archive is in volumes", path, advice));
    }
    Ok(())
}

/// What all parts of an archive have in common; `None` if `path` is not called like a part.
pub(crate) fn path_of_whole(path: &Path) -> Option<PathBuf> {
    Part::parse(name(path)).map(|part| path.with_file_name(part.whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(names: &[&str]) -> Result<Vec<Vec<String>>> {
        let wholes = wholes(names.iter().map(PathBuf::from))?;
        let files = |whole: Whole| {
            let path = std::iter::once(&whole.path).chain(&whole.files);
            path.map(|path| path.to_string_lossy().into_owned())
                .collect()
        };
        Ok(wholes.into_iter().map(files).collect())
    }

    #[test]
    fn the_usual_names_of_parts_join_in_the_order_of_their_numbers() {
        for names in [
            ["x.tar.part0", "x.tar.part1", "x.tar.part2"],
            ["x.tar.00", "x.tar.01", "x.tar.02"],
            ["x.tar.001", "x.tar.002", "x.tar.003"],
            ["x.zip.001", "x.zip.002", "x.zip.003"],
            ["x.tar.partaa", "x.tar.partab", "x.tar.partac"],
            ["x.tar.aa", "x.tar.ab", "x.tar.ac"],
            ["x.taraa", "x.tarab", "x.tarac"],
            ["x.tar_part-1", "x.tar_part-2", "x.tar_part-3"],
            ["x.TAR.part1", "x.TAR.part2", "x.TAR.part3"],
        ] {
            let whole = &names[0][..5];
            let backwards: Vec<&str> = names.iter().rev().copied().collect();
            assert_eq!(
                joined(&backwards).unwrap(),
                [[whole, names[0], names[1], names[2]]],
                "{names:?}"
            );
        }
        let many: Vec<String> = (0..=10).map(|number| format!("x.tar.{number}")).collect();
        let names: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(joined(&names).unwrap()[0][1..], many);
    }

    #[test]
    fn a_gap_is_named() {
        for (names, missing) in [
            (&["x.tar.part00", "x.tar.part02"][..], "x.tar.part01"),
            (&["d/x.tar.2", "d/x.tar.3"], "d/x.tar.1"),
            (&["x.tar.part10", "x.tar.part09"], "x.tar.part08"),
            (&["x.tar.ab", "x.tar.ac"], "x.tar.aa"),
            (&["x.tar.az", "x.tar.aa", "x.tar.bb"], "x.tar.ay"),
        ] {
            let message = joined(names).unwrap_err().to_string();
            assert!(
                message.contains("missing") && message.contains(missing),
                "{message}"
            );
        }
        let message = joined(&["x.tar.part1", "x.tar.part01"])
            .unwrap_err()
            .to_string();
        assert!(message.contains("twice"), "{message}");
    }

    #[test]
    fn archives_and_parts_are_told_from_other_files() {
        for name in ["x.tar", "x.ZIP", "x.tar.part00", "x.tar.aa"] {
            assert!(has_archive_name(name), "{name}");
        }
        for name in [
            "x.tgz",
            "x.tar.gz",
            "x.tar.xz",
            "x.jpg",
            ".x.tar",
            "tar",
            "x.tar.sha256",
            "x.tar.part00.md5",
        ] {
            assert!(!has_archive_name(name), "{name}");
        }
        let names = ["x.tar", "x.tar.log", "x.tar.txt", "x.tar.2024", "y.zip"];
        assert_eq!(
            joined(&names).unwrap(),
            [["x.tar", "x.tar"], ["y.zip", "y.zip"]]
        );
    }

    #[test]
    fn archives_of_several_folders_do_not_mix() {
        let names = ["a/x.tar.0", "a/x.tar.1", "b/x.tar.0", "b/y.tar"];
        let expected = [
            &["a/x.tar", "a/x.tar.0", "a/x.tar.1"][..],
            &["b/x.tar", "b/x.tar.0"],
            &["b/y.tar", "b/y.tar"],
        ];
        assert_eq!(joined(&names).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_read_apart_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.tar.gz", "b.TGZ", "c.zip", "c.z01"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        for (name, advice) in [
            ("a.tar.gz", "gzip -dk"),
            ("b.TGZ", "gzip -dk"),
            ("c.zip", "zip -s 0"),
        ] {
            let message = whole(&dir.path().join(name)).unwrap_err().to_string();
            assert!(
                message.contains(name) && message.contains(advice),
                "{message}"
            );
        }
    }
}
