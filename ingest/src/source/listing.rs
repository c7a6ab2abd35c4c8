//! The files of a folder tree that are wanted, in a fixed order.
//!
//! Entries are sorted by name in each folder, and subfolders are entered in place, so that the
//! order depends on names alone. Ten million names fit into half a gigabyte.

use std::fs;
use std::path::{Path, PathBuf};

use host::file_name::is_hidden;

use super::path_list::PathList;
use crate::error::{Error, Result};

/// Deeper trees are taken for a loop of symbolic links (of which Linux follows 40).
const MAX_DEPTH: usize = 32;

/// A sorted list of files below one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    root: PathBuf,
    names: PathList,
}

impl Listing {
    /// Lists the files below `root` whose name `accepts`.
    ///
    /// # Errors
    /// If a folder cannot be read, a name is not UTF-8, or the tree is deeper than 32 folders.
    pub(crate) fn with(root: &Path, accepts: &dyn Fn(&str) -> bool) -> Result<Self> {
        let [listing] = Self::by_kind(root, [accepts])?;
        Ok(listing)
    }

    /// Lists the files below `root` by kind in one walk: a file is of the first kind that accepts
    /// its name.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    pub(crate) fn by_kind<const N: usize>(
        root: &Path,
        kinds: [&dyn Fn(&str) -> bool; N],
    ) -> Result<[Self; N]> {
        let mut walk = Walk {
            root,
            kinds,
            names: std::array::from_fn(|_| PathList::default()),
        };
        walk.enter("", 0)?;
        Ok(walk.names.map(|names| Self {
            root: root.to_owned(),
            names,
        }))
    }

    /// Number of files.
    pub(crate) fn len(&self) -> u64 {
        self.names.len()
    }

    /// The folder that was listed.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Path of item `ix` relative to the root, with `/` between components.
    pub(crate) fn relative(&self, ix: u64) -> String {
        self.names.get(ix)
    }

    /// Paths of all files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.names.iter().map(|relative| self.root.join(relative))
    }
}

struct Walk<'a, const N: usize> {
    root: &'a Path,
    kinds: [&'a dyn Fn(&str) -> bool; N],
    names: [PathList; N],
}

/// What an entry of a folder is.
enum Entry {
    Folder,
    /// A file of this kind.
    File(usize),
}

impl<const N: usize> Walk<'_, N> {
    fn enter(&mut self, folder: &str, depth: usize) -> Result<()> {
        let path = self.root.join(folder);
        if depth > MAX_DEPTH {
            return Err(Error::input(
                "the folder is nested too deeply",
                path,
                "remove links that form a loop",
            ));
        }
        for (name, entry) in self.entries(&path)? {
            match entry {
                Entry::File(kind) => self.names[kind].push(folder, &name),
                Entry::Folder if folder.is_empty() => self.enter(&name, depth + 1)?,
                Entry::Folder => self.enter(&format!("{folder}/{name}"), depth + 1)?,
            }
        }
        Ok(())
    }

    /// The subfolders and wanted files of the folder at `path`, sorted.
    fn entries(&self, path: &Path) -> Result<Vec<(String, Entry)>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(Error::io("list", path))? {
            let entry = entry.map_err(Error::io("list", path))?;
            let name = entry.file_name().into_string().map_err(|name| {
                Error::input(
                    "the file name is not UTF-8",
                    path.join(name),
                    "rename the file",
                )
            })?;
            let kind = entry
                .file_type()
                .map_err(Error::io("look at", entry.path()))?;
            // A link that leads nowhere is listed as a file, and becomes a named skip when it is
            // opened.
            if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
                if !is_hidden(&name) {
                    entries.push((name, Entry::Folder));
                }
            } else if let Some(kind) = self.kinds.iter().position(|accepts| accepts(&name)) {
                entries.push((name, Entry::File(kind)));
            }
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_follows_names_and_folders_are_entered_in_place() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "b/2.jpg",
            "b/10.jpg",
            "a.jpg",
            "c.PNG",
            "b/d/x.jpeg",
            "notes.txt",
            "b/y.txt",
            ".git/y.jpg",
        ] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let is_text = |name: &str| name.ends_with(".txt");
        let [texts, others] = Listing::by_kind(dir.path(), [&is_text, &|_| true]).unwrap();
        let files = |listing: &Listing| {
            (0..listing.len())
                .map(|ix| listing.relative(ix))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            files(&others),
            ["a.jpg", "b/10.jpg", "b/2.jpg", "b/d/x.jpeg", "c.PNG"]
        );
        assert_eq!(files(&texts), ["b/y.txt", "notes.txt"]);
        assert_eq!(Listing::with(dir.path(), &is_text).unwrap(), texts);
        assert_eq!(texts.paths().next(), Some(dir.path().join("b/y.txt")));
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_is_one_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("again")).unwrap();
        let message = Listing::with(dir.path(), &|_| true)
            .unwrap_err()
            .to_string();
        assert!(message.contains("nested too deeply"), "{message}");
    }
}
