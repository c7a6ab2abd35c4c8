//! The members of an archive as they are found: afterwards links lead to what they name, and of
//! members that have one path the last one stays, as when they are extracted one after the other.
//!
//! A hard link is the member that was there under its target's path when it was made: the last one
//! in front of it. A symbolic link is the one that is there in the end.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::members::Members;
use super::names::MAX_TARGET_BYTES;
use super::place::{Lost, Place};
use crate::error::Defect;

/// More links that lead to one another are a loop.
const MAX_LINKS: usize = 40;

/// Paths with more folders lead nowhere.
const MAX_FOLDERS: usize = 32;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Gather {
    found: Members,
    /// Hash of the path of each member, and the member.
    hashes: Vec<(u64, u64)>,
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    /// The member that it is.
    ix: u64,
    /// Path of another one; `None` if it is outside the archive.
    target: Option<String>,
    is_hard: bool,
}

impl Gather {
    /// Adds the member `path`.
    pub(super) fn add(&mut self, path: &str, place: Result<Place, Defect>) {
        self.hashes.push((hash(path), self.found.len()));
        self.found.push(path, place.map_err(Lost::from));
    }

    /// Adds a link at `path` to the path `target`.
    pub(super) fn add_link(&mut self, path: &str, target: Option<String>, is_hard: bool) {
        self.links.push(Link {
            ix: self.found.len(),
            target,
            is_hard,
        });
        self.add(path, Err(broken("it leads nowhere")));
    }

    /// Notes that something is lost at `place`, and with it `unread_bytes` of the archive.
    pub(super) fn lose(&mut self, place: &str, defect: Defect, unread_bytes: u64) {
        let lost = Lost {
            defect,
            unread_bytes,
        };
        self.found.lose(place, lost);
    }

    /// The members without those that are replaced, and with what links lead to.
    pub(super) fn finish(mut self) -> Members {
        self.hashes.sort_unstable();
        let replaced = self.replaced();
        if replaced.is_empty() && self.links.is_empty() {
            return self.found;
        }
        let mut members = Members::default();
        for ix in 0..self.found.len() {
            if replaced.binary_search(&ix).is_ok() {
                members.count_replaced(&self.found.names.get(ix));
            } else if let Some(link) = self.link(ix) {
                let place = self.follow(link).map_err(Lost::from);
                members.push(&self.found.names.get(ix), place);
            } else {
                members.copy(&self.found, ix);
            }
        }
        members
    }

    /// The members that a later one of the same path replaces, ascending.
    fn replaced(&self) -> Vec<u64> {
        let mut replaced = Vec::new();
        for group in self.hashes.chunk_by(|a, b| a.0 == b.0) {
            if group.len() > 1 {
                let mut later = HashSet::new();
                let earlier = group.iter().rev().map(|&(_, ix)| ix);
                replaced.extend(earlier.filter(|&ix| !later.insert(self.found.names.get(ix))));
            }
        }
        replaced.sort_unstable();
        replaced
    }

    fn link(&self, ix: u64) -> Option<&Link> {
        let at = self.links.binary_search_by_key(&ix, |link| link.ix).ok()?;
        Some(&self.links[at])
    }

    fn follow(&self, link: &Link) -> Result<Place, Defect> {
        let mut link = link;
        for _ in 0..MAX_LINKS {
            let Some(ix) = self.target(link) else {
                return Err(match &link.target {
                    Some(target) => broken(&format!("{target:?} is not in the archive")),
                    None => broken("it leads out of the archive"),
                });
            };
            match self.link(ix) {
                Some(next) => link = next,
                None => return self.found.places.get(ix).map_err(|lost| lost.defect),
            }
        }
        Err(broken("links lead to one another in a loop"))
    }

    fn target(&self, link: &Link) -> Option<u64> {
        let path = link.target.as_deref()?;
        if link.is_hard {
            let later = || self.last(path, u64::MAX).filter(|&ix| ix != link.ix);
            return self.last(path, link.ix).or_else(later);
        }
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            if let Some(ix) = self.last(&path, u64::MAX) {
                return Some(ix);
            }
            path = self.through_folder(&path)?;
        }
        None
    }

    /// The last member called `path` in front of `before`.
    fn last(&self, path: &str, before: u64) -> Option<u64> {
        let hash = hash(path);
        let start = self.hashes.partition_point(|&(other, _)| other < hash);
        let end = self.hashes.partition_point(|&found| found < (hash, before));
        let found = self.hashes.get(start..end)?.iter().rev();
        let mut members = found.map(|&(_, ix)| ix);
        members.find(|&ix| self.found.names.get(ix) == path)
    }

    /// `path`, a folder that is a link replaced by where that leads.
    fn through_folder(&self, path: &str) -> Option<String> {
        if path.len() > MAX_TARGET_BYTES {
            return None;
        }
        let mut folders = path.match_indices('/').take(MAX_FOLDERS);
        folders.find_map(|(end, _)| {
            let link = self.link(self.last(&path[..end], u64::MAX)?)?;
            Some(format!("{}{}", link.target.as_deref()?, &path[end..]))
        })
    }
}

fn broken(detail: &str) -> Defect {
    Defect::new("broken-link", format!("it is a link: {detail}"))
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::place::Span;
    use super::*;

    fn place(offset: u64) -> Result<Place, Defect> {
        Ok(Place::Plain(Span { offset, len: 1 }))
    }

    fn described(members: &Members) -> Vec<String> {
        let describe = |ix| match members.places.get(ix) {
            Ok(Place::Plain(span)) => format!("{} {}", members.names.get(ix), span.offset),
            Ok(other) => panic!("{other:?}"),
            Err(lost) => format!("{} {}", members.names.get(ix), lost.defect.reason),
        };
        (0..members.len()).map(describe).collect()
    }

    #[test]
    fn the_last_of_one_path_stays_where_it_stands() {
        let mut gather = Gather::default();
        for (offset, path) in ["a.jpg", "b.jpg", "a.jpg", "x/a.jpg", "a.jpg"]
            .iter()
            .enumerate()
        {
            gather.add(path, place(offset as u64));
        }
        gather.lose("inner.tar@7", Defect::new("damaged-archive", ""), 9);
        gather.lose("inner.tar@7", Defect::new("damaged-archive", ""), 9);
        let members = gather.finish();
        let lost = "inner.tar@7 damaged-archive";
        assert_eq!(
            described(&members),
            ["b.jpg 1", "x/a.jpg 3", "a.jpg 4", lost, lost]
        );
        assert!(members.is_lost(4) && !members.is_lost(2));
        assert_eq!(members.replaced[".jpg"], (2, "a.jpg".to_owned()));
    }

    #[test]
    fn hard_links_are_what_was_there_and_symbolic_ones_what_is_there_in_the_end() {
        let mut gather = Gather::default();
        gather.add_link("early.jpg", Some("a.jpg".into()), true);
        gather.add("a.jpg", place(1));
        gather.add_link("hard.jpg", Some("a.jpg".into()), true);
        gather.add_link("soft.jpg", Some("a.jpg".into()), false);
        gather.add_link("again.jpg", Some("soft.jpg".into()), false);
        gather.add("a.jpg", place(2));
        // What `tar c a.jpg b.jpg b.jpg` makes of the second.
        gather.add("b.jpg", place(3));
        gather.add_link("b.jpg", Some("b.jpg".into()), true);
        let expected = [
            "early.jpg 2",
            "hard.jpg 1",
            "soft.jpg 2",
            "again.jpg 2",
            "a.jpg 2",
            "b.jpg 3",
        ];
        assert_eq!(described(&gather.finish()), expected);
    }

    #[test]
    fn links_through_folders_are_followed_and_loops_and_holes_are_named() {
        let mut gather = Gather::default();
        gather.add_link("now", Some("v2".into()), false);
        gather.add("v2/a.jpg", place(1));
        gather.add_link("a.jpg", Some("now/a.jpg".into()), false);
        gather.add_link("hole.jpg", Some("v3/a.jpg".into()), false);
        gather.add_link("out.jpg", None, false);
        gather.add_link("x.jpg", Some("y.jpg".into()), false);
        gather.add_link("y.jpg", Some("x.jpg".into()), false);
        gather.add_link("self.jpg", Some("self.jpg".into()), true);
        gather.add_link("p", Some("p/q".into()), false);
        gather.add_link("deep.jpg", Some("p/a.jpg".into()), false);
        let members = gather.finish();
        let expected = [
            "now broken-link",
            "v2/a.jpg 1",
            "a.jpg 1",
            "hole.jpg broken-link",
            "out.jpg broken-link",
            "x.jpg broken-link",
            "y.jpg broken-link",
            "self.jpg broken-link",
            "p broken-link",
            "deep.jpg broken-link",
        ];
        assert_eq!(described(&members), expected);
        let detail = |ix| members.places.get(ix).unwrap_err().defect.detail;
        assert!(detail(3).contains("v3/a.jpg") && detail(5).contains("loop"));
    }

    #[test]
    fn a_compressed_archive_is_read_in_one_pass() {
        let mut gather = Gather::default();
        for (path, offset) in [("a.jpg", 1), ("b.jpg", 2), ("c.jpg", 3)] {
            gather.add(path, place(offset));
        }
        gather.add_link("d.jpg", Some("a.jpg".into()), true);
        gather.lose("@9", Defect::new("damaged-archive", ""), 0);
        let members = gather.finish().in_order_of_places();
        let expected = [
            "a.jpg 1",
            "d.jpg 1",
            "@9 damaged-archive",
            "b.jpg 2",
            "c.jpg 3",
        ];
        assert_eq!(described(&members), expected);
        assert!(members.is_lost(2));
    }
}
