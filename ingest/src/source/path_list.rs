//! Relative paths of many files in little memory: a name costs its bytes and eight more.
//!
//! Paths are bytes, as file systems keep them; those of archives are text.

/// A list of relative paths with `/` between components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathList {
    /// Folder of items from `first` on.
    folders: Vec<(u64, Vec<u8>)>,
    names: Vec<u8>,
    /// End of each item's name in `names`.
    ends: Vec<u64>,
}

impl PathList {
    /// Appends the file `name` of `folder`; the top folder is the empty one.
    pub(super) fn push(&mut self, folder: &str, name: &str) {
        self.push_bytes(folder.as_bytes(), name.as_bytes());
    }

    /// The same for names that may be no text.
    pub(super) fn push_bytes(&mut self, folder: &[u8], name: &[u8]) {
        if self.folders.last().is_none_or(|(_, last)| last != folder) {
            self.folders.push((self.len(), folder.to_owned()));
        }
        self.names.extend_from_slice(name);
        self.ends.push(self.names.len() as u64);
    }

    /// Gives memory back that was taken for more.
    pub(super) fn shrink_to_fit(&mut self) {
        self.folders.shrink_to_fit();
        self.names.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Number of paths.
    pub(super) fn len(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Path `ix` of a list of texts.
    pub(super) fn get(&self, ix: u64) -> String {
        String::from_utf8_lossy(&self.bytes(ix)).into_owned()
    }

    /// Path `ix`.
    pub(super) fn bytes(&self, ix: u64) -> Vec<u8> {
        let folder_ix = self.folders.partition_point(|(first, _)| *first <= ix) - 1;
        let folder = &self.folders[folder_ix].1;
        let at = ix as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        let name = &self.names[start as usize..self.ends[at] as usize];
        if folder.is_empty() {
            name.to_owned()
        } else {
            [folder, &b"/"[..], name].concat()
        }
    }

    /// All paths of a list of texts.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.len()).map(|ix| self.get(ix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_whatever_the_order_of_their_folders() {
        let mut names = PathList::default();
        assert_eq!(names.len(), 0);
        let paths = [
            "a.jpg",
            "b/1.jpg",
            "b/2.jpg",
            "b/c/3.jpg",
            "b/4.jpg",
            "5.jpg",
        ];
        for path in paths {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            names.push(folder, name);
        }
        assert_eq!(names.iter().collect::<Vec<_>>(), paths);
        names.push_bytes(b"\xFF", b"\xFE.jpg");
        assert_eq!(names.bytes(6), b"\xFF/\xFE.jpg");
    }
}
