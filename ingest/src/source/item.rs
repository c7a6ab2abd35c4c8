//! One item of an input: an encoded image, or what is wrong at its place.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

use prost::bytes::Bytes;
use schemas::frame::FrameMeta;

use super::archive::MemberFile;
use crate::error::{Defect, Result};

/// One item of an input.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its place, for reports: `training/a.tfrecord@1234`, `street/0001.jpg`.
    pub source: String,
    /// Share of the weight of its job that is done with it.
    pub weight: u64,
    /// Bytes of the input behind this place that nobody can read any more.
    pub unread_bytes: u64,
    /// What stands there.
    pub content: Result<SourceImage, Defect>,
}

impl Item {
    /// What stands at `source`, where `unread_bytes` of the input are lost.
    pub(super) fn lost(source: String, unread_bytes: u64, defect: Defect) -> Self {
        Self {
            source,
            weight: 0,
            unread_bytes,
            content: Err(defect),
        }
    }

    /// What stands for all items of `input`, a file without content.
    pub(super) fn of_empty_file(input: &str) -> Self {
        let defect = Defect::new("empty-file", "it holds nothing at all");
        Self::lost(format!("{input}@0"), 0, defect)
    }
}

/// An image that was found, not yet decoded.
#[derive(Clone, Debug)]
pub struct SourceImage {
    /// What the source knows of it. `size` is 0 × 0 until it is decoded.
    pub meta: FrameMeta,
    /// The encoded image.
    pub data: Data,
}

/// An encoded image.
#[derive(Clone, Debug)]
pub enum Data {
    /// Read already.
    Bytes(Bytes),
    /// To be read by whoever decodes it.
    File(PathBuf),
    /// In an archive; likewise.
    Member(MemberFile),
}

/// The items of a job. An `Err` is an I/O error, which ends the run.
pub struct Items<'a> {
    items: Box<dyn Iterator<Item = Result<Item>> + 'a>,
    checksum: Checksum,
}

impl<'a> Items<'a> {
    /// Items of an input that is not read as a whole.
    pub(super) fn new(items: impl Iterator<Item = Result<Item>> + 'a) -> Self {
        Self::with_checksum(items, Checksum::default())
    }

    /// Items of an input whose `checksum` is known when they end.
    pub(super) fn with_checksum(
        items: impl Iterator<Item = Result<Item>> + 'a,
        checksum: Checksum,
    ) -> Self {
        Self {
            items: Box::new(items),
            checksum,
        }
    }

    /// Length and CRC32C of the input, once the last item is read, if all of it was.
    pub fn checksum(&self) -> Option<(u64, u32)> {
        self.checksum.get()
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        self.items.next()
    }
}

/// Length and CRC32C of an input, told by the one who reads it when it is read.
#[derive(Clone, Debug, Default)]
pub(super) struct Checksum(Rc<Cell<Option<(u64, u32)>>>);

impl Checksum {
    pub(super) fn get(&self) -> Option<(u64, u32)> {
        self.0.get()
    }

    pub(super) fn set(&self, checksum: Option<(u64, u32)>) {
        self.0.set(checksum);
    }
}
