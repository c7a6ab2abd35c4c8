//! The image files of a folder tree, in a fixed order.
//!
//! Entries are sorted by name in each folder, and subfolders are entered in place, so that the order depends on names
//! alone. Names are packed into one string: ten million of them fit into half a gigabyte.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Endings of files that are images, whether or not they can be read: a TIFF is a named skip, a label file is ignored.
const IMAGE_ENDINGS: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "bmp", "gif", "tif", "tiff", "webp"];

/// Deeper trees are taken for a loop of symbolic links (of which Linux follows 40).
const MAX_DEPTH: usize = 32;

/// A sorted list of files below one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    root: PathBuf,
    /// Folder of items from `first` on, relative to the root, with `/` between components.
    folders: Vec<(u64, String)>,
    names: String,
    /// End of each item's name in `names`.
    ends: Vec<u64>,
}

impl Listing {
    /// Lists the image files below `root`.
    ///
    /// # Errors
    /// If a folder cannot be read, a name is not UTF-8, or the tree is deeper than 32 folders.
    pub fn of_images(root: &Path) -> Result<Self> {
        Self::with(root, &is_image)
    }

    /// Lists the files below `root` whose name `accepts`.
    ///
    /// # Errors
    /// As [`of_images`](Self::of_images).
    pub fn with(root: &Path, accepts: &dyn Fn(&str) -> bool) -> Result<Self> {
        let mut listing = Self { root: root.to_owned(), ..Self::default() };
        listing.enter("", accepts, 0)?;
        Ok(listing)
    }

    fn enter(&mut self, folder: &str, accepts: &dyn Fn(&str) -> bool, depth: usize) -> Result<()> {
        let path = self.root.join(folder);
        if depth > MAX_DEPTH {
            return Err(Error::input("the folder is nested too deeply", path, "remove links that form a loop"));
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(&path).map_err(Error::io("list", &path))? {
            let entry = entry.map_err(Error::io("list", &path))?;
            let name = entry
                .file_name()
                .into_string()
                .map_err(|name| Error::input("the file name is not UTF-8", path.join(name), "rename the file"))?;
            let kind = entry.file_type().map_err(Error::io("look at", entry.path()))?;
            // A link that leads nowhere is listed as a file, and becomes a named skip when it is opened.
            let is_folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
            if (is_folder && !name.starts_with('.')) || accepts(&name) {
                entries.push((name, is_folder));
            }
        }
        entries.sort_unstable();

        let mut is_current = false;
        for (name, is_folder) in entries {
            if is_folder {
                let inner = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                self.enter(&inner, accepts, depth + 1)?;
                is_current = false;
            } else {
                if !is_current {
                    self.folders.push((self.len(), folder.to_owned()));
                    is_current = true;
                }
                self.names.push_str(&name);
                self.ends.push(self.names.len() as u64);
            }
        }
        Ok(())
    }

    /// Number of files.
    pub fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The folder that was listed.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of item `ix` relative to the root, with `/` between components.
    pub fn relative(&self, ix: u64) -> String {
        let folder_ix = self.folders.partition_point(|(first, _)| *first <= ix) - 1;
        let folder = &self.folders[folder_ix].1;
        let at = ix as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        let name = &self.names[start as usize..self.ends[at] as usize];
        if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
    }
}

fn is_image(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    !name.starts_with('.') && IMAGE_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_follows_names_and_folders_are_entered_in_place() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["b/2.jpg", "b/10.jpg", "a.jpg", "c.PNG", "b/d/x.jpeg", "notes.txt", ".hidden.jpg", ".git/y.jpg"] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let listing = Listing::of_images(dir.path()).unwrap();
        let files: Vec<String> = (0..listing.len()).map(|ix| listing.relative(ix)).collect();
        assert_eq!(files, ["a.jpg", "b/10.jpg", "b/2.jpg", "b/d/x.jpeg", "c.PNG"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_is_one_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("again")).unwrap();
        let message = Listing::of_images(dir.path()).unwrap_err().to_string();
        assert!(message.contains("nested too deeply"), "{message}");
    }
}
