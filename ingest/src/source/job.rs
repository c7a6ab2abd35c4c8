//! What one shard is made of.

use std::path::Path;
use std::sync::Arc;

use schemas::shard::ShardId;

use super::dataset::Dataset;
use super::files::Files;
use super::tags::Tags;
use super::waymo::place::{CameraImages, LostPlaces, TfRecord};
use crate::error::Result;

/// The input of one shard, and its items in it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Name and item range of the shard.
    pub(crate) id: ShardId,
    /// Where its items come from.
    pub(crate) content: Content,
    /// How much there is to do: bytes of a file, or a number of images.
    pub(crate) weight: u64,
}

/// Where the items of a job come from.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// All of one TFRecord file.
    TfRecord(TfRecord),
    /// All of one Parquet file of camera images.
    CameraImages(CameraImages),
    /// What is lost in a folder or archive of TFRecord files.
    LostPlaces(LostPlaces),
    /// The job's range of the image files of a folder or archive.
    Files {
        /// How names become metadata.
        dataset: Dataset,
        /// All files of the input.
        files: Arc<Files>,
        /// What is known of some of them.
        tags: Arc<Tags>,
    },
}

impl Job {
    /// The file or folder that holds its items.
    pub(crate) fn path(&self) -> &Path {
        match &self.content {
            Content::TfRecord(file) => file.place.path(),
            Content::CameraImages(file) => &file.path,
            Content::LostPlaces(lost) => &lost.path,
            Content::Files { files, .. } => files.path(),
        }
    }

    /// Size of its input, if that is one file or archive.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match &self.content {
            Content::TfRecord(_) | Content::CameraImages(_) => Some(self.weight),
            Content::LostPlaces(lost) => lost.bytes,
            Content::Files { files, .. } => files.archive_bytes(),
        }
    }

    /// Whether the name of its file says which drive it holds, or that matters to none.
    pub(crate) fn names_its_drive(&self) -> bool {
        match &self.content {
            Content::TfRecord(file) => file.drive.is_some(),
            _ => true,
        }
    }

    /// The drive of the first frame of its file, as far as it was looked at.
    pub(crate) fn first_drive(&self) -> Option<&str> {
        match &self.content {
            Content::TfRecord(file) => file.context.as_deref(),
            _ => None,
        }
    }

    /// CRC32C of its input as it is now, if that is one file of which shards are made as a whole.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn crc32c(&self) -> Result<Option<u32>> {
        match &self.content {
            Content::TfRecord(file) => file.place.crc32c(),
            Content::CameraImages(_) | Content::LostPlaces(_) | Content::Files { .. } => Ok(None),
        }
    }
}

impl Content {
    /// That of the TFRecord file at `path`.
    #[cfg(test)]
    pub(crate) fn of_tfrecord(path: &str) -> Self {
        Self::TfRecord(TfRecord {
            place: super::waymo::place::Place::File(path.into()),
            split: None,
            drive: None,
            context: None,
        })
    }
}
