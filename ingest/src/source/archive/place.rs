//! Where the contents of members lie, and what is wrong with those that cannot be read.

use std::ops::Range;

use rawzip::ZipArchiveEntryWayfinder;

use crate::error::Defect;

/// Where a member lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// As it is in the archive, or in what the archive unpacks to.
    Plain(Span),
    /// In a zip.
    Zipped(Zipped),
}

impl Place {
    /// Bytes of the contents, as the archive states them.
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

impl Span {
    pub(super) fn range(self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.len)
    }
}

/// A member of a zip, stored or deflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zipped {
    pub place: ZipArchiveEntryWayfinder,
    pub is_deflated: bool,
}

/// What cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// Why.
    pub defect: Defect,
    /// Bytes of the archive that nobody can read for that reason.
    pub unread_bytes: u64,
}

impl From<Defect> for Lost {
    fn from(defect: Defect) -> Self {
        Self {
            defect,
            unread_bytes: 0,
        }
    }
}

/// Places of many members of one archive: 16 bytes each in a tar, 56 in a zip.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// Where those lie with which nothing is wrong, if the archive is a tar.
    spans: Vec<Span>,
    /// The same if it is a zip.
    zipped: Vec<Zipped>,
    /// What is wrong with the others, ascending.
    lost: Vec<(u64, Lost)>,
}

impl Places {
    /// Number of members.
    pub(super) fn len(&self) -> u64 {
        (self.spans.len() + self.zipped.len() + self.lost.len()) as u64
    }

    /// Appends a member.
    pub(super) fn push(&mut self, place: Result<Place, Lost>) {
        match place {
            Ok(Place::Plain(span)) => self.spans.push(span),
            Ok(Place::Zipped(zipped)) => self.zipped.push(zipped),
            Err(lost) => self.lost.push((self.len(), lost)),
        }
    }

    /// Where member `ix` lies.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn get(&self, ix: u64) -> Result<Place, Lost> {
        match self.lost.binary_search_by_key(&ix, |&(ix, _)| ix) {
            Ok(at) => Err(self.lost[at].1.clone()),
            Err(num_before) => {
                let at = ix as usize - num_before;
                Ok(self.spans.get(at).map_or_else(
                    || Place::Zipped(self.zipped[at]),
                    |&span| Place::Plain(span),
                ))
            }
        }
    }

    /// What is wrong with members.
    pub(super) fn defects(&self) -> impl Iterator<Item = &Defect> {
        self.lost.iter().map(|(_, lost)| &lost.defect)
    }

    /// Gives memory back that was taken for more.
    pub(super) fn shrink_to_fit(&mut self) {
        self.spans.shrink_to_fit();
        self.zipped.shrink_to_fit();
    }
}
