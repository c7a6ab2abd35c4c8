//! All members of an archive in its order, wanted or not, and the places where something is lost.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::place::{Place, Places};
use crate::error::Defect;
use crate::source::path_list::PathList;

/// The members of one archive.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Their paths; of what is lost, its place `@offset`, or `inner.tar@offset`.
    pub names: PathList,
    pub places: Places,
    /// Which of them are places where something is lost, ascending.
    lost: Vec<u64>,
    /// Hashes of the paths, to find members that are there twice.
    seen: HashSet<u64>,
}

impl Members {
    /// Adds the member `path`.
    pub(super) fn add(&mut self, path: &str, place: Result<Place, Defect>) {
        let place = place.and_then(|place| self.if_new(path, place));
        self.push(path, place);
    }

    /// Notes that something is lost at `place`.
    pub(super) fn lose(&mut self, place: &str, defect: Defect) {
        self.lost.push(self.names.len());
        self.push(place, Err(defect));
    }

    /// Whether `ix` is no member, but a place where something is lost.
    pub(super) fn is_lost(&self, ix: u64) -> bool {
        self.lost.binary_search(&ix).is_ok()
    }

    fn push(&mut self, path: &str, place: Result<Place, Defect>) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.names.push(folder, name);
        self.places.push(place);
    }

    /// Archives may hold a path twice; the first one is taken.
    fn if_new(&mut self, path: &str, place: Place) -> Result<Place, Defect> {
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        match self.seen.insert(hasher.finish()) {
            true => Ok(place),
            false => Err(Defect::new(
                "duplicate-frame",
                format!("{path:?} is in this archive already"),
            )),
        }
    }
}
