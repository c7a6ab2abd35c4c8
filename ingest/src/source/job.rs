//! What one shard is made of.

use std::path::PathBuf;
use std::sync::Arc;

use schemas::shard::ShardId;

use super::dataset::Dataset;
use super::files::Files;
use super::tags::Tags;

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
    TfRecord(PathBuf),
    /// All of one Parquet file of camera images.
    CameraImages(PathBuf),
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
