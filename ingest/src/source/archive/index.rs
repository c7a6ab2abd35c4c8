//! The members of an archive that are wanted, in its order: names, places, and what is wrong.
//!
//! An image in a tar costs its name and 24 bytes, in a zip its name and 64. What cannot be read has
//! a place in the order like an image, so that shards and reports show it.

use super::members::Members;
use super::place::{Lost, Place, Places};
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
        for ix in 0..members.len() {
            let path = members.names.get(ix);
            let place = members.places.get(ix);
            if members.is_lost(ix) {
                index.push(&path, place);
                continue;
            }
            match choose(&path) {
                Choice::Item => index.push(&path, place),
                Choice::TagFile => match place {
                    Ok(place) => index.tag_files.push((path, place)),
                    Err(lost) => index.lose(&path, lost),
                },
                Choice::PassOver(reason, kind) => {
                    passed_over.add(reason, kind, &format!("{name}/{path}"));
                }
            }
        }
        for (kind, (count, first)) in &members.replaced {
            let first = format!("{name}/{first}");
            passed_over.add_many("replaced-member", kind, *count, &first);
        }
        index.names.shrink_to_fit();
        index.places.shrink_to_fit();
        index
    }

    /// Notes that something is lost at `place`.
    pub(super) fn lose(&mut self, place: &str, lost: Lost) {
        self.push(place, Err(lost));
    }

    fn push(&mut self, path: &str, place: Result<Place, Lost>) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.names.push(folder, name);
        self.places.push(place);
    }

    /// Where item `ix` lies.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn place(&self, ix: u64) -> Result<Place, Lost> {
        self.places.get(ix)
    }

    /// What is wrong with members and places.
    pub(super) fn defects(&self) -> impl Iterator<Item = &Defect> {
        self.places.defects()
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Span;
    use super::*;
    use crate::error::Defect;
    use crate::source::image_files::choose;

    #[test]
    fn what_is_chosen_is_kept_in_order_and_the_rest_is_counted() {
        let somewhere = Place::Plain(Span {
            offset: 512,
            len: 9,
        });
        let mut members = Members::default();
        for path in [
            "a/x.jpg",
            "a/readme.txt",
            "a/tags.json",
            "y.PNG",
            "a/._x.jpg",
        ] {
            members.push(path, Ok(somewhere));
        }
        members.push("a/bad.json", Err(Defect::new("damaged-member", "").into()));
        members.lose("b/inner.tar@7", Defect::new("damaged-archive", "").into());
        members.count_replaced("a/x.jpg");
        let mut passed_over = PassedOver::default();
        let index = Index::of(&members, "d/x.tar", &choose, &mut passed_over);
        assert_eq!(
            index.names.iter().collect::<Vec<_>>(),
            ["a/x.jpg", "y.PNG", "a/bad.json", "b/inner.tar@7"]
        );
        assert_eq!(index.place(1), Ok(somewhere));
        assert_eq!(index.place(2).unwrap_err().defect.reason, "damaged-member");
        assert_eq!(index.place(3).unwrap_err().defect.reason, "damaged-archive");
        assert_eq!(index.tag_files, [("a/tags.json".to_owned(), somewhere)]);
        let files = passed_over.files();
        let counted: Vec<_> = files
            .iter()
            .map(|files| (&*files.reason, &*files.first))
            .collect();
        assert_eq!(
            counted,
            [
                ("hidden", "d/x.tar/a/._x.jpg"),
                ("other-file", "d/x.tar/a/readme.txt"),
                ("replaced-member", "d/x.tar/a/x.jpg"),
            ]
        );
    }
}
