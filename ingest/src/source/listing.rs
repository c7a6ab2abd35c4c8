//! The files of a folder tree that are wanted, in a fixed order.
//!
//! Entries are sorted by name in each folder, and subfolders are entered in place, so that the
//! order depends on names alone. Ten million names fit into half a gigabyte. A folder that cannot
//! be entered is an item at its place that says so. A link back to a folder around it is not
//! followed, and no folder is entered through a link twice: folders that link to each other would
//! take factorial time. A folder is also read by its own name, whether or not links lead to it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use host::file_name::text_of;

use super::passed_over::PassedOver;
use super::path_list::PathList;
use crate::error::{Defect, Error, Result};

/// An entry of a folder, by its path below the folder that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    Folder(&'a str),
    File(&'a str),
}

/// What is done with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sorted {
    /// A file joins the list of this number, a folder is entered.
    Take(usize),
    /// It is not read, for this reason; the text says what kind of entry it is.
    PassOver(&'static str, String),
}

/// A sorted list of files below one folder, and of places in it where something is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    root: PathBuf,
    names: PathList,
    /// What is wrong with items that are no files, ascending.
    lost: Vec<(u64, Defect)>,
}

impl Listing {
    /// Lists the files below `root` whose name `accepts`. Hidden folders are not entered.
    ///
    /// # Errors
    /// If a folder cannot be read.
    #[cfg(test)]
    pub(crate) fn with(root: &Path, accepts: &dyn Fn(&str) -> bool) -> Result<Self> {
        let sort = |entry: Entry<'_>| {
            let (Entry::Folder(path) | Entry::File(path)) = entry;
            let name = path.rsplit('/').next().unwrap_or(path);
            let is_taken = match entry {
                Entry::Folder(_) => !host::file_name::is_hidden(name),
                Entry::File(_) => accepts(name),
            };
            match is_taken {
                true => Sorted::Take(0),
                false => Sorted::PassOver("other-file", String::new()),
            }
        };
        let [listing] = Self::sorted(root, &sort, &mut PassedOver::default())?;
        match listing.lost.first() {
            Some((ix, _)) => Err(Error::io("list", listing.file(*ix))(
                io::ErrorKind::PermissionDenied.into(),
            )),
            None => Ok(listing),
        }
    }

    /// Sorts the files below `root` into lists in one walk. What is passed over is counted. A place
    /// where something is lost is in the first list.
    ///
    /// # Errors
    /// If `root` cannot be read, or a disk fails.
    pub(crate) fn sorted<const N: usize>(
        root: &Path,
        sort: &dyn Fn(Entry<'_>) -> Sorted,
        passed_over: &mut PassedOver,
    ) -> Result<[Self; N]> {
        let mut walk = Walk {
            root,
            sort,
            passed_over,
            around: Vec::new(),
            linked: HashSet::new(),
            lists: std::array::from_fn(|_| Self {
                root: root.to_owned(),
                ..Self::default()
            }),
        };
        walk.enter(b"", false)?;
        let mut lists = walk.lists;
        lists.iter_mut().for_each(|list| list.names.shrink_to_fit());
        Ok(lists)
    }

    /// Number of items.
    pub(crate) fn len(&self) -> u64 {
        self.names.len()
    }

    /// The folder that was listed.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Path of item `ix` below the root as a text, with `/` between components.
    pub(crate) fn relative(&self, ix: u64) -> String {
        text_of(&self.names.bytes(ix)).into_owned()
    }

    /// Path of item `ix`.
    pub(crate) fn file(&self, ix: u64) -> PathBuf {
        self.root.join(OsStr::from_bytes(&self.names.bytes(ix)))
    }

    /// What is wrong with item `ix`, if it is no file.
    pub(crate) fn lost(&self, ix: u64) -> Option<&Defect> {
        let at = self.lost.binary_search_by_key(&ix, |&(ix, _)| ix).ok()?;
        Some(&self.lost[at].1)
    }

    /// The items that are no files, and what is wrong with them.
    pub(crate) fn all_lost(&self) -> impl Iterator<Item = (u64, &Defect)> {
        self.lost.iter().map(|(ix, defect)| (*ix, defect))
    }

    /// Paths of all items.
    pub(crate) fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        (0..self.len()).map(|ix| self.file(ix))
    }
}

/// Device and number of a folder.
type FolderId = (u64, u64);

struct Walk<'a, const N: usize> {
    root: &'a Path,
    sort: &'a dyn Fn(Entry<'_>) -> Sorted,
    passed_over: &'a mut PassedOver,
    /// The folder that is listed and those around it.
    around: Vec<FolderId>,
    /// Folders that were entered through links.
    linked: HashSet<FolderId>,
    lists: [Listing; N],
}

impl<const N: usize> Walk<'_, N> {
    fn enter(&mut self, folder: &[u8], is_link: bool) -> Result<()> {
        let path = self.root.join(OsStr::from_bytes(folder));
        let (id, look) = match self.look(&path, is_link) {
            Ok(found) => found,
            Err(error) if !folder.is_empty() && is_for_good(&error) => {
                self.lose(folder, &error);
                return Ok(());
            }
            Err(error) => return Err(Error::io("list", path)(error)),
        };
        let entries = match look {
            Look::New(entries) => entries,
            Look::Again(reason, kind) => {
                self.pass_over(reason, kind.to_owned(), &text_of(folder));
                return Ok(());
            }
        };
        if is_link {
            self.linked.insert(id);
        }
        self.around.push(id);
        for (name, kind) in entries {
            self.visit(folder, &name, kind)?;
        }
        self.around.pop();
        Ok(())
    }

    /// What the folder at `path` is, and what is in it if it is to be entered.
    fn look(&self, path: &Path, is_link: bool) -> io::Result<(FolderId, Look)> {
        let metadata = path.metadata()?;
        let id = (metadata.dev(), metadata.ino());
        let look = if self.around.contains(&id) {
            Look::Again("link-loop", "link")
        } else if is_link && self.linked.contains(&id) {
            Look::Again("linked-again", "folder")
        } else {
            Look::New(entries(path)?)
        };
        Ok((id, look))
    }

    fn visit(&mut self, folder: &[u8], name: &[u8], kind: Kind) -> Result<()> {
        let path = match folder.is_empty() {
            true => name.to_owned(),
            false => [folder, b"/", name].concat(),
        };
        let text = text_of(&path);
        let entry = match kind {
            Kind::File => Entry::File(&text),
            Kind::Folder | Kind::LinkedFolder => Entry::Folder(&text),
        };
        match (self.sort)(entry) {
            Sorted::Take(_) if kind != Kind::File => {
                self.enter(&path, kind == Kind::LinkedFolder)?;
            }
            Sorted::Take(list) => self.lists[list].names.push_bytes(folder, name),
            Sorted::PassOver(reason, kind) => self.pass_over(reason, kind, &text),
        }
        Ok(())
    }

    fn pass_over(&mut self, reason: &'static str, kind: String, place: &str) {
        self.passed_over.add(reason, kind, place);
    }

    fn lose(&mut self, folder: &[u8], error: &io::Error) {
        let list = &mut self.lists[0];
        let defect = Defect::new("unreadable-folder", error.to_string());
        list.lost.push((list.names.len(), defect));
        let slash = folder.iter().rposition(|&byte| byte == b'/');
        let (outer, name) = slash.map_or((&b""[..], folder), |slash| {
            (&folder[..slash], &folder[slash + 1..])
        });
        list.names.push_bytes(outer, name);
    }
}

/// Whether a folder that cannot be listed is data: one that has vanished or lies on a disk that
/// fails is not, since a later run may read it.
fn is_for_good(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidFilename
    )
}

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    File,
    Folder,
    /// A link that leads to a folder.
    LinkedFolder,
}

/// Names in a folder, sorted, and what they are.
type Entries = Vec<(Vec<u8>, Kind)>;

/// What is found when a folder is to be entered.
enum Look {
    New(Entries),
    /// It is not entered again, for this reason; the text says what kind of entry it is.
    Again(&'static str, &'static str),
}

fn entries(path: &Path) -> io::Result<Entries> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        // A link that leads nowhere is listed as a file, and becomes a named skip when it is opened.
        let kind = if kind.is_dir() {
            Kind::Folder
        } else if kind.is_symlink() && entry.path().is_dir() {
            Kind::LinkedFolder
        } else {
            Kind::File
        };
        entries.push((entry.file_name().into_vec(), kind));
    }
    entries.sort_unstable();
    Ok(entries)
}

#[cfg(test)]
mod tests;
