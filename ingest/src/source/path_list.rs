//! Relative paths of many files in little memory: a name costs its bytes and eight more.

/// A list of relative paths with `/` between components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathList {
    /// Folder of items from `first` on.
    folders: Vec<(u64, String)>,
    names: String,
    /// End of each item's name in `names`.
    ends: Vec<u64>,
}

impl PathList {
    /// Appends the file `name` of `folder`; the top folder is the empty one.
    pub(super) fn push(&mut self, folder: &str, name: &str) {
        if self.folders.last().is_none_or(|(_, last)| last != folder) {
            self.folders.push((self.len(), folder.to_owned()));
        }
        self.names.push_str(name);
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

    /// Path `ix`.
    pub(super) fn get(&self, ix: u64) -> String {
        let folder_ix = self.folders.partition_point(|(first, _)| *first <= ix) - 1;
        let folder = &self.folders[folder_ix].1;
        let at = ix as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        let name = &self.names[start as usize..self.ends[at] as usize];
        if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        }
    }

    /// All paths.
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
    }
}
