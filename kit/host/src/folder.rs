//! Folders of files that appear whole under their name, or not at all.
//!
//! The files are written into `NAME.partial` beside the folder, which is then renamed. A folder that
//! holds other files is never touched: somebody may have edited them. After a kill, `NAME.partial`
//! may be left; the next write replaces it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::file::{partial_name, publish};

/// Makes the folder `path`: `fill` writes its files, each synced, into the folder that it is given.
/// The folder may be there if it is empty, or if it holds the same files with the same content.
///
/// # Errors
/// What `fill` or the operating system answers; `DirectoryNotEmpty` for a folder with other content.
/// Then what was there is untouched and nothing new stays.
pub fn make_folder<E: From<io::Error>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let partial = partial_name(path);
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir(&partial)?;
    let written = fill(&partial).and_then(|()| Ok(settle(&partial, path)?));
    if written.is_err() {
        // Best effort: a leftover is harmless.
        let _ = fs::remove_dir_all(&partial);
    }
    written
}

/// Renames the folder, which the operating system refuses where there are files.
fn settle(partial: &Path, path: &Path) -> io::Result<()> {
    match publish(partial, path) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            match content(partial)? == content(path)? {
                true => fs::remove_dir_all(partial),
                false => Err(error),
            }
        }
        published => published,
    }
}

/// Names and content of a folder's files, sorted; `None` for what is no file.
fn content(folder: &Path) -> io::Result<Vec<(OsString, Option<Vec<u8>>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let bytes = match entry.path().is_file() {
            true => Some(fs::read(entry.path())?),
            false => None,
        };
        found.push((entry.file_name(), bytes));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(path: &Path, text: &str) -> io::Result<()> {
        make_folder(path, |folder| {
            fs::write(folder.join("a"), text)?;
            fs::write(folder.join("b"), "b")
        })
    }

    #[test]
    fn a_folder_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let failed = make_folder(&path, |folder| {
            fs::write(folder.join("a"), "half")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        // What a kill leaves.
        fs::create_dir(dir.path().join("x.partial")).unwrap();
        fs::write(dir.path().join("x.partial/c"), "old").unwrap();
        make(&path, "a").unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_an_empty_or_an_equal_folder_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        fs::create_dir(&path).unwrap();
        make(&path, "a").unwrap();
        make(&path, "a").unwrap();
        let refused = make(&path, "other").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::DirectoryNotEmpty);
        assert_eq!(fs::read(path.join("a")).unwrap(), b"a");
        fs::write(path.join("mine"), "").unwrap();
        assert!(make(&path, "a").is_err());
        fs::write(dir.path().join("file"), "text").unwrap();
        assert!(make(&dir.path().join("file"), "a").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
