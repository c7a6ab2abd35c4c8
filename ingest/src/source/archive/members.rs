//! All members of an archive in its order, wanted or not, and the places where something is lost.

use std::collections::BTreeMap;

use super::place::{Lost, Place, Places};
use crate::source::path_list::PathList;

/// The members of one archive. No two have one path; lost places may have one name.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Their paths; of what is lost, its place `@offset`, or `inner.tar@offset`.
    pub names: PathList,
    pub places: Places,
    /// Which of them are places where something is lost, ascending.
    lost: Vec<u64>,
    /// By ending, how many were replaced by a later one of the same path, and the first of them.
    pub replaced: BTreeMap<String, (u64, String)>,
}

impl Members {
    /// Number of members and lost places.
    pub(super) fn len(&self) -> u64 {
        self.names.len()
    }

    /// Whether `ix` is no member, but a place where something is lost.
    pub(super) fn is_lost(&self, ix: u64) -> bool {
        self.lost.binary_search(&ix).is_ok()
    }

    /// Appends the member `path`.
    pub(super) fn push(&mut self, path: &str, place: Result<Place, Lost>) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.names.push(folder, name);
        self.places.push(place);
    }

    /// Notes that something is lost at `place`.
    pub(super) fn lose(&mut self, place: &str, lost: Lost) {
        self.lost.push(self.len());
        self.push(place, Err(lost));
    }

    /// Counts a member that a later one replaces.
    pub(super) fn count_replaced(&mut self, path: &str) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let kind = format!(".{}", ending.to_lowercase());
        let tally = self.replaced.entry(kind).or_default();
        if tally.0 == 0 {
            path.clone_into(&mut tally.1);
        }
        tally.0 += 1;
    }

    /// Appends what stands at `ix` of `other`.
    pub(super) fn copy(&mut self, other: &Self, ix: u64) {
        let (path, place) = (other.names.get(ix), other.places.get(ix));
        match place {
            Err(lost) if other.is_lost(ix) => self.lose(&path, lost),
            place => self.push(&path, place),
        }
    }

    /// The same members in the order in which their contents lie, so that one pass reads them all:
    /// links stand beside what they lead to.
    pub(super) fn in_order_of_places(self) -> Self {
        let mut last = 0;
        let mut order: Vec<(u64, u64)> = Vec::new();
        for ix in 0..self.len() {
            if let Ok(Place::Plain(span)) = self.places.get(ix) {
                last = span.offset;
            }
            order.push((last, ix));
        }
        if order.is_sorted() {
            return self;
        }
        order.sort_unstable();
        let mut sorted = Self {
            replaced: self.replaced.clone(),
            ..Self::default()
        };
        for (_, ix) in order {
            sorted.copy(&self, ix);
        }
        sorted
    }
}
