//! The members of an archive that are wanted, in its order: names, places, and what is wrong.
//!
//! An image in a tar costs its name and 24 bytes, in a zip its name and 64. What cannot be read has
//! a place in the order like an image, so that shards and reports show it.

use host::file_name::is_hidden;

use super::members::Members;
use super::place::{Place, Places};
use crate::error::Defect;
use crate::source::choice::{Choice, Choose};
use crate::source::passed_over::PassedOver;
use crate::source::path_list::PathList;

/// All that is wanted of one archive.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Paths of the items; of what is lost, its place `@offset`, or `inner.tar@offset`.
    pub names: PathList,
    places: Places,
    /// Paths and places of tag files.
    pub tag_files: Vec<(String, Place)>,
}

impl Index {
    /// The members of the archive `name` that are chosen; the others are counted.
    pub(super) fn of(
        members: &Members,
        name: &str,
        choose: Choose<'_>,
        passed_over: &mut PassedOver,
    ) -> Self {
        let mut index = Self::default();
        for ix in 0..members.names.len() {
            let path = members.names.get(ix);
            let place = members.places.get(ix);
            if members.is_lost(ix) {
                index.push(&path, place);
                continue;
            }
            match choose(&path) {
                Choice::Item => index.push(&path, place),
                Choice::TagFile => index.tag_files.extend(place.map(|place| (path, place))),
                Choice::PassOver(reason, kind) => {
                    passed_over.add(reason, kind, &format!("{name}/{path}"));
                }
            }
        }
        index.names.shrink_to_fit();
        index.places.shrink_to_fit();
        index
    }

    /// Notes that something is lost at `place`.
    pub(super) fn lose(&mut self, place: &str, defect: Defect) {
        self.push(place, Err(defect));
    }

    fn push(&mut self, path: &str, place: Result<Place, Defect>) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.names.push(folder, name);
        self.places.push(place);
    }

    /// Where item `ix` lies.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn place(&self, ix: u64) -> Result<Place, Defect> {
        self.places.get(ix)
    }

    /// What is wrong with members and places.
    pub(super) fn defects(&self) -> impl Iterator<Item = &Defect> {
        self.places.defects()
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
    use super::super::place::Span;
    use super::*;
    use crate::source::image_files::choose;

    const SOMEWHERE: Place = Place::Plain(Span {
        offset: 512,
        len: 9,
    });

    #[test]
    fn what_is_chosen_is_kept_in_order_and_the_rest_is_counted() {
        let mut members = Members::default();
        for path in ["a/x.jpg", "a/readme.txt", "a/tags.json", "y.PNG", "a/x.jpg"] {
            members.add(path, Ok(SOMEWHERE));
        }
        members.lose("b/inner.tar@7", Defect::new("damaged-archive", ""));
        let mut passed_over = PassedOver::default();
        let index = Index::of(&members, "d/x.tar", &choose, &mut passed_over);
        assert_eq!(
            index.names.iter().collect::<Vec<_>>(),
            ["a/x.jpg", "y.PNG", "a/x.jpg", "b/inner.tar@7"]
        );
        let found: Vec<_> = (0..4)
            .map(|ix| index.place(ix).map_err(|defect| defect.reason))
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
        let passed_over = passed_over.files();
        assert_eq!(
            (&*passed_over[0].kind, &*passed_over[0].first),
            (".txt", "d/x.tar/a/readme.txt")
        );
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
