//! One item of an input: an encoded image, or what is wrong at its place.

use std::path::PathBuf;

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
pub type Items<'a> = Box<dyn Iterator<Item = Result<Item>> + 'a>;
