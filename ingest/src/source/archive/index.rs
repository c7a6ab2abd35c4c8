//! The members of an archive that are wanted, in its order: names, places, and what is wrong.
//!
//! An image in a tar costs its name and 24 bytes, in a zip its name and 48. What cannot be read has
//! a place in the order like an image, so that shards and reports show it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use host::file_name::is_hidden;
use rawzip::ZipArchiveEntryWayfinder;

use crate::error::Defect;
use crate::source::choice::Choice;
use crate::source::image_files::{Chooser, is_tag_file};
use crate::source::path_list::PathList;
use crate::source::selection::Selection;

/// Where a member lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// As it is in the archive.
    Plain(Span),
    /// In a zip.
    Zipped(Zipped),
}

impl Member {
    /// Bytes of its contents, as the archive states them.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Plain(span) => span.len,
            Self::Zipped(zipped) => zipped.place.uncompressed_size_hint(),
        }
    }
}

/// Bytes of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub offset: u64,
    pub len: u64,
}

/// A member of a zip, stored or deflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zipped {
    pub place: ZipArchiveEntryWayfinder,
    pub is_deflated: bool,
}

/// All that is wanted of one archive.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Paths of the images; of what is lost, its place `@offset`, or `inner.tar@offset`.
    pub names: PathList,
    /// Where those lie with which nothing is wrong, if the archive is a tar.
    spans: Vec<Span>,
    /// The same if it is a zip.
    zipped: Vec<Zipped>,
    /// What is wrong with the others, ascending.
    defects: Vec<(u64, Defect)>,
    /// Paths and places of tag files.
    pub tag_files: Vec<(String, Member)>,
    /// Hashes of the paths, to find members that are there twice.
    seen: HashSet<u64>,
}

impl Index {
    /// Takes the member `path` if it is wanted.
    pub(super) fn add(&mut self, path: &str, member: Result<Member, Defect>) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let selection = Selection::default();
        let chooser = Chooser {
            selection: &selection,
            has_tags: true,
        };
        if chooser.choose(path) == Choice::Item {
            let member = member.and_then(|member| self.if_new(path, member));
            self.push(folder, name, member);
        } else if let Ok(member) = member
            && is_tag_file(name)
        {
            self.tag_files.push((path.to_owned(), member));
        }
    }

    /// Notes that something is lost at `place`.
    pub(super) fn lose(&mut self, place: &str, defect: Defect) {
        let (folder, name) = place.rsplit_once('/').unwrap_or(("", place));
        self.push(folder, name, Err(defect));
    }

    fn push(&mut self, folder: &str, name: &str, member: Result<Member, Defect>) {
        match member {
            Ok(Member::Plain(span)) => self.spans.push(span),
            Ok(Member::Zipped(zipped)) => self.zipped.push(zipped),
            Err(defect) => self.defects.push((self.names.len(), defect)),
        }
        self.names.push(folder, name);
    }

    /// Where item `ix` lies.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn member(&self, ix: u64) -> Result<Member, Defect> {
        match self.defects.binary_search_by_key(&ix, |&(ix, _)| ix) {
            Ok(at) => Err(self.defects[at].1.clone()),
            Err(num_before) => {
                let at = ix as usize - num_before;
                Ok(self.spans.get(at).map_or_else(
                    || Member::Zipped(self.zipped[at]),
                    |&span| Member::Plain(span),
                ))
            }
        }
    }

    /// Archives may hold a path twice; the first one is taken.
    fn if_new(&mut self, path: &str, member: Member) -> Result<Member, Defect> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        match self.seen.insert(hasher.finish()) {
            true => Ok(member),
            false => Err(Defect::new(
                "duplicate-frame",
                format!("{path:?} is in this archive already"),
            )),
        }
    }

    /// Frees what only additions need.
    pub(super) fn finish(&mut self) {
        self.seen = HashSet::new();
        self.spans.shrink_to_fit();
        self.zipped.shrink_to_fit();
        self.names.shrink_to_fit();
    }
}

/// A member's path as it would be in a folder, without `.`, `..` and a leading `/`; `None` if it is
/// hidden.
pub(super) fn clean_path(raw: &[u8]) -> Option<String> {
    let raw = String::from_utf8_lossy(raw);
    let components: Vec<&str> = raw
        .split('/')
        .filter(|name| !matches!(*name, "" | "." | ".."))
        .collect();
    let is_hidden = components.iter().any(|name| is_hidden(name));
    (!is_hidden && !components.is_empty()).then(|| components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOMEWHERE: Member = Member::Plain(Span {
        offset: 512,
        len: 9,
    });

    #[test]
    fn only_images_and_tags_are_kept_and_the_first_of_two() {
        let mut index = Index::default();
        for path in ["a/x.jpg", "a/readme.txt", "a/tags.json", "y.PNG", "a/x.jpg"] {
            index.add(path, Ok(SOMEWHERE));
        }
        index.lose("b/inner.tar@7", Defect::new("damaged-archive", ""));
        index.finish();
        assert_eq!(
            index.names.iter().collect::<Vec<_>>(),
            ["a/x.jpg", "y.PNG", "a/x.jpg", "b/inner.tar@7"]
        );
        let found: Vec<_> = (0..4)
            .map(|ix| index.member(ix).map_err(|defect| defect.reason))
            .collect();
        assert_eq!(
            found,
            [
                Ok(SOMEWHERE),
                Ok(SOMEWHERE),
                Err("duplicate-frame"),
                Err("damaged-archive")
            ]
        );
        assert_eq!(index.tag_files, [("a/tags.json".to_owned(), SOMEWHERE)]);
    }

    #[test]
    fn paths_are_cleaned_and_hidden_ones_left_out() {
        for (raw, clean) in [
            ("./a/b.jpg", Some("a/b.jpg")),
            ("/a//b.jpg", Some("a/b.jpg")),
            ("../a/b.jpg", Some("a/b.jpg")),
            ("a/._b.jpg", None),
            (".git/b.jpg", None),
            ("./", None),
        ] {
            assert_eq!(clean_path(raw.as_bytes()).as_deref(), clean, "{raw}");
        }
        assert_eq!(clean_path(b"a/\xFF.jpg").as_deref(), Some("a/\u{FFFD}.jpg"));
    }
}
